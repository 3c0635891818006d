#include "compute/ref/ref_ops.h"

#include "base/dtype.h"
#include <math.h>
#include <string.h>

/* Element offset of (r, c), with groups and heads. */
static int64_t place(const struct berth_tensor *t, int64_t r, int64_t c) {
    int64_t row = r * t->row_stride;
    if (t->index) {
        const int32_t *index = (const int32_t *)t->index->host + t->index_offset;
        row = index[r / t->group_rows] * t->group_stride + r % t->group_rows * t->row_stride;
    }
    int64_t col = t->head_cols ? c / t->head_cols * t->head_stride + c % t->head_cols : c;
    return (int64_t)t->offset + row + col;
}

float *bth_ref_f32(const struct berth_tensor *t, int64_t r, int64_t c) {
    return (float *)t->buffer->host + place(t, r, c);
}

const int32_t *bth_ref_i32(const struct berth_tensor *t) {
    return (const int32_t *)t->buffer->host + t->offset;
}

static float widen(enum berth_dtype dtype, const void *data, int64_t i) {
    switch (dtype) {
    case BERTH_F16:
        return bth_f16_to_f32(((const uint16_t *)data)[i]);
    case BERTH_BF16:
        return bth_bf16_to_f32(((const uint16_t *)data)[i]);
    case BERTH_I8:
        return (float)((const int8_t *)data)[i];
    default:
        return ((const float *)data)[i];
    }
}

static float table_at(const struct berth_tensor *t, int64_t r, int64_t c) {
    return widen(t->dtype, t->buffer->host, place(t, r, c));
}

static void embed(const struct berth_op_embed *op, int64_t rows) {
    const struct bth_ref_weight *w = (const struct bth_ref_weight *)op->table;
    for (int64_t r = 0; r < rows; r++) {
        int32_t id = bth_ref_i32(&op->ids)[r], pos = bth_ref_i32(&op->pos)[r];
        for (int64_t c = 0; c < op->y.cols; c++) {
            float v = 0;
            if (id >= 0) {
                v = w ? widen(w->base.dtype, w->buffer->host, id * w->base.k + c)
                      : table_at(&op->rows, id, c);
                v *= (w ? w->base.dtype : op->rows.dtype) == BERTH_I8 ? op->unit : 1;
            }
            *bth_ref_f32(&op->y, r, c) = fmaf(v, op->scale, table_at(&op->positions, pos, c));
        }
    }
}

static void layer_norm(const struct berth_op_layer_norm *op, int64_t rows) {
    int64_t d = op->y.cols;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < d; c++) {
            sum += (double)*bth_ref_f32(&op->x, r, c);
        }
        double mean = sum / (double)d;
        for (int64_t c = 0; c < d; c++) {
            double v = (double)*bth_ref_f32(&op->x, r, c) - mean;
            squares += v * v;
        }
        double scale = 1.0 / sqrt(squares / (double)d + (double)op->eps);
        for (int64_t c = 0; c < d; c++) {
            double v = ((double)*bth_ref_f32(&op->x, r, c) - mean) * scale;
            *bth_ref_f32(&op->y, r, c) = (float)(v * (double)*bth_ref_f32(&op->gamma, 0, c) +
                                                 (double)*bth_ref_f32(&op->beta, 0, c));
        }
    }
}

static float activate(enum berth_activation act, float v) {
    double x = (double)v;
    switch (act) {
    case BERTH_ACT_GELU:
        return (float)(0.5 * x * (1.0 + erf(x * sqrt(0.5))));
    case BERTH_ACT_RELU:
        return v > 0 ? v : 0;
    case BERTH_ACT_SWISH:
        return (float)(x / (1.0 + exp(-x)));
    case BERTH_ACT_NONE:
        break;
    }
    return v;
}

/* One fma chain over k, the bits that every backend on a CPU must give. */
static float chain(const struct berth_weight *w, int64_t n, const struct berth_tensor *x,
                   int64_t r) {
    const struct bth_ref_weight *weight = (const struct bth_ref_weight *)w;
    float sum = 0;
    for (int64_t k = 0; k < w->k; k++) {
        sum = fmaf(*bth_ref_f32(x, r, k), widen(w->dtype, weight->buffer->host, n * w->k + k), sum);
    }
    return sum;
}

/* The row's own alpha where the op has none. */
static float alpha_of(const struct berth_eights *e, const struct berth_tensor *x, int64_t r) {
    float most = 0;
    if (e->alpha > 0) {
        return e->alpha;
    }
    for (int64_t k = 0; k < x->cols; k++) {
        most = fmaxf(most, fabsf(*bth_ref_f32(x, r, k)));
    }
    return most > 0 ? 127 / most : 0;
}

/* Row r times row n of a matrix of i8, before the bias. */
static float eights(const struct berth_eights *e, const int8_t *w, int64_t n,
                    const struct berth_tensor *x, int64_t r) {
    const float alpha = alpha_of(e, x, r), unit = *bth_ref_f32(&e->unit, 0, n);
    int64_t sum = 0;
    for (int64_t k = 0; k < x->cols; k++) {
        const float i = fminf(fmaxf(rintf(*bth_ref_f32(x, r, k) * alpha), -127), 127);
        sum += ((int64_t)i + (e->alpha > 0 ? 127 : 0)) * w[k];
    }
    return (float)sum * (e->alpha > 0 ? unit : alpha > 0 ? unit / alpha : 0);
}

static void linear(const struct berth_op_linear *op, int64_t rows) {
    const int8_t *w = ((const struct bth_ref_weight *)op->w)->buffer->host;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t n = 0; n < op->y.cols; n++) {
            float v = op->w->dtype == BERTH_I8 ? eights(&op->eights, w + n * op->w->k, n, &op->x, r)
                                               : chain(op->w, n, &op->x, r);
            if (op->bias.buffer) {
                v += *bth_ref_f32(&op->bias, 0, n);
            }
            v = activate(op->act, v);
            if (n < op->scale_cols) {
                v *= op->scale;
            }
            if (op->residual.buffer) {
                v += *bth_ref_f32(&op->residual, r, n);
            }
            *bth_ref_f32(&op->y, r, n) = v;
        }
    }
}

/* The chain runs over taps, then channels; what lies outside is zero. */
static float conv_chain(const struct berth_op_conv3 *op, int64_t g, int64_t t, int64_t n) {
    const struct bth_ref_weight *weight = (const struct bth_ref_weight *)op->w;
    int64_t channels = op->x.cols;
    float sum = 0;
    for (int64_t k = 0; k < op->w->k; k++) {
        int64_t at = t * op->stride + k / channels - 1;
        float x =
            at < 0 || at >= op->t_in ? 0 : *bth_ref_f32(&op->x, g * op->t_in + at, k % channels);
        sum = fmaf(x, widen(op->w->dtype, weight->buffer->host, n * op->w->k + k), sum);
    }
    return sum;
}

static void conv3(const struct berth_op_conv3 *op, int64_t groups) {
    for (int64_t r = 0; r < groups * op->t_out; r++) {
        for (int64_t n = 0; n < op->y.cols; n++) {
            float v = conv_chain(op, r / op->t_out, r % op->t_out, n);
            if (op->bias.buffer) {
                v += *bth_ref_f32(&op->bias, 0, n);
            }
            v = activate(op->act, v);
            if (op->add.buffer) {
                v += *bth_ref_f32(&op->add, r % op->t_out, n);
            }
            *bth_ref_f32(&op->y, r, n) = v;
        }
    }
}

static void kv_store(const struct berth_op_kv_store *op, int64_t rows) {
    const struct berth_kv *kv = &op->kv;
    int64_t d = kv->heads * kv->head_dim;
    float *data = kv->buffer->host;
    for (int64_t r = 0; r < rows; r++) {
        int32_t pos = bth_ref_i32(&op->pos)[r];
        const int32_t *table = bth_ref_i32(&op->table) + r * op->table.row_stride;
        int64_t base =
            table[pos / kv->page_rows] * kv->page_stride + pos % kv->page_rows * kv->head_dim;
        for (int64_t c = 0; c < d; c++) {
            int64_t to = base + c / kv->head_dim * kv->page_rows * kv->head_dim + c % kv->head_dim;
            data[kv->key_offset + to] = *bth_ref_f32(&op->x, r, c);
            data[kv->value_offset + to] = *bth_ref_f32(&op->x, r, d + c);
        }
    }
}

static void kv_copy(const struct berth_op_kv_copy *op, int64_t n) {
    float *data = op->kv.buffer->host;
    for (int64_t i = 0; i < n; i++) {
        memcpy(data + bth_ref_i32(&op->to)[i] * op->kv.page_stride,
               data + bth_ref_i32(&op->from)[i] * op->kv.page_stride,
               (size_t)op->kv.page_stride * sizeof(float));
    }
}

static void gather(const struct berth_op_gather *op, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < op->y.cols; c++) {
            *bth_ref_f32(&op->y, r, c) = *bth_ref_f32(&op->x, bth_ref_i32(&op->rows)[r], c);
        }
    }
}

static void select_rows(const struct berth_op_select *op, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        const int32_t *ids = bth_ref_i32(&op->ids) + bth_ref_i32(&op->list)[r] * op->ids.row_stride;
        for (int64_t i = 0; i < bth_ref_i32(&op->count)[r]; i++) {
            float v;
            if (op->w.dtype == BERTH_I8) {
                v = eights(&op->eights,
                           (const int8_t *)op->w.buffer->host + place(&op->w, ids[i], 0), ids[i],
                           &op->x, r);
            } else {
                double sum = 0;
                for (int64_t k = 0; k < op->x.cols; k++) {
                    sum += (double)*bth_ref_f32(&op->x, r, k) *
                           (double)*bth_ref_f32(&op->w, ids[i], k);
                }
                v = (float)sum;
            }
            *bth_ref_f32(&op->y, r, i) =
                v + (op->bias.buffer ? *bth_ref_f32(&op->bias, 0, ids[i]) : 0);
        }
    }
}

static void ssru(const struct berth_op_ssru *op, int64_t rows) {
    float *state = (float *)op->state->host + op->offset;
    for (int64_t r = 0; r < rows; r++) {
        const int32_t from = bth_ref_i32(&op->from)[r], to = bth_ref_i32(&op->to)[r];
        for (int64_t c = 0; c < op->y.cols; c++) {
            const double f = 1 / (1 + exp(-(double)*bth_ref_f32(&op->gate, r, c)));
            const double before = from < 0 ? 0 : (double)state[from * op->stride + c];
            const float now = (float)(f * before + (1 - f) * (double)*bth_ref_f32(&op->x, r, c));
            state[to * op->stride + c] = now;
            *bth_ref_f32(&op->y, r, c) = fmaxf(now, 0) + *bth_ref_f32(&op->residual, r, c);
        }
    }
}

void bth_ref_op(const struct berth_op *op, int64_t rows, double *scratch) {
    switch (op->kind) {
    case BERTH_OP_EMBED:
        embed(&op->u.embed, rows);
        break;
    case BERTH_OP_LAYER_NORM:
        layer_norm(&op->u.layer_norm, rows);
        break;
    case BERTH_OP_LINEAR:
        linear(&op->u.linear, rows);
        break;
    case BERTH_OP_CONV3:
        conv3(&op->u.conv3, rows);
        break;
    case BERTH_OP_ATTEND_FULL:
        bth_ref_attend_full(&op->u.attend_full, rows, scratch);
        break;
    case BERTH_OP_KV_STORE:
        kv_store(&op->u.kv_store, rows);
        break;
    case BERTH_OP_ATTEND_PAGED:
        bth_ref_attend_paged(&op->u.attend_paged, rows, scratch);
        break;
    case BERTH_OP_KV_COPY:
        kv_copy(&op->u.kv_copy, rows);
        break;
    case BERTH_OP_GATHER:
        gather(&op->u.gather, rows);
        break;
    case BERTH_OP_PICK:
        bth_ref_pick(&op->u.pick, rows);
        break;
    case BERTH_OP_SELECT:
        select_rows(&op->u.select, rows);
        break;
    case BERTH_OP_SSRU:
        ssru(&op->u.ssru, rows);
        break;
    case BERTH_OP_TOP:
        bth_ref_top(&op->u.top, rows);
        break;
    case BERTH_OP_EMBED_SUM:
        bth_ref_embed_sum(&op->u.embed_sum, rows);
        break;
    case BERTH_OP_MAXOUT:
        bth_ref_maxout(&op->u.maxout, rows);
        break;
    case BERTH_OP_GATHER_MAX:
        bth_ref_gather_max(&op->u.gather_max, rows);
        break;
    }
}

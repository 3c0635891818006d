/* softmax(q K) V in f64: scores, their maximum, weights, sums. */
#include "compute/ref/ref_ops.h"

#include <math.h>
#include <string.h>

/* Keys and values of one head: element c of position t. */
struct memory {
    const float *(*at)(const void *of, int64_t t, bool value);
    const void *of;
    int64_t n, dim;
};

/* The products of q with every key go to weights [n], the result to out [dim]. */
static void attend(const float *q, const struct memory *m, double *weights, double *out) {
    double most = -INFINITY, total = 0;
    for (int64_t t = 0; t < m->n; t++) {
        const float *key = m->at(m->of, t, false);
        weights[t] = 0;
        for (int64_t c = 0; c < m->dim; c++) {
            weights[t] += (double)q[c] * (double)key[c];
        }
        most = fmax(most, weights[t]);
    }
    memset(out, 0, (size_t)m->dim * sizeof(*out));
    for (int64_t t = 0; t < m->n; t++) {
        const double w = exp(weights[t] - most);
        const float *value = m->at(m->of, t, true);
        total += w;
        for (int64_t c = 0; c < m->dim; c++) {
            out[c] += w * (double)value[c];
        }
    }
    for (int64_t c = 0; c < m->dim; c++) {
        out[c] /= total;
    }
}

static void put(const struct berth_tensor *y, int64_t row, int64_t col, const double *out,
                int64_t n) {
    for (int64_t c = 0; c < n; c++) {
        *bth_ref_f32(y, row, col + c) = (float)out[c];
    }
}

struct full {
    const struct berth_op_attend_full *op;
    int64_t group, head;
};

static const float *full_at(const void *of, int64_t t, bool value) {
    const struct full *f = of;
    return bth_ref_f32(value ? &f->op->v : &f->op->k, f->group * f->op->t + t,
                       f->head * f->op->head_dim);
}

void bth_ref_attend_full(const struct berth_op_attend_full *op, int64_t groups, double *scratch) {
    const int64_t dim = op->head_dim;
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t h = 0; h < op->heads; h++) {
            const struct full f = {op, g, h};
            const struct memory m = {full_at, &f, op->t, dim};
            for (int64_t i = 0; i < op->nq; i++) {
                attend(bth_ref_f32(&op->q, g * op->t + op->q0 + i, h * dim), &m, scratch + dim,
                       scratch);
                put(&op->y, g * op->nq + i, h * dim, scratch, dim);
            }
        }
    }
}

struct paged {
    const struct berth_kv *kv;
    const int32_t *table;
    int64_t head;
};

static const float *paged_at(const void *of, int64_t t, bool value) {
    const struct paged *p = of;
    const struct berth_kv *kv = p->kv;
    int64_t at = p->table[t / kv->page_rows] * kv->page_stride +
                 p->head * kv->page_rows * kv->head_dim + t % kv->page_rows * kv->head_dim;
    return (const float *)kv->buffer->host + at + (value ? kv->value_offset : kv->key_offset);
}

void bth_ref_attend_paged(const struct berth_op_attend_paged *op, int64_t rows, double *scratch) {
    const int64_t dim = op->kv.head_dim;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t h = 0; h < op->kv.heads; h++) {
            const struct paged p = {&op->kv, bth_ref_i32(&op->table) + r * op->table.row_stride, h};
            const struct memory m = {paged_at, &p, bth_ref_i32(&op->len)[r], dim};
            attend(bth_ref_f32(&op->q, r, h * dim), &m, scratch + dim, scratch);
            put(&op->y, r, h * dim, scratch, dim);
            if (op->scores.buffer) {
                for (int64_t t = 0; t < m.n; t++) {
                    *bth_ref_f32(&op->scores, r * op->kv.heads + h, t) = (float)scratch[dim + t];
                }
            }
        }
    }
}

int64_t bth_ref_scratch(const struct berth_op *op) {
    if (op->kind == BERTH_OP_ATTEND_FULL) {
        return op->u.attend_full.head_dim + op->u.attend_full.t;
    }
    if (op->kind == BERTH_OP_ATTEND_PAGED) {
        const struct berth_op_attend_paged *p = &op->u.attend_paged;
        return p->kv.head_dim + p->table.cols * p->kv.page_rows;
    }
    return 0;
}

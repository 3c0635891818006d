/*
 * compute/cpu/row_kernels.h - ops that touch each row once: layer_norm, embed, gather, ssru,
 * kv_store, kv_copy. Rows are split over the team.
 */
#ifndef BTH_ROW_KERNELS_H
#define BTH_ROW_KERNELS_H

#include "kernels.h"
#include "v16.h"
#include "view.h"
#include <math.h>
#include <string.h>

/* ---- layer_norm ------------------------------------------------------------------------------ */

/* sum of (x - shift)^power over d columns, power 1 or 2: 16 lanes, then the tree of v_sum. */
V_INLINE float row_sum(const float *x, int64_t d, float shift, const int power) {
    const v16 s = v_set1(shift), lane = v_load(lane_number);
    v16 sum = v_zero();
    int64_t c = 0;
    for (; c + 16 <= d; c += 16) {
        const v16 v = v_sub(v_load(x + c), s);
        sum = power == 1 ? v_add(sum, v) : v_fma(v, v, sum);
    }
    if (c < d) {
        const v16 left = v_set1((float)(d - c));
        const v16 v = v_if_gt(left, lane, v_sub(v_load_n(x + c, (int)(d - c)), s), v_zero());
        sum = power == 1 ? v_add(sum, v) : v_fma(v, v, sum);
    }
    return v_sum(sum);
}

static void op_layer_norm(const struct bth_cpu_turn *t) {
    const struct berth_op_layer_norm *op = &t->op->u.layer_norm;
    const struct view x = view_of(&op->x), y = view_of(&op->y);
    const float *gamma = view_of(&op->gamma).base, *beta = view_of(&op->beta).base;
    const int64_t d = op->x.cols;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const float *from = view_row(&x, r);
        float *to = view_row(&y, r);
        const float mean = row_sum(from, d, 0, 1) / (float)d;
        const float variance = row_sum(from, d, mean, 2) / (float)d;
        const v16 m = v_set1(mean), scale = v_set1(1.0f / sqrtf(variance + op->eps));
        for (int64_t c = 0; c < d; c += 16) {
            const int n = d - c < 16 ? (int)(d - c) : 16;
            const v16 v = v_mul(v_sub(v_load_n(from + c, n), m), scale);
            v_store_n(to + c, v_fma(v, v_load_n(gamma + c, n), v_load_n(beta + c, n)), n);
        }
    }
}

/* ---- embed and gather -------------------------------------------------------------------------*/

/* Sixteen bytes of i8 as floats, n of them real. */
V_INLINE v16 eights_16(const int8_t *from, int64_t pitch, int n) {
    float whole[16] = {0};
    for (int i = 0; i < n; i++) {
        whole[i] = (float)from[i * pitch];
    }
    return v_load(whole);
}

/* Row r of a f32, f16, bf16 or i8 table, 16 columns from c on, n of them real. */
V_INLINE v16 table_16(const struct berth_tensor *table, int64_t r, int64_t c, int n) {
    const size_t at = table->offset + (size_t)(r * table->row_stride + c);
    if (table->dtype == BERTH_F32) {
        return v_load_n((const float *)table->buffer->host + at, n);
    }
    if (table->dtype == BERTH_I8) {
        return eights_16((const int8_t *)table->buffer->host + at, 1, n);
    }
    uint16_t half[16] = {0};
    memcpy(half, (const uint16_t *)table->buffer->host + at, (size_t)n * sizeof(*half));
    return table->dtype == BERTH_F16 ? v_load_f16(half) : v_load_bf16(half);
}

/* The same of a packed weight, whose columns lie a panel's width apart. */
V_INLINE v16 packed_16(const struct bth_cpu_weight *w, int64_t r, int64_t c, int n) {
    if (w->base.dtype == BERTH_I8) {
        int8_t whole[16];
        for (int i = 0; i < n; i++) {
            whole[i] = *eight_at(w, r, c + i);
        }
        return eights_16(whole, 1, n);
    }
    const size_t at =
        (size_t)(r / BTH_PANEL * BTH_PANEL * w->base.k + c * BTH_PANEL + r % BTH_PANEL);
    if (w->base.dtype == BERTH_F32) {
        float whole[16] = {0};
        for (int i = 0; i < n; i++) {
            whole[i] = ((const float *)w->buffer->host)[at + (size_t)i * BTH_PANEL];
        }
        return v_load(whole);
    }
    uint16_t half[16] = {0};
    for (int i = 0; i < n; i++) {
        half[i] = ((const uint16_t *)w->buffer->host)[at + (size_t)i * BTH_PANEL];
    }
    return w->base.dtype == BERTH_F16 ? v_load_f16(half) : v_load_bf16(half);
}

/* Row `id` of the op's table as f32. */
V_INLINE v16 embedding_16(const struct berth_op_embed *op, int32_t id, int64_t c, int n) {
    const struct bth_cpu_weight *table = (const struct bth_cpu_weight *)op->table;
    if (id < 0) {
        return v_zero();
    }
    const v16 v = table ? packed_16(table, id, c, n) : table_16(&op->rows, id, c, n);
    const enum berth_dtype dtype = table ? table->base.dtype : op->rows.dtype;
    return dtype == BERTH_I8 ? v_mul(v, v_set1(op->unit)) : v;
}

static void op_embed(const struct bth_cpu_turn *t) {
    const struct berth_op_embed *op = &t->op->u.embed;
    const struct view y = view_of(&op->y);
    const int32_t *ids = ints_of(&op->ids), *pos = ints_of(&op->pos);
    const v16 scale = v_set1(op->scale);
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        float *to = view_row(&y, r);
        for (int64_t c = 0; c < op->y.cols; c += 16) {
            const int n = op->y.cols - c < 16 ? (int)(op->y.cols - c) : 16;
            const v16 position = table_16(&op->positions, pos[r], c, n);
            v_store_n(to + c, v_fma(embedding_16(op, ids[r], c, n), scale, position), n);
        }
    }
}

static void op_gather(const struct bth_cpu_turn *t) {
    const struct berth_op_gather *op = &t->op->u.gather;
    const struct view x = view_of(&op->x), y = view_of(&op->y);
    const int32_t *rows = ints_of(&op->rows);
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        memcpy(view_row(&y, r), view_row(&x, rows[r]), (size_t)op->x.cols * sizeof(float));
    }
}

/* ---- recurrence ------------------------------------------------------------------------------ */

V_INLINE v16 ssru_16(v16 x, v16 gate, v16 before) {
    const v16 one = v_set1(1.0f);
    const v16 e = v_exp(v_min(v_sub(v_zero(), gate), v_set1(88.0f)));
    const v16 f = v_div(one, v_add(one, e));
    return v_fma(f, before, v_mul(v_sub(one, f), x));
}

static void op_ssru(const struct bth_cpu_turn *t) {
    const struct berth_op_ssru *op = &t->op->u.ssru;
    const struct view x = view_of(&op->x), gate = view_of(&op->gate), y = view_of(&op->y);
    const struct view residual = view_of(&op->residual);
    const int32_t *from = ints_of(&op->from), *to = ints_of(&op->to);
    float *state = (float *)op->state->host + op->offset;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const float *before = from[r] < 0 ? NULL : state + from[r] * op->stride;
        float *after = state + to[r] * op->stride;
        for (int64_t c = 0; c < op->y.cols; c += 16) {
            const int n = op->y.cols - c < 16 ? (int)(op->y.cols - c) : 16;
            const v16 now =
                ssru_16(v_load_n(view_row(&x, r) + c, n), v_load_n(view_row(&gate, r) + c, n),
                        before ? v_load_n(before + c, n) : v_zero());
            v_store_n(after + c, now, n);
            v_store_n(view_row(&y, r) + c,
                      v_add(v_max(now, v_zero()), v_load_n(view_row(&residual, r) + c, n)), n);
        }
    }
}

/* ---- keys and values --------------------------------------------------------------------------*/

static void op_kv_store(const struct bth_cpu_turn *t) {
    const struct berth_op_kv_store *op = &t->op->u.kv_store;
    const struct berth_kv *kv = &op->kv;
    const struct view x = view_of(&op->x);
    const int32_t *table = ints_of(&op->table), *pos = ints_of(&op->pos);
    const int64_t d = kv->heads * kv->head_dim;
    float *base = kv->buffer->host;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const int64_t page = table[r * op->table.row_stride + pos[r] / kv->page_rows];
        const float *from = view_row(&x, r);
        for (int64_t h = 0; h < kv->heads; h++) {
            const int64_t in_page = (h * kv->page_rows + pos[r] % kv->page_rows) * kv->head_dim;
            float *to = base + page * kv->page_stride + in_page;
            const size_t bytes = (size_t)kv->head_dim * sizeof(float);
            memcpy(to + kv->key_offset, from + h * kv->head_dim, bytes);
            memcpy(to + kv->value_offset, from + d + h * kv->head_dim, bytes);
        }
    }
}

static void op_kv_copy(const struct bth_cpu_turn *t) {
    const struct berth_op_kv_copy *op = &t->op->u.kv_copy;
    const int32_t *from = ints_of(&op->from), *to = ints_of(&op->to);
    float *base = op->kv.buffer->host;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t i = first; i < end; i++) {
        memcpy(base + to[i] * op->kv.page_stride, base + from[i] * op->kv.page_stride,
               (size_t)op->kv.page_stride * sizeof(float));
    }
}

#endif

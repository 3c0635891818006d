/*
 * compute/cpu/select_kernels.h - products with chosen rows of a matrix (struct berth_op_select).
 *
 * The rows lie anywhere in megabytes, so what comes next is asked for before it is needed, and
 * sixteen of them are summed together.
 */
#ifndef BTH_SELECT_KERNELS_H
#define BTH_SELECT_KERNELS_H

#include "eights_kernels.h"

/* n <= 16 columns of y for the chosen ids. */
static void select_eights(const struct berth_op_select *op, const struct eights_rows *q,
                          const float *bias, const int32_t *ids, int n, float *y) {
    const int8_t *bytes = (const int8_t *)op->w.buffer->host + op->w.offset;
    const float *unit = view_of(&op->eights.unit).base;
    const bool own = !(op->eights.alpha > 0);
    const int8_t *w[16];
    int32_t sum[16] = {0}, all[16] = {0};
    float scale[16] = {0}, plus[16] = {0};
    for (int i = 0; i < 16; i++) {
        w[i] = bytes + ids[i < n ? i : n - 1] * op->w.row_stride;
    }
    dot_sums(q->bytes, w, op->x.cols, n, sum, own ? all : NULL);
    for (int i = 0; i < n; i++) {
        scale[i] = own ? row_unit(unit[ids[i]], q->alpha[0], own) : unit[ids[i]];
        plus[i] = bias ? bias[ids[i]] : 0;
    }
    for (int i = 0; i < 16; i++) {
        const float product = (float)(sum[i] - 127 * all[i]) * scale[i];
        scale[i] = bias ? product + plus[i] : product;
    }
    memcpy(y, scale, (size_t)n * sizeof(*y));
}

/* What select_eights will read. */
static void select_expect(const struct berth_op_select *op, const int32_t *ids, int64_t n) {
    const int8_t *bytes = (const int8_t *)op->w.buffer->host + op->w.offset;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < op->x.cols; c += 64) {
            __builtin_prefetch(bytes + ids[i] * op->w.row_stride + c);
        }
    }
}

static float select_float(const float *x, const float *w, int64_t k) {
    v16 sum = v_zero();
    int64_t c = 0;
    for (; c + 16 <= k; c += 16) {
        sum = v_fma(v_load(x + c), v_load(w + c), sum);
    }
    if (c < k) {
        sum = v_fma(v_load_n(x + c, (int)(k - c)), v_load_n(w + c, (int)(k - c)), sum);
    }
    return v_sum(sum);
}

static void op_select(const struct bth_cpu_turn *t) {
    const struct berth_op_select *op = &t->op->u.select;
    const struct view x = view_of(&op->x), y = view_of(&op->y);
    const float *bias = view_of(&op->bias).base;
    const struct eights_rows q = eights_scratch(t->own, 1, op->x.cols);
    const bool eights = op->w.dtype == BERTH_I8;
    const float *w = (const float *)op->w.buffer->host + op->w.offset;
    const struct row_share share = row_share_of(t);
    for (int64_t r = share.first; r < share.end; r++) {
        const int32_t *ids = ints_of(&op->ids) + ints_of(&op->list)[r] * op->ids.row_stride;
        const float *from = view_row(&x, r);
        float *to = view_row(&y, r);
        int64_t first, end;
        share_of(ints_of(&op->count)[r], share.part, share.parts, &first, &end);
        if (eights && first < end) {
            quantise_row(&q, 0, from, op->x.cols, op->eights.alpha);
        }
        for (int64_t i = first; eights && i < end; i += 16) {
            const int64_t next = i + 16 < end ? i + 16 : end;
            select_expect(op, ids + next, end - next < 16 ? end - next : 16);
            select_eights(op, &q, bias, ids + i, (int)(next - i), to + i);
        }
        for (int64_t i = first; !eights && i < end; i++) {
            const float v = select_float(from, w + ids[i] * op->w.row_stride, op->x.cols);
            to[i] = bias ? v + bias[ids[i]] : v;
        }
    }
}

#endif

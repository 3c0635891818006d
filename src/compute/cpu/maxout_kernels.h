/*
 * compute/cpu/maxout_kernels.h - embed_sum, maxout and gather_max: rows picked, added up, and the
 * largest of several columns. Rows are split over the team.
 */
#ifndef BTH_MAXOUT_KERNELS_H
#define BTH_MAXOUT_KERNELS_H

#include "row_kernels.h"

/* Columns of a vector at c of n. */
V_INLINE int lanes_at(int64_t c, int64_t n) {
    return n - c < 16 ? (int)(n - c) : 16;
}

static void op_embed_sum(const struct bth_cpu_turn *t) {
    const struct berth_op_embed_sum *op = &t->op->u.embed_sum;
    const struct view y = view_of(&op->y), table = view_of(&op->table);
    const int64_t d = op->table.cols, parts = op->y.cols / d;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const int32_t *ids = ints_of(&op->ids) + r * op->ids.row_stride;
        if (r + 1 < end) { /* the rows lie anywhere in the table */
            for (int64_t i = 0; i < parts * op->terms; i++) {
                __builtin_prefetch(view_row(&table, ids[op->ids.row_stride + i]));
            }
        }
        for (int64_t p = 0; p < parts; p++, ids += op->terms) {
            float *to = view_row(&y, r) + p * d;
            for (int64_t c = 0; c < d; c += 16) {
                const int n = lanes_at(c, d);
                v16 sum = v_zero();
                for (int64_t i = 0; i < op->terms; i++) {
                    sum = v_add(sum, v_load_n(view_row(&table, ids[i]) + c, n));
                }
                v_store_n(to + c, sum, n);
            }
        }
    }
}

V_INLINE v16 largest_piece(const float *x, int64_t pieces, int64_t n, int64_t c, int lanes) {
    v16 best = v_load_n(x + c, lanes);
    for (int64_t p = 1; p < pieces; p++) {
        best = v_max(best, v_load_n(x + p * n + c, lanes));
    }
    return best;
}

static void op_maxout(const struct bth_cpu_turn *t) {
    const struct berth_op_maxout *op = &t->op->u.maxout;
    const struct view x = view_of(&op->x), y = view_of(&op->y), residual = view_of(&op->residual);
    const float *gamma = view_of(&op->gamma).base, *beta = view_of(&op->beta).base;
    const int64_t d = op->y.cols;
    float *best = t->own; /* the residual may lie where the result goes */
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const float *from = view_row(&x, r);
        for (int64_t c = 0; c < d; c += 16) {
            const int n = lanes_at(c, d);
            v_store_n(best + c, largest_piece(from, op->pieces, d, c, n), n);
        }
        v16 m = v_zero(), scale = v_zero();
        if (gamma) {
            const float mean = row_sum(best, d, 0, 1) / (float)d;
            m = v_set1(mean);
            scale = v_set1(1.0f / sqrtf(row_sum(best, d, mean, 2) / (float)d + op->eps));
        }
        float *to = view_row(&y, r);
        for (int64_t c = 0; c < d; c += 16) {
            const int n = lanes_at(c, d);
            v16 v = v_load_n(best + c, n);
            if (gamma) {
                v = v_fma(v_mul(v_sub(v, m), scale), v_load_n(gamma + c, n), v_load_n(beta + c, n));
            }
            if (residual.base) {
                v = v_add(v, v_load_n(view_row(&residual, r) + c, n));
            }
            v_store_n(to + c, v, n);
        }
    }
}

static void op_gather_max(const struct bth_cpu_turn *t) {
    const struct berth_op_gather_max *op = &t->op->u.gather_max;
    const struct view x = view_of(&op->x), y = view_of(&op->y);
    const float *bias = view_of(&op->bias).base;
    const int64_t n = op->y.cols, width = op->pieces * n;
    int64_t first, end;
    share_of(t->rows, t->member, t->n_members, &first, &end);
    for (int64_t r = first; r < end; r++) {
        const int32_t *ids = ints_of(&op->ids) + r * op->ids.row_stride;
        float *to = view_row(&y, r);
        for (int64_t c = 0; c < n; c += 16) {
            const int lanes = lanes_at(c, n);
            v16 best = v_zero();
            for (int64_t p = 0; p < op->pieces; p++) {
                const int64_t at = p * n + c;
                v16 sum = v_zero();
                for (int64_t i = 0; i < op->ids.cols; i++) {
                    sum = v_add(sum, v_load_n(view_row(&x, ids[i]) + i * width + at, lanes));
                }
                sum = v_add(sum, v_load_n(bias + at, lanes));
                best = p == 0 ? sum : v_max(best, sum);
            }
            v_store_n(to + c, best, lanes);
        }
    }
}

#endif

/*
 * compute/cpu/attend_kernels.h - attention of a whole window over itself.
 *
 * Queries lie in the lanes. For 32 queries of one head:
 *
 *     Q [dh][32]                 packed as a panel
 *     S [T][32] = K Q            K packed as activations, once per head
 *     P = exp(S - max over T)    lane by lane: no sum across lanes
 *     O [dh][32] = V^T P         V as it lies: row t is dh activations side by side
 *
 * so both products are micro_panel, and what a query gets cannot depend on its neighbours.
 */
#ifndef BTH_ATTEND_KERNELS_H
#define BTH_ATTEND_KERNELS_H

#include "math_kernels.h"
#include "micro_kernels.h"
#include "view.h"
#include <math.h>
#include <string.h>

/* ---- full ----------------------------------------------------------------------------------- */

struct full_scratch {
    float *keys;    /* [T / V_ROWS][dh][V_ROWS], the last block narrower; + 16 */
    float *queries; /* [dh][32] */
    float *scores;  /* [T][32] */
    float *out;     /* [dh][32] */
};

static struct full_scratch full_scratch_at(const struct berth_op_attend_full *op, void *own) {
    struct full_scratch s = {.keys = own};
    s.queries = s.keys + (op->t * op->head_dim + 31) / 16 * 16;
    s.scores = s.queries + op->head_dim * BTH_QUERIES;
    s.out = s.scores + op->t * BTH_QUERIES;
    return s;
}

static void pack_keys(const struct berth_op_attend_full *op, const float *k, float *to) {
    for (int64_t t = 0; t < op->t; t += V_ROWS) {
        const int R = op->t - t < V_ROWS ? (int)(op->t - t) : V_ROWS;
        const float *from[V_ROWS];
        for (int r = 0; r < R; r++) {
            from[r] = k + (t + r) * op->k.row_stride;
        }
        pack_rows(R, R, op->head_dim, from, to + t * op->head_dim);
    }
}

/* Queries [first, first + n) of group g as a panel; lanes beyond n are 0. */
static void pack_queries(const struct berth_op_attend_full *op, const float *q, int64_t n,
                         float *to) {
    for (int half = 0; half < 2; half++) {
        const float *from[16];
        for (int r = 0; r < 16; r++) {
            from[r] = half * 16 + r < n ? q + (half * 16 + r) * op->q.row_stride : NULL;
        }
        pack_rows(16, BTH_QUERIES, op->head_dim, from, to + half * 16);
    }
}

/* scores [T][32] = keys times queries; max[2]: the largest per lane. */
static void full_scores(const struct berth_op_attend_full *op, const struct full_scratch *s,
                        v16 max[2]) {
    max[0] = max[1] = v_set1(-INFINITY);
    for (int64_t t = 0; t < op->t; t += V_ROWS) {
        const int R = op->t - t < V_ROWS ? (int)(op->t - t) : V_ROWS;
        float *tile = s->scores + t * BTH_QUERIES;
        micro_panel(R, op->head_dim, s->keys + t * op->head_dim, R, s->queries, tile, BTH_QUERIES);
        for (int r = 0; r < R; r++) {
            max[0] = v_max(max[0], v_load(tile + r * BTH_QUERIES));
            max[1] = v_max(max[1], v_load(tile + r * BTH_QUERIES + 16));
        }
    }
}

/* scores = exp(scores - max); sum[2]: per lane, in blocks of 64 positions so that the error of the
 * sum stays near one rounding. */
static void full_softmax(int64_t T, float *scores, const v16 max[2], v16 sum[2]) {
    enum { BLOCK = 64 };
    sum[0] = sum[1] = v_zero();
    for (int64_t t0 = 0; t0 < T; t0 += BLOCK) {
        const int64_t end = t0 + BLOCK < T ? t0 + BLOCK : T;
        v16 part0 = v_zero(), part1 = v_zero();
        for (int64_t t = t0; t < end; t++) {
            float *p = scores + t * BTH_QUERIES;
            const v16 e0 = v_exp(v_sub(v_load(p), max[0]));
            const v16 e1 = v_exp(v_sub(v_load(p + 16), max[1]));
            v_store(p, e0);
            v_store(p + 16, e1);
            part0 = v_add(part0, e0);
            part1 = v_add(part1, e1);
        }
        sum[0] = v_add(sum[0], part0);
        sum[1] = v_add(sum[1], part1);
    }
}

/* out [dh][32] = values^T times scores, divided by the sums. */
static void full_values(const struct berth_op_attend_full *op, const struct full_scratch *s,
                        const float *v, const v16 sum[2]) {
    const int64_t blocks = (op->head_dim + V_ROWS - 1) / V_ROWS;
    const int64_t width = (op->head_dim + blocks - 1) / blocks;
    for (int64_t c = 0; c < op->head_dim; c += width) {
        const int R = (int)(op->head_dim - c < width ? op->head_dim - c : width);
        micro_panel(R, op->t, v + c, op->v.row_stride, s->scores, s->out + c * BTH_QUERIES,
                    BTH_QUERIES);
    }
    const v16 one = v_set1(1.0f);
    const v16 scale[2] = {v_div(one, sum[0]), v_div(one, sum[1])};
    for (int64_t c = 0; c < op->head_dim * 2; c++) {
        float *p = s->out + c * 16;
        v_store(p, v_mul(v_load(p), scale[c % 2]));
    }
}

static void op_attend_full(const struct bth_cpu_turn *t) {
    const struct berth_op_attend_full *op = &t->op->u.attend_full;
    const struct full_scratch s = full_scratch_at(op, t->own);
    const struct view q = view_of(&op->q), k = view_of(&op->k), v = view_of(&op->v);
    const struct view y = view_of(&op->y);
    const int64_t blocks = (op->nq + BTH_QUERIES - 1) / BTH_QUERIES;
    int64_t first, end, packed = -1;
    share_of(t->rows * op->heads * blocks, t->member, t->n_members, &first, &end);
    for (int64_t i = first; i < end; i++) {
        const int64_t head = i / blocks, g = head / op->heads, h = head % op->heads;
        const int64_t i0 = i % blocks * BTH_QUERIES, col = h * op->head_dim;
        const int64_t n = op->nq - i0 < BTH_QUERIES ? op->nq - i0 : BTH_QUERIES;
        if (packed != head) {
            pack_keys(op, view_row(&k, g * op->t) + view_col(&k, col), s.keys);
            packed = head;
        }
        pack_queries(op, view_row(&q, g * op->t + op->q0 + i0) + view_col(&q, col), n, s.queries);
        v16 max[2], sum[2];
        full_scores(op, &s, max);
        full_softmax(op->t, s.scores, max, sum);
        full_values(op, &s, view_row(&v, g * op->t) + view_col(&v, col), sum);
        for (int64_t r = 0; r < n; r++) {
            float *to = view_row(&y, g * op->nq + i0 + r);
            for (int64_t c = 0; c < op->head_dim; c++) {
                to[view_col(&y, col + c)] = s.out[c * BTH_QUERIES + r];
            }
        }
    }
}

#endif

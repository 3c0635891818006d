/*
 * compute/cpu/positions_kernels.h - attention over positions that lie one behind the other: scores
 * of keys, their softmax, weighted values.
 */
#ifndef BTH_POSITIONS_KERNELS_H
#define BTH_POSITIONS_KERNELS_H

#include "kernels.h"
#include "math_kernels.h"
#include <math.h>

enum {
    AHEAD = 1024,     /* floats that are asked for before they are needed */
    NEAR = 64,        /* positions for which nothing is asked for */
    TOGETHER_ROWS = 4 /* rows that share the reading of values */
};

/* Lane sums of q . k: lane l holds columns l, l + 16 ... Of few rows (`ahead` false) nothing is
 * asked for: they are near, and what is to be done for them fits the processor's window. */
V_INLINE v16 dot_lanes(const float *q, const float *k, int64_t dh, const bool ahead) {
    v16 sum = v_zero();
    int64_t c = 0;
    for (; c + 16 <= dh; c += 16) {
        if (ahead) {
            __builtin_prefetch(k + c + AHEAD);
        }
        sum = v_fma(v_load(q + c), v_load(k + c), sum);
    }
    if (c < dh) {
        const int n = (int)(dh - c);
        sum = v_fma(v_load_n(q + c, n), v_load_n(k + c, n), sum);
    }
    return sum;
}

/* s[j] = q . k[j] for sixteen rows, n of them real; summed together in the tree of v_sum. */
V_INLINE v16 dot_sixteen(const float *q, const float *k, int64_t n, int64_t dh, const bool ahead) {
    v16 v[16];
    V_UNROLL
    for (int j = 0; j < 16; j++) {
        v[j] = dot_lanes(q, k + (j < n ? j : n - 1) * dh, dh, ahead);
    }
    return v_sums(v);
}

/* s[i] = q . k[i] for n rows. */
V_INLINE void dot_rows(const float *q, const float *k, int64_t n, int64_t dh, float *s) {
    enum { WORTH = 4 }; /* rows for which sixteen at once are faster than one by one */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v_store(s + i, dot_sixteen(q, k + i * dh, 16, dh, n > NEAR));
    }
    if (n - i >= WORTH) {
        v_store_n(s + i, dot_sixteen(q, k + i * dh, n - i, dh, n > NEAR), (int)(n - i));
        return;
    }
    for (; i < n; i++) {
        s[i] = v_sum(dot_lanes(q, k + i * dh, dh, n > NEAR));
    }
}

/* For each of R rows: out[r][c] += p[i] * v[i][c] for n positions in order, Z vectors of columns at
 * a time; p of a row lies BTH_CHUNK behind that of the row before. */
V_INLINE void add_rows(const int R, const int Z, const bool ahead, const float *p, const float *v,
                       int64_t n, int64_t dh, float *const *out, int64_t c) {
    v16 sum[TOGETHER_ROWS][4];
    V_UNROLL
    for (int r = 0; r < R; r++) {
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            sum[r][z] = v_load(out[r] + c + z * 16);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        v16 at[4];
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            const float *from = v + i * dh + c + z * 16;
            if (ahead) {
                __builtin_prefetch(from + AHEAD);
            }
            at[z] = v_load(from);
        }
        V_UNROLL
        for (int r = 0; r < R; r++) {
            const v16 w = v_set1(p[r * BTH_CHUNK + i]);
            V_UNROLL
            for (int z = 0; z < Z; z++) {
                sum[r][z] = v_fma(w, at[z], sum[r][z]);
            }
        }
    }
    V_UNROLL
    for (int r = 0; r < R; r++) {
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            v_store(out[r] + c + z * 16, sum[r][z]);
        }
    }
}

static void add_tail(const float *p, const float *v, int64_t n, int64_t dh, int cols, float *out) {
    v16 sum = v_load(out);
    for (int64_t i = 0; i < n; i++) {
        sum = v_fma(v_set1(p[i]), v_load_n(v + i * dh, cols), sum);
    }
    v_store(out, sum);
}

/* e[i] = exp(e[i] - max), their max and sum. Lanes beyond n are written too. */
static void chunk_softmax(float *e, int64_t n, float *out_max, float *out_sum) {
    v16 max = v_set1(-INFINITY), sum = v_zero();
    if (n % 16) {
        float *last = e + n / 16 * 16;
        v_store(last, v_if_gt(v_set1((float)(n % 16)), v_load(lane_number), v_load(last),
                              v_set1(-INFINITY)));
    }
    for (int64_t i = 0; i < n; i += 16) {
        max = v_max(max, v_load(e + i));
    }
    *out_max = v_max_lane(max);
    const v16 m = v_set1(*out_max);
    for (int64_t i = 0; i < n; i += 16) {
        const v16 x = v_exp(v_sub(v_load(e + i), m));
        v_store(e + i, x);
        sum = v_add(sum, x);
    }
    *out_sum = v_sum(sum);
}

#endif

/*
 * compute/cpu/micro_kernels.h - the inner loop of every product: R rows times Z vectors of columns.
 *
 * out[r][c] = sum over k = 0 .. K-1 of a[k][r] * w[k][c], each one fma chain from 0. How many rows
 * and columns run together changes only which registers hold the chains, never a bit.
 *
 *   a    [K][lda] f32, rows side by side
 *   w    panels of 32 columns [K][32], f32, f16 or bf16; vector z lies at panel z / 2, half z % 2
 *   out  [R][ldo] f32
 */
#ifndef BTH_MICRO_KERNELS_H
#define BTH_MICRO_KERNELS_H

#include "kernels.h"
#include "v16.h"

/* V_Z(R): vectors of columns for R rows, so that about V_ROWS * V_COLS chains run at once. */
#if V_ROWS == 14
#define V_Z(R) ((R) <= 2 ? 8 : (R) <= 4 ? 4 : 2)
#elif V_ROWS == 6
#define V_Z(R) ((R) <= 1 ? 4 : (R) <= 3 ? 2 : 1)
#else
#define V_Z(R) ((R) <= 2 ? 2 : 1)
#endif

/* DO(R) for each possible R. */
#if V_ROWS == 14
#define V_EACH_R(DO)                                                                               \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14)
#elif V_ROWS == 6
#define V_EACH_R(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6)
#else
#define V_EACH_R(DO) DO(1) DO(2) DO(3) DO(4)
#endif

V_INLINE v16 v_weight(enum berth_dtype dtype, const char *p) {
    switch (dtype) {
    case BERTH_F16:
        return v_load_f16((const uint16_t *)(const void *)p);
    case BERTH_BF16:
        return v_load_bf16((const uint16_t *)(const void *)p);
    default:
        return v_load((const float *)(const void *)p);
    }
}

/* R, Z, dtype and ahead (bytes to prefetch, 0: none) are constants where this is inlined. */
V_INLINE void micro(const int R, const int Z, const enum berth_dtype dtype, const int ahead,
                    int64_t K, const float *a, int64_t lda, const char *w, int64_t panel_bytes,
                    float *out, int64_t ldo) {
    enum { MAX_Z = 8 };
    v16 sum[V_ROWS][MAX_Z];
    const int es = dtype == BERTH_F32 ? 4 : 2;
    V_UNROLL
    for (int r = 0; r < R; r++) {
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            sum[r][z] = v_zero();
        }
    }
    for (int64_t k = 0; k < K; k++) {
        v16 b[MAX_Z];
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            const char *p = w + z / 2 * panel_bytes + z % 2 * 16 * es;
            if (ahead && (z % 2 == 0 || es == 4)) {
                __builtin_prefetch(p + ahead);
            }
            b[z] = v_weight(dtype, p);
        }
        V_UNROLL
        for (int r = 0; r < R; r++) {
            const v16 x = v_set1(a[r]);
            V_UNROLL
            for (int z = 0; z < Z; z++) {
                sum[r][z] = v_fma(x, b[z], sum[r][z]);
            }
        }
        a += lda;
        w += BTH_PANEL * es;
    }
    V_UNROLL
    for (int r = 0; r < R; r++) {
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            v_store(out + r * ldo + z * 16, sum[r][z]);
        }
    }
}

/* One f32 panel that lies in a near cache: out[R][32] at pitch ldo. */
static void micro_panel(int R, int64_t K, const float *a, int64_t lda, const float *w, float *out,
                        int64_t ldo) {
    for (int z = 0; z < 2; z += V_COLS) {
        const char *p = (const char *)(w + z * 16);
        switch (R) {
#define V_CASE(R_)                                                                                 \
    case R_:                                                                                       \
        micro(R_, V_COLS, BERTH_F32, 0, K, a, lda, p, 0, out + z * 16, ldo);                       \
        break;
            V_EACH_R(V_CASE)
#undef V_CASE
        }
    }
}

/* to[k * pitch + r] = from[r][k] for r < R <= 16, k < n: rows side by side. from[r] NULL: zeros.
 * Writes 16 floats at each k, so narrower blocks are packed in ascending order, with 15 floats of
 * room behind the last. */
static void pack_rows(int R, int64_t pitch, int64_t n, const float *const *from, float *to) {
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        v16 v[16];
        V_UNROLL
        for (int r = 0; r < 16; r++) {
            v[r] = v_zero();
            if (r < R && from[r]) {
                __builtin_prefetch(from[r] + k + 64);
                v[r] = v_load(from[r] + k);
            }
        }
        v_transpose(v);
        V_UNROLL
        for (int i = 0; i < 16; i++) {
            v_store(to + (k + i) * pitch, v[i]);
        }
    }
    for (; k < n; k++) {
        for (int r = 0; r < R; r++) {
            to[k * pitch + r] = from[r] ? from[r][k] : 0.0f;
        }
    }
}

#endif

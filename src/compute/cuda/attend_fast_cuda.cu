/*
 * Full attention of a fast device: products in f16 on the tensor cores, softmax and sums in f32, in
 * one pass over the keys with a running maximum (Dao et al., FlashAttention, 2022). A query's
 * result depends on its own keys alone.
 */
#include "cuda_view.h"
#include "mma.h"

#include <math_constants.h>

enum { DH = ATTEND_MAX_HEAD, BQ = 64, BKEY = 64, THREADS = 128, STRIDE = DH + 8, TILES = 8 };

/* Element (row, column) of head `head`; zero outside. */
struct head_rows {
    view x;
    int64_t base, end, head;
    int dh;

    __device__ float at(int64_t r, int c) const {
        return r < end && c < dh ? x.f32()[x.row(base + r) + x.col(head * dh + c)] : 0.0f;
    }
    __device__ uint32_t two(int64_t r, int c) const {
        return narrow2(at(r, c), at(r, c + 1), __half());
    }
    /* Where row r begins, for heads whose rows can be read as a whole (see quick). */
    __device__ const float4 *start_of(int64_t r) const {
        return (const float4 *)(x.f32() + x.row(base + r) + x.col(head * dh));
    }
};

/* Keys as they are [key][column], values turned over [column][key]: so both are B of a product. */
static __device__ void load_keys(__half *ks, __half *vt, const head_rows &k, const head_rows &v,
                                 int64_t first) {
    for (int i = threadIdx.x; i < BKEY * DH / 2; i += THREADS) {
        const int key = i / (DH / 2), c = i % (DH / 2) * 2;
        *(uint32_t *)(ks + key * STRIDE + c) = k.two(first + key, c);
        const int pair = i / DH * 2, column = i % DH;
        *(uint32_t *)(vt + column * STRIDE + pair) =
            narrow2(v.at(first + pair, column), v.at(first + pair + 1, column), __half());
    }
}

/* The same by whole rows: a thread takes 32 columns of a key, and of two values 16. */
static __device__ void load_keys_quick(__half *ks, __half *vt, const head_rows &k,
                                       const head_rows &v, int64_t first) {
    const float4 none = make_float4(0, 0, 0, 0);
    const int key = threadIdx.x / 2, part = threadIdx.x % 2 * 8; /* in fours of columns */
    const float4 *from = k.start_of(min(first + key, k.end - 1)) + part;
    const bool there = first + key < k.end;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float4 f = there ? from[i] : none;
        *(uint2 *)(ks + key * STRIDE + (part + i) * 4) =
            make_uint2(narrow2(f.x, f.y, __half()), narrow2(f.z, f.w, __half()));
    }
    const int pair = threadIdx.x % 32 * 2, quarter = threadIdx.x / 32 * 4;
    const float4 *one = v.start_of(min(first + pair, v.end - 1)) + quarter;
    const float4 *two = v.start_of(min(first + pair + 1, v.end - 1)) + quarter;
    const bool first_there = first + pair < v.end, second_there = first + pair + 1 < v.end;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float4 a = first_there ? one[i] : none, b = second_there ? two[i] : none;
        __half *to = vt + (quarter + i) * 4 * STRIDE + pair;
        *(uint32_t *)to = narrow2(a.x, b.x, __half());
        *(uint32_t *)(to + STRIDE) = narrow2(a.y, b.y, __half());
        *(uint32_t *)(to + 2 * STRIDE) = narrow2(a.z, b.z, __half());
        *(uint32_t *)(to + 3 * STRIDE) = narrow2(a.w, b.w, __half());
    }
}

/* Whether each row of a head is 64 columns in one place, 16-byte aligned. */
static bool quick(const view &x, int64_t dh) {
    return dh == DH && (uintptr_t)x.data % 16 == 0 && x.row_stride % 4 == 0 &&
           x.group_stride % 4 == 0 && x.head_stride % 4 == 0 &&
           (x.head_cols == 0 || x.head_cols == DH);
}

/* c[j] += a times eight columns of B at a time; b: [64 columns][STRIDE], 64 deep. */
static __device__ void multiply(float c[TILES][4], const uint32_t a[4][4], const __half *b,
                                int lane) {
#pragma unroll
    for (int j = 0; j < TILES; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t f[4];
            load_tiles(f, b + (j * 8 + lane % 8) * STRIDE + half * 32 + lane / 8 * 8);
            mma(c[j], a[half * 2], f, __half());
            mma(c[j], a[half * 2 + 1], f + 2, __half());
        }
    }
}

/* The running softmax of a warp's 16 rows; a lane has rows lane / 4 and lane / 4 + 8. */
struct rows16 {
    float max[2], sum[2], o[TILES][4];
};

/* Scores of 64 keys, of which `left` are there, become weights as A of the next product. */
static __device__ void soften(rows16 &r, float s[TILES][4], int64_t left, uint32_t p[4][4],
                              int lane) {
    float most[2] = {r.max[0], r.max[1]}, sum[2] = {};
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        float &v = s[i / 4][i % 4];
        v = i / 4 * 8 + lane % 4 * 2 + i % 2 < left ? v : -CUDART_INF_F;
        most[i % 4 / 2] = fmaxf(most[i % 4 / 2], v);
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        most[e] = fmaxf(most[e], __shfl_xor_sync(~0u, most[e], 1));
        most[e] = fmaxf(most[e], __shfl_xor_sync(~0u, most[e], 2));
    }
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        s[i / 4][i % 4] = __expf(s[i / 4][i % 4] - most[i % 4 / 2]);
        sum[i % 4 / 2] += s[i / 4][i % 4];
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        const float scale = __expf(r.max[e] - most[e]);
        r.sum[e] = r.sum[e] * scale + sum[e];
        r.max[e] = most[e];
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            r.o[j][e * 2] *= scale;
            r.o[j][e * 2 + 1] *= scale;
        }
    }
#pragma unroll
    for (int i = 0; i < 16; i++) { /* C of two tiles of keys is A of 16 deep */
        const float *v = &s[i / 4 * 2 + i % 4 / 2][i % 2 * 2];
        p[i / 4][i % 4] = narrow2(v[0], v[1], __half());
    }
}

/* Grid (query tiles, heads, groups), four warps of 16 queries. QUICK: keys and values are quick. */
template <bool QUICK>
static __global__ void __launch_bounds__(THREADS)
    attend_fast(view q, view k, view v, view y, int dh, int64_t t, int64_t q0, int64_t nq,
                bound live) {
    __shared__ __align__(16) __half ks[BKEY * STRIDE], vt[DH * STRIDE];
    after_previous();
    const int64_t g = blockIdx.z, h = blockIdx.y;
    if (live.dead(g)) {
        return;
    }
    const int lane = threadIdx.x % 32;
    const int64_t row = (int64_t)blockIdx.x * BQ + threadIdx.x / 32 * 16 + lane / 4;
    const head_rows queries = {q, g * t + q0, nq, h, dh}, keys = {k, g * t, t, h, dh},
                    values = {v, g * t, t, h, dh};
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
        a[i / 4][i % 4] = queries.two(row + i % 2 * 8, i / 4 * 16 + lane % 4 * 2 + i % 4 / 2 * 8);
    }
    rows16 r = {{-CUDART_INF_F, -CUDART_INF_F}, {}, {}};
    for (int64_t k0 = 0; k0 < t; k0 += BKEY) {
        float s[TILES][4] = {};
        uint32_t p[4][4];
        __syncthreads();
        if (QUICK) {
            load_keys_quick(ks, vt, keys, values, k0);
        } else {
            load_keys(ks, vt, keys, values, k0);
        }
        __syncthreads();
        multiply(s, a, ks, lane);
        soften(r, s, t - k0, p, lane);
        multiply(r.o, p, vt, lane);
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 1);
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 2);
        for (int i = 0; i < TILES * 2 && row + e * 8 < nq; i++) {
            const int c = i / 2 * 8 + lane % 4 * 2 + i % 2;
            if (c < dh) {
                y.f32()[y.row(g * nq + row + e * 8) + y.col(h * dh + c)] =
                    r.o[i / 2][e * 2 + i % 2] / r.sum[e];
            }
        }
    }
}

void launch_attend_fast(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live) {
    dim3 grid((unsigned)((op->nq + BQ - 1) / BQ), (unsigned)op->heads, (unsigned)op->groups);
    const view k = make_view(&op->k), v = make_view(&op->v);
    auto kernel =
        quick(k, op->head_dim) && quick(v, op->head_dim) ? attend_fast<true> : attend_fast<false>;
    start(s, grid, THREADS, 0, kernel, make_view(&op->q), k, v, make_view(&op->y),
          (int)op->head_dim, op->t, op->q0, op->nq, live);
}

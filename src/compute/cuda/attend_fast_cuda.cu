/*
 * Full attention of a fast device: products in f16 on the tensor cores, softmax and sums in f32, in
 * one pass over the keys with a running maximum (Dao et al., FlashAttention, 2022). A query's
 * result depends on its own keys alone.
 */
#include "cuda_view.h"
#include "mma.h"

#include <math_constants.h>

enum { DH = ATTEND_MAX_HEAD, BQ = 128, BKEY = 64, THREADS = 256, TILES = 8 };
enum { TILE_BYTES = BKEY * TILE_ROW_BYTES };

/* Rows of one head; zero outside. */
struct head_rows {
    view x;
    int64_t base, end, head;
    int dh;
    bool quick; /* f16, 64 columns in one place, 16-byte aligned */

    __device__ float at(int64_t r, int c) const {
        return r < end && c < dh ? x.at(base + r, head * dh + c) : 0.0f;
    }
    __device__ const __half *start_of(int64_t r) const {
        return x.f16() + x.row(base + r) + x.col(head * dh);
    }
    __device__ uint32_t two(int64_t r, int c) const {
        if (quick) {
            return r < end ? *(const uint32_t *)(start_of(r) + c) : 0;
        }
        return narrow2(at(r, c), at(r, c + 1));
    }
    /* 64 rows from `first` on become a tile. */
    __device__ void fill(uint32_t tile, int64_t first) const {
        const int chunk = threadIdx.x % 8;
        for (int row = threadIdx.x / 8; row < BKEY; row += THREADS / 8) {
            const int64_t r = first + row;
            const uint32_t to = chunk_at(tile, row, chunk);
            if (quick) {
                copy_chunk(to, start_of(r < end ? r : 0) + chunk * 8, r < end);
            } else {
                float v[8];
                for (int i = 0; i < 8; i++) {
                    v[i] = at(r, chunk * 8 + i);
                }
                put_chunk(to, narrow8(v));
            }
        }
    }
};

static bool quick(const view &x, int64_t dh) {
    return x.dtype == BERTH_F16 && dh == DH && (uintptr_t)x.data % 16 == 0 &&
           x.row_stride % 8 == 0 && x.group_stride % 8 == 0 && x.head_stride % 8 == 0 &&
           (x.head_cols == 0 || x.head_cols == DH);
}

/* s[j] += a times keys j * 8 .. + 7. */
static __device__ void score(float s[TILES][4], const uint32_t a[4][4], uint32_t keys, int lane) {
#pragma unroll
    for (int j = 0; j < TILES; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t f[4];
            load_tiles(f, chunk_at(keys, j * 8 + lane % 8, half * 4 + lane / 8));
            mma(s[j], a[half * 2], f);
            mma(s[j], a[half * 2 + 1], f + 2);
        }
    }
}

/* o[j] += p times columns j * 8 .. + 7 of the values. */
static __device__ void gather(float o[TILES][4], const uint32_t p[4][4], uint32_t values,
                              int lane) {
#pragma unroll
    for (int k = 0; k < BKEY / 16; k++) {
#pragma unroll
        for (int j = 0; j < TILES; j += 2) { /* tiles k0 n0, k8 n0, k0 n8, k8 n8 */
            uint32_t f[4];
            load_turned(f, chunk_at(values, k * 16 + lane / 8 % 2 * 8 + lane % 8, j + lane / 16));
            mma(o[j], p[k], f);
            mma(o[j + 1], p[k], f + 2);
        }
    }
}

/* The running softmax of a warp's 16 rows; a lane has rows lane / 4 and lane / 4 + 8. */
struct rows16 {
    float max[2], sum[2], o[TILES][4];
};

static __device__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Keys from `left` on are none. */
static __device__ void mask(float s[TILES][4], int64_t left, int lane) {
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= left) {
            s[i / 4][i % 4] = -CUDART_INF_F;
        }
    }
}

/* Scores of 64 keys become weights as A of the next product. */
static __device__ void soften(rows16 &r, float s[TILES][4], uint32_t p[4][4]) {
    const float log2e = 1.44269504088896f;
    float most[2] = {r.max[0], r.max[1]}, sum[2] = {};
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        most[i % 4 / 2] = fmaxf(most[i % 4 / 2], s[i / 4][i % 4]);
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        most[e] = fmaxf(most[e], __shfl_xor_sync(~0u, most[e], 1));
        most[e] = fmaxf(most[e], __shfl_xor_sync(~0u, most[e], 2));
    }
    const float base[2] = {most[0] * log2e, most[1] * log2e};
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        float &v = s[i / 4][i % 4];
        v = power_of_two(fmaf(v, log2e, -base[i % 4 / 2]));
        sum[i % 4 / 2] += v;
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        const float scale = power_of_two(fmaf(r.max[e], log2e, -base[e]));
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
        const __half2 both = __floats2half2_rn(v[0], v[1]); /* at most 1 */
        p[i / 4][i % 4] = *(const uint32_t *)&both;
    }
}

/* Grid (query tiles, heads, groups), eight warps of 16 queries. While 64 keys are at work the next
 * ones are on their way. */
static __global__ void __launch_bounds__(THREADS)
    attend_fast(head_rows queries, head_rows keys, head_rows values, view y, int64_t t, int64_t q0,
                int64_t nq, bound live) {
    __shared__ __align__(1024) char memory[4 * TILE_BYTES];
    after_previous();
    const int64_t g = blockIdx.z, h = blockIdx.y;
    if (live.dead(g)) {
        return;
    }
    const uint32_t tiles = (uint32_t)__cvta_generic_to_shared(memory);
    const int lane = threadIdx.x % 32;
    const int64_t row = (int64_t)blockIdx.x * BQ + threadIdx.x / 32 * 16 + lane / 4;
    queries.base = g * t + q0;
    keys.base = values.base = g * t;
    queries.head = keys.head = values.head = h;
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
        a[i / 4][i % 4] = queries.two(row + i % 2 * 8, i / 4 * 16 + lane % 4 * 2 + i % 4 / 2 * 8);
    }
    rows16 r = {{-CUDART_INF_F, -CUDART_INF_F}, {}, {}};
    keys.fill(tiles, 0);
    values.fill(tiles + TILE_BYTES, 0);
    end_group();
    for (int64_t k0 = 0, now = 0; k0 < t; k0 += BKEY, now ^= 1) {
        const uint32_t here = tiles + (uint32_t)now * 2 * TILE_BYTES,
                       next = tiles + (uint32_t)(now ^ 1) * 2 * TILE_BYTES;
        float s[TILES][4] = {};
        uint32_t p[4][4];
        wait_groups<0>();
        __syncthreads(); /* these keys are there, and nobody reads those before any more */
        if (k0 + BKEY < t) {
            keys.fill(next, k0 + BKEY);
            values.fill(next + TILE_BYTES, k0 + BKEY);
        }
        end_group();
        score(s, a, here, lane);
        if (t - k0 < BKEY) {
            mask(s, t - k0, lane);
        }
        soften(r, s, p);
        gather(r.o, p, here + TILE_BYTES, lane);
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 1);
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 2);
        const int64_t to = row + e * 8 < nq ? y.row(g * nq + row + e * 8) : 0;
        for (int i = 0; i < TILES * 2 && row + e * 8 < nq; i++) {
            const int c = i / 2 * 8 + lane % 4 * 2 + i % 2;
            if (c < queries.dh) {
                y.put(to + y.col(h * queries.dh + c), r.o[i / 2][e * 2 + i % 2] / r.sum[e]);
            }
        }
    }
}

static head_rows rows_of(const struct berth_tensor *t, int64_t end, int64_t dh) {
    const view x = make_view(t);
    return {x, 0, end, 0, (int)dh, quick(x, dh)};
}

void launch_attend_fast(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live) {
    dim3 grid((unsigned)((op->nq + BQ - 1) / BQ), (unsigned)op->heads, (unsigned)op->groups);
    const int64_t dh = op->head_dim;
    start(s, grid, THREADS, 0, attend_fast, rows_of(&op->q, op->nq, dh), rows_of(&op->k, op->t, dh),
          rows_of(&op->v, op->t, dh), make_view(&op->y), op->t, op->q0, op->nq, live);
}

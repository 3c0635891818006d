/*
 * Full attention of a fast device: products in f16 on the tensor cores, softmax and sums in f32, in
 * one pass over the keys with a running maximum (Dao et al., FlashAttention, 2022). A query's
 * result depends on its own keys alone.
 *
 * A warp has 16 queries, and a lane of it rows lane / 4 and lane / 4 + 8, in the registers where
 * the products want them: so scores become weights, and weights the left side of the next product,
 * without leaving the lane.
 */
#include "cuda_view.h"
#include "mma.h"

#include <math_constants.h>

enum { DH = ATTEND_MAX_HEAD, BQ = 128, BKEY = 64, THREADS = 256, TILES = 8 };
enum { TILE_BYTES = BKEY * TILE_ROW_BYTES };

/* Rows [0, end) of one head of a group; zero outside. */
struct slow_rows {
    const view &x;
    int64_t base, head;
    int end, dh;

    __device__ slow_rows(const view &from, int64_t row, int64_t h, int rows, int columns)
        : x(from), base(row), head(h), end(rows), dh(columns) {
    }
    __device__ float at(int r, int c) const {
        return r < end && c < dh ? x.at(base + r, head * dh + c) : 0.0f;
    }
    __device__ uint32_t two(int r, int c) const {
        return narrow2(at(r, c), at(r, c + 1));
    }
    __device__ void eight(uint32_t to, int r, int c) const {
        float v[8];
        for (int i = 0; i < 8; i++) {
            v[i] = at(r, c + i);
        }
        put_chunk(to, narrow8(v));
    }
};

/* The same of f16 rows of 64 columns in one place, 16-byte aligned and evenly apart. */
struct quick_rows {
    const __half *first;
    int64_t stride;
    int end;

    __device__ quick_rows(const view &x, int64_t row, int64_t h, int rows, int)
        : first(x.f16() + x.row(row) + x.col(h * DH)), stride(x.row_stride), end(rows) {
    }
    __device__ uint32_t two(int r, int c) const {
        return r < end ? *(const uint32_t *)(first + r * stride + c) : 0;
    }
    __device__ void eight(uint32_t to, int r, int c) const {
        copy_chunk(to, first + (r < end ? r : 0) * stride + c, r < end);
    }
};

/* 64 rows from `from` on become a tile. */
template <class Rows> static __device__ void fill(uint32_t tile, const Rows &rows, int from) {
    const int chunk = threadIdx.x % 8;
#pragma unroll
    for (int i = 0; i < BKEY; i += THREADS / 8) {
        const int row = i + (int)threadIdx.x / 8;
        rows.eight(chunk_at(tile, row, chunk), from + row, chunk * 8);
    }
}

/* Keys and values of 64 positions on their way to their place in a ring of STAGES. */
enum { STAGES = 4, STAGE_BYTES = 2 * TILE_BYTES };
enum { SHARED = STAGES * STAGE_BYTES + 1024 }; /* tiles begin at multiples of 1024 */

static __device__ uint32_t stage_of(uint32_t ring, int tile) {
    return ring + (uint32_t)(tile % STAGES) * STAGE_BYTES;
}

template <class Rows>
static __device__ void fill_stage(uint32_t ring, int tile, const Rows &keys, const Rows &values) {
    if (tile * BKEY < keys.end) {
        const uint32_t stage = stage_of(ring, tile);
        fill(stage, keys, tile * BKEY);
        fill(stage + TILE_BYTES, values, tile * BKEY);
    }
    end_group();
}

/* ---- softmax ----------------------------------------------------------------------------------*/

/* The running softmax of a warp's 16 rows. */
struct rows16 {
    float max[2], sum[2], o[TILES][4];
};

static __device__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Keys from `left` on are none. */
static __device__ void mask(float s[TILES][4], int left, int lane) {
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= left) {
            s[i / 4][i % 4] = -CUDART_INF_F;
        }
    }
}

/* Scores of 64 keys become weights; `scale` is for what was summed before. */
static __device__ void weigh(rows16 &r, float s[TILES][4], float scale[2]) {
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
        scale[e] = power_of_two(fmaf(r.max[e], log2e, -base[e]));
        r.sum[e] = r.sum[e] * scale[e] + sum[e];
        r.max[e] = most[e];
    }
}

/* Most tiles bring no new maximum, and then nothing changes. */
static __device__ void rescale(rows16 &r, const float scale[2]) {
    if (__any_sync(~0u, scale[0] != 1.0f || scale[1] != 1.0f)) {
#pragma unroll
        for (int i = 0; i < TILES * 4; i++) {
            r.o[i / 4][i % 4] *= scale[i % 4 / 2];
        }
    }
}

/* C of two tiles of keys is A of 16 deep. */
static __device__ void pack(const float s[TILES][4], uint32_t p[4][4]) {
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const float *v = &s[i / 4 * 2 + i % 4 / 2][i % 2 * 2];
        const __half2 both = __floats2half2_rn(v[0], v[1]); /* at most 1 */
        p[i / 4][i % 4] = *(const uint32_t *)&both;
    }
}

/* ---- products ---------------------------------------------------------------------------------*/

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Hopper: four warps multiply 64 queries by 64 keys, or weights of 64 keys by 64 columns, while
 * they do something else. c += a b (c = a b unless `more`); TURNED: rows of b's tile are k. */
template <int TURNED>
static __device__ void multiply(float c[TILES][4], const uint32_t a[4], uint64_t b, int more) {
#define C4(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, %38; }"
                 : C4(0), C4(1), C4(2), C4(3), C4(4), C4(5), C4(6), C4(7)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(more), "n"(TURNED));
#undef C4
}

/* Registers are ready for products, or products for the registers' next reader: the compiler moves
 * nothing of c past this. */
static __device__ void hold(float c[TILES][4]) {
#pragma unroll
    for (int i = 0; i < TILES * 4; i++) {
        asm volatile("" : "+f"(c[i / 4][i % 4])::"memory");
    }
}
static __device__ void begin_products(void) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ void end_products(void) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N> static __device__ void wait_products(void) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

static __device__ void score(float s[TILES][4], const uint32_t a[4][4], uint32_t keys) {
#pragma unroll
    for (int k = 0; k < DH / 16; k++) { /* 32 bytes further in every row */
        multiply<0>(s, a[k], describe(keys) + k * 2, k > 0);
    }
    end_products();
}

static __device__ void gather(float o[TILES][4], const uint32_t p[4][4], uint32_t values) {
#pragma unroll
    for (int k = 0; k < BKEY / 16; k++) { /* 16 rows further */
        multiply<1>(o, p[k], describe(values) + k * (16 * TILE_ROW_BYTES / 16), 1);
    }
    end_products();
}

/* All keys. While the weights of a tile gather its values, the next tile's scores become weights;
 * while both wait, the other three groups of four warps on the multiprocessor are at work. */
template <class Rows>
static __device__ void walk(rows16 &r, const uint32_t a[4][4], uint32_t ring, const Rows &keys,
                            const Rows &values) {
    const int lane = threadIdx.x % 32, t = keys.end, n = (t + BKEY - 1) / BKEY;
    float s[TILES][4], scale[2];
    uint32_t p[4][4];
    for (int i = 0; i < STAGES - 2; i++) {
        fill_stage(ring, i, keys, values);
    }
    for (int i = 0; i < n; i++) {
        wait_groups<STAGES - 3>();
        show_products();
        __syncthreads(); /* the tile is there for all, and nobody reads the one before the last */
        fill_stage(ring, i + STAGES - 2, keys, values);
        begin_products();
        score(s, a, stage_of(ring, i));
        if (i > 0) {
            gather(r.o, p, stage_of(ring, i - 1) + TILE_BYTES);
            wait_products<1>();
        } else {
            wait_products<0>();
        }
        hold(s);
        if (t - i * BKEY < BKEY) {
            mask(s, t - i * BKEY, lane);
        }
        weigh(r, s, scale);
        wait_products<0>();
        hold(r.o);
        rescale(r, scale);
        pack(s, p);
    }
    begin_products();
    gather(r.o, p, stage_of(ring, n - 1) + TILE_BYTES);
    wait_products<0>();
    hold(r.o);
}

#else

/* s[j] = a times keys j * 8 .. + 7. */
static __device__ void score(float s[TILES][4], const uint32_t a[4][4], uint32_t keys, int lane) {
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        for (int i = 0; i < 4; i++) {
            s[j][i] = 0.0f;
        }
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

/* All keys. */
template <class Rows>
static __device__ void walk(rows16 &r, const uint32_t a[4][4], uint32_t ring, const Rows &keys,
                            const Rows &values) {
    const int lane = threadIdx.x % 32, t = keys.end, n = (t + BKEY - 1) / BKEY;
    float s[TILES][4], scale[2];
    uint32_t p[4][4];
    for (int i = 0; i < STAGES - 2; i++) {
        fill_stage(ring, i, keys, values);
    }
    for (int i = 0; i < n; i++) {
        wait_groups<STAGES - 3>();
        __syncthreads(); /* the tile is there for all, and nobody reads the one before the last */
        fill_stage(ring, i + STAGES - 2, keys, values);
        score(s, a, stage_of(ring, i), lane);
        if (t - i * BKEY < BKEY) {
            mask(s, t - i * BKEY, lane);
        }
        weigh(r, s, scale);
        rescale(r, scale);
        pack(s, p);
        gather(r.o, p, stage_of(ring, i) + TILE_BYTES, lane);
    }
}

#endif

/* ---- the kernel -------------------------------------------------------------------------------*/

/* The lane's row e, its columns of head h; `to` is where y's row begins. */
static __device__ void leave(const rows16 &r, int e, const view &y, int64_t to, int64_t h, int dh) {
    const int first = (int)threadIdx.x % 4 * 2;
    const float sum = r.sum[e];
    if (dh == DH && y.dtype == BERTH_F16 && y.fours(0) && !y.head_cols) {
        __half *out = y.f16() + to + h * dh + first;
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            *(uint32_t *)(out + j * 8) = narrow2(r.o[j][e * 2] / sum, r.o[j][e * 2 + 1] / sum);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        const int c = i / 2 * 8 + first + i % 2;
        if (c < dh) {
            y.put(to + y.col(h * dh + c), r.o[i / 2][e * 2 + i % 2] / sum);
        }
    }
}

/* Grid (query tiles, heads, groups), eight warps of 16 queries. */
template <class Rows>
static __global__ void __launch_bounds__(THREADS, 2)
    attend_fast(view q, view k, view v, view y, int dh, int t, int q0, int nq, bound live) {
    extern __shared__ char memory[];
    after_previous();
    const int64_t g = blockIdx.z, h = blockIdx.y;
    if (live.dead(g)) {
        return;
    }
    const uint32_t ring = ((uint32_t)__cvta_generic_to_shared(memory) + 1023) & ~1023u;
    const int lane = threadIdx.x % 32;
    const int row = blockIdx.x * BQ + threadIdx.x / 32 * 16 + lane / 4;
    const Rows queries(q, g * t + q0, h, nq, dh), keys(k, g * t, h, t, dh),
        values(v, g * t, h, t, dh);
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
        a[i / 4][i % 4] = queries.two(row + i % 2 * 8, i / 4 * 16 + lane % 4 * 2 + i % 4 / 2 * 8);
    }
    rows16 r = {{-CUDART_INF_F, -CUDART_INF_F}, {}, {}};
    walk(r, a, ring, keys, values);
#pragma unroll
    for (int e = 0; e < 2; e++) {
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 1);
        r.sum[e] += __shfl_xor_sync(~0u, r.sum[e], 2);
        if (row + e * 8 < nq) {
            leave(r, e, y, y.row(g * nq + row + e * 8), h, dh);
        }
    }
}

cudaError_t attend_fast_prepare(void) {
    const cudaError_t e = cudaFuncSetAttribute(attend_fast<quick_rows>,
                                               cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED);
    return e != cudaSuccess
               ? e
               : cudaFuncSetAttribute(attend_fast<slow_rows>,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED);
}

static bool quick(const view &x, int64_t dh, int64_t t) {
    return x.dtype == BERTH_F16 && dh == DH && (uintptr_t)x.data % 16 == 0 &&
           x.row_stride % 8 == 0 && x.group_stride % 8 == 0 && x.head_stride % 8 == 0 &&
           (x.head_cols == 0 || x.head_cols == DH) && (!x.index || x.groups.d == t);
}

void launch_attend_fast(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live) {
    const dim3 grid((unsigned)((op->nq + BQ - 1) / BQ), (unsigned)op->heads, (unsigned)op->groups);
    const view q = make_view(&op->q), k = make_view(&op->k), v = make_view(&op->v);
    const int64_t dh = op->head_dim, t = op->t;
    const bool all = quick(q, dh, t) && quick(k, dh, t) && quick(v, dh, t);
    start(s, grid, THREADS, SHARED, all ? attend_fast<quick_rows> : attend_fast<slow_rows>, q, k, v,
          make_view(&op->y), (int)dh, (int)t, (int)op->q0, (int)op->nq, live);
}

/*
 * Fast products of whole windows: f16 inputs on the tensor cores, f32 sums. What comes as f32 is
 * rounded on its way in.
 *
 * As in linear_cuda.cu which kernel runs is said by the op, and an output's sum over K has one
 * order whatever the rows beside it.
 */
#include "fast_out.h"
#include "linear_cuda.h"
#include "mma.h"

/*
 * A block of 256 threads computes BM x BN outputs. Tiles of both sides pass through a ring of
 * STAGES in shared memory: while one is multiplied the next ones are on their way. Two blocks share
 * a multiprocessor, so one multiplies while the other stores.
 */
enum { BM = 128, BN = 128, BK = TILE_COLS, STAGES = 3, MANY_THREADS = 256 };
enum { SIDE_BYTES = BM * TILE_ROW_BYTES, STAGE_BYTES = 2 * SIDE_BYTES };
enum { MANY_SHARED = STAGES * STAGE_BYTES + 1024 }; /* tiles begin at multiples of 1024 */

/* The left side of a linear: rows of x. */
struct linear_side {
    view x;
    bool quick; /* f16 rows whose chunks can be copied as they are */

    struct cursor {
        int64_t row;
    };
    __device__ cursor enter(int64_t r) const {
        return {x.row(r)};
    }
    /* Values [k, k + 8) of a row, or zeros, to `to`. */
    __device__ void fill(uint32_t to, cursor at, int k, bool there) const {
        if (quick) {
            return copy_chunk(to, x.f16() + at.row + k, there);
        }
        float v[8];
        for (int i = 0; i < 8; i++) {
            v[i] = there ? x.element(at.row + x.col(k + i)) : 0.0f;
        }
        put_chunk(to, narrow8(v));
    }
};

/* conv3: row g * t_out + t, column j * c_in + c is x[g, t * stride + j - 1, c], zero outside. */
struct conv_side {
    view x;
    int64_t t_in, stride;
    divider t_out, c_in;
    bool quick; /* as above, and 8 divides c_in */

    struct cursor {
        int64_t first, t; /* the window's first row; the row of j = 0 */
    };
    __device__ cursor enter(int64_t r) const {
        const uint32_t g = t_out.of((uint32_t)r);
        return {g * t_in, t_out.rest((uint32_t)r, g) * stride - 1};
    }
    __device__ int64_t place(cursor at, int k, bool &there) const {
        const uint32_t j = c_in.of((uint32_t)k);
        const int64_t t = at.t + j;
        there = there && t >= 0 && t < t_in;
        return there ? x.row(at.first + t) + c_in.rest((uint32_t)k, j) : 0;
    }
    __device__ void fill(uint32_t to, cursor at, int k, bool there) const {
        if (quick) {
            const int64_t i = place(at, k, there);
            return copy_chunk(to, x.f16() + i, there);
        }
        float v[8];
        for (int i = 0; i < 8; i++) {
            bool have = there;
            const int64_t from = place(at, k + i, have);
            v[i] = have ? x.element(from) : 0.0f;
        }
        put_chunk(to, narrow8(v));
    }
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Hopper: a group of four warps multiplies 64 rows by BN columns from shared memory. */
struct many_sums {
    float v[64];

#define SUMS4(i)  "+f"(v[i]), "+f"(v[i + 1]), "+f"(v[i + 2]), "+f"(v[i + 3])
#define SUMS16(i) SUMS4(i), SUMS4(i + 4), SUMS4(i + 8), SUMS4(i + 12)
    __device__ void step(uint64_t a, uint64_t b) {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, 1, 0; "
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
                     "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                     "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "
                     "%31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "
                     "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, "
                     "%61, %62, %63}, %64, %65, p, 1, 1, 0, 0; }"
                     : SUMS16(0), SUMS16(16), SUMS16(32), SUMS16(48)
                     : "l"(a), "l"(b));
    }
#undef SUMS16
#undef SUMS4

    /* Before a stage's barrier: what this thread has put there can be seen by the products, and
     * those of the stage before have ended. */
    __device__ static void before(void) {
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        show_products();
    }
    __device__ void multiply(uint32_t a, uint32_t b) {
        const uint64_t at = describe(a + threadIdx.x / 128 * (64 * TILE_ROW_BYTES)),
                       by = describe(b);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int k = 0; k < BK / 16; k++) { /* 32 bytes further */
            step(at + k * 2, by + k * 2);
        }
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    }
    __device__ void end(void) {
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }

    enum { ROWS = 2, PAIRS = BN / 8 };
    __device__ static int row(int i) {
        return (int)threadIdx.x / 128 * 64 + (int)threadIdx.x % 128 / 32 * 16 +
               (int)threadIdx.x % 32 / 4 + i * 8;
    }
    __device__ static int column(int j) {
        return j * 8 + (int)threadIdx.x % 4 * 2;
    }
    __device__ const float *pair(int i, int j) const {
        return &v[j * 4 + i * 2];
    }
};

#else

/* A warp of eight (2 x 4) multiplies 64 rows by 32 columns. */
struct many_sums {
    float v[4][4][4];

    __device__ static void before(void) {
    }
    __device__ void multiply(uint32_t a, uint32_t b) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const int wm = warp / 4 * 64, wn = warp % 4 * 32;
#pragma unroll
        for (int k = 0; k < BK / 8; k += 2) { /* chunks */
            uint32_t at[4][4], by[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                load_tiles(at[i], chunk_at(a, wm + i * 16 + lane % 16, k + lane / 16));
            }
#pragma unroll
            for (int j = 0; j < 2; j++) { /* tiles n0 k0, n0 k8, n8 k0, n8 k8 */
                load_tiles(by[j],
                           chunk_at(b, wn + j * 16 + lane / 16 * 8 + lane % 8, k + lane / 8 % 2));
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    mma(v[i][j], at[i], &by[j / 2][j % 2 * 2]);
                }
            }
        }
    }
    __device__ void end(void) {
    }

    enum { ROWS = 8, PAIRS = 4 };
    __device__ static int row(int i) {
        return (int)threadIdx.x / 128 * 64 + i / 2 * 16 + (int)threadIdx.x % 32 / 4 + i % 2 * 8;
    }
    __device__ static int column(int j) {
        return (int)threadIdx.x / 32 % 4 * 32 + j * 8 + (int)threadIdx.x % 4 * 2;
    }
    __device__ const float *pair(int i, int j) const {
        return &v[i / 2][j][i % 2 * 2];
    }
};

#endif

/* What a thread copies of each stage: one chunk of every 32nd row, of both sides. */
enum { EACH = BM * BK / 8 / MANY_THREADS };

template <class Side>
static __device__ void fill_stage(uint32_t stage, const Side &x, const typename Side::cursor *rows,
                                  const __half *const *weights, unsigned there, int k0, int k) {
    const int chunk = threadIdx.x % 8, row = threadIdx.x / 8, at = k0 + chunk * 8;
    const bool inside = at < k;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int r = row + i * (MANY_THREADS / 8);
        x.fill(chunk_at(stage, r, chunk), rows[i], at, inside && there >> i & 1);
        copy_chunk(chunk_at(stage + SIDE_BYTES, r, chunk), weights[i] + at,
                   inside && there >> (EACH + i) & 1);
    }
}

/* Outputs of a block in shared memory, f32; rows lie so that eight lanes' stores do not meet. */
enum { OUT_STRIDE = BN + 8 };
static_assert(BM * OUT_STRIDE * 4 <= STAGES * STAGE_BYTES, "the ring has room for the outputs");

/* A warp writes every eighth row of a block's outputs, a lane four columns of it. */
static __device__ void write_rows(const float *tile, int64_t r0, int64_t c0, int64_t m, int64_t n,
                                  const epilogue &out) {
    const int lane = threadIdx.x % 32;
    const int64_t c = c0 + lane * 4;
    const four f = choose_four(out, c, n);
#pragma unroll 4
    for (int i = threadIdx.x / 32; i < BM; i += MANY_THREADS / 32) {
        if (r0 + i >= m || !f.have) {
            return;
        }
        const float4 sums = *(const float4 *)(tile + i * OUT_STRIDE + lane * 4);
        float v[4] = {sums.x, sums.y, sums.z, sums.w};
        finish_four(out, f, v);
        write_four(out, f, out.y.row(r0 + i), out.residual.data ? out.residual.row(r0 + i) : 0, c,
                   v);
    }
}

template <class Side>
static __global__ void __launch_bounds__(MANY_THREADS, 2)
    product_tiles(Side x, int64_t m, const __half *__restrict__ w, int64_t n, int k, epilogue out,
                  bound live, int64_t rows_per_count) {
    extern __shared__ char memory[];
    const int64_t r0 = (int64_t)blockIdx.y * BM, c0 = (int64_t)blockIdx.x * BN;
    after_previous();
    m = live.rows(m, rows_per_count);
    if (r0 >= m) {
        return;
    }
    const uint32_t ring = ((uint32_t)__cvta_generic_to_shared(memory) + 1023) & ~1023u;
    typename Side::cursor rows[EACH];
    const __half *weights[EACH];
    unsigned there = 0; /* bit i: the row is in x; EACH + i: the column is in w */
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int64_t r = r0 + threadIdx.x / 8 + i * (MANY_THREADS / 8),
                      c = r - r0 + c0; /* the tiles are equally high */
        there |= (unsigned)(r < m) << i | (unsigned)(c < n) << (EACH + i);
        rows[i] = x.enter(r < m ? r : r0);
        weights[i] = w + (c < n ? c : 0) * k;
    }
    many_sums sums = {};
    const int steps = (k + BK - 1) / BK;
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            fill_stage(ring + s * STAGE_BYTES, x, rows, weights, there, s * BK, k);
        }
        end_group();
    }
    for (int s = 0; s < steps; s++) {
        const uint32_t stage = ring + s % STAGES * STAGE_BYTES;
        wait_groups<STAGES - 2>();
        many_sums::before();
        __syncthreads(); /* the stage is there for all, and nobody reads the one before any more */
        sums.multiply(stage, stage + SIDE_BYTES);
        const int next = s + STAGES - 1;
        if (next < steps) {
            fill_stage(ring + next % STAGES * STAGE_BYTES, x, rows, weights, there, next * BK, k);
        }
        end_group();
    }
    sums.end();
    wait_groups<0>();
    __syncthreads(); /* the ring is free: the sums go through it to be written by whole rows */
    float *tile = (float *)(memory + (ring - (uint32_t)__cvta_generic_to_shared(memory)));
#pragma unroll
    for (int i = 0; i < many_sums::ROWS; i++) {
#pragma unroll
        for (int j = 0; j < many_sums::PAIRS; j++) {
            const float *v = sums.pair(i, j);
            *(float2 *)(tile + many_sums::row(i) * OUT_STRIDE + many_sums::column(j)) =
                make_float2(v[0], v[1]);
        }
    }
    __syncthreads();
    write_rows(tile, r0, c0, m, n, out);
}

template <class Side>
static bool run_many(cudaStream_t s, const Side &x, int64_t m, const struct bth_cuda_weight *w,
                     const epilogue &out, bound live, int64_t rows_per_count) {
    const int64_t n = w->base.n;
    if (w->base.k % 8 != 0) {
        return false;
    }
    dim3 grid((unsigned)((n + BN - 1) / BN), (unsigned)((m + BM - 1) / BM));
    start(s, grid, MANY_THREADS, MANY_SHARED, product_tiles<Side>, x, m, (const __half *)w->data, n,
          (int)w->base.k, out, live, rows_per_count);
    return true;
}

cudaError_t fast_prepare(void) {
    cudaError_t e = cudaFuncSetAttribute(product_tiles<linear_side>,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, MANY_SHARED);
    return e != cudaSuccess
               ? e
               : cudaFuncSetAttribute(product_tiles<conv_side>,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, MANY_SHARED);
}

bool fast_many(cudaStream_t s, const view &x, const struct bth_cuda_weight *w, const epilogue &out,
               bound live) {
    const linear_side side = {x, chunks(x)};
    return run_many(s, side, x.rows, w, out, live, 1);
}

bool fast_conv(cudaStream_t s, const struct berth_op_conv3 *op, const struct bth_cuda_weight *w,
               const epilogue &out, bound live) {
    const view x = make_view(&op->x);
    const conv_side side = {x,
                            op->t_in,
                            op->stride,
                            divider::by(op->t_out),
                            divider::by(op->x.cols),
                            chunks(x) && op->x.cols % 8 == 0};
    return run_many(s, side, op->groups * op->t_out, w, out, live, op->t_out);
}

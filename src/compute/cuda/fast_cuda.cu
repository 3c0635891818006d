/*
 * Fast products: f16 inputs on the tensor cores, f32 sums. What comes as f32 is rounded on its way
 * in.
 *
 * As in linear_cuda.cu which kernel runs is said by the op, and an output's sum over K has one
 * order whatever the rows beside it.
 */
#include "linear_cuda.h"
#include "mma.h"

/* ---- whole windows ----------------------------------------------------------------------------*/

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

/* erf(x) within 2e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26), at a
 * third of erff's cost. */
static __device__ float quick_erf(float x) {
    const float a = fabsf(x), t = __fdividef(1.0f, fmaf(0.3275911f, a, 1.0f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(p, t, 1.421413741f);
    p = fmaf(p, t, -0.284496736f);
    p = fmaf(p, t, 0.254829592f);
    return copysignf(fmaf(-p * t, __expf(-a * a), 1.0f), x);
}

/* Four neighbouring columns of a lane, the same in every row. */
struct four {
    float bias[4], scale[4];
    int64_t y, residual; /* where the first is in a row */
    int have;            /* of them there are */
    bool whole;          /* they lie side by side, aligned, in y and in the residual */
};

static __device__ four choose_four(const epilogue &out, int64_t c, int64_t n) {
    four f = {};
    f.have = (int)min((int64_t)4, max((int64_t)0, n - c));
    if (!f.have) {
        return f;
    }
    for (int i = 0; i < f.have; i++) {
        f.bias[i] = out.bias ? out.bias[c + i] : 0.0f;
        f.scale[i] = c + i < out.scale_cols ? out.scale : 1.0f;
    }
    f.y = out.y.col(c);
    f.residual = out.residual.data ? out.residual.col(c) : 0;
    f.whole =
        f.have == 4 && out.y.fours(f.y) && (!out.residual.data || out.residual.fours(f.residual));
    return f;
}

/* A row's four columns leave. */
static __device__ void write_four(const epilogue &out, const four &f, int64_t r, int64_t c,
                                  const float v[4]) {
    const int64_t y = out.y.row(r), residual = out.residual.data ? out.residual.row(r) : 0;
    if (!f.whole) {
        for (int i = 0; i < f.have; i++) {
            const float more =
                out.residual.data ? out.residual.f32()[residual + out.residual.col(c + i)] : 0.0f;
            out.y.put(y + out.y.col(c + i), v[i] + more);
        }
        return;
    }
    if (out.y.dtype == BERTH_F16) {
        *(uint2 *)(out.y.f16() + y + f.y) = make_uint2(narrow2(v[0], v[1]), narrow2(v[2], v[3]));
        return;
    }
    float4 more = make_float4(0, 0, 0, 0);
    if (out.residual.data) {
        more = *(const float4 *)(out.residual.f32() + residual + f.residual);
    }
    *(float4 *)(out.y.f32() + y + f.y) =
        make_float4(v[0] + more.x, v[1] + more.y, v[2] + more.z, v[3] + more.w);
}

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
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] += f.bias[j];
            if (out.act == BERTH_ACT_GELU) {
                v[j] = 0.5f * v[j] * (1.0f + quick_erf(v[j] * 0.70710678118654752f));
            } else if (out.act == BERTH_ACT_RELU) {
                v[j] = fmaxf(v[j], 0.0f);
            } else if (out.act == BERTH_ACT_SWISH) {
                v[j] = __fdividef(v[j], 1.0f + __expf(-v[j]));
            }
            v[j] *= f.scale[j];
        }
        write_four(out, f, r0 + i, c, v);
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

/* Whether chunks of eight can be copied as they are. */
static bool chunks(const view &x) {
    return x.dtype == BERTH_F16 && (uintptr_t)x.data % 16 == 0 && x.row_stride % 8 == 0 &&
           x.group_stride % 8 == 0 && !x.head_cols;
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

/* ---- few rows ---------------------------------------------------------------------------------*/

enum { PIECE = 32 };

/*
 * A block computes MT * 16 rows by NT * 8 columns; its warps take turns at pieces of 32 k and
 * their sums are added in order. Weights go from memory to the tensor cores without a stop: a lane
 * reads 16 bytes of its column, k (lane % 4) * 8 + 0..7 of the piece. The sum does not care which k
 * stands where, as long as A's fragment agrees.
 */
template <int MT, int NT, int WARPS>
static __global__ void __launch_bounds__(WARPS * 32)
    product_rows(plain_rows rows, int64_t m, const __half *__restrict__ w, int64_t n, int k,
                 epilogue out, bound live) {
    __shared__ float part[WARPS][MT * 16][NT * 8 + 1];
    const int64_t r0 = (int64_t)blockIdx.y * MT * 16, c0 = (int64_t)blockIdx.x * NT * 8;
    after_previous();
    m = live.rows(m);
    if (r0 >= m) {
        return;
    }
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, own = lane % 4 * 8;
    float sum[MT][NT][4] = {};
#pragma unroll MT == 1 ? 4 : 1
    for (int k0 = warp * PIECE + own; k0 < k; k0 += WARPS * PIECE) {
        uint4 b[NT];
#pragma unroll
        for (int j = 0; j < NT; j++) {
            b[j] = *(const uint4 *)(w + min(c0 + j * 8 + lane / 4, n - 1) * k + k0);
        }
#pragma unroll
        for (int i = 0; i < MT; i++) {
            const int64_t r = r0 + i * 16 + lane / 4;
            if (r0 + i * 16 >= m) {
                break;
            }
            float low[8], high[8];
            rows.eight(rows.enter(min(r, m - 1)), k0, low);
            rows.eight(rows.enter(min(r + 8, m - 1)), k0, high);
            const uint4 a = narrow8(low), c = narrow8(high);
            const uint32_t first[4] = {a.x, c.x, a.y, c.y}, second[4] = {a.z, c.z, a.w, c.w};
#pragma unroll
            for (int j = 0; j < NT; j++) {
                mma(sum[i][j], first, &b[j].x);
                mma(sum[i][j], second, &b[j].z);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int j = 0; j < NT; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                part[warp][i * 16 + lane / 4 + e / 2 * 8][j * 8 + lane % 4 * 2 + e % 2] =
                    sum[i][j][e];
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < MT * 16 * NT * 8; i += WARPS * 32) {
        const int row = i / (NT * 8), column = i % (NT * 8);
        float total = part[0][row][column];
        for (int v = 1; v < WARPS; v++) {
            total += part[v][row][column];
        }
        if (r0 + row < m && c0 + column < n) {
            out.store(r0 + row, c0 + column, total);
        }
    }
}

template <int MT, int NT, int WARPS>
static void run_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
                    const epilogue &out, bound live) {
    dim3 grid((unsigned)((w->base.n + NT * 8 - 1) / (NT * 8)),
              (unsigned)((m + MT * 16 - 1) / (MT * 16)));
    start(s, grid, WARPS * 32, 0, product_rows<MT, NT, WARPS>, a, m, (const __half *)w->data,
          w->base.n, (int)w->base.k, out, live);
}

/* MT and NT only set how often rows and weights are read; WARPS orders the sums and so depends on
 * the weight alone. */
static void choose_few(cudaStream_t s, const plain_rows &a, int64_t m,
                       const struct bth_cuda_weight *w, const epilogue &out, bound live) {
    const bool wide = w->base.n >= 8192, one = m <= 16;
    if (wide) {
        one ? run_few<1, 4, 4>(s, a, m, w, out, live) : run_few<4, 4, 4>(s, a, m, w, out, live);
    } else {
        one ? run_few<1, 1, 8>(s, a, m, w, out, live) : run_few<4, 1, 8>(s, a, m, w, out, live);
    }
}

bool fast_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
              const epilogue &out, bound live) {
    if (w->base.k % PIECE != 0) {
        return false;
    }
    choose_few(s, a, m, w, out, live);
    return true;
}

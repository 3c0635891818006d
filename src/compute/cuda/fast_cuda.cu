/*
 * Fast products: 16-bit inputs on the tensor cores, f32 sums. Inputs are rounded on their way in,
 * so activations stay f32 in memory.
 *
 * As in linear_cuda.cu which kernel runs is said by the op, and an output's sum over K has one
 * order whatever the rows beside it.
 */
#include "linear_cuda.h"
#include "mma.h"

/* ---- whole windows ----------------------------------------------------------------------------*/

enum { BM = 128, BN = 128, BK = 32, STRIDE = BK + 8, MANY_THREADS = 256 };

/* A thread's share of the next tiles on its way from memory: 16 elements of a row each. */
template <class T> struct passage {
    uint4 a[2], b[2];

    /* Columns [at, at + 16) of the row of `x` and of the weight's row; `in_x`, `in_w`: they exist.
     */
    template <class Rows>
    __device__ void load(const Rows &rows, typename Rows::cursor x, bool in_x, const T *w,
                         bool in_w, int at) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float v[8] = {};
            if (in_x) {
                rows.eight(x, at + i * 8, v);
            }
            a[i] = narrow8<T>(v);
            b[i] = in_w ? *(const uint4 *)(w + at + i * 8) : make_uint4(0, 0, 0, 0);
        }
    }
    __device__ void store(T *as, T *bs) const {
        for (int i = 0; i < 2; i++) {
            ((uint4 *)as)[i] = a[i];
            ((uint4 *)bs)[i] = b[i];
        }
    }
};

/* A warp's 64 x 32 outputs from one step of BK. */
template <class T>
static __device__ void multiply(float sum[4][4][4], const T *as, const T *bs, int lane) {
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        uint32_t a[4][4], b[2][4];
        const int row = lane % 16, half = lane / 16 * 8;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            load_tiles(a[i], as + (i * 16 + row) * STRIDE + k + half);
        }
#pragma unroll
        for (int j = 0; j < 2;
             j++) { /* two groups of 8 columns: tiles n0 k0, n0 k8, n8 k0, n8 k8 */
            load_tiles(b[j],
                       bs + (j * 16 + lane / 16 * 8 + lane % 8) * STRIDE + k + lane / 8 % 2 * 8);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                mma(sum[i][j], a[i], &b[j / 2][j % 2 * 2], T());
            }
        }
    }
}

/* A block of eight warps (2 x 4) computes BM x BN outputs. */
template <class T, class Rows>
static __global__ void __launch_bounds__(MANY_THREADS)
    product_tiles(Rows rows, int64_t m, const T *__restrict__ w, int64_t n, int k, epilogue out,
                  bound live, int64_t rows_per_count) {
    __shared__ __align__(16) T as[2][BM * STRIDE], bs[2][BN * STRIDE];
    const int64_t r0 = (int64_t)blockIdx.y * BM, c0 = (int64_t)blockIdx.x * BN;
    after_previous();
    m = live.rows(m, rows_per_count);
    if (r0 >= m) {
        return;
    }
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int mine = threadIdx.x / 2, part = threadIdx.x % 2 * 16; /* of what is loaded */
    const int wm = warp / 4 * 64, wn = warp % 4 * 32;
    passage<T> next;
    float sum[4][4][4] = {};
    const bool in_x = r0 + mine < m, in_w = c0 + mine < n;
    const typename Rows::cursor x = rows.enter(in_x ? r0 + mine : 0);
    w += (in_w ? c0 + mine : 0) * k;
    next.load(rows, x, in_x, w, in_w, part);
    next.store(&as[0][mine * STRIDE + part], &bs[0][mine * STRIDE + part]);
    __syncthreads();
    for (int k0 = 0, now = 0; k0 < k; k0 += BK, now ^= 1) {
        const bool more = k0 + BK < k;
        if (more) {
            next.load(rows, x, in_x, w, in_w, k0 + BK + part);
        }
        multiply(sum, &as[now][wm * STRIDE], &bs[now][wn * STRIDE], lane);
        if (more) {
            next.store(&as[now ^ 1][mine * STRIDE + part], &bs[now ^ 1][mine * STRIDE + part]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int64_t r = r0 + wm + i * 16 + lane / 4 + e / 2 * 8;
                const int64_t c = c0 + wn + j * 8 + lane % 4 * 2 + e % 2;
                if (r < m && c < n) {
                    out.store(r, c, sum[i][j][e]);
                }
            }
        }
    }
}

template <class Rows>
static bool run_many(cudaStream_t s, const Rows &a, int64_t m, const struct bth_cuda_weight *w,
                     const epilogue &out, bound live, int64_t rows_per_count) {
    const int64_t n = w->base.n;
    const int k = (int)w->base.k;
    if (k % BK != 0) {
        return false;
    }
    dim3 grid((unsigned)((n + BN - 1) / BN), (unsigned)((m + BM - 1) / BM));
    if (w->base.dtype == BERTH_F16) {
        start(s, grid, MANY_THREADS, 0, product_tiles<__half, Rows>, a, m, (const __half *)w->data,
              n, k, out, live, rows_per_count);
    } else {
        start(s, grid, MANY_THREADS, 0, product_tiles<__nv_bfloat16, Rows>, a, m,
              (const __nv_bfloat16 *)w->data, n, k, out, live, rows_per_count);
    }
    return true;
}

bool fast_many(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
               const epilogue &out, bound live, int64_t rows_per_count) {
    return run_many(s, a, m, w, out, live, rows_per_count);
}

bool fast_many(cudaStream_t s, const conv_rows &a, int64_t m, const struct bth_cuda_weight *w,
               const epilogue &out, bound live, int64_t rows_per_count) {
    return run_many(s, a, m, w, out, live, rows_per_count);
}

/* ---- few rows ---------------------------------------------------------------------------------*/

enum { PIECE = 32 };

/*
 * A block computes MT * 16 rows by NT * 8 columns; its warps take turns at pieces of 32 k and
 * their sums are added in order. Weights go from memory to the tensor cores without a stop: a lane
 * reads 16 bytes of its column, k (lane % 4) * 8 + 0..7 of the piece. The sum does not care which k
 * stands where, as long as A's fragment agrees.
 */
template <class T, int MT, int NT, int WARPS>
static __global__ void __launch_bounds__(WARPS * 32)
    product_rows(plain_rows rows, int64_t m, const T *__restrict__ w, int64_t n, int k,
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
            const uint4 a = narrow8<T>(low), c = narrow8<T>(high);
            const uint32_t first[4] = {a.x, c.x, a.y, c.y}, second[4] = {a.z, c.z, a.w, c.w};
#pragma unroll
            for (int j = 0; j < NT; j++) {
                mma(sum[i][j], first, &b[j].x, T());
                mma(sum[i][j], second, &b[j].z, T());
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

template <class T, int MT, int NT, int WARPS>
static void run_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
                    const epilogue &out, bound live) {
    dim3 grid((unsigned)((w->base.n + NT * 8 - 1) / (NT * 8)),
              (unsigned)((m + MT * 16 - 1) / (MT * 16)));
    start(s, grid, WARPS * 32, 0, product_rows<T, MT, NT, WARPS>, a, m, (const T *)w->data,
          w->base.n, (int)w->base.k, out, live);
}

/* MT and NT only set how often rows and weights are read; WARPS orders the sums and so depends on
 * the weight alone. */
template <class T>
static void choose_few(cudaStream_t s, const plain_rows &a, int64_t m,
                       const struct bth_cuda_weight *w, const epilogue &out, bound live) {
    const bool wide = w->base.n >= 8192, one = m <= 16;
    if (wide) {
        one ? run_few<T, 1, 4, 4>(s, a, m, w, out, live)
            : run_few<T, 4, 4, 4>(s, a, m, w, out, live);
    } else {
        one ? run_few<T, 1, 1, 8>(s, a, m, w, out, live)
            : run_few<T, 4, 1, 8>(s, a, m, w, out, live);
    }
}

bool fast_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
              const epilogue &out, bound live) {
    if (w->base.k % PIECE != 0) {
        return false;
    }
    if (w->base.dtype == BERTH_F16) {
        choose_few<__half>(s, a, m, w, out, live);
    } else {
        choose_few<__nv_bfloat16>(s, a, m, w, out, live);
    }
    return true;
}

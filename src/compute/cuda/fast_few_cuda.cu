/*
 * Fast products of few rows: decoder steps. As in fast_cuda.cu inputs are rounded to f16 and an
 * output's sum over K has one order whatever the rows beside it.
 */
#include "linear_cuda.h"
#include "mma.h"

enum { PIECE = 32 };

/* Weights of the pieces that a warp takes next, at and AHEAD - 1 further ones: eight of a column.
 */
template <int NT, int WARPS, int AHEAD>
static __device__ void ask(uint4 (&b)[AHEAD][NT], const __half *w, int64_t column, int64_t n,
                           int at, int k) {
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
        const int k0 = at + u * WARPS * PIECE;
#pragma unroll
        for (int j = 0; j < NT && k0 < k; j++) {
            b[u][j] = *(const uint4 *)(w + min(column + j * 8, n - 1) * k + k0);
        }
    }
}

/* One piece of all rows from r0 on; the lane's first is r. */
template <int MT, int NT>
static __device__ void add_piece(float (&sum)[MT][NT][4], const uint4 (&b)[NT],
                                 const plain_rows &rows, int64_t r, int64_t r0, int64_t m, int k0) {
#pragma unroll
    for (int i = 0; i < MT; i++) {
        if (r0 + i * 16 >= m) {
            break;
        }
        float low[8], high[8];
        rows.eight(rows.enter(min(r + i * 16, m - 1)), k0, low);
        rows.eight(rows.enter(min(r + i * 16 + 8, m - 1)), k0, high);
        const uint4 a = narrow8(low), c = narrow8(high);
        const uint32_t first[4] = {a.x, c.x, a.y, c.y}, second[4] = {a.z, c.z, a.w, c.w};
#pragma unroll
        for (int j = 0; j < NT; j++) {
            mma(sum[i][j], first, &b[j].x);
            mma(sum[i][j], second, &b[j].z);
        }
    }
}

/*
 * A block computes MT * 16 rows by NT * 8 columns; its warps take turns at pieces of 32 k and
 * their sums are added in order. Weights go from memory to the tensor cores without a stop: a lane
 * reads 16 bytes of its column, k (lane % 4) * 8 + 0..7 of the piece, AHEAD pieces at a time. The
 * sum does not care which k stands where, as long as A's fragment agrees.
 */
template <int MT, int NT, int WARPS, int AHEAD>
static __global__ void __launch_bounds__(WARPS * 32)
    product_rows(plain_rows rows, int64_t m, const __half *__restrict__ w, int64_t n, int k,
                 epilogue out, bound live) {
    __shared__ float part[WARPS][MT * 16][NT * 8 + 1];
    const int64_t r0 = (int64_t)blockIdx.y * MT * 16, c0 = (int64_t)blockIdx.x * NT * 8;
    const int lane = threadIdx.x % 32, begin = threadIdx.x / 32 * PIECE + lane % 4 * 8;
    uint4 b[AHEAD][NT];
    ask<NT, WARPS, AHEAD>(b, w, c0 + lane / 4, n, begin, k); /* while the op before still runs */
    after_previous();
    m = live.rows(m);
    if (r0 >= m) {
        return;
    }
    float sum[MT][NT][4] = {};
    for (int at = begin; at < k; at += AHEAD * WARPS * PIECE) {
        if (at != begin) {
            ask<NT, WARPS, AHEAD>(b, w, c0 + lane / 4, n, at, k);
        }
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int k0 = at + u * WARPS * PIECE;
            if (k0 < k) {
                add_piece<MT, NT>(sum, b[u], rows, r0 + lane / 4, r0, m, k0);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int j = 0; j < NT; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                part[threadIdx.x / 32][i * 16 + lane / 4 + e / 2 * 8]
                    [j * 8 + lane % 4 * 2 + e % 2] = sum[i][j][e];
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
    enum { AHEAD = MT == 1 ? 4 : MT == 2 ? 2 : 1 };
    start_sized(SMALL_BLOCKS, s, grid, WARPS * 32, 0, product_rows<MT, NT, WARPS, AHEAD>, a, m,
                (const __half *)w->data, w->base.n, (int)w->base.k, out, live);
}

/* MT and NT only set how often rows and weights are read; WARPS orders the sums and so depends on
 * the weight alone. */
static void choose_few(cudaStream_t s, const plain_rows &a, int64_t m,
                       const struct bth_cuda_weight *w, const epilogue &out, bound live) {
    const bool wide = w->base.n >= 8192, one = m <= 16;
    if (wide) {
        one ? run_few<1, 4, 4>(s, a, m, w, out, live) : run_few<4, 5, 4>(s, a, m, w, out, live);
    } else {
        one ? run_few<1, 1, 8>(s, a, m, w, out, live) : run_few<2, 2, 8>(s, a, m, w, out, live);
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

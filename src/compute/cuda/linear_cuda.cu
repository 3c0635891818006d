/*
 * Products, exact: f32 sums of stored weights, no TF32.
 *
 * Two kernels: `few` streams the weights past up to 8 rows (decoder steps), `many` is a tiled
 * product for whole windows. Which one runs is said by the op, never by the number of rows, and in
 * both an output's sum over K has one order whatever the rows beside it: so a row has the same bits
 * alone and in company.
 */
#include "linear_cuda.h"

static __device__ float widen(const __half *p) {
    return __half2float(*p);
}
static __device__ float widen(const __nv_bfloat16 *p) {
    return __bfloat162float(*p);
}
static __device__ float widen(const float *p) {
    return *p;
}

/* Eight neighbouring weights as f32; p is 16-byte aligned (k is a multiple of 8). */
template <class T> static __device__ void widen8(const T *p, float out[8]) {
    uint4 bits = *(const uint4 *)p;
    const T *h = (const T *)&bits;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        out[i] = widen(&h[i]);
    }
}
template <> __device__ void widen8<float>(const float *p, float out[8]) {
    load8(p, out);
}

enum { FEW_ROWS = 8, FEW_WARPS = 4 };

/*
 * A warp computes NC columns for a tile of FEW_ROWS rows: lane l takes k = 8 l + 256 i, the lanes'
 * sums meet by xor. DENSE: rows of x are 16-byte aligned and without heads; the sums are the same
 * either way. x: [rows, k] f32; w: [n, k] T; grid (ceil(n / (FEW_WARPS NC)), row tiles).
 */
template <class T, int NC, bool DENSE>
static __global__ void linear_few(view x, const T *__restrict__ w, int64_t n, int k, epilogue out,
                                  bound live) {
    after_previous();
    int lane = threadIdx.x % 32;
    int64_t c0 = ((int64_t)blockIdx.x * FEW_WARPS + threadIdx.x / 32) * NC;
    int64_t r0 = (int64_t)blockIdx.y * FEW_ROWS, m = live.rows(x.rows);
    if (c0 >= n || r0 >= m) {
        return;
    }
    float sum[NC][FEW_ROWS] = {};
    const float *rows[FEW_ROWS];
#pragma unroll
    for (int r = 0; r < FEW_ROWS; r++) {
        rows[r] = x.f32() + x.row(min(r0 + r, m - 1));
    }
    for (int i = lane * 8; i < k; i += 256) {
        float a[NC][8];
#pragma unroll
        for (int c = 0; c < NC; c++) {
            widen8(w + min(c0 + c, n - 1) * k + i, a[c]);
        }
#pragma unroll
        for (int r = 0; r < FEW_ROWS; r++) {
            float b[8];
            if (DENSE) {
                widen8(rows[r] + i, b);
            } else {
                for (int j = 0; j < 8; j++) {
                    b[j] = rows[r][x.col(i + j)];
                }
            }
#pragma unroll
            for (int c = 0; c < NC; c++) {
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    sum[c][r] = fmaf(a[c][j], b[j], sum[c][r]);
                }
            }
        }
    }
#pragma unroll
    for (int c = 0; c < NC; c++) {
#pragma unroll
        for (int r = 0; r < FEW_ROWS; r++) {
            float v = sum[c][r];
            for (int o = 16; o; o >>= 1) {
                v += __shfl_xor_sync(~0u, v, o);
            }
            if (lane == r && c0 + c < n && r0 + r < m) {
                out.store(r0 + r, c0 + c, v);
            }
        }
    }
}

enum { BM = 128, BN = 64, BK = 16, TM = 8, TN = 4 };

/* A block of 256 threads computes BM x BN outputs, each thread TM x TN, k in steps of BK through
 * shared memory: every output is one fma chain over k = 0..K-1. */
template <class T, class Rows>
static __global__ void __launch_bounds__(256)
    linear_many(Rows a, int64_t m, const T *__restrict__ w, int64_t n, int k, epilogue out,
                bound live, int64_t rows_per_count) {
    __shared__ float as[BK][BM + 4], bs[BK][BN + 4];
    int64_t r0 = (int64_t)blockIdx.y * BM, c0 = (int64_t)blockIdx.x * BN;
    after_previous();
    m = live.rows(m, rows_per_count);
    if (r0 >= m) {
        return;
    }
    int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
    float sum[TM][TN] = {};
    for (int k0 = 0; k0 < k; k0 += BK) {
        for (int i = threadIdx.x; i < BM * BK; i += 256) {
            int64_t r = r0 + i / BK;
            int kk = k0 + i % BK;
            as[i % BK][i / BK] = r < m && kk < k ? a.at(r, kk) : 0.0f;
        }
        for (int i = threadIdx.x; i < BN * BK; i += 256) {
            int64_t c = c0 + i / BK;
            int kk = k0 + i % BK;
            bs[i % BK][i / BK] = c < n && kk < k ? widen(&w[c * k + kk]) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < BK; kk++) {
            float av[TM], bv[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) {
                av[i] = as[kk][ty * TM + i];
            }
#pragma unroll
            for (int j = 0; j < TN; j++) {
                bv[j] = bs[kk][tx * TN + j];
            }
#pragma unroll
            for (int i = 0; i < TM; i++) {
#pragma unroll
                for (int j = 0; j < TN; j++) {
                    sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
                }
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < TM; i++) {
        for (int j = 0; j < TN; j++) {
            int64_t r = r0 + ty * TM + i, c = c0 + tx * TN + j;
            if (r < m && c < n) {
                out.store(r, c, sum[i][j]);
            }
        }
    }
}

template <class T, class Rows>
static void run_many(cudaStream_t s, Rows a, int64_t m, const struct bth_cuda_weight *w,
                     epilogue out, bound live, int64_t rows_per_count) {
    dim3 grid((unsigned)((w->base.n + BN - 1) / BN), (unsigned)((m + BM - 1) / BM));
    start(s, grid, 256, 0, linear_many<T, Rows>, a, m, (const T *)w->data, w->base.n,
          (int)w->base.k, out, live, rows_per_count);
}

template <class Rows>
static void many(cudaStream_t s, Rows a, int64_t m, const struct bth_cuda_weight *w, epilogue out,
                 bound live, int64_t rows_per_count) {
    switch (w->base.dtype) {
    case BERTH_F16:
        return run_many<__half>(s, a, m, w, out, live, rows_per_count);
    case BERTH_BF16:
        return run_many<__nv_bfloat16>(s, a, m, w, out, live, rows_per_count);
    default:
        return run_many<float>(s, a, m, w, out, live, rows_per_count);
    }
}

template <class T, int NC>
static void run_few(cudaStream_t s, view x, const struct bth_cuda_weight *w, epilogue out,
                    bound live) {
    dim3 grid((unsigned)((w->base.n + FEW_WARPS * NC - 1) / (FEW_WARPS * NC)),
              (unsigned)((x.rows + FEW_ROWS - 1) / FEW_ROWS));
    auto kernel = dense(x) ? linear_few<T, NC, true> : linear_few<T, NC, false>;
    start(s, grid, FEW_WARPS * 32, 0, kernel, x, (const T *)w->data, w->base.n, (int)w->base.k, out,
          live);
}

/* Wide outputs take four columns a warp: the rows are read less often. */
template <class T>
static void few(cudaStream_t s, view x, const struct bth_cuda_weight *w, epilogue out, bound live) {
    if (w->base.n >= 8192) {
        run_few<T, 4>(s, x, w, out, live);
    } else {
        run_few<T, 1>(s, x, w, out, live);
    }
}

static bool is_fast(const struct bth_cuda_weight *w) {
    return bth_cuda(w->base.device)->fast;
}

void launch_linear(cudaStream_t s, const struct berth_op_linear *op, struct bound live) {
    const struct bth_cuda_weight *w = (const struct bth_cuda_weight *)op->w;
    view x = make_view(&op->x);
    plain_rows rows = {x, dense(x)};
    epilogue out = {make_view(&op->bias).f32(),
                    make_view(&op->residual),
                    make_view(&op->y),
                    op->act,
                    op->scale_cols,
                    op->scale};
    if (is_fast(w) &&
        (op->many ? fast_many(s, x, w, out, live) : fast_few(s, rows, x.rows, w, out, live))) {
        return;
    }
    if (op->many || w->base.k % 8 != 0) {
        many(s, rows, x.rows, w, out, live, 1);
    } else if (w->base.dtype == BERTH_F16) {
        few<__half>(s, x, w, out, live);
    } else if (w->base.dtype == BERTH_BF16) {
        few<__nv_bfloat16>(s, x, w, out, live);
    } else {
        few<float>(s, x, w, out, live);
    }
}

/* `add` [t_out, n] is the same for every group. */
static __global__ void add_rows(view y, view add, int64_t t_out, bound live) {
    after_previous();
    int64_t r = blockIdx.x;
    if (live.dead(r, t_out)) {
        return;
    }
    for (int64_t c = threadIdx.x; c < y.cols; c += blockDim.x) {
        y.f32()[y.row(r) + y.col(c)] += add.at(r % t_out, c);
    }
}

void launch_conv3(cudaStream_t s, const struct berth_op_conv3 *op, struct bound live) {
    const struct bth_cuda_weight *w = (const struct bth_cuda_weight *)op->w;
    epilogue out = {make_view(&op->bias).f32(), {}, make_view(&op->y), op->act, 0, 1.0f};
    int64_t m = op->groups * op->t_out;
    view x = make_view(&op->x);
    conv_rows rows = {x, op->t_in, op->stride, divider::by(op->t_out), divider::by(op->x.cols)};
    if (!is_fast(w) || !fast_conv(s, op, w, out, live)) {
        many(s, rows, m, w, out, live, op->t_out);
    }
    if (op->add.buffer) {
        start(s, (unsigned)m, 128, 0, add_rows, make_view(&op->y), make_view(&op->add), op->t_out,
              live);
    }
}

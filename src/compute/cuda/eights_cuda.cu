/*
 * Products with weights of i8, and with chosen rows of a matrix.
 *
 * A row is made bytes by a kernel of its own; what i8 products add up are integers, so all orders
 * give the same sum: lanes take the k that suit their loads, and warps share one sum.
 */
#include "linear_cuda.h"
#include "search_cuda.h"

extern "C" {
#include "base/alloc.h"
}

cudaError_t eights_write(void *to, const int8_t *rows, int64_t n, int64_t k) {
    const int64_t pitch = eights_pitch(k);
    int32_t *sums = (int32_t *)bth_calloc((size_t)n, sizeof(*sums));
    if (!sums) {
        return cudaErrorMemoryAllocation;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < k; c++) {
            sums[i] += rows[i * k + c];
        }
    }
    cudaError_t e = cudaMemset(to, 0, (size_t)(n * pitch));
    if (e == cudaSuccess) {
        e = cudaMemcpy2D(to, (size_t)pitch, rows, (size_t)k, (size_t)k, (size_t)n,
                         cudaMemcpyHostToDevice);
    }
    if (e == cudaSuccess) {
        e = cudaMemcpy((char *)to + n * pitch, sums, (size_t)n * sizeof(*sums),
                       cudaMemcpyHostToDevice);
    }
    bth_free(sums);
    return e;
}

/* ---- rows as bytes ---------------------------------------------------------------------------*/

/* bytes: [rows][pitch], zeros behind the k-th; alpha: [rows]. */
struct quantised {
    float *alpha;
    int8_t *bytes;
    int pitch;
};

static size_t alpha_bytes(int64_t rows) {
    return ((size_t)rows * sizeof(float) + 255) / 256 * 256;
}

size_t eights_scratch(int64_t rows, int64_t k) {
    return alpha_bytes(rows) + (size_t)(rows * eights_pitch(k));
}

static quantised quantised_at(void *scratch, int64_t rows, int64_t k) {
    return {(float *)scratch, (int8_t *)scratch + alpha_bytes(rows), (int)eights_pitch(k)};
}

enum { QUANTISE_THREADS = 128 };

/* The largest |x| of a row; every thread gets it. */
static __device__ float row_most(const view &x, int64_t row) {
    __shared__ float shared[QUANTISE_THREADS / 32];
    float most = 0;
    for (int64_t c = threadIdx.x; c < x.cols; c += QUANTISE_THREADS) {
        most = fmaxf(most, fabsf(x.element(row + x.col(c))));
    }
    for (int o = 16; o; o >>= 1) {
        most = fmaxf(most, __shfl_xor_sync(~0u, most, o));
    }
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = most;
    }
    __syncthreads();
    for (int w = 0; w < QUANTISE_THREADS / 32; w++) {
        most = fmaxf(most, shared[w]);
    }
    return most;
}

/* One block a row. alpha 0: the row's own. */
static __global__ void __launch_bounds__(QUANTISE_THREADS)
    quantise_rows(view x, float alpha, quantised out, bound live) {
    after_previous();
    const int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const int64_t row = x.row(r);
    if (!(alpha > 0)) {
        const float most = row_most(x, row);
        alpha = most > 0 ? 127.0f / most : 0.0f;
    }
    for (int c = threadIdx.x; c < out.pitch; c += QUANTISE_THREADS) {
        const float v = c < x.cols ? __fmul_rn(x.element(row + x.col(c)), alpha) : 0.0f;
        out.bytes[r * out.pitch + c] = (int8_t)__float2int_rn(fminf(fmaxf(v, -127.0f), 127.0f));
    }
    if (threadIdx.x == 0) {
        out.alpha[r] = alpha;
    }
}

static void quantise(cudaStream_t s, const view &x, float alpha, const quantised &out, bound live) {
    start(s, (unsigned)x.rows, QUANTISE_THREADS, 0, quantise_rows, x, alpha, out, live);
}

/* How integer sums become numbers. */
struct eights_units {
    const float *unit;
    float alpha; /* the op's; 0: each row its own */

    /* `of_weight`: what the weight's row adds up to. */
    __device__ float number(int sum, int of_weight, int64_t n, float own) const {
        if (alpha > 0) {
            return __fmul_rn(__int2float_rn(sum + 127 * of_weight), unit[n]);
        }
        return __fmul_rn(__int2float_rn(sum), own > 0 ? __fdiv_rn(unit[n], own) : 0.0f);
    }
};

/* ---- linear ----------------------------------------------------------------------------------*/

enum { EIGHTS_WARPS = 4, STEP = 64 };

static __device__ inline void mma_eights(int c[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                         uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

static __device__ inline uint4 sixteen(const int8_t *row, int k) {
    return *(const uint4 *)(row + k);
}

/* Products of 16 MT rows and 8 NT columns over every EIGHTS_WARPS-th step of k from this warp's on.
 * Lane l takes 16 bytes at a time of rows and columns l / 4: which k a lane's bytes are of is the
 * same on both sides, and that is all that a product needs. */
template <int MT, int NT>
static __device__ void multiply(int sum[MT][NT][4], const quantised &a, int64_t r0, int64_t m,
                                const int8_t *w, int64_t c0, int64_t n) {
    const int lane = threadIdx.x % 32, g = lane / 4;
    for (int k = threadIdx.x / 32 * STEP + lane % 4 * 16; k < a.pitch; k += EIGHTS_WARPS * STEP) {
        uint4 b[NT];
#pragma unroll
        for (int j = 0; j < NT; j++) {
            b[j] = sixteen(w + min(c0 + j * 8 + g, n - 1) * a.pitch, k);
        }
#pragma unroll
        for (int i = 0; i < MT; i++) {
            const uint4 x = sixteen(a.bytes + min(r0 + i * 16 + g, m - 1) * a.pitch, k);
            const uint4 y = sixteen(a.bytes + min(r0 + i * 16 + g + 8, m - 1) * a.pitch, k);
#pragma unroll
            for (int j = 0; j < NT; j++) {
                mma_eights(sum[i][j], x.x, y.x, x.y, y.y, b[j].x, b[j].y);
                mma_eights(sum[i][j], x.z, y.z, x.w, y.w, b[j].z, b[j].w);
            }
        }
    }
}

/* w: [n][pitch], then the sums of its rows; grid (column tiles, row tiles). */
template <int MT, int NT>
static __global__ void __launch_bounds__(EIGHTS_WARPS * 32)
    linear_eights(quantised a, int64_t m, const int8_t *__restrict__ w, int64_t n,
                  eights_units units, epilogue out, bound live) {
    enum { ROWS = 16 * MT, COLS = 8 * NT };
    __shared__ int part[EIGHTS_WARPS][ROWS][COLS];
    after_previous();
    const int64_t r0 = (int64_t)blockIdx.y * ROWS, c0 = (int64_t)blockIdx.x * COLS;
    m = live.rows(m);
    if (r0 >= m) {
        return;
    }
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int sum[MT][NT][4] = {};
    multiply<MT, NT>(sum, a, r0, m, w, c0, n);
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int j = 0; j < NT; j++) {
#pragma unroll
            for (int v = 0; v < 4; v++) {
                part[warp][i * 16 + lane / 4 + v / 2 * 8][j * 8 + lane % 4 * 2 + v % 2] =
                    sum[i][j][v];
            }
        }
    }
    __syncthreads();
    const int32_t *sums = (const int32_t *)(w + n * a.pitch);
    for (int i = threadIdx.x; i < ROWS * COLS; i += EIGHTS_WARPS * 32) {
        const int64_t r = r0 + i / COLS, c = c0 + i % COLS;
        if (r < m && c < n) {
            int all = 0;
            for (int p = 0; p < EIGHTS_WARPS; p++) {
                all += part[p][i / COLS][i % COLS];
            }
            out.store(r, c, units.number(all, sums[c], c, a.alpha[r]));
        }
    }
}

template <int MT>
static void run_eights(cudaStream_t s, const quantised &a, int64_t m,
                       const struct bth_cuda_weight *w, const eights_units &units,
                       const epilogue &out, bound live) {
    const int64_t n = w->base.n, tiles = (m + 16 * MT - 1) / (16 * MT);
    const bool wide = (n + 31) / 32 * tiles >= 128; /* enough blocks for a GPU */
    const int cols = wide ? 32 : 8;
    start(s, dim3((unsigned)((n + cols - 1) / cols), (unsigned)tiles), EIGHTS_WARPS * 32, 0,
          wide ? linear_eights<MT, 4> : linear_eights<MT, 1>, a, m, (const int8_t *)w->data, n,
          units, out, live);
}

void launch_eights(cudaStream_t s, const struct berth_op_linear *op, void *scratch, bound live) {
    const struct bth_cuda_weight *w = (const struct bth_cuda_weight *)op->w;
    const view x = make_view(&op->x);
    const quantised a = quantised_at(scratch, x.rows, x.cols);
    const eights_units units = {make_view(&op->eights.unit).f32(), op->eights.alpha};
    const epilogue out = {make_view(&op->bias).f32(),
                          make_view(&op->residual),
                          make_view(&op->y),
                          op->act,
                          op->scale_cols,
                          op->scale};
    quantise(s, x, op->eights.alpha, a, live);
    if (x.rows <= 16) {
        run_eights<1>(s, a, x.rows, w, units, out, live);
    } else if (x.rows <= 32) {
        run_eights<2>(s, a, x.rows, w, units, out, live);
    } else {
        run_eights<4>(s, a, x.rows, w, units, out, live);
    }
}

/* ---- select ----------------------------------------------------------------------------------*/

enum { SELECT_THREADS = 128, GROUP = 16, SELECT_BLOCKS = 64 };

static __device__ unsigned group_mask(void) {
    return 0xffffu << (threadIdx.x % 32 / GROUP * GROUP);
}

/* Bytes [k, k + 16) of a row of n, zeros behind it. */
static __device__ uint4 some_of(const int8_t *row, int k, int n) {
    uint32_t word[4] = {};
    for (int i = 0; i < 16 && k + i < n; i++) {
        word[i / 4] |= (uint32_t)(uint8_t)row[k + i] << (i % 4 * 8);
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

static __device__ int dot16(const uint4 &a, const uint4 &b, int sum) {
    sum = __dp4a((int)a.x, (int)b.x, sum);
    sum = __dp4a((int)a.y, (int)b.y, sum);
    sum = __dp4a((int)a.z, (int)b.z, sum);
    return __dp4a((int)a.w, (int)b.w, sum);
}

/* A row of i8: the bytes of x, the matrix. */
struct select_bytes {
    quantised a;
    view w;
    eights_units units;
    bool quick; /* rows of w are 16-byte aligned, k a multiple of 16 */

    __device__ float product(int64_t r, int64_t id, int lane) const {
        const int8_t *x = a.bytes + r * a.pitch, *row = (const int8_t *)w.data + w.row(id);
        const uint4 ones = make_uint4(0x01010101, 0x01010101, 0x01010101, 0x01010101);
        int sum = 0, all = 0;
        for (int k = lane * 16; k < (int)w.cols; k += GROUP * 16) {
            const uint4 b = quick ? sixteen(row, k) : some_of(row, k, (int)w.cols);
            sum = dot16(sixteen(x, k), b, sum);
            all = dot16(ones, b, all);
        }
        for (int o = GROUP / 2; o; o >>= 1) {
            sum += __shfl_xor_sync(group_mask(), sum, o);
            all += __shfl_xor_sync(group_mask(), all, o);
        }
        return units.number(sum, all, id, a.alpha[r]);
    }
};

/* A row of f32: sixteen lanes and the tree that berth/backend.h says. */
struct select_floats {
    view x, w;

    __device__ float product(int64_t r, int64_t id, int lane) const {
        const float *from = x.f32() + x.row(r), *row = w.f32() + w.row(id);
        float sum = 0;
        for (int k = lane; k < (int)w.cols; k += GROUP) {
            sum = fmaf(from[k], row[k], sum);
        }
        for (int o = GROUP / 2; o; o >>= 1) {
            sum = __fadd_rn(sum, __shfl_xor_sync(group_mask(), sum, o));
        }
        return sum;
    }
};

/* Grid (SELECT_BLOCKS at most, rows): a group of sixteen lanes makes one product at a time. */
template <class Side>
static __global__ void __launch_bounds__(SELECT_THREADS)
    select_rows(Side side, view ids, view list, view count, view bias, view y, bound live) {
    after_previous();
    const int64_t r = blockIdx.y;
    if (live.dead(r)) {
        return;
    }
    const int lane = threadIdx.x % GROUP, n = ((const int *)count.data)[r];
    const int *row = (const int *)ids.data + ids.row(((const int *)list.data)[r]);
    float *out = y.f32() + y.row(r);
    const int groups = SELECT_THREADS / GROUP;
    for (int i = blockIdx.x * groups + threadIdx.x / GROUP; i < n; i += gridDim.x * groups) {
        const float v = side.product(r, row[i], lane);
        if (lane == 0) {
            out[i] = bias.data ? __fadd_rn(v, bias.f32()[row[i]]) : v;
        }
    }
}

template <class Side>
static void run_select(cudaStream_t s, const struct berth_op_select *op, const Side &side,
                       bound live) {
    const int64_t groups = SELECT_THREADS / GROUP, blocks = (op->y.cols + groups - 1) / groups;
    start(s,
          dim3((unsigned)(blocks < SELECT_BLOCKS ? blocks : SELECT_BLOCKS), (unsigned)op->y.rows),
          SELECT_THREADS, 0, select_rows<Side>, side, make_view(&op->ids), make_view(&op->list),
          make_view(&op->count), make_view(&op->bias), make_view(&op->y), live);
}

void launch_select(cudaStream_t s, const struct berth_op_select *op, void *scratch, bound live) {
    const view x = make_view(&op->x), w = make_view(&op->w);
    if (w.dtype != BERTH_I8) {
        return run_select(s, op, select_floats{x, w}, live);
    }
    const quantised a = quantised_at(scratch, x.rows, x.cols);
    const bool quick = (uintptr_t)w.data % 16 == 0 && w.row_stride % 16 == 0 && w.cols % 16 == 0;
    quantise(s, x, op->eights.alpha, a, live);
    run_select(s, op,
               select_bytes{a, w, {make_view(&op->eights.unit).f32(), op->eights.alpha}, quick},
               live);
}

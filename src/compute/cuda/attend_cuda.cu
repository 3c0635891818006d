/*
 * Attention, exact f32: full (encoder) with tiles of 64 queries and 32 keys, and paged (decoder)
 * with one block per (head, row, 64 positions), the last of which joins the parts in order. What a
 * row gives depends on its own keys alone.
 *
 * Heads have up to 64 columns; narrower ones are filled up with zeros, which change no sum.
 */
#include "cuda_view.h"

#include <math_constants.h>

enum { DH = ATTEND_MAX_HEAD, BQ = 64, BKEY = 32, FULL_THREADS = 256 };

/* What a block of attend_tiles shares. */
struct tiles {
    float q[BQ][DH + 1], k[BKEY][DH + 1], v[BKEY][DH + 1], p[BQ][BKEY + 1];
    float max[BQ], sum[BQ], scale[BQ];
};

/* Rows [first, first + n) of head h, zero from row `end` on. */
static __device__ void load_rows(float (*to)[DH + 1], int n, view from, int64_t base, int64_t first,
                                 int64_t end, int64_t head, int dh) {
    for (int i = threadIdx.x; i < n * DH; i += FULL_THREADS) {
        int64_t r = first + i / DH;
        int c = i % DH;
        to[i / DH][c] =
            r < end && c < dh ? from.f32()[from.row(base + r) + from.col(head * dh + c)] : 0.0f;
    }
}

/* Thread (tx, ty): products of 4 queries and 2 keys; keys from `left` on are none. */
static __device__ void score(tiles &s, int tx, int ty, int64_t left) {
    float sum[4][2] = {};
#pragma unroll 8
    for (int c = 0; c < DH; c++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
                sum[i][j] = fmaf(s.q[ty * 4 + i][c], s.k[tx * 2 + j][c], sum[i][j]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            s.p[ty * 4 + i][tx * 2 + j] = tx * 2 + j < left ? sum[i][j] : -CUDART_INF_F;
        }
    }
}

/* One row of the running softmax: scores become weights, `scale` corrects what was summed before.
 */
static __device__ void soften(tiles &s, int row) {
    float *p = s.p[row], most = s.max[row], sum = 0.0f;
    for (int j = 0; j < BKEY; j++) {
        most = fmaxf(most, p[j]);
    }
    for (int j = 0; j < BKEY; j++) {
        p[j] = expf(p[j] - most);
        sum += p[j];
    }
    s.scale[row] = expf(s.max[row] - most);
    s.sum[row] = s.sum[row] * s.scale[row] + sum;
    s.max[row] = most;
}

/* Thread (tx, ty): outputs of 4 queries and 4 columns. */
static __device__ void accumulate(const tiles &s, int tx, int ty, float o[4][4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            o[i][j] *= s.scale[ty * 4 + i];
        }
    }
#pragma unroll 8
    for (int c = 0; c < BKEY; c++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                o[i][j] = fmaf(s.p[ty * 4 + i][c], s.v[c][tx * 4 + j], o[i][j]);
            }
        }
    }
}

/* Grid (query tiles, heads, groups). */
static __global__ void attend_tiles(view q, view k, view v, view y, int dh, int64_t t, int64_t q0,
                                    int64_t nq, bound live) {
    extern __shared__ char memory[];
    after_previous();
    tiles &s = *(tiles *)memory;
    int64_t g = blockIdx.z, h = blockIdx.y, i0 = (int64_t)blockIdx.x * BQ;
    if (live.dead(g)) {
        return;
    }
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    load_rows(s.q, BQ, q, g * t + q0, i0, nq, h, dh);
    if (threadIdx.x < BQ) {
        s.max[threadIdx.x] = -CUDART_INF_F;
        s.sum[threadIdx.x] = 0.0f;
    }
    float o[4][4] = {};
    for (int64_t k0 = 0; k0 < t; k0 += BKEY) {
        __syncthreads();
        load_rows(s.k, BKEY, k, g * t, k0, t, h, dh);
        load_rows(s.v, BKEY, v, g * t, k0, t, h, dh);
        __syncthreads();
        score(s, tx, ty, t - k0);
        __syncthreads();
        if (threadIdx.x < BQ) {
            soften(s, threadIdx.x);
        }
        __syncthreads();
        accumulate(s, tx, ty, o);
    }
    for (int i = 0; i < 4; i++) {
        int64_t r = i0 + ty * 4 + i;
        for (int j = 0; j < 4 && r < nq && tx * 4 + j < dh; j++) {
            y.f32()[y.row(g * nq + r) + y.col(h * dh + tx * 4 + j)] = o[i][j] / s.sum[ty * 4 + i];
        }
    }
}

cudaError_t attend_prepare(void) {
    return cudaFuncSetAttribute(attend_tiles, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                (int)sizeof(tiles));
}

void launch_attend_full(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live) {
    dim3 grid((unsigned)((op->nq + BQ - 1) / BQ), (unsigned)op->heads, (unsigned)op->groups);
    start(s, grid, FULL_THREADS, sizeof(tiles), attend_tiles, make_view(&op->q), make_view(&op->k),
          make_view(&op->v), make_view(&op->y), (int)op->head_dim, op->t, op->q0, op->nq, live);
}

/* ---- paged ---- */

enum { SPLIT = 64, STREAMS = 8, LANES = 16, COLUMNS = DH / LANES, PART = 2 + DH };

static int64_t n_splits(const struct berth_op_attend_paged *op) {
    return (op->table.cols * op->kv.page_rows + SPLIT - 1) / SPLIT;
}

size_t attend_paged_counters(const struct berth_op_attend_paged *op) {
    return (size_t)(op->q.rows * op->kv.heads) * sizeof(uint32_t);
}

size_t attend_paged_partial(const struct berth_op_attend_paged *op) {
    return (size_t)(op->q.rows * op->kv.heads * n_splits(op)) * PART * sizeof(float);
}

/* A running softmax over values; this lane's columns are lane * COLUMNS and those after it. */
struct running {
    float max, sum, o[COLUMNS];
};

/* Takes in another sum of its kind. */
static __device__ void merge(running &into, float max, float sum, const float *o) {
    float now = fmaxf(into.max, max);
    if (now == -CUDART_INF_F) {
        return;
    }
    float a = expf(into.max - now), b = expf(max - now);
    into.sum = into.sum * a + sum * b;
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        into.o[i] = into.o[i] * a + o[i] * b;
    }
    into.max = now;
}

/* A lane's columns of a row, zero beyond dh. QUAD: the rows are 64 columns, aligned. */
template <bool QUAD>
static __device__ void load_columns(float out[COLUMNS], const float *row, int lane, int dh) {
    if (QUAD) {
        const float4 v = ((const float4 *)row)[lane];
        out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
    } else {
        for (int i = 0; i < COLUMNS; i++) {
            out[i] = lane * COLUMNS + i < dh ? row[lane * COLUMNS + i] : 0.0f;
        }
    }
}
template <bool QUAD>
static __device__ void load_columns(float out[COLUMNS], const __half *row, int lane, int dh) {
    if (QUAD) {
        const uint2 v = ((const uint2 *)row)[lane];
        const float2 a = __half22float2(*(const __half2 *)&v.x),
                     b = __half22float2(*(const __half2 *)&v.y);
        out[0] = a.x, out[1] = a.y, out[2] = b.x, out[3] = b.y;
    } else {
        for (int i = 0; i < COLUMNS; i++) {
            out[i] = lane * COLUMNS + i < dh ? __half2float(row[lane * COLUMNS + i]) : 0.0f;
        }
    }
}

/* Key and value of one position against this lane's part of the query; returns the score. */
template <bool QUAD, class E>
static __device__ float position(running &r, const float query[COLUMNS], const E *key,
                                 const E *value, int lane, int dh) {
    float k[COLUMNS], v[COLUMNS], dot = 0.0f;
    load_columns<QUAD>(k, key, lane, dh);
    load_columns<QUAD>(v, value, lane, dh);
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        dot = fmaf(query[i], k[i], dot);
    }
    unsigned half = 0xffffu << (threadIdx.x % 32 / LANES * LANES);
    for (int d = LANES / 2; d; d >>= 1) {
        dot += __shfl_xor_sync(half, dot, d);
    }
    merge(r, dot, 1.0f, v);
    return dot;
}

/* The half-warps' sums, joined in order: in the first half-warp. */
static __device__ running join(const running &own, float (*part)[PART], int stream, int lane) {
    __syncthreads();           /* part may still be read from before */
    part[stream][0] = own.max; /* the same in all lanes */
    part[stream][1] = own.sum;
    for (int i = 0; i < COLUMNS; i++) {
        part[stream][2 + lane * COLUMNS + i] = own.o[i];
    }
    __syncthreads();
    running all = {-CUDART_INF_F, 0.0f, {}};
    for (int i = 0; i < STREAMS && stream == 0; i++) {
        merge(all, part[i][0], part[i][1], &part[i][2 + lane * COLUMNS]);
    }
    return all;
}

static __device__ void put(float *to, const running &r, int lane) {
    to[0] = r.max;
    to[1] = r.sum;
    for (int i = 0; i < COLUMNS; i++) {
        to[2 + lane * COLUMNS + i] = r.o[i];
    }
}

/* Grid (heads, rows, splits), 128 threads: eight half-warps walk the split's positions; the block
 * that ends last joins the splits, in order. partial: [row][head][split] {max, sum, o[64]}. */
template <bool QUAD, class E>
static __global__ void attend_split(view q, view table, view len, berth_kv kv, divider page,
                                    const E *data, uint32_t *counters, float *partial, view scores,
                                    view y, bound live) {
    __shared__ float part[STREAMS][PART];
    after_previous();
    int64_t h = blockIdx.x, r = blockIdx.y, split = blockIdx.z;
    int n = live.dead(r) ? 0 : ((const int *)len.data)[r];
    if (split * SPLIT >= n) {
        return;
    }
    int lane = threadIdx.x % LANES, stream = threadIdx.x / LANES, dh = (int)kv.head_dim;
    const int *pages = (const int *)table.data + table.row(r);
    float query[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        int c = lane * COLUMNS + i;
        query[i] = c < dh ? q.f32()[q.row(r) + q.col(h * dh + c)] : 0.0f;
    }
    running own = {-CUDART_INF_F, 0.0f, {}};
    int end = min(n, (int)(split + 1) * SPLIT), used = (n + SPLIT - 1) / SPLIT;
#pragma unroll 4
    for (int t = (int)split * SPLIT + stream; t < end; t += STREAMS) {
        const uint32_t p = page.of((uint32_t)t);
        const E *at = data + pages[p] * kv.page_stride + h * kv.page_rows * dh +
                      page.rest((uint32_t)t, p) * dh;
        float dot = position<QUAD>(own, query, at + kv.key_offset, at + kv.value_offset, lane, dh);
        if (scores.data && lane == 0) {
            scores.f32()[scores.row(r * kv.heads + h) + t] = dot;
        }
    }
    running all = join(own, part, stream, lane);
    if (used > 1) {
        float *splits = partial + (r * gridDim.x + h) * gridDim.z * PART;
        if (stream == 0) {
            put(splits + split * PART, all, lane);
        }
        if (!last_of((uint32_t)used, counters + r * gridDim.x + h)) {
            return;
        }
        running some = {-CUDART_INF_F, 0.0f, {}};
        for (int i = stream; i < used; i += STREAMS) {
            const float *p = splits + i * PART;
            merge(some, p[0], p[1], p + 2 + lane * COLUMNS);
        }
        all = join(some, part, stream, lane);
    }
    for (int i = 0; i < COLUMNS && stream == 0 && lane * COLUMNS + i < dh; i++) {
        y.f32()[y.row(r) + y.col(h * dh + lane * COLUMNS + i)] = all.o[i] / all.sum;
    }
}

template <class E>
static void run_paged(cudaStream_t s, const struct berth_op_attend_paged *op, uint32_t *counters,
                      float *partial, struct bound live) {
    const struct berth_kv *kv = &op->kv;
    const E *data = (const E *)((struct bth_cuda_buffer *)kv->buffer)->data;
    const bool quad = kv->head_dim == DH && (uintptr_t)data % 16 == 0 && kv->page_stride % 4 == 0 &&
                      kv->key_offset % 4 == 0 && kv->value_offset % 4 == 0;
    dim3 grid((unsigned)kv->heads, (unsigned)op->q.rows, (unsigned)n_splits(op));
    start(s, grid, STREAMS * LANES, 0, quad ? attend_split<true, E> : attend_split<false, E>,
          make_view(&op->q), make_view(&op->table), make_view(&op->len), *kv,
          divider::by(kv->page_rows), data, counters, partial, make_view(&op->scores),
          make_view(&op->y), live);
}

void launch_attend_paged(cudaStream_t s, const struct berth_op_attend_paged *op, uint32_t *counters,
                         float *partial, bool settled, struct bound live) {
    if (launch_attend_rows(s, op, counters, partial, settled, live)) {
        return;
    }
    if (op->kv.dtype == BERTH_F16) {
        run_paged<__half>(s, op, counters, partial, live);
    } else {
        run_paged<float>(s, op, counters, partial, live);
    }
}

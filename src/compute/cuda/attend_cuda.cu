/*
 * Attention, exact f32: full (encoder) with tiles of 64 queries and 32 keys, and paged (decoder) with
 * one block per (head, row, 256 positions) and a second kernel that joins the parts in order. What a
 * row gives depends on its own keys alone.
 */
#include "cuda_view.h"

#include <math_constants.h>

enum { DH = 64, BQ = 64, BKEY = 32, FULL_THREADS = 256 };

/* Grid (query tiles, heads, groups). Thread (tx, ty) of 16 x 16 owns scores [4 rows x 2 keys] and
 * outputs [4 rows x 4 columns]; the running maximum and sum of a row live in shared memory. */
static __global__ void attend_tiles(view q, view k, view v, view y, int64_t t, int64_t q0,
                                    int64_t nq, bound live) {
    __shared__ float qs[BQ][DH + 1], ks[BKEY][DH + 1], vs[BKEY][DH], ps[BQ][BKEY + 1];
    __shared__ float row_max[BQ], row_sum[BQ], row_scale[BQ];
    int64_t g = blockIdx.z, h = blockIdx.y, i0 = (int64_t)blockIdx.x * BQ;
    if (live.dead(g)) {
        return;
    }
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (int i = threadIdx.x; i < BQ * DH; i += FULL_THREADS) {
        int64_t r = i0 + i / DH;
        qs[i / DH][i % DH] =
            r < nq ? q.f32()[q.row(g * t + q0 + r) + q.col(h * DH + i % DH)] : 0.0f;
    }
    if (threadIdx.x < BQ) {
        row_max[threadIdx.x] = -CUDART_INF_F;
        row_sum[threadIdx.x] = 0.0f;
    }
    float o[4][4] = {};
    for (int64_t k0 = 0; k0 < t; k0 += BKEY) {
        __syncthreads();
        for (int i = threadIdx.x; i < BKEY * DH; i += FULL_THREADS) {
            int64_t r = k0 + i / DH;
            bool in = r < t;
            ks[i / DH][i % DH] = in ? k.f32()[k.row(g * t + r) + k.col(h * DH + i % DH)] : 0.0f;
            vs[i / DH][i % DH] = in ? v.f32()[v.row(g * t + r) + v.col(h * DH + i % DH)] : 0.0f;
        }
        __syncthreads();
        float score[4][2] = {};
#pragma unroll 8
        for (int c = 0; c < DH; c++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    score[i][j] = fmaf(qs[ty * 4 + i][c], ks[tx * 2 + j][c], score[i][j]);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 2; j++) {
                ps[ty * 4 + i][tx * 2 + j] =
                    k0 + tx * 2 + j < t ? score[i][j] : -CUDART_INF_F;
            }
        }
        __syncthreads();
        if (threadIdx.x < BQ) {
            float *p = ps[threadIdx.x];
            float most = row_max[threadIdx.x];
            for (int j = 0; j < BKEY; j++) {
                most = fmaxf(most, p[j]);
            }
            float scale = expf(row_max[threadIdx.x] - most), sum = 0.0f;
            for (int j = 0; j < BKEY; j++) {
                p[j] = expf(p[j] - most);
                sum += p[j];
            }
            row_sum[threadIdx.x] = row_sum[threadIdx.x] * scale + sum;
            row_max[threadIdx.x] = most;
            row_scale[threadIdx.x] = scale;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                o[i][j] *= row_scale[ty * 4 + i];
            }
        }
#pragma unroll 8
        for (int c = 0; c < BKEY; c++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    o[i][j] = fmaf(ps[ty * 4 + i][c], vs[c][tx * 4 + j], o[i][j]);
                }
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        int64_t r = i0 + ty * 4 + i;
        for (int j = 0; j < 4 && r < nq; j++) {
            int64_t c = h * DH + tx * 4 + j;
            y.f32()[y.row(g * nq + r) + y.col(c)] = o[i][j] / row_sum[ty * 4 + i];
        }
    }
}

void launch_attend_full(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live) {
    dim3 grid((unsigned)((op->nq + BQ - 1) / BQ), (unsigned)op->heads, (unsigned)op->groups);
    attend_tiles<<<grid, FULL_THREADS, 0, s>>>(make_view(&op->q), make_view(&op->k),
                                               make_view(&op->v), make_view(&op->y), op->t, op->q0,
                                               op->nq, live);
}

/* ---- paged ---- */

enum { SPLIT = 256, STREAMS = 8, PART = 2 + DH };

static int64_t n_splits(const struct berth_op_attend_paged *op) {
    return (op->table.cols * op->kv.page_rows + SPLIT - 1) / SPLIT;
}

size_t attend_paged_scratch(const struct berth_op_attend_paged *op) {
    return (size_t)(op->q.rows * op->kv.heads * n_splits(op)) * PART * sizeof(float);
}

/* Grid (heads, rows, splits), 128 threads: eight half-warps walk the split's positions, each with its
 * own running softmax; a lane holds 4 of the 64 columns. partial: [row][head][split] {max, sum, o}. */
static __global__ void attend_split(view q, view table, view len, berth_kv kv, const float *data,
                                    float *partial, view scores, bound live) {
    __shared__ float part_max[STREAMS], part_sum[STREAMS];
    __shared__ float4 part_out[STREAMS][16];
    int64_t h = blockIdx.x, r = blockIdx.y, split = blockIdx.z;
    if (live.dead(r)) {
        return;
    }
    int lane = threadIdx.x % 16, stream = threadIdx.x / 16;
    int n = ((const int *)len.data)[r];
    const int *pages = (const int *)table.data + table.row(r);
    float4 query = *(const float4 *)(q.f32() + q.row(r) + h * DH + lane * 4);
    float most = -CUDART_INF_F, sum = 0.0f;
    float4 o = make_float4(0, 0, 0, 0);
    int end = min(n, (int)(split + 1) * SPLIT);
    for (int t = (int)split * SPLIT + stream; t < end; t += STREAMS) {
        int64_t at = pages[t / kv.page_rows] * kv.page_stride + h * kv.page_rows * DH +
                     (t % kv.page_rows) * DH + lane * 4;
        float4 key = *(const float4 *)(data + at + kv.key_offset);
        float4 value = *(const float4 *)(data + at + kv.value_offset);
        float dot = query.x * key.x + query.y * key.y + query.z * key.z + query.w * key.w;
        unsigned half = 0xffffu << (threadIdx.x % 32 / 16 * 16);
        for (int d = 8; d; d >>= 1) {
            dot += __shfl_xor_sync(half, dot, d);
        }
        if (scores.data && lane == 0) {
            scores.f32()[scores.row(r * kv.heads + h) + t] = dot;
        }
        float now = fmaxf(most, dot), scale = expf(most - now), e = expf(dot - now);
        sum = sum * scale + e;
        o.x = o.x * scale + e * value.x;
        o.y = o.y * scale + e * value.y;
        o.z = o.z * scale + e * value.z;
        o.w = o.w * scale + e * value.w;
        most = now;
    }
    if (lane == 0) {
        part_max[stream] = most;
        part_sum[stream] = sum;
    }
    part_out[stream][lane] = o;
    __syncthreads();
    if (stream == 0) {
        float top = -CUDART_INF_F, total = 0.0f;
        float4 out = make_float4(0, 0, 0, 0);
        for (int i = 0; i < STREAMS; i++) {
            top = fmaxf(top, part_max[i]);
        }
        for (int i = 0; i < STREAMS && top > -CUDART_INF_F; i++) {
            float e = expf(part_max[i] - top);
            float4 p = part_out[i][lane];
            total += part_sum[i] * e;
            out.x += p.x * e, out.y += p.y * e, out.z += p.z * e, out.w += p.w * e;
        }
        float *to = partial + ((r * gridDim.x + h) * gridDim.z + split) * PART;
        if (lane == 0) {
            to[0] = top;
            to[1] = total;
        }
        to[2 + lane * 4] = out.x, to[3 + lane * 4] = out.y;
        to[4 + lane * 4] = out.z, to[5 + lane * 4] = out.w;
    }
}

/* Grid (heads, rows), 64 threads: joins the splits in order. */
static __global__ void attend_join(const float *partial, int splits, view y, bound live) {
    int64_t h = blockIdx.x, r = blockIdx.y;
    if (live.dead(r)) {
        return;
    }
    const float *p = partial + (r * gridDim.x + h) * splits * PART;
    float top = -CUDART_INF_F, sum = 0.0f, o = 0.0f;
    for (int i = 0; i < splits; i++) {
        top = fmaxf(top, p[i * PART]);
    }
    for (int i = 0; i < splits; i++) {
        float e = expf(p[i * PART] - top);
        sum += p[i * PART + 1] * e;
        o += p[i * PART + 2 + threadIdx.x] * e;
    }
    y.f32()[y.row(r) + h * DH + threadIdx.x] = o / sum;
}

void launch_attend_paged(cudaStream_t s, const struct berth_op_attend_paged *op, float *partial,
                         struct bound live) {
    unsigned heads = (unsigned)op->kv.heads, rows = (unsigned)op->q.rows;
    unsigned splits = (unsigned)n_splits(op);
    attend_split<<<dim3(heads, rows, splits), STREAMS * 16, 0, s>>>(
        make_view(&op->q), make_view(&op->table), make_view(&op->len), op->kv,
        (const float *)((struct bth_cuda_buffer *)op->kv.buffer)->data, partial,
        make_view(&op->scores), live);
    attend_join<<<dim3(heads, rows), DH, 0, s>>>(partial, (int)splits, make_view(&op->y), live);
}

/*
 * Paged attention of a fast device: single rows over f16 keys and values, which are read once and
 * are nearly all there is to do. So a thread asks for much at a time, 16 bytes each, before it
 * looks at any of it, and for the next round's keys while this one's values are at work.
 *
 * A block has a split of one head of one row, in rounds of 128 positions: eight lanes a position,
 * each with eight columns of the key, then of the value. A warp's positions make one softmax; the
 * block's four are joined in order, and so are the splits, by the block that ends last. What a row
 * gives depends on its own keys alone.
 */
#include "cuda_view.h"

#include <math_constants.h>

enum { DH = ATTEND_MAX_HEAD, THREADS = 128, WARPS = THREADS / 32, LANES = 8, COLUMNS = DH / LANES };
enum { EACH = 8, ROUND = EACH * THREADS / LANES, ROUNDS = 2, SPLIT = ROUNDS * ROUND };
enum { STEP = THREADS / LANES }; /* positions that a block's lanes reach side by side */

static int64_t n_splits(const struct berth_op_attend_paged *op) {
    return (op->table.cols * op->kv.page_rows + SPLIT - 1) / SPLIT;
}

/* Keys and values of one head of a row. */
struct positions {
    const __half *data; /* of page 0, this head */
    const int *pages;
    int64_t page_stride, key, value; /* where keys and values begin in a page */
    divider page;

    /* Columns [c, c + 8) of the keys or values of positions t, t + STEP ... below n, zeros beyond.
     * Not from the first-level cache, which may not know what the op before has stored. */
    __device__ void load(uint4 out[EACH], int t, int n, int64_t part, int c) const {
#pragma unroll
        for (int i = 0; i < EACH; i++, t += STEP) {
            out[i] = make_uint4(0, 0, 0, 0);
            if (t < n) {
                const uint32_t p = page.of((uint32_t)t);
                out[i] = __ldcg((const uint4 *)(data + pages[p] * page_stride + part +
                                                (int64_t)page.rest((uint32_t)t, p) * DH + c));
            }
        }
    }
};

static __device__ void widen8(uint4 bits, float out[8]) {
    const __half2 *h = (const __half2 *)&bits;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 v = __half22float2(h[i]);
        out[i * 2] = v.x;
        out[i * 2 + 1] = v.y;
    }
}

static __device__ float dot8(uint4 bits, const float query[COLUMNS]) {
    float k[COLUMNS], sum = 0.0f;
    widen8(bits, k);
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        sum = fmaf(query[j], k[j], sum);
    }
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    return sum + __shfl_xor_sync(~0u, sum, 4);
}

/* A softmax over some positions: its largest score, the sum of weights, weighted values. */
struct part {
    float max, sum, o[DH];
};

/* The same as it runs on, of this lane's columns and, of the sums, its own positions. */
struct running {
    float max, sum, o[COLUMNS];
};

/* One warp's positions of a round. */
static __device__ void weigh(running &r, const float s[EACH], const uint4 values[EACH]) {
    float most = r.max;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        most = fmaxf(most, s[i]);
    }
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 8));
    most = fmaxf(most, __shfl_xor_sync(~0u, most, 16));
    const float scale = r.max == -CUDART_INF_F ? 0.0f : __expf(r.max - most);
    r.max = most;
    r.sum *= scale;
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        r.o[j] *= scale;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const float w = s[i] == -CUDART_INF_F ? 0.0f : __expf(s[i] - most);
        float v[COLUMNS];
        widen8(values[i], v);
        r.sum += w;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            r.o[j] = fmaf(w, v[j], r.o[j]);
        }
    }
}

/* The warp's lanes of the same columns together. */
static __device__ void leave(running &r, part *out) {
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        r.o[j] += __shfl_xor_sync(~0u, r.o[j], 8);
        r.o[j] += __shfl_xor_sync(~0u, r.o[j], 16);
    }
    r.sum += __shfl_xor_sync(~0u, r.sum, 8);
    r.sum += __shfl_xor_sync(~0u, r.sum, 16);
    if (threadIdx.x % 32 < LANES) {
        out->max = r.max;
        out->sum = r.sum;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            out->o[threadIdx.x % LANES * COLUMNS + j] = r.o[j];
        }
    }
}

/* One column of a part. */
struct column {
    float max, sum, o;
};

/* Column c of parts joined in order. Volatile: other blocks may have written them just now. */
static __device__ column join(const volatile part *parts, int n, int c) {
    column all = {-CUDART_INF_F, 0.0f, 0.0f};
#pragma unroll 4
    for (int i = 0; i < n; i++) {
        all.max = fmaxf(all.max, parts[i].max);
    }
#pragma unroll 4
    for (int i = 0; i < n; i++) {
        const float max = parts[i].max, w = max == -CUDART_INF_F ? 0.0f : __expf(max - all.max);
        all.sum = fmaf(w, parts[i].sum, all.sum);
        all.o = fmaf(w, parts[i].o[c], all.o);
    }
    return all;
}

/* Grid (heads, rows, splits). partial: [row][head][split]. */
static __global__ void __launch_bounds__(THREADS, 4)
    attend_rows(view q, view table, view len, positions at, int64_t head_stride, bool settled,
                uint32_t *counters, part *partial, view scores, view y, bound live) {
    __shared__ part parts[WARPS];
    const int h = blockIdx.x, r = blockIdx.y, split = blockIdx.z;
    const int n = live.dead(r) ? 0 : ((const int *)len.data)[r];
    if (split * SPLIT >= n) {
        after_previous(); /* or the op after might not wait for the one before */
        return;
    }
    const int first = split * SPLIT + threadIdx.x / LANES, c = threadIdx.x % LANES * COLUMNS;
    at.data += h * head_stride;
    at.pages = (const int *)table.data + table.row(r);
    uint4 keys[EACH], values[EACH];
    if (!settled) {
        after_previous();
    }
    at.load(keys, first, n, at.key, c);
    at.load(values, first, n, at.value, c);
    if (settled) {
        after_previous();
    }
    const float4 *from = (const float4 *)(q.f32() + q.row(r) + h * DH + c);
    const float4 low = from[0], high = from[1];
    const float query[COLUMNS] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    running own = {-CUDART_INF_F, 0.0f, {}};
#pragma unroll
    for (int round = 0; round < ROUNDS; round++) {
        if (split * SPLIT + round * ROUND >= n) {
            break;
        }
        const int now = first + round * ROUND;
        float s[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int t = now + i * STEP;
            const float dot = dot8(keys[i], query);
            s[i] = t < n ? dot : -CUDART_INF_F;
            if (scores.data && t < n && c == 0) {
                scores.f32()[scores.row((int64_t)r * gridDim.x + h) + t] = dot;
            }
        }
        if (round + 1 < ROUNDS) {
            at.load(keys, now + ROUND, n, at.key, c);
        }
        weigh(own, s, values);
        if (round + 1 < ROUNDS) {
            at.load(values, now + ROUND, n, at.value, c);
        }
    }
    leave(own, &parts[threadIdx.x / 32]);
    __syncthreads();
    column all = {};
    if (threadIdx.x < DH) {
        all = join(parts, WARPS, threadIdx.x);
    }
    const int used = (n + SPLIT - 1) / SPLIT;
    if (used > 1) {
        part *splits = partial + ((int64_t)r * gridDim.x + h) * gridDim.z;
        if (threadIdx.x < DH) {
            splits[split].max = all.max;
            splits[split].sum = all.sum;
            splits[split].o[threadIdx.x] = all.o;
        }
        if (!last_of((uint32_t)used, counters + r * gridDim.x + h)) {
            return;
        }
        if (threadIdx.x < DH) {
            all = join(splits, used, threadIdx.x);
        }
    }
    if (threadIdx.x < DH) {
        y.f32()[y.row(r) + y.col(h * DH + threadIdx.x)] = all.o / all.sum;
    }
}

bool launch_attend_rows(cudaStream_t s, const struct berth_op_attend_paged *op, uint32_t *counters,
                        float *partial, bool settled, struct bound live) {
    const struct berth_kv *kv = &op->kv;
    const view q = make_view(&op->q);
    const __half *data = (const __half *)((struct bth_cuda_buffer *)kv->buffer)->data;
    if (kv->dtype != BERTH_F16 || kv->head_dim != DH || (uintptr_t)data % 16 != 0 ||
        kv->page_stride % 8 != 0 || kv->key_offset % 8 != 0 || kv->value_offset % 8 != 0 ||
        q.head_cols || !q.fours(0)) {
        return false;
    }
    const positions at = {
        data, NULL, kv->page_stride, kv->key_offset, kv->value_offset, divider::by(kv->page_rows)};
    const dim3 grid((unsigned)kv->heads, (unsigned)op->q.rows, (unsigned)n_splits(op));
    start(s, grid, THREADS, 0, attend_rows, q, make_view(&op->table), make_view(&op->len), at,
          kv->page_rows * DH, settled, counters, (part *)partial, make_view(&op->scores),
          make_view(&op->y), live);
    return true;
}

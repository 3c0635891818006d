/*
 * The recurrent unit, and the most likely ids of a row.
 *
 * `top` has one block a row, which reads it twice. The k-th largest of what its 32 warps have as
 * their largest is a floor under the row's k-th largest: few ids are above it, and each finds its
 * own place among them. Where many are, as in a row of equal numbers, they are found one by one.
 * Nothing depends on the order in which threads come.
 */
#include "search_cuda.h"

#include <math_constants.h>

/* One block a row. */
static __global__ void ssru_rows(view x, view gate, view residual, view from, view to, view y,
                                 float *state, int64_t stride, bound live) {
    after_previous();
    const int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const int before = ((const int *)from.data)[r], after = ((const int *)to.data)[r];
    const float *in = x.f32() + x.row(r), *open = gate.f32() + gate.row(r);
    const float *beside = residual.f32() + residual.row(r);
    float *out = y.f32() + y.row(r);
    for (int64_t c = threadIdx.x; c < y.cols; c += blockDim.x) {
        const float f = 1.0f / (1.0f + expf(-open[c]));
        const float old = before < 0 ? 0.0f : state[before * stride + c];
        const float now = f * old + (1.0f - f) * in[c];
        state[after * stride + c] = now;
        out[c] = fmaxf(now, 0.0f) + beside[c];
    }
}

void launch_ssru(cudaStream_t s, const struct berth_op_ssru *op, bound live) {
    start(s, (unsigned)op->y.rows, 128, 0, ssru_rows, make_view(&op->x), make_view(&op->gate),
          make_view(&op->residual), make_view(&op->from), make_view(&op->to), make_view(&op->y),
          (float *)((struct bth_cuda_buffer *)op->state)->data + op->offset, op->stride, live);
}

/* ---- top -------------------------------------------------------------------------------------*/

enum { THREADS = 1024, WARPS = THREADS / 32, ROOM = 2048 };

/* A logit and its id as one number: the larger logit is the larger number, of equal ones the one
 * of the smaller id. None is 0. */
typedef unsigned long long top_key;

static __device__ top_key key_of(float z, int id) {
    const uint32_t bits = __float_as_uint(__fadd_rn(z, 0.0f)); /* -0 becomes 0 */
    return (top_key)(bits >> 31 ? ~bits : bits | 0x80000000u) << 32 | (uint32_t)~id;
}
static __device__ float logit_of(top_key key) {
    const uint32_t bits = (uint32_t)(key >> 32);
    return __uint_as_float(bits >> 31 ? bits & 0x7fffffffu : ~bits);
}
static __device__ int id_of(top_key key) {
    return (int)~(uint32_t)key;
}

struct top_shared {
    top_key keys[ROOM];
    top_key best[WARPS];
    double sums[WARPS];
    float most[WARPS], left[WARPS]; /* of all, of what is not forbidden */
    float floor;
    unsigned n;
};

/* A row as an op of its own sees it. */
struct top_row {
    const float *z;
    berth_top_in in;
    int n, k;

    __device__ float all(int i) const {
        return z[i] == z[i] ? z[i] : -CUDART_INF_F;
    }
    __device__ float left(int i, float v) const {
        bool gone = false;
#pragma unroll
        for (int f = 0; f < BERTH_TOP_FORBID; f++) {
            gone |= in.forbid[f] == i;
        }
        return gone ? -CUDART_INF_F : v;
    }
};

static __device__ float warp_max(float v) {
    for (int o = 16; o; o >>= 1) {
        v = fmaxf(v, __shfl_xor_sync(~0u, v, o));
    }
    return v;
}

/* Fills t.floor; returns the largest logit that counts for the sum. */
static __device__ float find_floor(const top_row &row, top_shared &t) {
    float most = -CUDART_INF_F, left = -CUDART_INF_F;
#pragma unroll 8
    for (int i = threadIdx.x; i < row.n; i += THREADS) {
        const float all = row.all(i), v = row.left(i, all);
        most = fmaxf(most, row.in.all ? all : v);
        left = fmaxf(left, v);
    }
    most = warp_max(most);
    left = warp_max(left);
    if (threadIdx.x % 32 == 0) {
        t.most[threadIdx.x / 32] = most;
        t.left[threadIdx.x / 32] = left;
    }
    if (threadIdx.x == 0) {
        t.n = 0;
    }
    __syncthreads();
    if (threadIdx.x < WARPS) {
        const float own = t.left[threadIdx.x];
        int before = 0;
        for (int w = 0; w < WARPS; w++) {
            before += t.left[w] > own || (t.left[w] == own && w < (int)threadIdx.x);
        }
        if (before == row.k - 1) {
            t.floor = own;
        }
    }
    for (int w = 0; w < WARPS; w++) {
        most = fmaxf(most, t.most[w]);
    }
    __syncthreads();
    return most;
}

/* Puts the ids that are not below the floor into t.keys, as far as there is room; t.n is how many
 * they are. Returns the sum of exp(z - most). */
static __device__ double find_keys(const top_row &row, float most, top_shared &t) {
    float sum = 0;
#pragma unroll 8
    for (int i = threadIdx.x; i < row.n; i += THREADS) {
        const float all = row.all(i), v = row.left(i, all);
        sum += most > -CUDART_INF_F ? expf((row.in.all ? all : v) - most) : 0.0f;
        if (v >= t.floor && v > -CUDART_INF_F) {
            const unsigned at = atomicAdd(&t.n, 1u);
            if (at < ROOM) {
                t.keys[at] = key_of(v, i);
            }
        }
    }
    double part = sum, total = 0;
    for (int o = 16; o; o >>= 1) {
        part += __shfl_xor_sync(~0u, part, o);
    }
    if (threadIdx.x % 32 == 0) {
        t.sums[threadIdx.x / 32] = part;
    }
    __syncthreads();
    for (int w = 0; w < WARPS; w++) {
        total += t.sums[w];
    }
    return total;
}

/* The largest key below `than`; every thread gets it. */
static __device__ top_key next_below(const top_row &row, top_key than, top_shared &t) {
    top_key best = 0;
    for (int i = threadIdx.x; i < row.n; i += THREADS) {
        const float v = row.left(i, row.all(i));
        const top_key key = v > -CUDART_INF_F ? key_of(v, i) : 0;
        best = key < than && key > best ? key : best;
    }
    for (int o = 16; o; o >>= 1) {
        const top_key other = __shfl_xor_sync(~0u, best, o);
        best = other > best ? other : best;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        t.best[threadIdx.x / 32] = best;
    }
    __syncthreads();
    for (int w = 0; w < WARPS; w++) {
        best = t.best[w] > best ? t.best[w] : best;
    }
    return best;
}

static __device__ void put_top(berth_top_out *out, int place, top_key key, double total) {
    out->id[place] = key ? id_of(key) : -1;
    out->logprob[place] = key ? (float)((double)logit_of(key) - total) : -CUDART_INF_F;
}

static __global__ void __launch_bounds__(THREADS)
    top_rows(view logits, view in_view, view out_view, bound live) {
    __shared__ top_shared t;
    after_previous();
    const int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    top_row row = {logits.f32() + logits.row(r),
                   *(const berth_top_in *)((const uint32_t *)in_view.data + in_view.row(r))};
    row.n = min(row.in.n, (int)logits.cols);
    row.k = min(row.in.k, (int)BERTH_TOP);
    berth_top_out *out = (berth_top_out *)((uint32_t *)out_view.data + out_view.row(r));
    const float most = find_floor(row, t);
    const double total = (double)most + log(find_keys(row, most, t));
    const int n = (int)t.n, found = n < row.k ? n : row.k;
    if (threadIdx.x < BERTH_TOP && (int)threadIdx.x >= found) {
        put_top(out, threadIdx.x, 0, total);
    }
    if (n > ROOM) {
        top_key key = ~0ULL;
        for (int i = 0; i < found; i++) {
            key = next_below(row, key, t);
            if (threadIdx.x == 0) {
                put_top(out, i, key, total);
            }
        }
        return;
    }
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const top_key own = t.keys[i];
        int place = 0;
        for (int j = 0; j < n; j++) {
            place += t.keys[j] > own;
        }
        if (place < row.k) {
            put_top(out, place, own, total);
        }
    }
}

void launch_top(cudaStream_t s, const struct berth_op_top *op, bound live) {
    start(s, (unsigned)op->logits.rows, THREADS, 0, top_rows, make_view(&op->logits),
          make_view(&op->in), make_view(&op->out), live);
}

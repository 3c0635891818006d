/*
 * pick: logits stay on the device, an id and a few numbers come back. One block a row; sums over
 * the vocabulary are per thread (ids t, t + 1024, ...) and then one fixed tree.
 */
#include "cuda_view.h"

#include <math_constants.h>

enum { THREADS = 1024 };

struct best {
    float z;
    int id;
};

/* The larger value wins, the smaller id on ties; -1 loses to any id. */
static __device__ bool better(float z, int id, float other, int other_id) {
    return other_id < 0 || (id >= 0 && (z > other || (z == other && id < other_id)));
}

/* Reductions over the block; every thread gets the result. */
static __device__ float all_max(float v, float *shared) {
    for (int o = 16; o; o >>= 1) {
        v = fmaxf(v, __shfl_xor_sync(~0u, v, o));
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float most = shared[0];
    for (int w = 1; w < THREADS / 32; w++) {
        most = fmaxf(most, shared[w]);
    }
    return most;
}

static __device__ float all_sum(float v, float *shared) {
    for (int o = 16; o; o >>= 1) {
        v += __shfl_xor_sync(~0u, v, o);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float sum = 0;
    for (int w = 0; w < THREADS / 32; w++) {
        sum += shared[w];
    }
    return sum;
}

/* Keyed by a double, so that draws and plain values go the same way. */
static __device__ int all_best(double key, int id, double *keys, int *ids) {
    __syncthreads();
    keys[threadIdx.x] = key;
    ids[threadIdx.x] = id;
    for (int n = THREADS / 2; n; n >>= 1) {
        __syncthreads();
        if (threadIdx.x < n) {
            double k = keys[threadIdx.x + n];
            int i = ids[threadIdx.x + n];
            bool take = ids[threadIdx.x] < 0 ||
                        (i >= 0 && (k > keys[threadIdx.x] ||
                                    (k == keys[threadIdx.x] && i < ids[threadIdx.x])));
            if (take) {
                keys[threadIdx.x] = k;
                ids[threadIdx.x] = i;
            }
        }
    }
    __syncthreads();
    return ids[0];
}

static __device__ float filtered(const float *z, int id, const berth_pick_in &in,
                                 const uint32_t *mask, int floor) {
    float v = z[id];
    bool gone = id < floor || !(v == v);
    if (mask) {
        gone |= mask[id / 32] >> (id % 32) & 1;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        gone |= id >= in.forbid[i][0] && id < in.forbid[i][1];
    }
    return gone ? -CUDART_INF_F : v;
}

/* Salmon et al., SC 2011: Philox4x32-10; word id % 4 of block id / 4. */
static __device__ uint32_t philox_word(const berth_pick_in &in, uint32_t id) {
    uint32_t c[4] = {id / 4, in.step | in.row << 16, in.window, in.attempt};
    uint32_t k0 = in.seed_lo, k1 = in.seed_hi;
    for (int i = 0; i < 10; i++) {
        uint32_t h0 = __umulhi(0xD2511F53u, c[0]), l0 = 0xD2511F53u * c[0];
        uint32_t h1 = __umulhi(0xCD9E8D57u, c[2]), l1 = 0xCD9E8D57u * c[2];
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c[id % 4];
}

static __global__ void __launch_bounds__(THREADS)
    pick_rows(view logits, view in_view, view out_view, view mask, view probs, bound live) {
    __shared__ float shared[32];
    __shared__ double keys[THREADS];
    __shared__ int ids[THREADS];
    int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const int v = (int)logits.cols;
    const float *z = logits.f32() + logits.row(r);
    const berth_pick_in in =
        *(const berth_pick_in *)((const uint32_t *)in_view.data + in_view.row(r));
    const uint32_t *bits =
        in.mask >= 0 && mask.data ? (const uint32_t *)mask.data + mask.row(in.mask) : NULL;
    berth_pick_out out = {};
    /* the probe, on the row as it is */
    if (in.probe >= 0) {
        float most = -CUDART_INF_F, sum = 0;
        for (int i = threadIdx.x; i < v; i += THREADS) {
            most = fmaxf(most, z[i]); /* fmaxf drops NaN */
        }
        most = all_max(most, shared);
        for (int i = threadIdx.x; i < v; i += THREADS) {
            sum += z[i] == z[i] ? expf(z[i] - most) : 0.0f;
        }
        float all = all_sum(sum, shared), own = z[in.probe];
        out.probe_prob = own == own && all > 0 ? expf(own - most) / all : 0.0f;
    }
    /* the group rule */
    int floor = 0;
    out.group_margin = CUDART_NAN_F;
    if (in.group_begin >= 0) {
        float text = -CUDART_INF_F, most = -CUDART_INF_F, sum = 0;
        for (int i = threadIdx.x; i < v; i += THREADS) {
            float f = filtered(z, i, in, bits, 0);
            text = i < in.group_begin ? fmaxf(text, f) : text;
            most = i < in.group_begin ? most : fmaxf(most, f);
        }
        text = all_max(text, shared);
        most = all_max(most, shared);
        for (int i = in.group_begin + threadIdx.x; i < v && most > -CUDART_INF_F; i += THREADS) {
            sum += expf(filtered(z, i, in, bits, 0) - most);
        }
        float group = most > -CUDART_INF_F ? most + logf(all_sum(sum, shared)) : -CUDART_INF_F;
        out.group_margin = group - text;
        floor = group > text ? in.group_begin : 0;
    }
    /* the best two, and the sum for log-probabilities */
    best first = {0, -1}, second = {0, -1};
    for (int i = threadIdx.x; i < v; i += THREADS) {
        float f = filtered(z, i, in, bits, floor);
        if (f == -CUDART_INF_F) {
            continue;
        }
        if (better(f, i, first.z, first.id)) {
            second = first;
            first = {f, i};
        } else if (better(f, i, second.z, second.id)) {
            second = {f, i};
        }
    }
    int top = all_best(first.z, first.id, keys, ids);
    bool mine = top >= 0 && first.id == top;
    int next = all_best(mine ? second.z : first.z, mine ? second.id : first.id, keys, ids);
    float most = top < 0 ? 0.0f : z[top], sum = 0;
    for (int i = threadIdx.x; i < v; i += THREADS) {
        sum += expf(filtered(z, i, in, bits, floor) - most);
    }
    float total = all_sum(sum, shared);
    int id = top;
    if (in.temperature > 0 && top >= 0) {
        double best_key = 0;
        int best_id = -1;
        for (int i = threadIdx.x; i < v; i += THREADS) {
            float f = filtered(z, i, in, bits, floor);
            if (f == -CUDART_INF_F) {
                continue;
            }
            double u = ((double)philox_word(in, (uint32_t)i) + 0.5) / 4294967296.0;
            double key = (double)f / (double)in.temperature - log(-log(u));
            if (best_id < 0 || key > best_key) {
                best_key = key;
                best_id = i;
            }
        }
        id = all_best(best_key, best_id, keys, ids);
    }
    for (int i = threadIdx.x; i < v && probs.data; i += THREADS) {
        float e = expf(filtered(z, i, in, bits, floor) - most);
        probs.f32()[probs.row(r) + i] = total > 0 ? e / total : 0.0f; /* nothing left: all zero */
    }
    if (threadIdx.x == 0) {
        out.id = id;
        out.logprob = id < 0 ? -CUDART_INF_F : z[id] - (most + logf(total));
        out.top_id[0] = top;
        out.top_id[1] = next;
        out.top_logit[0] = top < 0 ? -CUDART_INF_F : z[top];
        out.top_logit[1] = next < 0 ? -CUDART_INF_F : z[next];
        *(berth_pick_out *)((uint32_t *)out_view.data + out_view.row(r)) = out;
    }
}

void launch_pick(cudaStream_t s, const struct berth_op_pick *op, struct bound live) {
    pick_rows<<<(unsigned)op->logits.rows, THREADS, 0, s>>>(
        make_view(&op->logits), make_view(&op->in), make_view(&op->out), make_view(&op->mask),
        make_view(&op->all_probs), live);
}

/*
 * pick: logits stay on the device, an id and a few numbers come back. One block a row; sums over
 * the vocabulary are per thread (ids t, t + 1024, ...) and then one fixed tree.
 *
 * The filters are applied once and the row rewritten, so that later passes only read numbers. Loops
 * over the vocabulary are unrolled: one block alone has to keep many loads under way.
 */
#include "cuda_view.h"

#include <math_constants.h>

enum { THREADS = 1024, WARPS = THREADS / 32 };

/* What the block shares. */
struct table {
    float floats[WARPS];
    double keys[WARPS];
    int ids[WARPS];
};

/* ---- reductions over the block; every thread gets the result ----*/

static __device__ float all_max(float v, table &t) {
    for (int o = 16; o; o >>= 1) {
        v = fmaxf(v, __shfl_xor_sync(~0u, v, o));
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        t.floats[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float most = t.floats[0];
    for (int w = 1; w < WARPS; w++) {
        most = fmaxf(most, t.floats[w]);
    }
    return most;
}

static __device__ float all_sum(float v, table &t) {
    for (int o = 16; o; o >>= 1) {
        v += __shfl_xor_sync(~0u, v, o);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        t.floats[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float sum = 0;
    for (int w = 0; w < WARPS; w++) {
        sum += t.floats[w];
    }
    return sum;
}

/* The larger key wins, the smaller id on ties; -1 loses to any id. */
static __device__ void take_better(double &key, int &id, double other, int other_id) {
    if (id < 0 || (other_id >= 0 && (other > key || (other == key && other_id < id)))) {
        key = other;
        id = other_id;
    }
}

/* Keyed by a double, so that draws and plain values go the same way. */
static __device__ int all_best(double key, int id, table &t) {
    for (int o = 16; o; o >>= 1) {
        double other = __shfl_xor_sync(~0u, key, o);
        int other_id = __shfl_xor_sync(~0u, id, o);
        take_better(key, id, other, other_id);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        t.keys[threadIdx.x / 32] = key;
        t.ids[threadIdx.x / 32] = id;
    }
    __syncthreads();
    key = t.keys[0];
    id = t.ids[0];
    for (int w = 1; w < WARPS; w++) {
        take_better(key, id, t.keys[w], t.ids[w]);
    }
    return id;
}

/* ---- one thread's part of a row ----*/

/* The best two of what it has seen, in the order of their ids. */
struct best2 {
    float z[2];
    int id[2];

    __device__ void see(float v, int i) {
        if (v == -CUDART_INF_F) {
            return;
        }
        if (id[0] < 0 || v > z[0]) {
            z[1] = z[0], id[1] = id[0];
            z[0] = v, id[0] = i;
        } else if (id[1] < 0 || v > z[1]) {
            z[1] = v, id[1] = i;
        }
    }
};

static __device__ bool forbidden(int id, const berth_pick_in &in, const uint32_t *mask) {
    bool gone = mask && (mask[id / 32] >> (id % 32) & 1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        gone |= id >= in.forbid[i][0] && id < in.forbid[i][1];
    }
    return gone;
}

/* Filters ids [begin, end) of the row in place: what is forbidden or NaN becomes -inf. */
static __device__ best2 filter(float *z, int begin, int end, const berth_pick_in &in,
                               const uint32_t *mask) {
    best2 best = {{0, 0}, {-1, -1}};
#pragma unroll 8
    for (int i = begin + threadIdx.x; i < end; i += THREADS) {
        const float raw = z[i], v = raw != raw || forbidden(i, in, mask) ? -CUDART_INF_F : raw;
        z[i] = v;
        best.see(v, i);
    }
    return best;
}

static __device__ float sum_exp(const float *z, int begin, int end, float most) {
    float sum = 0;
#pragma unroll 8
    for (int i = begin + threadIdx.x; i < end; i += THREADS) {
        sum += z[i] == z[i] ? expf(z[i] - most) : 0.0f; /* NaN only before the filter */
    }
    return sum;
}

/* softmax of the row as it is, at in.probe */
static __device__ float probe(const float *z, int v, int id, table &t) {
    float most = -CUDART_INF_F;
#pragma unroll 8
    for (int i = threadIdx.x; i < v; i += THREADS) {
        most = fmaxf(most, z[i]); /* fmaxf drops NaN */
    }
    most = all_max(most, t);
    const float own = z[id], sum = all_sum(sum_exp(z, 0, v, most), t);
    return own == own && sum > 0 ? expf(own - most) / sum : 0.0f;
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

/* A draw from ids [begin, v) of the filtered row. */
static __device__ int draw(const float *z, int begin, int v, const berth_pick_in &in, table &t) {
    double best = 0;
    int id = -1;
    for (int i = begin + threadIdx.x; i < v; i += THREADS) {
        if (z[i] != -CUDART_INF_F) {
            const double u = ((double)philox_word(in, (uint32_t)i) + 0.5) / 4294967296.0;
            take_better(best, id, (double)z[i] / (double)in.temperature - log(-log(u)), i);
        }
    }
    return all_best(best, id, t);
}

/* Fills margin by the group rule; returns the first id that is left. */
static __device__ int group_rule(const float *z, int begin, int v, const best2 &text,
                                 const best2 &group, float *margin, table &t) {
    const float most_text = all_max(text.id[0] < 0 ? -CUDART_INF_F : text.z[0], t);
    const float most = all_max(group.id[0] < 0 ? -CUDART_INF_F : group.z[0], t);
    float sum = -CUDART_INF_F;
    if (most > -CUDART_INF_F) {
        sum = most + logf(all_sum(sum_exp(z, begin, v, most), t));
    }
    *margin = sum - most_text;
    return sum > most_text ? begin : 0;
}

static __global__ void __launch_bounds__(THREADS)
    pick_rows(view logits, view in_view, view out_view, view mask, view probs, bound live) {
    __shared__ table t;
    after_previous();
    const int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const int v = (int)logits.cols;
    float *z = logits.f32() + logits.row(r);
    const berth_pick_in in =
        *(const berth_pick_in *)((const uint32_t *)in_view.data + in_view.row(r));
    const uint32_t *bits =
        in.mask >= 0 && mask.data ? (const uint32_t *)mask.data + mask.row(in.mask) : NULL;
    berth_pick_out out = {};
    if (in.probe >= 0) {
        out.probe_prob = probe(z, v, in.probe, t);
        __syncthreads(); /* before the row changes */
    }
    const int begin = in.group_begin < 0 ? v : in.group_begin;
    best2 best = filter(z, 0, begin, in, bits), group = filter(z, begin, v, in, bits);
    __syncthreads();
    int floor = 0;
    out.group_margin = CUDART_NAN_F;
    if (in.group_begin >= 0) {
        floor = group_rule(z, begin, v, best, group, &out.group_margin, t);
        if (floor > 0) {
            best = {{0, 0}, {-1, -1}};
        }
        for (int i = 0; i < 2 && group.id[i] >= 0; i++) {
            best.see(group.z[i], group.id[i]);
        }
    }
    const int top = all_best(best.z[0], best.id[0], t), mine = top >= 0 && best.id[0] == top;
    const int next = all_best(best.z[mine], best.id[mine], t);
    const float most = top < 0 ? 0.0f : z[top];
    const float total = all_sum(sum_exp(z, floor, v, most), t);
    const int id = in.temperature > 0 && top >= 0 ? draw(z, floor, v, in, t) : top;
    for (int i = threadIdx.x; i < v && probs.data; i += THREADS) { /* nothing left: all zero */
        probs.f32()[probs.row(r) + i] = i >= floor && total > 0 ? expf(z[i] - most) / total : 0.0f;
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
    start(s, (unsigned)op->logits.rows, THREADS, 0, pick_rows, make_view(&op->logits),
          make_view(&op->in), make_view(&op->out), make_view(&op->mask), make_view(&op->all_probs),
          live);
}

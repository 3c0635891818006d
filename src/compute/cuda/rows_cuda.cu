/* Ops that move or normalise rows: embed, layer_norm, gather, kv_store, kv_copy. */
#include "search_cuda.h"

enum { ROW_THREADS = 128 };

/* One block a row: y[r] = table[ids[r]] * unit * scale + positions[pos[r]]; zeros for ids
 * below 0. */
static __global__ void embed_rows(view ids, view pos, view table, view positions, view y,
                                  float unit, float scale, bound live) {
    after_previous();
    int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    int id = ((const int *)ids.data)[r], p = ((const int *)pos.data)[r];
    float *out = y.f32() + y.row(r);
    for (int64_t c = threadIdx.x; c < y.cols; c += blockDim.x) {
        const float v = id < 0 ? 0.0f : __fmul_rn(table.at(id, c), unit);
        out[c] = fmaf(v, scale, positions.at(p, c));
    }
}

static view weight_view(const struct berth_weight *w) {
    view v = {};
    v.data = ((const struct bth_cuda_weight *)w)->data;
    v.dtype = w->dtype;
    v.rows = w->n;
    v.cols = w->k;
    v.row_stride = w->dtype == BERTH_I8 ? eights_pitch(w->k) : w->k;
    return v;
}

void launch_embed(cudaStream_t s, const struct berth_op_embed *op, struct bound live) {
    const view table = op->table ? weight_view(op->table) : make_view(&op->rows);
    start(s, (unsigned)op->y.rows, ROW_THREADS, 0, embed_rows, make_view(&op->ids),
          make_view(&op->pos), table, make_view(&op->positions), make_view(&op->y),
          table.dtype == BERTH_I8 ? op->unit : 1.0f, op->scale, live);
}

/* Sum over the block in a fixed tree: lanes by xor, then warps in order. */
static __device__ float block_sum(float v, float *shared) {
    for (int o = 16; o; o >>= 1) {
        v += __shfl_xor_sync(~0u, v, o);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = v;
    }
    __syncthreads();
    float sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) {
        sum += shared[w];
    }
    return sum;
}

/* One block a row, which it keeps in registers: PER columns a thread. Mean first, then the variance
 * around it. */
template <int PER, bool EARLY = PER <= 4>
static __global__ void norm_rows(view x, const float *gamma, const float *beta, view y, float eps,
                                 bound live) {
    __shared__ float shared[32];
    float v[PER], g[PER], b[PER], sum = 0, squares = 0;
    if (EARLY) { /* these never change */
#pragma unroll
        for (int i = 0; i < PER; i++) {
            int64_t c = threadIdx.x + i * ROW_THREADS;
            g[i] = c < x.cols ? gamma[c] : 0.0f;
            b[i] = c < x.cols ? beta[c] : 0.0f;
        }
    }
    after_previous();
    int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const float *in = x.f32() + x.row(r);
    const int64_t out = y.row(r);
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int64_t c = threadIdx.x + i * ROW_THREADS;
        v[i] = c < x.cols ? in[c] : 0.0f;
        sum += v[i];
    }
    float mean = block_sum(sum, shared) / (float)x.cols;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        v[i] -= mean;
        squares += threadIdx.x + i * ROW_THREADS < x.cols ? v[i] * v[i] : 0.0f;
    }
    float inverse = 1.0f / sqrtf(block_sum(squares, shared) / (float)x.cols + eps);
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int64_t c = threadIdx.x + i * ROW_THREADS;
        if (c < x.cols) {
            y.put(out + c,
                  EARLY ? v[i] * inverse * g[i] + b[i] : v[i] * inverse * gamma[c] + beta[c]);
        }
    }
}

void launch_layer_norm(cudaStream_t s, const struct berth_op_layer_norm *op, struct bound live) {
    auto kernel = op->x.cols <= 4 * ROW_THREADS    ? norm_rows<4>
                  : op->x.cols <= 16 * ROW_THREADS ? norm_rows<16>
                                                   : norm_rows<NORM_MAX_COLS / ROW_THREADS>;
    start(s, (unsigned)op->x.rows, ROW_THREADS, 0, kernel, make_view(&op->x),
          make_view(&op->gamma).f32(), make_view(&op->beta).f32(), make_view(&op->y), op->eps,
          live);
}

static __global__ void gather_rows(view x, view rows, view y, bound live) {
    after_previous();
    int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    const float *in = x.f32() + x.row(((const int *)rows.data)[r]);
    float *out = y.f32() + y.row(r);
    for (int64_t c = threadIdx.x; c < y.cols; c += blockDim.x) {
        out[c] = in[c];
    }
}

void launch_gather(cudaStream_t s, const struct berth_op_gather *op, struct bound live) {
    start(s, (unsigned)op->y.rows, ROW_THREADS, 0, gather_rows, make_view(&op->x),
          make_view(&op->rows), make_view(&op->y), live);
}

/* One block a row of x: [key | value], each heads x head_dim. `kv` is the store as a view. */
static __global__ void store_rows(view x, view table, view pos, view kv, berth_kv k, bound live) {
    after_previous();
    int64_t r = blockIdx.x;
    if (live.dead(r)) {
        return;
    }
    int p = ((const int *)pos.data)[r];
    int page = ((const int *)table.data)[table.row(r) + p / k.page_rows];
    const float *in = x.f32() + x.row(r);
    const int64_t at = page * k.page_stride + (p % k.page_rows) * k.head_dim;
    int64_t d = k.heads * k.head_dim;
    for (int64_t c = threadIdx.x; c < d; c += blockDim.x) {
        int64_t to = (c / k.head_dim) * k.page_rows * k.head_dim + c % k.head_dim;
        kv.put(at + k.key_offset + to, in[c]);
        kv.put(at + k.value_offset + to, in[d + c]);
    }
}

static view kv_view(const struct berth_kv *kv) {
    view v = {};
    v.data = ((struct bth_cuda_buffer *)kv->buffer)->data;
    v.dtype = kv->dtype;
    return v;
}

void launch_kv_store(cudaStream_t s, const struct berth_op_kv_store *op, struct bound live) {
    start(s, (unsigned)op->x.rows, ROW_THREADS, 0, store_rows, make_view(&op->x),
          make_view(&op->table), make_view(&op->pos), kv_view(&op->kv), op->kv, live);
}

/* Block (i, part): copies a part of page from[i] to page to[i]; V is what is moved at a time. */
template <class V>
static __global__ void copy_pages(view from, view to, char *kv, int64_t page_bytes, bound live) {
    after_previous();
    int64_t i = blockIdx.x;
    if (live.dead(i)) {
        return;
    }
    const V *in = (const V *)(kv + ((const int *)from.data)[i] * page_bytes);
    V *out = (V *)(kv + ((const int *)to.data)[i] * page_bytes);
    const int64_t n = page_bytes / (int64_t)sizeof(V);
    for (int64_t c = blockIdx.y * blockDim.x + threadIdx.x; c < n;
         c += (int64_t)gridDim.y * blockDim.x) {
        out[c] = in[c];
    }
}

void launch_kv_copy(cudaStream_t s, const struct berth_op_kv_copy *op, struct bound live) {
    dim3 grid((unsigned)op->from.cols, 16);
    const int64_t bytes = op->kv.page_stride * (op->kv.dtype == BERTH_F32 ? 4 : 2);
    auto kernel = bytes % 16 == 0 ? copy_pages<float4> : copy_pages<__half>;
    start(s, grid, 256, 0, kernel, make_view(&op->from), make_view(&op->to),
          ((struct bth_cuda_buffer *)op->kv.buffer)->data, bytes, live);
}

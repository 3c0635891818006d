/*
 * compute/cuda/cuda_view.h - a berth_tensor as kernels see it.
 */
#ifndef BTH_CUDA_VIEW_H
#define BTH_CUDA_VIEW_H

#include "cuda_device.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>

/* n / d for n below 2^31 by a multiplication (Granlund and Montgomery, PLDI 1994): a division of
 * 64 bits, once per element, costs more than the product it belongs to. */
struct divider {
    uint32_t d, factor;
    int shift;

    static divider by(int64_t d) {
        divider v = {(uint32_t)(d > 0 ? d : 1), 0, 0};
        while ((UINT64_C(1) << v.shift) < v.d) {
            v.shift++;
        }
        v.factor = (uint32_t)((UINT64_C(1) << 32) * ((UINT64_C(1) << v.shift) - v.d) / v.d + 1);
        return v;
    }
    __device__ uint32_t of(uint32_t n) const {
        return (__umulhi(n, factor) + n) >> shift;
    }
    __device__ uint32_t rest(uint32_t n, uint32_t quotient) const {
        return n - quotient * d;
    }
};

/* Row r, column c of the tensor is element row(r) + col(c) of `data`. */
struct view {
    void *data; /* NULL: no tensor */
    int dtype;
    int64_t rows, cols, row_stride;
    const int *index; /* NULL: one group */
    int64_t group_stride, head_cols, head_stride;
    divider groups, heads; /* by rows of a group, by columns of a head */

    __device__ int64_t row(int64_t r) const {
        if (!index) {
            return r * row_stride;
        }
        const uint32_t g = groups.of((uint32_t)r);
        return index[g] * group_stride + groups.rest((uint32_t)r, g) * row_stride;
    }
    __device__ int64_t col(int64_t c) const {
        if (!head_cols) {
            return c;
        }
        const uint32_t h = heads.of((uint32_t)c);
        return h * head_stride + heads.rest((uint32_t)c, h);
    }
    __host__ __device__ float *f32() const {
        return (float *)data;
    }
    __host__ __device__ __half *f16() const {
        return (__half *)data;
    }
    /* Element i (row + col) of a tensor that may be narrow. f16 saturates. */
    __device__ void put(int64_t i, float v) const {
        if (dtype == BERTH_F16) {
            f16()[i] = __float2half_rn(fminf(fmaxf(v, -65504.0f), 65504.0f));
        } else {
            f32()[i] = v;
        }
    }
    /* Whether four columns from the one at `column` on, where the first's index is a multiple of
     * four, lie side by side in every row, and can be read or written at once. */
    __host__ __device__ bool fours(int64_t column) const {
        const int64_t align = dtype == BERTH_F32 ? 16 : 8;
        return (uintptr_t)data % align == 0 && column % 4 == 0 && row_stride % 4 == 0 &&
               group_stride % 4 == 0 && head_cols % 4 == 0;
    }
    /* One element of a table that may be stored in 16 bits or bytes. */
    __device__ float at(int64_t r, int64_t c) const {
        return element(row(r) + col(c));
    }
    __device__ float element(int64_t i) const {
        switch (dtype) {
        case BERTH_F16:
            return __half2float(((const __half *)data)[i]);
        case BERTH_BF16:
            return __bfloat162float(((const __nv_bfloat16 *)data)[i]);
        case BERTH_I8:
            return (float)((const int8_t *)data)[i];
        default:
            return ((const float *)data)[i];
        }
    }
};

/* The live counts of a program and which one bounds an op. */
struct bound {
    const uint32_t *live;
    int which;
    __device__ bool dead(int64_t row, int64_t rows_per_count = 1) const {
        return row >= rows(INT64_MAX, rows_per_count);
    }
    /* How many of m rows are live. The others must not be read either: what places them is not
     * written. */
    __device__ int64_t rows(int64_t m, int64_t rows_per_count = 1) const {
        const int64_t n = which < 0 ? m : (int64_t)live[which] * rows_per_count;
        return n < m ? n : m;
    }
};

static inline struct view make_view(const struct berth_tensor *t) {
    struct view v = {};
    if (!t->buffer) {
        return v;
    }
    size_t size = t->dtype == BERTH_F32 || t->dtype == BERTH_I32 || t->dtype == BERTH_U32 ? 4
                  : t->dtype == BERTH_I8                                                  ? 1
                                                                                          : 2;
    v.data = ((struct bth_cuda_buffer *)t->buffer)->data + t->offset * size;
    v.dtype = t->dtype;
    v.rows = t->rows;
    v.cols = t->cols;
    v.row_stride = t->row_stride;
    v.head_cols = t->head_cols;
    v.head_stride = t->head_stride;
    v.heads = divider::by(t->head_cols);
    if (t->index) {
        v.index = (const int *)((struct bth_cuda_buffer *)t->index)->data + t->index_offset;
        v.groups = divider::by(t->group_rows);
        v.group_stride = t->group_stride;
    }
    return v;
}

/*
 * Kernels of a program run one after the other, but a small one may be set up while the one before
 * it ends: so every kernel begins with after_previous(), and nothing before it may touch memory
 * that a kernel of the program writes. Weights, and what an engine writes before a run (page
 * tables, lengths, live counts), may be read.
 * (Programmatic dependent launch; GPUs before 9.0 do without. A grid that fills the GPU would only
 * take the place of blocks that still work.)
 */
static __device__ inline void after_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* Whether this block is the last of `n` to come here; the counter is zero again afterwards. What
 * the others wrote before is visible to it. */
static __device__ inline bool last_of(uint32_t n, uint32_t *counter) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1) == n - 1;
        if (last) {
            *counter = 0;
        }
    }
    __syncthreads();
    __threadfence();
    return last;
}

/* Blocks that a kernel launched early may have: `small` ones find room beside others. */
enum start_size { LARGE_BLOCKS = 1, SMALL_BLOCKS = 3 }; /* for each processor */

template <class... P, class... A>
static void start_sized(enum start_size size, cudaStream_t s, dim3 grid, unsigned threads,
                        size_t shared, void (*kernel)(P...), const A &...args) {
    int device = 0, major = 0, processors = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = s;
    config.attrs = &overlap;
    const int64_t blocks = (int64_t)grid.x * grid.y * grid.z;
    config.numAttrs = major >= 9 && blocks <= (int64_t)size * processors ? 1 : 0;
    cudaLaunchKernelEx(&config, kernel, P(args)...);
}

template <class... P, class... A>
static void start(cudaStream_t s, dim3 grid, unsigned threads, size_t shared, void (*kernel)(P...),
                  const A &...args) {
    start_sized(LARGE_BLOCKS, s, grid, threads, shared, kernel, args...);
}

/* Ops put their kernels on the stream; called while the program's graph is captured. */
void launch_embed(cudaStream_t s, const struct berth_op_embed *op, struct bound live);
void launch_layer_norm(cudaStream_t s, const struct berth_op_layer_norm *op, struct bound live);
void launch_gather(cudaStream_t s, const struct berth_op_gather *op, struct bound live);
void launch_kv_store(cudaStream_t s, const struct berth_op_kv_store *op, struct bound live);
void launch_kv_copy(cudaStream_t s, const struct berth_op_kv_copy *op, struct bound live);
void launch_linear(cudaStream_t s, const struct berth_op_linear *op, struct bound live);
void launch_conv3(cudaStream_t s, const struct berth_op_conv3 *op, struct bound live);
void launch_attend_full(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live);
/* `settled`: no kernel of the program writes the keys and values. */
void launch_attend_paged(cudaStream_t s, const struct berth_op_attend_paged *op, uint32_t *counters,
                         float *partial, bool settled, struct bound live);
void launch_pick(cudaStream_t s, const struct berth_op_pick *op, struct bound live);

enum {
    ATTEND_MAX_HEAD = 64, /* columns of a head */
    NORM_MAX_COLS = 8192  /* of a row that a block keeps in registers */
};

/* Once per device, before the first launch. */
cudaError_t attend_prepare(void), attend_fast_prepare(void);

/* attend_full of a fast device: products in f16, sums in f32. */
void launch_attend_fast(cudaStream_t s, const struct berth_op_attend_full *op, struct bound live);

/* attend_paged of a fast device, if keys and values are f16 rows of 64; false: they are not. */
bool launch_attend_rows(cudaStream_t s, const struct berth_op_attend_paged *op, uint32_t *counters,
                        float *partial, bool settled, struct bound live);

/* Bytes that attend_paged needs, by either kernel: of `counters`, zero before the first run and
 * left so, and of `partial`. */
size_t attend_paged_counters(const struct berth_op_attend_paged *op);
size_t attend_paged_partial(const struct berth_op_attend_paged *op);

#endif

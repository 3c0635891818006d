/*
 * compute/cuda/linear_cuda.h - what exact and fast products share: how inputs come and outputs
 * leave.
 */
#ifndef BTH_LINEAR_CUDA_H
#define BTH_LINEAR_CUDA_H

#include "cuda_view.h"
#include "mma.h"

/* How an output leaves: bias, activation, scale of the first columns, residual. */
struct epilogue {
    const float *bias;
    view residual, y;
    int act;
    int64_t scale_cols;
    float scale;

    /* The output of column c before the residual. */
    __device__ float finish(int64_t c, float v) const {
        if (bias) {
            v += bias[c];
        }
        if (act == BERTH_ACT_GELU) {
            v = 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
        } else if (act == BERTH_ACT_RELU) {
            v = fmaxf(v, 0.0f);
        } else if (act == BERTH_ACT_SWISH) {
            v = v / (1.0f + expf(-v));
        }
        return c < scale_cols ? v * scale : v;
    }
    __device__ void store(int64_t r, int64_t c, float v) const {
        v = finish(c, v);
        if (residual.data) {
            v = __fadd_rn(v, residual.f32()[residual.row(r) + residual.col(c)]);
        }
        y.put(y.row(r) + y.col(c), v);
    }
};

/* Whether rows can be read 16 bytes at a time. */
static inline bool dense(const view &x) {
    return (uintptr_t)x.data % 16 == 0 && x.row_stride % 4 == 0 && x.group_stride % 4 == 0 &&
           !x.head_cols;
}

/* Whether eight f16 of a row can be copied as they are, from every eighth on. */
static inline bool chunks(const view &x) {
    return x.dtype == BERTH_F16 && (uintptr_t)x.data % 16 == 0 && x.row_stride % 8 == 0 &&
           x.group_stride % 8 == 0 && !x.head_cols;
}

static __device__ inline void load8(const float *p, float out[8]) {
    float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

/* The left side of a product: element (row, k); of few rows, which are f32, also eight from a k
 * that 8 divides, and who stays in a row keeps a cursor of it. */
struct plain_rows {
    view x;
    bool quick; /* dense(x) */
    typedef const float *cursor;

    __device__ cursor enter(int64_t r) const {
        return x.f32() + x.row(r);
    }
    __device__ void eight(cursor row, int k, float out[8]) const {
        if (quick) {
            return load8(row + k, out);
        }
        for (int i = 0; i < 8; i++) {
            out[i] = row[x.col(k + i)];
        }
    }

    __device__ float at(int64_t r, int k) const {
        return x.at(r, k);
    }
};

/* conv3: row g * t_out + t, column j * c_in + c is x[g, t * stride + j - 1, c], zero outside. */
struct conv_rows {
    view x;
    int64_t t_in, stride;
    divider t_out, c_in;

    __device__ float at(int64_t r, int k) const {
        const uint32_t g = t_out.of((uint32_t)r), j = c_in.of((uint32_t)k);
        const int64_t t = t_out.rest((uint32_t)r, g) * stride + j - 1;
        return t < 0 || t >= t_in ? 0.0f : x.at(g * t_in + t, c_in.rest((uint32_t)k, j));
    }
};

/* Fast products of whole windows and of few rows; the weight is in f16. False: not of a shape that
 * they take (k a multiple of 8, and of 32 for few rows). fast_conv: m rows of op's windows. */
bool fast_many(cudaStream_t s, const view &x, const struct bth_cuda_weight *w, const epilogue &out,
               bound live);
bool fast_conv(cudaStream_t s, const struct berth_op_conv3 *op, const struct bth_cuda_weight *w,
               const epilogue &out, bound live);
bool fast_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
              const epilogue &out, bound live);

/* Once per device, before the first launch. */
cudaError_t fast_prepare(void);

#endif

/*
 * compute/cuda/linear_cuda.h - what exact and fast products share: how inputs come and outputs
 * leave.
 */
#ifndef BTH_LINEAR_CUDA_H
#define BTH_LINEAR_CUDA_H

#include "cuda_view.h"

/* How an output leaves: bias, activation, scale of the first columns, residual. */
struct epilogue {
    const float *bias;
    view residual, y;
    int act;
    int64_t scale_cols;
    float scale;

    __device__ void store(int64_t r, int64_t c, float v) const {
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
        if (c < scale_cols) {
            v *= scale;
        }
        if (residual.data) {
            v += residual.f32()[residual.row(r) + residual.col(c)];
        }
        y.f32()[y.row(r) + y.col(c)] = v;
    }
};

/* Whether rows can be read 16 bytes at a time. */
static inline bool dense(const view &x) {
    return (uintptr_t)x.data % 16 == 0 && x.row_stride % 4 == 0 && x.group_stride % 4 == 0 &&
           !x.head_cols;
}

static __device__ inline void load8(const float *p, float out[8]) {
    float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

/* The left side of a product: element (row, k), or eight from a k that 8 divides. Who stays in a
 * row keeps a cursor of it. */
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
        return x.f32()[x.row(r) + x.col(k)];
    }
};

/* conv3: row g * t_out + t, column j * c_in + c is x[g, t * stride + j - 1, c], zero outside. */
struct conv_rows {
    view x;
    int64_t t_in, stride;
    divider t_out, c_in;
    bool quick; /* dense(x) and 8 divides c_in */
    typedef int64_t cursor;

    __device__ cursor enter(int64_t r) const {
        return r;
    }

    /* Where (row, k) is, or NULL outside. */
    __device__ const float *place(int64_t r, int k) const {
        const uint32_t g = t_out.of((uint32_t)r), j = c_in.of((uint32_t)k);
        const int64_t t = t_out.rest((uint32_t)r, g) * stride + j - 1;
        return t < 0 || t >= t_in ? NULL
                                  : x.f32() + x.row(g * t_in + t) + c_in.rest((uint32_t)k, j);
    }
    __device__ float at(int64_t r, int k) const {
        const float *p = place(r, k);
        return p ? *p : 0.0f;
    }
    __device__ void eight(int64_t r, int k, float out[8]) const {
        const float *p = place(r, k);
        if (quick && p) {
            return load8(p, out);
        }
        for (int i = 0; i < 8; i++) {
            out[i] = at(r, k + i);
        }
    }
};

/* Fast products of whole windows and of few rows; the weight is in 16 bits. False: not of a shape
 * that they take (k a multiple of 32). */
bool fast_many(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
               const epilogue &out, bound live, int64_t rows_per_count);
bool fast_many(cudaStream_t s, const conv_rows &a, int64_t m, const struct bth_cuda_weight *w,
               const epilogue &out, bound live, int64_t rows_per_count);
bool fast_few(cudaStream_t s, const plain_rows &a, int64_t m, const struct bth_cuda_weight *w,
              const epilogue &out, bound live);

#endif

/*
 * compute/cuda/fast_out.h - how the outputs of fast products of whole windows leave: four
 * neighbouring columns of a row at a time.
 */
#ifndef BTH_FAST_OUT_H
#define BTH_FAST_OUT_H

#include "linear_cuda.h"

/* erf(x) within 2e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26), at a
 * third of erff's cost. */
static __device__ inline float quick_erf(float x) {
    const float a = fabsf(x), t = __fdividef(1.0f, fmaf(0.3275911f, a, 1.0f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(p, t, 1.421413741f);
    p = fmaf(p, t, -0.284496736f);
    p = fmaf(p, t, 0.254829592f);
    return copysignf(fmaf(-p * t, __expf(-a * a), 1.0f), x);
}

/* Four neighbouring columns of a lane, the same in every row. */
struct four {
    float bias[4], scale[4];
    int64_t y, residual; /* where the first is in a row */
    int have;            /* of them there are */
    bool whole;          /* they lie side by side, aligned, in y and in the residual */
};

static __device__ inline four choose_four(const epilogue &out, int64_t c, int64_t n) {
    four f = {};
    f.have = (int)min((int64_t)4, max((int64_t)0, n - c));
    if (!f.have) {
        return f;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        f.bias[i] = out.bias && i < f.have ? out.bias[c + i] : 0.0f;
        f.scale[i] = c + i < out.scale_cols ? out.scale : 1.0f;
    }
    f.y = out.y.col(c);
    f.residual = out.residual.data ? out.residual.col(c) : 0;
    f.whole =
        f.have == 4 && out.y.fours(f.y) && (!out.residual.data || out.residual.fours(f.residual));
    return f;
}

/* Bias, activation and scale. */
static __device__ inline void finish_four(const epilogue &out, const four &f, float v[4]) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        v[j] += f.bias[j];
        if (out.act == BERTH_ACT_GELU) {
            v[j] = 0.5f * v[j] * (1.0f + quick_erf(v[j] * 0.70710678118654752f));
        } else if (out.act == BERTH_ACT_RELU) {
            v[j] = fmaxf(v[j], 0.0f);
        } else if (out.act == BERTH_ACT_SWISH) {
            v[j] = __fdividef(v[j], 1.0f + __expf(-v[j]));
        }
        v[j] *= f.scale[j];
    }
}

/* A row's four columns leave; `y` and `residual` are where the row begins. */
static __device__ inline void write_four(const epilogue &out, const four &f, int64_t y,
                                         int64_t residual, int64_t c, const float v[4]) {
    if (!f.whole) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i < f.have) {
                const float more = out.residual.data
                                       ? out.residual.f32()[residual + out.residual.col(c + i)]
                                       : 0.0f;
                out.y.put(y + out.y.col(c + i), v[i] + more);
            }
        }
        return;
    }
    if (out.y.dtype == BERTH_F16) {
        *(uint2 *)(out.y.f16() + y + f.y) = make_uint2(narrow2(v[0], v[1]), narrow2(v[2], v[3]));
        return;
    }
    float4 more = make_float4(0, 0, 0, 0);
    if (out.residual.data) {
        more = *(const float4 *)(out.residual.f32() + residual + f.residual);
    }
    *(float4 *)(out.y.f32() + y + f.y) =
        make_float4(v[0] + more.x, v[1] + more.y, v[2] + more.z, v[3] + more.w);
}

#endif

/*
 * compute/cpu/math_kernels.h - exp, GELU and the other activations on v16.
 *
 * Polynomials are least-maximum fits of our own, evaluated by fma in one fixed order, so every
 * instruction set gives the same bits. Coefficients are exact as hexadecimal floats.
 */
#ifndef BTH_MATH_KERNELS_H
#define BTH_MATH_KERNELS_H

#include "v16.h"
#include <berth/backend.h>

static const float lane_number[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/*
 * exp(x) for x <= 88; below -87.3 it is 0 (results are never subnormal). Relative error < 1.2e-7.
 * x = n ln 2 + r with |r| <= ln 2 / 2, exp(x) = 2^n (1 + r + r^2 q(r)). Adding 1.5 * 2^23 leaves
 * n in the low bits of the sum's pattern, which v_scale2 shifts into the exponent.
 */
V_INLINE v16 v_exp(v16 x) {
    const v16 magic = v_set1(0x1.8p23f), low = v_set1(-87.3f);
    const v16 c = v_max(x, low);
    const v16 t = v_fma(c, v_set1(0x1.715476p+0f), magic);
    const v16 n = v_sub(t, magic);
    v16 r = v_fma(n, v_set1(-0x1.63p-1f), c);
    r = v_fma(n, v_set1(0x1.bd0106p-13f), r);
    v16 q = v_set1(0x1.6a2434p-10f);
    q = v_fma(q, r, v_set1(0x1.1239e4p-7f));
    q = v_fma(q, r, v_set1(0x1.5558f2p-5f));
    q = v_fma(q, r, v_set1(0x1.555492p-3f));
    q = v_fma(q, r, v_set1(0x1.fffffcp-2f));
    q = v_fma(q, v_mul(r, r), r);
    return v_if_gt(low, x, v_zero(), v_scale2(v_add(q, v_set1(1.0f)), t));
}

/*
 * GELU with the exact error function: x Phi(x). With u = min(|x|, 8), Phi(-u) = exp(g(u)), where
 * g(u) = ln(erfc(u / sqrt 2) / 2) is smooth: a polynomial of degree 11. Then x Phi(x) is
 * x - x Phi(-u) for x > 0, else x Phi(-u). Absolute error < 2e-7 for |x| <= 8 (the rounding of the
 * result included), and relative where the result is small.
 */
V_INLINE v16 v_gelu(v16 x) {
    const v16 u = v_min(v_max(x, v_sub(v_zero(), x)), v_set1(8.0f));
    v16 g = v_set1(0x1.2c5834p-29f);
    g = v_fma(g, u, v_set1(-0x1.591a20p-24f));
    g = v_fma(g, u, v_set1(0x1.5b3770p-20f));
    g = v_fma(g, u, v_set1(-0x1.927934p-17f));
    g = v_fma(g, u, v_set1(0x1.22fbc0p-14f));
    g = v_fma(g, u, v_set1(-0x1.e4328ap-13f));
    g = v_fma(g, u, v_set1(0x1.a31bb6p-15f));
    g = v_fma(g, u, v_set1(0x1.39131cp-8f));
    g = v_fma(g, u, v_set1(-0x1.29a7d4p-5f));
    g = v_fma(g, u, v_set1(-0x1.45f300p-2f));
    g = v_fma(g, u, v_set1(-0x1.988454p-1f));
    g = v_fma(g, u, v_set1(-0x1.62e430p-1f));
    const v16 tail = v_mul(x, v_exp(g));
    return v_if_gt(x, v_zero(), v_sub(x, tail), tail);
}

V_INLINE v16 v_activate(enum berth_activation act, v16 x) {
    switch (act) {
    case BERTH_ACT_GELU:
        return v_gelu(x);
    case BERTH_ACT_RELU:
        return v_max(x, v_zero());
    case BERTH_ACT_SWISH:
        /* at x = -88 the quotient is below 1e-36 already */
        return v_div(x, v_add(v_set1(1.0f), v_exp(v_min(v_sub(v_zero(), x), v_set1(88.0f)))));
    case BERTH_ACT_NONE:
        break;
    }
    return x;
}

static void kernel_exp(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        v_store_n(y + i, v_exp(v_load_n(x + i, m)), m);
    }
}

static void kernel_gelu(const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const int m = n - i < 16 ? (int)(n - i) : 16;
        v_store_n(y + i, v_gelu(v_load_n(x + i, m)), m);
    }
}

#endif

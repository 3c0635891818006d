/* compute/cpu/v16_scalar.h - v16 as sixteen floats, for any machine: right, and slow. See v16.h. */
#ifndef BTH_V16_SCALAR_H
#define BTH_V16_SCALAR_H

#include <math.h>
#include <string.h>

#define V_ISA  "scalar"
#define V_ROWS 4
#define V_COLS 1

typedef struct {
    float lane[16];
} v16;

#define V_EACH(expression)                                                                         \
    v16 r;                                                                                         \
    for (int i = 0; i < 16; i++) {                                                                 \
        r.lane[i] = (expression);                                                                  \
    }                                                                                              \
    return r

V_INLINE v16 v_set1(float f) {
    V_EACH(f);
}
V_INLINE v16 v_zero(void) {
    return v_set1(0);
}
V_INLINE v16 v_load(const float *p) {
    V_EACH(p[i]);
}
V_INLINE void v_store(float *p, v16 v) {
    memcpy(p, v.lane, sizeof(v.lane));
}
V_INLINE v16 v_load_n(const float *p, int n) {
    V_EACH(i < n ? p[i] : 0.0f);
}
V_INLINE void v_store_n(float *p, v16 v, int n) {
    memcpy(p, v.lane, (size_t)n * sizeof(float));
}
V_INLINE float v_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}
V_INLINE uint32_t v_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}
/* Exact: the halves' exponent and mantissa as an f32, times 2^112; infinity and NaN apart. */
V_INLINE float v_f16(uint32_t h) {
    const uint32_t sign = (h & 0x8000) << 16, rest = (h & 0x7fff) << 13;
    if ((h & 0x7c00) == 0x7c00) {
        const uint32_t quiet = (h & 0x3ff) ? 0x00400000u : 0;
        return v_of_bits(sign | 0x7f800000u | (rest & 0x007fffffu) | quiet);
    }
    return v_of_bits(sign | v_bits(v_of_bits(rest) * 0x1p112f));
}
V_INLINE v16 v_load_f16(const uint16_t *p) {
    V_EACH(v_f16(p[i]));
}
V_INLINE v16 v_load_bf16(const uint16_t *p) {
    V_EACH(v_of_bits((uint32_t)p[i] << 16));
}
V_INLINE v16 v_add(v16 a, v16 b) {
    V_EACH(a.lane[i] + b.lane[i]);
}
V_INLINE v16 v_sub(v16 a, v16 b) {
    V_EACH(a.lane[i] - b.lane[i]);
}
V_INLINE v16 v_mul(v16 a, v16 b) {
    V_EACH(a.lane[i] * b.lane[i]);
}
V_INLINE v16 v_div(v16 a, v16 b) {
    V_EACH(a.lane[i] / b.lane[i]);
}
V_INLINE v16 v_fma(v16 a, v16 b, v16 c) {
    V_EACH(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
V_INLINE v16 v_max(v16 a, v16 b) {
    V_EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
V_INLINE v16 v_min(v16 a, v16 b) {
    V_EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
V_INLINE v16 v_if_gt(v16 a, v16 b, v16 x, v16 y) {
    V_EACH(a.lane[i] > b.lane[i] ? x.lane[i] : y.lane[i]);
}
V_INLINE v16 v_if_num(v16 a, v16 y) {
    V_EACH(isnan(a.lane[i]) ? y.lane[i] : a.lane[i]);
}
V_INLINE v16 v_scale2(v16 p, v16 t) {
    V_EACH(v_of_bits(v_bits(p.lane[i]) + (v_bits(t.lane[i]) << 23)));
}

V_INLINE float v_sum(v16 v) {
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            v.lane[i] += v.lane[i + half];
        }
    }
    return v.lane[0];
}
V_INLINE float v_max_lane(v16 v) {
    for (int i = 1; i < 16; i++) {
        v.lane[0] = v.lane[i] > v.lane[0] ? v.lane[i] : v.lane[0];
    }
    return v.lane[0];
}
V_INLINE void v_transpose(v16 v[16]) {
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < i; j++) {
            const float f = v[i].lane[j];
            v[i].lane[j] = v[j].lane[i];
            v[j].lane[i] = f;
        }
    }
}

#endif

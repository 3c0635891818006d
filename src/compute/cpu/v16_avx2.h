/* compute/cpu/v16_avx2.h - v16 as two AVX registers, with FMA and F16C. See v16.h. */
#ifndef BTH_V16_AVX2_H
#define BTH_V16_AVX2_H

#include <immintrin.h>

#define V_ISA  "AVX2"
#define V_ROWS 6 /* 6 x 1 sums of two registers, 2 weights, 1 activation: 15 of 16 */
#define V_COLS 1

typedef struct {
    __m256 lo, hi;
} v16;

#define V_BOTH(lo_, hi_) ((v16){(lo_), (hi_)})

V_INLINE v16 v_zero(void) {
    return V_BOTH(_mm256_setzero_ps(), _mm256_setzero_ps());
}
V_INLINE v16 v_set1(float f) {
    return V_BOTH(_mm256_set1_ps(f), _mm256_set1_ps(f));
}
V_INLINE v16 v_load(const float *p) {
    return V_BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
V_INLINE void v_store(float *p, v16 v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}
/* The mask of lanes [first, first + 8) below n. */
V_INLINE __m256i v_mask(int first, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - first), lane);
}
V_INLINE v16 v_load_n(const float *p, int n) {
    return V_BOTH(_mm256_maskload_ps(p, v_mask(0, n)), _mm256_maskload_ps(p + 8, v_mask(8, n)));
}
V_INLINE void v_store_n(float *p, v16 v, int n) {
    _mm256_maskstore_ps(p, v_mask(0, n), v.lo);
    _mm256_maskstore_ps(p + 8, v_mask(8, n), v.hi);
}
V_INLINE v16 v_load_f16(const uint16_t *p) {
    return V_BOTH(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
V_INLINE __m256 v_bf16_half(const uint16_t *p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
V_INLINE v16 v_load_bf16(const uint16_t *p) {
    return V_BOTH(v_bf16_half(p), v_bf16_half(p + 8));
}
V_INLINE v16 v_add(v16 a, v16 b) {
    return V_BOTH(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
V_INLINE v16 v_sub(v16 a, v16 b) {
    return V_BOTH(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
V_INLINE v16 v_mul(v16 a, v16 b) {
    return V_BOTH(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
V_INLINE v16 v_div(v16 a, v16 b) {
    return V_BOTH(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
V_INLINE v16 v_fma(v16 a, v16 b, v16 c) {
    return V_BOTH(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
V_INLINE v16 v_max(v16 a, v16 b) {
    return V_BOTH(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
V_INLINE v16 v_min(v16 a, v16 b) {
    return V_BOTH(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi));
}
V_INLINE v16 v_if_gt(v16 a, v16 b, v16 x, v16 y) {
    return V_BOTH(_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
                  _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)));
}
V_INLINE v16 v_if_num(v16 a, v16 y) {
    return V_BOTH(_mm256_blendv_ps(y.lo, a.lo, _mm256_cmp_ps(a.lo, a.lo, _CMP_EQ_OQ)),
                  _mm256_blendv_ps(y.hi, a.hi, _mm256_cmp_ps(a.hi, a.hi, _CMP_EQ_OQ)));
}
V_INLINE __m256 v_scale2_half(__m256 p, __m256 t) {
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}
V_INLINE v16 v_scale2(v16 p, v16 t) {
    return V_BOTH(v_scale2_half(p.lo, t.lo), v_scale2_half(p.hi, t.hi));
}

V_INLINE float v_sum(v16 v) {
    const __m256 a = _mm256_add_ps(v.lo, v.hi);
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V_INLINE float v_max_lane(v16 v) {
    const __m256 a = _mm256_max_ps(v.lo, v.hi);
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
V_INLINE void v_transpose(v16 v[16]) {
    float m[16][16];
    for (int i = 0; i < 16; i++) {
        v_store(m[i], v[i]);
    }
    for (int i = 0; i < 16; i++) {
        float column[16];
        for (int j = 0; j < 16; j++) {
            column[j] = m[j][i];
        }
        v[i] = v_load(column);
    }
}

#endif

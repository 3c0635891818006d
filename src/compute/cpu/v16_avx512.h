/* compute/cpu/v16_avx512.h - v16 as one AVX-512 register. See v16.h. */
#ifndef BTH_V16_AVX512_H
#define BTH_V16_AVX512_H

#include <immintrin.h>

#define V_ISA  "AVX-512"
#define V_ROWS 14 /* 14 x 2 sums, 2 weights, 1 activation: 31 of 32 registers */
#define V_COLS 2

typedef __m512 v16;

V_INLINE v16 v_zero(void) {
    return _mm512_setzero_ps();
}
V_INLINE v16 v_set1(float f) {
    return _mm512_set1_ps(f);
}
V_INLINE v16 v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V_INLINE void v_store(float *p, v16 v) {
    _mm512_storeu_ps(p, v);
}
V_INLINE v16 v_load_n(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
V_INLINE void v_store_n(float *p, v16 v, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
V_INLINE v16 v_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V_INLINE v16 v_load_bf16(const uint16_t *p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V_INLINE v16 v_add(v16 a, v16 b) {
    return _mm512_add_ps(a, b);
}
V_INLINE v16 v_sub(v16 a, v16 b) {
    return _mm512_sub_ps(a, b);
}
V_INLINE v16 v_mul(v16 a, v16 b) {
    return _mm512_mul_ps(a, b);
}
V_INLINE v16 v_div(v16 a, v16 b) {
    return _mm512_div_ps(a, b);
}
V_INLINE v16 v_fma(v16 a, v16 b, v16 c) {
    return _mm512_fmadd_ps(a, b, c);
}
V_INLINE v16 v_max(v16 a, v16 b) {
    return _mm512_max_ps(a, b);
}
V_INLINE v16 v_min(v16 a, v16 b) {
    return _mm512_min_ps(a, b);
}
V_INLINE v16 v_if_gt(v16 a, v16 b, v16 x, v16 y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
V_INLINE v16 v_if_num(v16 a, v16 y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_EQ_OQ), y, a);
}
V_INLINE v16 v_scale2(v16 p, v16 t) {
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
}

V_INLINE float v_sum(v16 v) {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V_INLINE float v_max_lane(v16 v) {
    return _mm512_reduce_max_ps(v);
}

/* Pairs of rows, then of pairs, within 128-bit lanes; then the lanes. */
V_INLINE void v_transpose(v16 v[16]) {
    v16 t[16];
    V_UNROLL
    for (int i = 0; i < 16; i += 4) {
        const v16 a = _mm512_unpacklo_ps(v[i], v[i + 1]), b = _mm512_unpackhi_ps(v[i], v[i + 1]);
        const v16 c = _mm512_unpacklo_ps(v[i + 2], v[i + 3]);
        const v16 d = _mm512_unpackhi_ps(v[i + 2], v[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    V_UNROLL
    for (int i = 0; i < 4; i++) {
        const v16 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        const v16 b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        const v16 c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const v16 d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        v[i] = _mm512_shuffle_f32x4(a, b, 0x88);
        v[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
        v[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

/* The sums of sixteen registers, each in the tree of v_sum: both halves of two registers meet in
 * one, then the quarters of two such, then pairs, then lanes. */
#define V_HAS_SUMS
V_INLINE v16 v_sums(v16 v[16]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    V_UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44),
                             _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xee));
    }
    V_UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xdd));
    }
    V_UNROLL
    for (int i = 0; i < 2; i++) { /* 64 bits of each register of a quarter */
        v[i] = _mm512_add_ps(_mm512_shuffle_ps(v[2 * i], v[2 * i + 1], 0x44),
                             _mm512_shuffle_ps(v[2 * i], v[2 * i + 1], 0xee));
    }
    v[0] = _mm512_add_ps(_mm512_shuffle_ps(v[0], v[1], 0x88), _mm512_shuffle_ps(v[0], v[1], 0xdd));
    return _mm512_permutexvar_ps(order, v[0]);
}

#endif

/*
 * compute/cpu/v16.h - sixteen f32 lanes, the one vector type of the CPU kernels.
 *
 * kernels_avx512.c, kernels_avx2.c and kernels_scalar.c each include this file under their own
 * compiler flags and then the same template headers, so a kernel is written once. Every function
 * here rounds each lane once (IEEE, nearest even) and v_sum adds in one fixed tree: so all three
 * give the same bits. min and max follow the x86 rule: the second operand on ties and NaN.
 *
 *     v_zero v_set1  v_load v_store  v_load_n v_store_n (n < 16 lanes, the others read as zero)
 *     v_load_f16 v_load_bf16 (16 halves, widened)   v_add v_sub v_mul v_div v_fma (a * b + c)
 *     v_max v_min  v_if_gt(a, b, x, y) = a > b ? x : y   v_if_num(a, y) = a is NaN ? y : a
 *     v_scale2(p, t): p * 2^n, n in the low bits of t's pattern (see math_kernels.h)
 *     v_sum(v): lanes l + (l + 8), then + 4, + 2, + 1      v_max_lane(v)
 *     v_transpose(v[16]): a 16 x 16 block in place   v_sums(v[16]): v_sum of each, v is spent
 *     V_ROWS, V_COLS: the register block of the products, V_ROWS rows of V_COLS vectors
 */
#ifndef BTH_V16_H
#define BTH_V16_H

#include "base/compiler.h"
#include <stdint.h>

/*
 * Loops over register arrays must vanish: an array with a variable index lies in memory. So inner
 * kernels are inlined and unrolled for every number of rows. Where speed does not matter one copy
 * of each will do: instrumented or lane by lane, all of them would take the compiler minutes.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define V_INSTRUMENTED /* clang's way to say it */
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define V_INSTRUMENTED
#endif
#if defined(V_INSTRUMENTED) || !defined(__AVX2__)
#define V_UNROLL
#define V_INLINE BTH_UNUSED static
#else
#if defined(__clang__)
#define V_UNROLL _Pragma("clang loop unroll(full)")
#else
#define V_UNROLL _Pragma("GCC unroll 32")
#endif
#define V_INLINE BTH_UNUSED static inline __attribute__((always_inline))
#endif

#if defined(__AVX512F__)
#include "v16_avx512.h"
#elif defined(__AVX2__)
#include "v16_avx2.h"
#else
#include "v16_scalar.h"
#endif

#ifndef V_HAS_SUMS
V_INLINE v16 v_sums(v16 v[16]) {
    v_transpose(v);
    V_UNROLL
    for (int half = 8; half > 0; half /= 2) {
        V_UNROLL
        for (int j = 0; j < half; j++) {
            v[j] = v_add(v[j], v[j + half]);
        }
    }
    return v[0];
}
#endif

#endif

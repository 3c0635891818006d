/*
 * compute/cuda/mma.h - the 16 x 8 x 16 matrix product of a warp, f32 sums, and what goes with it.
 *
 * Fragments as PTX defines them ("Matrix Fragments for mma.m16n8k16"): a lane holds of A rows
 * lane / 4 and lane / 4 + 8, of B column lane / 4, of both k (lane % 4) * 2 + {0, 1} and 8 further;
 * of C rows as of A and columns (lane % 4) * 2 + {0, 1}.
 */
#ifndef BTH_CUDA_MMA_H
#define BTH_CUDA_MMA_H

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2], __half) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2],
                                  __nv_bfloat16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Two values, the first in the low half. f16 saturates: its largest is 65,504. */
static __device__ inline uint32_t narrow2(float lo, float hi, __half) {
    __half2 v = __floats2half2_rn(fminf(fmaxf(lo, -65504.0f), 65504.0f),
                                  fminf(fmaxf(hi, -65504.0f), 65504.0f));
    return *(uint32_t *)&v;
}
static __device__ inline uint32_t narrow2(float lo, float hi, __nv_bfloat16) {
    __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *(uint32_t *)&v;
}

template <class T> static __device__ inline uint4 narrow8(const float v[8]) {
    return make_uint4(narrow2(v[0], v[1], T()), narrow2(v[2], v[3], T()), narrow2(v[4], v[5], T()),
                      narrow2(v[6], v[7], T()));
}

/* Four 8 x 8 tiles of 16-bit values from shared memory; lane l gives the address of row l % 8 of
 * tile l / 8. */
static __device__ inline void load_tiles(uint32_t out[4], const void *row) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at));
}

#endif

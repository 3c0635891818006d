/*
 * compute/cuda/mma.h - products of f16 tiles with f32 sums, and how tiles come into shared memory.
 *
 * A tile is rows of 64 values, 128 bytes each, in which the 16-byte chunk c of row r lies at place
 * c ^ (r % 8): so rows are written and columns of chunks read without bank conflicts. It is the
 * layout that Hopper's products call "128-byte swizzle".
 *
 * Fragments of m16n8k16 as PTX defines them: a lane holds of A rows lane / 4 and lane / 4 + 8, of B
 * column lane / 4, of both k (lane % 4) * 2 + {0, 1} and 8 further; of C rows as of A and columns
 * (lane % 4) * 2 + {0, 1}.
 */
#ifndef BTH_CUDA_MMA_H
#define BTH_CUDA_MMA_H

#include <cstdint>
#include <cuda_fp16.h>

enum { TILE_COLS = 64, TILE_ROW_BYTES = 128 };

static __device__ inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Two values, the first in the low half. f16 saturates: its largest is 65,504. */
static __device__ inline uint32_t narrow2(float lo, float hi) {
    __half2 v = __floats2half2_rn(fminf(fmaxf(lo, -65504.0f), 65504.0f),
                                  fminf(fmaxf(hi, -65504.0f), 65504.0f));
    return *(uint32_t *)&v;
}

static __device__ inline uint4 narrow8(const float v[8]) {
    return make_uint4(narrow2(v[0], v[1]), narrow2(v[2], v[3]), narrow2(v[4], v[5]),
                      narrow2(v[6], v[7]));
}

/* Where chunk c of row r of a tile is; addresses are of shared memory. */
static __device__ inline uint32_t chunk_at(uint32_t tile, int r, int c) {
    return tile + (uint32_t)(r * TILE_ROW_BYTES + (c ^ (r % 8)) * 16);
}

/* How Hopper's products are told of a tile in shared memory that begins at a multiple of 1024 (PTX,
 * "matrix descriptor"): 128-byte swizzle, 1024 bytes from eight rows to the next eight. The same
 * for a tile whose rows are k (then the product is told to turn it over). */
static __device__ inline uint64_t describe(uint32_t tile) {
    return (uint64_t)(tile >> 4) | UINT64_C(1) << 16 | UINT64_C(1024 / 16) << 32 |
           UINT64_C(1) << 62;
}

/* Four 8 x 8 tiles of 16-bit values; lane l gives the address of row l % 8 of tile l / 8. */
static __device__ inline void load_tiles(uint32_t out[4], uint32_t row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(row));
}

/* The same, each tile turned over. */
static __device__ inline void load_turned(uint32_t out[4], uint32_t row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(row));
}

/* 16 bytes from memory to shared memory, behind the thread's back; zeros unless `there` (then
 * `from` is not read). */
static __device__ inline void copy_chunk(uint32_t to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(there ? 16 : 0)
                 : "memory");
}
static __device__ inline void put_chunk(uint32_t to, uint4 v) {
    asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z),
                 "r"(v.w)
                 : "memory");
}
/* What this thread has put into shared memory can be seen by Hopper's products, after a barrier. */
static __device__ inline void show_products(void) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
/* Copies so far are a group; wait until all but the newest N groups have arrived. */
static __device__ inline void end_group(void) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> static __device__ inline void wait_groups(void) {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif

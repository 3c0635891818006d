/*
 * compute/cuda/search_cuda.h - what translation needs beside Whisper's ops: products with weights
 * of i8 (struct berth_eights), chosen products, the recurrent unit, the most likely ids of a row.
 */
#ifndef BTH_SEARCH_CUDA_H
#define BTH_SEARCH_CUDA_H

#include "cuda_view.h"

/*
 * A weight of i8: rows of `eights_pitch(k)` bytes, zeros behind the k-th, then the sums of the n
 * rows as i32. Sums of products are exact integers, so which kernel makes them, and in what order,
 * changes no bit: results are those of every other device.
 */
static inline int64_t eights_pitch(int64_t k) {
    return (k + 63) / 64 * 64;
}
static inline size_t eights_bytes(int64_t n, int64_t k) {
    return (size_t)(n * eights_pitch(k)) + (size_t)n * sizeof(int32_t);
}
/* Fills `to` from rows [n, k] on the host; cudaErrorMemoryAllocation also when the host has none.
 */
cudaError_t eights_write(void *to, const int8_t *rows, int64_t n, int64_t k);

/* Bytes of scratch for `rows` rows of k numbers as bytes. */
size_t eights_scratch(int64_t rows, int64_t k);

/* A linear whose weight is of i8. */
void launch_eights(cudaStream_t s, const struct berth_op_linear *op, void *scratch, bound live);
void launch_select(cudaStream_t s, const struct berth_op_select *op, void *scratch, bound live);
void launch_ssru(cudaStream_t s, const struct berth_op_ssru *op, bound live);
void launch_top(cudaStream_t s, const struct berth_op_top *op, bound live);

#endif

/*
 * base/dtype.h - elements of tensors: their size, and the half types as f32.
 *
 * f16 and bf16 are subsets of f32, so widening is exact, NaN payloads included. Pure; any thread.
 */
#ifndef BTH_DTYPE_H
#define BTH_DTYPE_H

#include <berth/backend.h>

size_t bth_dtype_bytes(enum berth_dtype dtype);
float bth_f16_to_f32(uint16_t h);
float bth_bf16_to_f32(uint16_t h);
uint16_t bth_f32_to_f16(float f); /* nearest, ties to even */

#endif

/*
 * compute/tensor.h - making views of buffers, and small helpers over a device's vtable.
 *
 * Pure, but for the bth_buffer_, bth_weight_ and bth_program_ calls, which follow the thread rule
 * of berth/backend.h.
 */
#ifndef BTH_TENSOR_H
#define BTH_TENSOR_H

#include <berth/backend.h>

/* Dense [rows, cols] at `offset` elements. */
struct berth_tensor bth_tensor(struct berth_buffer *b, enum berth_dtype dtype, size_t offset,
                               int64_t rows, int64_t cols);
/* Rows [r0, r0 + n) of a tensor without groups. */
struct berth_tensor bth_tensor_rows(struct berth_tensor t, int64_t r0, int64_t n);
/* Columns [c0, c0 + n) of a tensor without heads. */
struct berth_tensor bth_tensor_cols(struct berth_tensor t, int64_t c0, int64_t n);

/* NULL-safe ends, so that half-built models can be taken down. */
void bth_buffer_destroy(struct berth_buffer *b);
void bth_weight_destroy(struct berth_weight *w);
void bth_program_destroy(struct berth_device *device, struct berth_program *p);

#endif

#include "compute/tensor.h"

#include <assert.h>

struct berth_tensor bth_tensor(struct berth_buffer *b, enum berth_dtype dtype, size_t offset,
                               int64_t rows, int64_t cols) {
    return (struct berth_tensor){.buffer = b,
                                 .dtype = dtype,
                                 .offset = offset,
                                 .rows = rows,
                                 .cols = cols,
                                 .row_stride = cols};
}

struct berth_tensor bth_tensor_rows(struct berth_tensor t, int64_t r0, int64_t n) {
    assert(!t.index && r0 >= 0 && r0 + n <= t.rows);
    t.offset += (size_t)(r0 * t.row_stride);
    t.rows = n;
    return t;
}

struct berth_tensor bth_tensor_cols(struct berth_tensor t, int64_t c0, int64_t n) {
    assert(!t.head_cols && c0 >= 0 && c0 + n <= t.cols);
    t.offset += (size_t)c0;
    t.cols = n;
    return t;
}

void bth_buffer_destroy(struct berth_buffer *b) {
    if (b) {
        b->device->ops->buffer_destroy(b);
    }
}

void bth_weight_destroy(struct berth_weight *w) {
    if (w) {
        w->device->ops->weight_destroy(w);
    }
}

void bth_program_destroy(struct berth_device *device, struct berth_program *p) {
    if (p) {
        device->ops->program_destroy(p);
    }
}

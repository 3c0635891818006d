/*
 * The ops of an encoder layer and of a decoder step on a device, one by one: time, rate of
 * products, bytes a second.
 *
 * usage: bench_ops DEVICE exact|fast D WINDOWS      (base: 512, large: 1280)
 *        bench_ops DEVICE exact|fast D rows N       a step of N rows
 */
#include "base/clock.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/reservation.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "plug/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 1500, HEAD = 64, VOCAB = 51865, REPEAT = 10 };

static struct berth_device *device;
static struct berth_reservation bytes;
static struct berth_error err;

static void check(int rc) {
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

/* Numbers within 1 / 8 of 0: multiplying zeros would draw less power than real work. */
static float *numbers(int64_t n) {
    float *f = calloc((size_t)n, sizeof(*f));
    uint32_t state = 1;
    check(f ? 0 : bth_error_nomem(&err));
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        f[i] = (float)(int32_t)state * 0x1p-34f;
    }
    return f;
}

static struct berth_tensor tensor(enum berth_dtype dtype, int64_t rows, int64_t cols) {
    const size_t n = (size_t)(rows * cols);
    struct berth_buffer *b;
    float *f = numbers((int64_t)n);
    for (size_t i = 0; dtype == BERTH_F16 && i < n; i++) { /* narrowed in place */
        const uint16_t h = bth_f32_to_f16(f[i]);
        memcpy((char *)f + i * sizeof(h), &h, sizeof(h));
    }
    check(device->ops->buffer_create(device, &bytes, n * bth_dtype_bytes(dtype), &b, &err));
    check(device->ops->write(b, 0, f, n * bth_dtype_bytes(dtype)));
    check(device->ops->sync(device, &err));
    free(f);
    return bth_tensor(b, dtype, 0, rows, cols);
}

static struct berth_weight *weight(int64_t n, int64_t k) {
    struct berth_weight *w;
    float *rows = numbers(n * k);
    check(device->ops->weight_create(device, &bytes, BERTH_F32, n, k, rows, &w, &err));
    free(rows);
    return w;
}

/* The fastest of three runs of REPEAT equal ops. */
static void report(const char *name, struct bth_builder *b, double flops, double moved) {
    struct berth_program *p;
    const uint32_t live[BERTH_MAX_LIVE] = {0};
    double best = 1e9;
    check(bth_builder_build(b, &bytes, &p, &err));
    for (int i = 0; i < 4; i++) {
        check(device->ops->sync(device, &err));
        const int64_t began = bth_now();
        check(device->ops->program_run(p, live, &err));
        check(device->ops->sync(device, &err));
        const double s = (double)(bth_now() - began) * 1e-9 / REPEAT;
        best = s < best ? s : best;
    }
    printf("{\"op\": \"%s\", \"us\": %.1f, \"tflops\": %.1f, \"gb_s\": %.0f}\n", name, best * 1e6,
           flops / best * 1e-12, moved / best * 1e-9);
    bth_program_destroy(device, p);
}

static void linear(const char *name, int64_t m, int64_t n, int64_t k, enum berth_activation act,
                   bool onto, int64_t heads) {
    const enum berth_dtype narrow = device->narrow;
    const double size = (double)bth_dtype_bytes(narrow);
    struct berth_op_linear op = {.x = tensor(narrow, m, k),
                                 .bias = tensor(BERTH_F32, 1, n),
                                 .y = tensor(onto ? BERTH_F32 : narrow, m, n),
                                 .w = weight(n, k),
                                 .act = act,
                                 .many = true};
    if (onto) {
        op.residual = op.y;
    }
    if (heads) {
        op.y.head_cols = op.y.row_stride = HEAD;
        op.y.head_stride = m * HEAD;
    }
    struct bth_builder b;
    bth_builder_init(&b, device);
    for (int i = 0; i < REPEAT; i++) {
        bth_op_linear(&b, -1, &op);
    }
    report(name, &b, 2.0 * (double)m * (double)n * (double)k,
           (double)m * ((double)k * size + (double)n * (onto ? 8 : size)));
}

static void attend(int64_t windows, int64_t d) {
    const int64_t rows = windows * T;
    struct berth_op_attend_full op = {.groups = windows,
                                      .t = T,
                                      .heads = d / HEAD,
                                      .head_dim = HEAD,
                                      .nq = T,
                                      .y = tensor(device->narrow, rows, d)};
    struct berth_tensor *in[] = {&op.q, &op.k, &op.v};
    for (int i = 0; i < 3; i++) {
        *in[i] = tensor(device->narrow, rows, d);
        in[i]->head_cols = in[i]->row_stride = HEAD;
        in[i]->head_stride = rows * HEAD;
    }
    struct bth_builder b;
    bth_builder_init(&b, device);
    for (int i = 0; i < REPEAT; i++) {
        bth_op_attend_full(&b, -1, &op);
    }
    report("attention", &b, 4.0 * (double)windows * T * T * (double)d,
           4.0 * (double)(rows * d) * (double)bth_dtype_bytes(device->narrow));
}

static void norm(int64_t m, int64_t d) {
    struct berth_op_layer_norm op = {.x = tensor(BERTH_F32, m, d),
                                     .gamma = tensor(BERTH_F32, 1, d),
                                     .beta = tensor(BERTH_F32, 1, d),
                                     .y = tensor(device->narrow, m, d),
                                     .eps = 1e-5f};
    struct bth_builder b;
    bth_builder_init(&b, device);
    for (int i = 0; i < REPEAT; i++) {
        bth_op_layer_norm(&b, -1, &op);
    }
    report("norm", &b, 0, (double)(m * d) * (4 + (double)bth_dtype_bytes(device->narrow)));
}

/* A product of few rows; a step's bytes are its weights'. */
static void few(const char *name, int64_t m, int64_t n, int64_t k, bool onto) {
    struct berth_op_linear op = {.x = tensor(BERTH_F32, m, k),
                                 .bias = tensor(BERTH_F32, 1, n),
                                 .y = tensor(BERTH_F32, m, n),
                                 .w = weight(n, k)};
    if (onto) {
        op.residual = op.y;
    }
    struct bth_builder b;
    bth_builder_init(&b, device);
    for (int i = 0; i < REPEAT; i++) {
        bth_op_linear(&b, -1, &op);
    }
    report(name, &b, 2.0 * (double)m * (double)n * (double)k,
           (double)n * (double)k * (double)bth_dtype_bytes(op.w->dtype));
}

static struct berth_tensor numbered(int64_t n, int32_t first, int32_t step) {
    struct berth_tensor t = tensor(BERTH_I32, 1, n);
    for (int64_t i = 0; i < n; i++) {
        const int32_t v = first + step * (int32_t)i;
        check(device->ops->write(t.buffer, (size_t)i * sizeof(v), &v, sizeof(v)));
    }
    return t;
}

/* Attention over a page of `len` positions a row. */
static void attend_rows(const char *name, int64_t rows, int64_t d, int64_t len) {
    const size_t size = bth_dtype_bytes(device->narrow);
    struct berth_op_attend_paged op = {.q = tensor(BERTH_F32, rows, d),
                                       .y = tensor(BERTH_F32, rows, d),
                                       .table = numbered(rows, 0, 1),
                                       .len = numbered(rows, (int32_t)len, 0),
                                       .kv = {.dtype = device->narrow,
                                              .page_stride = 2 * len * d,
                                              .page_rows = len,
                                              .heads = d / HEAD,
                                              .head_dim = HEAD,
                                              .value_offset = len * d}};
    op.table.rows = rows;
    op.table.cols = op.table.row_stride = 1;
    const size_t all = (size_t)(rows * 2 * len * d) * size,
                 committed = (all + 65535) / 65536 * 65536;
    check(device->ops->region_create(device, committed, &op.kv.buffer, &err));
    check(device->ops->region_commit(op.kv.buffer, &bytes, 0, committed, &err));
    struct bth_builder b;
    bth_builder_init(&b, device);
    for (int i = 0; i < REPEAT; i++) {
        bth_op_attend_paged(&b, -1, &op);
    }
    report(name, &b, 0, (double)all);
}

static void step(int64_t d, int64_t rows) {
    norm(rows, d);
    few("qkv", rows, 3 * d, d, false);
    attend_rows("self", rows, d, 96);
    few("out", rows, d, d, true);
    attend_rows("cross", rows, d, T);
    few("up", rows, 4 * d, d, false);
    few("down", rows, d, 4 * d, true);
    few("logits", rows, VOCAB, d, false);
}

static void layer(int64_t d, int64_t windows) {
    const int64_t m = windows * T;
    norm(m, d);
    linear("qkv", m, 3 * d, d, BERTH_ACT_NONE, false, 3 * d / HEAD);
    attend(windows, d);
    linear("out", m, d, d, BERTH_ACT_NONE, true, 0);
    linear("up", m, 4 * d, d, BERTH_ACT_GELU, false, 0);
    linear("down", m, d, 4 * d, BERTH_ACT_NONE, true, 0);
}

int main(int argc, char **argv) {
    const bool stepping = argc == 6 && strcmp(argv[4], "rows") == 0;
    if (argc != 5 && !stepping) {
        fprintf(stderr, "usage: bench_ops DEVICE exact|fast D WINDOWS | D rows N\n");
        return 2;
    }
    const int64_t d = strtol(argv[3], NULL, 10), n = strtol(argv[argc - 1], NULL, 10);
    check(d > 0 && d % HEAD == 0 && n > 0
              ? 0
              : bth_error(&err, BERTH_EINVAL, "D is a multiple of 64, WINDOWS and N at least 1"));
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX);
    check(bth_device_open(
        &(struct bth_device_wish){.name = argv[1], .precision = argv[2], .threads = 0}, &device,
        &err));
    if (stepping) {
        step(d, n);
    } else {
        layer(d, n);
    }
    device->ops->close(device);
    return 0;
}

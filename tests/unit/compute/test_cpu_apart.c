/*
 * Programs whose members walk rows of their own: the same bytes for every team size and number of
 * live rows, with ops in them that share scratch and one that looks at other rows. Run under TSan
 * it shows that nobody needs the barriers that are left out.
 */
#include "base/compiler.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "lib/test.h"

enum { ROWS = 20, D = 64, WIDE = 3000, THREADS = 4, RUNS = 30 };
enum { WORDS_IN = sizeof(struct berth_top_in) / 4, WORDS_OUT = sizeof(struct berth_top_out) / 4 };

struct results {
    struct berth_top_out tops[2][ROWS];
    float y[ROWS * D];
};

struct machine {
    struct berth_device *device;
    struct berth_reservation bytes;
    struct berth_buffer *floats, *ints, *ins, *outs, *pages;
    struct berth_weight *to_wide, *to_pages;
    struct berth_program *program;
};

static struct berth_buffer *buffer(struct machine *m, size_t bytes, const void *from) {
    struct berth_buffer *b;
    struct berth_error err;
    CHECK_OK(m->device->ops->buffer_create(m->device, &m->bytes, bytes, &b, &err), err);
    if (from) {
        CHECK_INT(m->device->ops->write(b, 0, from, bytes), 0);
    }
    return b;
}

static struct berth_weight *weight(struct machine *m, int64_t n) {
    static float rows[WIDE * D];
    struct berth_weight *w;
    struct berth_error err;
    for (int64_t i = 0; i < n * D; i++) {
        rows[i] = (float)((i * 7919 + n) % 1013 - 506) / 4000.0f;
    }
    CHECK_OK(m->device->ops->weight_create(m->device, &m->bytes, BERTH_F32, n, D, rows, &w, &err),
             err);
    return w;
}

/* The most likely of x's products, the i-th such list. */
static void add_tops(struct machine *m, struct bth_builder *b, struct berth_tensor x, int i) {
    const struct berth_tensor wide = bth_tensor(m->floats, BERTH_F32, 8 * ROWS * D, ROWS, WIDE);
    bth_op_linear(b, 0, &(struct berth_op_linear){.x = x, .y = wide, .w = m->to_wide});
    bth_op_top(
        b, 0,
        &(struct berth_op_top){.logits = wide,
                               .in = bth_tensor(m->ins, BERTH_U32, 0, ROWS, WORDS_IN),
                               .out = bth_tensor(m->outs, BERTH_U32, (size_t)(i * ROWS * WORDS_OUT),
                                                 ROWS, WORDS_OUT)});
}

/* Each row stores its key and value, then looks at all of them. */
static void add_attention(struct machine *m, struct bth_builder *b, struct berth_tensor x,
                          struct berth_tensor y) {
    const struct berth_tensor pair = bth_tensor(m->floats, BERTH_F32, 4 * ROWS * D, ROWS, 2 * D);
    const struct berth_kv kv = {.buffer = m->pages,
                                .page_stride = 2 * ROWS * D,
                                .page_rows = ROWS,
                                .heads = 2,
                                .head_dim = D / 2,
                                .value_offset = ROWS * D};
    const struct berth_tensor table = bth_tensor(m->ints, BERTH_I32, 0, ROWS, 1);
    bth_op_linear(b, 0, &(struct berth_op_linear){.x = x, .y = pair, .w = m->to_pages});
    bth_op_kv_store(
        b, 0,
        &(struct berth_op_kv_store){.x = pair,
                                    .table = table,
                                    .pos = bth_tensor(m->ints, BERTH_I32, ROWS, 1, ROWS),
                                    .kv = kv});
    b->apart = false;
    bth_op_attend_paged(
        b, 0,
        &(struct berth_op_attend_paged){.q = x,
                                        .table = table,
                                        .len = bth_tensor(m->ints, BERTH_I32, 2 * ROWS, 1, ROWS),
                                        .y = y,
                                        .kv = kv});
    b->apart = true;
}

static void make(struct machine *m, int threads) {
    const struct bth_cpu_config config = {.threads = threads, .cap = BTH_CPU_AVX512};
    int32_t ints[3 * ROWS] = {0};
    struct berth_top_in ins[ROWS];
    struct bth_builder b;
    struct berth_error err;
    for (int i = 0; i < ROWS; i++) {
        ins[i] = (struct berth_top_in){.n = WIDE - i, .k = 1 + i};
        memset(ins[i].forbid, -1, sizeof(ins[i].forbid));
        ints[ROWS + i] = i;
    }
    CHECK_OK(bth_cpu_open(&config, &m->device, &err), err);
    bth_cpu_together(m->device);
    bth_reservation_init(&m->bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    m->floats = buffer(m, (8 * D + WIDE) * ROWS * sizeof(float), NULL);
    m->ints = buffer(m, sizeof(ints), ints);
    m->ins = buffer(m, sizeof(ins), ins);
    m->outs = buffer(m, 2 * ROWS * sizeof(struct berth_top_out), NULL);
    m->pages = buffer(m, 2 * ROWS * D * sizeof(float), NULL);
    m->to_wide = weight(m, WIDE);
    m->to_pages = weight(m, 2 * D);
    const struct berth_tensor x = bth_tensor(m->floats, BERTH_F32, 0, ROWS, D);
    const struct berth_tensor y = bth_tensor(m->floats, BERTH_F32, ROWS * D, ROWS, D);
    bth_builder_init(&b, m->device);
    b.apart = true;
    add_tops(m, &b, x, 0);
    add_attention(m, &b, x, y);
    add_tops(m, &b, y, 1);
    add_attention(m, &b, y, x); /* the pages are written again */
    CHECK_OK(bth_builder_build(&b, &m->bytes, &m->program, &err), err);
}

static void run(struct machine *m, uint32_t rows, struct results *out) {
    const struct berth_backend_ops *ops = m->device->ops;
    const uint32_t live[BERTH_MAX_LIVE] = {rows};
    float x[ROWS * D];
    int32_t len[ROWS];
    struct berth_error err;
    for (int i = 0; i < ROWS * D; i++) {
        x[i] = (float)((i * 31 + (int)rows) % 97 - 48) / 20.0f;
    }
    for (int i = 0; i < ROWS; i++) {
        len[i] = (int32_t)rows;
    }
    CHECK_INT(ops->write(m->floats, 0, x, sizeof(x)), 0);
    CHECK_INT(ops->write(m->ints, 2 * ROWS * sizeof(*len), len, sizeof(len)), 0);
    CHECK_OK(ops->program_run(m->program, live, &err), err);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(ops->read(m->outs, i * sizeof(out->tops[0]), out->tops[i],
                            rows * sizeof(out->tops[0][0])),
                  0);
    }
    CHECK_INT(ops->read(m->floats, 0, out->y, rows * D * sizeof(float)), 0);
}

static void finish(struct machine *m) {
    struct berth_buffer *const buffers[] = {m->floats, m->ints, m->ins, m->outs, m->pages};
    bth_program_destroy(m->device, m->program);
    bth_weight_destroy(m->to_wide);
    bth_weight_destroy(m->to_pages);
    for (size_t i = 0; i < BTH_COUNT(buffers); i++) {
        bth_buffer_destroy(buffers[i]);
    }
    CHECK_INT(bth_reservation_used(&m->bytes), 0);
    m->device->ops->close(m->device);
}

int main(void) {
    static struct machine machines[THREADS];
    static struct results want, got;
    for (int i = 0; i < THREADS; i++) {
        make(&machines[i], 1 + i);
    }
    for (int i = 0; i < RUNS; i++) {
        const uint32_t rows = 1 + (uint32_t)i % ROWS;
        run(&machines[0], rows, &want);
        for (int m = 1; m < THREADS; m++) {
            run(&machines[m], rows, &got);
            CHECK_INT(memcmp(&got, &want, sizeof(want)), 0);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        finish(&machines[i]);
    }
    return 0;
}

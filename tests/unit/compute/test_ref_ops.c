/* The oracle itself, against values worked out by hand or from the formula in double precision. */
#include "base/compiler.h"
#include "base/dtype.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "lib/test.h"

static struct berth_reservation bytes;
static struct berth_device *device;
static struct berth_error err;
static struct berth_buffer *buffers[16];
static int n_buffers;

static struct berth_tensor tensor(enum berth_dtype dtype, int64_t rows, int64_t cols,
                                  const void *from) {
    const size_t size = (size_t)(rows * cols) * bth_dtype_bytes(dtype);
    struct berth_buffer **b = &buffers[n_buffers++];
    CHECK(n_buffers <= (int)BTH_COUNT(buffers));
    CHECK_OK(device->ops->buffer_create(device, &bytes, size, b, &err), err);
    if (from) {
        CHECK_INT(device->ops->write(*b, 0, from, size), 0);
    }
    return bth_tensor(*b, dtype, 0, rows, cols);
}
#define F32(rows, cols, ...) tensor(BERTH_F32, rows, cols, (const float[]){__VA_ARGS__})
#define I32(rows, cols, ...) tensor(BERTH_I32, rows, cols, (const int32_t[]){__VA_ARGS__})
#define ZEROS(rows, cols)    tensor(BERTH_F32, rows, cols, NULL)
#define EXPECT(t, tol, ...)                                                                        \
    expect(__LINE__, t, tol, (const double[]){__VA_ARGS__},                                        \
           (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

static void run(struct bth_builder *b, uint32_t live) {
    struct berth_program *p;
    CHECK_OK(bth_builder_build(b, &bytes, &p, &err), err);
    CHECK_OK(device->ops->program_run(p, (const uint32_t[BERTH_MAX_LIVE]){live}, &err), err);
    bth_program_destroy(device, p);
}

/* The whole buffer of t; then all buffers go. */
static void expect(int line, struct berth_tensor t, double tolerance, const double *want, int n) {
    const float *have = t.buffer->host;
    CHECK_INT(t.buffer->bytes, (size_t)n * 4);
    for (int i = 0; i < n; i++) {
        if (!(fabs((double)have[i] - want[i]) <= tolerance)) {
            TEST_FAIL("line %d: element %d is %.9g, expected %.9g", line, i, (double)have[i],
                      want[i]);
        }
    }
    while (n_buffers > 0) {
        bth_buffer_destroy(buffers[--n_buffers]);
    }
}

static void check_rows(void) {
    struct bth_builder b;
    const uint16_t halves[] = {0x3C00, 0x4000, 0xC200, 0x3800}; /* 1 2 / -3 0.5 */
    struct berth_weight *table;
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F16, 2, 2, halves, &table, &err),
             err);
    bth_builder_init(&b, device);
    struct berth_tensor y = ZEROS(3, 2);
    bth_op_embed(&b, 0,
                 &(struct berth_op_embed){.ids = I32(1, 3, 1, 0, 99),
                                          .pos = I32(1, 3, 0, 1, 99),
                                          .table = table,
                                          .positions = F32(2, 2, 10, 20, 30, 40),
                                          .y = y,
                                          .scale = 2});
    run(&b, 2); /* the third row would reach far away */
    EXPECT(y, 0, -6 + 10, 1 + 20, 2 + 30, 4 + 40, 0, 0);
    bth_weight_destroy(table);

    bth_builder_init(&b, device);
    y = ZEROS(2, 4);
    bth_op_layer_norm(&b, -1,
                      &(struct berth_op_layer_norm){.x = F32(2, 4, 1, 2, 3, 6, 5, 5, 5, 5),
                                                    .gamma = F32(1, 4, 1, 2, 1, 1),
                                                    .beta = F32(1, 4, 0, 0, 0, 1),
                                                    .y = y,
                                                    .eps = 0.5f});
    run(&b, 0);
    /* mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, so divided by 2 */
    EXPECT(y, 1e-6, -1, -1, 0, 2.5, 0, 0, 0, 1);

    bth_builder_init(&b, device);
    y = ZEROS(2, 2);
    bth_op_gather(&b, -1,
                  &(struct berth_op_gather){
                      .x = F32(3, 2, 1, 2, 3, 4, 5, 6), .rows = I32(1, 2, 2, 0), .y = y});
    run(&b, 0);
    EXPECT(y, 0, 5, 6, 1, 2);
}

static void check_linear(void) {
    static const float w[] = {1, 2, 3, /**/ -1, 0, 1};
    const enum berth_activation acts[] = {BERTH_ACT_NONE, BERTH_ACT_GELU, BERTH_ACT_RELU,
                                          BERTH_ACT_SWISH};
    struct berth_weight *weight;
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F32, 2, 3, w, &weight, &err), err);
    for (size_t i = 0; i < BTH_COUNT(acts); i++) {
        struct bth_builder b;
        bth_builder_init(&b, device);
        const struct berth_tensor y = F32(2, 2, 100, 200, 300, 400);
        bth_op_linear(&b, 0,
                      &(struct berth_op_linear){.x = F32(2, 3, 1, 0.5f, -1, 9, 9, 9),
                                                .bias = F32(1, 2, 0.25f, 0.5f),
                                                .residual = y,
                                                .y = y,
                                                .w = weight,
                                                .act = acts[i],
                                                .scale_cols = 1,
                                                .scale = 2});
        run(&b, 1);
        /* sums -1 + 0.25 and -2 + 0.5; 0.5 (1 + erf(v / sqrt 2)); v / (1 + exp(-v)) */
        const double a = -0.75, c = -1.5;
        const double value[][2] = {{a, c},
                                   {a * 0.5 * erfc(-a / sqrt(2)), c * 0.5 * erfc(-c / sqrt(2))},
                                   {0, 0},
                                   {a / (1 + exp(-a)), c / (1 + exp(-c))}};
        EXPECT(y, 2e-5, value[i][0] * 2 + 100, value[i][1] + 200, 300, 400);
    }
    bth_weight_destroy(weight);
}

/* The chain starts at 0 and rounds once a step: 1 + 2^-24 is 1 in f32, in another order it is not.
 */
static void check_chain(void) {
    static const float w[] = {1, 1, 1, /**/ 1, 1, 0};
    const float tiny = 0x1p-24f;
    struct berth_weight *weight;
    struct bth_builder b;
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F32, 2, 3, w, &weight, &err), err);
    bth_builder_init(&b, device);
    const struct berth_tensor y = ZEROS(2, 2);
    bth_op_linear(&b, -1,
                  &(struct berth_op_linear){
                      .x = F32(2, 3, 1, tiny, tiny, tiny, tiny, 1), .y = y, .w = weight});
    run(&b, 0);
    EXPECT(y, 0, 1, 1, 1 + 0x1p-23, 0x1p-23);
    bth_weight_destroy(weight);
}

static void check_conv(void) {
    static const float w[] = {1, 10, 100}; /* one channel: before, here, after */
    struct berth_weight *weight;
    struct bth_builder b;
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F32, 1, 3, w, &weight, &err), err);
    bth_builder_init(&b, device);
    struct berth_tensor y = ZEROS(4, 1);
    bth_op_conv3(&b, -1,
                 &(struct berth_op_conv3){.x = F32(6, 1, 1, 2, 3, 4, 5, 6),
                                          .add = F32(2, 1, 1000, 2000),
                                          .y = y,
                                          .w = weight,
                                          .groups = 2,
                                          .t_in = 3,
                                          .t_out = 2,
                                          .stride = 2});
    run(&b, 0);
    EXPECT(y, 0, 1000 + 10 + 200, 2000 + 2 + 30, 1000 + 40 + 500, 2000 + 5 + 60);

    bth_builder_init(&b, device); /* all three rows; of two groups only one lives */
    y = ZEROS(6, 1);
    bth_op_conv3(&b, 0,
                 &(struct berth_op_conv3){.x = F32(6, 1, 1, 2, 3, 4, 5, 6),
                                          .y = y,
                                          .w = weight,
                                          .groups = 2,
                                          .t_in = 3,
                                          .t_out = 3,
                                          .stride = 1});
    run(&b, 1);
    EXPECT(y, 0, 210, 321, 32, 0, 0, 0);
    bth_weight_destroy(weight);
}

/* Two heads of one column each; q = 0 averages, ln 3 weighs 3 to 1. */
static void check_attend_full(void) {
    struct bth_builder b;
    const float l = logf(3);
    struct berth_tensor q = F32(2, 2, 0, l, /* head 1: */ 0, 0), k = F32(2, 2, 0, 1, 5, 5),
                        v = F32(2, 2, 4, 8, 1, 2), y = ZEROS(2, 2);
    struct berth_tensor *in[] = {&q, &k, &v};
    for (int i = 0; i < 3; i++) {
        in[i]->row_stride = in[i]->head_cols = 1;
        in[i]->head_stride = 2;
    }
    bth_builder_init(&b, device);
    bth_op_attend_full(&b, -1,
                       &(struct berth_op_attend_full){.q = q,
                                                      .k = k,
                                                      .v = v,
                                                      .y = y,
                                                      .groups = 1,
                                                      .t = 2,
                                                      .heads = 2,
                                                      .head_dim = 1,
                                                      .nq = 2});
    run(&b, 0);
    EXPECT(y, 1e-6, 6, 1.5, (4 * 1 + 8 * 3) / 4.0, 1.5);
}

/* Pages of 2 rows, one head of one column: [k0 k1 v0 v1]. */
static void check_pages(void) {
    const float l = logf(3);
    struct bth_builder b;
    bth_builder_init(&b, device);
    struct berth_kv kv = {
        .page_stride = 4, .page_rows = 2, .heads = 1, .head_dim = 1, .value_offset = 2};
    kv.buffer = F32(3, 4, 1, 1, 10, 20, 0, 7, 40, 7, 8, 8, 8, 8).buffer;
    const struct berth_tensor table = I32(2, 2, 1, 0, 0, 99), y = ZEROS(2, 1);
    const struct berth_tensor pages = bth_tensor(kv.buffer, BERTH_F32, 0, 3, 4);
    /* row 0 gets position 1: page 1, row 1; row 1 is not alive */
    bth_op_kv_store(
        &b, 0,
        &(struct berth_op_kv_store){
            .x = F32(2, 2, l, 80, 9, 9), .table = table, .pos = I32(1, 2, 1, 1), .kv = kv});
    bth_op_attend_paged(
        &b, -1,
        &(struct berth_op_attend_paged){
            .q = F32(2, 1, 1, 0), .table = table, .len = I32(1, 2, 2, 2), .y = y, .kv = kv});
    bth_op_kv_copy(&b, -1,
                   &(struct berth_op_kv_copy){.from = I32(1, 1, 1), .to = I32(1, 1, 2), .kv = kv});
    run(&b, 1);
    CHECK_NEAR(((const float *)y.buffer->host)[0], (40 + 3 * 80) / 4.0, 1e-5);
    CHECK_NEAR(((const float *)y.buffer->host)[1], 15, 1e-5);
    EXPECT(pages, 1e-7, 1, 1, 10, 20, 0, (double)l, 40, 80, 0, (double)l, 40, 80);
}

static struct berth_pick_out pick(struct berth_pick_in in, const float *logits, float *probs) {
    enum { V = 6 };
    struct bth_builder b;
    struct berth_pick_out answer;
    const uint32_t mask[] = {1u << 1, 1u << 2};
    bth_builder_init(&b, device);
    struct berth_op_pick op = {.logits = tensor(BERTH_F32, 1, V, logits),
                               .in = tensor(BERTH_U32, 1, sizeof(in) / 4, &in),
                               .out = tensor(BERTH_U32, 1, sizeof(answer) / 4, NULL),
                               .mask = tensor(BERTH_U32, 2, 1, mask),
                               .all_probs = ZEROS(1, V)};
    bth_op_pick(&b, -1, &op);
    run(&b, 0);
    CHECK_INT(device->ops->read(op.out.buffer, 0, &answer, sizeof(answer)), 0);
    CHECK_INT(device->ops->read(op.all_probs.buffer, 0, probs, V * sizeof(*probs)), 0);
    while (n_buffers > 0) {
        bth_buffer_destroy(buffers[--n_buffers]);
    }
    return answer;
}

static void check_pick(void) {
    const struct berth_pick_in plain = {.mask = -1, .group_begin = -1, .probe = -1};
    float z[6], probs[6];
    const double p[6] = {0.1, 0.3, 0.3, 0.1, 0.15, 0.05};
    for (int i = 0; i < 6; i++) {
        z[i] = (float)log(p[i]);
    }
    struct berth_pick_out o = pick(plain, z, probs);
    CHECK_INT(o.id, 1); /* the first of two */
    CHECK_INT(o.top_id[1], 2);
    CHECK_NEAR(o.logprob, log(0.3), 1e-6);
    CHECK_NEAR(probs[4], 0.15, 1e-6);
    CHECK(isnan(o.group_margin));

    struct berth_pick_in in = plain; /* 1 is masked, 0 and 2 are forbidden: 0.3 of all is left */
    in.mask = 0;
    in.forbid[0][1] = 1;
    in.forbid[3][0] = 2;
    in.forbid[3][1] = 3;
    in.probe = 2;
    o = pick(in, z, probs);
    CHECK_INT(o.id, 4);
    CHECK_INT(o.top_id[1], 3);
    CHECK_NEAR(o.logprob, log(0.15 / 0.3), 1e-6);
    CHECK_NEAR(o.probe_prob, 0.3, 1e-6);
    CHECK(probs[0] == 0 && probs[1] == 0 && probs[2] == 0);

    in = plain; /* {3, 4, 5} has 0.3, as much as id 1 */
    in.group_begin = 3;
    o = pick(in, z, probs);
    CHECK_NEAR(o.group_margin, 0, 1e-6);
    in.group_begin = 2; /* 0.6 against 0.3 */
    o = pick(in, z, probs);
    CHECK_INT(o.id, 2);
    CHECK_NEAR(o.group_margin, log(2), 1e-6);
    CHECK_NEAR(o.logprob, log(0.5), 1e-6);
    CHECK(probs[1] == 0);

    z[1] = NAN; /* counts as -inf */
    o = pick(plain, z, probs);
    CHECK_INT(o.id, 2);
    in = plain;
    in.forbid[0][1] = 6;
    in.temperature = 1;
    o = pick(in, z, probs);
    CHECK_INT(o.id, -1);
    CHECK_INT(o.top_id[0], -1);
    CHECK(o.logprob == -INFINITY && probs[0] == 0);
}

/* 6,000 draws follow softmax(z / T); each is the race worked out from the words of a known answer.
 */
static void check_draws(void) {
    const struct berth_pick_in zero = {
        .mask = -1, .group_begin = -1, .probe = -1, .temperature = 1};
    const double words[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}; /* key, counter 0 */
    float z[6] = {1, 0, 0.5f, 0.9f, -INFINITY, -INFINITY}, probs[6];
    int best = 0, count[6] = {0};
    double most = -INFINITY;
    for (int i = 0; i < 4; i++) {
        const double v = (double)z[i] - log(-log((words[i] + 0.5) / 4294967296.0));
        if (v > most) {
            most = v;
            best = i;
        }
    }
    CHECK_INT(pick(zero, z, probs).id, best);
    struct berth_pick_in in = zero;
    const double p[6] = {0.1, 0.3, 0.3, 0.1, 0.15, 0.05};
    for (int i = 0; i < 6; i++) {
        z[i] = (float)(log(p[i]) * 0.5);
    }
    in.temperature = 0.5f;
    in.seed_lo = 1;
    for (int i = 0; i < 6000; i++) {
        in.step = (uint32_t)i % 300;
        in.row = (uint32_t)i / 300;
        count[pick(in, z, probs).id]++;
    }
    for (int i = 0; i < 6; i++) { /* five standard deviations */
        CHECK_NEAR(count[i] / 6000.0, p[i], 5 * sqrt(p[i] * (1 - p[i]) / 6000));
    }
}

int main(void) {
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    CHECK_OK(bth_ref_open(&device, &err), err);
    check_rows();
    check_linear();
    check_chain();
    check_conv();
    check_attend_full();
    check_pages();
    check_pick();
    check_draws();
    CHECK_INT(bth_reservation_used(&bytes), 0);
    device->ops->close(device);
    return 0;
}

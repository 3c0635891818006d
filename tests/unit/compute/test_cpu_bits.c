/*
 * The promise of the CPU backend: a result row has the same bits on every instruction set, with
 * every team size, at every position and in every company. Each op runs on a device of one thread
 * at the best set; then every other device, and every subset of its rows, must repeat the bits. A
 * coarse check against double precision guards against being equal and wrong (the op-by-op
 * comparison with the oracle is a test of its own).
 */
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/test.h"

static struct berth_reservation bytes;
static unsigned long long seed;

struct env {
    struct berth_device *device;
    struct berth_buffer *buffers[16];
    int n;
};

static struct berth_tensor tensor(struct env *e, enum berth_dtype dtype, int64_t rows, int64_t cols,
                                  const void *from) {
    struct berth_error err;
    struct berth_buffer *b;
    const size_t size = (size_t)(rows * cols) * (dtype == BERTH_F16 ? 2 : 4);
    CHECK_OK(e->device->ops->buffer_create(e->device, &bytes, size, &b, &err), err);
    if (from) {
        CHECK_INT(e->device->ops->write(b, 0, from, size), 0);
    }
    e->buffers[e->n++] = b;
    return (struct berth_tensor){
        .buffer = b, .dtype = dtype, .rows = rows, .cols = cols, .row_stride = cols};
}

static void run(struct env *e, struct berth_op op, uint32_t live) {
    struct berth_error err;
    struct berth_program *p;
    const uint32_t lives[BERTH_MAX_LIVE] = {live};
    op.live = 0;
    CHECK_OK(e->device->ops->program_create(e->device, &bytes, &op, 1, &p, &err), err);
    CHECK_OK(e->device->ops->program_run(p, lives, &err), err);
    e->device->ops->program_destroy(p);
}

static void fetch(struct env *e, struct berth_tensor t, void *to) {
    CHECK_INT(e->device->ops->read(t.buffer, 0, to, (size_t)(t.rows * t.cols) * 4), 0);
    for (int i = 0; i < e->n; i++) {
        e->device->ops->buffer_destroy(e->buffers[i]);
    }
    e->n = 0;
}

static float *randoms(size_t n, float scale) {
    float *f = malloc(n * sizeof(*f));
    for (size_t i = 0; i < n; i++) {
        f[i] = test_randf(&seed) * scale;
    }
    return f;
}

/* ---- linear --------------------------------------------------------------------------------- */

struct linear_case {
    int64_t rows, n, k;
    enum berth_dtype dtype;
    enum berth_activation act;
    float *x, *bias, *residual;
    uint16_t *half; /* weights, small integers as halves so that both dtypes hold them */
    float *w;
};

static void linear(struct env *e, const struct linear_case *c, int64_t first, int64_t n, float *y) {
    struct berth_error err;
    struct berth_weight *w;
    const void *rows = c->dtype == BERTH_F32 ? (const void *)c->w : (const void *)c->half;
    CHECK_OK(e->device->ops->weight_create(e->device, &bytes, c->dtype, c->n, c->k, rows, &w, &err),
             err);
    CHECK_INT(w->bytes, e->device->ops->weight_bytes(e->device, c->dtype, c->n, c->k));
    struct berth_op op = {.kind = BERTH_OP_LINEAR};
    op.u.linear = (struct berth_op_linear){
        .x = tensor(e, BERTH_F32, n, c->k, c->x + first * c->k),
        .bias = tensor(e, BERTH_F32, 1, c->n, c->bias),
        .residual = tensor(e, BERTH_F32, n, c->n, c->residual + first * c->n),
        .y = tensor(e, BERTH_F32, n, c->n, NULL),
        .w = w,
        .act = c->act,
        .scale_cols = c->n / 3,
        .scale = 0.125f,
    };
    run(e, op, UINT32_MAX);
    fetch(e, op.u.linear.y, y);
    e->device->ops->weight_destroy(w);
}

static void check_linear_value(const struct linear_case *c, const float *y) {
    for (int64_t i = 0; i < c->rows * c->n; i += 7) {
        const int64_t r = i / c->n, col = i % c->n;
        double sum = 0;
        for (int64_t k = 0; k < c->k; k++) {
            sum += (double)c->x[r * c->k + k] * (double)c->w[col * c->k + k];
        }
        sum += (double)c->bias[col];
        sum = c->act == BERTH_ACT_GELU    ? 0.5 * sum * erfc(-sum / sqrt(2))
              : c->act == BERTH_ACT_RELU  ? fmax(sum, 0)
              : c->act == BERTH_ACT_SWISH ? sum / (1 + exp(-sum))
                                          : sum;
        sum = (col < c->n / 3 ? sum * 0.125 : sum) + (double)c->residual[i];
        CHECK_NEAR(y[i], sum, 2e-4);
    }
}

static void check_linear(struct env *envs, int n_envs) {
    const struct linear_case cases[] = {{.rows = 33, .n = 70, .k = 37, .dtype = BERTH_F16},
                                        {.rows = 16, .n = 300, .k = 64, .dtype = BERTH_F16},
                                        {.rows = 5, .n = 31, .k = 5, .dtype = BERTH_F32},
                                        {.rows = 300, .n = 64, .k = 48, .dtype = BERTH_BF16}};
    for (int i = 0; i < 4; i++) {
        struct linear_case c = cases[i];
        c.act = (enum berth_activation)i;
        const size_t nk = (size_t)(c.n * c.k), ny = (size_t)(c.rows * c.n);
        c.x = randoms((size_t)(c.rows * c.k), 1);
        c.bias = randoms((size_t)c.n, 1);
        c.residual = randoms(ny, 1);
        c.w = malloc(nk * 4);
        c.half = malloc(nk * 2);
        for (size_t j = 0; j < nk; j++) { /* +-1, +-2, +-0.5 in either half format */
            static const uint16_t f16[] = {0x3c00, 0xbc00, 0x4000, 0xb800};
            static const uint16_t bf16[] = {0x3f80, 0xbf80, 0x4000, 0xbf00};
            static const float f32[] = {1, -1, 2, -0.5f};
            const int pick = (int)((test_rand(&seed) >> 20) % 4);
            c.half[j] = c.dtype == BERTH_BF16 ? bf16[pick] : f16[pick];
            c.w[j] = f32[pick];
        }
        float *want = malloc(ny * 4), *y = malloc(ny * 4);
        linear(&envs[0], &c, 0, c.rows, want);
        check_linear_value(&c, want);
        for (int d = 0; d < n_envs; d++) {
            linear(&envs[d], &c, 0, c.rows, y);
            CHECK(memcmp(y, want, ny * 4) == 0);
            for (int64_t n = 1; n <= 33 && n < c.rows; n++) {
                const int64_t first = (int64_t)(test_rand(&seed) >> 30) % (c.rows - n + 1);
                linear(&envs[d], &c, first, n, y);
                CHECK(memcmp(y, want + first * c.n, (size_t)(n * c.n) * 4) == 0);
            }
        }
        free(c.x), free(c.bias), free(c.residual), free(c.w), free(c.half), free(want), free(y);
    }
}

/* ---- attention ------------------------------------------------------------------------------ */

struct full_case {
    int64_t t, heads, dh;
    float *qkv; /* [3][heads][t][dh] */
};

static void full(struct env *e, const struct full_case *c, int64_t q0, int64_t nq, float *y) {
    const int64_t d = c->heads * c->dh, plane = c->t * d;
    struct berth_tensor in[3];
    const struct berth_tensor all = tensor(e, BERTH_F32, 3, plane, c->qkv);
    for (int i = 0; i < 3; i++) {
        in[i] = all;
        in[i].offset = (size_t)(i * plane);
        in[i].rows = c->t;
        in[i].cols = d;
        in[i].row_stride = in[i].head_cols = c->dh;
        in[i].head_stride = c->t * c->dh;
    }
    struct berth_op op = {.kind = BERTH_OP_ATTEND_FULL};
    op.u.attend_full = (struct berth_op_attend_full){.q = in[0],
                                                     .k = in[1],
                                                     .v = in[2],
                                                     .y = tensor(e, BERTH_F32, nq, d, NULL),
                                                     .groups = 1,
                                                     .t = c->t,
                                                     .heads = c->heads,
                                                     .head_dim = c->dh,
                                                     .q0 = q0,
                                                     .nq = nq};
    run(e, op, 1);
    fetch(e, op.u.attend_full.y, y);
}

/* softmax(q . k) v over `t` rows, in double. */
static double attended(const float *q, const float *k, const float *v, int64_t t, int64_t dh,
                       int64_t col) {
    double sum = 0, out = 0;
    for (int64_t i = 0; i < t; i++) {
        double s = 0;
        for (int64_t c = 0; c < dh; c++) {
            s += (double)q[c] * (double)k[i * dh + c];
        }
        sum += exp(s);
        out += exp(s) * (double)v[i * dh + col];
    }
    return out / sum;
}

static void check_full(struct env *envs, int n_envs) {
    const struct full_case shapes[] = {{150, 2, 64, NULL}, {37, 3, 20, NULL}};
    for (int i = 0; i < 2; i++) {
        struct full_case c = shapes[i];
        const int64_t d = c.heads * c.dh, plane = c.t * d;
        c.qkv = randoms((size_t)(3 * plane), 1);
        float *want = malloc((size_t)plane * 4), *y = malloc((size_t)plane * 4);
        full(&envs[0], &c, 0, c.t, want);
        for (int64_t j = 0; j < plane; j += 11) {
            const int64_t row = j / d, head = j % d / c.dh, at = head * c.t * c.dh;
            const float *q = c.qkv + at + row * c.dh;
            CHECK_NEAR(want[j],
                       attended(q, c.qkv + plane + at, c.qkv + 2 * plane + at, c.t, c.dh, j % c.dh),
                       2e-5);
        }
        for (int e = 0; e < n_envs; e++) {
            for (int64_t nq = c.t; nq > 0; nq = nq * 2 / 3) {
                const int64_t q0 = (c.t - nq) / 2;
                full(&envs[e], &c, q0, nq, y);
                CHECK(memcmp(y, want + q0 * d, (size_t)(nq * d) * 4) == 0);
            }
        }
        free(c.qkv), free(want), free(y);
    }
}

enum { PAGES = 24, ROWS = 9 };

struct paged_case {
    int64_t page_rows, heads, dh, max_pages;
    float *kv, *q;
    int32_t table[ROWS * PAGES], len[ROWS];
};

static void paged(struct env *e, const struct paged_case *c, int64_t first, int64_t n, float *y) {
    const int64_t d = c->heads * c->dh, page = 2 * d * c->page_rows;
    struct berth_op op = {.kind = BERTH_OP_ATTEND_PAGED};
    op.u.attend_paged = (struct berth_op_attend_paged){
        .q = tensor(e, BERTH_F32, n, d, c->q + first * d),
        .table = tensor(e, BERTH_I32, n, c->max_pages, c->table + first * c->max_pages),
        .len = tensor(e, BERTH_I32, 1, n, c->len + first),
        .y = tensor(e, BERTH_F32, n, d, NULL),
        .kv = {.buffer = tensor(e, BERTH_F32, PAGES, page, c->kv).buffer,
               .page_stride = page,
               .page_rows = c->page_rows,
               .heads = c->heads,
               .head_dim = c->dh,
               .value_offset = d * c->page_rows},
    };
    run(e, op, (uint32_t)n);
    fetch(e, op.u.attend_paged.y, y);
}

static void check_paged(struct env *envs, int n_envs) {
    const struct paged_case shapes[] = {{.page_rows = 50, .heads = 2, .dh = 64, .max_pages = 8},
                                        {.page_rows = 600, .heads = 2, .dh = 64, .max_pages = 1},
                                        {.page_rows = 7, .heads = 3, .dh = 20, .max_pages = 5}};
    for (int i = 0; i < 3; i++) {
        struct paged_case c = shapes[i];
        const int64_t d = c.heads * c.dh, page = 2 * d * c.page_rows;
        c.kv = randoms((size_t)(PAGES * page), 1);
        c.q = randoms((size_t)(ROWS * d), 1);
        for (int64_t r = 0; r < ROWS; r++) { /* rows 2 and 3, 5 and 6 share their pages */
            c.len[r] = 1 + (int32_t)((test_rand(&seed) >> 30) % (c.page_rows * c.max_pages));
            const bool shares = r == 3 || r == 6;
            for (int64_t p = 0; p < c.max_pages; p++) {
                int32_t *at = &c.table[r * c.max_pages + p];
                *at = shares ? at[-c.max_pages] : (int32_t)((test_rand(&seed) >> 30) % PAGES);
            }
        }
        c.len[0] = (int32_t)(c.page_rows * c.max_pages);
        float want[ROWS * 128], y[ROWS * 128];
        paged(&envs[0], &c, 0, ROWS, want);
        for (int64_t j = 0; j < ROWS * d; j += 5) {
            const int64_t row = j / d, head = j % d / c.dh;
            float *k = malloc((size_t)(c.len[row] * c.dh) * 4);
            float *v = malloc((size_t)(c.len[row] * c.dh) * 4);
            for (int64_t t = 0; t < c.len[row]; t++) {
                const int64_t p = c.table[row * c.max_pages + t / c.page_rows];
                const float *at = c.kv + p * page + (head * c.page_rows + t % c.page_rows) * c.dh;
                memcpy(k + t * c.dh, at, (size_t)c.dh * 4);
                memcpy(v + t * c.dh, at + d * c.page_rows, (size_t)c.dh * 4);
            }
            CHECK_NEAR(want[j],
                       attended(c.q + row * d + head * c.dh, k, v, c.len[row], c.dh, j % c.dh),
                       2e-5);
            free(k), free(v);
        }
        for (int e = 0; e < n_envs; e++) {
            for (int64_t n = ROWS; n > 0; n--) {
                const int64_t first = (int64_t)(test_rand(&seed) >> 30) % (ROWS - n + 1);
                paged(&envs[e], &c, first, n, y);
                CHECK(memcmp(y, want + first * d, (size_t)(n * d) * 4) == 0);
            }
        }
        free(c.kv), free(c.q);
    }
}

/* ---- convolution, norm, pick ---------------------------------------------------------------- */

static void conv(struct env *e, int64_t groups, const float *x, const float *w, float *y) {
    enum { T_IN = 41, C = 20, N = 40, T_OUT = 21 };
    struct berth_error err;
    struct berth_op op = {.kind = BERTH_OP_CONV3};
    struct berth_weight *weight;
    CHECK_OK(
        e->device->ops->weight_create(e->device, &bytes, BERTH_F32, N, 3 * C, w, &weight, &err),
        err);
    op.u.conv3 = (struct berth_op_conv3){.x = tensor(e, BERTH_F32, groups * T_IN, C, x),
                                         .add = tensor(e, BERTH_F32, T_OUT, N, x),
                                         .y = tensor(e, BERTH_F32, groups * T_OUT, N, NULL),
                                         .w = weight,
                                         .groups = groups,
                                         .t_in = T_IN,
                                         .t_out = T_OUT,
                                         .stride = 2};
    run(e, op, (uint32_t)groups);
    fetch(e, op.u.conv3.y, y);
    e->device->ops->weight_destroy(weight);
    for (int64_t i = 0; i < groups * T_OUT * N; i++) {
        const int64_t t = i / N % T_OUT, n = i % N;
        double sum = (double)x[t * N + n];
        for (int64_t j = 0; j < 3 * C; j++) {
            const int64_t at = t * 2 + j / C - 1;
            if (at >= 0 && at < T_IN) {
                sum +=
                    (double)x[(i / N / T_OUT * T_IN + at) * C + j % C] * (double)w[n * 3 * C + j];
            }
        }
        CHECK_NEAR(y[i], sum, 1e-4);
    }
}

static void norm(struct env *e, int64_t rows, const float *x, float *y) {
    enum { D = 77 };
    struct berth_op op = {.kind = BERTH_OP_LAYER_NORM};
    op.u.layer_norm = (struct berth_op_layer_norm){.x = tensor(e, BERTH_F32, rows, D, x),
                                                   .gamma = tensor(e, BERTH_F32, 1, D, x),
                                                   .beta = tensor(e, BERTH_F32, 1, D, x + D),
                                                   .y = tensor(e, BERTH_F32, rows, D, NULL),
                                                   .eps = 1e-5f};
    run(e, op, (uint32_t)rows);
    fetch(e, op.u.layer_norm.y, y);
}

enum { V = 2500, PICKS = 7 };

static void pick(struct env *e, int64_t first, int64_t n, const float *logits,
                 const struct berth_pick_in *in, float *probs, struct berth_pick_out *out) {
    static uint32_t mask[(V + 31) / 32] = {0x10};
    const int64_t in_words = sizeof(*in) / 4, out_words = sizeof(*out) / 4;
    struct berth_op op = {.kind = BERTH_OP_PICK};
    op.u.pick = (struct berth_op_pick){
        .logits = tensor(e, BERTH_F32, n, V, logits + first * V),
        .in = tensor(e, BERTH_U32, n, in_words, in + first),
        .out = tensor(e, BERTH_U32, n, out_words, NULL),
        .mask = tensor(e, BERTH_U32, 1, (V + 31) / 32, mask),
        .all_probs = tensor(e, BERTH_F32, n, V, NULL),
    };
    run(e, op, (uint32_t)n);
    CHECK_INT(e->device->ops->read(op.u.pick.all_probs.buffer, 0, probs, (size_t)(n * V) * 4), 0);
    fetch(e, op.u.pick.out, out);
}

static void check_picks(struct env *envs, int n_envs) {
    float *logits = randoms(PICKS * V, 4), *probs = malloc(PICKS * V * 4),
          *want_probs = malloc(PICKS * V * 4);
    struct berth_pick_in in[PICKS] = {0};
    struct berth_pick_out want[PICKS], out[PICKS];
    for (int r = 0; r < PICKS; r++) {
        in[r].mask = r % 2 - 1;
        in[r].probe = r % 3 == 0 ? 17 : -1;
        in[r].group_begin = r < 2 ? -1 : V - 60 * r;
        in[r].temperature = r % 2 ? 0.7f : 0;
        in[r].row = (uint32_t)r;
        in[r].forbid[1][0] = 100;
        in[r].forbid[1][1] = 1500;
        logits[r * V + 1700] = r == 4 ? NAN : 9;
    }
    for (int64_t i = 0; i < V; i++) {
        logits[6 * V + i] = NAN; /* nothing left */
    }
    pick(&envs[0], 0, PICKS, logits, in, want_probs, want);
    CHECK_INT(want[0].id, 1700);
    CHECK(isnan(want[0].group_margin) && want[0].top_logit[0] == 9);
    CHECK_INT(want[6].id, -1);
    CHECK(want[6].logprob == -INFINITY);
    for (int e = 0; e < n_envs; e++) {
        for (int64_t n = PICKS; n > 0; n--) {
            pick(&envs[e], PICKS - n, n, logits, in, probs, out);
            CHECK(memcmp(out, want + PICKS - n, (size_t)n * sizeof(*out)) == 0);
            CHECK(memcmp(probs, want_probs + (PICKS - n) * V, (size_t)(n * V) * 4) == 0);
        }
    }
    free(logits), free(probs), free(want_probs);
}

static void check_rows(struct env *envs, int n_envs) {
    float *x = randoms(3 * 41 * 77, 1), *w = randoms(40 * 60, 1);
    float want[3 * 21 * 77], y[3 * 21 * 77];
    for (int e = 0; e < n_envs; e++) {
        conv(&envs[0], 3, x, w, want);
        conv(&envs[e], 3, x, w, y);
        CHECK(memcmp(y, want, 3 * 21 * 40 * 4) == 0);
        conv(&envs[e], 1, x, w, y);
        CHECK(memcmp(y, want, 21 * 40 * 4) == 0);
        norm(&envs[0], 20, x, want);
        for (int64_t n = 1; n <= 20; n++) {
            norm(&envs[e], n, x, y);
            CHECK(memcmp(y, want, (size_t)(n * 77) * 4) == 0);
        }
    }
    free(x), free(w);
}

int main(void) {
    static const int threads[] = {1, 2, 3};
    struct env envs[9] = {0};
    int n = 0;
    seed = 11;
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    for (int isa = BTH_CPU_AVX512; isa >= BTH_CPU_SCALAR; isa--) {
        for (int i = 0; i < 3; i++) {
            struct berth_error err;
            const struct bth_cpu_config config = {.threads = threads[i],
                                                  .cap = (enum bth_cpu_isa)isa};
            CHECK_OK(bth_cpu_open(&config, &envs[n].device, &err), err);
            bth_cpu_together(envs[n].device);
            n++;
        }
    }
    check_linear(envs, n);
    check_full(envs, n);
    check_paged(envs, n);
    check_rows(envs, n);
    check_picks(envs, n);
    CHECK_INT(bth_reservation_used(&bytes), 0);
    for (int i = 0; i < n; i++) {
        envs[i].device->ops->close(envs[i].device);
    }
    return 0;
}

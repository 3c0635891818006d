#include "op_cases.h"

#include "base/compiler.h"
#include "base/dtype.h"
#include "base/reservation.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "lib/test.h"

static const char *const kind_names[BERTH_N_OPS] = {
    "embed",        "layer_norm", "linear", "conv3",     "attend_full", "kv_store",
    "attend_paged", "kv_copy",    "gather", "pick",      "select",      "ssru",
    "top",          "embed_sum",  "maxout", "gather_max"};

enum { GROUP_ROWS = 3, MAX_BUFFERS = 48, GUARD = 13 };

/* One run: its device, and what has to be given back. */
struct bench {
    const struct op_case *c;
    struct berth_device *device;
    struct berth_reservation bytes;
    struct berth_buffer *buffers[MAX_BUFFERS];
    struct berth_weight *weight;
    void *blocks[MAX_BUFFERS];
    int n_buffers, n_blocks;
    bool narrow; /* the next tensor is in the device's narrow type */
};

static void *block(struct bench *b, size_t bytes) {
    CHECK(b->n_blocks < MAX_BUFFERS);
    return b->blocks[b->n_blocks++] = calloc(1, bytes + 1);
}

/* ---- data: the same for every run of a case --------------------------------------------------*/

static unsigned long long stream(const struct bench *b, int what) {
    unsigned long long s = b->c->seed * 977 + (unsigned long long)what * 7919 + 1;
    for (int i = 0; i < 4; i++) {
        test_rand(&s);
    }
    return s;
}

static float *floats(struct bench *b, int what, int64_t n, float scale) {
    unsigned long long s = stream(b, what);
    float *f = block(b, (size_t)n * sizeof(*f));
    for (int64_t i = 0; i < n; i++) {
        f[i] = test_randf(&s) * scale;
    }
    return f;
}

static int32_t *ints(struct bench *b, int what, int64_t n, int64_t below) {
    unsigned long long s = stream(b, what);
    int32_t *v = block(b, (size_t)n * sizeof(*v));
    for (int64_t i = 0; i < n; i++) {
        v[i] = (int32_t)((test_rand(&s) >> 20) % (unsigned long long)below);
    }
    return v;
}

static const void *narrowed(struct bench *b, enum berth_dtype dtype, const float *f, int64_t n) {
    if (dtype == BERTH_F32) {
        return f;
    }
    if (dtype == BERTH_I8) {
        int8_t *bytes = block(b, (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            bytes[i] = (int8_t)(f[i] * 127);
        }
        return bytes;
    }
    uint16_t *h = block(b, (size_t)n * sizeof(*h));
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &f[i], sizeof(bits));
        h[i] = dtype == BERTH_F16 ? bth_f32_to_f16(f[i]) : (uint16_t)(bits >> 16);
    }
    return h;
}

/* ---- tensors ---------------------------------------------------------------------------------*/

static struct berth_buffer *buffer(struct bench *b, const void *from, size_t size) {
    struct berth_error err;
    struct berth_buffer *made;
    CHECK(b->n_buffers < MAX_BUFFERS);
    CHECK_OK(b->device->ops->buffer_create(b->device, &b->bytes, size, &made, &err), err);
    CHECK_INT(b->device->ops->write(made, 0, from, size), 0);
    return b->buffers[b->n_buffers++] = made;
}

/* Which slot of its buffer group g of `groups` lies in: not the first, and in reverse. */
static int64_t slot(int64_t g, int64_t groups) {
    return groups - g;
}

/* Element (r, c), told from what berth/backend.h says. */
static int64_t place(const struct berth_tensor *t, int64_t r, int64_t c) {
    int64_t at = (int64_t)t->offset;
    if (t->index) {
        at += slot(r / t->group_rows, t->rows / t->group_rows) * t->group_stride;
        r %= t->group_rows;
    }
    if (t->head_cols) {
        at += c / t->head_cols * t->head_stride;
        c %= t->head_cols;
    }
    return at + r * t->row_stride + c;
}

/* The next tensor is one that may be narrow: on a device that has such a type it is, but beside a
 * weight of i8, where a rounded input may be another byte. */
static struct bench *narrow(struct bench *b) {
    b->narrow = b->device->narrow != BERTH_F32 && b->c->dtype != BERTH_I8;
    return b;
}

/* Up to a multiple of 8 for a good half of the narrow tensors: where kernels copy whole chunks. */
static int64_t pad(const struct bench *b, int64_t n) {
    return b->narrow && b->c->seed % 4 ? (n + 7) / 8 * 8 : n;
}

/* n floats as the device keeps them: a buffer of `dtype`. */
static struct berth_buffer *floats_buffer(struct bench *b, enum berth_dtype dtype, const float *f,
                                          int64_t n) {
    return buffer(b, narrowed(b, dtype, f, n), (size_t)n * bth_dtype_bytes(dtype));
}

/* What a buffer holds, as f32 [*out_n]. */
static float *buffer_floats(struct bench *b, struct berth_buffer *from, enum berth_dtype dtype,
                            int64_t *out_n) {
    const int64_t n = (int64_t)(from->bytes / bth_dtype_bytes(dtype));
    float *f = block(b, (size_t)n * sizeof(*f));
    uint16_t *h = dtype == BERTH_F16 ? block(b, from->bytes) : NULL;
    CHECK_INT(b->device->ops->read(from, 0, h ? (void *)h : f, from->bytes), 0);
    for (int64_t i = 0; h && i < n; i++) {
        f[i] = bth_f16_to_f32(h[i]);
    }
    *out_n = n;
    return f;
}

/* A f32 (or narrow) tensor of `rows` rows, the first `live` of them from `from` (NULL: none), all
 * else NaN.
 * `unit`: a group holds a multiple of it. `head_cols`: of placings with heads. */
static struct berth_tensor tensor(struct bench *b, enum op_placing placing, int64_t rows,
                                  int64_t cols, int64_t unit, int64_t head_cols, const float *from,
                                  int64_t live) {
    const bool groups = placing >= OP_GROUPS, heads = placing == OP_HEADS || placing == OP_BOTH;
    struct berth_tensor t = {.dtype = b->narrow ? b->device->narrow : BERTH_F32, .rows = rows};
    t.offset = placing ? (size_t)pad(b, 5) : 0;
    t.cols = cols;
    t.row_stride = pad(b, cols + (placing == OP_STRIDED ? 7 : 0));
    int64_t per_group = rows, n_groups = 1;
    if (groups) {
        t.group_rows = per_group = unit * GROUP_ROWS;
        n_groups = rows / per_group;
        CHECK_INT(n_groups * per_group, rows);
        int32_t index[64];
        CHECK(n_groups < 64);
        for (int64_t g = 0; g < n_groups; g++) {
            index[g] = (int32_t)slot(g, n_groups);
        }
        t.index = buffer(b, index, (size_t)n_groups * sizeof(*index));
    }
    if (heads) {
        t.head_cols = t.row_stride = head_cols;
        t.head_stride = pad(b, per_group * head_cols + 4);
    }
    const int64_t group = heads ? cols / head_cols * t.head_stride : per_group * t.row_stride;
    t.group_stride = groups ? pad(b, group + 9) : 0;
    const int64_t all = (int64_t)t.offset + (groups ? n_groups * t.group_stride : 0) +
                        (heads ? cols / head_cols * t.head_stride : per_group * t.row_stride) +
                        GUARD;
    float *host = block(b, (size_t)all * sizeof(*host));
    for (int64_t i = 0; i < all; i++) {
        host[i] = NAN;
    }
    for (int64_t r = 0; from && r < live; r++) {
        for (int64_t c = 0; c < cols; c++) {
            host[place(&t, r, c)] = from[r * cols + c];
        }
    }
    t.buffer = floats_buffer(b, t.dtype, host, all);
    b->narrow = false;
    return t;
}

/* The first `live` rows to `out`, `stride` floats apart; everything else must still be NaN. */
static void fetch(struct bench *b, const struct berth_tensor *t, int64_t live, float *out,
                  int64_t stride) {
    int64_t all;
    float *host = buffer_floats(b, t->buffer, t->dtype, &all);
    for (int64_t r = 0; r < live; r++) {
        for (int64_t c = 0; c < t->cols; c++) {
            out[r * stride + c] = host[place(t, r, c)];
            host[place(t, r, c)] = NAN;
        }
    }
    for (int64_t r = live; r < t->rows; r++) { /* undefined, says the contract */
        for (int64_t c = 0; c < t->cols; c++) {
            host[place(t, r, c)] = NAN;
        }
    }
    for (int64_t i = 0; i < all; i++) {
        if (!isnan(host[i])) {
            TEST_FAIL("op %s wrote outside of its rows, element %lld", kind_names[b->c->kind],
                      (long long)i);
        }
    }
}

/* [1, n] i32, `live` of them given; the others would reach far away. */
static struct berth_tensor list(struct bench *b, const int32_t *from, int64_t n, int64_t live) {
    int32_t *host = block(b, (size_t)n * sizeof(*host));
    for (int64_t i = 0; i < n; i++) {
        host[i] = i < live ? from[i] : INT32_MAX / 2;
    }
    return bth_tensor(buffer(b, host, (size_t)n * sizeof(*host)), BERTH_I32, 0, 1, n);
}

static struct berth_tensor table(struct bench *b, const int32_t *from, int64_t rows, int64_t cols,
                                 int64_t live) {
    struct berth_tensor t = list(b, from, rows * cols, live * cols);
    t.rows = rows;
    t.cols = t.row_stride = cols;
    return t;
}

static struct berth_tensor vector(struct bench *b, int what, int64_t n) {
    return tensor(b, OP_STRIDED, 1, n, 1, 0, floats(b, what, n, 1), 1);
}

static void make_weight(struct bench *b, int what, int64_t n, int64_t k) {
    struct berth_error err;
    const void *rows = narrowed(b, b->c->dtype, floats(b, what, n * k, 1), n * k);
    CHECK_OK(b->device->ops->weight_create(b->device, &b->bytes, b->c->dtype, n, k, rows,
                                           &b->weight, &err),
             err);
}

/* Rows of the program for n live ones. */
static int64_t capacity(const struct bench *b, int64_t n) {
    const int64_t group = GROUP_ROWS * (b->c->tall ? b->c->tall : 1);
    n += b->c->spare;
    return b->c->placing >= OP_GROUPS ? (n + group - 1) / group * group : n;
}

static void run(struct bench *b, struct bth_builder *builder, int64_t live) {
    struct berth_error err;
    struct berth_program *p;
    const uint32_t lives[BERTH_MAX_LIVE] = {0, 0, (uint32_t)live, 0};
    CHECK_OK(bth_builder_build(builder, &b->bytes, &p, &err), err);
    CHECK_OK(b->device->ops->program_run(p, lives, &err), err);
    CHECK_OK(b->device->ops->sync(b->device, &err), err);
    bth_program_destroy(b->device, p);
}

enum { LIVE = 2 }; /* which live count bounds the op */

/* How products with bytes are done: with one alpha, or each row with its own. */
static struct berth_eights eights(struct bench *b, int what, int64_t n) {
    struct berth_eights e = {.alpha = b->c->seed % 2 ? 60.0f : 0.0f};
    if (b->c->dtype == BERTH_I8) {
        e.unit = vector(b, what, n);
    } else {
        e.alpha = 0;
    }
    return e;
}

/* ---- the ops ---------------------------------------------------------------------------------*/

static enum op_placing rows_only(enum op_placing p) {
    return p == OP_HEADS ? OP_STRIDED : p == OP_BOTH ? OP_GROUPS : p;
}

static struct berth_tensor stored_table(struct bench *b, int what, int64_t rows, int64_t cols,
                                        enum berth_dtype dtype) {
    const void *data = narrowed(b, dtype, floats(b, what, rows * cols, 1), rows * cols);
    return bth_tensor(buffer(b, data, (size_t)(rows * cols) * bth_dtype_bytes(dtype)), dtype, 0,
                      rows, cols);
}

static void run_embed(struct bench *b, struct bth_builder *w, int64_t first, int64_t n, void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), ids = 70; /* three panels, the last not full */
    int32_t *id = ints(b, 0, c->rows, ids);
    struct berth_op_embed op = {.pos = list(b, ints(b, 1, c->rows, 9) + first, m, n),
                                .positions = stored_table(b, 3, 9, c->n, BERTH_F32),
                                .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
                                .scale = 1.7f,
                                .unit = 0.3f};
    for (int64_t r = 3; r < c->rows; r += 4) {
        id[r] = -1;
    }
    op.ids = list(b, id + first, m, n);
    if (c->residual) {
        op.rows = stored_table(b, 2, ids, c->n, c->dtype);
    } else {
        make_weight(b, 2, ids, c->n);
        op.table = b->weight;
    }
    if (c->dtype != BERTH_I8) {
        op.positions = stored_table(b, 3, 9, c->n, c->dtype);
    }
    bth_op_embed(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

static void run_layer_norm(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                           void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n);
    const struct berth_op_layer_norm op = {
        .x = tensor(b, rows_only(c->placing), m, c->n, 1, 0,
                    floats(b, 0, c->rows * c->n, 3) + first * c->n, n),
        .gamma = vector(b, 1, c->n),
        .beta = vector(b, 2, c->n),
        .y = tensor(narrow(b), rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
        .eps = 1e-5f};
    bth_op_layer_norm(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

static void run_linear(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                       void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), heads = c->heads ? c->heads : 1, unit = c->tall ? c->tall : 1;
    make_weight(b, 0, c->n, c->k);
    struct berth_op_linear op = {
        .w = b->weight, .act = c->act, .scale_cols = c->n / 3, .many = c->many};
    op.scale = 0.125f;
    op.eights = eights(b, 4, c->n);
    /* inputs in heads need columns that divide; one head is as good as any */
    op.x = tensor(c->many ? narrow(b) : b, c->placing, m, c->k, unit, c->k % 4 ? c->k : c->k / 4,
                  floats(b, 1, c->rows * c->k, 1) + first * c->k, n);
    const float *residual = floats(b, 3, c->rows * c->n, 1) + first * c->n;
    const bool in_place = c->residual && c->seed % 2;
    op.y = tensor(c->many && !c->residual ? narrow(b) : b, c->placing, m, c->n, unit, c->n / heads,
                  in_place ? residual : NULL, n);
    if (c->bias) {
        op.bias = vector(b, 2, c->n);
    }
    if (c->residual) {
        op.residual = in_place ? op.y : tensor(b, OP_STRIDED, m, c->n, 1, 0, residual, n);
    }
    bth_op_linear(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

static void run_conv3(struct bench *b, struct bth_builder *w, int64_t first, int64_t n, void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), t_out = (c->t - 1) / c->stride + 1, in = c->t * c->k;
    make_weight(b, 0, c->n, 3 * c->k);
    struct berth_op_conv3 op = {.w = b->weight,
                                .groups = m,
                                .t_in = c->t,
                                .t_out = t_out,
                                .stride = c->stride,
                                .act = c->act};
    op.x = tensor(narrow(b), rows_only(c->placing), m * c->t, c->k, c->t, 0,
                  floats(b, 1, c->rows * in, 1) + first * in, n * c->t);
    op.y =
        tensor(c->residual ? b : narrow(b), c->placing, m * t_out, c->n, t_out, c->n / 2, NULL, 0);
    if (c->bias) {
        op.bias = vector(b, 2, c->n);
    }
    if (c->residual) {
        op.add = tensor(b, OP_STRIDED, t_out, c->n, 1, 0, floats(b, 3, t_out * c->n, 1), t_out);
    }
    bth_op_conv3(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n * t_out, out, c->n);
}

static void run_attend_full(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                            void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), group = c->t * c->n, nq = c->t - c->q0;
    struct berth_op_attend_full op = {.groups = m,
                                      .t = c->t,
                                      .heads = c->heads,
                                      .head_dim = c->n / c->heads,
                                      .q0 = c->q0,
                                      .nq = nq};
    struct berth_tensor *in[] = {&op.q, &op.k, &op.v};
    for (int i = 0; i < 3; i++) {
        *in[i] =
            tensor(narrow(b), c->placing >= OP_GROUPS ? OP_BOTH : OP_HEADS, m * c->t, c->n, c->t,
                   op.head_dim, floats(b, i, c->rows * group, 2) + first * group, n * c->t);
    }
    op.y = tensor(narrow(b), c->placing, m * nq, c->n, nq, op.head_dim, NULL, 0);
    bth_op_attend_full(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n * nq, out, c->n);
}

static int64_t page_floats(const struct op_case *c) {
    return 2 * c->page_rows * c->n + (c->seed % 2 ? 10 : 8);
}

/* Pages of keys and values. */
static struct berth_kv pages(struct bench *b, int64_t n_pages, const float *from) {
    const struct op_case *c = b->c;
    struct berth_kv kv = {.dtype = b->device->narrow, .page_rows = c->page_rows, .heads = c->heads};
    /* in half of the cases as kernels like it: aligned */
    const int64_t key = c->seed % 2 ? 3 : 4, gap = c->seed % 2 ? 2 : 0;
    kv.head_dim = c->n / c->heads;
    kv.key_offset = key;
    kv.value_offset = key + c->page_rows * c->n + gap;
    kv.page_stride = page_floats(c);
    kv.buffer = floats_buffer(b, kv.dtype, from, n_pages * kv.page_stride);
    return kv;
}

/* Rounded as the device does it. */
static float *as_kept(struct bench *b, enum berth_dtype dtype, float *f, int64_t n) {
    const uint16_t *h = narrowed(b, dtype, f, n);
    for (int64_t i = 0; dtype != BERTH_F32 && i < n; i++) {
        f[i] = bth_f16_to_f32(h[i]);
    }
    return f;
}

/* Row r of the case owns pages [r * pages, (r + 1) * pages), in reverse. */
static int32_t *own_pages(struct bench *b) {
    const struct op_case *c = b->c;
    int32_t *t = block(b, (size_t)(c->rows * c->pages) * sizeof(*t));
    for (int64_t i = 0; i < c->rows * c->pages; i++) {
        t[i] = (int32_t)(i / c->pages * c->pages + c->pages - 1 - i % c->pages);
    }
    return t;
}

static void run_kv_store(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                         void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), page = page_floats(c), row = c->pages * page;
    const int64_t all = c->rows * row;
    const struct berth_op_kv_store op = {
        .x = tensor(b, rows_only(c->placing), m, 2 * c->n, 1, 0,
                    floats(b, 0, c->rows * 2 * c->n, 1) + first * 2 * c->n, n),
        .table = table(b, own_pages(b) + first * c->pages, m, c->pages, n),
        .pos = list(b, ints(b, 1, c->rows, c->pages * c->page_rows) + first, m, n),
        .kv = pages(b, c->rows * c->pages, floats(b, 2, all, 1))};
    bth_op_kv_store(w, LIVE, &op);
    run(b, w, n);
    int64_t have;
    float *after = buffer_floats(b, op.kv.buffer, op.kv.dtype, &have);
    float *before = as_kept(b, op.kv.dtype, floats(b, 2, all, 1), all);
    CHECK_INT(have, all);
    memcpy(out, after + first * row, (size_t)(n * row) * sizeof(*after));
    CHECK(memcmp(before, after, (size_t)(first * row) * sizeof(*after)) == 0);
    CHECK(memcmp(before + (first + n) * row, after + (first + n) * row,
                 (size_t)(all - (first + n) * row) * sizeof(*after)) == 0);
}

static void run_attend_paged(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                             void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), n_pages = c->rows * c->pages;
    int32_t *own = own_pages(b), *len = ints(b, 1, c->rows, c->pages * c->page_rows);
    for (int64_t r = 0; r < c->rows; r++) {
        len[r]++;
        if (r % 3 == 2) { /* shares the pages of the row before it */
            memcpy(own + r * c->pages, own + (r - 1) * c->pages, (size_t)c->pages * sizeof(*own));
        }
    }
    len[0] = (int32_t)(c->pages * c->page_rows);
    struct berth_op_attend_paged op = {
        .q = tensor(b, c->placing, m, c->n, 1, c->n / c->heads,
                    floats(b, 0, c->rows * c->n, 2) + first * c->n, n),
        .table = table(b, own + first * c->pages, m, c->pages, n),
        .len = list(b, len + first, m, n),
        .y = tensor(b, c->placing, m, c->n, 1, c->n / c->heads, NULL, 0),
        .kv = pages(b, n_pages, floats(b, 2, n_pages * page_floats(c), 2))};
    const int64_t positions = c->pages * c->page_rows, per_row = c->heads * positions;
    const int64_t stride = c->n + (c->residual ? per_row : 0);
    if (c->residual) {
        op.scores = tensor(b, rows_only(c->placing), m * c->heads, positions, c->heads, 0, NULL, 0);
    }
    bth_op_attend_paged(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, stride);
    if (c->residual) {
        float *scores = block(b, (size_t)(n * per_row) * sizeof(*scores));
        fetch(b, &op.scores, n * c->heads, scores, positions);
        for (int64_t r = 0; r < n; r++) {
            for (int64_t i = 0; i < per_row; i++) { /* beyond len they are nobody's */
                ((float *)out)[r * stride + c->n + i] =
                    i % positions < len[first + r] ? scores[r * per_row + i] : 0.0f;
            }
        }
    }
}

static void run_kv_copy(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                        void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), page = page_floats(c), n_pages = 2 * c->rows;
    int32_t *from = ints(b, 0, c->rows, c->rows), *to = block(b, (size_t)c->rows * sizeof(*to));
    for (int64_t i = 0; i < c->rows; i++) {
        to[i] = (int32_t)(n_pages - 1 - i);
    }
    float *data = floats(b, 1, n_pages * page, 1);
    const struct berth_op_kv_copy op = {.from = list(b, from + first, m, n),
                                        .to = list(b, to + first, m, n),
                                        .kv = pages(b, n_pages, data)};
    bth_op_kv_copy(w, LIVE, &op);
    run(b, w, n);
    int64_t have;
    float *after = buffer_floats(b, op.kv.buffer, op.kv.dtype, &have);
    CHECK_INT(have, n_pages * page);
    data = as_kept(b, op.kv.dtype, data, have);
    const size_t bytes = (size_t)page * sizeof(*after);
    for (int64_t i = 0; i < n_pages; i++) {
        const int64_t row = n_pages - 1 - i - first;
        if (row >= 0 && row < n) {
            memcpy((char *)out + (size_t)row * bytes, after + i * page, bytes);
        } else {
            CHECK(memcmp(after + i * page, data + i * page, bytes) == 0);
        }
    }
}

static void run_gather(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                       void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), x_rows = 12;
    const struct berth_op_gather op = {
        .x = tensor(b, rows_only(c->placing), x_rows, c->n, 1, 0, floats(b, 0, x_rows * c->n, 1),
                    x_rows),
        .rows = list(b, ints(b, 1, c->rows, x_rows) + first, m, n),
        .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0)};
    bth_op_gather(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

/* What pick is asked of each row: every rule in turn, and some together. */
static struct berth_pick_in *pick_inputs(struct bench *b) {
    const struct op_case *c = b->c;
    struct berth_pick_in *in = block(b, (size_t)c->rows * sizeof(*in));
    const int32_t v = (int32_t)c->n;
    for (int32_t r = 0; r < c->rows; r++) {
        in[r] = (struct berth_pick_in){.mask = r % 3 - 1,
                                       .forbid = {{0, r % 4}, {v / 2, v / 2 + r}, {v, v + 9}},
                                       .group_begin = r % 2 ? v - v / (2 + r % 5) : -1,
                                       .probe = r % 4 ? r % v : -1,
                                       .temperature = r % 5 < 2 ? 0 : 0.2f * (float)(r % 5),
                                       .seed_lo = 7,
                                       .seed_hi = (uint32_t)r,
                                       .window = 3,
                                       .attempt = 1,
                                       .row = (uint32_t)r,
                                       .step = 100};
    }
    if (c->rows > 11) {
        in[6].forbid[3][1] = v; /* nothing left */
        in[9].group_begin = v;  /* an empty group */
        in[10].group_begin = 0; /* nothing but the group */
        in[10].temperature = 0;
    }
    return in;
}

/* Rows of few distinct values hold ties; every tenth id is NaN or -inf in some rows. */
static float *pick_logits(struct bench *b) {
    const struct op_case *c = b->c;
    float *z = floats(b, 0, c->rows * c->n, 6);
    for (int64_t i = 0; i < c->rows * c->n; i++) {
        const int64_t r = i / c->n;
        if (r % 4 == 1) {
            z[i] = rintf(z[i] / 2);
        }
        if (r % 4 == 2 && i % 10 == 0) {
            z[i] = i % 20 ? -INFINITY : NAN;
        }
    }
    return z;
}

static void run_pick(struct bench *b, struct bth_builder *w, int64_t first, int64_t n, void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), words = (c->n + 31) / 32, v = c->n;
    enum { IN = sizeof(struct berth_pick_in) / 4, OUT = sizeof(struct berth_pick_out) / 4 };
    const int64_t stride = OUT + (c->residual ? v : 0);
    int32_t *mask = ints(b, 1, 2 * words, INT32_MAX);
    for (int64_t i = 0; i < words; i++) {
        mask[i] &= mask[words + i] >> 3; /* one row masks less */
    }
    struct berth_pick_in *in = block(b, (size_t)m * sizeof(*in));
    memset(in, 0x7F, (size_t)m * sizeof(*in));
    memcpy(in, pick_inputs(b) + first, (size_t)n * sizeof(*in));
    struct berth_op_pick op = {
        .logits = tensor(b, rows_only(c->placing), m, v, 1, 0, pick_logits(b) + first * v, n),
        .in = bth_tensor(buffer(b, in, (size_t)m * sizeof(*in)), BERTH_U32, 0, m, IN),
        .mask = bth_tensor(buffer(b, mask, (size_t)(2 * words) * 4), BERTH_U32, 0, 2, words)};
    op.out = tensor(b, OP_STRIDED, m, OUT, 1, 0, NULL, 0);
    op.out.dtype = BERTH_U32;
    if (c->residual) {
        op.all_probs = tensor(b, rows_only(c->placing), m, v, 1, 0, NULL, 0);
    }
    bth_op_pick(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.out, n, out, stride);
    if (c->residual) {
        fetch(b, &op.all_probs, n, (float *)out + OUT, stride);
    }
}

/* Ids of one list in ascending order, of the other in reverse; some rows want few. */
static void run_select(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                       void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), vocab = 90, lists = 2;
    int32_t *ids = block(b, (size_t)(lists * c->n) * sizeof(*ids));
    int32_t *count = ints(b, 1, c->rows, c->n);
    for (int64_t i = 0; i < c->n; i++) {
        ids[i] = (int32_t)(i * vocab / c->n);
        ids[c->n + i] = (int32_t)(vocab - 1 - i % vocab);
    }
    for (int64_t r = 0; r < c->rows; r++) {
        count[r] = r % 3 ? (int32_t)c->n : count[r];
    }
    struct berth_op_select op = {.x = tensor(b, rows_only(c->placing), m, c->k, 1, 0,
                                             floats(b, 0, c->rows * c->k, 1) + first * c->k, n),
                                 .w = stored_table(b, 2, vocab, c->k, c->dtype),
                                 .ids = table(b, ids, lists, c->n, lists),
                                 .list = list(b, ints(b, 3, c->rows, lists) + first, m, n),
                                 .count = list(b, count + first, m, n),
                                 .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
                                 .eights = eights(b, 5, vocab)};
    if (c->bias) {
        op.bias = vector(b, 4, vocab);
    }
    bth_op_select(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
    for (int64_t r = 0; r < n; r++) { /* what is beyond the count is nobody's */
        for (int64_t i = count[first + r]; i < c->n; i++) {
            ((float *)out)[r * c->n + i] = 0;
        }
    }
}

/* State r goes to state 2 rows - 1 - r; every third row begins from nothing. */
static void run_ssru(struct bench *b, struct bth_builder *w, int64_t first, int64_t n, void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), states = 2 * c->rows, stride = c->n + 3;
    int32_t *from = block(b, (size_t)c->rows * sizeof(*from)),
            *to = block(b, (size_t)c->rows * sizeof(*to));
    float *data = floats(b, 0, states * stride, 2);
    for (int64_t r = 0; r < c->rows; r++) {
        from[r] = r % 3 == 1 ? -1 : (int32_t)r;
        to[r] = (int32_t)(states - 1 - r);
    }
    struct berth_op_ssru op = {
        .x = tensor(b, rows_only(c->placing), m, c->n, 1, 0,
                    floats(b, 1, c->rows * c->n, 1) + first * c->n, n),
        .gate =
            tensor(b, OP_STRIDED, m, c->n, 1, 0, floats(b, 2, c->rows * c->n, 9) + first * c->n, n),
        .residual =
            tensor(b, OP_STRIDED, m, c->n, 1, 0, floats(b, 3, c->rows * c->n, 1) + first * c->n, n),
        .from = list(b, from + first, m, n),
        .to = list(b, to + first, m, n),
        .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
        .state = buffer(b, data, (size_t)(states * stride) * sizeof(*data)),
        .stride = stride,
        .offset = 2};
    bth_op_ssru(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, 2 * c->n);
    float *after = block(b, op.state->bytes);
    CHECK_INT(b->device->ops->read(op.state, 0, after, op.state->bytes), 0);
    for (int64_t s = 0; s < states; s++) {
        const int64_t r = states - 1 - s - first;
        const bool written = r >= 0 && r < n;
        for (int64_t i = 0; i < stride; i++) {
            const bool inside = written && i >= 2 && i < 2 + c->n;
            if (inside) {
                ((float *)out)[r * 2 * c->n + c->n + i - 2] = after[s * stride + i];
            } else {
                CHECK(memcmp(&after[s * stride + i], &data[s * stride + i], sizeof(*data)) == 0);
            }
        }
    }
}

static void run_top(struct bench *b, struct bth_builder *w, int64_t first, int64_t n, void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), v = c->n;
    enum { IN = sizeof(struct berth_top_in) / 4, OUT = sizeof(struct berth_top_out) / 4 };
    struct berth_top_in *in = block(b, (size_t)m * sizeof(*in));
    memset(in, 0x7F, (size_t)m * sizeof(*in));
    for (int64_t i = 0; i < n; i++) {
        const int32_t r = (int32_t)(first + i);
        static const int32_t ks[] = {1, 2, 8, 12, BERTH_TOP};
        in[i] = (struct berth_top_in){
            .n = r % 4 == 3 ? (int32_t)(v / 2 + 1) : (int32_t)v, .k = ks[r % 5], .all = r % 2};
        for (int32_t j = 0; j < BERTH_TOP_FORBID; j++) {
            in[i].forbid[j] = j % 2 ? (int32_t)((r * 7 + j) % v) : -1;
        }
    }
    struct berth_op_top op = {
        .logits = tensor(b, rows_only(c->placing), m, v, 1, 0, pick_logits(b) + first * v, n),
        .in = bth_tensor(buffer(b, in, (size_t)m * sizeof(*in)), BERTH_U32, 0, m, IN)};
    op.out = tensor(b, OP_STRIDED, m, OUT, 1, 0, NULL, 0);
    op.out.dtype = BERTH_U32;
    bth_op_top(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.out, n, out, OUT);
}

/* `heads` parts of k ids each, of a table of 50 rows. */
static void run_embed_sum(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                          void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), d = c->n / c->heads, per_row = c->heads * c->k;
    const struct berth_op_embed_sum op = {
        .ids = table(b, ints(b, 0, c->rows * per_row, 50) + first * per_row, m, per_row, n),
        .table = tensor(b, OP_STRIDED, 50, d, 1, 0, floats(b, 1, 50 * d, 1), 50),
        .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
        .terms = c->k};
    bth_op_embed_sum(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

/* k pieces. */
static void run_maxout(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                       void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), wide = c->k * c->n;
    struct berth_op_maxout op = {.x = tensor(b, rows_only(c->placing), m, wide, 1, 0,
                                             floats(b, 0, c->rows * wide, 3) + first * wide, n),
                                 .pieces = c->k,
                                 .eps = 1e-8f};
    const float *residual = floats(b, 3, c->rows * c->n, 1) + first * c->n;
    const bool in_place = c->residual && c->seed % 2;
    op.y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, in_place ? residual : NULL, n);
    if (c->bias) { /* and a norm */
        op.gamma = vector(b, 1, c->n);
        op.beta = vector(b, 2, c->n);
    }
    if (c->residual) {
        op.residual = in_place ? op.y : tensor(b, OP_STRIDED, m, c->n, 1, 0, residual, n);
    }
    bth_op_maxout(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

/* k pieces, `heads` parts, of 12 rows. */
static void run_gather_max(struct bench *b, struct bth_builder *w, int64_t first, int64_t n,
                           void *out) {
    const struct op_case *c = b->c;
    const int64_t m = capacity(b, n), wide = c->k * c->n, all = c->heads * wide;
    const struct berth_op_gather_max op = {
        .ids = table(b, ints(b, 0, c->rows * c->heads, 12) + first * c->heads, m, c->heads, n),
        .x = tensor(b, OP_STRIDED, 12, all, 1, 0, floats(b, 1, 12 * all, 1), 12),
        .bias = vector(b, 2, wide),
        .y = tensor(b, rows_only(c->placing), m, c->n, 1, 0, NULL, 0),
        .pieces = c->k};
    bth_op_gather_max(w, LIVE, &op);
    run(b, w, n);
    fetch(b, &op.y, n, out, c->n);
}

typedef void run_fn(struct bench *, struct bth_builder *, int64_t, int64_t, void *);

void op_case_run(const struct op_case *c, struct berth_device *device, int64_t first, int64_t n,
                 void *out) {
    static run_fn *const runs[BERTH_N_OPS] = {
        run_embed,        run_layer_norm, run_linear, run_conv3,     run_attend_full, run_kv_store,
        run_attend_paged, run_kv_copy,    run_gather, run_pick,      run_select,      run_ssru,
        run_top,          run_embed_sum,  run_maxout, run_gather_max};
    struct bench b = {.c = c, .device = device};
    struct bth_builder builder;
    bth_reservation_init(&b.bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    bth_builder_init(&builder, device);
    builder.apart = (c->seed + (unsigned long long)(first + n)) % 2; /* true of any single op */
    runs[c->kind](&b, &builder, first, n, out);
    bth_weight_destroy(b.weight);
    for (int i = 0; i < b.n_buffers; i++) {
        bth_buffer_destroy(b.buffers[i]);
    }
    for (int i = 0; i < b.n_blocks; i++) {
        free(b.blocks[i]);
    }
    CHECK_INT(bth_reservation_used(&b.bytes), 0);
}

size_t op_case_row_bytes(const struct op_case *c) {
    int64_t floats = c->n;
    switch (c->kind) {
    case BERTH_OP_CONV3:
        floats = ((c->t - 1) / c->stride + 1) * c->n;
        break;
    case BERTH_OP_ATTEND_FULL:
        floats = (c->t - c->q0) * c->n;
        break;
    case BERTH_OP_KV_STORE:
        floats = c->pages * page_floats(c);
        break;
    case BERTH_OP_ATTEND_PAGED:
        floats = c->n + (c->residual ? c->heads * c->pages * c->page_rows : 0);
        break;
    case BERTH_OP_KV_COPY:
        floats = page_floats(c);
        break;
    case BERTH_OP_PICK:
        floats = (int64_t)sizeof(struct berth_pick_out) / 4 + (c->residual ? c->n : 0);
        break;
    case BERTH_OP_SSRU:
        floats = 2 * c->n;
        break;
    case BERTH_OP_TOP:
        floats = sizeof(struct berth_top_out) / 4;
        break;
    default:
        break;
    }
    return (size_t)floats * sizeof(float);
}

/* ---- comparing -------------------------------------------------------------------------------*/

static bool close_to(float a, float b, double tolerance) {
    return a == b || (isnan(a) && isnan(b)) ||
           fabs((double)a - (double)b) <= tolerance * (1 + fabs((double)b));
}

/* Word i of a row of pick or top: an id, not a number. */
static bool is_id(const struct op_case *c, size_t i) {
    if (c->kind == BERTH_OP_TOP) {
        return i < BERTH_TOP;
    }
    return c->kind == BERTH_OP_PICK && (i == offsetof(struct berth_pick_out, id) / 4 ||
                                        i == offsetof(struct berth_pick_out, top_id) / 4 ||
                                        i == offsetof(struct berth_pick_out, top_id) / 4 + 1);
}

void op_case_compare(const struct op_case *c, const void *got, const void *want, int64_t n,
                     bool exact, const char *who) {
    const size_t words = op_case_row_bytes(c) / 4;
    const float *g = got, *w = want;
    for (size_t i = 0; i < words * (size_t)n; i++) {
        const bool same = memcmp(&g[i], &w[i], sizeof(*g)) == 0;
        if (!same &&
            (exact || !c->near || is_id(c, i % words) || !close_to(g[i], w[i], c->tolerance))) {
            TEST_FAIL("%s: op %s, seed %llu (rows %lld, n %lld, k %lld, placing %d), row %zu, "
                      "word %zu of %zu: %a (%.9g), expected %a (%.9g)",
                      who, kind_names[c->kind], c->seed, (long long)c->rows, (long long)c->n,
                      (long long)c->k, (int)c->placing, i / words, i % words, words, (double)g[i],
                      (double)g[i], (double)w[i], (double)w[i]);
        }
    }
}

/* ---- the cases -------------------------------------------------------------------------------*/

static int64_t one_of(unsigned long long *s, const int64_t *values, size_t n) {
    return values[(test_rand(s) >> 20) % n];
}
#define ONE_OF(s, ...)                                                                             \
    one_of(s, (const int64_t[]){__VA_ARGS__},                                                      \
           sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static struct op_case random_case(enum berth_op_kind kind, int i, unsigned long long seed) {
    unsigned long long s = seed * 1000003 + 17;
    struct op_case c = {.kind = kind, .seed = seed, .placing = (enum op_placing)(i % 5)};
    c.rows = ONE_OF(&s, 1, 2, 5, 7, 16, 33, 40);
    c.spare = ONE_OF(&s, 0, 1, 4);
    c.dtype = (enum berth_dtype)ONE_OF(&s, BERTH_F32, BERTH_F16, BERTH_BF16);
    c.bias = i % 3 != 0;
    c.residual = i % 2 == 1;
    c.heads = 1;
    c.n = ONE_OF(&s, 1, 16, 31, 64, 77, 130);
    switch (kind) {
    case BERTH_OP_LAYER_NORM:
        c.near = true;
        break;
    case BERTH_OP_LINEAR:
        c.many = i % 5 > 2;
        c.k = ONE_OF(&s, 1, 3, 32, 37, 100, 256);
        c.n = ONE_OF(&s, 1, 31, 32, 70, 96, 300);
        c.heads = c.n % 2 ? 1 : 2;
        c.act = (enum berth_activation)(i % 4);
        c.dtype = i % 5 == 1 ? BERTH_I8 : c.dtype;
        break;
    case BERTH_OP_CONV3:
        c.rows = ONE_OF(&s, 1, 2, 4);
        c.t = ONE_OF(&s, 1, 2, 9, 40);
        c.stride = ONE_OF(&s, 1, 2);
        c.k = ONE_OF(&s, 1, 5, 32);
        c.n = ONE_OF(&s, 2, 34, 64);
        c.act = (enum berth_activation)(i % 4);
        break;
    case BERTH_OP_ATTEND_FULL:
        c.rows = ONE_OF(&s, 1, 2, 4);
        c.t = ONE_OF(&s, 1, 7, 33, 100);
        c.q0 = c.t / 3;
        c.heads = ONE_OF(&s, 1, 2, 3);
        c.n = c.heads * ONE_OF(&s, 1, 20, 64);
        c.near = true;
        break;
    case BERTH_OP_KV_STORE:
    case BERTH_OP_ATTEND_PAGED:
    case BERTH_OP_KV_COPY:
        c.rows = ONE_OF(&s, 1, 5, 9, 33);
        c.heads = ONE_OF(&s, 1, 2, 3);
        c.n = c.heads * ONE_OF(&s, 1, 20, 64);
        c.pages = ONE_OF(&s, 1, 2, 5);
        c.page_rows = c.residual && c.pages == 1 ? ONE_OF(&s, 30, 300) : ONE_OF(&s, 1, 7, 16, 50);
        c.near = kind == BERTH_OP_ATTEND_PAGED;
        break;
    case BERTH_OP_EMBED:
        c.dtype = i % 4 == 3 ? BERTH_I8 : c.dtype;
        break;
    case BERTH_OP_GATHER:
        break;
    case BERTH_OP_PICK:
    case BERTH_OP_TOP:
        c.rows = ONE_OF(&s, 1, 7, 17);
        c.n = ONE_OF(&s, 33, 64, 1024, 1025, 2500);
        c.near = true;
        break;
    case BERTH_OP_SELECT:
        c.dtype = i % 2 ? BERTH_I8 : BERTH_F32;
        c.k = ONE_OF(&s, 1, 4, 37, 64, 100, 256);
        c.near = c.dtype == BERTH_F32;
        break;
    case BERTH_OP_SSRU:
        c.near = true;
        break;
    case BERTH_OP_EMBED_SUM:
        c.heads = ONE_OF(&s, 1, 2, 6);
        c.n = c.heads * ONE_OF(&s, 1, 16, 31, 96);
        c.k = ONE_OF(&s, 1, 2, 4);
        break;
    case BERTH_OP_MAXOUT:
        c.k = ONE_OF(&s, 1, 2, 3);
        c.near = c.bias; /* the norm */
        break;
    case BERTH_OP_GATHER_MAX:
        c.k = ONE_OF(&s, 1, 2, 3);
        c.heads = ONE_OF(&s, 1, 3, 8, 13);
        break;
    }
    c.near = c.near || c.act == BERTH_ACT_GELU || c.act == BERTH_ACT_SWISH;
    c.tolerance = 1e-5;
    return c;
}

int op_cases_make(struct op_case *out, int max) {
    enum { EACH = 20 };
    int n = 0;
    for (int kind = 0; kind < BERTH_N_OPS; kind++) {
        for (int i = 0; i < EACH; i++, n++) {
            if (n < max) {
                out[n] = random_case((enum berth_op_kind)kind, i, (unsigned long long)n + 1);
            }
        }
    }
    return n;
}

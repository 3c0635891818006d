/*
 * The builder takes every op as it should be and refuses it with any one thing wrong, naming the op
 * and the tensor.
 */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "lib/test.h"

enum { D = 8, ROWS = 4, V = 40 };

static struct berth_reservation bytes;
static struct berth_device *device, *other;
static struct berth_error err;
static struct berth_buffer *buf[8], *foreign;
static struct berth_weight *square, *conv, *far_weight;

static struct berth_tensor f32(int i, int64_t rows, int64_t cols) {
    return bth_tensor(buf[i], BERTH_F32, 0, rows, cols);
}
static struct berth_tensor i32(int i, int64_t rows, int64_t cols) {
    return bth_tensor(buf[i], BERTH_I32, 0, rows, cols);
}
static struct berth_tensor heads(int i, int64_t rows) {
    struct berth_tensor t = f32(i, rows, D);
    t.head_cols = t.row_stride = D / 2;
    t.head_stride = rows * D / 2;
    return t;
}

/* ---- one good op of each kind ----------------------------------------------------------------*/

static struct berth_op_embed good_embed(void) {
    return (struct berth_op_embed){.ids = i32(0, 1, ROWS),
                                   .pos = i32(1, 1, ROWS),
                                   .table = square,
                                   .positions = f32(3, 3, D),
                                   .y = f32(4, ROWS, D)};
}
static struct berth_op_layer_norm good_layer_norm(void) {
    return (struct berth_op_layer_norm){
        .x = f32(0, ROWS, D), .gamma = f32(1, 1, D), .beta = f32(2, 1, D), .y = f32(3, ROWS, D)};
}
static struct berth_op_linear good_linear(void) {
    return (struct berth_op_linear){.x = f32(0, ROWS, D),
                                    .bias = f32(1, 1, D),
                                    .residual = f32(2, ROWS, D),
                                    .y = f32(2, ROWS, D),
                                    .w = square,
                                    .scale_cols = D};
}
static struct berth_op_conv3 good_conv3(void) {
    return (struct berth_op_conv3){.x = f32(0, 2 * 5, D),
                                   .bias = f32(1, 1, D),
                                   .add = f32(2, 3, D),
                                   .y = f32(3, 2 * 3, D),
                                   .w = conv,
                                   .groups = 2,
                                   .t_in = 5,
                                   .t_out = 3,
                                   .stride = 2};
}
static struct berth_op_attend_full good_attend_full(void) {
    return (struct berth_op_attend_full){.q = heads(0, ROWS),
                                         .k = heads(1, ROWS),
                                         .v = heads(2, ROWS),
                                         .y = f32(3, 2, D),
                                         .groups = 1,
                                         .t = ROWS,
                                         .heads = 2,
                                         .head_dim = D / 2,
                                         .q0 = 2,
                                         .nq = 2};
}
static struct berth_kv pages(void) {
    return (struct berth_kv){.buffer = buf[7],
                             .page_stride = 50,
                             .page_rows = 3,
                             .heads = 2,
                             .head_dim = D / 2,
                             .key_offset = 24,
                             .value_offset = 0};
}
static struct berth_op_kv_store good_kv_store(void) {
    return (struct berth_op_kv_store){
        .x = f32(0, ROWS, 2 * D), .table = i32(1, ROWS, 2), .pos = i32(2, 1, ROWS), .kv = pages()};
}
static struct berth_op_attend_paged good_attend_paged(void) {
    return (struct berth_op_attend_paged){.q = f32(0, ROWS, D),
                                          .table = i32(1, ROWS, 1),
                                          .len = i32(2, 1, ROWS),
                                          .y = f32(3, ROWS, D),
                                          .scores = f32(4, ROWS * 2, 3),
                                          .kv = pages()};
}
static struct berth_op_kv_copy good_kv_copy(void) {
    return (struct berth_op_kv_copy){.from = i32(0, 1, 3), .to = i32(1, 1, 3), .kv = pages()};
}
static struct berth_op_gather good_gather(void) {
    return (struct berth_op_gather){
        .x = f32(0, 9, D), .rows = i32(1, 1, ROWS), .y = f32(2, ROWS, D)};
}
static struct berth_op_pick good_pick(void) {
    struct berth_op_pick op = {.logits = f32(0, ROWS, V),
                               .in = i32(1, ROWS, sizeof(struct berth_pick_in) / 4),
                               .out = i32(2, ROWS, sizeof(struct berth_pick_out) / 4),
                               .mask = i32(3, 5, 2),
                               .all_probs = f32(4, ROWS, V)};
    op.in.dtype = op.out.dtype = op.mask.dtype = BERTH_U32;
    return op;
}

static struct berth_op_embed_sum good_embed_sum(void) {
    return (struct berth_op_embed_sum){
        .ids = i32(0, ROWS, 6), .table = f32(1, 9, D), .y = f32(2, ROWS, 2 * D), .terms = 3};
}
static struct berth_op_maxout good_maxout(void) {
    return (struct berth_op_maxout){.x = f32(0, ROWS, 3 * D),
                                    .gamma = f32(1, 1, D),
                                    .beta = f32(3, 1, D),
                                    .residual = f32(2, ROWS, D),
                                    .y = f32(2, ROWS, D),
                                    .pieces = 3};
}
static struct berth_op_gather_max good_gather_max(void) {
    return (struct berth_op_gather_max){.ids = i32(0, ROWS, 3),
                                        .x = f32(1, 7, 6 * D),
                                        .bias = f32(2, 1, 2 * D),
                                        .y = f32(3, ROWS, D),
                                        .pieces = 2};
}

/* ---- what must be refused --------------------------------------------------------------------*/

/* Builds b, which must fail with a message that begins with `want` (NULL: must succeed). */
static void build(struct bth_builder *b, int line, const char *change, const char *want) {
    struct berth_program *p = NULL;
    const int rc = bth_builder_build(b, &bytes, &p, &err);
    CHECK(b->ops == NULL);
    if (!want) {
        CHECK_OK(rc, err);
        bth_program_destroy(device, p);
        return;
    }
    if (rc != BERTH_EINTERNAL || p || strncmp(err.message, want, strlen(want)) != 0) {
        TEST_FAIL("line %d, %s: %d \"%s\", expected \"%s...\"", line, change, rc,
                  rc ? err.message : "", want);
    }
}

/* `change` is made to a good op of the kind, and "op kind: tensor" must be in the error. */
#define WRONG(kind, tensor, change)                                                                \
    do {                                                                                           \
        struct bth_builder b;                                                                      \
        struct berth_op_##kind op = good_##kind();                                                 \
        change;                                                                                    \
        bth_builder_init(&b, device);                                                              \
        bth_op_##kind(&b, 0, &op);                                                                 \
        build(&b, __LINE__, #change, "op " #kind ": " tensor ":");                                 \
    } while (0)
#define RIGHT(kind, change)                                                                        \
    do {                                                                                           \
        struct bth_builder b;                                                                      \
        struct berth_op_##kind op = good_##kind();                                                 \
        change;                                                                                    \
        bth_builder_init(&b, device);                                                              \
        bth_op_##kind(&b, -1, &op);                                                                \
        build(&b, __LINE__, #change, NULL);                                                        \
    } while (0)

/* What is wrong with any tensor that is not placed. */
#define WRONG_ANYHOW(kind, t)                                                                      \
    do {                                                                                           \
        WRONG(kind, #t, op.t.buffer = NULL);                                                       \
        WRONG(kind, #t, op.t.buffer = foreign);                                                    \
        WRONG(kind, #t, op.t.dtype = BERTH_I16);                                                   \
        WRONG(kind, #t, op.t.rows = 0);                                                            \
        WRONG(kind, #t, op.t.cols = -1);                                                           \
        WRONG(kind, #t, op.t.row_stride = -1);                                                     \
        WRONG(kind, #t, op.t.offset = op.t.buffer->bytes / 4);                                     \
        WRONG(kind, #t, op.t.offset = SIZE_MAX);                                                   \
        WRONG(kind, #t, op.t.offset = op.t.buffer->bytes / 4 - (size_t)op.t.cols + 1);             \
        WRONG(kind, #t, op.t.head_cols = 3);                                                       \
        WRONG(kind, #t, op.t.head_cols = -4);                                                      \
    } while (0)
/* Of one that has more rows than one too. */
#define WRONG_ROWS(kind, t)                                                                        \
    do {                                                                                           \
        WRONG_ANYHOW(kind, t);                                                                     \
        WRONG(kind, #t, op.t.row_stride = INT64_MAX);                                              \
        WRONG(kind, #t, op.t.row_stride = (int64_t)op.t.buffer->bytes / 4);                        \
    } while (0)
#define WRONG_PLACED(kind, t)                                                                      \
    do {                                                                                           \
        WRONG_ROWS(kind, t);                                                                       \
        WRONG(kind, #t, (op.t.index = buf[6], op.t.group_rows = 0));                               \
        WRONG(kind, #t, (op.t.index = buf[6], op.t.group_rows = op.t.rows + 1));                   \
        WRONG(kind, #t, (op.t.index = foreign, op.t.group_rows = op.t.rows));                      \
        WRONG(kind, #t,                                                                            \
              (op.t.index = buf[6], op.t.group_rows = op.t.rows, op.t.group_stride = -1));         \
        WRONG(kind, #t,                                                                            \
              (op.t.index = buf[6], op.t.group_rows = op.t.rows,                                   \
               op.t.index_offset = buf[6]->bytes / 4));                                            \
    } while (0)
#define WRONG_HEADS(kind, t)  WRONG(kind, #t, (op.t.head_cols = D / 2, op.t.head_stride = D / 2))
#define WRONG_GROUPS(kind, t) WRONG(kind, #t, (op.t.index = buf[6], op.t.group_rows = op.t.rows))
#define WRONG_PLAIN(kind, t)                                                                       \
    do {                                                                                           \
        WRONG_ANYHOW(kind, t);                                                                     \
        WRONG_GROUPS(kind, t);                                                                     \
        WRONG(kind, #t, op.t.cols++);                                                              \
    } while (0)

static void check_rows_ops(void) {
    RIGHT(embed, op.positions.dtype = BERTH_BF16);
    RIGHT(embed, (op.y.index = buf[6], op.y.group_rows = 2, op.y.group_stride = 2 * D));
    WRONG_PLAIN(embed, ids);
    WRONG_PLAIN(embed, pos);
    WRONG_PLAIN(embed, positions);
    WRONG_PLACED(embed, y);
    WRONG_HEADS(embed, y);
    WRONG(embed, "positions", op.positions.dtype = BERTH_I8);
    WRONG(embed, "ids", op.y.rows--);
    WRONG(embed, "w", op.table = conv); /* wider than y */
    WRONG(embed, "w", op.table = far_weight);
    WRONG(embed, "w", op.table = NULL);

    RIGHT(layer_norm, op.x.row_stride = 0); /* one row for all */
    WRONG_PLACED(layer_norm, x);
    WRONG_PLACED(layer_norm, y);
    WRONG_PLAIN(layer_norm, gamma);
    WRONG_PLAIN(layer_norm, beta);
    WRONG_HEADS(layer_norm, x);
    WRONG_HEADS(layer_norm, y);
    WRONG(layer_norm, "x", op.x = op.y);

    RIGHT(gather, op.x.row_stride = 2 * D);
    WRONG_PLACED(gather, x);
    WRONG_PLACED(gather, y);
    WRONG_PLAIN(gather, rows);
    WRONG_HEADS(gather, x);
    WRONG(gather, "x", op.x.buffer = buf[2]);
}

static void check_largest(void) {
    RIGHT(embed_sum, (op.y.index = buf[6], op.y.group_rows = 2, op.y.group_stride = 4 * D));
    WRONG_PLAIN(embed_sum, ids);
    WRONG_PLACED(embed_sum, y);
    WRONG_HEADS(embed_sum, y);
    WRONG_GROUPS(embed_sum, table);
    WRONG(embed_sum, "table", op.table.buffer = foreign);
    WRONG(embed_sum, "table", op.table.rows = 51);
    WRONG(embed_sum, "table", op.table = bth_tensor(buf[2], BERTH_F32, 0, 9, D));
    WRONG(embed_sum, "ids", op.terms = 2);
    WRONG(embed_sum, "ids", op.terms = 0);
    WRONG(embed_sum, "y", op.table.cols = 0);
    WRONG(embed_sum, "y", op.y.cols = 2 * D - 1);

    RIGHT(maxout, (op.gamma.buffer = NULL, op.beta.buffer = NULL, op.residual.buffer = NULL));
    RIGHT(maxout, (op.x.cols = op.x.row_stride = D, op.pieces = 1));
    WRONG_PLACED(maxout, x);
    WRONG_PLACED(maxout, y);
    WRONG_PLAIN(maxout, beta);
    WRONG_HEADS(maxout, x);
    WRONG(maxout, "gamma", op.gamma.cols--);
    WRONG(maxout, "residual", op.residual.rows--);
    WRONG(maxout, "residual", op.residual.offset += D);
    WRONG(maxout, "x", op.pieces = 0);
    WRONG(maxout, "x", op.pieces = INT64_MAX);
    WRONG(maxout, "x", op.x.buffer = buf[2]);

    RIGHT(gather_max, (op.y.index = buf[6], op.y.group_rows = 2, op.y.group_stride = 2 * D));
    WRONG_ROWS(gather_max, x);
    WRONG_GROUPS(gather_max, x);
    WRONG_PLACED(gather_max, y);
    WRONG_PLAIN(gather_max, bias);
    WRONG_ANYHOW(gather_max, ids);
    WRONG_GROUPS(gather_max, ids);
    WRONG(gather_max, "x", op.ids.cols++);
    WRONG(gather_max, "x", op.pieces = 3);
    WRONG(gather_max, "x", op.x.buffer = buf[3]);
}

static void check_products(void) {
    RIGHT(linear, (op.bias.buffer = NULL, op.residual.buffer = NULL, op.scale_cols = 0));
    RIGHT(linear, op.y = heads(3, ROWS));
    RIGHT(linear, op.x = heads(3, ROWS));
    WRONG_PLACED(linear, x);
    WRONG_PLACED(linear, y);
    WRONG(linear, "bias", op.bias.cols--);
    WRONG(linear, "bias", op.bias.buffer = foreign);
    WRONG(linear, "bias", op.bias.offset = buf[1]->bytes / 4 - D + 1);
    WRONG_GROUPS(linear, bias);
    WRONG(linear, "residual", op.residual.rows--);
    WRONG(linear, "residual", op.residual.offset += D);
    WRONG(linear, "w", op.w = NULL);
    WRONG(linear, "w", op.w = far_weight);
    WRONG(linear, "w", op.w = conv);
    WRONG(linear, "w", op.x.cols--);
    WRONG(linear, "y", op.scale_cols = D + 1);
    WRONG(linear, "y", op.scale_cols = -1);
    WRONG(linear, "x", op.x.buffer = op.y.buffer);

    RIGHT(conv3, (op.bias.buffer = NULL, op.add.buffer = NULL));
    RIGHT(conv3, (op.stride = 1, op.t_out = 5, op.y.rows = 10, op.add.rows = 5));
    WRONG_PLACED(conv3, x);
    WRONG_PLACED(conv3, y);
    WRONG_HEADS(conv3, x);
    WRONG(conv3, "bias", op.bias.cols++);
    WRONG(conv3, "add", op.add.rows++);
    WRONG(conv3, "add", op.add = op.y; op.add.rows = 3);
    WRONG(conv3, "w", op.w = square);
    WRONG(conv3, "x", op.stride = 0);
    WRONG(conv3, "x", op.t_in = 0);
    WRONG(conv3, "x", op.t_in = INT64_MIN);
    WRONG(conv3, "y", op.t_out++);
    WRONG(conv3, "y", op.groups = 3);
    WRONG(conv3, "y", op.groups = INT64_MAX);
    WRONG(conv3, "y", op.groups = -2);
    WRONG(conv3, "x", op.x.buffer = buf[3]);
}

static void check_attention(void) {
    RIGHT(attend_full, op.y = heads(3, 2));
    RIGHT(attend_full, (op.k.index = buf[6], op.k.group_rows = ROWS));
    WRONG_ROWS(attend_full, q);
    WRONG_ROWS(attend_full, k);
    WRONG_ROWS(attend_full, v);
    WRONG_PLACED(attend_full, y);
    WRONG(attend_full, "q", op.q.head_cols = 0);
    WRONG(attend_full, "v", op.v.head_cols = 2);
    WRONG(attend_full, "k", op.k.head_stride = -1);
    WRONG(attend_full, "k", op.k.head_stride = INT64_MAX);
    WRONG(attend_full, "k", (op.k.index = buf[6], op.k.group_rows = ROWS / 2));
    WRONG(attend_full, "q", op.q0 = -1);
    WRONG(attend_full, "q", op.q0 = 3);
    WRONG(attend_full, "q", op.nq = 0);
    WRONG(attend_full, "q", op.nq = INT64_MAX);
    WRONG(attend_full, "y", op.groups = 2);
    WRONG(attend_full, "y", op.heads = 3);
    WRONG(attend_full, "y", op.head_dim = INT64_MAX);
    WRONG(attend_full, "q", (op.y = f32(0, 2, D), op.q.head_cols = 0));

    RIGHT(attend_paged, op.scores.buffer = NULL);
    RIGHT(attend_paged, (op.scores.buffer = NULL, op.table = i32(1, ROWS, 5)));
    RIGHT(attend_paged, op.q = heads(0, ROWS));
    WRONG_PLACED(attend_paged, q);
    WRONG_PLACED(attend_paged, y);
    WRONG_PLAIN(attend_paged, len);
    WRONG_ANYHOW(attend_paged, table);
    WRONG_GROUPS(attend_paged, table);
    WRONG(attend_paged, "q", (op.q = heads(0, ROWS), op.q.head_cols = 2));
    WRONG(attend_paged, "scores", op.scores.rows--);
    WRONG(attend_paged, "scores", op.scores.cols++);
    WRONG(attend_paged, "scores", op.table = i32(1, ROWS, 2));
    WRONG(attend_paged, "q", op.q.buffer = op.y.buffer);
    WRONG(attend_paged, "scores", op.scores.buffer = op.y.buffer);
}

#define WRONG_PAGES(kind)                                                                          \
    do {                                                                                           \
        WRONG(kind, "kv", op.kv.buffer = NULL);                                                    \
        WRONG(kind, "kv", op.kv.buffer = foreign);                                                 \
        WRONG(kind, "kv", op.kv.page_rows = 0);                                                    \
        WRONG(kind, "kv", op.kv.heads = -1);                                                       \
        WRONG(kind, "kv", op.kv.head_dim = INT64_MAX);                                             \
        WRONG(kind, "kv", op.kv.page_stride = 47);                                                 \
        WRONG(kind, "kv", op.kv.page_stride = 23);                                                 \
        WRONG(kind, "kv", op.kv.page_stride = (int64_t)buf[7]->bytes / 4 + 1);                     \
        WRONG(kind, "kv", op.kv.page_stride = -1);                                                 \
        WRONG(kind, "kv", op.kv.key_offset = 27);                                                  \
        WRONG(kind, "kv", op.kv.key_offset = INT64_MAX);                                           \
        WRONG(kind, "kv", op.kv.value_offset = -1);                                                \
        WRONG(kind, "kv", op.kv.value_offset = 1);                                                 \
    } while (0)

static void check_pages(void) {
    RIGHT(kv_store, op.kv.page_stride = 48);
    RIGHT(kv_copy, (op.from.cols = op.to.cols = 1));
    WRONG_PAGES(kv_store);
    WRONG_PAGES(attend_paged);
    WRONG_PAGES(kv_copy);
    WRONG_PLACED(kv_store, x);
    WRONG_HEADS(kv_store, x);
    WRONG_PLAIN(kv_store, pos);
    WRONG_ANYHOW(kv_store, table);
    WRONG(kv_store, "x", op.x.cols = D);
    WRONG(kv_store, "table", op.table.rows--);
    WRONG_ANYHOW(kv_copy, from);
    WRONG_PLAIN(kv_copy, to);
    WRONG(kv_copy, "to", op.from.cols--);
}

static void check_pick(void) {
    RIGHT(pick, (op.mask.buffer = NULL, op.all_probs.buffer = NULL));
    WRONG_PLACED(pick, logits);
    WRONG_HEADS(pick, logits);
    WRONG_PLAIN(pick, in);
    WRONG_PLAIN(pick, out);
    WRONG(pick, "mask", op.mask.cols--);
    WRONG(pick, "mask", op.mask.dtype = BERTH_I32);
    WRONG(pick, "mask", op.mask.rows = 0);
    WRONG(pick, "mask", op.mask.row_stride = (int64_t)buf[3]->bytes);
    WRONG(pick, "all_probs", op.all_probs.cols--);
    WRONG(pick, "all_probs", op.all_probs.rows--);
    WRONG(pick, "logits", op.all_probs.buffer = op.logits.buffer);
    WRONG(pick, "in", op.in.buffer = op.out.buffer);
}

/* Columns of one buffer lie side by side; they meet only if they overlap. */
static void check_overlap(void) {
    RIGHT(layer_norm, (op.x = f32(0, ROWS, 3 * D), op.y = bth_tensor_cols(op.x, D, D),
                       op.x = bth_tensor_cols(op.x, 0, D)));
    WRONG(layer_norm, "x",
          (op.x = f32(0, ROWS, 3 * D), op.y = bth_tensor_cols(op.x, D - 1, D),
           op.x = bth_tensor_cols(op.x, 0, D)));
    RIGHT(layer_norm, (op.x = bth_tensor_rows(f32(0, 9, D), 0, ROWS),
                       op.y = bth_tensor_rows(f32(0, 9, D), ROWS, ROWS)));
    WRONG(layer_norm, "x",
          (op.x = bth_tensor_rows(f32(0, 9, D), 0, ROWS),
           op.y = bth_tensor_rows(f32(0, 9, D), ROWS - 1, ROWS)));
    /* rows of y follow those of x after one row, in columns of their own */
    RIGHT(layer_norm, (op.x = f32(0, 9, 3 * D), op.y = bth_tensor_rows(op.x, 1, ROWS),
                       op.y = bth_tensor_cols(op.y, 2 * D, D),
                       op.x = bth_tensor_rows(op.x, 0, ROWS), op.x = bth_tensor_cols(op.x, 0, D)));
}

/* ---- the builder -----------------------------------------------------------------------------*/

static void check_builder(void) {
    struct bth_builder b;
    struct berth_op_gather gather = good_gather();
    static const int lives[] = {-2, BERTH_MAX_LIVE, 1 << 30};
    for (int i = 0; i < 3; i++) {
        bth_builder_init(&b, device);
        bth_op_gather(&b, lives[i], &gather);
        build(&b, __LINE__, "live", "op gather: live:");
    }
    /* the first failure stays */
    bth_builder_init(&b, device);
    struct berth_op_linear linear = good_linear();
    linear.w = NULL;
    bth_op_gather(&b, 0, &gather);
    bth_op_linear(&b, 0, &linear);
    gather.y.rows = 0;
    bth_op_gather(&b, 0, &gather);
    build(&b, __LINE__, "two failures", "op linear: w:");
    bth_builder_init(&b, device);
    build(&b, __LINE__, "no ops", NULL);
    /* a builder that is never built gives its memory back */
    gather = good_gather();
    const int64_t blocks = bth_alloc_live();
    bth_builder_init(&b, device);
    bth_op_gather(&b, 0, &gather);
    bth_builder_finish(&b);
    CHECK_INT(bth_alloc_live(), blocks);
}

static void check_no_memory(void) {
    const int64_t blocks = bth_alloc_live();
    const struct berth_op_gather gather = good_gather();
    bool failed = true;
    for (int n = 1; failed; n++) {
        struct bth_builder b;
        struct berth_program *p = NULL;
        bth_alloc_fail_at(n);
        bth_builder_init(&b, device);
        for (int i = 0; i < 100; i++) {
            bth_op_gather(&b, 0, &gather);
        }
        const int rc = bth_builder_build(&b, &bytes, &p, &err);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        CHECK((p != NULL) == (rc == 0));
        bth_program_destroy(device, p);
        CHECK_INT(bth_alloc_live(), blocks);
    }
}

static void open_things(void) {
    static const float rows[D * 3 * D];
    CHECK_OK(bth_ref_open(&device, &err), err);
    CHECK_OK(bth_ref_open(&other, &err), err);
    for (size_t i = 0; i < sizeof(buf) / sizeof(buf[0]); i++) {
        CHECK_OK(device->ops->buffer_create(device, &bytes, 1600, &buf[i], &err), err);
    }
    CHECK_OK(other->ops->buffer_create(other, &bytes, 1600, &foreign, &err), err);
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F32, D, D, rows, &square, &err), err);
    CHECK_OK(device->ops->weight_create(device, &bytes, BERTH_F32, D, 3 * D, rows, &conv, &err),
             err);
    CHECK_OK(other->ops->weight_create(other, &bytes, BERTH_F32, D, D, rows, &far_weight, &err),
             err);
}

int main(void) {
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    open_things();
    check_rows_ops();
    check_largest();
    check_products();
    check_attention();
    check_pages();
    check_pick();
    check_overlap();
    check_builder();
    check_no_memory();
    for (size_t i = 0; i < sizeof(buf) / sizeof(buf[0]); i++) {
        bth_buffer_destroy(buf[i]);
    }
    bth_buffer_destroy(foreign);
    bth_weight_destroy(square);
    bth_weight_destroy(conv);
    bth_weight_destroy(far_weight);
    CHECK_INT(bth_reservation_used(&bytes), 0);
    device->ops->close(device);
    other->ops->close(other);
    return 0;
}

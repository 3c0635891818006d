/* The builder: every op is checked here, before a device sees it. */
#include "compute/ops.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/ops_check.h"

void bth_builder_init(struct bth_builder *b, struct berth_device *device) {
    *b = (struct bth_builder){.device = device};
}

void bth_builder_finish(struct bth_builder *b) {
    bth_free(b->ops);
    b->ops = NULL;
    b->n = b->capacity = 0;
}

/* Appends if all was well so far. */
static void append(struct bth_builder *b, int live, struct berth_op op) {
    if (b->rc != 0) {
        return;
    }
    if (b->n == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 32;
        struct berth_op *ops = bth_realloc_array(b->ops, capacity, sizeof(*ops));
        if (!ops) {
            b->rc = bth_error_nomem(&b->err);
            return;
        }
        b->ops = ops;
        b->capacity = capacity;
    }
    op.live = live;
    op.apart = b->apart;
    b->ops[b->n++] = op;
}

/* A table that may be stored in 16 bits. */
static void check_table(struct bth_check *c, const char *name, const struct berth_tensor *t,
                        const struct berth_tensor *y) {
    const bool stored = t->dtype == BERTH_F16 || t->dtype == BERTH_BF16;
    bth_check_tensor(c, name, t, stored ? t->dtype : BERTH_F32, t->rows, y->cols, BTH_PLACE_ROWS);
    bth_check_apart(c, name, t, y);
}

/* n numbers, as [1, n]. */
static void check_list(struct bth_check *c, const char *name, const struct berth_tensor *t,
                       int64_t n) {
    bth_check_tensor(c, name, t, BERTH_I32, 1, n, BTH_PLACE_ROWS);
}

void bth_op_embed(struct bth_builder *b, int live, const struct berth_op_embed *op) {
    struct bth_check c = bth_check_begin(b, live, "embed");
    const struct berth_tensor *y = &op->y;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    check_list(&c, "ids", &op->ids, y->rows);
    check_list(&c, "pos", &op->pos, y->rows);
    if (op->table || !op->rows.buffer) {
        bth_check_weight(&c, op->table, op->table ? op->table->n : 0, y->cols);
    } else if (op->rows.dtype == BERTH_I8) {
        bth_check_tensor(&c, "rows", &op->rows, BERTH_I8, op->rows.rows, y->cols, BTH_PLACE_ROWS);
    } else {
        check_table(&c, "rows", &op->rows, y);
    }
    check_table(&c, "positions", &op->positions, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_EMBED, .u.embed = *op});
}

void bth_op_layer_norm(struct bth_builder *b, int live, const struct berth_op_layer_norm *op) {
    struct bth_check c = bth_check_begin(b, live, "layer_norm");
    const struct berth_tensor *y = &op->y;
    bth_check_narrow(&c, "y", y, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "x", &op->x, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "gamma", &op->gamma, BERTH_F32, 1, y->cols, BTH_PLACE_ROWS);
    bth_check_tensor(&c, "beta", &op->beta, BERTH_F32, 1, y->cols, BTH_PLACE_ROWS);
    bth_check_apart(&c, "x", &op->x, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_LAYER_NORM, .u.layer_norm = *op});
}

static bool same_place(const struct berth_tensor *a, const struct berth_tensor *b) {
    return a->buffer == b->buffer && a->offset == b->offset && a->row_stride == b->row_stride;
}

/* Its own rows and columns; f32, or narrow where that is allowed. */
static void may_be_narrow(struct bth_check *c, const char *name, const struct berth_tensor *t,
                          bool allowed) {
    if (allowed) {
        bth_check_narrow(c, name, t, t->rows, t->cols, BTH_PLACE_ANY);
    } else {
        bth_check_tensor(c, name, t, BERTH_F32, t->rows, t->cols, BTH_PLACE_ANY);
    }
}

/* A weight of i8 comes with how it is met, no other does. */
static void check_eights(struct bth_check *c, const struct berth_eights *e, enum berth_dtype w,
                         int64_t n) {
    if (w == BERTH_I8) {
        bth_check_tensor(c, "unit", &e->unit, BERTH_F32, 1, n, BTH_PLACE_ROWS);
    } else if (e->unit.buffer) {
        bth_check_fail(c, "w", "of i8, dtype", w, BERTH_I8);
    }
    if (!(e->alpha >= 0)) {
        bth_check_fail(c, "x", "alpha", -1, 0);
    }
}

void bth_op_linear(struct bth_builder *b, int live, const struct berth_op_linear *op) {
    struct bth_check c = bth_check_begin(b, live, "linear");
    const struct berth_tensor *x = &op->x, *y = &op->y;
    may_be_narrow(&c, "y", y, op->many && !op->residual.buffer);
    may_be_narrow(&c, "x", x, op->many);
    if (x->rows != y->rows) {
        bth_check_fail(&c, "x", "rows", x->rows, y->rows);
    }
    bth_check_weight(&c, op->w, y->cols, x->cols);
    bth_check_optional(&c, "bias", &op->bias, 1, y->cols, BTH_PLACE_ROWS);
    bth_check_optional(&c, "residual", &op->residual, y->rows, y->cols, BTH_PLACE_ANY);
    if (op->scale_cols < 0 || op->scale_cols > y->cols) {
        bth_check_fail(&c, "y", "scale_cols", op->scale_cols, y->cols);
    }
    bth_check_apart(&c, "x", x, y);
    bth_check_apart(&c, "bias", &op->bias, y);
    if (!same_place(&op->residual, y)) {
        bth_check_apart(&c, "residual", &op->residual, y);
    }
    if (c.ok) {
        check_eights(&c, &op->eights, op->w->dtype, y->cols);
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_LINEAR, .u.linear = *op});
}

void bth_op_conv3(struct bth_builder *b, int live, const struct berth_op_conv3 *op) {
    struct bth_check c = bth_check_begin(b, live, "conv3");
    const struct berth_tensor *x = &op->x, *y = &op->y;
    const int64_t n = y->cols;
    if (op->stride < 1 || op->t_in < 1) {
        bth_check_fail(&c, "x", "stride", op->stride, 1);
    } else if (op->t_out != (op->t_in - 1) / op->stride + 1) {
        bth_check_fail(&c, "y", "t_out", op->t_out, (op->t_in - 1) / op->stride + 1);
    }
    if (op->add.buffer) {
        bth_check_tensor(&c, "y", y, BERTH_F32, bth_check_product(op->groups, op->t_out), n,
                         BTH_PLACE_ANY);
    } else {
        bth_check_narrow(&c, "y", y, bth_check_product(op->groups, op->t_out), n, BTH_PLACE_ANY);
    }
    bth_check_narrow(&c, "x", x, bth_check_product(op->groups, op->t_in), x->cols,
                     BTH_PLACE_GROUPS);
    bth_check_weight(&c, op->w, n, bth_check_product(3, x->cols));
    bth_check_optional(&c, "bias", &op->bias, 1, n, BTH_PLACE_ROWS);
    bth_check_optional(&c, "add", &op->add, op->t_out, n, BTH_PLACE_ANY);
    bth_check_apart(&c, "x", x, y);
    bth_check_apart(&c, "add", &op->add, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_CONV3, .u.conv3 = *op});
}

/* q, k or v: heads side by side, the rows of a group one row_stride apart. */
static void check_attended(struct bth_check *c, const char *name, const struct berth_tensor *t,
                           const struct berth_op_attend_full *op) {
    bth_check_narrow(c, name, t, bth_check_product(op->groups, op->t),
                     bth_check_product(op->heads, op->head_dim), BTH_PLACE_ANY);
    if (t->dtype != op->q.dtype) {
        bth_check_fail(c, name, "dtype", t->dtype, op->q.dtype);
    }
    if (t->head_cols != op->head_dim) {
        bth_check_fail(c, name, "head_cols", t->head_cols, op->head_dim);
    }
    if (t->index && c->ok && t->group_rows % op->t != 0) {
        bth_check_fail(c, name, "whole groups, group_rows", t->group_rows, op->t);
    }
    bth_check_apart(c, name, t, &op->y);
}

void bth_op_attend_full(struct bth_builder *b, int live, const struct berth_op_attend_full *op) {
    struct bth_check c = bth_check_begin(b, live, "attend_full");
    if (op->q0 < 0 || op->nq < 1 || op->t < op->nq || op->q0 > op->t - op->nq) {
        bth_check_fail(&c, "q", "within its rows, q0", op->q0, op->t);
    }
    bth_check_narrow(&c, "y", &op->y, bth_check_product(op->groups, op->nq),
                     bth_check_product(op->heads, op->head_dim), BTH_PLACE_ANY);
    check_attended(&c, "q", &op->q, op);
    check_attended(&c, "k", &op->k, op);
    check_attended(&c, "v", &op->v, op);
    append(b, live, (struct berth_op){.kind = BERTH_OP_ATTEND_FULL, .u.attend_full = *op});
}

/* Columns of all heads, once the pages are known to be sound. */
static int64_t kv_cols(const struct berth_kv *kv) {
    return bth_check_product(kv->heads, kv->head_dim);
}

void bth_op_kv_store(struct bth_builder *b, int live, const struct berth_op_kv_store *op) {
    struct bth_check c = bth_check_begin(b, live, "kv_store");
    const int64_t rows = op->x.rows;
    bth_check_kv(&c, &op->kv);
    bth_check_tensor(&c, "x", &op->x, BERTH_F32, rows, bth_check_product(2, kv_cols(&op->kv)),
                     BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "table", &op->table, BERTH_I32, rows, op->table.cols, BTH_PLACE_ROWS);
    check_list(&c, "pos", &op->pos, rows);
    append(b, live, (struct berth_op){.kind = BERTH_OP_KV_STORE, .u.kv_store = *op});
}

void bth_op_attend_paged(struct bth_builder *b, int live, const struct berth_op_attend_paged *op) {
    struct bth_check c = bth_check_begin(b, live, "attend_paged");
    const int64_t rows = op->q.rows, d = kv_cols(&op->kv);
    bth_check_kv(&c, &op->kv);
    bth_check_tensor(&c, "q", &op->q, BERTH_F32, rows, d, BTH_PLACE_ANY);
    if (op->q.head_cols && op->q.head_cols != op->kv.head_dim) {
        bth_check_fail(&c, "q", "head_cols", op->q.head_cols, op->kv.head_dim);
    }
    bth_check_tensor(&c, "y", &op->y, BERTH_F32, rows, d, BTH_PLACE_ANY);
    bth_check_tensor(&c, "table", &op->table, BERTH_I32, rows, op->table.cols, BTH_PLACE_ROWS);
    check_list(&c, "len", &op->len, rows);
    bth_check_optional(&c, "scores", &op->scores, bth_check_product(rows, op->kv.heads),
                       bth_check_product(op->table.cols, op->kv.page_rows), BTH_PLACE_GROUPS);
    bth_check_apart(&c, "q", &op->q, &op->y);
    bth_check_apart(&c, "scores", &op->scores, &op->y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_ATTEND_PAGED, .u.attend_paged = *op});
}

void bth_op_kv_copy(struct bth_builder *b, int live, const struct berth_op_kv_copy *op) {
    struct bth_check c = bth_check_begin(b, live, "kv_copy");
    bth_check_kv(&c, &op->kv);
    check_list(&c, "from", &op->from, op->from.cols);
    check_list(&c, "to", &op->to, op->from.cols);
    append(b, live, (struct berth_op){.kind = BERTH_OP_KV_COPY, .u.kv_copy = *op});
}

void bth_op_gather(struct bth_builder *b, int live, const struct berth_op_gather *op) {
    struct bth_check c = bth_check_begin(b, live, "gather");
    const struct berth_tensor *x = &op->x, *y = &op->y;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "x", x, BERTH_F32, x->rows, y->cols, BTH_PLACE_GROUPS);
    check_list(&c, "rows", &op->rows, y->rows);
    bth_check_apart(&c, "x", x, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_GATHER, .u.gather = *op});
}

void bth_op_pick(struct bth_builder *b, int live, const struct berth_op_pick *op) {
    struct bth_check c = bth_check_begin(b, live, "pick");
    const int64_t rows = op->logits.rows, v = op->logits.cols;
    bth_check_tensor(&c, "logits", &op->logits, BERTH_F32, rows, v, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "in", &op->in, BERTH_U32, rows, sizeof(struct berth_pick_in) / 4,
                     BTH_PLACE_ROWS);
    bth_check_tensor(&c, "out", &op->out, BERTH_U32, rows, sizeof(struct berth_pick_out) / 4,
                     BTH_PLACE_ROWS);
    if (op->mask.buffer) {
        bth_check_tensor(&c, "mask", &op->mask, BERTH_U32, op->mask.rows, v / 32 + (v % 32 != 0),
                         BTH_PLACE_ROWS);
    }
    bth_check_optional(&c, "all_probs", &op->all_probs, rows, v, BTH_PLACE_GROUPS);
    bth_check_apart(&c, "in", &op->in, &op->out);
    bth_check_apart(&c, "logits", &op->logits, &op->all_probs);
    append(b, live, (struct berth_op){.kind = BERTH_OP_PICK, .u.pick = *op});
}

void bth_op_select(struct bth_builder *b, int live, const struct berth_op_select *op) {
    struct bth_check c = bth_check_begin(b, live, "select");
    const struct berth_tensor *x = &op->x, *y = &op->y, *w = &op->w;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "x", x, BERTH_F32, y->rows, x->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "w", w, w->dtype == BERTH_I8 ? BERTH_I8 : BERTH_F32, w->rows, x->cols,
                     BTH_PLACE_ROWS);
    bth_check_tensor(&c, "ids", &op->ids, BERTH_I32, op->ids.rows, y->cols, BTH_PLACE_ROWS);
    check_list(&c, "list", &op->list, y->rows);
    check_list(&c, "count", &op->count, y->rows);
    bth_check_optional(&c, "bias", &op->bias, 1, w->rows, BTH_PLACE_ROWS);
    bth_check_apart(&c, "x", x, y);
    check_eights(&c, &op->eights, w->dtype, w->rows);
    append(b, live, (struct berth_op){.kind = BERTH_OP_SELECT, .u.select = *op});
}

void bth_op_ssru(struct bth_builder *b, int live, const struct berth_op_ssru *op) {
    struct bth_check c = bth_check_begin(b, live, "ssru");
    const struct berth_tensor *y = &op->y;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "x", &op->x, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "gate", &op->gate, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "residual", &op->residual, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    check_list(&c, "from", &op->from, y->rows);
    check_list(&c, "to", &op->to, y->rows);
    bth_check_apart(&c, "x", &op->x, y);
    bth_check_apart(&c, "gate", &op->gate, y);
    if (!same_place(&op->residual, y)) {
        bth_check_apart(&c, "residual", &op->residual, y);
    }
    if (!op->state || op->state->device != b->device) {
        bth_check_fail(&c, "state", "on this device", 0, 1);
    } else if (op->offset < 0 || op->stride < y->cols || op->offset > op->stride - y->cols) {
        bth_check_fail(&c, "state", "inside its stride, offset", op->offset, op->stride - y->cols);
    } else if ((size_t)op->stride > op->state->bytes / sizeof(float)) {
        bth_check_fail(&c, "state", "stride", op->stride,
                       (int64_t)(op->state->bytes / sizeof(float)));
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_SSRU, .u.ssru = *op});
}

void bth_op_top(struct bth_builder *b, int live, const struct berth_op_top *op) {
    struct bth_check c = bth_check_begin(b, live, "top");
    const int64_t rows = op->logits.rows;
    bth_check_tensor(&c, "logits", &op->logits, BERTH_F32, rows, op->logits.cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "in", &op->in, BERTH_U32, rows, sizeof(struct berth_top_in) / 4,
                     BTH_PLACE_ROWS);
    bth_check_tensor(&c, "out", &op->out, BERTH_U32, rows, sizeof(struct berth_top_out) / 4,
                     BTH_PLACE_ROWS);
    bth_check_apart(&c, "in", &op->in, &op->out);
    append(b, live, (struct berth_op){.kind = BERTH_OP_TOP, .u.top = *op});
}

void bth_op_embed_sum(struct bth_builder *b, int live, const struct berth_op_embed_sum *op) {
    struct bth_check c = bth_check_begin(b, live, "embed_sum");
    const struct berth_tensor *y = &op->y;
    const int64_t parts = op->table.cols > 0 ? y->cols / op->table.cols : 0;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, bth_check_product(parts, op->table.cols),
                     BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "ids", &op->ids, BERTH_I32, y->rows, bth_check_product(parts, op->terms),
                     BTH_PLACE_ROWS);
    bth_check_tensor(&c, "table", &op->table, BERTH_F32, op->table.rows, op->table.cols,
                     BTH_PLACE_ROWS);
    bth_check_apart(&c, "table", &op->table, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_EMBED_SUM, .u.embed_sum = *op});
}

void bth_op_maxout(struct bth_builder *b, int live, const struct berth_op_maxout *op) {
    struct bth_check c = bth_check_begin(b, live, "maxout");
    const struct berth_tensor *x = &op->x, *y = &op->y;
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "x", x, BERTH_F32, y->rows, bth_check_product(op->pieces, y->cols),
                     BTH_PLACE_GROUPS);
    bth_check_optional(&c, "gamma", &op->gamma, 1, y->cols, BTH_PLACE_ROWS);
    if (op->gamma.buffer) {
        bth_check_tensor(&c, "beta", &op->beta, BERTH_F32, 1, y->cols, BTH_PLACE_ROWS);
    }
    bth_check_optional(&c, "residual", &op->residual, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_apart(&c, "x", x, y);
    if (!same_place(&op->residual, y)) {
        bth_check_apart(&c, "residual", &op->residual, y);
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_MAXOUT, .u.maxout = *op});
}

void bth_op_gather_max(struct bth_builder *b, int live, const struct berth_op_gather_max *op) {
    struct bth_check c = bth_check_begin(b, live, "gather_max");
    const struct berth_tensor *x = &op->x, *y = &op->y;
    const int64_t width = bth_check_product(op->pieces, y->cols);
    bth_check_tensor(&c, "y", y, BERTH_F32, y->rows, y->cols, BTH_PLACE_GROUPS);
    bth_check_tensor(&c, "ids", &op->ids, BERTH_I32, y->rows, op->ids.cols, BTH_PLACE_ROWS);
    bth_check_tensor(&c, "x", x, BERTH_F32, x->rows, bth_check_product(op->ids.cols, width),
                     BTH_PLACE_ROWS);
    bth_check_tensor(&c, "bias", &op->bias, BERTH_F32, 1, width, BTH_PLACE_ROWS);
    bth_check_apart(&c, "x", x, y);
    append(b, live, (struct berth_op){.kind = BERTH_OP_GATHER_MAX, .u.gather_max = *op});
}

int bth_builder_build(struct bth_builder *b, struct berth_reservation *workspace,
                      struct berth_program **out, struct berth_error *err) {
    int rc = b->rc;
    if (rc < 0) {
        bth_error_copy(err, &b->err);
    } else {
        rc = b->device->ops->program_create(b->device, workspace, b->ops, b->n, out, err);
    }
    bth_builder_finish(b);
    return rc;
}

int64_t bth_op_rows(const struct berth_op *op) {
    switch (op->kind) {
    case BERTH_OP_EMBED:
        return op->u.embed.y.rows;
    case BERTH_OP_LAYER_NORM:
        return op->u.layer_norm.y.rows;
    case BERTH_OP_LINEAR:
        return op->u.linear.y.rows;
    case BERTH_OP_CONV3:
        return op->u.conv3.groups;
    case BERTH_OP_ATTEND_FULL:
        return op->u.attend_full.groups;
    case BERTH_OP_KV_STORE:
        return op->u.kv_store.x.rows;
    case BERTH_OP_ATTEND_PAGED:
        return op->u.attend_paged.q.rows;
    case BERTH_OP_KV_COPY:
        return op->u.kv_copy.from.cols;
    case BERTH_OP_GATHER:
        return op->u.gather.rows.cols;
    case BERTH_OP_PICK:
        return op->u.pick.logits.rows;
    case BERTH_OP_SELECT:
        return op->u.select.y.rows;
    case BERTH_OP_SSRU:
        return op->u.ssru.y.rows;
    case BERTH_OP_TOP:
        return op->u.top.logits.rows;
    case BERTH_OP_EMBED_SUM:
        return op->u.embed_sum.y.rows;
    case BERTH_OP_MAXOUT:
        return op->u.maxout.y.rows;
    case BERTH_OP_GATHER_MAX:
        return op->u.gather_max.y.rows;
    }
    return 0;
}

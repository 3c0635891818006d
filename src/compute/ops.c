/* The builder: every op is checked here, before a device sees it. */
#include "compute/ops.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/tensor.h"

void bth_builder_init(struct bth_builder *b, struct berth_device *device) {
    *b = (struct bth_builder){.device = device};
}

void bth_builder_finish(struct bth_builder *b) {
    bth_free(b->ops);
    b->ops = NULL;
    b->n = b->capacity = 0;
}

/* One op under test: what it is called, and the builder that remembers the first failure. */
struct checked {
    struct bth_builder *b;
    const char *op;
};

static void wrong(const struct checked *c, const char *tensor, const char *what, int64_t have,
                  int64_t want) {
    if (c->b->rc == 0) {
        c->b->rc = bth_error(&c->b->err, BERTH_EINTERNAL, "op %s: %s %s %lld, expected %lld", c->op,
                             tensor, what, (long long)have, (long long)want);
    }
}

/* The furthest element that row `rows - 1` and column `cols - 1` reach inside one group. */
static int64_t reach(const struct berth_tensor *t) {
    int64_t rows = t->index ? t->group_rows : t->rows;
    int64_t col = t->head_cols ? (t->cols - 1) / t->head_cols * t->head_stride +
                                     (t->cols - 1) % t->head_cols
                               : t->cols - 1;
    return (rows - 1) * t->row_stride + col;
}

/* A tensor must have this shape and type and lie inside its buffer. Which groups an index names is
 * only known at run time: the engine vouches for those. */
static void check(const struct checked *c, const char *name, const struct berth_tensor *t,
                  enum berth_dtype dtype, int64_t rows, int64_t cols) {
    if (!t->buffer) {
        wrong(c, name, "buffers:", 0, 1);
        return;
    }
    if (t->buffer->device != c->b->device) {
        wrong(c, name, "is on this device:", 0, 1);
    }
    if (t->dtype != dtype) {
        wrong(c, name, "dtype", t->dtype, dtype);
    }
    if (t->rows != rows || rows < 1) {
        wrong(c, name, "rows", t->rows, rows);
    }
    if (t->cols != cols || cols < 1) {
        wrong(c, name, "cols", t->cols, cols);
    }
    if (t->row_stride < 0 || t->head_cols < 0 || t->head_stride < 0 || t->group_stride < 0) {
        wrong(c, name, "strides below", -1, 0);
    }
    if (c->b->rc != 0) {
        return;
    }
    if (t->index && (t->group_rows < 1 || t->rows % t->group_rows != 0)) {
        wrong(c, name, "group_rows", t->group_rows, t->rows);
        return;
    }
    if (t->head_cols && t->cols % t->head_cols != 0) {
        wrong(c, name, "head_cols", t->head_cols, t->cols);
        return;
    }
    size_t limit = t->buffer->bytes / bth_dtype_bytes(dtype);
    if (t->offset >= limit || (uint64_t)reach(t) >= limit - t->offset) {
        wrong(c, name, "reaches element", (int64_t)t->offset + reach(t), (int64_t)limit - 1);
    }
    if (t->index) {
        size_t groups = (size_t)(t->rows / t->group_rows), words = t->index->bytes / 4;
        if (t->index_offset > words || groups > words - t->index_offset) {
            wrong(c, name, "index ends at word", (int64_t)(t->index_offset + groups),
                  (int64_t)words);
        }
    }
}

static void check_optional(const struct checked *c, const char *name, const struct berth_tensor *t,
                           int64_t rows, int64_t cols) {
    if (t->buffer) {
        check(c, name, t, BERTH_F32, rows, cols);
    }
}

/* A table that may be stored in 16 bits. */
static void check_table(const struct checked *c, const char *name, const struct berth_tensor *t,
                        int64_t cols) {
    bool stored = t->dtype == BERTH_F16 || t->dtype == BERTH_BF16;
    check(c, name, t, stored ? t->dtype : BERTH_F32, t->rows, cols);
}

static void check_weight(const struct checked *c, const struct berth_weight *w, int64_t n,
                         int64_t k) {
    if (!w) {
        wrong(c, "w", "weights:", 0, 1);
        return;
    }
    if (w->n != n) {
        wrong(c, "w", "outputs", w->n, n);
    }
    if (w->k != k) {
        wrong(c, "w", "inputs", w->k, k);
    }
}

static void check_kv(const struct checked *c, const struct berth_kv *kv) {
    int64_t block = kv->page_rows * kv->heads * kv->head_dim;
    if (!kv->buffer || kv->page_rows < 1 || kv->heads < 1 || kv->head_dim < 1) {
        wrong(c, "kv", "pages of elements", block, 1);
        return;
    }
    if (kv->key_offset < 0 || kv->key_offset + block > kv->page_stride) {
        wrong(c, "kv", "keys end at", kv->key_offset + block, kv->page_stride);
    }
    if (kv->value_offset < 0 || kv->value_offset + block > kv->page_stride) {
        wrong(c, "kv", "values end at", kv->value_offset + block, kv->page_stride);
    }
    if ((uint64_t)kv->page_stride > kv->buffer->bytes / sizeof(float)) {
        wrong(c, "kv", "page_stride", kv->page_stride,
              (int64_t)(kv->buffer->bytes / sizeof(float)));
    }
}

static struct checked begin(struct bth_builder *b, int live, const char *op) {
    struct checked c = {b, op};
    if (live < -1 || live >= BERTH_MAX_LIVE) {
        wrong(&c, "live", "index", live, BERTH_MAX_LIVE - 1);
    }
    return c;
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
    b->ops[b->n++] = op;
}

void bth_op_embed(struct bth_builder *b, int live, const struct berth_op_embed *op) {
    struct checked c = begin(b, live, "embed");
    check(&c, "y", &op->y, BERTH_F32, op->y.rows, op->y.cols);
    check(&c, "ids", &op->ids, BERTH_I32, 1, op->y.rows);
    check(&c, "pos", &op->pos, BERTH_I32, 1, op->y.rows);
    check_table(&c, "table", &op->table, op->y.cols);
    check_table(&c, "positions", &op->positions, op->y.cols);
    append(b, live, (struct berth_op){.kind = BERTH_OP_EMBED, .u.embed = *op});
}

void bth_op_layer_norm(struct bth_builder *b, int live, const struct berth_op_layer_norm *op) {
    struct checked c = begin(b, live, "layer_norm");
    check(&c, "y", &op->y, BERTH_F32, op->y.rows, op->y.cols);
    check(&c, "x", &op->x, BERTH_F32, op->y.rows, op->y.cols);
    check(&c, "gamma", &op->gamma, BERTH_F32, 1, op->y.cols);
    check(&c, "beta", &op->beta, BERTH_F32, 1, op->y.cols);
    append(b, live, (struct berth_op){.kind = BERTH_OP_LAYER_NORM, .u.layer_norm = *op});
}

void bth_op_linear(struct bth_builder *b, int live, const struct berth_op_linear *op) {
    struct checked c = begin(b, live, "linear");
    check(&c, "y", &op->y, BERTH_F32, op->y.rows, op->y.cols);
    check(&c, "x", &op->x, BERTH_F32, op->y.rows, op->x.cols);
    check_weight(&c, op->w, op->y.cols, op->x.cols);
    check_optional(&c, "bias", &op->bias, 1, op->y.cols);
    check_optional(&c, "residual", &op->residual, op->y.rows, op->y.cols);
    if (op->scale_cols < 0 || op->scale_cols > op->y.cols) {
        wrong(&c, "y", "scale_cols", op->scale_cols, op->y.cols);
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_LINEAR, .u.linear = *op});
}

void bth_op_conv3(struct bth_builder *b, int live, const struct berth_op_conv3 *op) {
    struct checked c = begin(b, live, "conv3");
    if (op->groups < 1 || op->stride < 1 || op->t_out != (op->t_in - 1) / op->stride + 1) {
        wrong(&c, "y", "t_out", op->t_out, (op->t_in - 1) / (op->stride ? op->stride : 1) + 1);
    }
    check(&c, "y", &op->y, BERTH_F32, op->groups * op->t_out, op->y.cols);
    check(&c, "x", &op->x, BERTH_F32, op->groups * op->t_in, op->x.cols);
    check_weight(&c, op->w, op->y.cols, 3 * op->x.cols);
    check_optional(&c, "bias", &op->bias, 1, op->y.cols);
    check_optional(&c, "add", &op->add, op->t_out, op->y.cols);
    append(b, live, (struct berth_op){.kind = BERTH_OP_CONV3, .u.conv3 = *op});
}

void bth_op_attend_full(struct bth_builder *b, int live, const struct berth_op_attend_full *op) {
    struct checked c = begin(b, live, "attend_full");
    int64_t d = op->heads * op->head_dim;
    if (op->q0 < 0 || op->nq < 1 || op->q0 + op->nq > op->t) {
        wrong(&c, "q", "queries end at", op->q0 + op->nq, op->t);
    }
    check(&c, "q", &op->q, BERTH_F32, op->groups * op->t, d);
    check(&c, "k", &op->k, BERTH_F32, op->groups * op->t, d);
    check(&c, "v", &op->v, BERTH_F32, op->groups * op->t, d);
    check(&c, "y", &op->y, BERTH_F32, op->groups * op->nq, d);
    const struct berth_tensor *in[] = {&op->q, &op->k, &op->v};
    for (size_t i = 0; i < BTH_COUNT(in); i++) {
        if (in[i]->head_cols != op->head_dim) {
            wrong(&c, "q, k, v", "head_cols", in[i]->head_cols, op->head_dim);
        }
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_ATTEND_FULL, .u.attend_full = *op});
}

void bth_op_kv_store(struct bth_builder *b, int live, const struct berth_op_kv_store *op) {
    struct checked c = begin(b, live, "kv_store");
    check_kv(&c, &op->kv);
    check(&c, "x", &op->x, BERTH_F32, op->x.rows, 2 * op->kv.heads * op->kv.head_dim);
    check(&c, "table", &op->table, BERTH_I32, op->x.rows, op->table.cols);
    check(&c, "pos", &op->pos, BERTH_I32, 1, op->x.rows);
    append(b, live, (struct berth_op){.kind = BERTH_OP_KV_STORE, .u.kv_store = *op});
}

void bth_op_attend_paged(struct bth_builder *b, int live, const struct berth_op_attend_paged *op) {
    struct checked c = begin(b, live, "attend_paged");
    check_kv(&c, &op->kv);
    int64_t d = op->kv.heads * op->kv.head_dim;
    check(&c, "q", &op->q, BERTH_F32, op->q.rows, d);
    check(&c, "y", &op->y, BERTH_F32, op->q.rows, d);
    check(&c, "table", &op->table, BERTH_I32, op->q.rows, op->table.cols);
    check(&c, "len", &op->len, BERTH_I32, 1, op->q.rows);
    check_optional(&c, "scores", &op->scores, op->q.rows * op->kv.heads, op->kv.page_rows);
    if (op->scores.buffer && op->table.cols != 1) {
        wrong(&c, "scores", "need pages a row", op->table.cols, 1);
    }
    append(b, live, (struct berth_op){.kind = BERTH_OP_ATTEND_PAGED, .u.attend_paged = *op});
}

void bth_op_kv_copy(struct bth_builder *b, int live, const struct berth_op_kv_copy *op) {
    struct checked c = begin(b, live, "kv_copy");
    check_kv(&c, &op->kv);
    check(&c, "from", &op->from, BERTH_I32, 1, op->from.cols);
    check(&c, "to", &op->to, BERTH_I32, 1, op->from.cols);
    append(b, live, (struct berth_op){.kind = BERTH_OP_KV_COPY, .u.kv_copy = *op});
}

void bth_op_gather(struct bth_builder *b, int live, const struct berth_op_gather *op) {
    struct checked c = begin(b, live, "gather");
    check(&c, "y", &op->y, BERTH_F32, op->y.rows, op->y.cols);
    check(&c, "x", &op->x, BERTH_F32, op->x.rows, op->y.cols);
    check(&c, "rows", &op->rows, BERTH_I32, 1, op->y.rows);
    append(b, live, (struct berth_op){.kind = BERTH_OP_GATHER, .u.gather = *op});
}

void bth_op_pick(struct bth_builder *b, int live, const struct berth_op_pick *op) {
    struct checked c = begin(b, live, "pick");
    int64_t rows = op->logits.rows, v = op->logits.cols;
    check(&c, "logits", &op->logits, BERTH_F32, rows, v);
    check(&c, "in", &op->in, BERTH_U32, rows, sizeof(struct berth_pick_in) / 4);
    check(&c, "out", &op->out, BERTH_U32, rows, sizeof(struct berth_pick_out) / 4);
    if (op->mask.buffer) {
        check(&c, "mask", &op->mask, BERTH_U32, op->mask.rows, (v + 31) / 32);
    }
    check_optional(&c, "all_probs", &op->all_probs, rows, v);
    append(b, live, (struct berth_op){.kind = BERTH_OP_PICK, .u.pick = *op});
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

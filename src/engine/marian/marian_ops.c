#include "marian/marian_ops.h"

#include <math.h>

void marian_rows_begin(struct marian_rows *t, struct marian_model *m, int64_t r, int64_t most,
                       int64_t ffn, bool many) {
    const int64_t d = m->config.d;
    struct berth_tensor *parts[] = {&t->x, &t->norm, &t->attended, &t->qkv, &t->hidden};
    const int64_t cols[] = {d, d, d, 3 * d, ffn};
    *t = (struct marian_rows){.m = m, .many = many, .r = r};
    for (int i = 0; i < 5; i++) {
        *parts[i] = bth_tensor(m->scratch, BERTH_F32, t->end, r, cols[i]);
        t->end += (size_t)(most * cols[i]);
    }
    bth_builder_init(&t->b, m->base.device);
    t->b.apart = true; /* but for what looks at other rows */
}

struct berth_tensor marian_input(const struct marian_model *m, size_t word, enum berth_dtype dtype,
                                 int64_t rows, int64_t cols) {
    return bth_tensor(m->inputs, dtype, word, rows, cols);
}

void marian_op_norm(struct marian_rows *t, const struct marian_norm *n, struct berth_tensor x,
                    struct berth_tensor y) {
    bth_op_layer_norm(
        &t->b, 0,
        &(struct berth_op_layer_norm){
            .x = x, .gamma = n->gamma, .beta = n->beta, .y = y, .eps = t->m->config.ln_eps});
}

/* Columns [c0, c0 + n) of a part; heads of queries are scaled. */
static void part_op(struct marian_rows *t, const struct marian_matrix *p,
                    const struct berth_op_linear *op, struct berth_tensor y) {
    struct berth_op_linear one = *op;
    one.w = p->w;
    one.bias = p->bias;
    one.eights = p->eights;
    one.y = y;
    one.many = t->many;
    bth_op_linear(&t->b, 0, &one);
}

void marian_op_linear(struct marian_rows *t, const struct marian_linear *l, struct berth_tensor x,
                      struct berth_tensor y, enum berth_activation act, int64_t query_heads) {
    const int64_t d = t->m->config.d;
    for (int i = 0; i < l->n_parts; i++) {
        struct berth_op_linear op = {.x = x, .act = act};
        if (query_heads && i == 0) {
            op.scale_cols = d;
            op.scale = 1.0f / sqrtf((float)(d / query_heads));
        }
        part_op(t, &l->part[i], &op, bth_tensor_cols(y, i * l->n, l->n));
    }
}

/* y = l(from) + onto */
static void linear_onto(struct marian_rows *t, const struct marian_linear *l,
                        struct berth_tensor from, struct berth_tensor onto, struct berth_tensor y) {
    part_op(t, &l->part[0], &(struct berth_op_linear){.x = from, .residual = onto}, y);
}

void marian_op_embed(struct marian_rows *t, const struct marian_table *table,
                     struct berth_tensor positions, const struct marian_norm *first) {
    const struct marian_model *m = t->m;
    const bool norm = m->config.normalize_embedding;
    bth_op_embed(&t->b, 0,
                 &(struct berth_op_embed){.ids = marian_input(m, m->layout.ids, BERTH_I32, 1, t->r),
                                          .pos = marian_input(m, m->layout.pos, BERTH_I32, 1, t->r),
                                          .table = table->w,
                                          .rows = table->rows,
                                          .positions = positions,
                                          .y = norm ? t->norm : t->x,
                                          .scale = m->config.embedding_scale,
                                          .unit = table->unit});
    if (norm) {
        marian_op_norm(t, first, t->norm, t->x);
    }
}

struct berth_tensor marian_block_in(struct marian_rows *t, const struct marian_norm *n) {
    if (!t->m->config.pre_norm) {
        return t->x;
    }
    marian_op_norm(t, n, t->x, t->norm);
    return t->norm;
}

void marian_block_out(struct marian_rows *t, const struct marian_norm *n,
                      const struct marian_linear *l, struct berth_tensor from) {
    if (t->m->config.pre_norm) {
        linear_onto(t, l, from, t->x, t->x);
        return;
    }
    linear_onto(t, l, from, t->x, t->norm);
    marian_op_norm(t, n, t->norm, t->x);
}

static enum berth_activation activation(const struct marian_config *c) {
    return c->activation == MARIAN_ACT_RELU    ? BERTH_ACT_RELU
           : c->activation == MARIAN_ACT_SWISH ? BERTH_ACT_SWISH
                                               : BERTH_ACT_GELU;
}

void marian_op_feed_forward(struct marian_rows *t, const struct marian_layer *l) {
    const struct berth_tensor in = marian_block_in(t, &l->ffn_norm);
    marian_op_linear(t, &l->ffn_up, in, t->hidden, activation(&t->m->config), 0);
    marian_block_out(t, &l->ffn_norm, &l->ffn_down, t->hidden);
}

static struct berth_kv slot_kv(const struct marian_model *m, int64_t rows, int layer) {
    const struct marian_config *c = &m->config;
    const int64_t block = rows * c->d;
    return (struct berth_kv){.buffer = m->slots,
                             .page_stride = m->position_stride * rows,
                             .page_rows = rows,
                             .heads = c->decoder_heads,
                             .head_dim = c->d / c->decoder_heads,
                             .key_offset = 2 * block * layer,
                             .value_offset = 2 * block * layer + block};
}

struct berth_kv marian_source_kv(const struct marian_model *m, int layer) {
    return slot_kv(m, MARIAN_PAGE, layer);
}

struct berth_kv marian_target_kv(const struct marian_model *m, int layer) {
    return slot_kv(m, 1, layer);
}

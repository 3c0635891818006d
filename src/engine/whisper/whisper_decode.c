/*
 * The decoder as programs: rows are single tokens of any sessions, each with its own position,
 * pages and window, so PREFILL (many tokens of a prompt) and STEP (one token of many rows) are the
 * same program. One exists for 1, 2, 4, ... 64 rows. live[0] is the number of rows, live[1] of
 * picks; in a prompt every row may be one: the start of transcript is all that an English-only
 * model is told.
 */
#include "whisper/whisper_model.h"

#include "base/dtype.h"
#include "compute/ops.h"
#include "compute/tensor.h"

enum { ROWS = 0, PICKS = 1 }; /* live counts */

/* Words of the input block as a tensor. */
static struct berth_tensor input(const struct whisper_model *m, size_t word, enum berth_dtype dtype,
                                 int64_t rows, int64_t cols) {
    return bth_tensor(m->inputs, dtype, word, rows, cols);
}

/* Scratch of a decoder turn, in f32 elements of the shared scratch buffer. */
struct rows {
    struct berth_tensor x, norm, attended, picked, qkv, hidden, logits;
};

static struct rows place_rows(const struct whisper_model *m, int64_t r, int64_t p) {
    int64_t d = m->dims.d, most = WHISPER_MAX_ROWS;
    struct berth_buffer *s = m->scratch;
    return (struct rows){.x = bth_tensor(s, BERTH_F32, 0, r, d),
                         .norm = bth_tensor(s, BERTH_F32, (size_t)(most * d), r, d),
                         .attended = bth_tensor(s, BERTH_F32, (size_t)(2 * most * d), r, d),
                         .picked = bth_tensor(s, BERTH_F32, (size_t)(3 * most * d), p, d),
                         .qkv = bth_tensor(s, BERTH_F32, (size_t)(4 * most * d), r, 3 * d),
                         .hidden = bth_tensor(s, BERTH_F32, (size_t)(7 * most * d), r, m->dims.ffn),
                         .logits = bth_tensor(s, BERTH_F32, (size_t)(most * (7 * d + m->dims.ffn)),
                                              p, m->dims.vocab)};
}

/* A layer's keys and values in pages of `rows` positions, `stride` bytes apart. */
static struct berth_kv kv(const struct whisper_model *m, struct berth_buffer *buffer,
                          int64_t stride, int64_t rows, int layer) {
    const int64_t block = rows * m->dims.d;
    return (struct berth_kv){.buffer = buffer,
                             .dtype = m->narrow,
                             .page_stride = stride / (int64_t)bth_dtype_bytes(m->narrow),
                             .page_rows = rows,
                             .heads = m->dims.heads,
                             .head_dim = WHISPER_HEAD,
                             .key_offset = 2 * block * layer,
                             .value_offset = 2 * block * layer + block};
}

static struct berth_kv page_kv(const struct whisper_model *m, int layer) {
    return kv(m, m->pages, m->page_stride, WHISPER_PAGE, layer);
}

static struct berth_kv cross_kv(const struct whisper_model *m, int layer) {
    return kv(m, m->crosses, m->cross_stride, WHISPER_POSITIONS, layer);
}

static void norm(struct bth_builder *b, int live, const struct whisper_norm *n,
                 struct berth_tensor x, struct berth_tensor y) {
    bth_op_layer_norm(b, live,
                      &(struct berth_op_layer_norm){
                          .x = x, .gamma = n->gamma, .beta = n->beta, .y = y, .eps = 1e-5f});
}

static void linear(struct bth_builder *b, const struct whisper_linear *l, struct berth_tensor x,
                   struct berth_tensor y, int64_t scale_cols) {
    bth_op_linear(b, ROWS,
                  &(struct berth_op_linear){.x = x,
                                            .bias = l->b,
                                            .y = y,
                                            .w = l->w,
                                            .scale_cols = scale_cols,
                                            .scale = 0.125f}); /* 64^-1/2, on the queries */
}

/* x += l(from) */
static void linear_onto(struct bth_builder *b, const struct whisper_linear *l,
                        struct berth_tensor from, struct berth_tensor x) {
    bth_op_linear(
        b, ROWS,
        &(struct berth_op_linear){.x = from, .bias = l->b, .residual = x, .y = x, .w = l->w});
}

static void layer_ops(const struct whisper_model *m, struct bth_builder *b, int i,
                      const struct rows *t) {
    const struct whisper_layer *l = &m->decoder[i];
    const struct whisper_inputs *in = &m->layout;
    int64_t r = t->x.rows, d = m->dims.d;
    struct berth_tensor table = input(m, in->table, BERTH_I32, r, WHISPER_PAGES);
    struct berth_tensor cross = input(m, in->cross_table, BERTH_I32, r, 1);
    norm(b, ROWS, &l->self_norm, t->x, t->norm);
    linear(b, &l->qkv, t->norm, t->qkv, d);
    bth_op_kv_store(b, ROWS,
                    &(struct berth_op_kv_store){.x = bth_tensor_cols(t->qkv, d, 2 * d),
                                                .table = table,
                                                .pos = input(m, in->pos, BERTH_I32, 1, r),
                                                .kv = page_kv(m, i)});
    bth_op_attend_paged(b, ROWS,
                        &(struct berth_op_attend_paged){.q = bth_tensor_cols(t->qkv, 0, d),
                                                        .table = table,
                                                        .len = input(m, in->len, BERTH_I32, 1, r),
                                                        .y = t->attended,
                                                        .kv = page_kv(m, i)});
    linear_onto(b, &l->self_out, t->attended, t->x);
    norm(b, ROWS, &l->cross_norm, t->x, t->norm);
    struct berth_tensor query = bth_tensor(m->scratch, BERTH_F32, t->qkv.offset, r, d);
    linear(b, &l->cross_q, t->norm, query, d);
    bth_op_attend_paged(
        b, ROWS,
        &(struct berth_op_attend_paged){.q = query,
                                        .table = cross,
                                        .len = input(m, in->cross_len, BERTH_I32, 1, r),
                                        .y = t->attended,
                                        .kv = cross_kv(m, i)});
    linear_onto(b, &l->cross_out, t->attended, t->x);
    norm(b, ROWS, &l->ffn_norm, t->x, t->norm);
    bth_op_linear(b, ROWS,
                  &(struct berth_op_linear){.x = t->norm,
                                            .bias = l->ffn_up.b,
                                            .y = t->hidden,
                                            .w = l->ffn_up.w,
                                            .act = BERTH_ACT_GELU});
    linear_onto(b, &l->ffn_down, t->hidden, t->x);
}

/* Tokens of r rows in, p picks out; with `probs` also whole distributions. */
static int build(struct whisper_model *m, int64_t r, int64_t p, bool probs,
                 struct berth_program **out, struct berth_error *err) {
    const struct whisper_inputs *in = &m->layout;
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    struct rows t = place_rows(m, r, p);
    bth_op_embed(&b, ROWS,
                 &(struct berth_op_embed){.ids = input(m, in->ids, BERTH_I32, 1, r),
                                          .pos = input(m, in->pos, BERTH_I32, 1, r),
                                          .table = m->embedding,
                                          .positions = m->decoder_positions,
                                          .y = t.x,
                                          .scale = 1.0f});
    for (int i = 0; i < m->dims.decoder_layers; i++) {
        layer_ops(m, &b, i, &t);
    }
    struct berth_tensor picked_norm =
        bth_tensor(m->scratch, BERTH_F32, t.norm.offset, p, m->dims.d);
    bth_op_gather(&b, PICKS,
                  &(struct berth_op_gather){
                      .x = t.x, .rows = input(m, in->pick_rows, BERTH_I32, 1, p), .y = t.picked});
    norm(&b, PICKS, &m->decoder_norm, t.picked, picked_norm);
    bth_op_linear(&b, PICKS,
                  &(struct berth_op_linear){.x = picked_norm, .y = t.logits, .w = m->embedding});
    int64_t in_words = sizeof(struct berth_pick_in) / 4,
            out_words = sizeof(struct berth_pick_out) / 4;
    struct berth_op_pick pick = {
        .logits = t.logits,
        .in = input(m, in->picks, BERTH_U32, p, in_words),
        .out = bth_tensor(m->outputs, BERTH_U32, 0, p, out_words),
        .mask = bth_tensor(m->masks, BERTH_U32, 0, WHISPER_MASKS, (m->dims.vocab + 31) / 32)};
    if (probs) {
        pick.all_probs = bth_tensor(m->probs, BERTH_F32, 0, p, m->dims.vocab);
    }
    bth_op_pick(&b, PICKS, &pick);
    return bth_builder_build(&b, m->workspace, out, err);
}

/* Copies pages, for rows that go their own ways from a shared beginning. */
static int build_copy(struct whisper_model *m, struct berth_error *err) {
    const struct whisper_inputs *in = &m->layout;
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    bth_op_kv_copy(
        &b, ROWS,
        &(struct berth_op_kv_copy){.from = input(m, in->copy_from, BERTH_I32, 1, WHISPER_MAX_ROWS),
                                   .to = input(m, in->copy_to, BERTH_I32, 1, WHISPER_MAX_ROWS),
                                   .kv = page_kv(m, 0)});
    return bth_builder_build(&b, m->workspace, &m->copy, err);
}

/* Rows of prompts that make a turn. Attention of many rows over one window counts three times: on a
 * CPU it runs at a third of the products' rate. */
static int prefill_rows(const struct whisper_model *m) {
    const struct whisper_dims *d = &m->dims;
    const double products = 2.0 * (double)(6 * d->d * d->d + 2 * d->d * d->ffn);
    const double attention = 3 * 4.0 * WHISPER_POSITIONS * (double)d->d;
    const double rows =
        m->base.device->turn_flops / ((double)d->decoder_layers * (products + attention));
    return rows < 8 ? 8 : rows > WHISPER_MAX_ROWS ? WHISPER_MAX_ROWS : (int)rows / 8 * 8;
}

int whisper_decode_build(struct whisper_model *m, struct berth_error *err) {
    m->prefill_rows = prefill_rows(m);
    int rc = 0;
    for (int i = 0; rc == 0 && i < WHISPER_BUCKETS; i++) {
        int64_t rows = INT64_C(1) << i;
        rc = build(m, rows, rows, false, &m->rows[i], err);
    }
    if (rc == 0) {
        rc = build(m, WHISPER_DETECTS, WHISPER_DETECTS, true, &m->detect, err);
    }
    return rc < 0 ? rc : build_copy(m, err);
}

void whisper_programs_destroy(struct whisper_model *m) {
    struct berth_device *device = m->base.device;
    for (int i = 0; i < m->n_pieces; i++) {
        bth_program_destroy(device, m->pieces[i]);
    }
    for (int i = 0; i < WHISPER_BUCKETS; i++) {
        bth_program_destroy(device, m->rows[i]);
    }
    bth_program_destroy(device, m->detect);
    bth_program_destroy(device, m->copy);
}

/*
 * The decoder as programs: a row is the next id of one beam of any sentence of any session, each
 * with its own position, history and source. One program exists for 1, 2, 4, ... rows,
 * up to what a turn of this device may have. live[0]
 * is the number of rows.
 *
 * The history of a beam is a list of places, one for each position, so that beams which come from
 * one share what they have in common and nothing is ever copied: the host hands out the places.
 */
#include "marian/marian_ops.h"

static void attention_ops(struct marian_rows *t, const struct marian_layer *l, int i) {
    const struct marian_model *m = t->m;
    const struct marian_inputs *in = &m->layout;
    const int64_t d = m->config.d;
    const struct berth_tensor table = marian_input(m, in->table, BERTH_I32, t->r, m->target_most);
    const struct berth_tensor x = marian_block_in(t, &l->self_norm);
    marian_op_linear(t, &l->qkv, x, t->qkv, BERTH_ACT_NONE, m->config.decoder_heads);
    bth_op_kv_store(&t->b, 0,
                    &(struct berth_op_kv_store){.x = bth_tensor_cols(t->qkv, d, 2 * d),
                                                .table = table,
                                                .pos = marian_input(m, in->pos, BERTH_I32, 1, t->r),
                                                .kv = marian_target_kv(m, i)});
    bth_op_attend_paged(
        &t->b, 0,
        &(struct berth_op_attend_paged){.q = bth_tensor_cols(t->qkv, 0, d),
                                        .table = table,
                                        .len = marian_input(m, in->len, BERTH_I32, 1, t->r),
                                        .y = t->attended,
                                        .kv = marian_target_kv(m, i)});
    marian_block_out(t, &l->self_norm, &l->self_out, t->attended);
}

/* The recurrent unit: its states lie where others have their keys. */
static void recurrent_ops(struct marian_rows *t, const struct marian_layer *l, int i) {
    const struct marian_model *m = t->m;
    const bool pre = m->config.pre_norm;
    const int64_t d = m->config.d;
    const struct berth_tensor in = marian_block_in(t, &l->self_norm);
    const struct berth_tensor candidate = bth_tensor_cols(t->qkv, 0, d);
    const struct berth_tensor gate = bth_tensor_cols(t->qkv, d, d);
    marian_op_linear(t, &l->ssru, in, candidate, BERTH_ACT_NONE, 0);
    marian_op_linear(t, &l->gate, in, gate, BERTH_ACT_NONE, 0);
    bth_op_ssru(&t->b, 0,
                &(struct berth_op_ssru){.x = candidate,
                                        .gate = gate,
                                        .residual = t->x,
                                        .from = marian_input(m, m->layout.from, BERTH_I32, 1, t->r),
                                        .to = marian_input(m, m->layout.to, BERTH_I32, 1, t->r),
                                        .y = pre ? t->x : t->norm,
                                        .state = m->slots,
                                        .stride = m->position_stride,
                                        .offset = i * d});
    if (!pre) {
        marian_op_norm(t, &l->self_norm, t->norm, t->x);
    }
}

static int alignment_layer(const struct marian_config *c) {
    return c->alignment_layer >= 0 && c->alignment_layer < c->decoder_layers
               ? c->alignment_layer
               : c->decoder_layers - 1;
}

static void cross_ops(struct marian_rows *t, const struct marian_layer *l, int i) {
    const struct marian_model *m = t->m;
    const struct marian_inputs *in = &m->layout;
    const struct marian_config *c = &m->config;
    const struct berth_tensor query = bth_tensor_cols(t->qkv, 0, c->d);
    const struct berth_tensor x = marian_block_in(t, &l->cross_norm);
    marian_op_linear(t, &l->cross_q, x, query, BERTH_ACT_NONE, c->decoder_heads);
    struct berth_op_attend_paged op = {
        .q = query,
        .table = marian_input(m, in->cross_table, BERTH_I32, t->r, marian_source_pages(m)),
        .len = marian_input(m, in->cross_len, BERTH_I32, 1, t->r),
        .y = t->attended,
        .kv = marian_source_kv(m, i)};
    if (i == alignment_layer(c)) {
        op.scores = bth_tensor(m->scores, BERTH_F32, 0, t->r * c->decoder_heads,
                               marian_source_pages(m) * MARIAN_PAGE);
    }
    bth_op_attend_paged(&t->b, 0, &op);
    marian_block_out(t, &l->cross_norm, &l->cross_out, t->attended);
}

/* Logits, of all ids or of those of each row's shortlist, and the most likely of them. */
static void output_ops(struct marian_rows *t, struct berth_tensor top) {
    const struct marian_model *m = t->m;
    const struct marian_inputs *in = &m->layout;
    const int64_t vocab = m->config.target_vocab, r = t->r;
    const struct berth_tensor logits = bth_tensor(m->scratch, BERTH_F32, t->end, r, vocab);
    if (m->shortlist && !m->output) {
        bth_op_select(&t->b, 0,
                      &(struct berth_op_select){
                          .x = top,
                          .w = m->output_rows,
                          .ids = bth_tensor(m->lists, BERTH_I32, 0, m->room.step, vocab),
                          .list = marian_input(m, in->list, BERTH_I32, 1, r),
                          .count = marian_input(m, in->count, BERTH_I32, 1, r),
                          .bias = m->output_bias,
                          .y = logits,
                          .eights = m->output_eights});
    } else {
        bth_op_linear(&t->b, 0,
                      &(struct berth_op_linear){.x = top,
                                                .bias = m->output_bias,
                                                .y = logits,
                                                .w = m->output,
                                                .eights = m->output_eights});
    }
    bth_op_top(
        &t->b, 0,
        &(struct berth_op_top){
            .logits = logits,
            .in = marian_input(m, in->tops, BERTH_U32, r, sizeof(struct berth_top_in) / 4),
            .out = bth_tensor(m->outputs, BERTH_U32, 0, r, sizeof(struct berth_top_out) / 4)});
}

static int build(struct marian_model *m, int64_t rows, struct berth_program **out,
                 struct berth_error *err) {
    const struct marian_config *c = &m->config;
    struct marian_rows t;
    marian_rows_begin(&t, m, rows, m->room.step, c->decoder_ffn, false);
    marian_op_embed(&t, &m->target_table, m->target_positions, &m->decoder_first);
    for (int i = 0; i < c->decoder_layers; i++) {
        if (c->decoder == MARIAN_DECODER_SSRU) {
            recurrent_ops(&t, &m->decoder[i], i);
        } else {
            attention_ops(&t, &m->decoder[i], i);
        }
        cross_ops(&t, &m->decoder[i], i);
        marian_op_feed_forward(&t, &m->decoder[i]);
    }
    struct berth_tensor top = t.x;
    if (c->final_norm) {
        marian_op_norm(&t, &m->decoder_norm, t.x, t.norm);
        top = t.norm;
    }
    output_ops(&t, top);
    return bth_builder_build(&t.b, m->workspace, out, err);
}

int marian_decode_build(struct marian_model *m, struct berth_error *err) {
    int rc = 0;
    for (int i = 0; rc == 0 && INT64_C(1) << i <= m->room.step; i++) {
        const int64_t rows = INT64_C(1) << i;
        rc = build(m, rows, &m->step[i], err);
    }
    return rc;
}

void marian_programs_destroy(struct marian_model *m) {
    for (int i = 0; i < MARIAN_ENCODE_BUCKETS; i++) {
        bth_program_destroy(m->base.device, m->encode[i]);
    }
    for (int i = 0; i < MARIAN_BUCKETS; i++) {
        bth_program_destroy(m->base.device, m->step[i]);
    }
}

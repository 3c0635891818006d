/*
 * The encoder as programs: rows are the ids of several sentences, one behind the other and without
 * padding, each with its position and the pages of its sentence. One exists for 16, 32, ... rows.
 *
 * Keys and values of a layer live in model->pages until the next layer writes its own; what the
 * decoder attends to goes into the slots of the sentences. live[0] is the number of rows.
 */
#include "marian/marian_ops.h"

/* Pages that hold one layer's keys and values of this turn. */
static struct berth_kv turn_kv(const struct marian_model *m) {
    const struct marian_config *c = &m->config;
    return (struct berth_kv){.buffer = m->pages,
                             .page_stride = 2 * MARIAN_PAGE * c->d,
                             .page_rows = MARIAN_PAGE,
                             .heads = c->encoder_heads,
                             .head_dim = c->d / c->encoder_heads,
                             .value_offset = MARIAN_PAGE * c->d};
}

static void layer_ops(struct marian_rows *t, const struct marian_layer *l) {
    const struct marian_model *m = t->m;
    const int64_t d = m->config.d;
    const struct berth_tensor pos = marian_input(m, m->layout.pos, BERTH_I32, 1, t->r);
    const struct berth_tensor table =
        marian_input(m, m->layout.table, BERTH_I32, t->r, marian_source_pages(m));
    const struct berth_tensor in = marian_block_in(t, &l->self_norm);
    marian_op_linear(t, &l->qkv, in, t->qkv, BERTH_ACT_NONE, m->config.encoder_heads);
    bth_op_kv_store(
        &t->b, 0,
        &(struct berth_op_kv_store){
            .x = bth_tensor_cols(t->qkv, d, 2 * d), .table = table, .pos = pos, .kv = turn_kv(m)});
    t->b.apart = false; /* it reads what the other ids of the sentence have stored */
    bth_op_attend_paged(
        &t->b, 0,
        &(struct berth_op_attend_paged){.q = bth_tensor_cols(t->qkv, 0, d),
                                        .table = table,
                                        .len = marian_input(m, m->layout.len, BERTH_I32, 1, t->r),
                                        .y = t->attended,
                                        .kv = turn_kv(m)});
    t->b.apart = true;
    marian_block_out(t, &l->self_norm, &l->self_out, t->attended);
    marian_op_feed_forward(t, l);
}

static int build(struct marian_model *m, int64_t rows, struct berth_program **out,
                 struct berth_error *err) {
    const struct marian_config *c = &m->config;
    struct marian_rows t;
    marian_rows_begin(&t, m, rows, m->room.encode, c->encoder_ffn, true);
    marian_op_embed(&t, &m->source_table, m->source_positions, &m->encoder_first);
    for (int i = 0; i < c->encoder_layers; i++) {
        layer_ops(&t, &m->encoder[i]);
    }
    struct berth_tensor top = t.x;
    if (c->final_norm) {
        marian_op_norm(&t, &m->encoder_norm, t.x, t.norm);
        top = t.norm;
    }
    const struct berth_tensor kv = bth_tensor_cols(t.qkv, 0, 2 * c->d);
    for (int i = 0; i < c->decoder_layers; i++) {
        marian_op_linear(&t, &m->decoder[i].cross_kv, top, kv, BERTH_ACT_NONE, 0);
        bth_op_kv_store(
            &t.b, 0,
            &(struct berth_op_kv_store){.x = kv,
                                        .table = marian_input(m, m->layout.cross_table, BERTH_I32,
                                                              rows, marian_source_pages(m)),
                                        .pos = marian_input(m, m->layout.pos, BERTH_I32, 1, rows),
                                        .kv = marian_source_kv(m, i)});
    }
    return bth_builder_build(&t.b, m->workspace, out, err);
}

/* Rows that make a turn of about 20 ms. */
static int planned_rows(const struct marian_model *m) {
    const struct marian_config *c = &m->config;
    const double layer = 2.0 * (double)(4 * c->d * c->d + 2 * c->d * c->encoder_ffn);
    const double cross = 2.0 * (double)(2 * c->d * c->d * c->decoder_layers);
    const double rows = m->base.device->turn_flops / (c->encoder_layers * layer + cross);
    const int most = (int)m->room.encode;
    return rows < 4 * MARIAN_PAGE ? 4 * MARIAN_PAGE
           : rows > most          ? most
                                  : (int)rows / MARIAN_PAGE * MARIAN_PAGE;
}

int marian_encode_build(struct marian_model *m, struct berth_error *err) {
    const int64_t most = m->room.encode;
    int rc = 0;
    m->encode_rows = planned_rows(m);
    for (int i = 0; rc == 0 && i < MARIAN_ENCODE_BUCKETS; i++) {
        int64_t rows = INT64_C(16) << i;
        if (rows / 2 >= most) {
            break;
        }
        rc = build(m, rows < most ? rows : most, &m->encode[i], err);
    }
    return rc;
}

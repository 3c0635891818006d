/*
 * The encoder as a list of programs, one per ENCODE turn, each planned at PIECE_FLOPS or less so
 * that a turn stays near 20 ms on two cores:
 *
 *     convolutions -> x
 *     per layer: norm, q k v (in parts of the rows)
 *                attention of a part of the queries over all keys, out, norm, feed forward
 *     final norm
 *     per decoder layer: cross keys and values (several layers a turn, or a layer in parts)
 *
 * A window's state between turns is in its encode slot: x [1500, d], then q, k, v
 * [heads][1500][64]; the final norm goes where q was. live[0] is the number of windows, live[1] of
 * rows.
 */
#include "whisper/whisper_model.h"

#include "base/error.h"
#include "compute/ops.h"
#include "compute/tensor.h"

#define PIECE_FLOPS 4e9

enum { WINDOWS = 0, ROWS = 1 }; /* live counts */

/* Rows [r0, r0 + n) of every window's [1500, cols] at `offset` in its slot of `region`. */
static struct berth_tensor in_slot(const struct whisper_model *m, struct berth_buffer *region,
                                   int64_t stride, int64_t offset, int64_t r0, int64_t n,
                                   int64_t cols) {
    struct berth_tensor t =
        bth_tensor(region, BERTH_F32, (size_t)(offset + r0 * cols), m->windows * n, cols);
    t.index = m->inputs;
    t.index_offset = m->layout.groups + (region == m->crosses ? (size_t)m->windows : 0);
    t.group_rows = n;
    t.group_stride = stride;
    return t;
}

/* The same rows of a part in head layout: [heads][1500][64], `heads` of them. */
static struct berth_tensor heads_in_slot(const struct whisper_model *m, struct berth_buffer *region,
                                         int64_t stride, int64_t offset, int64_t r0, int64_t n,
                                         int64_t heads) {
    struct berth_tensor t = in_slot(m, region, stride, offset, 0, n, heads * WHISPER_HEAD);
    t.offset = (size_t)(offset + r0 * WHISPER_HEAD);
    t.row_stride = WHISPER_HEAD;
    t.head_cols = WHISPER_HEAD;
    t.head_stride = WHISPER_POSITIONS * WHISPER_HEAD;
    return t;
}

static struct berth_tensor x_rows(const struct whisper_model *m, int64_t r0, int64_t n) {
    return in_slot(m, m->encodes, m->encode_stride, 0, r0, n, m->dims.d);
}

/* Part 0, 1, 2: all rows of q, k, v. */
static struct berth_tensor qkv_part(const struct whisper_model *m, int part) {
    int64_t block = WHISPER_POSITIONS * m->dims.d;
    return heads_in_slot(m, m->encodes, m->encode_stride, block * (1 + part), 0, WHISPER_POSITIONS,
                         m->dims.heads);
}

/* Ends a piece that works on `rows` rows of a window. */
static int finish_piece(struct whisper_model *m, struct bth_builder *b, int64_t rows,
                        struct berth_error *err) {
    if (m->n_pieces == WHISPER_MAX_PIECES) {
        bth_builder_finish(b);
        return bth_error(err, BERTH_EUNSUPPORTED, "the encoder is too large");
    }
    int rc = bth_builder_build(b, m->workspace, &m->pieces[m->n_pieces], err);
    if (rc == 0) {
        m->piece_rows[m->n_pieces++] = (int32_t)rows;
    }
    return rc;
}

static int build_convolutions(struct whisper_model *m, struct berth_error *err) {
    const struct whisper_dims *d = &m->dims;
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    struct berth_tensor mel =
        bth_tensor(m->mel, BERTH_F32, 0, m->windows * WHISPER_FRAMES, d->mels);
    struct berth_tensor mid =
        bth_tensor(m->scratch, BERTH_F32, 0, m->windows * WHISPER_FRAMES, d->d);
    bth_op_conv3(&b, WINDOWS,
                 &(struct berth_op_conv3){.x = mel,
                                          .bias = m->conv1.b,
                                          .y = mid,
                                          .w = m->conv1.w,
                                          .groups = m->windows,
                                          .t_in = WHISPER_FRAMES,
                                          .t_out = WHISPER_FRAMES,
                                          .stride = 1,
                                          .act = BERTH_ACT_GELU});
    bth_op_conv3(&b, WINDOWS,
                 &(struct berth_op_conv3){.x = mid,
                                          .bias = m->conv2.b,
                                          .add = m->encoder_positions,
                                          .y = x_rows(m, 0, WHISPER_POSITIONS),
                                          .w = m->conv2.w,
                                          .groups = m->windows,
                                          .t_in = WHISPER_FRAMES,
                                          .t_out = WHISPER_POSITIONS,
                                          .stride = 2,
                                          .act = BERTH_ACT_GELU});
    return finish_piece(m, &b, WHISPER_POSITIONS, err);
}

/* Dense scratch rows of `cols`, behind `before` elements a row for all windows' rows. */
static struct berth_tensor scratch_rows(const struct whisper_model *m, int64_t before, int64_t n,
                                        int64_t cols) {
    return bth_tensor(m->scratch, BERTH_F32, (size_t)(before * m->windows * n), m->windows * n,
                      cols);
}

static void norm(struct bth_builder *b, const struct whisper_norm *n, struct berth_tensor x,
                 struct berth_tensor y) {
    bth_op_layer_norm(b, ROWS,
                      &(struct berth_op_layer_norm){
                          .x = x, .gamma = n->gamma, .beta = n->beta, .y = y, .eps = 1e-5f});
}

/* x += l(from) */
static void linear_onto(struct bth_builder *b, const struct whisper_linear *l,
                        struct berth_tensor from, struct berth_tensor x) {
    bth_op_linear(b, ROWS,
                  &(struct berth_op_linear){
                      .x = from, .bias = l->b, .residual = x, .y = x, .w = l->w, .many = true});
}

static int build_qkv(struct whisper_model *m, const struct whisper_layer *l, int64_t r0, int64_t n,
                     struct berth_error *err) {
    int64_t d = m->dims.d;
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    struct berth_tensor normed = scratch_rows(m, 0, n, d);
    norm(&b, &l->self_norm, x_rows(m, r0, n), normed);
    bth_op_linear(&b, ROWS,
                  &(struct berth_op_linear){.x = normed,
                                            .bias = l->qkv.b,
                                            .y = heads_in_slot(m, m->encodes, m->encode_stride,
                                                               WHISPER_POSITIONS * d, r0, n,
                                                               3 * m->dims.heads),
                                            .w = l->qkv.w,
                                            .scale_cols = d,
                                            .scale = 0.125f, /* 64^-1/2, on the queries */
                                            .many = true});
    return finish_piece(m, &b, n, err);
}

/* Queries [r0, r0 + n) attend, and their rows go through the rest of the layer. */
static int build_block(struct whisper_model *m, const struct whisper_layer *l, int64_t r0,
                       int64_t n, struct berth_error *err) {
    int64_t d = m->dims.d;
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    struct berth_tensor attended = scratch_rows(m, 0, n, d), normed = scratch_rows(m, d, n, d);
    struct berth_tensor hidden = scratch_rows(m, 2 * d, n, m->dims.ffn), x = x_rows(m, r0, n);
    bth_op_attend_full(&b, WINDOWS,
                       &(struct berth_op_attend_full){.q = qkv_part(m, 0),
                                                      .k = qkv_part(m, 1),
                                                      .v = qkv_part(m, 2),
                                                      .y = attended,
                                                      .groups = m->windows,
                                                      .t = WHISPER_POSITIONS,
                                                      .heads = m->dims.heads,
                                                      .head_dim = WHISPER_HEAD,
                                                      .q0 = r0,
                                                      .nq = n});
    linear_onto(&b, &l->self_out, attended, x);
    norm(&b, &l->ffn_norm, x, normed);
    bth_op_linear(&b, ROWS,
                  &(struct berth_op_linear){.x = normed,
                                            .bias = l->ffn_up.b,
                                            .y = hidden,
                                            .w = l->ffn_up.w,
                                            .act = BERTH_ACT_GELU,
                                            .many = true});
    linear_onto(&b, &l->ffn_down, hidden, x);
    return finish_piece(m, &b, n, err);
}

static int parts_of(double flops) {
    int parts = (int)(flops / PIECE_FLOPS) + 1;
    return parts < WHISPER_POSITIONS / 16 ? parts : WHISPER_POSITIONS / 16;
}

typedef int (*build_fn)(struct whisper_model *m, const struct whisper_layer *l, int64_t r0,
                        int64_t n, struct berth_error *err);

/* Parts of at most ceil(1500 / parts) rows, rounded up to full tiles of 16. */
static int build_parts(struct whisper_model *m, const struct whisper_layer *l, int parts,
                       build_fn build, struct berth_error *err) {
    int64_t each = ((WHISPER_POSITIONS + parts - 1) / parts + 15) / 16 * 16;
    for (int64_t r0 = 0; r0 < WHISPER_POSITIONS; r0 += each) {
        int64_t n = WHISPER_POSITIONS - r0 < each ? WHISPER_POSITIONS - r0 : each;
        int rc = build(m, l, r0, n, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The encoder's output [1500, d], where q was. */
static struct berth_tensor output_rows(const struct whisper_model *m, int64_t r0, int64_t n) {
    return in_slot(m, m->encodes, m->encode_stride, WHISPER_POSITIONS * m->dims.d, r0, n,
                   m->dims.d);
}

static void cross_rows(struct whisper_model *m, struct bth_builder *b, int layer, int64_t r0,
                       int64_t n) {
    int64_t block = 2 * WHISPER_POSITIONS * m->dims.d;
    const struct whisper_linear *kv = &m->decoder[layer].cross_kv;
    bth_op_linear(
        b, ROWS,
        &(struct berth_op_linear){.x = output_rows(m, r0, n),
                                  .bias = kv->b,
                                  .y = heads_in_slot(m, m->crosses, m->cross_stride, block * layer,
                                                     r0, n, 2 * m->dims.heads),
                                  .w = kv->w,
                                  .many = true});
}

static int build_cross_part(struct whisper_model *m, const struct whisper_layer *l, int64_t r0,
                            int64_t n, struct berth_error *err) {
    struct bth_builder b;
    bth_builder_init(&b, m->base.device);
    cross_rows(m, &b, (int)(l - m->decoder), r0, n);
    return finish_piece(m, &b, n, err);
}

static int build_cross(struct whisper_model *m, struct berth_error *err) {
    double flops = 4.0 * WHISPER_POSITIONS * (double)m->dims.d * (double)m->dims.d;
    int layers = (int)(PIECE_FLOPS / flops); /* in one piece */
    for (int i = 0; layers <= 1 && i < m->dims.decoder_layers; i++) {
        int rc = build_parts(m, &m->decoder[i], parts_of(flops), build_cross_part, err);
        if (rc < 0) {
            return rc;
        }
    }
    for (int i = 0; layers > 1 && i < m->dims.decoder_layers; i += layers) {
        struct bth_builder b;
        bth_builder_init(&b, m->base.device);
        for (int j = i; j < i + layers && j < m->dims.decoder_layers; j++) {
            cross_rows(m, &b, j, 0, WHISPER_POSITIONS);
        }
        int rc = finish_piece(m, &b, WHISPER_POSITIONS, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int whisper_encode_build(struct whisper_model *m, struct berth_error *err) {
    double d = (double)m->dims.d, ffn = (double)m->dims.ffn, t = WHISPER_POSITIONS;
    int rc = build_convolutions(m, err);
    for (int i = 0; rc == 0 && i < m->dims.encoder_layers; i++) {
        const struct whisper_layer *l = &m->encoder[i];
        rc = build_parts(m, l, parts_of(6 * t * d * d), build_qkv, err);
        if (rc == 0) {
            rc = build_parts(m, l, parts_of(4 * t * t * d + 2 * t * d * d + 4 * t * d * ffn),
                             build_block, err);
        }
    }
    if (rc == 0) {
        struct bth_builder b;
        bth_builder_init(&b, m->base.device);
        norm(&b, &m->encoder_norm, x_rows(m, 0, WHISPER_POSITIONS),
             output_rows(m, 0, WHISPER_POSITIONS));
        rc = finish_piece(m, &b, WHISPER_POSITIONS, err);
    }
    return rc < 0 ? rc : build_cross(m, err);
}

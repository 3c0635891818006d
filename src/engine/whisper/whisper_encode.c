/*
 * The encoder as a list of programs, one per ENCODE turn, each planned at what the device does in
 * about 20 ms (berth_device.turn_flops):
 *
 *     convolutions -> x
 *     per layer: norm, q k v (in parts of the rows)
 *                attention of a part of the queries over all keys, out, norm, feed forward
 *     final norm
 *     per decoder layer: cross keys and values
 *
 * Neighbours on all rows share a turn while they fit it; a layer that does not is cut by its rows.
 *
 * A window's state between turns is in its encode slot: x [1500, d] f32, then q, k, v
 * [heads][1500][64] in the device's narrow type; the final norm goes where q was. live[0] is the
 * number of windows, live[1] of rows.
 */
#include "whisper/whisper_model.h"

#include "base/dtype.h"
#include "base/error.h"
#include "compute/ops.h"
#include "compute/tensor.h"

enum { WINDOWS = 0, ROWS = 1 }; /* live counts */

/* Rows [r0, r0 + n) of every window's [1500, cols] dtype, which begins `offset` bytes into its slot
 * of `region`. */
static struct berth_tensor in_slot(const struct whisper_model *m, struct berth_buffer *region,
                                   enum berth_dtype dtype, int64_t offset, int64_t r0, int64_t n,
                                   int64_t cols) {
    const int64_t size = (int64_t)bth_dtype_bytes(dtype);
    struct berth_tensor t =
        bth_tensor(region, dtype, (size_t)(offset / size + r0 * cols), m->windows * n, cols);
    t.index = m->inputs;
    t.index_offset = m->layout.groups + (region == m->crosses ? (size_t)m->windows : 0);
    t.group_rows = n;
    t.group_stride = (region == m->crosses ? m->cross_stride : m->encode_stride) / size;
    return t;
}

/* The same rows of a part in head layout: [heads][1500][64] narrow, `heads` of them. */
static struct berth_tensor heads_in_slot(const struct whisper_model *m, struct berth_buffer *region,
                                         int64_t offset, int64_t r0, int64_t n, int64_t heads) {
    struct berth_tensor t = in_slot(m, region, m->narrow, offset, 0, n, heads * WHISPER_HEAD);
    t.offset += (size_t)(r0 * WHISPER_HEAD);
    t.row_stride = WHISPER_HEAD;
    t.head_cols = WHISPER_HEAD;
    t.head_stride = WHISPER_POSITIONS * WHISPER_HEAD;
    return t;
}

static struct berth_tensor x_rows(const struct whisper_model *m, int64_t r0, int64_t n) {
    return in_slot(m, m->encodes, BERTH_F32, 0, r0, n, m->dims.d);
}

/* Where part 0, 1, 2: q, k, v, begins, in bytes of the slot. */
static int64_t qkv_offset(const struct whisper_model *m, int part) {
    const int64_t block = WHISPER_POSITIONS * m->dims.d;
    return block * ((int64_t)sizeof(float) + part * (int64_t)bth_dtype_bytes(m->narrow));
}

/* All rows of a part. */
static struct berth_tensor qkv_part(const struct whisper_model *m, int part) {
    return heads_in_slot(m, m->encodes, qkv_offset(m, part), 0, WHISPER_POSITIONS, m->dims.heads);
}

/* The piece that is being put together. */
struct piece {
    struct whisper_model *m;
    struct bth_builder ops;
    int64_t rows; /* of one window that it works on; 0: none is open */
    double flops; /* of one window */
};

static int close_piece(struct piece *p, struct berth_error *err) {
    struct whisper_model *m = p->m;
    if (p->rows == 0) {
        return 0;
    }
    const int64_t rows = p->rows;
    p->rows = 0;
    if (m->n_pieces == WHISPER_MAX_PIECES) {
        bth_builder_finish(&p->ops);
        return bth_error(err, BERTH_EUNSUPPORTED, "the encoder is too large");
    }
    int rc = bth_builder_build(&p->ops, m->workspace, &m->pieces[m->n_pieces], err);
    if (rc == 0) {
        m->piece_rows[m->n_pieces++] = (int32_t)rows;
    }
    return rc;
}

/* Room for `flops` more on `rows` rows of a window: in the open piece if they fit, else in a new
 * one. */
static int add_to_piece(struct piece *p, int64_t rows, double flops, struct berth_error *err) {
    const bool whole = rows == WHISPER_POSITIONS && p->rows == WHISPER_POSITIONS;
    if (whole && p->flops + flops <= p->m->base.device->turn_flops) {
        p->flops += flops;
        return 0;
    }
    int rc = close_piece(p, err);
    bth_builder_init(&p->ops, p->m->base.device);
    p->rows = rc < 0 ? 0 : rows;
    p->flops = flops;
    return rc;
}

static double product_flops(int64_t rows, int64_t n, int64_t k) {
    return 2.0 * (double)rows * (double)n * (double)k;
}

static int build_convolutions(struct piece *p, struct berth_error *err) {
    struct whisper_model *m = p->m;
    const struct whisper_dims *d = &m->dims;
    int rc = add_to_piece(p, WHISPER_POSITIONS,
                          product_flops(WHISPER_FRAMES, d->d, 3 * d->mels) +
                              product_flops(WHISPER_POSITIONS, d->d, 3 * d->d),
                          err);
    if (rc < 0) {
        return rc;
    }
    struct berth_tensor mel =
        bth_tensor(m->mel, BERTH_F32, 0, m->windows * WHISPER_FRAMES, d->mels);
    struct berth_tensor mid =
        bth_tensor(m->scratch, m->narrow, 0, m->windows * WHISPER_FRAMES, d->d);
    bth_op_conv3(&p->ops, WINDOWS,
                 &(struct berth_op_conv3){.x = mel,
                                          .bias = m->conv1.b,
                                          .y = mid,
                                          .w = m->conv1.w,
                                          .groups = m->windows,
                                          .t_in = WHISPER_FRAMES,
                                          .t_out = WHISPER_FRAMES,
                                          .stride = 1,
                                          .act = BERTH_ACT_GELU});
    bth_op_conv3(&p->ops, WINDOWS,
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
    return 0;
}

/* Dense scratch rows of `cols`, behind `before` elements a row for all windows' rows. */
static struct berth_tensor scratch_rows(const struct whisper_model *m, int64_t before, int64_t n,
                                        int64_t cols) {
    return bth_tensor(m->scratch, m->narrow, (size_t)(before * m->windows * n), m->windows * n,
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

static double qkv_flops(const struct whisper_dims *d, int64_t n) {
    return product_flops(n, 3 * d->d, d->d);
}

static int build_qkv(struct piece *p, const struct whisper_layer *l, int64_t r0, int64_t n,
                     struct berth_error *err) {
    struct whisper_model *m = p->m;
    struct bth_builder *b = &p->ops;
    int64_t d = m->dims.d;
    int rc = add_to_piece(p, n, qkv_flops(&m->dims, n), err);
    if (rc < 0) {
        return rc;
    }
    struct berth_tensor normed = scratch_rows(m, 0, n, d);
    norm(b, &l->self_norm, x_rows(m, r0, n), normed);
    bth_op_linear(b, ROWS,
                  &(struct berth_op_linear){
                      .x = normed,
                      .bias = l->qkv.b,
                      .y = heads_in_slot(m, m->encodes, qkv_offset(m, 0), r0, n, 3 * m->dims.heads),
                      .w = l->qkv.w,
                      .scale_cols = d,
                      .scale = 0.125f, /* 64^-1/2, on the queries */
                      .many = true});
    return 0;
}

static double block_flops(const struct whisper_dims *d, int64_t n) {
    return 2 * product_flops(n, WHISPER_POSITIONS, d->d) + product_flops(n, d->d, d->d) +
           2 * product_flops(n, d->ffn, d->d);
}

/* Queries [r0, r0 + n) attend, and their rows go through the rest of the layer. */
static int build_block(struct piece *p, const struct whisper_layer *l, int64_t r0, int64_t n,
                       struct berth_error *err) {
    struct whisper_model *m = p->m;
    struct bth_builder *b = &p->ops;
    int64_t d = m->dims.d;
    int rc = add_to_piece(p, n, block_flops(&m->dims, n), err);
    if (rc < 0) {
        return rc;
    }
    struct berth_tensor attended = scratch_rows(m, 0, n, d), normed = scratch_rows(m, d, n, d);
    struct berth_tensor hidden = scratch_rows(m, 2 * d, n, m->dims.ffn), x = x_rows(m, r0, n);
    bth_op_attend_full(b, WINDOWS,
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
    linear_onto(b, &l->self_out, attended, x);
    norm(b, &l->ffn_norm, x, normed);
    bth_op_linear(b, ROWS,
                  &(struct berth_op_linear){.x = normed,
                                            .bias = l->ffn_up.b,
                                            .y = hidden,
                                            .w = l->ffn_up.w,
                                            .act = BERTH_ACT_GELU,
                                            .many = true});
    linear_onto(b, &l->ffn_down, hidden, x);
    return 0;
}

typedef double (*flops_fn)(const struct whisper_dims *d, int64_t n);
typedef int (*build_fn)(struct piece *p, const struct whisper_layer *l, int64_t r0, int64_t n,
                        struct berth_error *err);

/* All rows in as few equal parts as fit a turn each, rounded up to full tiles of 16. */
static int build_parts(struct piece *p, const struct whisper_layer *l, flops_fn flops,
                       build_fn build, struct berth_error *err) {
    const double turn = p->m->base.device->turn_flops;
    int64_t parts = (int64_t)(flops(&p->m->dims, WHISPER_POSITIONS) / turn) + 1;
    parts = parts < WHISPER_POSITIONS / 16 ? parts : WHISPER_POSITIONS / 16;
    int64_t each = ((WHISPER_POSITIONS + parts - 1) / parts + 15) / 16 * 16;
    for (int64_t r0 = 0; r0 < WHISPER_POSITIONS; r0 += each) {
        int64_t n = WHISPER_POSITIONS - r0 < each ? WHISPER_POSITIONS - r0 : each;
        int rc = build(p, l, r0, n, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The encoder's output [1500, d], where q was. */
static struct berth_tensor output_rows(const struct whisper_model *m, int64_t r0, int64_t n) {
    return in_slot(m, m->encodes, m->narrow, qkv_offset(m, 0), r0, n, m->dims.d);
}

static int build_final_norm(struct piece *p, struct berth_error *err) {
    struct whisper_model *m = p->m;
    int rc = add_to_piece(p, WHISPER_POSITIONS, 0, err);
    if (rc == 0) {
        norm(&p->ops, &m->encoder_norm, x_rows(m, 0, WHISPER_POSITIONS),
             output_rows(m, 0, WHISPER_POSITIONS));
    }
    return rc;
}

static double cross_flops(const struct whisper_dims *d, int64_t n) {
    return product_flops(n, 2 * d->d, d->d);
}

static int build_cross(struct piece *p, const struct whisper_layer *l, int64_t r0, int64_t n,
                       struct berth_error *err) {
    struct whisper_model *m = p->m;
    int64_t block =
        2 * WHISPER_POSITIONS * m->dims.d * (int64_t)bth_dtype_bytes(m->narrow); /* of a layer */
    int rc = add_to_piece(p, n, cross_flops(&m->dims, n), err);
    if (rc < 0) {
        return rc;
    }
    bth_op_linear(
        &p->ops, ROWS,
        &(struct berth_op_linear){
            .x = output_rows(m, r0, n),
            .bias = l->cross_kv.b,
            .y = heads_in_slot(m, m->crosses, block * (l - m->decoder), r0, n, 2 * m->dims.heads),
            .w = l->cross_kv.w,
            .many = true});
    return 0;
}

static int build_all(struct piece *p, struct berth_error *err) {
    const struct whisper_model *m = p->m;
    int rc = build_convolutions(p, err);
    for (int i = 0; rc == 0 && i < m->dims.encoder_layers; i++) {
        rc = build_parts(p, &m->encoder[i], qkv_flops, build_qkv, err);
        if (rc == 0) {
            rc = build_parts(p, &m->encoder[i], block_flops, build_block, err);
        }
    }
    if (rc == 0) {
        rc = build_final_norm(p, err);
    }
    for (int i = 0; rc == 0 && i < m->dims.decoder_layers; i++) {
        rc = build_parts(p, &m->decoder[i], cross_flops, build_cross, err);
    }
    return rc;
}

int whisper_encode_build(struct whisper_model *m, struct berth_error *err) {
    struct piece p = {.m = m};
    int rc = build_all(&p, err);
    if (rc == 0) {
        return close_piece(&p, err);
    }
    if (p.rows) {
        bth_builder_finish(&p.ops);
    }
    return rc;
}

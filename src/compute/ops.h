/*
 * compute/ops.h - how an engine writes a program: one call per op, shapes checked, then built.
 *
 *     struct bth_builder b;
 *     bth_builder_init(&b, device);
 *     bth_op_layer_norm(&b, live, &(struct berth_op_layer_norm){.x = x, .gamma = g, ...});
 *     bth_op_linear(&b, live, &(struct berth_op_linear){.x = y, .w = w, .y = q});
 *     rc = bth_builder_build(&b, workspace, &program, err);
 *
 * The builder keeps the first error and later calls do nothing, so engines check once, at build.
 * What an op computes is written in berth/backend.h; here every shape, dtype and bound is checked
 * against the buffers before a backend sees it. Wrong shapes are BERTH_EINTERNAL: engines must have
 * checked files before. One owner thread.
 */
#ifndef BTH_OPS_H
#define BTH_OPS_H

#include <berth/backend.h>

struct bth_builder {
    struct berth_device *device;
    struct berth_op *ops;
    size_t n, capacity;
    bool apart; /* of the ops that follow, see struct berth_op; the engine sets it */
    int rc;     /* the first failure */
    struct berth_error err;
};

void bth_builder_init(struct bth_builder *b, struct berth_device *device);
void bth_builder_finish(struct bth_builder *b); /* only if build was not called */

/* live: which live count bounds the op's rows (groups, for ops with groups), -1: all. */
void bth_op_embed(struct bth_builder *b, int live, const struct berth_op_embed *op);
void bth_op_layer_norm(struct bth_builder *b, int live, const struct berth_op_layer_norm *op);
void bth_op_linear(struct bth_builder *b, int live, const struct berth_op_linear *op);
void bth_op_conv3(struct bth_builder *b, int live, const struct berth_op_conv3 *op);
void bth_op_attend_full(struct bth_builder *b, int live, const struct berth_op_attend_full *op);
void bth_op_kv_store(struct bth_builder *b, int live, const struct berth_op_kv_store *op);
void bth_op_attend_paged(struct bth_builder *b, int live, const struct berth_op_attend_paged *op);
void bth_op_kv_copy(struct bth_builder *b, int live, const struct berth_op_kv_copy *op);
void bth_op_gather(struct bth_builder *b, int live, const struct berth_op_gather *op);
void bth_op_pick(struct bth_builder *b, int live, const struct berth_op_pick *op);
void bth_op_select(struct bth_builder *b, int live, const struct berth_op_select *op);
void bth_op_ssru(struct bth_builder *b, int live, const struct berth_op_ssru *op);
void bth_op_top(struct bth_builder *b, int live, const struct berth_op_top *op);
void bth_op_embed_sum(struct bth_builder *b, int live, const struct berth_op_embed_sum *op);
void bth_op_maxout(struct bth_builder *b, int live, const struct berth_op_maxout *op);
void bth_op_gather_max(struct bth_builder *b, int live, const struct berth_op_gather_max *op);

/* Makes the program and finishes the builder, whatever the result. */
int bth_builder_build(struct bth_builder *b, struct berth_reservation *workspace,
                      struct berth_program **out, struct berth_error *err);

/* Rows of the op that a live count may cut: groups where it has groups. For backends. */
int64_t bth_op_rows(const struct berth_op *op);

#endif

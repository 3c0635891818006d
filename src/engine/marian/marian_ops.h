/* engine/marian/marian_ops.h - what encoder and decoder programs have in common. */
#ifndef BTH_MARIAN_OPS_H
#define BTH_MARIAN_OPS_H

#include "compute/ops.h"
#include "compute/tensor.h"
#include "marian/marian_model.h"

/* Rows of a program as it is put together; all its tensors are in model->scratch but the inputs. */
struct marian_rows {
    struct marian_model *m;
    struct bth_builder b;
    bool many;                                  /* rows in the hundreds */
    int64_t r;                                  /* rows */
    struct berth_tensor x, norm, attended, qkv; /* [r, d], [r, 3 d] */
    struct berth_tensor hidden;                 /* [r, ffn] */
    size_t end;                                 /* of the scratch used so far, in elements */
};

/* The tensors of `r` rows, `most` being the rows of the largest such program. */
void marian_rows_begin(struct marian_rows *t, struct marian_model *m, int64_t r, int64_t most,
                       int64_t ffn, bool many);
/* Words of the input block. */
struct berth_tensor marian_input(const struct marian_model *m, size_t word, enum berth_dtype dtype,
                                 int64_t rows, int64_t cols);

void marian_op_norm(struct marian_rows *t, const struct marian_norm *n, struct berth_tensor x,
                    struct berth_tensor y);
/* y = act(l(x)); `scale_cols` of y times the query scale of `heads`. */
void marian_op_linear(struct marian_rows *t, const struct marian_linear *l, struct berth_tensor x,
                      struct berth_tensor y, enum berth_activation act, int64_t query_heads);
void marian_op_embed(struct marian_rows *t, const struct marian_table *table,
                     struct berth_tensor positions, const struct marian_norm *first);

/* A block of a layer reads `marian_block_in` and ends with marian_block_out(its linear, its
 * result): norms before or after, as the model has them. */
struct berth_tensor marian_block_in(struct marian_rows *t, const struct marian_norm *n);
void marian_block_out(struct marian_rows *t, const struct marian_norm *n,
                      const struct marian_linear *l, struct berth_tensor from);
void marian_op_feed_forward(struct marian_rows *t, const struct marian_layer *l);

/* Keys and values of a decoder layer in the slots: as pages of sources, or as single positions. */
struct berth_kv marian_source_kv(const struct marian_model *m, int layer);
struct berth_kv marian_target_kv(const struct marian_model *m, int layer);

#endif

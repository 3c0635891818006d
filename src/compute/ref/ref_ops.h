/* compute/ref/ref_ops.h - every op as it is written down in berth/backend.h: plain loops, one
 * thread. */
#ifndef BTH_REF_OPS_H
#define BTH_REF_OPS_H

#include <berth/backend.h>

/* `rows`: how many of the op's rows (groups, where it has groups) are live. */
void bth_ref_op(const struct berth_op *op, int64_t rows, double *scratch);
/* Numbers of scratch that the op needs. */
int64_t bth_ref_scratch(const struct berth_op *op);

/* Weights as they were given. */
struct bth_ref_weight {
    struct berth_weight base;
    struct berth_buffer *buffer; /* [n, k] */
};

/* ref_attend.c, ref_pick.c, ref_maxout.c */
void bth_ref_attend_full(const struct berth_op_attend_full *op, int64_t groups, double *scratch);
void bth_ref_attend_paged(const struct berth_op_attend_paged *op, int64_t rows, double *scratch);
void bth_ref_pick(const struct berth_op_pick *op, int64_t rows);
void bth_ref_top(const struct berth_op_top *op, int64_t rows);
void bth_ref_embed_sum(const struct berth_op_embed_sum *op, int64_t rows);
void bth_ref_maxout(const struct berth_op_maxout *op, int64_t rows);
void bth_ref_gather_max(const struct berth_op_gather_max *op, int64_t rows);

/* Address of element (r, c). */
float *bth_ref_f32(const struct berth_tensor *t, int64_t r, int64_t c);
const int32_t *bth_ref_i32(const struct berth_tensor *t);

#endif

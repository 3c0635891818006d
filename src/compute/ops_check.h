/*
 * compute/ops_check.h - what ops.c asks of the tensors of an op. Private to the builder.
 *
 * Every function here remembers the first failure in the builder, with the names of op and tensor,
 * and does nothing once there is one.
 */
#ifndef BTH_OPS_CHECK_H
#define BTH_OPS_CHECK_H

#include "compute/ops.h"

/* Where a tensor's rows and columns may lie (struct berth_tensor). What an op does not name here a
 * backend would not look at: the result would be wrong without a word. */
enum bth_placing {
    BTH_PLACE_ROWS,   /* base + r * row_stride: neither groups nor heads */
    BTH_PLACE_GROUPS, /* groups too */
    BTH_PLACE_ANY     /* groups and heads */
};

/* One op under test. */
struct bth_check {
    struct bth_builder *b;
    const char *op;
    bool ok; /* no failure so far, of this op or an earlier one */
};

/* Also refuses a live index that no program has. */
struct bth_check bth_check_begin(struct bth_builder *b, int live, const char *op);

void bth_check_fail(struct bth_check *c, const char *tensor, const char *what, int64_t have,
                    int64_t want);

/* Has this shape and type, is placed in an allowed way, and every element lies in the buffer. Which
 * groups an index names is known at run time only: group 0 is checked, the engine vouches for the
 * others. */
void bth_check_tensor(struct bth_check *c, const char *name, const struct berth_tensor *t,
                      enum berth_dtype dtype, int64_t rows, int64_t cols, enum bth_placing placing);
/* The same, f32 or the device's narrow type. */
void bth_check_narrow(struct bth_check *c, const char *name, const struct berth_tensor *t,
                      int64_t rows, int64_t cols, enum bth_placing placing);
/* The same, f32, if there is a buffer. */
void bth_check_optional(struct bth_check *c, const char *name, const struct berth_tensor *t,
                        int64_t rows, int64_t cols, enum bth_placing placing);

/* An output and an input that must not share an element. Sees what lies in one buffer without
 * groups and heads, with equal strides or dense. */
void bth_check_apart(struct bth_check *c, const char *name, const struct berth_tensor *in,
                     const struct berth_tensor *out);

void bth_check_weight(struct bth_check *c, const struct berth_weight *w, int64_t n, int64_t k);
void bth_check_kv(struct bth_check *c, const struct berth_kv *kv);

/* a * b; 0, which no shape may be, if that is not positive or overflows. */
int64_t bth_check_product(int64_t a, int64_t b);

#endif

/*
 * engine/marian/marian_weights.h - one tensor of the files into one weight of the device.
 *
 * Exact: in the precision of the file, what is quantised there de-quantised to f32. Fast
 * (model->eights): products of i8. What the file has in i8 is kept with its scales, what it has
 * otherwise gets a scale for each row. Vectors become f32 in one buffer, model->vectors.
 *
 * All give a negative code and fill l->err: EFORMAT (missing, another shape), ENOMEM, EBUDGET.
 */
#ifndef BTH_MARIAN_WEIGHTS_H
#define BTH_MARIAN_WEIGHTS_H

#include "marian/marian_model.h"

struct marian_loader {
    struct marian_model *m;
    const struct marian_files *files;
    struct berth_reservation *weights;
    struct berth_error *err;
};

/* A matrix as i8 with what a product needs beside it. */
struct marian_eights {
    int8_t *owned; /* where the file has no bytes */
    const int8_t *rows;
    float *unit, *bias; /* [n] */
    float alpha;
    bool biased;
};

void marian_finish_eights(struct marian_eights *e);
/* Fills all but the bias, which is changed where the kind of product asks for it. */
int marian_make_eights(struct marian_loader *l, const struct marian_tensor *t,
                       struct marian_eights *e);

/* Values into model->vectors, as [rows, cols]. */
int marian_put_vector(struct marian_loader *l, const float *values, int64_t rows, int64_t cols,
                      struct berth_tensor *out);
/* The tensor `name` as f32 into `out` [rows * cols]. ENOTFOUND too. */
int marian_read_values(struct marian_loader *l, const char *name, int64_t rows, int64_t cols,
                       float *out);
/* `optional`: what is not in the file is left out. */
int marian_load_vector(struct marian_loader *l, const char *name, int64_t rows, int64_t cols,
                       bool optional, struct berth_tensor *out);
int marian_load_norm(struct marian_loader *l, const char *prefix, struct marian_norm *out);

int marian_find_matrix(struct marian_loader *l, const char *name, int64_t n, int64_t k,
                       struct marian_tensor *out);
bool marian_is_plain(const struct marian_tensor *t);
/* Parts of one shape, one below the other: kept as they are stored if they are alike. */
int marian_join(struct marian_loader *l, const struct marian_tensor *t, int n_parts,
                struct berth_weight **out);
int marian_load_eights(struct marian_loader *l, const struct marian_tensor *t,
                       const char *bias_name, struct marian_matrix *out);
/* "<prefix><part>.weight" for each of the comma-separated parts, [n, k] each. */
int marian_load_linear(struct marian_loader *l, const char *prefix, const char *parts, int64_t n,
                       int64_t k, struct marian_linear *out);

#endif

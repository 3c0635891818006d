/*
 * spacy_layers.h - reading layers of a thinc model file into packed weights.
 *
 * Every shape is checked against the file before anything is made; names of layers that are not
 * known are refused. Weights belong to whoever asked for them.
 */
#ifndef SPACY_LAYERS_H
#define SPACY_LAYERS_H

#include "format/thinc.h"
#include <berth/engine.h>

/* Where weights go, and whose they are in errors. */
struct spacy_loader {
    struct berth_device *device;
    struct berth_reservation *weights;
    const struct bth_thinc *file;
    const char *name;        /* "tagger" */
    struct berth_error *err; /* never NULL: functions that give NULL leave the code there */
};

/* y = x W^T + b; bias buffer NULL: none. */
struct spacy_linear {
    struct berth_weight *w;
    struct berth_tensor bias; /* [1, n] f32 */
    int64_t n, k;
};

/* A linear layer of pieces * n columns, piece by piece, of which the largest of each n counts. */
struct spacy_maxout {
    struct spacy_linear linear;
    int64_t pieces, n;
    struct berth_tensor gamma, beta; /* of the layer norm behind it; buffer NULL: none */
};

/* EUNSUPPORTED with the name of the first layer that is not known. */
int spacy_layers_check(const struct spacy_loader *l);

/* The next node of this name at or behind *at, which moves behind it; NULL: none. */
const struct bth_thinc_node *spacy_layer_next(const struct spacy_loader *l, const char *name,
                                              size_t *at);
/* A parameter of this rank, its dims at least 1; NULL and an error if it is not there. */
const struct bth_source_tensor *spacy_layer_param(const struct spacy_loader *l,
                                                  const struct bth_thinc_node *node,
                                                  const char *name, int rank);
/* All of it as f32 (bth_free); NULL and an error. */
float *spacy_layer_floats(const struct spacy_loader *l, const struct bth_source_tensor *t);

/* The code of the failure that one of these two has told. */
int spacy_layer_failed(const struct spacy_loader *l);

/* n floats as a device tensor [rows, cols] of its own buffer. */
int spacy_layer_tensor(const struct spacy_loader *l, const float *values, int64_t rows,
                       int64_t cols, struct berth_tensor *out);

/* Params W [n, k] and b [n] (absent: none). */
int spacy_linear_load(const struct spacy_loader *l, const struct bth_thinc_node *node,
                      struct spacy_linear *out);
/* Params W [n, pieces, k], b [n, pieces] of a maxout node; G, b [n] of a layernorm node. */
int spacy_maxout_load(const struct spacy_loader *l, const struct bth_thinc_node *maxout,
                      const struct bth_thinc_node *norm, struct spacy_maxout *out);
void spacy_linear_finish(struct spacy_linear *l); /* zeroed ones are allowed */
void spacy_maxout_finish(struct spacy_maxout *m);

#endif

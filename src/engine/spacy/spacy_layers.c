#include "spacy/spacy_layers.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <string.h>

/* Layers whose work is done here, or at inference none. */
static const char *const known[] = {
    "extract_features",
    "list2ragged",
    "ragged2list",
    "list2array",
    "ints-getitem",
    "hashembed",
    "static_vectors",
    "maxout",
    "layernorm",
    "dropout",
    "expand_window",
    "softmax",
    "linear",
    "precomputable_affine",
    "parser_model",
    "tok2vec-listener",
    "noop",
};

static bool is_known(const char *name) {
    if (strstr(name, ">>") || strchr(name, '|') || strchr(name, '(')) {
        return true; /* how others hang together */
    }
    for (size_t i = 0; i < BTH_COUNT(known); i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

int spacy_layers_check(const struct spacy_loader *l) {
    for (size_t i = 0; i < bth_thinc_count(l->file); i++) {
        const char *name = bth_thinc_at(l->file, i)->name;
        if (!is_known(name)) {
            return bth_error(l->err, BERTH_EUNSUPPORTED, "%s/model: layer %.60s is not supported",
                             l->name, name);
        }
    }
    return 0;
}

const struct bth_thinc_node *spacy_layer_next(const struct spacy_loader *l, const char *name,
                                              size_t *at) {
    for (; *at < bth_thinc_count(l->file); (*at)++) {
        const struct bth_thinc_node *node = bth_thinc_at(l->file, *at);
        if (strcmp(node->name, name) == 0) {
            (*at)++;
            return node;
        }
    }
    return NULL;
}

const struct bth_source_tensor *spacy_layer_param(const struct spacy_loader *l,
                                                  const struct bth_thinc_node *node,
                                                  const char *name, int rank) {
    const struct bth_source_tensor *t = bth_thinc_param(node, name);
    bool good = t && t->rank == rank;
    for (int i = 0; good && i < rank; i++) {
        good = t->dims[i] >= 1;
    }
    if (!good) {
        bth_error(l->err, BERTH_EFORMAT,
                  "%s/model: layer %.60s has no parameter %s of %d dimensions", l->name, node->name,
                  name, rank);
        return NULL;
    }
    return t;
}

float *spacy_layer_floats(const struct spacy_loader *l, const struct bth_source_tensor *t) {
    size_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        n *= (size_t)t->dims[i]; /* no overflow: the reader has the bytes */
    }
    float *values = bth_calloc(n, sizeof(*values));
    if (!values) {
        bth_error_nomem(l->err);
    } else if (bth_source_to_f32(t, values, l->err) < 0) {
        bth_free(values);
        values = NULL;
    }
    return values;
}

int spacy_layer_failed(const struct spacy_loader *l) {
    return l->err->code < 0 ? l->err->code : BERTH_EFORMAT;
}

int spacy_layer_tensor(const struct spacy_loader *l, const float *values, int64_t rows,
                       int64_t cols, struct berth_tensor *out) {
    const size_t bytes = (size_t)(rows * cols) * sizeof(*values);
    struct berth_buffer *b;
    int rc = l->device->ops->buffer_create(l->device, l->weights, bytes, &b, l->err);
    if (rc < 0) {
        return rc;
    }
    rc = l->device->ops->write(b, 0, values, bytes);
    if (rc < 0) {
        bth_buffer_destroy(b);
        return bth_error(l->err, rc, "%s/model: weights could not be written", l->name);
    }
    *out = bth_tensor(b, BERTH_F32, 0, rows, cols);
    return 0;
}

/* Parameter `name`, a vector of n. */
static int load_vector(const struct spacy_loader *l, const struct bth_thinc_node *node,
                       const char *name, int64_t n, struct berth_tensor *out) {
    const struct bth_source_tensor *t = spacy_layer_param(l, node, name, 1);
    if (!t) {
        return spacy_layer_failed(l);
    }
    if (t->dims[0] != n) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: %s of %.60s holds %lld values, not %lld",
                         l->name, name, node->name, (long long)t->dims[0], (long long)n);
    }
    float *values = spacy_layer_floats(l, t);
    if (!values) {
        return spacy_layer_failed(l);
    }
    int rc = spacy_layer_tensor(l, values, 1, n, out);
    bth_free(values);
    return rc;
}

int spacy_linear_load(const struct spacy_loader *l, const struct bth_thinc_node *node,
                      struct spacy_linear *out) {
    const struct bth_source_tensor *w = spacy_layer_param(l, node, "W", 2);
    if (!w) {
        return spacy_layer_failed(l);
    }
    float *rows = spacy_layer_floats(l, w);
    if (!rows) {
        return spacy_layer_failed(l);
    }
    struct spacy_linear made = {.n = w->dims[0], .k = w->dims[1]};
    int rc = l->device->ops->weight_create(l->device, l->weights, BERTH_F32, made.n, made.k, rows,
                                           &made.w, l->err);
    bth_free(rows);
    if (rc == 0 && bth_thinc_param(node, "b")) {
        rc = load_vector(l, node, "b", made.n, &made.bias);
    }
    if (rc < 0) {
        spacy_linear_finish(&made);
        return rc;
    }
    *out = made;
    return 0;
}

/* [n, pieces, row] to [pieces, n, row]. */
static float *by_piece(const struct spacy_loader *l, const struct bth_source_tensor *t,
                       int64_t row) {
    const int64_t n = t->dims[0], pieces = t->dims[1];
    float *from = spacy_layer_floats(l, t);
    float *to = from ? bth_calloc((size_t)(n * pieces), (size_t)row * sizeof(*to)) : NULL;
    if (from && !to) {
        bth_error_nomem(l->err);
    }
    for (int64_t i = 0; to && i < n * pieces; i++) {
        memcpy(to + (i % pieces * n + i / pieces) * row, from + i * row, (size_t)row * sizeof(*to));
    }
    bth_free(from);
    return to;
}

int spacy_maxout_load(const struct spacy_loader *l, const struct bth_thinc_node *maxout,
                      const struct bth_thinc_node *norm, struct spacy_maxout *out) {
    const struct bth_source_tensor *w = spacy_layer_param(l, maxout, "W", 3);
    const struct bth_source_tensor *b = w ? spacy_layer_param(l, maxout, "b", 2) : NULL;
    if (!b) {
        return spacy_layer_failed(l);
    }
    if (b->dims[0] != w->dims[0] || b->dims[1] != w->dims[1]) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: W and b of a maxout layer differ",
                         l->name);
    }
    struct spacy_maxout made = {.n = w->dims[0], .pieces = w->dims[1]};
    made.linear.n = made.n * made.pieces;
    made.linear.k = w->dims[2];
    float *rows = by_piece(l, w, w->dims[2]), *bias = rows ? by_piece(l, b, 1) : NULL;
    int rc = bias ? l->device->ops->weight_create(l->device, l->weights, BERTH_F32, made.linear.n,
                                                  made.linear.k, rows, &made.linear.w, l->err)
                  : spacy_layer_failed(l);
    if (rc == 0) {
        rc = spacy_layer_tensor(l, bias, 1, made.linear.n, &made.linear.bias);
    }
    if (rc == 0 && norm) {
        rc = load_vector(l, norm, "G", made.n, &made.gamma);
    }
    if (rc == 0 && norm) {
        rc = load_vector(l, norm, "b", made.n, &made.beta);
    }
    bth_free(rows);
    bth_free(bias);
    if (rc < 0) {
        spacy_maxout_finish(&made);
        return rc;
    }
    *out = made;
    return 0;
}

void spacy_linear_finish(struct spacy_linear *l) {
    bth_weight_destroy(l->w);
    bth_buffer_destroy(l->bias.buffer);
    *l = (struct spacy_linear){0};
}

void spacy_maxout_finish(struct spacy_maxout *m) {
    spacy_linear_finish(&m->linear);
    bth_buffer_destroy(m->gamma.buffer);
    bth_buffer_destroy(m->beta.buffer);
    *m = (struct spacy_maxout){0};
}

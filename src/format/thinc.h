/*
 * format/thinc.h - a model file of thinc (spaCy's networks): nodes with attributes, references and
 * parameters, as views.
 *
 * On disk: one msgpack map of four arrays with an entry per node, in breadth-first order:
 *   nodes   {index, name, dims {name: int or nil}, refs {name: node index or nil}}
 *   attrs   {name: bin that holds a msgpack document}
 *   params  {name: array or nil}; array = {nd: true, type "<f4", kind, shape [ints], data bin}
 *   shims   [] (weights of foreign frameworks: refused)
 * Which layer hangs below which is not stored; readers go by names and order (spacy's do).
 *
 * Every parameter returned has shape x dtype == bytes and lies inside the caller's bytes, which
 * must outlive the model. References are indices of nodes that exist; they may form a cycle, so
 * nobody walks them without counting. Immutable after parsing: any thread.
 */
#ifndef BTH_THINC_H
#define BTH_THINC_H

#include "format/source.h"
#include <stdbool.h>

enum bth_thinc_kind {
    BTH_THINC_NIL,
    BTH_THINC_INT, /* booleans too */
    BTH_THINC_REAL,
    BTH_THINC_TEXT,
    BTH_THINC_LIST /* of the others */
};

struct bth_thinc_attr {
    const char *name; /* NULL in a list */
    enum bth_thinc_kind kind;
    int64_t integer;
    double real;
    const char *text;                   /* NUL-terminated, valid UTF-8 */
    const struct bth_thinc_attr *items; /* [n] */
    size_t n;
};

struct bth_thinc_ref {
    const char *name;
    int64_t value; /* a dimension, or the index of a node */
};

struct bth_thinc_node {
    const char *name;
    const struct bth_thinc_attr *attrs; /* [n_attrs] */
    size_t n_attrs;
    const struct bth_thinc_ref *refs; /* [n_refs]; those that are nil are left out, as in dims */
    size_t n_refs;
    const struct bth_thinc_ref *dims; /* [n_dims] */
    size_t n_dims;
    const struct bth_source_tensor *params; /* [n_params]; bth_source_to_f32 reads them */
    size_t n_params;
};

struct bth_thinc;

/* EFORMAT, ENOMEM; EUNSUPPORTED for weights of foreign frameworks (transformers). */
int bth_thinc_parse(const void *bytes, size_t size, struct bth_thinc **out,
                    struct berth_error *err);
void bth_thinc_close(struct bth_thinc *m); /* NULL is allowed */

size_t bth_thinc_count(const struct bth_thinc *m);
/* NULL beyond the end. */
const struct bth_thinc_node *bth_thinc_at(const struct bth_thinc *m, size_t i);

/* By name; NULL: not there. */
const struct bth_thinc_attr *bth_thinc_attr(const struct bth_thinc_node *n, const char *name);
const struct bth_source_tensor *bth_thinc_param(const struct bth_thinc_node *n, const char *name);
/* The index of the node that a reference names, -1: none. */
int64_t bth_thinc_ref(const struct bth_thinc_node *n, const char *name);
/* The value of a dimension, -1: none. */
int64_t bth_thinc_dim(const struct bth_thinc_node *n, const char *name);

#endif

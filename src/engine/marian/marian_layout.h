/*
 * engine/marian/marian_layout.h - what marian_files.c asks of each layout: marian_hf.c,
 * marian_native.c (npz and bin), marian_ct2.c.
 */
#ifndef BTH_MARIAN_LAYOUT_H
#define BTH_MARIAN_LAYOUT_H

#include "marian/marian_files.h"

/* Where a canonical tensor lies. */
struct marian_place {
    const struct bth_source_tensor *t;
    const struct bth_source_tensor *scale; /* NULL: none */
    const struct bth_source_tensor *alpha; /* NULL: none; rank 0 or all dims 1 */
    int64_t row, rows;                     /* of a fused matrix; rows 0: all */
    bool transposed;                       /* stored [k, n] */
};

/* A canonical name taken apart: model.<part>.layers.<layer>.<what>, layer -1 outside of layers. */
struct marian_name {
    bool decoder;
    int layer;
    const char *what; /* "self_attn.q_proj.weight"; the whole name where it has no part */
};
struct marian_name marian_name_split(const char *name);

/* The configuration: fills f->config and f->paths from the files of f->dir and f->source. */
int marian_hf_config(struct marian_files *f, struct berth_error *err);
int marian_native_config(struct marian_files *f, const char *weights, struct berth_error *err);
int marian_ct2_config(struct marian_files *f, struct berth_error *err);

/* False: this model has no such tensor. */
bool marian_hf_find(const struct marian_files *f, const char *name, struct marian_place *out);
bool marian_native_find(const struct marian_files *f, const char *name, struct marian_place *out);
bool marian_ct2_find(const struct marian_files *f, const char *name, struct marian_place *out);

/* How many layers there are of names that begin with part, before and a number, from `first` on. A
 * layer is there if any tensor of it is, so that one that lacks some is found out. */
int marian_count_layers(const struct bth_source *s, const char *part, const char *before,
                        int first);

/* As marian_files_tensor, but matrices stored [k, n] stay as they are: nothing to release. For
 * looking at types and shapes. */
int marian_files_look(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                      struct marian_tensor *out, struct berth_error *err);

/* f->dir/name if that is a file, on the heap; NULL without an error if it is not. ENOMEM. */
int marian_path_if_file(const struct marian_files *f, const char *name, char **out,
                        struct berth_error *err);
/* The f32 or f16 scalar at t; 0 for NULL or another type. */
float marian_scalar(const struct bth_source_tensor *t);

#endif

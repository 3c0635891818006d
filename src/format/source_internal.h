/*
 * format/source_internal.h - how readers build a source; fuzz targets parse memory through it.
 */
#ifndef BTH_SOURCE_INTERNAL_H
#define BTH_SOURCE_INTERNAL_H

#include "base/arena.h"
#include "base/fs.h"
#include "format/source.h"
#include <stdbool.h>

struct bth_source {
    struct bth_map *maps; /* [n_maps] files that tensors point into */
    size_t n_maps;
    struct bth_arena arena;            /* names, and data that had to be unpacked */
    struct bth_source_tensor *tensors; /* [n], sorted by name once sealed */
    size_t n, capacity;
    char spec[64]; /* CTranslate2 only */
    uint32_t revision;
};

struct bth_source *bth_source_create(void);
/* Checks and adds a tensor; the name is copied. EFORMAT with the name in the text. */
int bth_source_add(struct bth_source *s, const char *name, size_t name_size,
                   const struct bth_source_tensor *t, struct berth_error *err);
/* Sorts; a name used twice is EFORMAT. Nothing may be added afterwards. */
int bth_source_seal(struct bth_source *s, struct berth_error *err);

/* The parsers over memory that outlives the source. */
int bth_ct2_parse(struct bth_source *s, const unsigned char *data, size_t size,
                  struct berth_error *err);
int bth_safetensors_parse(struct bth_source *s, const unsigned char *data, size_t size,
                          struct berth_error *err);
int bth_marian_bin_parse(struct bth_source *s, const unsigned char *data, size_t size,
                         struct berth_error *err);
int bth_npz_parse(struct bth_source *s, const unsigned char *data, size_t size,
                  struct berth_error *err);
int bth_torch_parse(struct bth_source *s, const unsigned char *data, size_t size,
                    struct berth_error *err);

/* Maps `path`, parses it, names it in errors. */
typedef int bth_source_parse_fn(struct bth_source *s, const unsigned char *data, size_t size,
                                struct berth_error *err);
int bth_source_open_file(const char *path, bth_source_parse_fn *parse, struct bth_source **out,
                         struct berth_error *err);

/* The bytes of rank x dims elements of dtype; false on overflow or a negative dim. */
bool bth_source_bytes(const struct bth_source_tensor *t, size_t *out);

#endif

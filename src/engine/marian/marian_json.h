/*
 * engine/marian/marian_json.h - configuration files: JSON objects, and YAML as a flat list.
 *
 * Values of the wrong type count as absent in marian_json_*; the tensors decide what is possible.
 */
#ifndef BTH_MARIAN_JSON_H
#define BTH_MARIAN_JSON_H

#include "base/arena.h"
#include <berth/error.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The object in dir/name; NULL without an error if there is no such file. *out is decref'ed by the
 * caller. EFORMAT, EIO, ETOOLARGE, ENOMEM. */
int marian_json_load(const char *dir, const char *name, json_t **out, struct berth_error *err);
int64_t marian_json_int(const json_t *o, const char *key, int64_t otherwise);
float marian_json_float(const json_t *o, const char *key, float otherwise);
bool marian_json_bool(const json_t *o, const char *key, bool otherwise);
/* An id, or the first of a list of ids; out of the range of int32: absent. */
int32_t marian_json_id(const json_t *o, const char *key, int32_t otherwise);

/* The top level of a YAML mapping: scalars and lists of scalars, in order. What is nested deeper is
 * left out. */
struct marian_yaml_item {
    const char *key, *value; /* live as long as the marian_yaml */
    size_t index;            /* in a list; 0 for a scalar */
};
struct marian_yaml {
    struct bth_arena arena;
    struct marian_yaml_item *items;
    size_t n, capacity;
};
/* EFORMAT: no YAML, or no mapping; ENOMEM. On failure `y` needs no finish. */
int marian_yaml_parse(struct marian_yaml *y, const char *text, size_t n, struct berth_error *err);
void marian_yaml_finish(struct marian_yaml *y);
/* The index-th value of a key; NULL if there is none. */
const char *marian_yaml_at(const struct marian_yaml *y, const char *key, size_t index);
int64_t marian_yaml_int(const struct marian_yaml *y, const char *key, int64_t otherwise);
float marian_yaml_float(const struct marian_yaml *y, const char *key, float otherwise);
bool marian_yaml_bool(const struct marian_yaml *y, const char *key, bool otherwise);

#endif

/*
 * spacy_morph.h - morphological features: "Number=Sing|Case=Nom" in normal form.
 *
 * A token's morph is the id of the normal form: features sorted by name, values of one sorted and
 * joined by commas. No features at all is "_" (id 456), which is not the same as not set (0).
 * Pure but for the string store.
 */
#ifndef SPACY_MORPH_H
#define SPACY_MORPH_H

#include "spacy/spacy_strings.h"
#include <berth/error.h>
#include <stdbool.h>

/* The id of "_". */
#define SPACY_NO_MORPH 456u

/* Normalises feats[0, n) ("" and "_" are no features), keeps the text and gives its id. EFORMAT: a
 * feature that is not name=values, ENOMEM. */
int spacy_morph_add(struct spacy_strings *strings, const char *feats, size_t n, uint64_t *out_id,
                    struct berth_error *err);

/* Whether the normal form `feats` has feature `name`; its values in [*out, *out_n) unless NULL. */
bool spacy_morph_find(const char *feats, const char *name, const char **out, size_t *out_n);

/* Universal part of speech of a name as tokens have it: 84 ADJ .. 103 SPACE; 0: unknown or "". */
unsigned spacy_pos_id(const char *name, size_t n);
/* "" for 0 and numbers that are none. */
const char *spacy_pos_name(unsigned pos);

#endif

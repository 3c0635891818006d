/*
 * spacy_vectors.h - word vectors of a model: a table and the row of each word, or floret's hashed
 * n-grams. Immutable after loading: any thread.
 */
#ifndef SPACY_VECTORS_H
#define SPACY_VECTORS_H

#include "spacy/spacy_lookups.h"

struct spacy_vectors;

/* vocab/vectors, vocab/key2row, vocab/vectors.cfg of a package. *out is NULL where the model has no
 * vectors (a table of no rows). EFORMAT, EIO, ENOMEM. */
int spacy_vectors_load(struct spacy_package *p, struct spacy_vectors **out,
                       struct berth_error *err);
void spacy_vectors_destroy(struct spacy_vectors *v); /* NULL is allowed */

size_t spacy_vectors_rows(const struct spacy_vectors *v);
size_t spacy_vectors_width(const struct spacy_vectors *v);
bool spacy_vectors_floret(const struct spacy_vectors *v);
/* [rows, width] f32. */
const float *spacy_vectors_data(const struct spacy_vectors *v);

/* The row of a word by its id; -1: none, as always in floret tables. v may be NULL. */
int32_t spacy_vectors_row(const struct spacy_vectors *v, uint64_t orth);
/* Whether a word of so many code points is short enough for floret's n-grams: one of a million
 * would keep others waiting. v may be NULL. */
bool spacy_vectors_fits(const struct spacy_vectors *v, size_t length);
/* Adds up [width] f32 into out: a word's vector, zero for an unknown word. In floret tables it is
 * made of the text, which must be valid UTF-8; ENOMEM. */
int spacy_vectors_word(const struct spacy_vectors *v, uint64_t orth, const char *text, size_t n,
                       float *out);

#endif

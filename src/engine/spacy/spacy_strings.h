/*
 * spacy_strings.h - strings by their spaCy id.
 *
 * An id is 0 for "", the number of a reserved name ("PERSON" is 380), else MurmurHash64A of the
 * UTF-8 bytes with seed 1. So making an id needs no table; only the way back does.
 *
 * A store is either a model's, filled at load and read by all from then on, or a document's, with
 * the model's below it (`base`): what a document adds dies with it. One owner thread for a
 * document's store; a loaded model's may be read from any.
 */
#ifndef SPACY_STRINGS_H
#define SPACY_STRINGS_H

#include <stddef.h>
#include <stdint.h>

struct spacy_strings;

/* The id of a string, the reserved names included. Pure. */
uint64_t spacy_string_id(const char *s, size_t n);
/* MurmurHash64A, seed 1, without the reserved names: keys of tokenizer tables. Pure. */
uint64_t spacy_string_hash(const char *s, size_t n);

/* base may be NULL. NULL: out of memory. */
struct spacy_strings *spacy_strings_create(const struct spacy_strings *base);
void spacy_strings_destroy(struct spacy_strings *s); /* NULL is allowed */

/* Keeps a copy and gives its id; 0 for "". BERTH_ENOMEM. */
int spacy_strings_add(struct spacy_strings *s, const char *text, size_t n, uint64_t *out_id);

/* The text of an id, NUL-terminated, as long as the store lives; "" for 0; NULL: not here. */
const char *spacy_strings_get(const struct spacy_strings *s, uint64_t id);

#endif

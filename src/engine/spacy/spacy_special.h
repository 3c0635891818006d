/*
 * spacy_special.h - exceptions that the affix rules would take apart, found again among the tokens:
 * a trie of token texts.
 *
 * "a :) b" is tokenized word by word; an exception with a space in it, or with something that is an
 * affix, is met as a row of tokens. Immutable once built: any thread.
 */
#ifndef SPACY_SPECIAL_H
#define SPACY_SPECIAL_H

#include "spacy/spacy_doc.h"

struct spacy_special;

/* Tokens [begin, end). */
struct spacy_special_span {
    size_t begin, end;
};

struct spacy_special *spacy_special_create(void);    /* NULL: out of memory */
void spacy_special_destroy(struct spacy_special *s); /* NULL is allowed */

/* Adds a row of orths[0, n), n > 0. ENOMEM. */
int spacy_special_add(struct spacy_special *s, const uint64_t *orths, size_t n);

/* The spans among tokens[0, n) that are to be looked at as one word, from left to right: of those
 * that meet, the longest; then the first. The caller bth_frees them. ENOMEM, ETOOLARGE: far too
 * many match. */
int spacy_special_find(const struct spacy_special *s, const struct spacy_token *tokens, size_t n,
                       struct spacy_special_span **out, size_t *out_n);

#endif

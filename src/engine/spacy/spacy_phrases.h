/*
 * spacy_phrases.h - runs of tokens to be found by one attribute of their words, as spaCy's
 * PhraseMatcher finds them: every one, wherever it begins.
 *
 * Adding and sealing: one thread; afterwards any, a document each.
 */
#ifndef SPACY_PHRASES_H
#define SPACY_PHRASES_H

#include "spacy/spacy_token_matcher.h"

struct spacy_phrases;

/* `attribute`: one of a word's (spacy_attribute_lexical). NULL: out of memory. */
struct spacy_phrases *spacy_phrases_create(int attribute);
void spacy_phrases_destroy(struct spacy_phrases *p); /* NULL is allowed */
/* The tokens of a document as a phrase; none is no phrase. Keys may repeat. ENOMEM. */
int spacy_phrases_add(struct spacy_phrases *p, uint32_t key, const struct spacy_doc *phrase,
                      struct berth_error *err);
/* After the last one, before the first search. */
void spacy_phrases_seal(struct spacy_phrases *p);
/* Appends all matches. ETOOLARGE: more than SPACY_MATCHER_STATES, or a text that takes too long;
 * ENOMEM. */
int spacy_phrases_run(const struct spacy_phrases *p, const struct spacy_doc *doc,
                      struct spacy_matches *out, struct berth_error *err);

#endif

/*
 * spacy_token_matcher.h - rules over tokens, as spaCy's Matcher has them.
 *
 * A pattern is a JSON array of objects, one per token: attributes (TEXT, LOWER, TAG, IS_PUNCT ...)
 * with a value or an object of conditions (REGEX, IN, NOT_IN, IS_SUBSET, ==, FUZZY ...), and OP for
 * how often ("!", "?", "*", "+", "{n,m}"). All matches are found, not only the longest.
 *
 * Custom attributes ("_") are refused by name, as is what Python's re has and PCRE2 has not.
 * Adding: one thread; afterwards any, a document each.
 */
#ifndef SPACY_TOKEN_MATCHER_H
#define SPACY_TOKEN_MATCHER_H

#include "spacy/spacy_doc.h"
#include <berth/error.h>
#include <jansson.h>

/* Positions of all patterns of a matcher, repetitions counted out: more is refused. */
#define SPACY_MATCHER_LIMIT 1000000
/* Partial matches alive at one token, and matches of one document: more is refused. */
#define SPACY_MATCHER_STATES 1000000

struct spacy_token_matcher;

struct spacy_match {
    uint32_t key; /* what was given to add */
    uint32_t begin, end;
};
struct spacy_matches {
    struct spacy_match *items; /* heap: spacy_matches_finish */
    size_t n, capacity;
};

/* `strings` outlives it: texts of patterns are added there. NULL: out of memory. */
struct spacy_token_matcher *spacy_token_matcher_create(struct spacy_strings *strings);
void spacy_token_matcher_destroy(struct spacy_token_matcher *m); /* NULL is allowed */

/* One pattern more. Keys may repeat. EFORMAT, EUNSUPPORTED, ETOOLARGE, ENOMEM. */
int spacy_token_matcher_add(struct spacy_token_matcher *m, uint32_t key, const json_t *pattern,
                            struct berth_error *err);

/* All matches, without duplicates, by key, begin and end. *out is a zeroed one, and to be finished
 * on failure too. ETOOLARGE: more than SPACY_MATCHER_STATES of them or at once, or a text that the
 * patterns would take for ever on; ENOMEM. */
int spacy_token_matcher_run(const struct spacy_token_matcher *m, const struct spacy_doc *doc,
                            struct spacy_matches *out, struct berth_error *err);
void spacy_matches_finish(struct spacy_matches *m); /* a zeroed one is allowed */

#endif

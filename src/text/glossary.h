/*
 * text/glossary.h - terms whose translation is given.
 *
 * A text is translated as it would be without a glossary; then the words that came from a term are
 * exchanged for its given translation. So a term is never lost: where no word came from it, its
 * translation goes behind the word that came from the text before it.
 *
 * A term is found as whole words with its very letters, the longest of those that begin at a place;
 * one that begins with a small letter is found with a capital as well, and then its translation
 * gets one too. An address is one word: no part of it is a term. Immutable once open; any thread.
 */
#ifndef BTH_GLOSSARY_H
#define BTH_GLOSSARY_H

#include "base/str.h"
#include "text/html_text.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stdint.h>

enum { BTH_GLOSSARY_TERMS = 10000, BTH_GLOSSARY_TERM_BYTES = 256 };

struct bth_glossary;

/* {"term": "translation", ...}. With `keep` each term is its own translation. EINVAL: it is no such
 * object, a term is empty or begins or ends with white space, a text is too long or has control
 * characters, there are too many; ENOMEM. */
int bth_glossary_open(const char *json, bool keep, struct bth_glossary **out,
                      struct berth_error *err);
void bth_glossary_free(struct bth_glossary *g); /* NULL is allowed */
size_t bth_glossary_count(const struct bth_glossary *g);
const char *bth_glossary_source(const struct bth_glossary *g, size_t i);
const char *bth_glossary_target(const struct bth_glossary *g, size_t i);

/* A term in a text. */
struct bth_term {
    size_t begin, end; /* bytes */
    uint32_t index;    /* in the glossary */
    bool capital;      /* with a capital where the glossary has none */
    bool placed;       /* bth_glossary_exchange: it took the place of words that came from it */
};
/* The next term of text[*at, n), from *at on; *at is its end then. False: no more. */
bool bth_glossary_next(const struct bth_glossary *g, const char *text, size_t n, size_t *at,
                       struct bth_term *out);

/* A sentence and its translation. */
struct bth_glossary_sentence {
    const char *source, *target;
    size_t n_source, n_target;
    struct bth_term *terms; /* [n_terms] of source, in order */
    size_t n_terms;
    const struct bth_html_link *links; /* [n_links] as struct bth_html_sentence has them */
    size_t n_links;
    uint32_t *ends; /* [n_ends] bytes of target, ascending: moved to where they are in the result */
    size_t n_ends;
};
/* Appends the translation with the terms in it (out->failed: ENOMEM). ENOMEM. */
int bth_glossary_exchange(const struct bth_glossary *g, struct bth_glossary_sentence *s,
                          struct bth_str *out, struct berth_error *err);

#endif

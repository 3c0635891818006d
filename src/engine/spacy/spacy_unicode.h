/*
 * spacy_unicode.h - Python's view of characters: str.isalpha, str.isupper, str.lower and the like.
 *
 * Categories are utf8proc's, what they leave open (other upper- and lower-case letters, digits that
 * are no decimals) follows Unicode 14. Pure; any thread. Texts are valid UTF-8.
 */
#ifndef SPACY_UNICODE_H
#define SPACY_UNICODE_H

#include "base/str.h"

enum spacy_char {
    SPACY_CHAR_ALPHA = 1,
    SPACY_CHAR_UPPER = 2,
    SPACY_CHAR_LOWER = 4,
    SPACY_CHAR_TITLE = 8,
    SPACY_CHAR_DIGIT = 16,
    SPACY_CHAR_PUNCT = 32,
    SPACY_CHAR_CURRENCY = 64,
    SPACY_CHAR_SPACE = 128,
    SPACY_CHAR_IGNORABLE = 256, /* skipped where the context of a letter's case is looked for */
    SPACY_CHAR_LU = 512         /* an upper-case letter by category */
};

/* Bits of enum spacy_char. */
unsigned spacy_char_kind(uint32_t c);

/* Appends str.lower(). */
void spacy_lower(struct bth_str *out, const char *s, size_t n);

#endif

/*
 * spacy_words_data.h - lists of words that spaCy's code holds, as data. Written by
 * tools/spacy_words.py.
 *
 * They are spaCy's, under the MIT licence:
 *
 * Copyright (C) 2016-2024 ExplosionAI GmbH, 2016 spaCy GmbH, 2015 Matthew Honnibal
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
 * associated documentation files (the "Software"), to deal in the Software without restriction,
 * including without limitation the rights to use, copy, modify, merge, publish, distribute,
 * sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or
 * substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
 * NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
 * NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
 * DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 * OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */
#ifndef SPACY_WORDS_DATA_H
#define SPACY_WORDS_DATA_H

#include <stddef.h>

/* How a language's LIKE_NUM differs from the common rule. */
enum spacy_number_rule {
    SPACY_NUMBER_EXACT = 1,     /* number words in this very spelling, not lower-cased */
    SPACY_NUMBER_UNSIGNED = 2,  /* a sign in front is not skipped */
    SPACY_NUMBER_ORDINAL = 4,   /* digits and st, nd, rd or th */
    SPACY_NUMBER_PERCENT = 8,   /* a % behind is skipped */
    SPACY_NUMBER_MARKS = 16,    /* the ordinal signs are skipped */
    SPACY_NUMBER_CARET = 32,    /* 2^10; the first word alone may be the number word */
    SPACY_NUMBER_CHARS = 64,    /* any character that is a number word */
    SPACY_NUMBER_ENDINGS = 128, /* number words with a Macedonian ending */
};

struct spacy_words_data {
    const char *lang;
    unsigned rules;
    const char *stop, *numbers, *currency; /* each word with a line feed behind it */
};

extern const struct spacy_words_data spacy_words_data[];
extern const size_t spacy_n_words_data;

#endif

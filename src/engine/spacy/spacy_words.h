/*
 * spacy_words.h - what spaCy's code, not a model, says of a language: stop words and number words.
 *
 * The lists come from spaCy (MIT licence), see spacy_words_data.h. Immutable: any thread.
 */
#ifndef SPACY_WORDS_H
#define SPACY_WORDS_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct spacy_words;

/* For a language code ("en"). A language without lists gives empty ones. ENOMEM. */
int spacy_words_open(const char *lang, struct spacy_words **out, struct berth_error *err);
void spacy_words_close(struct spacy_words *w); /* NULL is allowed */

/* Whether the lower-cased text is a stop word. */
bool spacy_words_stop(const struct spacy_words *w, const char *lower, size_t n);
/* LIKE_NUM and IS_CURRENCY by the language's rules: 1 or 0, or ENOMEM. */
int spacy_words_number(const struct spacy_words *w, const char *text, size_t n);
bool spacy_words_currency(const struct spacy_words *w, const char *text, size_t n);

#endif

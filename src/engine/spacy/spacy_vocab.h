/*
 * spacy_vocab.h - what the components of a model share: strings, lexemes, vectors, language.
 *
 * Filled while one thread loads; afterwards immutable but for the lexeme cache, which is bounded
 * and may be used from any thread at once.
 */
#ifndef SPACY_VOCAB_H
#define SPACY_VOCAB_H

#include "spacy/spacy_lexeme.h"
#include "spacy/spacy_vectors.h"

struct spacy_vocab;

/* vocab/ of a package, in the language of its config; p may be NULL: a language without tables. The
 * strings of vocab/strings.json are left out, see spacy_vocab_load_strings. EFORMAT, EIO, ENOMEM.
 */
int spacy_vocab_load(struct spacy_package *p, const char *lang, struct spacy_vocab **out,
                     struct berth_error *err);
void spacy_vocab_destroy(struct spacy_vocab *v); /* NULL is allowed */

/* Loads vocab/strings.json, once: for components whose files hold ids of which the text is nowhere
 * else (edit trees). While loading only. EFORMAT, ENOTFOUND, EIO, ENOMEM. */
int spacy_vocab_load_strings(struct spacy_vocab *v, struct spacy_package *p,
                             struct berth_error *err);

/* The model's strings: components add their labels while loading, documents lie above it. */
struct spacy_strings *spacy_vocab_strings(const struct spacy_vocab *v);
const struct spacy_vectors *spacy_vocab_vectors(const struct spacy_vocab *v); /* NULL: none */
const char *spacy_vocab_lang(const struct spacy_vocab *v);

/* The lexeme of text[0, n), valid UTF-8: from the cache, or made in the arena. It lives as long as
 * both. *out_shared (may be NULL): it lives as long as the vocabulary. NULL: out of memory. Any
 * thread, an arena each. */
const struct spacy_lexeme *spacy_vocab_lexeme(const struct spacy_vocab *v, struct bth_arena *arena,
                                              const char *text, size_t n, bool *out_shared);
/* One that lives as long as the vocabulary, however full the cache is: for tokenizer tables. While
 * loading only. */
const struct spacy_lexeme *spacy_vocab_keep(struct spacy_vocab *v, const char *text, size_t n);

/* Takes the pattern that LIKE_URL asks last, NULL for none: the tokenizer's url_match. While
 * loading only, before any lexeme is made. */
void spacy_vocab_take_url(struct spacy_vocab *v, struct spacy_pattern *url);

/* Lexemes held now, for tests of the bound. */
size_t spacy_vocab_cached(const struct spacy_vocab *v);

#endif

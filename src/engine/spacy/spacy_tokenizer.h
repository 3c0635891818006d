/*
 * spacy_tokenizer.h - text to tokens by spaCy's rules: exceptions, affixes, infixes.
 *
 * On disk (file "tokenizer"), msgpack: prefix_search, suffix_search, infix_finditer, token_match,
 * url_match (text of a pattern or nil), exceptions {text: [{65: text, 67: norm?} ...]},
 * faster_heuristics.
 *
 * Immutable after loading but for a bounded cache of what common words became; any thread, a
 * document each.
 */
#ifndef SPACY_TOKENIZER_H
#define SPACY_TOKENIZER_H

#include "spacy/spacy_vocab.h"

/* spaCy's nlp.max_length, in code points. */
#define SPACY_MAX_LENGTH 1000000

struct spacy_tokenizer;

/* From the bytes of the file, which are not needed afterwards; the vocabulary outlives it. EFORMAT,
 * ENOMEM. */
int spacy_tokenizer_load(struct spacy_vocab *v, const void *bytes, size_t size,
                         struct spacy_tokenizer **out, struct berth_error *err);
void spacy_tokenizer_destroy(struct spacy_tokenizer *t); /* NULL is allowed */

/* A document of text[0, n) (the caller's, valid UTF-8, outlives it) with no tokens yet. ENOMEM,
 * EINVAL (not UTF-8). */
int spacy_doc_init(struct spacy_doc *doc, const struct spacy_vocab *v, const char *text, size_t n,
                   struct berth_error *err);
void spacy_doc_finish(struct spacy_doc *doc); /* a zeroed one is allowed */

/* Fills doc->tokens from doc->text. Heads are the tokens themselves, all else is not set but
 * sent_start of the first token: 1, unless it is a word that the second pass put together (spaCy
 * leaves that one unset). ETOOLARGE: more than SPACY_MAX_LENGTH code points, or a text that the
 * patterns would take for ever on; ENOMEM. */
int spacy_tokenize(const struct spacy_tokenizer *t, struct spacy_doc *doc, struct berth_error *err);

/* Chunks of text held in the cache now, for tests of the bound. */
size_t spacy_tokenizer_cached(const struct spacy_tokenizer *t);

#endif

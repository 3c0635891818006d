/*
 * spacy_tokenizer_private.h - what the files of the tokenizer share: its tables, and one call's
 * state.
 */
#ifndef SPACY_TOKENIZER_PRIVATE_H
#define SPACY_TOKENIZER_PRIVATE_H

#include "spacy/spacy_cache.h"
#include "spacy/spacy_pattern.h"
#include "spacy/spacy_special.h"
#include "spacy/spacy_tokenizer.h"

/* A token of a chunk of text; pieces that follow each other tile the chunk. */
struct spacy_piece {
    const struct spacy_lexeme *lex;
    uint64_t norm; /* an exception's own, else the lexeme's */
    bool shared;   /* the lexeme lives as long as the vocabulary */
};

struct spacy_exception {
    const char *text; /* [bytes]; NULL: a free slot */
    uint32_t bytes;
    uint64_t hash;
    const struct spacy_piece *pieces; /* [n] */
    size_t n;
};

struct spacy_tokenizer {
    struct spacy_vocab *vocab;
    struct spacy_pattern *prefix, *suffix, *infix, *token_match; /* NULL: none */
    const struct spacy_pattern *url_match;                       /* the vocabulary's */
    struct bth_arena arena;             /* texts and pieces of exceptions */
    struct spacy_exception *exceptions; /* [capacity], a power of two */
    size_t n_exceptions, capacity;
    struct spacy_special *special;
    struct spacy_cache *cache; /* of chunks */
};

/* One call's state. */
struct spacy_split {
    const struct spacy_tokenizer *t;
    struct bth_arena *arena; /* lexemes that nobody else has */
    bool exceptions;         /* they apply, and the cache is used */
    struct spacy_matcher *matcher;
    struct spacy_piece *pieces; /* [n] of the chunks so far */
    size_t n, capacity;
    uint32_t *suffixes; /* [n_suffixes] bytes of what was cut off the end */
    size_t n_suffixes, suffix_capacity;
    struct berth_error *err;
};

/* NULL: text is no exception. */
const struct spacy_exception *spacy_find_exception(const struct spacy_tokenizer *t,
                                                   const char *text, size_t n);

int spacy_split_init(struct spacy_split *s, const struct spacy_tokenizer *t,
                     struct bth_arena *arena, size_t budget, struct berth_error *err);
void spacy_split_finish(struct spacy_split *s);
/* Appends the pieces of a chunk: text without white space, or of nothing else. */
int spacy_split_chunk(struct spacy_split *s, const char *text, size_t n);
/* The next chunk of text[0, n) at or behind *at; false at the end. *out_space: one space follows
 * that belongs to its last token, and *at is behind it. */
bool spacy_next_chunk(const char *text, size_t n, size_t *at, size_t *out_begin, size_t *out_end,
                      bool *out_space);

#endif

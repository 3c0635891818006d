/*
 * text/bpe_internal.h - how the readers fill a vocabulary, and the pre-split.
 */
#ifndef BTH_BPE_INTERNAL_H
#define BTH_BPE_INTERNAL_H

#include "text/bpe.h"
#include <stdbool.h>

struct bth_split;

struct bth_token {
    const char *bytes; /* in the arena; NULL: the id is not there */
    uint32_t size;
};

/* An empty vocabulary of ids [0, size). */
struct bth_bpe *bth_bpe_create(int32_t size);
/* Copies a token's bytes. EFORMAT: the id is taken or out of range. */
int bth_bpe_add(struct bth_bpe *b, int32_t id, const char *bytes, size_t n,
                struct berth_error *err);
/* Builds the index. EFORMAT: an id is missing, two tokens are equal, or a byte has no token. */
int bth_bpe_seal(struct bth_bpe *b, struct berth_error *err);

/* The parsers over memory. */
int bth_bpe_parse_json(const char *text, size_t n, int32_t limit, struct bth_bpe **out,
                       struct berth_error *err);
int bth_bpe_parse_tiktoken(const char *text, size_t n, struct bth_bpe **out,
                           struct berth_error *err);

/* split.c: GPT-2's pre-split. */
int bth_split_create(struct bth_split **out, struct berth_error *err);
void bth_split_destroy(struct bth_split *s);
/* The piece of valid UTF-8 text that begins at `at`; its length, or negative. Any thread. */
int64_t bth_split_next(const struct bth_split *s, const char *text, size_t n, size_t at,
                       struct berth_error *err);

#endif

/*
 * text/bpe.h - byte-level BPE as GPT-2 and Whisper use it: text <-> token ids.
 *
 * Ranks come from the vocabulary (byte string -> id), not from a merge list: an adjacent pair may
 * merge if its bytes are a vocabulary entry, lowest id first (the merge list of some published
 * tokenizer.json files has holes). Immutable after open: any thread.
 *
 * Not here: special tokens and their meaning; the engine knows those.
 */
#ifndef BTH_BPE_H
#define BTH_BPE_H

#include <berth/error.h>
#include <stddef.h>
#include <stdint.h>

struct bth_bpe;

/* From tokenizer.json (model.vocab, bytes written in GPT-2's printable code points). Ids >= limit
 * are ignored (special tokens); every id below must be there once. One may be the empty string, as
 * in Whisper's multilingual vocabulary. EFORMAT, ENOTFOUND, EIO, ETOOLARGE, ENOMEM. */
int bth_bpe_open_json(const char *path, int32_t limit, struct bth_bpe **out,
                      struct berth_error *err);
/* From a tiktoken file: lines of base64 bytes, a blank, a rank; ranks count from 0. Errors as
 * above. */
int bth_bpe_open_tiktoken(const char *path, struct bth_bpe **out, struct berth_error *err);
void bth_bpe_close(struct bth_bpe *b);

int32_t bth_bpe_size(const struct bth_bpe *b); /* ids are [0, size) */

/* Encodes UTF-8 text (pre-split by GPT-2's pattern, Unicode classes) to the ids of tiktoken's
 * encode_ordinary: what looks like a special token is text. *out_ids is bth_alloc'ed and
 * the caller's. EINVAL: the text is not UTF-8. ETOOLARGE: over 1 MiB. ENOMEM. */
int bth_bpe_encode(const struct bth_bpe *b, const char *text, size_t n, int32_t **out_ids,
                   size_t *out_n, struct berth_error *err);

/* The bytes of one token; NULL and 0 for ids out of range. Not always valid UTF-8 alone. */
const char *bth_bpe_token(const struct bth_bpe *b, int32_t id, size_t *out_n);

#endif

/*
 * text/spm.h - SentencePiece models (.spm): text <-> pieces and their ids.
 *
 * The segmentation is libsentencepiece's, whose unigram search adds scores in f32, as Marian's and
 * Hugging Face's do. A model file is untrusted: it is parsed and checked here, and what the library
 * sees is written anew from what was found good (pieces, normalisation, special ids). No exception
 * and no abort comes through.
 *
 * Immutable after open: any thread, any number at once. Not here: vocabularies of other numbers
 * (vocab.json); engines know those.
 */
#ifndef BTH_SPM_H
#define BTH_SPM_H

#include "base/str.h"
#include <berth/error.h>
#include <stddef.h>
#include <stdint.h>

struct bth_spm;

/* Unigram and BPE models. EFORMAT, ENOTFOUND, EIO, ETOOLARGE, ENOMEM. */
int bth_spm_open(const char *path, struct bth_spm **out, struct berth_error *err);
void bth_spm_close(struct bth_spm *s);

int32_t bth_spm_size(const struct bth_spm *s); /* ids are [0, size) */
int32_t bth_spm_unk(const struct bth_spm *s);
/* The id of a piece, exactly as it is spelled; -1 if there is none. */
int32_t bth_spm_find(const struct bth_spm *s, const char *piece, size_t n);
/* NUL-terminated; NULL for ids out of range. Lives as long as s. */
const char *bth_spm_piece(const struct bth_spm *s, int32_t id);

/* A piece of a text: its id (that of unk for what the model does not know), its spelling as the
 * model normalised it, [piece, piece + piece_size) of the pieces' text, and the bytes of the text
 * that it stands for, [begin, end). */
struct bth_spm_token {
    int32_t id;
    uint32_t piece, piece_size;
    uint32_t begin, end;
};
struct bth_spm_text {
    struct bth_spm_token *tokens; /* [n] */
    size_t n;
    struct bth_str pieces;
};

/* Bytes that are no UTF-8 count as U+FFFD. On success *out is finished by the caller.
 * ETOOLARGE: over 1 MiB. ENOMEM. */
int bth_spm_encode(const struct bth_spm *s, const char *text, size_t n, struct bth_spm_text *out,
                   struct berth_error *err);
void bth_spm_text_finish(struct bth_spm_text *t);

/* Appends the text of pieces by their spelling; one that the model does not know stands for itself.
 * With `out_ends` [n] the offset in the appended text where each piece's part ends. */
struct bth_spm_piece {
    const char *text;
    size_t size;
};
int bth_spm_decode(const struct bth_spm *s, const struct bth_spm_piece *pieces, size_t n,
                   struct bth_str *out, uint32_t *out_ends, struct berth_error *err);
/* The same by ids, which are in range. */
int bth_spm_decode_ids(const struct bth_spm *s, const int32_t *ids, size_t n, struct bth_str *out,
                       uint32_t *out_ends, struct berth_error *err);

#endif

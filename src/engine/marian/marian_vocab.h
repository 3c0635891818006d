/*
 * engine/marian/marian_vocab.h - text <-> token ids of a Marian model.
 *
 * Three kinds, chosen by the files: Hugging Face (pieces of source.spm looked up in vocab.json),
 * Bergamot (the ids of vocab.spm themselves), token lists of Marian and CTranslate2 (as Hugging
 * Face with source.spm and target.spm or sentencepiece.model beside them; without these, tokens are
 * what blanks part).
 *
 * Immutable after open: any thread, any number at once. Text in and out is UTF-8 bytes; what is
 * ill-formed in the input counts as U+FFFD.
 */
#ifndef BTH_MARIAN_VOCAB_H
#define BTH_MARIAN_VOCAB_H

#include "base/str.h"
#include "marian/marian_files.h"

struct marian_vocab;

/* Reads the vocabularies that f names and puts the ids that f->config leaves to them
 * (MARIAN_ID_OF_VOCAB) into it; more ids than the embeddings have rows are EFORMAT. ENOTFOUND, EIO,
 * ETOOLARGE, ENOMEM. */
int marian_vocab_open(struct marian_files *f, struct marian_vocab **out, struct berth_error *err);
void marian_vocab_close(struct marian_vocab *v);

int32_t marian_vocab_source_size(const struct marian_vocab *v); /* ids are [0, size) */
int32_t marian_vocab_target_size(const struct marian_vocab *v);

/* Languages that the model can translate into, for models with several: the xx of the tokens
 * ">>xx<<". Empty for others. Sorted; live as long as the vocabulary. */
size_t marian_vocab_n_languages(const struct marian_vocab *v);
const char *marian_vocab_language(const struct marian_vocab *v, size_t i);
/* The source id of ">>xx<<"; -1 if there is none. */
int32_t marian_vocab_language_id(const struct marian_vocab *v, const char *language);

/* A source id and the bytes of the text that it stands for: [begin, end). Those of eos are empty.
 */
struct marian_token {
    int32_t id;
    uint32_t begin, end;
};

enum {
    MARIAN_ENCODE_SPECIAL = 1, /* "</s>", "<unk>", "<pad>" in the text are those tokens (HF does) */
    MARIAN_ENCODE_PREFIX = 2, /* ">>xx<<" at the start of the text is a token, not text (HF does) */
    MARIAN_ENCODE_NO_EOS = 4
};

/* Source ids of one text with what the model wants around them (eos; a bos if config says so).
 * *out is bth_alloc'ed and the caller's. ETOOLARGE: the text has over 1 MiB. ENOMEM. */
int marian_vocab_encode(const struct marian_vocab *v, const char *text, size_t n, int flags,
                        struct marian_token **out, size_t *out_n, struct berth_error *err);
/* The same for text in the target language, of target ids (forced prefixes, scoring). */
int marian_vocab_encode_target(const struct marian_vocab *v, const char *text, size_t n, int flags,
                               struct marian_token **out, size_t *out_n, struct berth_error *err);

enum {
    MARIAN_DECODE_KEEP_SPECIAL = 1, /* eos, pad, unk stay, by name */
    MARIAN_DECODE_CLEAN_UP = 2      /* clean_up_tokenization_spaces */
};
/* Appends the text of target ids. With `out_ends` [n] the offset in the appended text (counted from
 * its own start) where each id's part ends: ascending; parts of special ids that are skipped are
 * empty. Ids out of range count as unk. ENOMEM. */
int marian_vocab_decode(const struct marian_vocab *v, const int32_t *ids, size_t n, int flags,
                        struct bth_str *out, uint32_t *out_ends, struct berth_error *err);

/* One piece as the vocabulary has it ("▁the"); NULL for ids out of range. */
const char *marian_vocab_source_piece(const struct marian_vocab *v, int32_t id);
const char *marian_vocab_target_piece(const struct marian_vocab *v, int32_t id);
/* -1 if there is none. */
int32_t marian_vocab_target_id(const struct marian_vocab *v, const char *piece);

#endif

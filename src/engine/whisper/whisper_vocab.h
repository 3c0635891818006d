/*
 * engine/whisper/whisper_vocab.h - token ids: text by BPE, special tokens by the vocabulary's size.
 *
 * Ids [0, eot) are text; then endoftext, startoftranscript, the languages, the tasks and marks;
 * from `timestamp0` on 1,501 times in steps of 20 ms. Three layouts exist: English-only (51,864
 * ids), multilingual (51,865) and the v3 family (51,866: one language more). Immutable: any thread.
 */
#ifndef BTH_WHISPER_VOCAB_H
#define BTH_WHISPER_VOCAB_H

#include "base/str.h"
#include "text/bpe.h"
#include <stdbool.h>

enum { WHISPER_N_TIMESTAMPS = 1501 };

struct whisper_vocab {
    struct bth_bpe *bpe;
    int32_t size; /* ids in all: the rows of the embedding */
    bool multilingual;
    int32_t n_languages;
    int32_t eot, sot, language0, translate, transcribe, startoflm, startofprev, nospeech,
        notimestamps, timestamp0;
    int32_t blank; /* " " */
};

/* The layout for `size` ids, text from `dir`/tokenizer.json. EFORMAT, ENOTFOUND, ENOMEM. */
int whisper_vocab_open(struct whisper_vocab *v, const char *dir, int32_t size,
                       struct berth_error *err);
/* Only the numbers; no text. EFORMAT for a size that Whisper does not have. */
int whisper_vocab_layout(struct whisper_vocab *v, int32_t size, struct berth_error *err);
void whisper_vocab_close(struct whisper_vocab *v);

/* Index of a language by code, English name or alias, any case; -1 if there is none. */
int whisper_language_index(const char *name);
/* "en" for 0; NULL beyond the last. */
const char *whisper_language_code(int index);
/* "english" for 0; NULL beyond the last. */
const char *whisper_language_name(int index);

/* Appends the text of ids below `limit` (eot: text alone; timestamp0: special tokens by name, as
 * the original's decode does), bytes that are no UTF-8 replaced by U+FFFD. */
void whisper_vocab_decode(const struct whisper_vocab *v, const int32_t *ids, size_t n,
                          int32_t limit, struct bth_str *out);

/* " " + stripped text as ids (bth_alloc'ed), as prompts are encoded. EINVAL, ETOOLARGE, ENOMEM. */
int whisper_vocab_encode_prompt(const struct whisper_vocab *v, const char *text, int32_t **out_ids,
                                size_t *out_n, struct berth_error *err);

/* Sets the bits of the ids that option suppress_tokens "-1" forbids: symbols that are not speech.
 * mask: [ceil(size / 32)] u32. ENOMEM. */
int whisper_vocab_suppress_symbols(const struct whisper_vocab *v, uint32_t *mask,
                                   struct berth_error *err);

#endif

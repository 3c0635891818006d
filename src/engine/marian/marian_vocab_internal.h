/*
 * engine/marian/marian_vocab_internal.h - the parts of a vocabulary: marian_vocab.c opens it,
 * marian_vocab_text.c turns text to ids and back.
 */
#ifndef BTH_MARIAN_VOCAB_INTERNAL_H
#define BTH_MARIAN_VOCAB_INTERNAL_H

#include "base/arena.h"
#include "marian/marian_pieces.h"
#include "marian/marian_vocab.h"
#include "text/spm.h"

enum marian_vocab_kind {
    MARIAN_VOCAB_PIECES, /* pieces by .spm, ids by a list */
    MARIAN_VOCAB_IDS,    /* both by .spm */
    MARIAN_VOCAB_WORDS   /* a list alone */
};

/* One language. */
struct marian_side {
    const struct bth_spm *spm;          /* NULL: WORDS */
    const struct marian_pieces *pieces; /* NULL: IDS */
    int32_t rows, unk, eos;
};

enum { MARIAN_N_SPECIALS = 4 };
struct marian_special {
    const char *text; /* NULL: there is none */
    int32_t source_id, target_id;
};

struct marian_vocab {
    enum marian_vocab_kind kind;
    struct marian_side source, target;
    int32_t source_eos, source_bos;                    /* what is put round a source; -1: nothing */
    struct marian_special specials[MARIAN_N_SPECIALS]; /* unk, eos, pad, bos */
    struct marian_tokens tokens;
    const char **languages; /* [n_languages] */
    size_t n_languages;

    struct bth_spm *spms[2]; /* what the sides point to; [1] NULL: the same */
    struct marian_pieces lists[2];
    struct bth_arena arena;
};

int32_t marian_side_find(const struct marian_side *side, const char *piece, size_t n);

#endif

/*
 * engine/marian/marian_pieces.h - a list of pieces and their ids: vocab.json, vocabulary.json or
 * .txt of CTranslate2, vocab.yml of Marian.
 *
 * Immutable after open: any thread.
 */
#ifndef BTH_MARIAN_PIECES_H
#define BTH_MARIAN_PIECES_H

#include "base/arena.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct marian_pieces {
    struct bth_arena arena;
    const char **texts; /* [n] by id; NULL where no piece has the id */
    int32_t n;
    int32_t *sorted; /* [n_sorted] ids by text */
    int32_t n_sorted;
};

/* By the ending: .json ({piece: id} or [piece]), .yml and .yaml ({piece: id}), else a piece a line.
 * Ids are below `limit`, rows of the embedding: more are EFORMAT. ENOTFOUND, EIO, ETOOLARGE,
 * ENOMEM. On failure `p` needs no finish. */
int marian_pieces_open(struct marian_pieces *p, const char *path, int64_t limit,
                       struct berth_error *err);
/* The same of bytes; name: for its ending. */
int marian_pieces_parse(struct marian_pieces *p, const char *name, const char *text, size_t n,
                        int64_t limit, struct berth_error *err);
void marian_pieces_finish(struct marian_pieces *p);
/* -1 if there is none. */
int32_t marian_pieces_find(const struct marian_pieces *p, const char *text, size_t n);
const char *marian_pieces_at(const struct marian_pieces *p, int32_t id);

#endif

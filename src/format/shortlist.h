/*
 * format/shortlist.h - Marian's lexical shortlist: which target ids a sentence may need.
 *
 * On disk, little-endian: u64 magic 0xF11A48D5013417F5; u64 checksum; u64 first; u64 best; u64
 * n_offsets (source ids + 1); u64 n_ids; u64 offsets[n_offsets]; u32 ids[n_ids], ascending in each
 * source id's list. The checksum covers the whole u64 words from `first` on.
 *
 * Mapped, immutable after open: any thread.
 */
#ifndef BTH_SHORTLIST_H
#define BTH_SHORTLIST_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_shortlist;

/* `source_vocab`, `target_vocab`: rows of the embeddings; lists for other source vocabularies and
 * ids outside of the target vocabulary are EFORMAT, as a checksum that does not fit. ENOTFOUND,
 * EIO, ENOMEM. */
int bth_shortlist_open(const char *path, int64_t source_vocab, int64_t target_vocab,
                       struct bth_shortlist **out, struct berth_error *err);
void bth_shortlist_close(struct bth_shortlist *s);

/* The ids of one sentence, ascending, each once, their number a multiple of 8 (fewer only where the
 * vocabulary ends): the first ids, the lists of the source ids, with `shared` the source ids
 * themselves, then the smallest absent ids from `first` on as padding. *out is bth_alloc'ed and the
 * caller's. Source ids out of range count for nothing. ENOMEM. */
int bth_shortlist_select(const struct bth_shortlist *s, const int32_t *source, size_t n,
                         bool shared, int32_t **out, size_t *out_n, struct berth_error *err);

#endif

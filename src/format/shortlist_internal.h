/*
 * format/shortlist_internal.h - the shortlist's parts; fuzz targets parse memory through it.
 */
#ifndef BTH_SHORTLIST_INTERNAL_H
#define BTH_SHORTLIST_INTERNAL_H

#include "base/fs.h"
#include "format/shortlist.h"

struct bth_shortlist {
    struct bth_map map;
    const unsigned char *offsets; /* u64 [n_lists + 1], any alignment */
    const unsigned char *ids;     /* u32, each below target_vocab */
    uint64_t n_lists;
    uint32_t first; /* ids below it are always in */
    int64_t source_vocab, target_vocab;
};

/* Parses memory that outlives s; the vocabularies' sizes are set. */
int bth_shortlist_parse(struct bth_shortlist *s, const unsigned char *data, size_t size,
                        struct berth_error *err);

#endif

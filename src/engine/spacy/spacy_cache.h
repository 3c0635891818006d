/*
 * spacy_cache.h - a bounded table of what common words became, shared by threads without a lock.
 *
 * Entries are only ever added, are immutable and live as long as the cache; when it is full it
 * stays as it is. So that passing rubbish does not fill it, a text enters when it is met a second
 * time; and only near the place of its hash, so that looking is short whatever was put in. Nothing
 * may depend on what is in it but speed.
 */
#ifndef SPACY_CACHE_H
#define SPACY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer texts are not worth a place. */
#define SPACY_CACHE_MAX_TEXT 64

/* What an entry starts with; the text is inside the entry. */
struct spacy_cache_entry {
    const char *text; /* [bytes] */
    uint32_t bytes;
    uint64_t hash; /* spacy_string_hash of it */
};

struct spacy_cache;

/* For at most `limit` entries. NULL: out of memory. */
struct spacy_cache *spacy_cache_create(size_t limit);
void spacy_cache_destroy(struct spacy_cache *c); /* frees the entries (bth_free); NULL is allowed */

/* Any thread. NULL: not there. */
const struct spacy_cache_entry *spacy_cache_find(const struct spacy_cache *c, const char *text,
                                                 size_t n, uint64_t hash);
/* Whether an entry for a text may be made now. Any thread. */
bool spacy_cache_wants(struct spacy_cache *c, size_t n, uint64_t hash);
/* Takes a heap entry, or frees it if there is one already or no room; the entry that is there now,
 * or NULL. Any thread. */
const struct spacy_cache_entry *spacy_cache_add(struct spacy_cache *c,
                                                struct spacy_cache_entry *entry);
size_t spacy_cache_count(const struct spacy_cache *c);

#endif

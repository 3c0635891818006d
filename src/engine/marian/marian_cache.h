/*
 * engine/marian/marian_cache.h - what was found for sentences before: exact, with a byte budget.
 *
 * A key is all that a result depends on, and whole keys are compared. What has not been asked for
 * longest goes first. One owner: the device's thread.
 */
#ifndef BTH_MARIAN_CACHE_H
#define BTH_MARIAN_CACHE_H

#include "marian/marian_search.h"
#include "marian/marian_session.h"

struct marian_cache;

/* NULL when out of memory. `limit` 0: nothing is ever kept. */
struct marian_cache *marian_cache_create(size_t limit);
void marian_cache_destroy(struct marian_cache *c); /* NULL is allowed */

/* A copy of what is known for the sentence, its `cached` set: 1. 0: nothing. ENOMEM. */
int marian_cache_find(struct marian_cache *c, const struct marian_flight_key *key,
                      struct marian_found *out);
/* Keeps a copy, if it can: a cache that has no memory forgets. */
void marian_cache_keep(struct marian_cache *c, const struct marian_flight_key *key,
                       const struct marian_found *found);

#endif

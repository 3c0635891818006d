#include "spacy/spacy_cache.h"

#include "base/alloc.h"
#include <stdatomic.h>
#include <string.h>

enum {
    N_SEEN = 1 << 14,
    REACH = 64 /* slots from a hash on that its entry may lie in: texts made to meet in one place
                  must not slow down all others */
};

struct spacy_cache {
    _Atomic(struct spacy_cache_entry *) *slots; /* [capacity], a power of two, at most half full */
    size_t capacity, limit;
    _Atomic size_t n; /* places taken, some perhaps in vain */
    /* what was met lately: a part of the hash per place. Races lose or repeat a sighting, no more.
     */
    _Atomic uint16_t seen[N_SEEN];
};

struct spacy_cache *spacy_cache_create(size_t limit) {
    struct spacy_cache *c = bth_calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->limit = limit;
    c->capacity = 8;
    while (c->capacity < 2 * limit) {
        c->capacity *= 2;
    }
    c->slots = bth_calloc(c->capacity, sizeof(*c->slots));
    if (!c->slots) {
        bth_free(c);
        return NULL;
    }
    return c;
}

void spacy_cache_destroy(struct spacy_cache *c) {
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->capacity; i++) {
        bth_free(atomic_load_explicit(&c->slots[i], memory_order_relaxed));
    }
    bth_free(c->slots);
    bth_free(c);
}

static bool same(const struct spacy_cache_entry *e, const char *text, size_t n, uint64_t hash) {
    return e->hash == hash && e->bytes == n && memcmp(e->text, text, n) == 0;
}

const struct spacy_cache_entry *spacy_cache_find(const struct spacy_cache *c, const char *text,
                                                 size_t n, uint64_t hash) {
    for (size_t at = (size_t)hash; at != (size_t)hash + REACH; at++) {
        /* acquire: pairs with the release in spacy_cache_add, which publishes the entry's content
         */
        const struct spacy_cache_entry *e =
            atomic_load_explicit(&c->slots[at & (c->capacity - 1)], memory_order_acquire);
        if (!e || same(e, text, n, hash)) {
            return e;
        }
    }
    return NULL;
}

bool spacy_cache_wants(struct spacy_cache *c, size_t n, uint64_t hash) {
    /* relaxed: hints */
    if (n > SPACY_CACHE_MAX_TEXT || atomic_load_explicit(&c->n, memory_order_relaxed) >= c->limit) {
        return false;
    }
    _Atomic uint16_t *place = &c->seen[hash % N_SEEN];
    const uint16_t mark = (uint16_t)(hash >> 48 | 1); /* 0: nothing seen */
    if (atomic_load_explicit(place, memory_order_relaxed) == mark) {
        return true;
    }
    atomic_store_explicit(place, mark, memory_order_relaxed);
    return false;
}

const struct spacy_cache_entry *spacy_cache_add(struct spacy_cache *c,
                                                struct spacy_cache_entry *entry) {
    /* a place is taken first, so that half of the slots stay free whatever the threads do */
    if (atomic_fetch_add_explicit(&c->n, 1, memory_order_relaxed) >= c->limit) {
        atomic_fetch_sub_explicit(&c->n, 1, memory_order_relaxed);
        bth_free(entry);
        return NULL;
    }
    const size_t begin = (size_t)entry->hash;
    for (size_t at = begin; at != begin + REACH; at++) {
        _Atomic(struct spacy_cache_entry *) *slot = &c->slots[at & (c->capacity - 1)];
        struct spacy_cache_entry *there = NULL;
        if (atomic_compare_exchange_strong_explicit(slot, &there, entry, memory_order_release,
                                                    memory_order_acquire)) {
            return entry;
        }
        if (same(there, entry->text, entry->bytes, entry->hash)) {
            atomic_fetch_sub_explicit(&c->n, 1, memory_order_relaxed);
            bth_free(entry);
            return there;
        }
    }
    atomic_fetch_sub_explicit(&c->n, 1, memory_order_relaxed);
    bth_free(entry);
    return NULL;
}

size_t spacy_cache_count(const struct spacy_cache *c) {
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

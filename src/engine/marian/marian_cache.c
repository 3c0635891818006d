#include "marian/marian_cache.h"

#include "base/alloc.h"
#include "base/list.h"
#include <string.h>

enum { BUCKETS = 4096 };

struct entry {
    struct bth_list used; /* least recently first */
    struct entry *next;   /* of its bucket */
    struct marian_flight_key key;
    int32_t *ids; /* key.ids */
    struct marian_found found;
    size_t bytes;
};

struct marian_cache {
    size_t limit, bytes;
    struct bth_list used;
    struct entry *buckets[BUCKETS];
};

struct marian_cache *marian_cache_create(size_t limit) {
    struct marian_cache *c = bth_calloc(1, sizeof(*c));
    if (c) {
        c->limit = limit;
        bth_list_init(&c->used);
    }
    return c;
}

static size_t bucket_of(const struct marian_flight_key *key) {
    uint64_t h = key->n_ids;
    for (size_t i = 0; i < key->n_ids; i++) {
        h = (h ^ (uint32_t)key->ids[i]) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 29;
    }
    return (size_t)(h % BUCKETS);
}

static bool same_key(const struct marian_flight_key *a, const struct marian_flight_key *b) {
    const struct marian_search_options *x = &a->search, *y = &b->search;
    return a->n_ids == b->n_ids && a->kept == b->kept && a->aligned == b->aligned &&
           a->linked == b->linked && a->guarded == b->guarded && x->beams == y->beams &&
           x->max_length == y->max_length &&
           memcmp(&x->length_penalty, &y->length_penalty, sizeof(x->length_penalty)) == 0 &&
           x->early_stopping == y->early_stopping && x->forced_eos == y->forced_eos &&
           memcmp(a->ids, b->ids, a->n_ids * sizeof(*a->ids)) == 0;
}

static void drop(struct marian_cache *c, struct entry *e) {
    struct entry **at = &c->buckets[bucket_of(&e->key)];
    while (*at && *at != e) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = e->next;
        bth_list_remove(&e->used);
        c->bytes -= e->bytes;
    }
    marian_found_finish(&e->found);
    bth_free(e->ids);
    bth_free(e);
}

void marian_cache_destroy(struct marian_cache *c) {
    struct entry *e;
    if (!c) {
        return;
    }
    BTH_LIST_EACH(e, &c->used, struct entry, used) {
        drop(c, e);
    }
    bth_free(c);
}

/* Choices, alignment and links; texts are made anew. */
static bool copy_found(const struct marian_found *from, size_t n_ids, struct marian_found *to) {
    *to = (struct marian_found){.repeats = from->repeats};
    to->hypotheses = bth_calloc((size_t)(from->n ? from->n : 1), sizeof(*to->hypotheses));
    bool ok = to->hypotheses != NULL;
    for (int i = 0; ok && i < from->n; i++) {
        const struct marian_hypothesis *h = &from->hypotheses[i];
        to->hypotheses[i] = (struct marian_hypothesis){.n = h->n, .score = h->score};
        to->hypotheses[i].choices = bth_memdup(h->choices, (size_t)h->n * sizeof(*h->choices));
        ok = to->hypotheses[i].choices != NULL;
        to->n++;
    }
    if (ok && from->alignment) {
        to->alignment = bth_memdup(from->alignment, (size_t)from->hypotheses[0].n * n_ids *
                                                        sizeof(*from->alignment));
        ok = to->alignment != NULL;
    }
    if (ok && from->links) {
        to->links = bth_memdup(from->links, (size_t)from->hypotheses[0].n * sizeof(*from->links));
        ok = to->links != NULL;
    }
    if (!ok) {
        marian_found_finish(to);
    }
    return ok;
}

static struct entry *find(struct marian_cache *c, const struct marian_flight_key *key) {
    struct entry *e = c->buckets[bucket_of(key)];
    while (e && !same_key(&e->key, key)) {
        e = e->next;
    }
    return e;
}

int marian_cache_find(struct marian_cache *c, const struct marian_flight_key *key,
                      struct marian_found *out) {
    struct entry *e = find(c, key);
    if (!e) {
        return 0;
    }
    bth_list_remove(&e->used);
    bth_list_append(&c->used, &e->used);
    if (!copy_found(&e->found, key->n_ids, out)) {
        return BERTH_ENOMEM;
    }
    out->cached = true;
    return 1;
}

void marian_cache_keep(struct marian_cache *c, const struct marian_flight_key *key,
                       const struct marian_found *found) {
    const size_t bytes =
        sizeof(struct entry) + key->n_ids * sizeof(int32_t) + marian_found_bytes(found, key->n_ids);
    if (bytes > c->limit || find(c, key)) {
        return;
    }
    struct entry *e = bth_calloc(1, sizeof(*e));
    if (!e) {
        return;
    }
    bth_list_init(&e->used);
    e->key = *key;
    e->bytes = bytes;
    e->ids = bth_memdup(key->ids, key->n_ids * sizeof(*key->ids));
    if (!e->ids || !copy_found(found, key->n_ids, &e->found)) {
        bth_free(e->ids);
        bth_free(e);
        return;
    }
    e->key.ids = e->ids;
    while (c->bytes + bytes > c->limit) {
        drop(c, BTH_CONTAINER(bth_list_first(&c->used), struct entry, used));
    }
    struct entry **at = &c->buckets[bucket_of(&e->key)];
    e->next = *at;
    *at = e;
    bth_list_append(&c->used, &e->used);
    c->bytes += bytes;
}

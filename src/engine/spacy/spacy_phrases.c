/*
 * DESIGN: phrases lie sorted by their ids. From a token on, the phrases that begin with what was
 * read so far are a range, which each further token narrows.
 */
#include "spacy/spacy_phrases.h"
#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_token_spec.h"
#include <stdlib.h>

/* Steps of one document: long phrases that all but match everywhere are quadratic. */
enum { SPARE_STEPS = 1000000, STEPS_PER_TOKEN = 1000 };

struct phrase {
    uint64_t *ids; /* [n] */
    size_t n;
    uint32_t key;
};

struct spacy_phrases {
    int attribute;
    struct phrase *items;
    size_t n, room;
};

struct spacy_phrases *spacy_phrases_create(int attribute) {
    struct spacy_phrases *p = bth_calloc(1, sizeof(*p));
    if (p) {
        p->attribute = attribute;
    }
    return p;
}

void spacy_phrases_destroy(struct spacy_phrases *p) {
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        bth_free(p->items[i].ids);
    }
    bth_free(p->items);
    bth_free(p);
}

int spacy_phrases_add(struct spacy_phrases *p, uint32_t key, const struct spacy_doc *phrase,
                      struct berth_error *err) {
    if (phrase->n == 0) {
        return 0;
    }
    if (p->n == p->room) {
        size_t room = BTH_MAX(16, 2 * p->room);
        struct phrase *items = bth_realloc_array(p->items, room, sizeof(*items));
        if (!items) {
            return bth_error_nomem(err);
        }
        p->items = items;
        p->room = room;
    }
    uint64_t *ids = bth_calloc(phrase->n, sizeof(*ids));
    if (!ids) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < phrase->n; i++) {
        ids[i] = spacy_token_attribute(phrase, i, p->attribute);
    }
    p->items[p->n++] = (struct phrase){ids, phrase->n, key};
    return 0;
}

static int by_ids(const void *a, const void *b) {
    const struct phrase *x = a, *y = b;
    for (size_t i = 0; i < BTH_MIN(x->n, y->n); i++) {
        if (x->ids[i] != y->ids[i]) {
            return x->ids[i] < y->ids[i] ? -1 : 1;
        }
    }
    if (x->n != y->n) {
        return x->n < y->n ? -1 : 1;
    }
    return (x->key > y->key) - (x->key < y->key);
}

void spacy_phrases_seal(struct spacy_phrases *p) {
    if (p->n > 1) {
        qsort(p->items, p->n, sizeof(*p->items), by_ids);
    }
}

/* The first phrase of [low, high) whose id at `depth` is not below `id`, or, with `above`, is above
 * it. All of them are longer than depth. */
static size_t bound(const struct spacy_phrases *p, size_t low, size_t high, size_t depth,
                    uint64_t id, bool above) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t there = p->items[middle].ids[depth];
        if (there < id || (above && there == id)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int add_match(struct spacy_matches *m, struct spacy_match match, struct berth_error *err) {
    if (m->n >= SPACY_MATCHER_STATES) {
        return bth_error(err, BERTH_ETOOLARGE, "phrases match more than %d times",
                         SPACY_MATCHER_STATES);
    }
    if (m->n == m->capacity) {
        size_t capacity = BTH_MAX(16, 2 * m->capacity);
        struct spacy_match *items = bth_realloc_array(m->items, capacity, sizeof(*items));
        if (!items) {
            return bth_error_nomem(err);
        }
        m->items = items;
        m->capacity = capacity;
    }
    m->items[m->n++] = match;
    return 0;
}

static int run_from(const struct spacy_phrases *p, const struct spacy_doc *doc, size_t begin,
                    uint64_t *steps, struct spacy_matches *out, struct berth_error *err) {
    size_t low = 0, high = p->n;
    for (size_t depth = 0; low < high && begin + depth < doc->n; depth++) {
        if ((*steps)-- == 0) {
            return bth_error(err, BERTH_ETOOLARGE, "phrases take too long on this text");
        }
        uint64_t id = spacy_token_attribute(doc, begin + depth, p->attribute);
        high = bound(p, low, high, depth, id, true);
        low = bound(p, low, high, depth, id, false);
        /* the shortest come first: those that end here */
        for (; low < high && p->items[low].n == depth + 1; low++) {
            int rc = add_match(out,
                               (struct spacy_match){p->items[low].key, (uint32_t)begin,
                                                    (uint32_t)(begin + depth + 1)},
                               err);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

int spacy_phrases_run(const struct spacy_phrases *p, const struct spacy_doc *doc,
                      struct spacy_matches *out, struct berth_error *err) {
    uint64_t steps = SPARE_STEPS + (uint64_t)STEPS_PER_TOKEN * doc->n;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < doc->n; i++) {
        rc = run_from(p, doc, i, &steps, out, err);
    }
    return rc;
}

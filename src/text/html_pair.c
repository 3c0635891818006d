/* Which tags belong together. */
#include "text/html_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <strings.h>

/* A closing tag looks this far for its partner among those that are open, and past so many of other
 * names that share its bucket: no text makes it look at more. */
enum { MOST_OPEN = 256, BUCKETS = 1024, MOST_OTHERS = 16 };

static bool same_name(const struct bth_html *h, const struct bth_html_token *a,
                      const struct bth_html_token *b) {
    return a->name_size == b->name_size &&
           strncasecmp(h->html + a->name, h->html + b->name, a->name_size) == 0;
}

/* A tag that is open, and the one below it in the same bucket. */
struct open_tag {
    uint32_t token, hash;
    int32_t below; /* -1: none */
};

struct open_tags {
    struct open_tag *all; /* [n] */
    size_t n;
    int32_t buckets[BUCKETS]; /* the uppermost; -1: none */
};

static uint32_t name_hash(const struct bth_html *h, const struct bth_html_token *t) {
    uint32_t hash = t->name_size;
    for (uint32_t i = 0; i < t->name_size; i++) {
        const unsigned char c = (unsigned char)h->html[t->name + i];
        hash = (hash ^ (c >= 'A' && c <= 'Z' ? c | 32U : c)) * 0x01000193U;
    }
    return hash ^ hash >> 16;
}

static void push(struct open_tags *o, uint32_t token, uint32_t hash) {
    int32_t *bucket = &o->buckets[hash % BUCKETS];
    o->all[o->n] = (struct open_tag){.token = token, .hash = hash, .below = *bucket};
    *bucket = (int32_t)o->n++;
}

/* Those from `n` on are open no more. */
static void pop_to(struct open_tags *o, size_t n) {
    while (o->n > n) {
        const struct open_tag *top = &o->all[--o->n];
        o->buckets[top->hash % BUCKETS] = top->below;
    }
}

/* The uppermost that has the name of a closing tag; -1: none. */
static int32_t find_open(const struct bth_html *h, const struct open_tags *o,
                         const struct bth_html_token *closing) {
    const uint32_t hash = name_hash(h, closing);
    const int32_t least = o->n > MOST_OPEN ? (int32_t)(o->n - MOST_OPEN) : 0;
    int32_t at = o->buckets[hash % BUCKETS];
    for (int others = 0; at >= least && others < MOST_OTHERS; others++) {
        if (o->all[at].hash == hash && same_name(h, &h->tokens.all[o->all[at].token], closing)) {
            return at;
        }
        at = o->all[at].below;
    }
    return -1;
}

int bth_html_pair(struct bth_html *h, struct berth_error *err) {
    struct bth_html_token *all = h->tokens.all;
    struct open_tags open = {.all = bth_alloc(h->tokens.n * sizeof(*open.all))};
    if (!open.all) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        open.buckets[i] = -1;
    }
    for (size_t i = 0; i < h->tokens.n; i++) {
        if (all[i].kind == BTH_HTML_OPEN) {
            push(&open, (uint32_t)i, name_hash(h, &all[i]));
        } else if (all[i].kind == BTH_HTML_CLOSE) {
            const int32_t k = find_open(h, &open, &all[i]);
            if (k >= 0) { /* those within that are still open have no partner */
                all[i].partner = open.all[k].token;
                all[open.all[k].token].partner = (uint32_t)i;
                pop_to(&open, (size_t)k);
            }
        }
    }
    bth_free(open.all);
    return 0;
}

#include "core/owners.h"

#include "base/alloc.h"
#include <assert.h>
#include <string.h>

void bth_owners_init(struct bth_owners *o) {
    *o = (struct bth_owners){0};
    bth_table_init(&o->rows, sizeof(struct bth_owner));
}

void bth_owners_finish(struct bth_owners *o) {
    bth_table_finish(&o->rows);
    bth_free(o->buckets);
    *o = (struct bth_owners){0};
}

static uint64_t *bucket_of(const struct bth_owners *o, uint64_t owner) {
    const uint64_t h = owner * UINT64_C(0x9E3779B97F4A7C15);
    return &o->buckets[(h >> 32) & (o->n_buckets - 1)];
}

static void chain(struct bth_owners *o, struct bth_owner *row) {
    uint64_t *bucket = bucket_of(o, row->owner);
    row->next = *bucket;
    *bucket = row->id;
}

/* Twice as many buckets as rows. */
bool bth_owners_reserve(struct bth_owners *o, size_t used) {
    if (!bth_table_reserve(&o->rows, used)) {
        return false;
    }
    if (o->n_buckets >= 2 * o->rows.capacity) {
        return true;
    }
    const uint32_t n = 2 * o->rows.capacity;
    uint64_t *buckets = bth_realloc_array(o->buckets, n, sizeof(*buckets));
    if (!buckets) {
        return false;
    }
    o->buckets = buckets;
    o->n_buckets = n;
    memset(buckets, 0, n * sizeof(*buckets));
    struct bth_owner *row;
    for (row = bth_table_next(&o->rows, NULL); row; row = bth_table_next(&o->rows, row)) {
        chain(o, row);
    }
    return true;
}

struct bth_owner *bth_owners_find(const struct bth_owners *o, uint64_t owner) {
    if (o->rows.used == 0) {
        return NULL;
    }
    struct bth_owner *row = bth_table_get(&o->rows, *bucket_of(o, owner));
    while (row && row->owner != owner) {
        row = bth_table_get(&o->rows, row->next);
    }
    return row;
}

struct bth_owner *bth_owners_add(struct bth_owners *o, uint64_t owner) {
    struct bth_owner *row = bth_table_add(&o->rows);
    assert(row && owner);
    row->owner = owner;
    chain(o, row);
    return row;
}

void bth_owners_drop(struct bth_owners *o, struct bth_owner *row) {
    uint64_t *at = bucket_of(o, row->owner);
    while (*at != row->id) {
        at = &((struct bth_owner *)bth_table_get(&o->rows, *at))->next;
    }
    *at = row->next;
    bth_table_drop(&o->rows, row);
}

/*
 * core/owners.h - those who hold leases or wait for them, by the number that they call themselves.
 *
 * A row is there as long as its owner has anything; owner 0, nobody, has none. A hash table with
 * chains over a bth_table: ids of rows are never used twice. One owner thread, no lock.
 */
#ifndef BTH_OWNERS_H
#define BTH_OWNERS_H

#include "core/table.h"

struct bth_owner {
    uint64_t id;
    uint64_t next; /* row of the same bucket */
    uint64_t owner;
    uint64_t ticket;          /* the last that he asked for, if it waits */
    uint32_t leases, waiting; /* HELD leases; tickets in queues */
    bool hands;               /* has asked for something while he waited: see step_cycle.c */
};

struct bth_owners {
    struct bth_table rows;
    uint64_t *buckets; /* [n_buckets], a power of two */
    uint32_t n_buckets;
};

void bth_owners_init(struct bth_owners *o);
void bth_owners_finish(struct bth_owners *o);
/* As bth_table_reserve. */
bool bth_owners_reserve(struct bth_owners *o, size_t used) BTH_NODISCARD;
/* NULL: he has nothing. */
struct bth_owner *bth_owners_find(const struct bth_owners *o, uint64_t owner);
/* A row for one who has none; room for it must have been reserved. */
struct bth_owner *bth_owners_add(struct bth_owners *o, uint64_t owner);
void bth_owners_drop(struct bth_owners *o, struct bth_owner *row);

#endif

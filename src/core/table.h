/*
 * core/table.h - rows found by an id that is never used twice.
 *
 * An id names a slot and the slot's turn, so a stale id finds nothing: a completion that comes too
 * late changes nothing. Every row begins with its `uint64_t id`; 0 marks a free slot. Pointers to
 * rows are valid until the next reserve. One owner, no lock.
 */
#ifndef BTH_TABLE_H
#define BTH_TABLE_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_table {
    char *rows;
    uint64_t *turns; /* [capacity] how often a slot was used */
    uint32_t *spare; /* [capacity] stack of free slots: the first capacity - used are valid */
    size_t width;
    uint32_t capacity, used;
};

void bth_table_init(struct bth_table *t, size_t width);
void bth_table_finish(struct bth_table *t);

/* Room for `used` rows in all; the only call that allocates. false: out of memory, no change. */
bool bth_table_reserve(struct bth_table *t, size_t used) BTH_NODISCARD;
/* A zeroed row with its id; NULL when no room is reserved. */
void *bth_table_add(struct bth_table *t);
void *bth_table_get(const struct bth_table *t, uint64_t id); /* NULL: stale or never given */
void bth_table_drop(struct bth_table *t, void *row);
/* Walks the rows in use: start with NULL. Dropping the row just returned is allowed. */
void *bth_table_next(const struct bth_table *t, const void *row);

#endif

#include "core/table.h"

#include "base/alloc.h"
#include <string.h>

enum { SLOT_BITS = 24 }; /* 16 million rows, 10^12 turns a slot */

static uint64_t *id_of(const struct bth_table *t, size_t slot) {
    return (uint64_t *)(void *)(t->rows + slot * t->width);
}

void bth_table_init(struct bth_table *t, size_t width) {
    *t = (struct bth_table){.width = width};
}

void bth_table_finish(struct bth_table *t) {
    bth_free(t->rows);
    bth_free(t->turns);
    bth_free(t->spare);
    *t = (struct bth_table){0};
}

bool bth_table_reserve(struct bth_table *t, size_t used) {
    if (used <= t->capacity) {
        return true;
    }
    size_t capacity = t->capacity ? t->capacity : 8;
    while (capacity < used) {
        capacity *= 2;
    }
    if (capacity > (size_t)1 << SLOT_BITS) {
        return false;
    }
    char *rows = bth_realloc_array(t->rows, capacity, t->width);
    if (!rows) {
        return false;
    }
    t->rows = rows;
    uint64_t *turns = bth_realloc_array(t->turns, capacity, sizeof(*turns));
    if (!turns) {
        return false;
    }
    t->turns = turns;
    uint32_t *spare = bth_realloc_array(t->spare, capacity, sizeof(*spare));
    if (!spare) {
        return false;
    }
    t->spare = spare;
    memset(rows + t->capacity * t->width, 0, (capacity - t->capacity) * t->width);
    memset(turns + t->capacity, 0, (capacity - t->capacity) * sizeof(*turns));
    for (size_t i = capacity; i-- > t->capacity;) {
        spare[capacity - 1 - i + (t->capacity - t->used)] = (uint32_t)i; /* lowest slot on top */
    }
    t->capacity = (uint32_t)capacity;
    return true;
}

void *bth_table_add(struct bth_table *t) {
    if (t->used == t->capacity) {
        return NULL;
    }
    t->used++;
    uint32_t slot = t->spare[t->capacity - t->used];
    uint64_t *row = id_of(t, slot);
    memset(row, 0, t->width);
    *row = ++t->turns[slot] << SLOT_BITS | slot;
    return row;
}

void *bth_table_get(const struct bth_table *t, uint64_t id) {
    size_t slot = id & (((uint64_t)1 << SLOT_BITS) - 1);
    if (id == 0 || slot >= t->capacity || *id_of(t, slot) != id) {
        return NULL;
    }
    return id_of(t, slot);
}

void bth_table_drop(struct bth_table *t, void *row) {
    uint64_t *id = row;
    uint32_t slot = (uint32_t)(*id & (((uint64_t)1 << SLOT_BITS) - 1));
    t->spare[t->capacity - t->used] = slot;
    t->used--;
    *id = 0;
}

void *bth_table_next(const struct bth_table *t, const void *row) {
    size_t slot = row ? (size_t)((const char *)row - t->rows) / t->width + 1 : 0;
    while (slot < t->capacity && *id_of(t, slot) == 0) {
        slot++;
    }
    return slot < t->capacity ? id_of(t, slot) : NULL;
}

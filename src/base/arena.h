/*
 * base/arena.h - memory that dies together: chunks, bump allocation, one free.
 *
 * One owner at a time, no lock. Zero-initialised is a valid empty arena.
 */
#ifndef BTH_ARENA_H
#define BTH_ARENA_H

#include "base/compiler.h"
#include <stddef.h>

struct bth_arena_chunk;
struct bth_arena {
    struct bth_arena_chunk *chunks;
    size_t used, size; /* of the newest chunk */
};

/* Zeroed, aligned to 16. NULL when out of memory. */
void *bth_arena_alloc(struct bth_arena *a, size_t n) BTH_NODISCARD;
/* A copy of s[0, n) with a NUL behind it. */
char *bth_arena_strndup(struct bth_arena *a, const char *s, size_t n) BTH_NODISCARD;
void *bth_arena_memdup(struct bth_arena *a, const void *p, size_t n) BTH_NODISCARD;
void bth_arena_finish(struct bth_arena *a); /* the arena is empty and usable again */

#endif

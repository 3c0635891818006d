#include "base/arena.h"

#include "base/alloc.h"
#include <stdint.h>
#include <string.h>

struct bth_arena_chunk {
    struct bth_arena_chunk *next;
    size_t pad; /* keeps the data at 16 */
};

enum { CHUNK_BYTES = 4096 };

void *bth_arena_alloc(struct bth_arena *a, size_t n) {
    if (n > SIZE_MAX - 4 * sizeof(struct bth_arena_chunk)) {
        return NULL;
    }
    n = (n + 15) & ~(size_t)15;
    if (!a->chunks || a->size - a->used < n) {
        size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        struct bth_arena_chunk *c = bth_calloc(1, sizeof(*c) + size);
        if (!c) {
            return NULL;
        }
        c->next = a->chunks;
        a->chunks = c;
        a->used = 0;
        a->size = size;
    }
    void *p = (char *)(a->chunks + 1) + a->used;
    a->used += n;
    return p;
}

char *bth_arena_strndup(struct bth_arena *a, const char *s, size_t n) {
    char *copy = bth_arena_alloc(a, n + 1);
    if (copy && n) {
        memcpy(copy, s, n);
    }
    return copy;
}

void *bth_arena_memdup(struct bth_arena *a, const void *p, size_t n) {
    void *copy = bth_arena_alloc(a, n);
    if (copy && n) {
        memcpy(copy, p, n);
    }
    return copy;
}

void bth_arena_finish(struct bth_arena *a) {
    struct bth_arena_chunk *c = a->chunks;
    while (c) {
        struct bth_arena_chunk *next = c->next;
        bth_free(c);
        c = next;
    }
    *a = (struct bth_arena){0};
}

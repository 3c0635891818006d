/*
 * base/alloc.h - every heap byte of Berth: counted, and failable for tests.
 *
 * Not for tensors: those come from a device through a reservation (berth/backend.h).
 * Any thread. Results are aligned for any type; bth_alloc_aligned says its own.
 */
#ifndef BTH_ALLOC_H
#define BTH_ALLOC_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when out of memory. A size of 0 gives a valid pointer. */
void *bth_alloc(size_t size) BTH_NODISCARD;
void *bth_calloc(size_t n, size_t size) BTH_NODISCARD; /* zeroed; NULL on overflow too */
/* As realloc; on failure the old block stays. */
void *bth_realloc(void *p, size_t size) BTH_NODISCARD;
void *bth_realloc_array(void *p, size_t n, size_t size) BTH_NODISCARD;
char *bth_strdup(const char *s) BTH_NODISCARD; /* NULL gives NULL */
char *bth_strndup(const char *s, size_t n) BTH_NODISCARD;
char *bth_printf(const char *fmt, ...) BTH_PRINTF(1, 2) BTH_NODISCARD;
void *bth_memdup(const void *p, size_t n) BTH_NODISCARD;
void bth_free(void *p); /* NULL is allowed */

/* Blocks alive now: tests assert that it returns to where it was. */
int64_t bth_alloc_live(void);

/* Tests: the n-th allocation from now on fails (once); 0 turns it off. Returns whether an armed
 * failure has fired since it was set. */
void bth_alloc_fail_at(int64_t n);
bool bth_alloc_failed(void);

/* false on overflow, *out untouched. */
static inline bool bth_mul(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}
static inline bool bth_add(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

#endif

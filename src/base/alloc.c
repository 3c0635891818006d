#include "base/alloc.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Statistics only: nothing is published through them, so relaxed order is enough. */
static _Atomic int64_t live_blocks;
static _Atomic int64_t fail_countdown;
static _Atomic bool fail_fired;

static bool must_fail(void) {
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0) {
        return false;
    }
    if (atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) != 1) {
        return false;
    }
    atomic_store_explicit(&fail_fired, true, memory_order_relaxed);
    return true;
}

static void *counted(void *p) {
    if (p) {
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    }
    return p;
}

void *bth_alloc(size_t size) {
    return must_fail() ? NULL : counted(malloc(size ? size : 1));
}

void *bth_calloc(size_t n, size_t size) {
    return must_fail() ? NULL : counted(calloc(n ? n : 1, size ? size : 1));
}

void *bth_realloc(void *p, size_t size) {
    if (!p) {
        return bth_alloc(size);
    }
    return must_fail() ? NULL : realloc(p, size ? size : 1);
}

void *bth_realloc_array(void *p, size_t n, size_t size) {
    size_t bytes;
    return bth_mul(n, size, &bytes) ? bth_realloc(p, bytes) : NULL;
}

char *bth_strndup(const char *s, size_t n) {
    char *copy = bth_alloc(n + 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

char *bth_strdup(const char *s) {
    return s ? bth_strndup(s, strlen(s)) : NULL;
}

void *bth_memdup(const void *p, size_t n) {
    void *copy = bth_alloc(n);
    if (copy && n) {
        memcpy(copy, p, n);
    }
    return copy;
}

char *bth_printf(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = n < 0 ? NULL : bth_alloc((size_t)n + 1);
    if (s) {
        vsnprintf(s, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return s;
}

void bth_free(void *p) {
    if (p) {
        atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
        free(p);
    }
}

int64_t bth_alloc_live(void) {
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}

void bth_alloc_fail_at(int64_t n) {
    atomic_store_explicit(&fail_fired, false, memory_order_relaxed);
    atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

bool bth_alloc_failed(void) {
    return atomic_load_explicit(&fail_fired, memory_order_relaxed);
}

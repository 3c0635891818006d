/* tests/lib/bytes.h - files written byte by byte, little-endian. */
#ifndef BTH_TEST_BYTES_H
#define BTH_TEST_BYTES_H

#include "base/str.h"
#include "lib/test.h"
#include <stdint.h>

static inline void put_int(struct bth_str *s, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) {
        bth_str_putc(s, (char)(i < 8 ? v >> (8 * i) : 0));
    }
}

static inline void put_zeros(struct bth_str *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bth_str_putc(s, 0);
    }
}

/* Calls parse with a copy of exactly n bytes of s, so that a sanitizer sees one too many. */
static inline int with_copy(const struct bth_str *s, size_t n,
                            int (*parse)(const unsigned char *data, size_t n, void *user),
                            void *user) {
    unsigned char *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n) {
        memcpy(copy, s->data, n);
    }
    int rc = parse(copy, n, user);
    free(copy);
    return rc;
}

/* Every cut of s, and every byte of it turned over: parse may refuse, nothing else. */
static inline void damage_all(const struct bth_str *s,
                              int (*parse)(const unsigned char *data, size_t n, void *user),
                              void *user) {
    for (size_t n = 0; n < s->size; n++) {
        with_copy(s, n, parse, user);
    }
    for (size_t i = 0; i < s->size; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            s->data[i] = (char)(s->data[i] ^ (1 << bit));
            with_copy(s, s->size, parse, user);
            s->data[i] = (char)(s->data[i] ^ (1 << bit));
        }
    }
}

static inline void read_whole(const char *path, struct bth_str *out) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        TEST_FAIL("%s is missing", path);
    }
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;) {
        bth_str_append(out, block, n);
    }
    fclose(f);
    CHECK(!out->failed);
}

#endif

/*
 * base/str.h - growing byte strings, and UTF-8.
 *
 * A bth_str remembers that an append failed (`failed`), so a writer may append freely and check
 * once. One owner, no lock. Zero-initialised is a valid empty string.
 */
#ifndef BTH_STR_H
#define BTH_STR_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_str {
    char *data; /* NUL-terminated once anything was appended, else NULL */
    size_t size, capacity;
    bool failed;
};

void bth_str_append(struct bth_str *s, const void *bytes, size_t n);
void bth_str_puts(struct bth_str *s, const char *text);
void bth_str_putc(struct bth_str *s, char c);
void bth_str_printf(struct bth_str *s, const char *fmt, ...) BTH_PRINTF(2, 3);
void bth_str_clear(struct bth_str *s); /* empty, memory kept */
void bth_str_finish(struct bth_str *s);
/* Never NULL. */
const char *bth_str_text(const struct bth_str *s);

/* Decodes one code point at p[0, n), n > 0. Returns the bytes used: for a valid sequence its
 * length; for an ill-formed one the length of its maximal subpart (>= 1) and *out = 0xFFFD, so that
 * replacing each gives what Python's errors="replace" gives. */
size_t bth_utf8_decode(const char *p, size_t n, uint32_t *out);
/* Byte c goes on with a code point that began before it. */
static inline bool bth_utf8_goes_on(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}
/* Where the code point ends that begins at byte `at` of s[0, n), at < n; where the one begins that
 * ends before byte `at`, at > 0. For text that is known to be valid; of other bytes something
 * within the bounds. */
static inline size_t bth_utf8_after(const char *s, size_t n, size_t at) {
    do {
        at++;
    } while (at < n && bth_utf8_goes_on(s[at]));
    return at;
}
static inline size_t bth_utf8_before(const char *s, size_t at) {
    do {
        at--;
    } while (at > 0 && bth_utf8_goes_on(s[at]));
    return at;
}
size_t bth_utf8_encode(uint32_t c, char out[4]); /* bytes written */
bool bth_utf8_valid(const char *p, size_t n);
/* Appends p[0, n) with U+FFFD for what is ill-formed. */
void bth_str_append_utf8(struct bth_str *s, const char *p, size_t n);

#endif

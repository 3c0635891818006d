#include "base/str.h"

#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool reserve(struct bth_str *s, size_t more) {
    if (s->failed) {
        return false;
    }
    size_t need;
    if (!bth_add(s->size, more, &need) || !bth_add(need, 1, &need)) {
        s->failed = true;
        return false;
    }
    if (need <= s->capacity) {
        return true;
    }
    size_t capacity = s->capacity ? s->capacity : 64;
    while (capacity < need) {
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    }
    char *data = bth_realloc(s->data, capacity);
    if (!data) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->capacity = capacity;
    return true;
}

void bth_str_append(struct bth_str *s, const void *bytes, size_t n) {
    if (reserve(s, n)) {
        if (n) {
            memcpy(s->data + s->size, bytes, n);
        }
        s->size += n;
        s->data[s->size] = '\0';
    }
}

void bth_str_puts(struct bth_str *s, const char *text) {
    bth_str_append(s, text, strlen(text));
}

void bth_str_putc(struct bth_str *s, char c) {
    bth_str_append(s, &c, 1);
}

void bth_str_printf(struct bth_str *s, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0 && reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->size, (size_t)n + 1, fmt, again);
        s->size += (size_t)n;
    }
    va_end(again);
}

void bth_str_clear(struct bth_str *s) {
    s->size = 0;
    if (s->data) {
        s->data[0] = '\0';
    }
}

void bth_str_finish(struct bth_str *s) {
    bth_free(s->data);
    *s = (struct bth_str){0};
}

const char *bth_str_text(const struct bth_str *s) {
    return s->data ? s->data : "";
}

/* Unicode 15 table 3-7: the range of the second byte decides what is well-formed. */
size_t bth_utf8_decode(const char *p, size_t n, uint32_t *out) {
    const unsigned char *b = (const unsigned char *)p;
    unsigned char c = b[0], low = 0x80, high = 0xBF;
    size_t need;
    uint32_t cp;
    if (c < 0x80) {
        *out = c;
        return 1;
    } else if (c >= 0xC2 && c <= 0xDF) {
        need = 1;
        cp = c & 0x1FU;
    } else if (c >= 0xE0 && c <= 0xEF) {
        need = 2;
        cp = c & 0x0FU;
        low = c == 0xE0 ? 0xA0 : 0x80;
        high = c == 0xED ? 0x9F : 0xBF;
    } else if (c >= 0xF0 && c <= 0xF4) {
        need = 3;
        cp = c & 0x07U;
        low = c == 0xF0 ? 0x90 : 0x80;
        high = c == 0xF4 ? 0x8F : 0xBF;
    } else {
        *out = 0xFFFD;
        return 1;
    }
    for (size_t i = 1; i <= need; i++) {
        if (i >= n || b[i] < low || b[i] > high) {
            *out = 0xFFFD;
            return i;
        }
        cp = cp << 6 | (b[i] & 0x3FU);
        low = 0x80;
        high = 0xBF;
    }
    *out = cp;
    return need + 1;
}

size_t bth_utf8_encode(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

bool bth_utf8_valid(const char *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t used = bth_utf8_decode(p + i, n - i, &c);
        if (c == 0xFFFD && !(used == 3 && memcmp(p + i, "\xEF\xBF\xBD", 3) == 0)) {
            return false;
        }
        i += used;
    }
    return true;
}

void bth_str_append_utf8(struct bth_str *s, const char *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        char utf8[4];
        i += bth_utf8_decode(p + i, n - i, &c);
        bth_str_append(s, utf8, bth_utf8_encode(c, utf8));
    }
}

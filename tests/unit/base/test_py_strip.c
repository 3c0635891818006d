/* bth_py_strip on every code point, and on ill-formed text. */
#include "base/pystr.h"
#include "base/str.h"
#include "lib/test.h"

/* CPython 3.11: [c for c in range(0x110000) if chr(c).isspace()] */
static const uint32_t spaces[] = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x1C,   0x1D,   0x1E,
                                  0x1F,   0x20,   0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002,
                                  0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A,
                                  0x2028, 0x2029, 0x202F, 0x205F, 0x3000};

static bool listed(uint32_t c) {
    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        if (spaces[i] == c) {
            return true;
        }
    }
    return false;
}

static void stripped(const char *text, size_t n, size_t start, size_t size) {
    char *copy = malloc(n ? n : 1); /* exact: a sanitizer sees one byte too many */
    size_t got;
    CHECK(copy);
    if (n) {
        memcpy(copy, text, n);
    }
    const char *p = bth_py_strip(copy, n, &got);
    CHECK_INT(p - copy, start);
    CHECK_INT(got, size);
    free(copy);
}

int main(void) {
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000) {
            continue;
        }
        char text[9];
        size_t n = bth_utf8_encode(c, text), size;
        text[n] = 'x';
        bth_utf8_encode(c, text + n + 1);
        const char *p = bth_py_strip(text, 2 * n + 1, &size);
        CHECK_INT(p - text, listed(c) ? n : 0);
        CHECK_INT(size, listed(c) ? 1 : 2 * n + 1);
    }
    stripped("", 0, 0, 0);
    stripped("   ", 3, 3, 0);
    stripped(" \xE3\x80\x80", 4, 4, 0);
    stripped("a b", 3, 0, 3);
    stripped(" \t a b\n", 7, 3, 3);
    /* ill-formed bytes are no white space */
    stripped("\xE3\x80", 2, 0, 2);
    stripped("\x80\x80", 2, 0, 2);
    stripped(" \xC2", 2, 1, 1);
    stripped("a\xA0 ", 3, 0, 2);
    return 0;
}

#include "base/pystr.h"
#include "lib/test.h"

static void repr(double x, const char *expected) {
    struct bth_str s = {0};
    bth_py_repr_float(&s, x);
    CHECK_STR(bth_str_text(&s), expected);
    bth_str_finish(&s);
}

static void stripped(const char *s, const char *expected) {
    size_t n;
    const char *p = bth_py_strip(s, strlen(s), &n);
    CHECK_INT(n, strlen(expected));
    CHECK(memcmp(p, expected, n) == 0);
}

/* Expected values are CPython 3.11's. test_output.c has some hundred floats more. */
int main(void) {
    repr(0.0, "0.0");
    repr(-0.0, "-0.0");
    repr(1.0, "1.0");
    repr(0.1, "0.1");
    repr(0.1 + 0.2, "0.30000000000000004");
    repr(1e15, "1000000000000000.0");
    repr(1e16, "1e+16");
    repr(123456.5, "123456.5");
    repr(1e-4, "0.0001");
    repr(-1.25e-5, "-1.25e-05");
    repr(5e-324, "5e-324");
    repr(INFINITY, "inf");
    repr(NAN, "nan");
    stripped("", "");
    stripped(" \t\n\x1c\xC2\x85\xE3\x80\x80", "");
    stripped("\xC2\xA0 a b\xE2\x80\xA8", "a b");
    stripped("\xE2\x80\x8B x", "\xE2\x80\x8B x");
    stripped("a", "a");
    return 0;
}

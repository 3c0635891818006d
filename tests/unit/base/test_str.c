#include "base/str.h"
#include "lib/test.h"

static void replaced(const char *in, size_t n, const char *expected) {
    struct bth_str s = {0};
    bth_str_append_utf8(&s, in, n);
    CHECK_STR(bth_str_text(&s), expected);
    bth_str_finish(&s);
}

/* Expected values are CPython 3.11's bytes.decode("utf-8", "replace"). */
int main(void) {
    replaced("abc", 3, "abc");
    replaced("\xF0\x9F\x98\x80", 4, "\xF0\x9F\x98\x80");
    replaced("\xE2\x82", 2, "\xEF\xBF\xBD");
    replaced("\xE2\x28\xA1", 3, "\xEF\xBF\xBD(\xEF\xBF\xBD");
    replaced("\xF0\x80\x80\x41", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                    "A");
    replaced("\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    replaced("\xC0\xAF", 2, "\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(bth_utf8_valid("\xEF\xBF\xBD", 3));
    CHECK(!bth_utf8_valid("\xFF", 1));
    struct bth_str s = {0};
    bth_str_printf(&s, "%d-%s", 7, "x");
    bth_str_putc(&s, '!');
    CHECK_STR(bth_str_text(&s), "7-x!");
    bth_str_finish(&s);
    return 0;
}

#include "base/base64.h"
#include "lib/test.h"

static void test_known(void) { /* RFC 4648, section 10 */
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xfb\xff\xfe", "+//+"}};
    for (size_t i = 0; i < BTH_COUNT(pairs); i++) {
        struct bth_str out = {0};
        char back[8] = {0};
        size_t n = strlen(pairs[i][0]);
        bth_base64_append(&out, pairs[i][0], n);
        CHECK_STR(bth_str_text(&out), pairs[i][1]);
        CHECK(bth_base64_decode(pairs[i][1], strlen(pairs[i][1]), back, n));
        CHECK_STR(back, pairs[i][0]);
        bth_str_finish(&out);
    }
}

static void test_bad(void) {
    char out[8];
    CHECK(!bth_base64_decode("Zg==", 4, out, 2));
    CHECK(!bth_base64_decode("Zm9v", 4, out, 2));
    CHECK(!bth_base64_decode("Zm8=", 4, out, 3));
    CHECK(!bth_base64_decode("Zm8", 3, out, 2));
    CHECK(!bth_base64_decode("Zm=8", 4, out, 2));
    CHECK(!bth_base64_decode("Z\0==", 4, out, 1));
    CHECK(!bth_base64_decode("Zm9v", 4, out, (size_t)-1));
    CHECK(!bth_base64_decode("Zm9vZm9v", 8, out, 3));
    CHECK(bth_base64_decode("", 0, out, 0));
}

int main(void) {
    test_known();
    test_bad();
    return 0;
}

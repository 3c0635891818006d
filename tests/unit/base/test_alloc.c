#include "base/alloc.h"
#include "lib/test.h"

static void counting(void) {
    void *a = bth_alloc(0), *b = bth_calloc(0, 8);
    CHECK(a && b);
    CHECK_INT(bth_alloc_live(), 2);
    a = bth_realloc(a, 100);
    CHECK(a);
    CHECK_INT(bth_alloc_live(), 2);
    void *c = bth_realloc(NULL, 10);
    CHECK_INT(bth_alloc_live(), 3);
    bth_free(a);
    bth_free(b);
    bth_free(c);
    bth_free(NULL);
    CHECK_INT(bth_alloc_live(), 0);
}

static void overflows(void) {
    size_t r = 7;
    CHECK(!bth_mul(SIZE_MAX / 2 + 1, 2, &r) && !bth_add(SIZE_MAX, 1, &r) && r == 7);
    CHECK(bth_mul(SIZE_MAX / 2, 2, &r) && r == SIZE_MAX - 1);
    CHECK(bth_add(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    CHECK(!bth_realloc_array(NULL, SIZE_MAX / 2, 3));
    void *p = bth_alloc(4);
    CHECK(p && !bth_realloc_array(p, SIZE_MAX / 2, 3));
    bth_free(p); /* still there */
    CHECK_INT(bth_alloc_live(), 0);
}

static void strings(void) {
    char *a = bth_strdup("abc"), *b = bth_strndup("abc", 2), *c = bth_printf("%s-%d", "x", 7);
    CHECK(!bth_strdup(NULL));
    CHECK_STR(a, "abc");
    CHECK_STR(b, "ab");
    CHECK_STR(c, "x-7");
    char *d = bth_memdup(c, 4);
    CHECK_STR(d, "x-7");
    void *none = bth_memdup(NULL, 0);
    CHECK(none);
    bth_free(a);
    bth_free(b);
    bth_free(c);
    bth_free(d);
    bth_free(none);
    CHECK_INT(bth_alloc_live(), 0);
}

static void failing(void) {
    bth_alloc_fail_at(2);
    void *a = bth_alloc(1);
    CHECK(a && !bth_alloc_failed());
    CHECK(!bth_realloc(a, 10) && bth_alloc_failed()); /* the old block stays */
    void *b = bth_alloc(1);                           /* once only */
    CHECK(b && bth_alloc_failed());
    bth_alloc_fail_at(1);
    CHECK(!bth_alloc_failed() && !bth_strdup("x"));
    bth_alloc_fail_at(5);
    bth_alloc_fail_at(0);
    for (int i = 0; i < 10; i++) {
        void *p = bth_alloc(1);
        CHECK(p);
        bth_free(p);
    }
    CHECK(!bth_alloc_failed());
    bth_free(a);
    bth_free(b);
    CHECK_INT(bth_alloc_live(), 0);
}

int main(void) {
    counting();
    overflows();
    strings();
    failing();
    return 0;
}

#include "base/alloc.h"
#include "base/arena.h"
#include "lib/test.h"
#include <stdint.h>

int main(void) {
    struct bth_arena a = {0};
    char *none = bth_arena_alloc(&a, 0); /* a place in a chunk, even as the first */
    CHECK(none && a.chunks && none >= (char *)a.chunks);
    bth_arena_finish(&a);
    static unsigned char *blocks[500];
    static size_t sizes[500];
    unsigned long long seed = 1;
    for (int i = 0; i < 500; i++) {
        sizes[i] = test_rand(&seed) % (i % 50 == 0 ? 20000 : 100);
        blocks[i] = bth_arena_alloc(&a, sizes[i]);
        CHECK(blocks[i] && (uintptr_t)blocks[i] % 16 == 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            CHECK_INT(blocks[i][k], 0);
        }
        memset(blocks[i], i & 255, sizes[i]);
    }
    for (int i = 0; i < 500; i++) { /* no block reaches into another */
        for (size_t k = 0; k < sizes[i]; k++) {
            CHECK_INT(blocks[i][k], i & 255);
        }
    }
    CHECK_STR(bth_arena_strndup(&a, "abcdef", 3), "abc");
    CHECK_STR(bth_arena_strndup(&a, NULL, 0), "");
    CHECK(memcmp(bth_arena_memdup(&a, "xyz", 3), "xyz", 3) == 0);
    CHECK(!bth_arena_alloc(&a, SIZE_MAX) && !bth_arena_alloc(&a, SIZE_MAX - 15));
    bth_arena_finish(&a);
    CHECK_INT(bth_alloc_live(), 0);

    bth_alloc_fail_at(1);
    CHECK(!bth_arena_alloc(&a, 1));
    CHECK(bth_arena_alloc(&a, 1)); /* empty and usable, also after a failure */
    bth_alloc_fail_at(1);
    CHECK(!bth_arena_strndup(&a, "x", 1) == bth_alloc_failed());
    bth_alloc_fail_at(1);
    CHECK(!bth_arena_alloc(&a, 1 << 20));
    bth_alloc_fail_at(0);
    CHECK_STR(bth_arena_strndup(&a, "still", 5), "still");
    bth_arena_finish(&a);
    bth_arena_finish(&a);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

#include "base/alloc.h"
#include "core/table.h"
#include "lib/test.h"

struct row {
    uint64_t id;
    int value;
};

static void test_ids(void) {
    struct bth_table t;
    bth_table_init(&t, sizeof(struct row));
    CHECK(!bth_table_add(&t) && !bth_table_get(&t, 1) && !bth_table_next(&t, NULL));
    uint64_t ids[100];
    for (int i = 0; i < 100; i++) {
        CHECK(bth_table_reserve(&t, t.used + 1));
        struct row *r = bth_table_add(&t);
        r->value = i;
        ids[i] = r->id;
    }
    for (int i = 0; i < 100; i += 2) {
        bth_table_drop(&t, bth_table_get(&t, ids[i]));
    }
    CHECK_INT(t.used, 50);
    struct row *r = bth_table_add(&t);
    CHECK_INT(r->value, 0); /* zeroed */
    for (int i = 0; i < 100; i++) {
        struct row *found = bth_table_get(&t, ids[i]);
        CHECK(i % 2 ? found && found->value == i : !found);
        CHECK(r->id != ids[i]); /* never twice */
    }
    int n = 0;
    for (r = bth_table_next(&t, NULL); r; r = bth_table_next(&t, r)) {
        n++;
    }
    CHECK_INT(n, 51);
    CHECK(!bth_table_get(&t, 0) && !bth_table_get(&t, UINT64_MAX));
    bth_table_finish(&t);
}

static void test_failing_memory(void) {
    int64_t live = bth_alloc_live();
    for (int n = 1; n <= 3; n++) {
        struct bth_table t;
        bth_table_init(&t, sizeof(struct row));
        CHECK(bth_table_reserve(&t, 8));
        struct row *r = bth_table_add(&t);
        r->value = 7;
        uint64_t id = r->id;
        bth_alloc_fail_at(n);
        CHECK(!bth_table_reserve(&t, 9));
        bth_alloc_fail_at(0);
        r = bth_table_get(&t, id);
        CHECK(r && r->value == 7);
        CHECK(bth_table_reserve(&t, 9) && !bth_table_reserve(&t, (size_t)1 << 25));
        bth_table_finish(&t);
    }
    CHECK_INT(bth_alloc_live(), live);
}

int main(void) {
    test_ids();
    test_failing_memory();
    return 0;
}

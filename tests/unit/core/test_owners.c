/* Owners by their numbers: found, forgotten, and found again after the table has grown. */
#include "base/alloc.h"
#include "core/owners.h"
#include "lib/test.h"

enum { MANY = 500 };

/* Numbers that differ in their high bits only, and in their low ones only. */
static uint64_t nth(uint64_t i) {
    return i % 2 ? i << 40 | 1 : i + 7;
}

static void test_many(void) {
    struct bth_owners o;
    bth_owners_init(&o);
    CHECK(!bth_owners_find(&o, 1));
    for (uint64_t i = 0; i < MANY; i++) {
        CHECK(bth_owners_reserve(&o, o.rows.used + 1));
        CHECK(!bth_owners_find(&o, nth(i)));
        bth_owners_add(&o, nth(i))->leases = (uint32_t)i;
    }
    for (uint64_t i = 0; i < MANY; i += 3) {
        bth_owners_drop(&o, bth_owners_find(&o, nth(i)));
    }
    for (uint64_t i = 0; i < MANY; i++) {
        const struct bth_owner *row = bth_owners_find(&o, nth(i));
        CHECK((row == NULL) == (i % 3 == 0));
        CHECK(!row || (row->leases == i && row->owner == nth(i)));
        CHECK(!row || bth_table_get(&o.rows, row->id) == row);
    }
    bth_owners_finish(&o);
}

static void test_out_of_memory(void) {
    struct bth_owners o;
    for (uint64_t n = 1; n <= 4; n++) {
        bth_owners_init(&o);
        bth_alloc_fail_at(n);
        CHECK(!bth_owners_reserve(&o, 1));
        bth_alloc_fail_at(0);
        CHECK(bth_owners_reserve(&o, 1));
        bth_owners_add(&o, 9);
        bth_alloc_fail_at(n);
        CHECK(!bth_owners_reserve(&o, 100));
        bth_alloc_fail_at(0);
        CHECK(bth_owners_find(&o, 9) && bth_owners_reserve(&o, 100) && bth_owners_find(&o, 9));
        bth_owners_finish(&o);
    }
}

int main(void) {
    test_many();
    test_out_of_memory();
    return 0;
}

/* Expected times follow from what was seen, and are unknown where too little was. */
#include "base/clock.h"
#include "core/history.h"
#include "lib/test.h"

#define S BTH_NS_PER_S

static void test_usual(void) {
    struct bth_history h = {0};
    CHECK_INT(bth_history_usual(&h), BTH_UNKNOWN);
    for (int i = 1; i < BTH_HISTORY_LEAST; i++) {
        bth_history_add(&h, i * S);
    }
    CHECK_INT(bth_history_usual(&h), BTH_UNKNOWN); /* still too few */
    bth_history_add(&h, 100 * S);
    CHECK_INT(bth_history_usual(&h), 3 * S);
    CHECK_INT(bth_history_left(&h, 0), 3 * S);
    CHECK_INT(bth_history_left(&h, 2 * S), 98 * S); /* of 3 and 100 the upper */
    CHECK_INT(bth_history_left(&h, 50 * S), 50 * S);
    CHECK_INT(bth_history_left(&h, 100 * S), BTH_UNKNOWN); /* none was held for longer */
    for (int i = 0; i < BTH_HISTORY_HOLDS; i++) {
        bth_history_add(&h, i == 0 ? -5 : S); /* a clock that went back */
    }
    CHECK_INT(bth_history_usual(&h), S);
    CHECK_INT(bth_history_left(&h, 2 * S), BTH_UNKNOWN); /* the old ones have left */
}

static void test_overdue(void) {
    struct bth_history h = {0};
    CHECK(!bth_history_overdue(&h, 3600 * S)); /* nothing to compare with */
    for (int i = 0; i < BTH_HISTORY_LEAST; i++) {
        bth_history_add(&h, S / 10);
    }
    CHECK(!bth_history_overdue(&h, 30 * S) && bth_history_overdue(&h, 31 * S));
    bth_history_add(&h, 60 * S);
    CHECK(!bth_history_overdue(&h, 600 * S) && bth_history_overdue(&h, 611 * S));
}

static void test_wait(void) {
    CHECK_INT(bth_wait_expected(&(struct bth_wait){0}), 0);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){2 * S, 3, S, 4 * S}), 9 * S);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){2 * S, 0, BTH_UNKNOWN, 0}), 2 * S);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){2 * S, 1, BTH_UNKNOWN, 0}), BTH_UNKNOWN);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){BTH_UNKNOWN, 0, 0, 0}), BTH_UNKNOWN);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){0, 0, 0, BTH_UNKNOWN}), BTH_UNKNOWN);
    CHECK_INT(bth_wait_expected(&(struct bth_wait){0, UINT32_MAX, BTH_FOREVER / 5, 0}),
              BTH_UNKNOWN);
    CHECK(bth_wait_expected(&(struct bth_wait){BTH_FOREVER, 1, BTH_FOREVER / 5, BTH_FOREVER}) > 0);
    CHECK_INT(bth_load_left(3 * S, S), 2 * S);
    CHECK_INT(bth_load_left(3 * S, 3 * S), BTH_UNKNOWN); /* it takes longer than it did */
    CHECK_INT(bth_load_left(0, 0), BTH_UNKNOWN);         /* never loaded */
}

int main(void) {
    test_usual();
    test_overdue();
    test_wait();
    return 0;
}

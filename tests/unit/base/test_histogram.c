#include "base/clock.h"
#include "base/histogram.h"
#include "lib/test.h"

int main(void) {
    struct bth_histogram h = {0}, copy = {0};
    CHECK(bth_histogram_mean(&h) == 0);
    bth_histogram_add(&h, BTH_NS_PER_MS); /* a bound belongs to its bucket */
    bth_histogram_add(&h, BTH_NS_PER_MS + 1);
    bth_histogram_add(&h, -1);
    bth_histogram_add(&h, 1000 * BTH_NS_PER_S);
    CHECK_INT(h.buckets[0], 2);
    CHECK_INT(h.buckets[1], 1);
    CHECK_INT(h.buckets[BTH_HISTOGRAM_BUCKETS], 1);
    CHECK_INT(h.count, 4);
    CHECK_INT(h.sum_us, 1000002000);
    CHECK(bth_histogram_mean(&h) > 250 && bth_histogram_mean(&h) < 250.01);
    bth_histogram_copy(&copy, &h);
    CHECK(copy.count == 4 && copy.sum_us == h.sum_us && copy.buckets[0] == 2);
    for (int i = 1; i < BTH_HISTOGRAM_BUCKETS; i++) {
        CHECK(bth_histogram_bounds[i - 1] < bth_histogram_bounds[i]);
    }
    return 0;
}

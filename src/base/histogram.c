#include "base/histogram.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <stddef.h>

const double bth_histogram_bounds[BTH_HISTOGRAM_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 160};

static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void bth_histogram_add(struct bth_histogram *h, int64_t ns) {
    ns = BTH_MAX(ns, 0);
    const double seconds = (double)ns / (double)BTH_NS_PER_S;
    size_t i = 0;
    while (i < BTH_HISTOGRAM_BUCKETS && seconds > bth_histogram_bounds[i]) {
        i++;
    }
    count(&h->buckets[i], 1);
    count(&h->count, 1);
    count(&h->sum_us, (uint64_t)(ns / 1000));
}

double bth_histogram_mean(const struct bth_histogram *h) {
    const uint64_t n = load(&h->count);
    return n ? (double)load(&h->sum_us) / 1e6 / (double)n : 0;
}

void bth_histogram_copy(struct bth_histogram *to, const struct bth_histogram *from) {
    for (size_t i = 0; i < BTH_COUNT(to->buckets); i++) {
        atomic_store_explicit(&to->buckets[i], load(&from->buckets[i]), memory_order_relaxed);
    }
    atomic_store_explicit(&to->count, load(&from->count), memory_order_relaxed);
    atomic_store_explicit(&to->sum_us, load(&from->sum_us), memory_order_relaxed);
}

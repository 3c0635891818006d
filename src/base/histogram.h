/*
 * base/histogram.h - how long something takes, counted by size.
 *
 * All are relaxed atomics: each is a number by itself, so that who reads need not stop who counts.
 * Any thread. Zero-initialised is empty.
 */
#ifndef BTH_HISTOGRAM_H
#define BTH_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { BTH_HISTOGRAM_BUCKETS = 16 };

/* Seconds: the most that each bucket holds. */
extern const double bth_histogram_bounds[BTH_HISTOGRAM_BUCKETS];

struct bth_histogram {
    _Atomic uint64_t buckets[BTH_HISTOGRAM_BUCKETS + 1]; /* the last: larger than all bounds */
    _Atomic uint64_t count, sum_us;
};

/* Negative times count as none. */
void bth_histogram_add(struct bth_histogram *h, int64_t ns);
/* Seconds on average; 0: nothing yet. */
double bth_histogram_mean(const struct bth_histogram *h);
void bth_histogram_copy(struct bth_histogram *to, const struct bth_histogram *from);

#endif

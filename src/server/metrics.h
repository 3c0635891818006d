/*
 * server/metrics.h - counters of the server, as Prometheus wants them.
 *
 * All are relaxed atomics: each is a number by itself. Any thread.
 */
#ifndef BTH_METRICS_H
#define BTH_METRICS_H

#include "base/str.h"
#include <stdatomic.h>
#include <stdint.h>

enum { BTH_LATENCY_BUCKETS = 16 };

struct bth_histogram {
    _Atomic uint64_t buckets[BTH_LATENCY_BUCKETS + 1]; /* the last: larger than all bounds */
    _Atomic uint64_t count, sum_us;
};

struct bth_metrics {
    _Atomic uint64_t responses[6]; /* by the first digit of their status */
    _Atomic uint64_t refused_queue, refused_draining, refused_key, refused_host, slow, left;
    _Atomic uint64_t body_bytes;
    struct bth_histogram duration; /* of requests for a model, from head to the end */
    struct bth_histogram wait;     /* of them until the model was theirs */
};

static inline void bth_count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}
void bth_histogram_add(struct bth_histogram *h, int64_t ns);
/* Seconds on average; 0: nothing yet. */
double bth_histogram_mean(const struct bth_histogram *h);

/* One metric: its HELP and TYPE lines, then its value by the functions below. */
void bth_metric(struct bth_str *out, const char *name, const char *type, const char *help);
void bth_metric_histogram(struct bth_str *out, const char *name, const char *help,
                          const struct bth_histogram *h);
/* A label's value with what must be escaped. */
void bth_metric_label(struct bth_str *out, const char *text);

#endif

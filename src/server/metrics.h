/*
 * server/metrics.h - counters of the server, as Prometheus wants them.
 *
 * All are relaxed atomics: each is a number by itself. Any thread.
 */
#ifndef BTH_METRICS_H
#define BTH_METRICS_H

#include "base/histogram.h"
#include "base/str.h"
#include <stdatomic.h>
#include <stdint.h>

struct bth_metrics {
    _Atomic uint64_t responses[6]; /* by the first digit of their status */
    _Atomic uint64_t refused_queue, refused_draining, refused_key, refused_host, slow, left;
    _Atomic uint64_t body_bytes;
    struct bth_histogram duration; /* of requests for a model, from head to the end */
    struct bth_histogram wait;     /* of them until the model was theirs, */
    struct bth_histogram compute;  /* and from then on, for those that went well */
};

static inline void bth_count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* One metric: its HELP and TYPE lines, then its value by the functions below. */
void bth_metric(struct bth_str *out, const char *name, const char *type, const char *help);
void bth_metric_histogram(struct bth_str *out, const char *name, const char *help,
                          const struct bth_histogram *h);
/* A label's value with what must be escaped. */
void bth_metric_label(struct bth_str *out, const char *text);

#endif

#include "server/metrics.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <inttypes.h>

static const double bounds[BTH_LATENCY_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 160};

void bth_histogram_add(struct bth_histogram *h, int64_t ns) {
    double seconds = (double)ns / (double)BTH_NS_PER_S;
    size_t i = 0;
    while (i < BTH_LATENCY_BUCKETS && seconds > bounds[i]) {
        i++;
    }
    bth_count(&h->buckets[i]);
    bth_count(&h->count);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)(ns / 1000), memory_order_relaxed);
}

double bth_histogram_mean(const struct bth_histogram *h) {
    uint64_t n = atomic_load_explicit(&h->count, memory_order_relaxed);
    return n ? (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6 / (double)n : 0;
}

void bth_metric(struct bth_str *out, const char *name, const char *type, const char *help) {
    bth_str_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void bth_metric_histogram(struct bth_str *out, const char *name, const char *help,
                          const struct bth_histogram *h) {
    uint64_t below = 0;
    bth_metric(out, name, "histogram", help);
    for (size_t i = 0; i < BTH_LATENCY_BUCKETS; i++) {
        below += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        bth_str_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], below);
    }
    below += atomic_load_explicit(&h->buckets[BTH_LATENCY_BUCKETS], memory_order_relaxed);
    bth_str_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
    bth_str_printf(out, "%s_sum %.6f\n", name,
                   (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6);
    bth_str_printf(out, "%s_count %" PRIu64 "\n", name, below);
}

void bth_metric_label(struct bth_str *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') {
            bth_str_putc(out, '\\');
            bth_str_putc(out, *text);
        } else {
            bth_str_putc(out, *text == '\n' ? ' ' : *text);
        }
    }
}

#include "server/metrics.h"

#include "base/compiler.h"
#include <inttypes.h>

void bth_metric(struct bth_str *out, const char *name, const char *type, const char *help) {
    bth_str_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void bth_metric_histogram(struct bth_str *out, const char *name, const char *help,
                          const struct bth_histogram *h) {
    uint64_t below = 0;
    bth_metric(out, name, "histogram", help);
    for (size_t i = 0; i < BTH_HISTOGRAM_BUCKETS; i++) {
        below += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        bth_str_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bth_histogram_bounds[i],
                       below);
    }
    below += atomic_load_explicit(&h->buckets[BTH_HISTOGRAM_BUCKETS], memory_order_relaxed);
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

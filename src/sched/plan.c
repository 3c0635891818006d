#include "sched/plan.h"

#include "base/clock.h"
#include <stdbool.h>
#include <stdlib.h>

static const int64_t company_ns = 100 * BTH_NS_PER_MS;
static const int64_t most_lag_ns = 500 * BTH_NS_PER_MS;
static const int64_t priority_ns = 100 * BTH_NS_PER_MS;
enum { DEFAULT_PRIORITY = 5 };

/* Others of its model are at earlier stages and may join it. */
static bool expects_company(const struct bth_plan_entry *e, size_t n, size_t i) {
    for (size_t j = 0; j < n; j++) {
        if (e[j].model == e[i].model && e[j].stage < e[i].stage) {
            return true;
        }
    }
    return false;
}

static void work_out_due(struct bth_plan_entry *e, size_t n) {
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        least = e[i].spent < least ? e[i].spent : least;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t lag = e[i].spent - least;
        int64_t due = e[i].since + (lag < most_lag_ns ? lag : most_lag_ns) -
                      (e[i].priority - DEFAULT_PRIORITY) * priority_ns;
        if (expects_company(e, n, i)) {
            due += company_ns;
        }
        if (e[i].deadline != BTH_FOREVER && e[i].deadline - e[i].cost < due) {
            due = e[i].deadline - e[i].cost;
        }
        e[i].due = due;
    }
}

static int by_due(const void *a, const void *b) {
    const struct bth_plan_entry *x = a, *y = b;
    if (x->due != y->due) {
        return x->due < y->due ? -1 : 1;
    }
    return x->since < y->since ? -1 : x->since > y->since;
}

size_t bth_plan(struct bth_plan_entry *e, size_t n) {
    if (n == 0) {
        return 0;
    }
    work_out_due(e, n);
    qsort(e, n, sizeof(*e), by_due);
    size_t chosen = 1;
    uint32_t rows = e[0].rows;
    for (size_t i = 1; i < n; i++) {
        bool same = e[i].model == e[0].model && e[i].stage == e[0].stage && e[i].key == e[0].key;
        if (same && e[i].rows <= e[0].max_rows - (rows < e[0].max_rows ? rows : e[0].max_rows)) {
            struct bth_plan_entry next = e[i];
            e[i] = e[chosen];
            e[chosen++] = next;
            rows += next.rows;
        }
    }
    return chosen;
}

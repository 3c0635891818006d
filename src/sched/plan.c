#include "sched/plan.h"

#include "base/clock.h"
#include "sched/share.h"
#include <stdlib.h>

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static bool same_group(const struct bth_plan_entry *a, const struct bth_plan_entry *b) {
    return a->model == b->model && a->stage == b->stage && a->key == b->key;
}

/* Models together, in them stages in their order, in them keys. */
static int by_group(const void *a, const void *b) {
    const struct bth_plan_entry *x = a, *y = b;
    int c = compare((uintptr_t)x->model, (uintptr_t)y->model);
    if (c == 0) {
        c = x->stage < y->stage ? -1 : x->stage > y->stage;
    }
    return c ? c : compare(x->key, y->key);
}

/* Rules 1 to 3 of the header. Total, so that no decision depends on the order of the array. */
static int by_turn(const void *a, const void *b) {
    const struct bth_plan_entry *x = a, *y = b;
    if (x->used != y->used) {
        return x->used < y->used ? -1 : 1;
    }
    if (x->due != y->due) {
        return x->due < y->due ? -1 : 1;
    }
    return compare(x->seq, y->seq);
}

static int64_t due(const struct bth_plan_entry *e) {
    int64_t at = e->since - (e->priority - BTH_DEFAULT_PRIORITY) * BTH_PLAN_PRIORITY_NS;
    if (e->deadline != BTH_FOREVER && e->deadline - e->cost < at) {
        at = e->deadline - e->cost;
    }
    return at;
}

/* e is sorted by group. */
static void work_out(struct bth_plan_entry *e, size_t n, int64_t now) {
    size_t model = 0; /* where the run of this model begins */
    for (size_t group = 0, end; group < n; group = end) {
        uint64_t rows = 0;
        for (end = group; end < n && same_group(&e[group], &e[end]); end++) {
            rows += e[end].rows;
        }
        if (e[group].model != e[model].model) {
            model = group;
        }
        bool company = e[model].stage < e[group].stage && rows < e[group].max_rows;
        for (size_t i = group; i < end; i++) {
            e[i].due = due(&e[i]);
            e[i].early = company && now < e[i].since + BTH_PLAN_COMPANY_NS;
        }
    }
}

static void swap(struct bth_plan_entry *a, struct bth_plan_entry *b) {
    struct bth_plan_entry t = *a;
    *a = *b;
    *b = t;
}

/* There is one: a model's earliest stage waits for nobody. */
static size_t choose_leader(const struct bth_plan_entry *e, size_t n) {
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (!e[i].early && (best == n || by_turn(&e[i], &e[best]) < 0)) {
            best = i;
        }
    }
    return best;
}

size_t bth_plan(struct bth_plan_entry *e, size_t n, int64_t now) {
    if (n == 0) {
        return 0;
    }
    qsort(e, n, sizeof(*e), by_group);
    work_out(e, n, now);
    swap(&e[0], &e[choose_leader(e, n)]);
    size_t group = 1;
    for (size_t i = 1; i < n; i++) {
        if (same_group(&e[0], &e[i])) {
            swap(&e[group++], &e[i]);
        }
    }
    qsort(e + 1, group - 1, sizeof(*e), by_turn);
    size_t chosen = 1;
    uint64_t rows = e[0].rows;
    for (size_t i = 1; i < group; i++) {
        if (rows + e[i].rows <= e[0].max_rows) {
            rows += e[i].rows;
            swap(&e[chosen++], &e[i]);
        }
    }
    return chosen;
}

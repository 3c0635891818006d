/*
 * sched/plan.h - which turn comes next: a pure function of what waits.
 *
 * Entries with equal (model, stage, key) may share a turn. The entry that is due first leads; others of
 * its group ride along, first due first, while the stage has rows for them. An entry is due at
 *
 *     since                  when it began to wait for this turn: so everyone gets turns in rotation,
 *                            and a long request never delays another by more than a turn
 *   + company (100 ms)       if sessions of its model are on their way to its stage: a turn that costs
 *                            about the same for one row as for many waits a little to be fuller
 *   + what its caller has used more than the least served caller that waits, up to 500 ms
 *   - 100 ms per priority above the default
 *
 * and no later than its deadline minus the cost of the turn, if it has a deadline. Nobody starves: the
 * terms are bounded, so an entry that has waited 1.5 s longer than another of at most its priority comes
 * first.
 */
#ifndef BTH_PLAN_H
#define BTH_PLAN_H

#include <stddef.h>
#include <stdint.h>

struct bth_plan_entry {
    const void *model;
    int32_t stage;
    uint64_t key;
    uint32_t rows;     /* wanted */
    uint32_t max_rows; /* of the stage */
    int64_t since;
    int64_t deadline; /* BTH_FOREVER: none */
    int64_t cost;     /* of a turn, ns */
    int64_t spent;    /* device time of its caller lately, ns */
    int priority;     /* 0 to 9 */
    int64_t due;      /* worked out by bth_plan */
    void *job;        /* the caller's */
};

/* Puts the entries of the next turn first in e[0, n) and returns how many they are; 0 for n = 0.
 * e is reordered. */
size_t bth_plan(struct bth_plan_entry *e, size_t n);

#endif

/*
 * sched/plan.h - which turn comes next: a pure function of what waits.
 *
 * Entries with equal (model, stage, key) may share a turn. One leads; others of its group ride
 * along while the stage has rows for them. Who leads:
 *
 *   1. the caller whose account is lowest (share.h), so that no caller is crowded out by another's
 *      many requests, and who comes anew waits for no more than a turn of each other caller;
 *   2. of one caller's entries the one due first. Due is the moment when it began to wait for this
 *      turn, 100 ms earlier per priority above the default, later per priority below, and never
 * later than its deadline minus the cost of the turn. So one's requests take turns in rotation: a
 * long one never delays a short one by more than a turn of each;
 *   3. the older submission.
 *
 * Riders are taken in the same order. They cost little, and they are charged for their part.
 *
 * Company: a turn of many rows costs little more than one of few, so an entry that has waited less
 * than 100 ms does not lead while sessions of its model wait at an earlier stage (they are on their
 * way to join it) and its group would not fill a turn. It may ride.
 *
 * Nobody starves: rule 1 gives every caller its share, rule 2 every entry a place that others
 * cannot pass once they are 100 ms per priority younger, and company ends after 100 ms.
 */
#ifndef BTH_PLAN_H
#define BTH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTH_PLAN_COMPANY_NS  INT64_C(100000000)
#define BTH_PLAN_PRIORITY_NS INT64_C(100000000)

struct bth_plan_entry {
    const void *model; /* an identity */
    int32_t stage;
    uint32_t rows; /* wanted */
    uint64_t key;
    uint32_t max_rows; /* of a turn */
    int priority;      /* 0 to 9 */
    int64_t since;     /* when it began to wait */
    int64_t deadline;  /* BTH_FOREVER: none */
    int64_t cost;      /* of the turn, ns */
    int64_t used;      /* its caller's account */
    uint64_t seq;      /* of the submission: unique */
    void *job;         /* the caller's */

    /* worked out by bth_plan */
    int64_t due;
    bool early; /* waits for company */
};

/* Puts the entries of the next turn first in e[0, n), the leader before all, and returns how many
 * they are; 0 only for n = 0. The order of the rest is not specified. */
size_t bth_plan(struct bth_plan_entry *e, size_t n, int64_t now);

#endif

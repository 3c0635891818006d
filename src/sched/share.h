/*
 * sched/share.h - fair shares of a device among caller ids.
 *
 * Every caller id has an account of the device time that its turns have taken, on a virtual clock:
 * a turn of priority p takes cost * 2^(5 - p). Whoever has taken least goes first, so callers that
 * always have something waiting get equal shares however many requests each of them has; a step of
 * priority doubles a share. The virtual clock is where the last turn's leader stood. A caller that
 * had nothing waiting is lifted to it: idle time saves up nothing. One that is ahead of it stays
 * ahead, also while it has no job, until the clock has come by. (Goyal, Vin, Chen: "Start-time fair
 * queueing", 1996; there too the bound: of two callers that wait all the time neither gets more
 * than the other by more than a turn of each.)
 *
 * No clock, no thread, no lock inside: costs and moments come in. One owner.
 */
#ifndef BTH_SHARE_H
#define BTH_SHARE_H

#include "base/list.h"
#include <stddef.h>
#include <stdint.h>

#define BTH_DEFAULT_PRIORITY 5

struct bth_account {
    struct bth_list link;
    size_t n_jobs;
    int64_t used;   /* on the virtual clock, ns */
    uint64_t round; /* when it last had something waiting */
    uint64_t hash;
    char id[]; /* at most one account each */
};

struct bth_share {
    struct bth_list accounts; /* of callers with jobs, and of those who are ahead */
    size_t n_jobs;
    int64_t clock;
    uint64_t round;
};

void bth_share_init(struct bth_share *s);
void bth_share_finish(struct bth_share *s);

/* The account of a caller, for one more job; given back with leave. NULL when out of memory. */
struct bth_account *bth_share_join(struct bth_share *s, const char *id);
void bth_share_leave(struct bth_share *s, struct bth_account *a);

/* Before each plan: a new round, then `waits` for everyone who has something waiting. */
void bth_share_begin(struct bth_share *s);
void bth_share_waits(struct bth_share *s, struct bth_account *a);
/* A turn that `a` leads is about to run. */
void bth_share_leads(struct bth_share *s, const struct bth_account *a);
void bth_share_charge(struct bth_account *a, int64_t cost_ns, int priority);

#endif

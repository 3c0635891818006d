/*
 * core/history.h - how long leases on a model were held of late, and what follows for those who
 * wait now.
 *
 * Only what was seen counts: where too little is known the answer is BTH_UNKNOWN, never a guess.
 * Pure: no clock, no lock. All times are nanoseconds.
 */
#ifndef BTH_HISTORY_H
#define BTH_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define BTH_UNKNOWN INT64_C(-1)

/* The last ones, and how few of them say nothing yet. */
enum { BTH_HISTORY_HOLDS = 64, BTH_HISTORY_LEAST = 4 };

/* Zero-initialised is empty. */
struct bth_history {
    int64_t holds[BTH_HISTORY_HOLDS]; /* a ring */
    uint32_t n, next;
};

void bth_history_add(struct bth_history *h, int64_t held);
/* The median. */
int64_t bth_history_usual(const struct bth_history *h);
/* Of a lease that is held for `elapsed` already: how much longer, by the median of those that were
 * held longer than that. */
int64_t bth_history_left(const struct bth_history *h, int64_t elapsed);
/* Held for more than 30 seconds, and for more than ten times the longest of the last ones. */
bool bth_history_overdue(const struct bth_history *h, int64_t elapsed);

/*
 * What a ticket waits for, as far as it can be told.
 */
struct bth_wait {
    int64_t holders_left; /* until the last of those who keep it away has gone; 0: nobody does */
    uint32_t turns;       /* in the queue before it, those who go together counted once */
    int64_t usual;        /* a turn's time */
    int64_t load_left;    /* of the load that it needs, 0: none */
};
/* How long it will wait yet. */
int64_t bth_wait_expected(const struct bth_wait *w);
/* A load that took `last` the last time and began `elapsed` ago; one that takes longer than it did
 * is not known to end. */
int64_t bth_load_left(int64_t last, int64_t elapsed);

#endif

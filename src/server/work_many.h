/*
 * server/work_many.h - many texts of one request: a job each, several at once, answered in order.
 *
 * The jobs run under the request's one lease. A text that fails has its error in its place, and the
 * others go on; where results are gathered, one that fails is the request's end. The answer is
 * written as it comes, and no further than the client reads: the desk's, like all of work.h.
 */
#ifndef BTH_WORK_MANY_H
#define BTH_WORK_MANY_H

#include "base/str.h"
#include <berth/error.h>
#include <berth/types.h>

struct bth_exchange;
struct bth_job;

/* For those whose answer is one piece: results are handed over in their order instead of written.
 */
struct bth_gather {
    /* Result i. What it fails with is the whole request's error. */
    int (*take)(struct bth_exchange *x, size_t i, const struct berth_item *item,
                struct berth_error *err);
    /* All are there. 0: `out` has the answer. 1: once more, with new texts and another
     * work.model. */
    int (*finish)(struct bth_exchange *x, struct bth_str *out, struct berth_error *err);
};

/* Enough to fill the batches of a model, few enough to leave others room. */
enum { BTH_MANY_AT_ONCE = 32 };

struct bth_many {
    /* the route's */
    struct berth_input *texts; /* [n], bth_free'd with it */
    size_t n;
    const char *open, *between, *close; /* round the results, which are the reply's */
    const struct bth_gather *gather;    /* in their place; or NULL */

    /* the desk's */
    size_t submitted, answered;
    struct bth_many_slot {
        struct bth_job *job; /* NULL: it was refused */
        struct berth_error err;
    } slots[BTH_MANY_AT_ONCE]; /* text i is in i % BTH_MANY_AT_ONCE */
};

/* Submits, takes results and writes them, as far as that goes without waiting. */
void bth_many_go(struct bth_exchange *x);
void bth_many_cancel(struct bth_many *m);
/* Frees it and its jobs. NULL is allowed. */
void bth_many_destroy(struct bth_many *m);

#endif

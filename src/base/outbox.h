/*
 * base/outbox.h - what a request has given so far, until its caller takes it.
 *
 * The half of a request that its caller's threads and its producer share, whoever that is: the
 * scheduler of this process (sched/job.h) or the transfer from a daemon (client/remote_job.h). The
 * producer puts items and completes it, exactly once; the caller waits, takes, or is told. It is
 * part of the request's object, whose references it counts.
 *
 * Any thread, its own lock (rank result). Two callbacks: on_event under that lock, so that it never
 * comes once on_event(NULL) has returned; on_room with nothing held.
 */
#ifndef BTH_OUTBOX_H
#define BTH_OUTBOX_H

#include "base/sync.h"
#include <berth/error.h>
#include <berth/types.h>
#include <stddef.h>

struct bth_outbox {
    struct bth_mutex lock;
    struct bth_cond changed;
    int refs GUARDED_BY(result);
    enum berth_job_state state GUARDED_BY(result);
    struct berth_item **items GUARDED_BY(result); /* ring [capacity] of partial ones */
    size_t first GUARDED_BY(result), n GUARDED_BY(result);
    struct berth_item *final GUARDED_BY(result);
    bool taken GUARDED_BY(result); /* the final item has been */
    bool wants_room GUARDED_BY(result);
    struct berth_error error GUARDED_BY(result);
    double done GUARDED_BY(result), total GUARDED_BY(result);
    void (*on_event)(void *arg) GUARDED_BY(result); /* or NULL */
    void *on_event_arg GUARDED_BY(result);
    /* constant */
    size_t capacity, block;
    void (*on_room)(struct bth_outbox *o);
};

/* Zeroed memory becomes an empty one of one reference. capacity: partial items that have room, 0:
 * none are kept. block: so many come at once (has_room). on_room(o): the caller has made room that
 * the producer waits for. ENOMEM: nothing to finish. */
int bth_outbox_init(struct bth_outbox *o, size_t capacity, size_t block,
                    void (*on_room)(struct bth_outbox *o), struct berth_error *err);
void bth_outbox_finish(struct bth_outbox *o);
void bth_outbox_ref(struct bth_outbox *o);
bool bth_outbox_unref(struct bth_outbox *o) BTH_NODISCARD; /* that was the last */

/* ---- the producer ---- */

/* Takes the item over, and its progress. A partial one is kept for the caller unless none are, or
 * all is over; the final one until the completion. false: there was no room, the item is dropped.
 */
bool bth_outbox_put(struct bth_outbox *o, struct berth_item *item);
/* Room for a block? If not, on_room comes when there is. True when all is over. */
bool bth_outbox_has_room(struct bth_outbox *o);
void bth_outbox_running(struct bth_outbox *o);
void bth_outbox_advance(struct bth_outbox *o, double done, double total);
/* The end. err NULL or code 0: it went well, if the final item is there. false: it had ended
 * before, and stays as it was. */
bool bth_outbox_complete(struct bth_outbox *o, const struct berth_error *err);

/* ---- the caller: as the calls of berth.h ---- */

int bth_outbox_next(struct bth_outbox *o, int64_t deadline, struct berth_item **out,
                    struct berth_error *err);
int bth_outbox_wait(struct bth_outbox *o, int64_t deadline, struct berth_item **out,
                    struct berth_error *err);
enum berth_job_state bth_outbox_state(struct bth_outbox *o);
void bth_outbox_progress(struct bth_outbox *o, double *done, double *total);
void bth_outbox_on_event(struct bth_outbox *o, void (*fn)(void *arg), void *arg);

#endif

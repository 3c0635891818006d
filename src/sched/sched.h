/*
 * sched/sched.h - from requests to turns on one device, and results back.
 *
 * Layer sched: one device thread owns all sessions of its device; the schedulers of one manager's
 * devices are a group, in which core says where each request runs. Other threads post events
 * (submit, cancel, granted, host work done). Which turn comes next is a pure function (plan.h) of
 * what waits. It knows engines only by engine.h, models only by their uses (core/manager.h).
 *
 * Lock rank: sched for the event queue, result for a job. Neither is held across an engine call.
 */
#ifndef BTH_SCHED_H
#define BTH_SCHED_H

#include "base/sync.h"
#include "core/manager.h"
#include <berth/berth.h>
#include <berth/engine.h>

struct bth_sched;
struct bth_job;

struct bth_sched_config {
    int host_threads;   /* pool for host-lane turns; 0: they run on the device's thread */
    size_t max_jobs;    /* queued and running; beyond it EOVERLOADED; 0: 1,024 */
    size_t max_results; /* items a job holds before it is parked; 0: 64 */
    /* The first of the group that this one joins, as number 1, 2 ... of its devices; NULL: it is
     * number 0 of a new one. All are made before anything is submitted. */
    struct bth_sched *first;
    struct bth_manager *manager; /* is told when the device fails for good; NULL: nobody is */
    /* NULL: bth_now, and a thread that runs the turns. Else (simulations) the time is this, and the
     * owner runs the turns with bth_sched_step; host_threads must be 0. */
    int64_t (*clock)(void);
};

int bth_sched_create(const struct bth_sched_config *config, struct bth_sched **out,
                     struct berth_error *err);
/* Cancels the jobs of a lease, in the whole group. Does not wait; may be called with core's lock
 * held. */
void bth_sched_cancel(struct bth_sched *s, const struct bth_lease *lease);
/* Takes no more jobs, cancels those there are, waits until all sessions have ended, stops the
 * device's thread. Job handles stay valid. NULL is allowed. false: an engine's call has not come
 * back BTH_STUCK_NS after that, or it was given up; it is left behind with its thread and all that
 * it uses, for there is no way to end it. */
bool bth_sched_destroy(struct bth_sched *s) BLOCKING;

/*
 * A hanging device. A job has not ended `limit` (as a rule BTH_STUCK_NS) after its cancel or its
 * deadline: an engine's call does not come back, and no other job of the device can run. */
#define BTH_STUCK_NS INT64_C(30000000000)
bool bth_sched_is_stuck(struct bth_sched *s, int64_t limit);
/* Gives the device up: all its jobs fail with `why` (code EDEVICE) at once, and so does what is
 * submitted from now on. Should the call come back after all, its thread ends what there is. */
void bth_sched_abandon(struct bth_sched *s, const struct berth_error *why);

/* Keeps the objects of the group (not their threads) for a handle that may outlive them. */
void bth_sched_ref(struct bth_sched *s);
void bth_sched_unref(struct bth_sched *s);

/* Starts a request under a lease, with any scheduler of the group. Deep-copies it; `request` is
 * well formed, maybe of another version (struct_size). EOVERLOADED, ESHUTDOWN, ELOST, EREVOKED,
 * EDEVICE, ENOMEM. */
int bth_sched_submit(struct bth_sched *s, struct bth_lease *lease,
                     const struct berth_request *request, struct bth_job **out,
                     struct berth_error *err);

/* What the device's thread does in a loop: reads all notes, ends what is too late, runs at most one
 * turn. Returns when it is due again if nothing is said before; not later than now after a turn. */
int64_t bth_sched_step(struct bth_sched *s);

/* As the berth_job_ calls of berth.h, with deadlines instead of time-outs. */
int bth_job_next(struct bth_job *job, int64_t deadline, struct berth_item **out,
                 struct berth_error *err);
enum berth_job_state bth_job_state(struct bth_job *job);
/* For the rest of them. */
struct bth_outbox *bth_job_results(struct bth_job *job);
void bth_job_cancel(struct bth_job *job);
void bth_job_free(struct bth_job *job);

/* When bth_sched_step last began, by the scheduler's clock. A device's thread with nothing to do
 * steps once a second, so an older time means one that hangs. */
int64_t bth_sched_stepped_at(struct bth_sched *s);

/* turns, rows, longest_turn_us of the device. */
void bth_sched_stats(struct bth_sched *s, struct berth_device_stats *out);

#endif

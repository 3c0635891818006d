/*
 * sched/turn.h - the device's half of the scheduler: everything that touches sessions.
 *
 *     note -> begin -> (bytes) -> [ next -> plan -> enqueue -> settle ]* -> end
 *
 * It does one thing per call and never waits: the device's thread (sched.c) calls it in a loop and
 * sleeps in between; the simulator calls it with a clock of its own. What waits is a list of jobs
 * in phases (job.h); what runs next plan.h says.
 *
 * Thread rule: one thread. Others reach it by notes only; bth_turns_stats may come from any.
 */
#ifndef BTH_TURN_H
#define BTH_TURN_H

#include "sched/host.h"
#include "sched/job.h"
#include "sched/plan.h"
#include "sched/share.h"

enum { BTH_MAX_BATCH = 256 }; /* most sessions of a turn */

/* What turns of a model's stages have cost: a moving average. */
struct bth_stage_costs;

struct bth_turns {
    int64_t (*clock)(void);
    struct bth_host *host;  /* NULL: host-lane turns run here */
    struct bth_list active; /* jobs that have begun and are not over */
    struct bth_share share;
    struct bth_plan_entry *entries; /* [max_jobs] */
    struct bth_stage_costs *costs;
    struct berth_session *sessions[BTH_MAX_BATCH]; /* of the turn at work */
    struct bth_job *jobs[BTH_MAX_BATCH];
    int status[BTH_MAX_BATCH];
    struct berth_error errors[BTH_MAX_BATCH];
    struct berth_error lost; /* code not 0: the device has failed for good, and why */

    struct bth_mutex lock; /* for bth_turns_stats */
    uint64_t n_turns GUARDED_BY(stats), n_rows GUARDED_BY(stats);
    int64_t longest_ns GUARDED_BY(stats);
};

/* At most max_jobs jobs will be in at a time. host_threads: 0 or the size of the pool. */
int bth_turns_init(struct bth_turns *t, int64_t (*clock)(void), size_t max_jobs, int host_threads,
                   struct berth_error *err);
/* No job may be in. Zeroed ones are allowed. */
void bth_turns_finish(struct bth_turns *t);

/* What another thread has left for this job: a set of enum bth_note. The job may be over, and
 * freed, when this returns. */
void bth_turns_note(struct bth_turns *t, struct bth_job *job, unsigned notes);

/* Ends what is past its deadline, then runs at most one turn. Returns when to call again if no note
 * comes: not later than now after a turn; BTH_FOREVER: never. */
int64_t bth_turns_run(struct bth_turns *t);

void bth_turns_stats(struct bth_turns *t, struct berth_device_stats *out);

/* sched.c's: the job is over; it takes no more notes. Before its result is published. */
void bth_sched_over(struct bth_sched *s, struct bth_job *job);
/* The device has failed for good: core is to know before anybody is told. */
void bth_sched_lost(struct bth_sched *s, const struct berth_error *why);

#endif

/*
 * sched/job.h - one request: its copy, its results, its place with the scheduler.
 *
 * Two halves. The results are shared with the caller's threads (base/outbox.h), and completed
 * exactly once. The other half belongs to the device's thread alone.
 */
#ifndef BTH_JOB_H
#define BTH_JOB_H

#include "base/arena.h"
#include "base/list.h"
#include "base/outbox.h"
#include "sched/sched.h"

struct bth_account; /* share.h */

/* What other threads have to say to the device's thread; guarded by the scheduler's lock. */
enum bth_note {
    BTH_NOTE_SUBMIT = 1,
    BTH_NOTE_GRANTED = 2, /* or refused: see admission */
    BTH_NOTE_CANCEL = 4,
    BTH_NOTE_HOST_DONE = 8, /* a host turn has run */
    BTH_NOTE_ROOM = 16      /* the caller has taken results */
};

enum bth_job_phase {
    BTH_JOB_NEW,     /* submitted */
    BTH_JOB_ADMIT,   /* waits for its bytes */
    BTH_JOB_READY,   /* waits for a turn */
    BTH_JOB_PARKED,  /* waits for room in its results */
    BTH_JOB_ON_HOST, /* a host thread has it */
    BTH_JOB_OVER
};

struct bth_job {
    struct bth_outbox results; /* shared with the caller's threads */

    /* set at submission, constant */
    struct bth_sched *sched;
    struct bth_arena arena; /* the request's copy */
    struct berth_request request;
    int fd;                        /* the request's duplicate of an FD input, or -1 */
    const struct bth_lease *lease; /* an identity, never looked into */
    int64_t deadline;
    uint64_t seq;

    /* the scheduler's lock */
    struct bth_list all, inbox;
    unsigned notes;
    int64_t cancelled_at; /* 0: not */
    bool posted;          /* notes wait in the inbox: from SUBMIT on */
    bool over;            /* no more notes */

    /* written by whoever grants, before the note GRANTED */
    int grant_rc;
    struct berth_error grant_error;

    /* device thread, and a host thread between bth_host_run and the note HOST_DONE */
    struct bth_list active;
    enum bth_job_phase phase;
    struct bth_account *account;
    struct bth_use use;
    struct berth_session *session;
    struct berth_sink sink;
    struct berth_want want;
    int64_t since;   /* when it began to wait; in the future: it is not to run before */
    int cancel_code; /* not 0: told to stop while a host thread had it */
    int retries;
    struct bth_list on_host;
    struct berth_error host_error; /* of a host turn's enqueue; code 0: none */
    void *host_turn;               /* berth_batch.turn */
};

/* A job with a deep copy of the request and one reference, or an error. */
int bth_job_create(const struct berth_request *request, size_t max_items, struct bth_job **out,
                   struct berth_error *err);
void bth_job_ref(struct bth_job *job);
void bth_job_unref(struct bth_job *job);

/* sched.c's: leaves a note for the device's thread; nothing once the job is over. */
void bth_sched_note(struct bth_sched *s, struct bth_job *job, unsigned note);

#endif

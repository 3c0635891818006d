/*
 * server/work.h - what the desk does for an exchange: acquire, submit, take results, answer.
 *
 *     NONE > LEASE > JOB > OVER        a request on a model (bth_work_run)
 *     NONE > LEASE > JOB > LEASE > JOB > OVER        on two, one after the other
 *     NONE > LEASE > OVER              a load
 *     NONE > UNLOAD > OVER             an unload
 *     NONE > JOB > OVER                a request under a session's lease
 *     NONE > SESSION > OVER            a session's stream
 *     NONE > WATCHING > OVER           a clean-up, a wait until a model is available, or a stream
 * of what happens NONE > OVER                      a lease asked for or given back (work_lease.c)
 *
 * The route fills `want` on the connection's thread and calls bth_work_begin; all that follows
 * happens on the desk. Whoever leaves, lets the job go at once.
 */
#ifndef BTH_WORK_H
#define BTH_WORK_H

#include "core/manager.h"
#include "server/form.h"
#include "server/loan.h"
#include "server/reply.h"
#include "server/session.h"
#include "server/work_many.h"
#include <sys/types.h>

struct bth_exchange;
struct bth_job;

enum bth_work_kind {
    BTH_WORK_RUN,
    BTH_WORK_LOAD,
    BTH_WORK_UNLOAD,
    BTH_WORK_OPEN_SESSION,
    BTH_WORK_ACQUIRE,
    BTH_WORK_RELEASE,
    BTH_WORK_AVAILABLE,
    BTH_WORK_CLEANUP,
    BTH_WORK_EVENTS,
    BTH_WORK_PLAN,
    BTH_WORK_PIN,
    BTH_WORK_PINS
};
enum bth_work_state {
    BTH_WORK_NONE,
    BTH_WORK_LEASE,
    BTH_WORK_JOB,
    BTH_WORK_UNLOADING,
    BTH_WORK_SESSION,
    BTH_WORK_WATCHING,
    BTH_WORK_OVER
};

/* What is asked of a session, or of a lease in it. */
struct bth_work_ask {
    char session[BTH_SESSION_ID_BYTES]; /* "": none */
    uint64_t lease;
    char loan[BTH_LOAN_ID_BYTES]; /* instead of the two above; "": none */
    int64_t ttl_ms;
    bool renew; /* only if it is there */
    bool exclusive;
    uint32_t max_concurrent;
    int priority;   /* above the usual one, or below */
    uint64_t owner; /* as the client calls it */
    char tag[64];
    pid_t pid;   /* of the client, 0: not known */
    int64_t uid; /* likewise, -1 */
    int64_t tid; /* as the client calls its thread; 0 */
    bool pin;    /* else the pin goes */
    bool force;  /* an unload, though others have pinned it */
};

struct bth_work {
    /* the route's, constant from bth_work_begin on */
    enum bth_work_kind kind;
    char model[64]; /* its full name */
    struct berth_request request;
    struct berth_option options[BTH_FORM_FIELDS + 4];
    const struct bth_reply_ops *reply;
    struct bth_many *many; /* several texts in place of request.input, or NULL; owned */
    void *held;            /* what input points into, for release(held); or NULL */
    void (*release)(void *held);
    struct bth_work_ask ask;
    int64_t wait_ms; /* for the lease and the result, or the unload; negative: no limit */

    /* the desk's */
    enum bth_work_state state;
    int64_t deadline, beat_at, began, submitted;
    struct bth_lease *lease;
    struct bth_sched *sched;
    struct bth_job *job;
    struct bth_session *session; /* whose stream this is */
    struct bth_cleanup cleanup;
    uint64_t mark;   /* of the unload; the last event that was sent */
    bool to_the_end; /* events: the stream ends when all there are have been sent */
    uint64_t at;     /* the reply's */
    bool cancelled;

    /* written by Berth's callback before its note */
    struct bth_acquire acquire;
    int lease_rc;
    struct berth_error lease_error;
};

/* Resolves a name, an alias or "whisper-1" to a model and its family's engine. ENOTFOUND. */
int bth_work_model(struct bth_exchange *x, const char *name,
                   const struct berth_engine_ops **out_engine, struct berth_error *err);
/* Hands the exchange to the desk. */
void bth_work_begin(struct bth_exchange *x);

void bth_work_note(struct bth_exchange *x, unsigned notes);
void bth_work_tick(struct bth_exchange *x, int64_t now, bool cancel);
void bth_work_finish(struct bth_work *w);

/* ---- for work_many.c and work_lease.c ---- */

/* The end with an error, or of a client who has left. */
void bth_work_fail(struct bth_exchange *x, const struct berth_error *err);
void bth_work_drop(struct bth_exchange *x);
/* The whole answer, as JSON; an error if text->failed. `text` is left empty. */
void bth_work_answer(struct bth_exchange *x, struct bth_str *text);
/* A piece of a streamed answer; `text` is left empty. A stream ends as it should. */
void bth_work_write(struct bth_exchange *x, struct bth_str *text);
void bth_work_end_stream(struct bth_exchange *x);
/* The texts, which are others now, on work.model, which is another now. */
void bth_work_again(struct bth_exchange *x);
/* A job has something to take: any thread, with the job's lock held. */
void bth_work_job_event(void *exchange);
/* Of the kinds from BTH_WORK_OPEN_SESSION on: the beginning, time passing, and the daemon's end. */
void bth_work_lease_begin(struct bth_exchange *x);
void bth_work_lease_tick(struct bth_exchange *x, int64_t now);
void bth_work_lease_cancel(struct bth_exchange *x);
/* The client leaves before it was answered. */
void bth_work_lease_leave(struct bth_exchange *x);
/* EBUSY, naming them, when others have pinned what is to be unloaded. */
int bth_work_check_pins(struct bth_exchange *x, struct berth_error *err);
/* "SESSION/NUMBER". EINVAL. */
int bth_work_read_lease(const char *text, struct bth_work_ask *out, struct berth_error *err);
/* The request's own lease in its session, for submission. */
int bth_work_lease_use(struct bth_exchange *x, struct berth_error *err);

#endif

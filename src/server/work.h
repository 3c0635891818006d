/*
 * server/work.h - what the desk does for an exchange: acquire, submit, take results, answer.
 *
 *     NONE > LEASE > JOB > OVER        a request on a model (bth_work_run)
 *     NONE > LEASE > JOB > LEASE > JOB > OVER        on two, one after the other
 *     NONE > LEASE > OVER              a load
 *     NONE > UNLOAD > OVER             an unload
 *
 * The route fills `want` on the connection's thread and calls bth_work_begin; all that follows
 * happens on the desk. Whoever leaves, lets the job go at once.
 */
#ifndef BTH_WORK_H
#define BTH_WORK_H

#include "core/manager.h"
#include "server/form.h"
#include "server/reply.h"
#include "server/work_many.h"

struct bth_exchange;
struct bth_job;

enum bth_work_kind { BTH_WORK_RUN, BTH_WORK_LOAD, BTH_WORK_UNLOAD };
enum bth_work_state {
    BTH_WORK_NONE,
    BTH_WORK_LEASE,
    BTH_WORK_JOB,
    BTH_WORK_UNLOADING,
    BTH_WORK_OVER
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
    int64_t wait_ms; /* for the lease and the result, or the unload; negative: no limit */

    /* the desk's */
    enum bth_work_state state;
    int64_t deadline, beat_at, began;
    struct bth_lease *lease;
    struct bth_sched *sched;
    struct bth_job *job;
    uint64_t mark; /* of the unload */
    uint64_t at;   /* the reply's */
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

/* ---- for work_many.c ---- */

/* A piece of a streamed answer; `text` is left empty. */
void bth_work_write(struct bth_exchange *x, struct bth_str *text);
/* A stream ends as it should. */
void bth_work_end_stream(struct bth_exchange *x);
/* The whole answer, as JSON; an error if text->failed. `text` is left empty. */
void bth_work_answer(struct bth_exchange *x, struct bth_str *text);
void bth_work_fail(struct bth_exchange *x, const struct berth_error *err);
/* The texts, which are others now, on work.model, which is another now. */
void bth_work_again(struct bth_exchange *x);
/* A job has something to take: any thread, with the job's lock held. */
void bth_work_job_event(void *exchange);

#endif

#include "sched/turn.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <assert.h>
#include <string.h>

enum { MAX_RETRIES = 100, MAX_MODELS = 16, MAX_STAGES = 16 };
static const int64_t retry_after_ns = 10 * BTH_NS_PER_MS;

struct bth_stage_costs {
    struct {
        const struct berth_model *model; /* an identity; it may have been unloaded */
        uint64_t used;
        int64_t turn_ns[MAX_STAGES]; /* 0: not measured yet */
    } models[MAX_MODELS];
    uint64_t clock;
};

BTH_LOCK(stats, struct bth_turns, lock, stats)

/* ---- what turns cost ------------------------------------------------------------------------*/

/* The stage's average; of more models than there are places the one not seen for longest goes. */
static int64_t *cost_of(struct bth_stage_costs *c, const struct berth_model *model, int32_t stage) {
    size_t at = 0;
    for (size_t i = 0; i < MAX_MODELS; i++) {
        if (c->models[i].model == model) {
            at = i;
            break;
        }
        if (c->models[i].used < c->models[at].used) {
            at = i;
        }
    }
    if (c->models[at].model != model) {
        memset(&c->models[at], 0, sizeof(c->models[at]));
        c->models[at].model = model;
    }
    c->models[at].used = ++c->clock;
    return &c->models[at].turn_ns[stage < MAX_STAGES ? stage : MAX_STAGES - 1];
}

static int64_t planned_cost(struct bth_turns *t, const struct bth_job *job) {
    const struct berth_model *model = job->session->model;
    const struct berth_stage *stage = &model->ops->stages[job->want.stage];
    int64_t measured = *cost_of(t->costs, model, job->want.stage);
    return measured ? measured : stage->turn_ns + stage->row_ns * job->want.rows;
}

static void count_turn(struct bth_turns *t, const struct berth_batch *b, uint64_t rows,
                       int64_t took) {
    int64_t *average = cost_of(t->costs, b->model, b->stage);
    *average = *average ? *average + (took - *average) / 8 : took;
    stats_lock(t);
    t->n_turns++;
    t->n_rows += rows;
    t->longest_ns = BTH_MAX(t->longest_ns, took);
    stats_unlock(t);
}

void bth_turns_stats(struct bth_turns *t, struct berth_device_stats *out) {
    stats_lock(t);
    out->turns = t->n_turns;
    out->rows = t->n_rows;
    out->longest_turn_us = t->longest_ns / 1000;
    stats_unlock(t);
}

/* ---- one job's way --------------------------------------------------------------------------*/

/* Ends a job, well or not: session, bytes, place, result, in that order. Who has the result may
 * submit the next request, or close, and finds the room. */
static void finish(struct bth_turns *t, struct bth_job *job, const struct berth_error *err) {
    bool failed = err && err->code < 0;
    if (job->session) {
        job->session->model->ops->end(job->session);
        job->session = NULL;
    }
    bth_use_end(&job->use, failed);
    if (job->account) {
        bth_share_leave(&t->share, job->account);
        job->account = NULL;
    }
    bth_list_remove(&job->active);
    job->phase = BTH_JOB_OVER;
    bth_sched_over(job->sched, job);
    bth_outbox_complete(&job->results, err); /* unless its device had been given up */
    bth_job_unref(job);
}

/* An engine says what is wrong; should one forget to, the code speaks. */
static void fill(struct berth_error *err, int rc) {
    if (err->code >= 0) {
        bth_error(err, rc, "%s", berth_strerror(rc));
    }
}

static void fail(struct bth_turns *t, struct bth_job *job, int code, const char *why) {
    struct berth_error err;
    bth_error(&err, code, "%s", why);
    finish(t, job, &err);
}

static void ready_or_parked(struct bth_turns *t, struct bth_job *job) {
    job->since = t->clock();
    job->phase = bth_outbox_has_room(&job->results) ? BTH_JOB_READY : BTH_JOB_PARKED;
}

/* What it wants next. */
static void ask(struct bth_turns *t, struct bth_job *job) {
    job->session->model->ops->next(job->session, &job->want);
    if (job->want.stage == BERTH_WANT_END) {
        finish(t, job, NULL);
    } else {
        ready_or_parked(t, job);
    }
}

static void start(struct bth_turns *t, struct bth_job *job) {
    struct berth_error err = {0};
    struct berth_need need;
    struct berth_model *model = job->use.model;
    bth_list_append(&t->active, &job->active);
    if (t->lost.code) {
        finish(t, job, &t->lost);
        return;
    }
    job->account = bth_share_join(&t->share, job->request.caller ? job->request.caller : "");
    int rc = job->account ? model->ops->begin(model, &job->request, &job->session, &need, &err)
                          : bth_error_nomem(&err);
    if (rc < 0) {
        fill(&err, rc);
        finish(t, job, &err);
        return;
    }
    job->phase = BTH_JOB_ADMIT;
    bth_use_begin(&job->use, need.bytes_max);
}

static void admit(struct bth_turns *t, struct bth_job *job) {
    if (job->grant_rc < 0) {
        finish(t, job, &job->grant_error);
        return;
    }
    job->session->reservation = &job->use.reservation;
    job->session->sink = &job->sink;
    bth_outbox_running(&job->results);
    ask(t, job);
}

/* Ends a job that nobody wants any more, at once: between turns no session is at work. One that a
 * host thread has is ended when it comes back. */
static void cancel(struct bth_turns *t, struct bth_job *job, int code) {
    if (job->phase == BTH_JOB_ON_HOST) {
        job->cancel_code = job->cancel_code ? job->cancel_code : code;
        return;
    }
    if (job->session) {
        job->session->model->ops->cancel(job->session);
    }
    fail(t, job, code,
         code == BERTH_ETIMEDOUT ? "the request's deadline has passed"
                                 : "the request was cancelled");
}

static void expire(struct bth_turns *t, int64_t now) {
    struct bth_job *job;
    BTH_LIST_EACH(job, &t->active, struct bth_job, active) {
        if (job->deadline <= now) {
            cancel(t, job, BERTH_ETIMEDOUT);
        }
    }
}

/* ---- turns ----------------------------------------------------------------------------------*/

/* The device is lost: nothing on it can go on. What a host thread has is ended when it comes back.
 */
static void lose(struct bth_turns *t, const struct berth_error *err) {
    t->lost = *err;
    struct bth_job *job;
    BTH_LIST_EACH(job, &t->active, struct bth_job, active) {
        if (job->phase != BTH_JOB_ON_HOST) {
            finish(t, job, &t->lost);
        }
    }
}

/* A turn that has failed as a whole: out of memory is tried again for a second, all else is not. */
static void turn_failed(struct bth_turns *t, const struct berth_batch *b,
                        const struct berth_error *err) {
    int64_t now = t->clock();
    if (err->code == BERTH_EDEVICE) { /* who is told tries again, elsewhere then */
        bth_sched_lost(t->jobs[0]->sched, err);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct bth_job *job = t->jobs[i];
        if (err->code == BERTH_ENOMEM && ++job->retries <= MAX_RETRIES) {
            job->phase = BTH_JOB_READY;
            job->since = now + retry_after_ns;
        } else {
            finish(t, job, err);
        }
    }
    if (err->code == BERTH_EDEVICE) {
        lose(t, err);
    }
}

/* A turn of these sessions, as the engine is told of it. */
static struct berth_batch batch_of(struct bth_turns *t, uint32_t n) {
    const struct bth_job *lead = t->jobs[0];
    for (uint32_t i = 0; i < n; i++) {
        t->sessions[i] = t->jobs[i]->session;
        t->status[i] = 0;
        t->errors[i] = (struct berth_error){0};
    }
    return (struct berth_batch){.model = lead->session->model,
                                .stage = lead->want.stage,
                                .key = lead->want.key,
                                .n = n,
                                .sessions = t->sessions,
                                .status = t->status,
                                .errors = t->errors};
}

/* Every session pays for its rows. */
static void charge(const struct bth_turns *t, uint32_t n, uint64_t rows, int64_t took) {
    for (uint32_t i = 0; i < n; i++) {
        const struct bth_job *job = t->jobs[i];
        int64_t part = rows ? took * job->want.rows / (int64_t)rows : 0;
        bth_share_charge(job->account, part, job->request.priority);
    }
}

/* The second half of a turn that was enqueued at `began`; `device`: on this thread, so it counts.
 * Once its last job has ended the model may be unloaded: nothing of it is touched after that. */
static void settle(struct bth_turns *t, struct berth_batch *b, int64_t began, bool device) {
    struct berth_error err = {0};
    uint64_t rows = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        rows += t->jobs[i]->want.rows;
    }
    int rc = b->model->ops->settle(b, &err);
    if (device) {
        int64_t took = t->clock() - began;
        count_turn(t, b, rows, took);
        charge(t, b->n, rows, took);
    }
    if (rc < 0) {
        fill(&err, rc);
        turn_failed(t, b, &err);
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct bth_job *job = t->jobs[i];
        job->retries = 0;
        if (t->status[i] < 0) {
            fill(&t->errors[i], t->status[i]);
            finish(t, job, &t->errors[i]);
        } else {
            ask(t, job);
        }
    }
}

/* A turn that was enqueued is settled, even if nobody wants the session any more. */
static void host_done(struct bth_turns *t, struct bth_job *job) {
    job->phase = BTH_JOB_READY;
    t->jobs[0] = job;
    struct berth_batch b = batch_of(t, 1);
    b.turn = job->host_turn;
    bool wanted = !job->cancel_code && !t->lost.code;
    if (job->host_error.code == 0 && wanted) {
        settle(t, &b, 0, false);
        return;
    }
    if (job->host_error.code == 0) {
        b.model->ops->settle(&b, NULL);
    }
    if (job->cancel_code) {
        cancel(t, job, job->cancel_code);
    } else if (t->lost.code) {
        finish(t, job, &t->lost);
    } else {
        const struct berth_error failed = job->host_error; /* outlives the job */
        turn_failed(t, &b, &failed);
    }
}

/* Everyone who waits for a turn. */
static size_t gather(struct bth_turns *t, int64_t now) {
    size_t n = 0;
    struct bth_job *job;
    bth_share_begin(&t->share);
    BTH_LIST_EACH(job, &t->active, struct bth_job, active) {
        if (job->phase != BTH_JOB_READY || job->since > now) {
            continue;
        }
        bth_share_waits(&t->share, job->account);
        const struct berth_want *w = &job->want;
        const struct berth_stage *stage = &job->session->model->ops->stages[w->stage];
        t->entries[n++] =
            (struct bth_plan_entry){.model = job->session->model,
                                    .stage = w->stage,
                                    .key = w->key,
                                    .rows = w->rows,
                                    .max_rows = w->max_rows ? w->max_rows : stage->max_rows,
                                    .priority = job->request.priority,
                                    .since = job->since,
                                    .deadline = job->deadline,
                                    .cost = planned_cost(t, job),
                                    .used = job->account->used,
                                    .seq = job->seq,
                                    .job = job};
    }
    return n;
}

/* Runs the turn of the first n entries. */
static void run(struct bth_turns *t, size_t n) {
    struct berth_error err = {0};
    uint32_t size = (uint32_t)BTH_MIN(n, (size_t)BTH_MAX_BATCH);
    for (uint32_t i = 0; i < size; i++) {
        t->jobs[i] = t->entries[i].job;
    }
    struct berth_batch b = batch_of(t, size);
    bth_share_leads(&t->share, t->jobs[0]->account);
    if (b.model->ops->stages[b.stage].lane == BERTH_LANE_HOST && t->host) {
        for (uint32_t i = 0; i < size; i++) {
            t->jobs[i]->phase = BTH_JOB_ON_HOST;
            t->jobs[i]->host_error = (struct berth_error){0};
            bth_host_run(t->host, t->jobs[i]);
        }
        return;
    }
    int64_t began = t->clock();
    int rc = b.model->ops->enqueue(&b, &err);
    if (rc < 0) {
        fill(&err, rc);
        turn_failed(t, &b, &err);
    } else {
        settle(t, &b, began, true);
    }
}

/* When something is due by itself: a deadline, or a turn that is to be tried again. */
static int64_t next_due(const struct bth_turns *t) {
    int64_t next = BTH_FOREVER;
    const struct bth_job *job;
    BTH_LIST_EACH(job, &t->active, struct bth_job, active) {
        if (job->phase == BTH_JOB_READY) {
            next = BTH_MIN(next, job->since);
        }
        if (job->phase != BTH_JOB_ON_HOST) {
            next = BTH_MIN(next, job->deadline);
        }
    }
    return next;
}

int64_t bth_turns_run(struct bth_turns *t) {
    int64_t now = t->clock();
    expire(t, now);
    size_t n = bth_plan(t->entries, gather(t, now), now);
    if (n > 0) {
        run(t, n);
        return now;
    }
    return next_due(t);
}

void bth_turns_note(struct bth_turns *t, struct bth_job *job, unsigned notes) {
    if (notes & BTH_NOTE_SUBMIT) {
        if (notes & BTH_NOTE_CANCEL) {
            bth_list_append(&t->active, &job->active);
            cancel(t, job, BERTH_ECANCELLED);
        } else {
            start(t, job);
        }
        return; /* nothing else can have come before it began */
    }
    bool on_host = job->phase == BTH_JOB_ON_HOST;
    if (notes & BTH_NOTE_CANCEL) {
        cancel(t, job, BERTH_ECANCELLED);
        if (!on_host) {
            return; /* over, and maybe gone */
        }
    }
    if (on_host && notes & BTH_NOTE_HOST_DONE) {
        host_done(t, job);
    } else if (notes & BTH_NOTE_GRANTED && job->phase == BTH_JOB_ADMIT) {
        admit(t, job);
    } else if (notes & BTH_NOTE_ROOM && job->phase == BTH_JOB_PARKED) {
        ready_or_parked(t, job);
    }
}

/* ---- create and destroy ---------------------------------------------------------------------*/

static void init(struct bth_turns *t) BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_turns *t) {
    *t = (struct bth_turns){0};
    bth_mutex_init(&t->lock, BTH_RANK_stats);
    bth_list_init(&t->active);
    bth_share_init(&t->share);
}

int bth_turns_init(struct bth_turns *t, int64_t (*clock)(void), size_t max_jobs, int host_threads,
                   struct berth_error *err) {
    init(t);
    t->clock = clock;
    t->entries = bth_calloc(max_jobs, sizeof(*t->entries));
    t->costs = bth_calloc(1, sizeof(*t->costs));
    int rc = t->entries && t->costs ? 0 : bth_error_nomem(err);
    if (rc == 0 && host_threads > 0) {
        rc = bth_host_create(host_threads, &t->host, err);
    }
    if (rc < 0) {
        bth_turns_finish(t);
    }
    return rc;
}

void bth_turns_finish(struct bth_turns *t) {
    if (!t->clock) {
        return;
    }
    bth_host_destroy(t->host);
    bth_share_finish(&t->share);
    bth_free(t->costs);
    bth_free(t->entries);
    bth_mutex_finish(&t->lock);
    t->clock = NULL;
}

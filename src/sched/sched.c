/*
 * The device's thread. It alone touches sessions; others leave notes.
 *
 *     notes -> begin, admit -> next -> plan -> enqueue -> settle -> results -> again
 */
#include "sched/sched.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "sched/host.h"
#include "sched/job.h"
#include "sched/plan.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_JOBS = 1024, MAX_RESULTS = 64, MAX_RETRIES = 100, MAX_STAGES = 16, MAX_BATCH = 256 };

/* Fair share: device time that a caller id has used lately. Device thread. */
struct bth_caller {
    struct bth_list link;
    char id[64];
    int n_jobs;
    int64_t spent, as_of; /* halves every second */
};

/* What turns of a stage have cost. Device thread. */
struct stage_cost {
    const struct berth_engine_ops *ops;
    int64_t turn_ns[MAX_STAGES]; /* a moving average; 0: none yet */
};

struct bth_sched {
    struct bth_mutex lock;
    struct bth_cond wake;
    struct bth_list inbox GUARDED_BY(sched); /* jobs with notes */
    struct bth_list all GUARDED_BY(sched);   /* jobs that are not over */
    size_t n_jobs GUARDED_BY(sched);
    int refs GUARDED_BY(sched); /* the owner's, and one for each job */
    bool closing GUARDED_BY(sched), stopping GUARDED_BY(sched);
    struct bth_cond idle; /* n_jobs is 0 */
    uint64_t n_turns GUARDED_BY(sched), n_rows GUARDED_BY(sched);
    int64_t longest_turn GUARDED_BY(sched);

    struct berth_device *device;
    struct bth_host *host; /* NULL: host turns run here */
    size_t max_jobs, max_results;
    struct bth_thread thread;

    /* device thread */
    struct bth_list active, callers;
    struct bth_plan_entry *entries; /* [max_jobs] */
    struct berth_session *sessions[MAX_BATCH];
    int status[MAX_BATCH];
    struct berth_error errors[MAX_BATCH];
    struct stage_cost costs[8];
    bool lost; /* the device has failed for good */
};

BTH_LOCK(sched, struct bth_sched, lock, sched)

static void note_locked(struct bth_sched *s, struct bth_job *job, unsigned note) REQUIRES(sched);
static void note_locked(struct bth_sched *s, struct bth_job *job, unsigned note) {
    if (job->over) {
        return;
    }
    job->notes |= note;
    if (!bth_list_linked(&job->inbox)) {
        bth_list_append(&s->inbox, &job->inbox);
    }
    bth_cond_signal(&s->wake);
}

void bth_sched_note(struct bth_sched *s, struct bth_job *job, unsigned note) {
    sched_lock(s);
    note_locked(s, job, note);
    sched_unlock(s);
}

/* ---- fair share ---- */

static int64_t spent_now(const struct bth_caller *c, int64_t now) {
    int64_t age = (now - c->as_of) / BTH_NS_PER_S;
    return age > 40 ? 0 : c->spent >> age;
}

static void charge(struct bth_caller *c, int64_t cost, int64_t now) {
    int64_t whole = (now - c->as_of) / BTH_NS_PER_S;
    c->spent = spent_now(c, now) + cost;
    c->as_of += whole * BTH_NS_PER_S;
}

static struct bth_caller *join_caller(struct bth_sched *s, const char *id, int64_t now) {
    struct bth_caller *c;
    BTH_LIST_EACH(c, &s->callers, struct bth_caller, link) {
        if (strncmp(c->id, id, sizeof(c->id) - 1) == 0) {
            c->n_jobs++;
            return c;
        }
    }
    c = bth_calloc(1, sizeof(*c));
    if (c) {
        snprintf(c->id, sizeof(c->id), "%s", id);
        c->n_jobs = 1;
        c->as_of = now;
        bth_list_append(&s->callers, &c->link);
    }
    return c;
}

static void leave_caller(struct bth_caller *c) {
    if (c && --c->n_jobs == 0) {
        bth_list_remove(&c->link);
        bth_free(c);
    }
}

/* ---- one job's way ---- */

/* Ends a job, well or not: session, bytes, result, in that order. */
static void finish(struct bth_sched *s, struct bth_job *job, const struct berth_error *err) {
    bool failed = err && err->code < 0;
    if (job->session) {
        job->session->model->ops->end(job->session);
        job->session = NULL;
    }
    bth_use_end(&job->use, failed);
    leave_caller(job->caller);
    bth_list_remove(&job->active);
    job->phase = BTH_JOB_OVER;
    bth_job_complete(job, err);
    sched_lock(s);
    job->over = true;
    bth_list_remove(&job->inbox);
    bth_list_remove(&job->all);
    if (--s->n_jobs == 0) {
        bth_cond_broadcast(&s->idle);
    }
    sched_unlock(s);
    bth_job_unref(job);
}

static void fail(struct bth_sched *s, struct bth_job *job, int code, const char *why) {
    struct berth_error err;
    bth_error(&err, code, "%s", why);
    finish(s, job, &err);
}

static void granted(struct bth_use *use, int rc, const struct berth_error *err) {
    struct bth_job *job = BTH_CONTAINER(use, struct bth_job, use);
    job->grant_rc = rc;
    if (rc < 0) {
        job->grant_error = *err;
    }
    bth_sched_note(job->sched, job, BTH_NOTE_GRANTED); /* publishes the two above */
}

/* What it wants next; parks it while its results have no room. */
static void ask(struct bth_sched *s, struct bth_job *job, int64_t now) {
    job->session->model->ops->next(job->session, &job->want);
    if (job->want.stage == BERTH_WANT_END) {
        finish(s, job, NULL);
        return;
    }
    job->since = now;
    job->phase = bth_job_has_room(job) ? BTH_JOB_READY : BTH_JOB_PARKED;
}

static void start(struct bth_sched *s, struct bth_job *job, int64_t now) {
    struct berth_error err = {0};
    struct berth_need need;
    struct berth_model *model = job->use.model;
    bth_list_append(&s->active, &job->active);
    job->caller = join_caller(s, job->request.caller ? job->request.caller : "", now);
    if (!job->caller) {
        fail(s, job, BERTH_ENOMEM, "out of memory");
        return;
    }
    if (s->lost) {
        fail(s, job, BERTH_EDEVICE, "the device has failed");
        return;
    }
    if (model->ops->begin(model, &job->request, &job->session, &need, &err) < 0) {
        finish(s, job, &err);
        return;
    }
    job->phase = BTH_JOB_ADMIT;
    bth_use_begin(&job->use, need.bytes_max);
}

static void admit(struct bth_sched *s, struct bth_job *job, int64_t now) {
    if (job->grant_rc < 0) {
        finish(s, job, &job->grant_error);
        return;
    }
    job->session->reservation = &job->use.reservation;
    job->session->sink = &job->sink;
    bth_job_running(job);
    ask(s, job, now);
}

/* A session at work is told; one that has no session yet just ends. A host thread's session is told
 * when it comes back. */
static void cancel(struct bth_sched *s, struct bth_job *job, int code) {
    if (job->phase == BTH_JOB_ON_HOST) {
        job->cancel_code = code;
        return;
    }
    if (job->session) {
        job->session->model->ops->cancel(job->session);
    }
    fail(s, job, code,
         code == BERTH_ETIMEDOUT ? "the request's deadline has passed" : "the request was cancelled");
}

static void settle(struct bth_sched *s, struct berth_batch *b, struct bth_job **jobs, int64_t began);

static void host_done(struct bth_sched *s, struct bth_job *job) {
    job->phase = BTH_JOB_READY;
    if (job->cancel_code) {
        cancel(s, job, job->cancel_code);
        return;
    }
    if (job->host_rc < 0) {
        finish(s, job, &job->host_error);
        return;
    }
    struct berth_batch b = {.model = job->session->model,
                            .stage = job->want.stage,
                            .key = job->want.key,
                            .n = 1,
                            .sessions = s->sessions,
                            .status = s->status,
                            .errors = s->errors};
    s->sessions[0] = job->session;
    settle(s, &b, &job, bth_now());
}

static void read_notes(struct bth_sched *s, struct bth_job *job, unsigned notes, int64_t now) {
    if (job->phase == BTH_JOB_OVER) {
        return;
    }
    if (notes & BTH_NOTE_SUBMIT) {
        start(s, job, now);
    }
    if (job->phase == BTH_JOB_ON_HOST && notes & BTH_NOTE_HOST_DONE) {
        job->cancel_code = notes & BTH_NOTE_CANCEL ? BERTH_ECANCELLED : job->cancel_code;
        host_done(s, job);
    } else if (notes & BTH_NOTE_CANCEL && job->phase != BTH_JOB_OVER) {
        cancel(s, job, BERTH_ECANCELLED);
    } else if (notes & BTH_NOTE_GRANTED && job->phase == BTH_JOB_ADMIT) {
        admit(s, job, now);
    } else if (notes & BTH_NOTE_ROOM && job->phase == BTH_JOB_PARKED && bth_job_has_room(job)) {
        job->since = now;
        job->phase = BTH_JOB_READY;
    }
}

static void expire(struct bth_sched *s, int64_t now) {
    struct bth_job *job;
    BTH_LIST_EACH(job, &s->active, struct bth_job, active) {
        if (job->deadline <= now && !job->cancel_code) {
            cancel(s, job, BERTH_ETIMEDOUT);
        }
    }
}

/* ---- turns ---- */

static struct stage_cost *costs_of(struct bth_sched *s, const struct berth_engine_ops *ops) {
    for (size_t i = 0; i < BTH_COUNT(s->costs); i++) {
        if (!s->costs[i].ops) {
            s->costs[i].ops = ops;
        }
        if (s->costs[i].ops == ops) {
            return &s->costs[i];
        }
    }
    return NULL;
}

static int64_t planned_cost(struct bth_sched *s, const struct berth_engine_ops *ops,
                            const struct berth_want *want) {
    const struct stage_cost *c = costs_of(s, ops);
    const struct berth_stage *stage = &ops->stages[want->stage];
    if (c && want->stage < MAX_STAGES && c->turn_ns[want->stage]) {
        return c->turn_ns[want->stage];
    }
    return stage->turn_ns + stage->row_ns * want->rows;
}

static void learn_cost(struct bth_sched *s, const struct berth_engine_ops *ops, int32_t stage,
                       int64_t took) {
    struct stage_cost *c = costs_of(s, ops);
    if (c && stage < MAX_STAGES) {
        int64_t *avg = &c->turn_ns[stage];
        *avg = *avg ? *avg + (took - *avg) / 8 : took;
    }
}

/* Everyone who waits for a turn. */
static size_t gather(struct bth_sched *s, int64_t now) {
    size_t n = 0;
    struct bth_job *job;
    BTH_LIST_EACH(job, &s->active, struct bth_job, active) {
        if (job->phase != BTH_JOB_READY || job->since > now) {
            continue;
        }
        const struct berth_engine_ops *ops = job->session->model->ops;
        s->entries[n++] = (struct bth_plan_entry){
            .model = job->session->model,
            .stage = job->want.stage,
            .key = job->want.key,
            .rows = job->want.rows,
            .max_rows = ops->stages[job->want.stage].max_rows,
            .since = job->since,
            .deadline = job->deadline,
            .cost = planned_cost(s, ops, &job->want),
            .spent = spent_now(job->caller, now),
            .priority = job->request.priority,
            .job = job};
    }
    return n;
}

static void count_turn(struct bth_sched *s, uint64_t rows, int64_t took) {
    sched_lock(s);
    s->n_turns++;
    s->n_rows += rows;
    s->longest_turn = took > s->longest_turn ? took : s->longest_turn;
    sched_unlock(s);
}

/* A turn that failed as a whole: out of memory is tried again for a while, a lost device is not. */
static void turn_failed(struct bth_sched *s, struct berth_batch *b, struct bth_job **jobs, int rc,
                        const struct berth_error *err, int64_t now) {
    s->lost |= rc == BERTH_EDEVICE;
    for (uint32_t i = 0; i < b->n; i++) {
        if (rc == BERTH_ENOMEM && ++jobs[i]->retries <= MAX_RETRIES) {
            jobs[i]->since = now + 10 * BTH_NS_PER_MS;
        } else {
            finish(s, jobs[i], err);
        }
    }
    struct bth_job *job;
    BTH_LIST_EACH(job, &s->active, struct bth_job, active) {
        if (s->lost && job->phase != BTH_JOB_ON_HOST) {
            finish(s, job, err);
        }
    }
}

static void settle(struct bth_sched *s, struct berth_batch *b, struct bth_job **jobs,
                   int64_t began) {
    struct berth_error err = {0};
    for (uint32_t i = 0; i < b->n; i++) {
        b->status[i] = 0;
        b->errors[i] = (struct berth_error){0};
    }
    int rc = b->model->ops->settle(b, &err);
    int64_t now = bth_now();
    if (rc < 0) {
        turn_failed(s, b, jobs, rc, &err, now);
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        charge(jobs[i]->caller, (now - began) / b->n, now);
        jobs[i]->retries = 0;
        if (b->status[i] < 0) {
            finish(s, jobs[i], &b->errors[i]);
        } else {
            ask(s, jobs[i], now);
        }
    }
}

static void run_turn(struct bth_sched *s, size_t n) {
    struct bth_job *jobs[MAX_BATCH];
    struct berth_error err = {0};
    const struct bth_plan_entry *lead = &s->entries[0];
    struct berth_batch b = {.model = ((struct bth_job *)lead->job)->session->model,
                            .stage = lead->stage,
                            .key = lead->key,
                            .n = (uint32_t)BTH_MIN(n, MAX_BATCH),
                            .sessions = s->sessions,
                            .status = s->status,
                            .errors = s->errors};
    /* once its last job has settled the model may be unloaded: nothing of it is touched after that */
    const struct berth_engine_ops *ops = b.model->ops;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < b.n; i++) {
        jobs[i] = s->entries[i].job;
        s->sessions[i] = jobs[i]->session;
        rows += s->entries[i].rows;
    }
    if (ops->stages[b.stage].lane == BERTH_LANE_HOST && s->host) {
        jobs[0]->phase = BTH_JOB_ON_HOST;
        bth_host_run(s->host, jobs[0]);
        return;
    }
    int64_t began = bth_now();
    int rc = ops->enqueue(&b, &err);
    if (rc < 0) {
        turn_failed(s, &b, jobs, rc, &err, bth_now());
        return;
    }
    settle(s, &b, jobs, began);
    int64_t took = bth_now() - began;
    learn_cost(s, ops, b.stage, took);
    count_turn(s, rows, took);
}

/* ---- the loop ---- */

/* When something is due by itself: a request's deadline, a turn that is to be tried again. */
static int64_t next_deadline(const struct bth_sched *s) {
    int64_t next = BTH_FOREVER;
    const struct bth_job *job;
    BTH_LIST_EACH(job, &s->active, struct bth_job, active) {
        int64_t due = job->cancel_code ? BTH_FOREVER : job->deadline;
        if (job->phase == BTH_JOB_READY && job->since < due) {
            due = job->since;
        }
        next = due < next ? due : next;
    }
    return next;
}

/* The next job with notes, taken out of the inbox; NULL: none. */
static struct bth_job *take_note(struct bth_sched *s, unsigned *out_notes) {
    struct bth_job *job = NULL;
    sched_lock(s);
    struct bth_list *l = bth_list_first(&s->inbox);
    if (l) {
        job = BTH_CONTAINER(l, struct bth_job, inbox);
        bth_list_remove(l);
        *out_notes = job->notes;
        job->notes = 0;
    }
    sched_unlock(s);
    return job;
}

/* Sleeps until there is a note; false: time to stop. */
static bool sleep_until_noted(struct bth_sched *s) {
    int64_t deadline = next_deadline(s);
    sched_lock(s);
    while (!bth_list_linked(&s->inbox) && !s->stopping && bth_now() < deadline) {
        bth_cond_wait(&s->wake, &s->lock, deadline);
    }
    bool go_on = !s->stopping;
    sched_unlock(s);
    return go_on;
}

static void *device_main(void *arg) {
    struct bth_sched *s = arg;
    for (;;) {
        struct bth_job *job;
        unsigned notes;
        while ((job = take_note(s, &notes))) {
            read_notes(s, job, notes, bth_now());
        }
        int64_t now = bth_now();
        expire(s, now);
        size_t n = bth_plan(s->entries, gather(s, now));
        if (n > 0) {
            run_turn(s, n);
        } else if (!sleep_until_noted(s)) {
            return NULL;
        }
    }
}

/* ---- from other threads ---- */

int bth_sched_submit(struct bth_sched *s, struct bth_lease *lease,
                     const struct berth_request *request, struct bth_job **out,
                     struct berth_error *err) {
    struct bth_job *job;
    int rc = bth_job_create(request, s->max_results, &job, err);
    if (rc < 0) {
        return rc;
    }
    int64_t ms = job->request.deadline_ms;
    job->sched = s;
    bth_sched_ref(s);
    job->lease = lease;
    job->deadline = ms > 0 ? bth_deadline(bth_now(), ms) : BTH_FOREVER;
    job->use.granted = granted;
    sched_lock(s);
    bool full = s->n_jobs >= s->max_jobs || s->closing;
    s->n_jobs += !full;
    sched_unlock(s);
    if (full) {
        bth_job_unref(job);
        return bth_error(err, BERTH_EOVERLOADED, "%zu requests are under way, and no more are taken: "
                                                 "try again later",
                         s->max_jobs);
    }
    rc = bth_use_open(lease, &job->use, err);
    if (rc < 0) {
        sched_lock(s);
        if (--s->n_jobs == 0) {
            bth_cond_broadcast(&s->idle);
        }
        sched_unlock(s);
        bth_job_unref(job);
        return rc;
    }
    bth_job_ref(job); /* the scheduler's, until it is over */
    sched_lock(s);
    bth_list_append(&s->all, &job->all);
    note_locked(s, job, BTH_NOTE_SUBMIT | (s->closing ? BTH_NOTE_CANCEL : 0));
    sched_unlock(s);
    *out = job;
    return 0;
}

void bth_job_cancel(struct bth_job *job) {
    enum berth_job_state state = bth_job_state(job);
    if (state == BERTH_JOB_QUEUED || state == BERTH_JOB_RUNNING) {
        bth_sched_note(job->sched, job, BTH_NOTE_CANCEL);
    }
}

void bth_job_free(struct bth_job *job) {
    if (job) {
        bth_job_cancel(job);
        bth_job_unref(job);
    }
}

void bth_sched_cancel(struct bth_sched *s, const struct bth_lease *lease) {
    struct bth_job *job;
    sched_lock(s);
    BTH_LIST_EACH(job, &s->all, struct bth_job, all) {
        if (!lease || job->lease == lease) {
            note_locked(s, job, BTH_NOTE_CANCEL);
        }
    }
    sched_unlock(s);
}

/* ---- create and destroy ---- */

static void init(struct bth_sched *s, const struct bth_sched_config *c)
    BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_sched *s, const struct bth_sched_config *c) {
    bth_mutex_init(&s->lock, BTH_RANK_sched);
    bth_cond_init(&s->wake);
    bth_cond_init(&s->idle);
    bth_list_init(&s->inbox);
    bth_list_init(&s->all);
    bth_list_init(&s->active);
    bth_list_init(&s->callers);
    s->refs = 1;
    s->device = c->device;
    s->max_jobs = c->max_jobs ? c->max_jobs : MAX_JOBS;
    s->max_results = BTH_MAX(c->max_results ? c->max_results : MAX_RESULTS, BERTH_MAX_EMIT);
}

void bth_sched_ref(struct bth_sched *s) {
    sched_lock(s);
    s->refs++;
    sched_unlock(s);
}

void bth_sched_unref(struct bth_sched *s) {
    sched_lock(s);
    bool last = --s->refs == 0;
    sched_unlock(s);
    if (last) {
        bth_cond_finish(&s->wake);
        bth_cond_finish(&s->idle);
        bth_mutex_finish(&s->lock);
        bth_free(s->entries);
        bth_free(s);
    }
}

int bth_sched_create(const struct bth_sched_config *config, struct bth_sched **out,
                     struct berth_error *err) {
    struct bth_sched *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    init(s, config);
    s->entries = bth_calloc(s->max_jobs, sizeof(*s->entries));
    int rc = s->entries ? 0 : bth_error_nomem(err);
    if (rc == 0 && config->host_threads > 0) {
        rc = bth_host_create(config->host_threads, &s->host, err);
    }
    if (rc == 0 && bth_thread_start(&s->thread, "berth-device", device_main, s) < 0) {
        rc = bth_error_nomem(err);
    }
    if (rc < 0) {
        bth_host_destroy(s->host);
        bth_sched_unref(s);
        return rc;
    }
    *out = s;
    return 0;
}

void bth_sched_destroy(struct bth_sched *s) {
    if (!s) {
        return;
    }
    sched_lock(s);
    s->closing = true;
    sched_unlock(s);
    bth_sched_cancel(s, NULL);
    sched_lock(s);
    while (s->n_jobs > 0) {
        bth_cond_wait(&s->idle, &s->lock, BTH_FOREVER);
    }
    s->stopping = true;
    bth_cond_signal(&s->wake);
    sched_unlock(s);
    bth_thread_join(&s->thread);
    bth_host_destroy(s->host);
    bth_sched_unref(s);
}

void bth_sched_stats(struct bth_sched *s, struct berth_device_stats *out) {
    sched_lock(s);
    out->turns = s->n_turns;
    out->rows = s->n_rows;
    out->longest_turn_us = s->longest_turn / 1000;
    sched_unlock(s);
}

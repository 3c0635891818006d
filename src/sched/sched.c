/*
 * The scheduler's door: other threads leave notes on jobs, the device's thread reads them.
 *
 * A job is linked in `all` from submission until it is over, and in `inbox` while it has notes that
 * the device's thread has not read. There is room for every note of every job, so leaving one never
 * fails and never waits.
 */
#include "sched/sched.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "sched/job.h"
#include "sched/turn.h"
#include <stdatomic.h>

enum { MAX_JOBS = 1024, MAX_RESULTS = 64 };

/*
 * A group lives as one: the first counts the references of all, and frees all with the last.
 */
struct bth_sched {
    struct bth_sched *first; /* maybe this one */
    struct bth_sched
        *group[BTH_MAX_DEVICES]; /* of the first: by device, constant once all are made */
    size_t n_group;
    struct bth_mutex lock;
    struct bth_cond wake;                    /* the device's thread: a note, or `stopping` */
    struct bth_cond idle;                    /* n_jobs is 0 */
    struct bth_list inbox GUARDED_BY(sched); /* jobs with notes */
    struct bth_list all GUARDED_BY(sched);   /* jobs that are not over */
    size_t n_jobs GUARDED_BY(sched);
    uint64_t n_submitted GUARDED_BY(sched);
    int refs
        GUARDED_BY(sched); /* of the first: the owners', and one for each job and lease handle */
    bool closing GUARDED_BY(sched), stopping GUARDED_BY(sched);
    bool left GUARDED_BY(sched);               /* nobody waits for the thread any more */
    struct berth_error lost GUARDED_BY(sched); /* code not 0: given up */

    struct bth_manager *manager; /* a reference, or NULL */
    size_t device;               /* its number in the group, and with the manager */
    int64_t (*clock)(void);
    size_t max_jobs, max_results;
    _Atomic int64_t stepped_at; /* stored by the device's thread, read by any: a time alone */
    struct bth_thread thread;
    struct bth_turns turns; /* the device's thread */
};

BTH_LOCK(sched, struct bth_sched, lock, sched)

/* ---- notes ----------------------------------------------------------------------------------*/

static void note_locked(struct bth_sched *s, struct bth_job *job, unsigned note) REQUIRES(sched);
static void note_locked(struct bth_sched *s, struct bth_job *job, unsigned note) {
    if (job->over) {
        return;
    }
    job->notes |= note;
    if (note & BTH_NOTE_CANCEL && job->cancelled_at == 0) {
        job->cancelled_at = s->clock();
    }
    job->posted |= (note & BTH_NOTE_SUBMIT) != 0;
    if (job->posted && !bth_list_linked(&job->inbox)) {
        bth_list_append(&s->inbox, &job->inbox);
        bth_cond_signal(&s->wake);
    }
}

void bth_sched_note(struct bth_sched *s, struct bth_job *job, unsigned note) {
    sched_lock(s);
    note_locked(s, job, note);
    sched_unlock(s);
}

static void granted(struct bth_use *use, int rc, const struct berth_error *err) {
    struct bth_job *job = BTH_CONTAINER(use, struct bth_job, use);
    job->grant_rc = rc;
    if (rc < 0) {
        job->grant_error = *err;
    }
    bth_sched_note(job->sched, job, BTH_NOTE_GRANTED); /* publishes the two above */
}

static void over_locked(struct bth_sched *s, struct bth_job *job) REQUIRES(sched);
static void over_locked(struct bth_sched *s, struct bth_job *job) {
    job->over = true;
    bth_list_remove(&job->inbox);
    bth_list_remove(&job->all);
    if (--s->n_jobs == 0) {
        bth_cond_broadcast(&s->idle);
    }
}

void bth_sched_over(struct bth_sched *s, struct bth_job *job) {
    sched_lock(s);
    over_locked(s, job);
    sched_unlock(s);
}

void bth_sched_lost(struct bth_sched *s, const struct berth_error *why) {
    if (s->manager) {
        bth_manager_lose(s->manager, s->device, why);
    }
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

/* ---- the device's thread --------------------------------------------------------------------*/

int64_t bth_sched_step(struct bth_sched *s) {
    struct bth_job *job;
    unsigned notes;
    atomic_store_explicit(&s->stepped_at, s->clock(), memory_order_relaxed);
    while ((job = take_note(s, &notes))) {
        bth_turns_note(&s->turns, job, notes);
    }
    int64_t due = bth_turns_run(&s->turns);
    sched_lock(s);
    bool noted = bth_list_linked(&s->inbox); /* the end of one may have been another's grant */
    sched_unlock(s);
    return noted ? s->clock() : due;
}

/* One that was left behind ends its jobs first. */
static bool ends_locked(const struct bth_sched *s) REQUIRES(sched);
static bool ends_locked(const struct bth_sched *s) {
    return s->stopping && (!s->left || s->n_jobs == 0);
}

/* Sleeps until there is a note or it is `due`; false: time to stop. */
static bool sleep_until(struct bth_sched *s, int64_t due) {
    sched_lock(s);
    while (!bth_list_linked(&s->inbox) && !ends_locked(s)) {
        if (!bth_cond_wait(&s->wake, &s->lock, due)) {
            break;
        }
    }
    bool go_on = !ends_locked(s);
    sched_unlock(s);
    return go_on;
}

/* The thread is done, or this is its end. */
static void finish(struct bth_sched *s) {
    bth_turns_finish(&s->turns);
    if (s->manager) {
        bth_manager_unref(s->manager);
    }
    bth_sched_unref(s);
}

static void *device_main(void *arg) {
    struct bth_sched *s = arg;
    int64_t due, now;
    do {
        due = bth_sched_step(s);
        now = s->clock();
    } while (due <= now || sleep_until(s, BTH_MIN(due, now + BTH_NS_PER_S)));
    sched_lock(s);
    const bool left = s->left;
    sched_unlock(s);
    if (left) {
        finish(s);
    }
    return NULL;
}

/* ---- from other threads ---------------------------------------------------------------------*/

static int check_open(struct bth_sched *s, struct berth_error *err) {
    sched_lock(s);
    const bool closing = s->closing;
    sched_unlock(s);
    return closing ? bth_error(err, BERTH_ESHUTDOWN, "the manager is closing") : 0;
}

/* A place in `all`, from which it can be cancelled. */
static int enter(struct bth_sched *s, struct bth_job *job, struct berth_error *err) {
    int rc = 0;
    sched_lock(s);
    if (s->closing) {
        rc = bth_error(err, BERTH_ESHUTDOWN, "the manager is closing");
    } else if (s->lost.code) {
        rc = bth_error_copy(err, &s->lost);
    } else if (s->n_jobs >= s->max_jobs) {
        rc = bth_error(err, BERTH_EOVERLOADED,
                       "%zu requests are queued and running, which is the most: try again later",
                       s->n_jobs);
    } else {
        s->n_jobs++;
        job->seq = s->n_submitted++;
        bth_list_append(&s->all, &job->all);
    }
    sched_unlock(s);
    return rc;
}

int bth_sched_submit(struct bth_sched *s, struct bth_lease *lease,
                     const struct berth_request *request, struct bth_job **out,
                     struct berth_error *err) {
    struct bth_job *job;
    int rc = check_open(s, err); /* its lease has been revoked then, which is not the reason */
    rc = rc < 0 ? rc : bth_job_create(request, s->max_results, &job, err);
    if (rc < 0) {
        return rc;
    }
    int64_t ms = job->request.deadline_ms;
    job->sched = s;
    bth_sched_ref(s);
    job->lease = lease;
    job->deadline = ms > 0 ? bth_deadline(s->clock(), ms) : BTH_FOREVER;
    job->use.granted = granted;
    /* A lease that is revoked before the job has entered does not find it, but its use gets no
     * bytes. */
    rc = bth_use_open(lease, &job->use, err);
    if (rc == 0) {
        job->sched = s->first->group[job->use.device];
        rc = enter(job->sched, job, err);
        if (rc < 0) {
            bth_use_end(&job->use, true);
        }
    }
    if (rc < 0) {
        bth_job_unref(job);
        return rc;
    }
    bth_job_ref(job); /* the scheduler's, until it is over */
    bth_sched_note(job->sched, job, BTH_NOTE_SUBMIT);
    *out = job;
    return 0;
}

void bth_job_cancel(struct bth_job *job) {
    bth_sched_note(job->sched, job, BTH_NOTE_CANCEL);
}

void bth_job_free(struct bth_job *job) {
    if (job) {
        bth_outbox_on_event(&job->results, NULL, NULL);
        bth_job_cancel(job);
        bth_job_unref(job);
    }
}

/* Those of a lease, or all with NULL. */
static void cancel_here(struct bth_sched *s, const struct bth_lease *lease) {
    struct bth_job *job;
    sched_lock(s);
    BTH_LIST_EACH(job, &s->all, struct bth_job, all) {
        if (!lease || job->lease == lease) {
            note_locked(s, job, BTH_NOTE_CANCEL);
        }
    }
    sched_unlock(s);
}

void bth_sched_cancel(struct bth_sched *s, const struct bth_lease *lease) {
    for (size_t i = 0; i < s->first->n_group; i++) {
        cancel_here(s->first->group[i], lease);
    }
}

/* ---- a device that hangs --------------------------------------------------------------------*/

bool bth_sched_is_stuck(struct bth_sched *s, int64_t limit) {
    const int64_t before = s->clock() - limit;
    bool stuck = false;
    struct bth_job *job;
    sched_lock(s);
    BTH_LIST_EACH(job, &s->all, struct bth_job, all) {
        stuck |= (job->cancelled_at && job->cancelled_at <= before) || job->deadline <= before;
    }
    sched_unlock(s);
    return stuck;
}

/* The result's lock comes after the scheduler's; nobody else ends a job that is in `all`. */
void bth_sched_abandon(struct bth_sched *s, const struct berth_error *why) {
    struct bth_job *job;
    sched_lock(s);
    s->lost = *why;
    BTH_LIST_EACH(job, &s->all, struct bth_job, all) {
        bth_outbox_complete(&job->results, why);
        note_locked(s, job, BTH_NOTE_CANCEL);
    }
    sched_unlock(s);
}

int64_t bth_sched_stepped_at(struct bth_sched *s) {
    return atomic_load_explicit(&s->stepped_at, memory_order_relaxed);
}

void bth_sched_stats(struct bth_sched *s, struct berth_device_stats *out) {
    bth_turns_stats(&s->turns, out);
}

/* ---- create and destroy ---------------------------------------------------------------------*/

static void init(struct bth_sched *s, const struct bth_sched_config *c)
    BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_sched *s, const struct bth_sched_config *c) {
    bth_mutex_init(&s->lock, BTH_RANK_sched);
    bth_cond_init(&s->wake);
    bth_cond_init(&s->idle);
    bth_list_init(&s->inbox);
    bth_list_init(&s->all);
    s->first = c->first ? c->first : s;
    s->refs = 1;
    s->clock = c->clock ? c->clock : bth_now;
    s->stepped_at = s->clock();
    s->max_jobs = c->max_jobs ? c->max_jobs : MAX_JOBS;
    s->max_results = BTH_MAX(c->max_results ? c->max_results : MAX_RESULTS, BERTH_MAX_EMIT);
}

void bth_sched_ref(struct bth_sched *s) {
    sched_lock(s->first);
    s->first->refs++;
    sched_unlock(s->first);
}

static void destroy(struct bth_sched *s) {
    bth_cond_finish(&s->wake);
    bth_cond_finish(&s->idle);
    bth_mutex_finish(&s->lock);
    bth_free(s);
}

void bth_sched_unref(struct bth_sched *s) {
    struct bth_sched *first = s->first;
    sched_lock(first);
    /* Whoever was not the last knows nothing of the group any more. */
    const size_t n = --first->refs == 0 ? first->n_group : 0;
    sched_unlock(first);
    for (size_t i = n; i-- > 0;) { /* the first last */
        destroy(first->group[i]);
    }
}

int bth_sched_create(const struct bth_sched_config *config, struct bth_sched **out,
                     struct berth_error *err) {
    struct bth_sched *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    init(s, config);
    if (s->first->n_group == BTH_MAX_DEVICES) {
        destroy(s);
        return bth_error(err, BERTH_EINVAL, "more than %d devices", BTH_MAX_DEVICES);
    }
    int rc = bth_turns_init(&s->turns, s->clock, s->max_jobs, config->host_threads, err);
    if (rc == 0 && !config->clock &&
        bth_thread_start(&s->thread, "berth-device", device_main, s) < 0) {
        rc = bth_error_nomem(err);
    }
    if (rc < 0) {
        bth_turns_finish(&s->turns);
        destroy(s);
        return rc;
    }
    s->device = s->first->n_group++;
    s->first->group[s->device] = s;
    if (config->manager) {
        s->manager = config->manager;
        bth_manager_ref(s->manager);
    }
    if (s->first != s) {
        bth_sched_ref(s);
    }
    *out = s;
    return 0;
}

static void close_door(struct bth_sched *s) {
    sched_lock(s);
    s->closing = true;
    sched_unlock(s);
    cancel_here(s, NULL);
}

/* Waits until all jobs are over; false: one hangs, and what it is in is left to it. */
static bool wait_idle(struct bth_sched *s) {
    const int64_t end = bth_now() + BTH_STUCK_NS;
    bool in_time = true;
    sched_lock(s);
    while (s->n_jobs > 0 && in_time && !s->lost.code) {
        in_time = bth_cond_wait(&s->idle, &s->lock, end);
    }
    s->stopping = true;
    s->left = s->n_jobs > 0;
    bth_cond_signal(&s->wake);
    const bool left = s->left;
    sched_unlock(s);
    return !left;
}

bool bth_sched_destroy(struct bth_sched *s) {
    if (!s) {
        return true;
    }
    close_door(s);
    if (!s->thread.started) {
        bth_sched_step(s); /* ends them all: no host thread has any */
    }
    if (!wait_idle(s)) {
        bth_thread_leave(&s->thread);
        return false;
    }
    bth_thread_join(&s->thread);
    finish(s);
    return true;
}

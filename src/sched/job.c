#include "sched/job.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- create and free ---- */

static bool copy_text(struct bth_arena *a, const char **text) {
    if (*text) {
        *text = bth_arena_strndup(a, *text, strlen(*text));
        return *text != NULL;
    }
    return true;
}

static bool copy_options(struct bth_arena *a, struct berth_request *r) {
    struct berth_option *options = bth_arena_memdup(a, r->options, r->n_options * sizeof(*options));
    bool ok = options != NULL;
    for (size_t i = 0; ok && i < r->n_options; i++) {
        ok = copy_text(a, &options[i].name) && copy_text(a, &options[i].value);
    }
    r->options = options;
    return ok;
}

/* request is an older or newer caller's: only what it has is read. */
static int copy_request(struct bth_job *job, const struct berth_request *request,
                        struct berth_error *err) {
    struct berth_request *r = &job->request;
    size_t n = BTH_MIN((size_t)request->struct_size, sizeof(*r));
    memcpy(r, request, n);
    r->struct_size = sizeof(*r);
    bool ok = copy_options(&job->arena, r) && copy_text(&job->arena, &r->caller) &&
              copy_text(&job->arena, &r->input.path);
    if (ok && r->input.kind == BERTH_INPUT_FD) {
        r->input.fd = job->fd = fcntl(r->input.fd, F_DUPFD_CLOEXEC, 0);
        if (job->fd < 0 && errno == EMFILE) {
            return bth_error(err, BERTH_EOVERLOADED,
                             "this process has no descriptor left for the input: try again later");
        }
        return job->fd >= 0 ? 0 : bth_error(err, BERTH_EIO, "the input: %s", strerror(errno));
    }
    if (ok && r->input.data) {
        r->input.data = bth_arena_memdup(&job->arena, r->input.data, r->input.size);
        ok = r->input.data != NULL;
    }
    return ok ? 0 : bth_error_nomem(err);
}

static void init(struct bth_job *job) BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_job *job) {
    bth_mutex_init(&job->lock, BTH_RANK_result);
    bth_cond_init(&job->changed);
    bth_list_init(&job->all);
    bth_list_init(&job->inbox);
    bth_list_init(&job->active);
    bth_list_init(&job->on_host);
    job->refs = 1;
    job->fd = -1;
    job->sink.emit = bth_job_emit;
}

static void destroy(struct bth_job *job) BTH_TSA(no_thread_safety_analysis);
static void destroy(struct bth_job *job) {
    struct bth_sched *sched = job->sched;
    for (size_t i = 0; i < job->n_items; i++) {
        berth_item_free(job->items[(job->first_item + i) % job->max_items]);
    }
    berth_item_free(job->final);
    if (job->fd >= 0) {
        close(job->fd);
    }
    bth_free(job->items);
    bth_arena_finish(&job->arena);
    bth_cond_finish(&job->changed);
    bth_mutex_finish(&job->lock);
    bth_free(job);
    if (sched) {
        bth_sched_unref(sched);
    }
}

int bth_job_create(const struct berth_request *request, size_t max_items, struct bth_job **out,
                   struct berth_error *err) {
    struct bth_job *job = bth_calloc(1, sizeof(*job));
    if (!job) {
        return bth_error_nomem(err);
    }
    init(job);
    job->max_items = max_items;
    struct berth_item **items = bth_calloc(max_items, sizeof(*items));
    job_lock(job);
    job->items = items;
    job_unlock(job);
    int rc = items ? copy_request(job, request, err) : bth_error_nomem(err);
    if (rc < 0) {
        destroy(job);
        return rc;
    }
    *out = job;
    return 0;
}

void bth_job_ref(struct bth_job *job) {
    job_lock(job);
    job->refs++;
    job_unlock(job);
}

void bth_job_unref(struct bth_job *job) {
    job_lock(job);
    bool last = --job->refs == 0;
    job_unlock(job);
    if (last) {
        destroy(job);
    }
}

static bool over_locked(const struct bth_job *job) REQUIRES(result);
static bool over_locked(const struct bth_job *job) {
    return job->state == BERTH_JOB_DONE || job->state == BERTH_JOB_FAILED;
}

/* ---- from the engine ---- */

/* With the lock held, so that a job that has been given back never calls. */
static void tell_locked(struct bth_job *job) REQUIRES(result);
static void tell_locked(struct bth_job *job) {
    bth_cond_broadcast(&job->changed);
    if (job->on_event) {
        job->on_event(job->on_event_arg);
    }
}

/* Partial items are kept for streaming callers; progress is only a number. Items that nobody will
 * take are dropped. */
static struct berth_item *keep_locked(struct bth_job *job, struct berth_item *item)
    REQUIRES(result);
static struct berth_item *keep_locked(struct bth_job *job, struct berth_item *item) {
    assert(bth_mutex_held(&job->lock));
    struct berth_item *drop = item;
    if (over_locked(job)) {
        return item;
    }
    job->done = item->done;
    job->total = item->total;
    if (item->kind == BERTH_ITEM_FINAL) {
        drop = job->final;
        job->final = item;
    } else if (item->kind == BERTH_ITEM_PARTIAL && job->request.stream &&
               job->n_items < job->max_items) {
        job->items[(job->first_item + job->n_items++) % job->max_items] = item;
        drop = NULL;
    }
    return drop;
}

int bth_job_emit(struct berth_sink *sink, struct berth_item *item) {
    struct bth_job *job = BTH_CONTAINER(sink, struct bth_job, sink);
    job_lock(job);
    size_t had = job->n_items;
    struct berth_item *drop = keep_locked(job, item);
    if (job->n_items > had) { /* a final item can be taken when the job is complete */
        tell_locked(job);
    }
    job_unlock(job);
    berth_item_free(drop);
    return 0;
}

bool bth_job_has_room(struct bth_job *job) {
    job_lock(job);
    bool room = job->max_items - job->n_items >= BERTH_MAX_EMIT;
    job->waits_for_room = !room;
    job_unlock(job);
    return room;
}

void bth_job_running(struct bth_job *job) {
    job_lock(job);
    job->state = over_locked(job) ? job->state : BERTH_JOB_RUNNING;
    job_unlock(job);
}

void bth_job_complete(struct bth_job *job, const struct berth_error *err) {
    job_lock(job);
    if (over_locked(job)) { /* given up, and it came back */
        job_unlock(job);
        return;
    }
    bool well = (!err || err->code == 0) && job->final;
    if (!well && err && err->code < 0) {
        job->error = *err;
    } else if (!well) {
        bth_error(&job->error, BERTH_EINTERNAL, "the request ended without a result");
    }
    job->state = well ? BERTH_JOB_DONE : BERTH_JOB_FAILED;
    job->waits_for_room = false;
    tell_locked(job);
    job_unlock(job);
}

/* ---- from the caller ---- */

/* The oldest partial item, or NULL. *out_tell: the scheduler waits for this room. */
static struct berth_item *pop_locked(struct bth_job *job, bool *out_tell) REQUIRES(result);
static struct berth_item *pop_locked(struct bth_job *job, bool *out_tell) {
    if (job->n_items == 0) {
        return NULL;
    }
    struct berth_item *item = job->items[job->first_item];
    job->first_item = (job->first_item + 1) % job->max_items;
    job->n_items--;
    *out_tell = job->waits_for_room && job->max_items - job->n_items >= BERTH_MAX_EMIT;
    job->waits_for_room &= !*out_tell;
    return item;
}

/* The final item, once. */
static int take_final_locked(struct bth_job *job, struct berth_item **out, struct berth_error *err)
    REQUIRES(result);
static int take_final_locked(struct bth_job *job, struct berth_item **out,
                             struct berth_error *err) {
    if (job->state == BERTH_JOB_FAILED) {
        return bth_error_copy(err, &job->error);
    }
    if (job->taken) {
        return bth_error(err, BERTH_ESTATE, "the result has been taken already");
    }
    job->taken = true;
    *out = job->final;
    job->final = NULL;
    return 0;
}

/* Waits until there is something to take; false: the deadline has passed. */
static bool wait_locked(struct bth_job *job, int64_t deadline) REQUIRES(result);
static bool wait_locked(struct bth_job *job, int64_t deadline) {
    while (job->n_items == 0 && !over_locked(job)) {
        if (!bth_cond_wait(&job->changed, &job->lock, deadline)) {
            return job->n_items > 0 || over_locked(job);
        }
    }
    return true;
}

/* The next item; partial ones are dropped on the way if only the `last` is wanted. */
static int take(struct bth_job *job, bool last, int64_t deadline, struct berth_item **out,
                struct berth_error *err) {
    for (;;) {
        struct berth_item *item = NULL;
        bool tell = false, final = false;
        int rc = 0;
        job_lock(job);
        if (!wait_locked(job, deadline)) {
            rc = bth_error(err, BERTH_ETIMEDOUT, "not finished yet");
        } else if (!(item = pop_locked(job, &tell))) {
            final = true;
            rc = take_final_locked(job, &item, err);
        }
        job_unlock(job);
        if (tell) {
            bth_sched_note(job->sched, job, BTH_NOTE_ROOM);
        }
        if (rc < 0) {
            return rc;
        }
        if (final || !last) {
            *out = item;
            return 0;
        }
        berth_item_free(item);
    }
}

int bth_job_next(struct bth_job *job, int64_t deadline, struct berth_item **out,
                 struct berth_error *err) {
    return take(job, false, deadline, out, err);
}

int bth_job_wait(struct bth_job *job, int64_t deadline, struct berth_item **out,
                 struct berth_error *err) {
    return take(job, true, deadline, out, err);
}

void bth_job_on_event(struct bth_job *job, void (*fn)(void *arg), void *arg) {
    job_lock(job);
    job->on_event = fn;
    job->on_event_arg = arg;
    if (fn && (job->n_items > 0 || over_locked(job))) {
        fn(arg);
    }
    job_unlock(job);
}

enum berth_job_state bth_job_state(const struct bth_job *job) {
    struct bth_job *j = (struct bth_job *)job;
    job_lock(j);
    enum berth_job_state state = j->state;
    job_unlock(j);
    return state;
}

void bth_job_progress(const struct bth_job *job, double *done, double *total) {
    struct bth_job *j = (struct bth_job *)job;
    job_lock(j);
    *done = j->done;
    *total = j->total;
    job_unlock(j);
}

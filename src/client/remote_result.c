/* The half that waits: what a request has given so far, until its caller takes it. */
#include "base/alloc.h"
#include "base/error.h"
#include "client/remote_job.h"

BTH_LOCK(job, struct bth_client_job, lock, result)

/* ---- life ------------------------------------------------------------------------------------*/

struct bth_client_job *bth_remote_create(struct bth_client_lease *lease,
                                         const struct berth_request *r) {
    struct bth_client_job *job = bth_calloc(1, sizeof(*job));
    char *file = r->input.kind == BERTH_INPUT_FILE ? bth_strdup(r->input.path) : NULL;
    struct berth_item **items =
        r->stream ? bth_calloc(BTH_REMOTE_ITEMS, sizeof(struct berth_item *)) : NULL;
    if (!job || (r->stream && !items) || (r->input.kind == BERTH_INPUT_FILE && !file)) {
        bth_free(items);
        bth_free(file);
        bth_free(job);
        return NULL;
    }
    *job = (struct bth_client_job){.client = lease->client,
                                   .lease = lease,
                                   .upload = {.fd = -1},
                                   .file = file,
                                   .stream = r->stream,
                                   .state = BERTH_JOB_QUEUED,
                                   .items = items,
                                   .refs = 1};
    bth_list_init(&job->link);
    bth_mutex_init(&job->lock, BTH_RANK_result);
    bth_cond_init(&job->changed);
    bth_client_ref(job->client);
    return job;
}

void bth_remote_ref(struct bth_client_job *job) {
    job_lock(job);
    job->refs++;
    job_unlock(job);
}

static void destroy(struct bth_client_job *job) BTH_TSA(no_thread_safety_analysis);
static void destroy(struct bth_client_job *job) {
    while (job->n_items > 0) {
        berth_item_free(job->items[job->first_item]);
        job->first_item = (job->first_item + 1) % BTH_REMOTE_ITEMS;
        job->n_items--;
    }
    berth_item_free(job->final);
    berth_item_free(job->last);
    bth_transfer_finish(&job->transfer);
    bth_upload_finish(&job->upload);
    bth_lines_finish(&job->lines);
    bth_str_finish(&job->refusal);
    bth_cond_finish(&job->changed);
    bth_mutex_finish(&job->lock);
    bth_free(job->items);
    bth_free(job->file);
    bth_client_unref(job->client);
    bth_free(job);
}

void bth_remote_unref(struct bth_client_job *job) {
    job_lock(job);
    bool last = --job->refs == 0;
    job_unlock(job);
    if (last) {
        destroy(job);
    }
}

static bool over_locked(const struct bth_client_job *job) REQUIRES(result);
static bool over_locked(const struct bth_client_job *job) {
    return job->state == BERTH_JOB_DONE || job->state == BERTH_JOB_FAILED;
}

static void tell_locked(struct bth_client_job *job) REQUIRES(result);
static void tell_locked(struct bth_client_job *job) {
    bth_cond_broadcast(&job->changed);
    if (job->on_event) {
        job->on_event(job->on_event_arg);
    }
}

/* ---- from the loop ---------------------------------------------------------------------------*/

void bth_remote_complete(struct bth_client_job *job, struct berth_item *final,
                         const struct berth_error *err) {
    job_lock(job);
    if (over_locked(job)) {
        job_unlock(job);
        berth_item_free(final);
        return;
    }
    job->state = final ? BERTH_JOB_DONE : BERTH_JOB_FAILED;
    job->final = final;
    if (!final) {
        job->error = *err;
    }
    tell_locked(job);
    job_unlock(job);
}

void bth_remote_progress(struct bth_client_job *job, double done, double total) {
    job_lock(job);
    job->done = done;
    job->total = total;
    if (job->state == BERTH_JOB_QUEUED && total > 0) {
        job->state = BERTH_JOB_RUNNING;
    }
    job_unlock(job);
}

int bth_remote_keep(struct bth_client_job *job, struct berth_item *item, struct berth_error *err) {
    bth_remote_progress(job, item->done, item->total);
    if (item->kind == BERTH_ITEM_FINAL) {
        berth_item_free(job->last);
        job->last = item;
        return 0;
    }
    int rc = 0;
    job_lock(job);
    if (!job->stream || over_locked(job)) {
        /* nobody will take it */
    } else if (job->n_items == BTH_REMOTE_ITEMS) {
        rc = bth_error(err, BERTH_EIO, "the daemon's answer is damaged: too many items at once");
    } else {
        job->items[(job->first_item + job->n_items++) % BTH_REMOTE_ITEMS] = item;
        item = NULL;
        tell_locked(job);
    }
    job_unlock(job);
    berth_item_free(item);
    return rc;
}

bool bth_remote_has_room(struct bth_client_job *job) {
    job_lock(job);
    bool room = BTH_REMOTE_ITEMS - job->n_items >= BTH_REMOTE_BLOCK || over_locked(job);
    job->paused = !room;
    job_unlock(job);
    return room;
}

/* ---- from the caller -------------------------------------------------------------------------*/

/* The oldest partial item, or NULL. *out_resume: there is room again for the transfer. */
static struct berth_item *pop_locked(struct bth_client_job *job, bool *out_resume) REQUIRES(result);
static struct berth_item *pop_locked(struct bth_client_job *job, bool *out_resume) {
    if (job->n_items == 0) {
        return NULL;
    }
    struct berth_item *item = job->items[job->first_item];
    job->first_item = (job->first_item + 1) % BTH_REMOTE_ITEMS;
    job->n_items--;
    *out_resume = job->paused && BTH_REMOTE_ITEMS - job->n_items >= BTH_REMOTE_BLOCK;
    job->paused &= !*out_resume;
    return item;
}

static int take_final_locked(struct bth_client_job *job, struct berth_item **out,
                             struct berth_error *err) REQUIRES(result);
static int take_final_locked(struct bth_client_job *job, struct berth_item **out,
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
static bool wait_locked(struct bth_client_job *job, int64_t deadline) REQUIRES(result);
static bool wait_locked(struct bth_client_job *job, int64_t deadline) {
    while (job->n_items == 0 && !over_locked(job)) {
        if (!bth_cond_wait(&job->changed, &job->lock, deadline)) {
            return job->n_items > 0 || over_locked(job);
        }
    }
    return true;
}

/* The next item; partial ones are dropped on the way if only the `last` is wanted. */
static int take(struct bth_client_job *job, bool last, int64_t deadline, struct berth_item **out,
                struct berth_error *err) {
    for (;;) {
        struct berth_item *item = NULL;
        bool resume = false, final = false;
        int rc = 0;
        job_lock(job);
        if (!wait_locked(job, deadline)) {
            rc = bth_error(err, BERTH_ETIMEDOUT, "not finished yet");
        } else if (!(item = pop_locked(job, &resume))) {
            final = true;
            rc = take_final_locked(job, &item, err);
        }
        job_unlock(job);
        if (resume) {
            bth_loop_note(&job->client->loop, &job->transfer, BTH_TRANSFER_RESUME);
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

int bth_client_job_next(struct bth_client_job *job, int64_t deadline, struct berth_item **out,
                        struct berth_error *err) {
    return take(job, false, deadline, out, err);
}

int bth_client_job_wait(struct bth_client_job *job, int64_t deadline, struct berth_item **out,
                        struct berth_error *err) {
    return take(job, true, deadline, out, err);
}

enum berth_job_state bth_client_job_state(const struct bth_client_job *job) {
    struct bth_client_job *j = (struct bth_client_job *)job;
    job_lock(j);
    enum berth_job_state state = j->state;
    job_unlock(j);
    return state;
}

void bth_client_job_progress(const struct bth_client_job *job, double *done, double *total) {
    struct bth_client_job *j = (struct bth_client_job *)job;
    job_lock(j);
    *done = j->done;
    *total = j->total;
    job_unlock(j);
}

void bth_client_job_on_event(struct bth_client_job *job, void (*fn)(void *arg), void *arg) {
    job_lock(job);
    job->on_event = fn;
    job->on_event_arg = arg;
    if (fn && (job->n_items > 0 || over_locked(job))) {
        fn(arg);
    }
    job_unlock(job);
}

void bth_client_job_cancel(struct bth_client_job *job) {
    struct berth_error err;
    bth_error(&err, BERTH_ECANCELLED, "the request was cancelled");
    bth_remote_complete(job, NULL, &err);
    if (job->started) {
        bth_loop_note(&job->client->loop, &job->transfer, BTH_TRANSFER_CANCEL);
    }
}

void bth_client_job_free(struct bth_client_job *job) {
    bth_client_job_on_event(job, NULL, NULL);
    bth_client_job_cancel(job);
    bth_remote_unref(job);
}

void bth_client_cancel(struct bth_client *c, const struct bth_client_lease *lease) {
    struct bth_client_job *job;
    client_lock(c);
    BTH_LIST_EACH(job, &c->jobs, struct bth_client_job, link) {
        if (!lease || job->lease == lease) {
            bth_client_job_cancel(job);
        }
    }
    client_unlock(c);
}

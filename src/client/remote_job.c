/*
 * A request at a daemon: POST /v1/run, whose answer is JSON lines.
 *
 * DESIGN. The job is shared by its caller and its transfer, one reference each. The loop's thread
 * feeds it (take_data, take_end), the caller takes from it; both meet under the job's lock. It
 * completes once: with the transfer's end, or before it with a cancellation, after which what still
 * arrives is dropped. A caller who is slow to take partial items pauses his transfer: the daemon
 * then holds back, and gives up after its own time-out for slow readers.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "client/client_private.h"
#include "client/event.h"
#include "client/query.h"
#include <stdio.h>
#include <string.h>

/* A block of libcurl's (16 KiB) holds less than BLOCK items of the daemon. */
enum { MAX_ITEMS = 1024, BLOCK = 512, MAX_REFUSAL = 65536, SILENCE_S = 30 };

struct bth_client_job {
    struct bth_client *client;            /* a reference */
    const struct bth_client_lease *lease; /* an identity, never looked into */
    struct bth_transfer transfer;
    struct bth_upload upload;
    char *file; /* the input's path, for messages; or NULL */
    bool stream;
    bool started;         /* the transfer has been: set by the submission, constant after it */
    struct bth_list link; /* client.jobs: client's lock */

    /* the loop's thread */
    struct bth_lines lines;
    struct bth_str refusal;    /* the body of an answer that is no 200 */
    struct berth_error broken; /* why data was refused */
    struct berth_item *last;   /* the final item */
    struct berth_error said;   /* by an error event */

    struct bth_mutex lock;
    struct bth_cond changed;
    int refs GUARDED_BY(result);
    enum berth_job_state state GUARDED_BY(result);
    struct berth_item **items GUARDED_BY(result); /* ring [MAX_ITEMS] if `stream` */
    size_t first_item GUARDED_BY(result), n_items GUARDED_BY(result);
    struct berth_item *final GUARDED_BY(result);
    bool taken GUARDED_BY(result), paused GUARDED_BY(result);
    struct berth_error error GUARDED_BY(result);
    double done GUARDED_BY(result), total GUARDED_BY(result);
    void (*on_event)(void *arg) GUARDED_BY(result);
    void *on_event_arg GUARDED_BY(result);
};

BTH_LOCK(job, struct bth_client_job, lock, result)

/* ---- life ------------------------------------------------------------------------------------*/

static void destroy(struct bth_client_job *job) BTH_TSA(no_thread_safety_analysis);
static void destroy(struct bth_client_job *job) {
    while (job->n_items > 0) {
        berth_item_free(job->items[job->first_item]);
        job->first_item = (job->first_item + 1) % MAX_ITEMS;
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

static void unref(struct bth_client_job *job) {
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

/* The end, unless it has ended: with `final`, which is taken over, or else with `err`. */
static void complete(struct bth_client_job *job, struct berth_item *final,
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

/* ---- from the loop ---------------------------------------------------------------------------*/

static void note_progress(struct bth_client_job *job, double done, double total) {
    job_lock(job);
    job->done = done;
    job->total = total;
    if (job->state == BERTH_JOB_QUEUED && total > 0) {
        job->state = BERTH_JOB_RUNNING;
    }
    job_unlock(job);
}

static int keep_item(struct bth_client_job *job, struct berth_item *item, struct berth_error *err) {
    note_progress(job, item->done, item->total);
    if (item->kind == BERTH_ITEM_FINAL) {
        berth_item_free(job->last);
        job->last = item;
        return 0;
    }
    int rc = 0;
    job_lock(job);
    if (!job->stream || over_locked(job)) {
        /* nobody will take it */
    } else if (job->n_items == MAX_ITEMS) {
        rc = bth_error(err, BERTH_EIO, "the daemon's answer is damaged: too many items at once");
    } else {
        job->items[(job->first_item + job->n_items++) % MAX_ITEMS] = item;
        item = NULL;
        tell_locked(job);
    }
    job_unlock(job);
    berth_item_free(item);
    return rc;
}

static int take_line(void *arg, const char *line, size_t n, struct berth_error *err) {
    struct bth_client_job *job = arg;
    struct bth_event e;
    if (job->last || job->said.code) {
        return bth_error(err, BERTH_EIO, "the daemon's answer is damaged: it goes on at its end");
    }
    int rc = bth_event_parse(line, n, &e, err);
    if (rc < 0) {
        return rc;
    }
    switch (e.kind) {
    case BTH_EVENT_PROGRESS:
        note_progress(job, e.done, e.total);
        break;
    case BTH_EVENT_ITEM:
        rc = keep_item(job, e.item, err);
        break;
    case BTH_EVENT_ERROR:
        job->said = e.error;
        break;
    }
    return rc;
}

/* Whether the items of one more block have a place. */
static bool has_room(struct bth_client_job *job) {
    job_lock(job);
    bool room = MAX_ITEMS - job->n_items >= BLOCK || over_locked(job);
    job->paused = !room;
    job_unlock(job);
    return room;
}

static int take_data(struct bth_transfer *t, const char *bytes, size_t n) {
    struct bth_client_job *job = BTH_CONTAINER(t, struct bth_client_job, transfer);
    if (bth_transfer_status(t) != 200) {
        bth_str_append(&job->refusal, bytes, BTH_MIN(n, MAX_REFUSAL - job->refusal.size));
        return 0;
    }
    if (job->stream && !has_room(job)) {
        return BTH_TRANSFER_PAUSE;
    }
    return bth_lines_feed(&job->lines, bytes, n, take_line, job, &job->broken);
}

/* What an input's file is called is known here only. */
static void name_file(const struct bth_client_job *job, struct berth_error *err) {
    if (job->file && (err->code == BERTH_EAUDIO || err->code == BERTH_ETOOLARGE)) {
        bth_error_prefix(err, "%s: ", job->file);
    }
}

static void outcome(struct bth_client_job *job, CURLcode rc, struct berth_error *err) {
    const struct bth_upload *u = &job->upload;
    int status = bth_transfer_status(&job->transfer);
    if (job->broken.code) {
        *err = job->broken;
    } else if (u->failed || u->shortened) {
        bth_error(err, BERTH_EIO, "%s%scannot read: %s", job->file ? job->file : "",
                  job->file ? ": " : "",
                  u->shortened ? "the file has become shorter" : strerror(u->failed));
    } else if (status >= 400 && job->refusal.size && rc != CURLE_ABORTED_BY_CALLBACK) {
        /* also when it broke off because we were still sending */
        bth_event_refusal(status, bth_str_text(&job->refusal), job->refusal.size, err);
        name_file(job, err);
    } else if (rc != CURLE_OK) {
        bth_transfer_error(job->client, &job->transfer, rc, err);
    } else if (status != 200) {
        bth_event_refusal(status, "", 0, err);
    } else if (job->said.code) {
        *err = job->said;
    } else {
        bth_error(err, BERTH_ELOST, "the daemon at %.100s broke off its answer: try again",
                  job->client->address);
    }
}

static void take_end(struct bth_transfer *t, CURLcode rc) {
    struct bth_client_job *job = BTH_CONTAINER(t, struct bth_client_job, transfer);
    struct bth_client *c = job->client;
    struct berth_error err = {0};
    struct berth_item *final = NULL;
    if (rc == CURLE_OK && job->last) {
        final = job->last;
        job->last = NULL;
    } else {
        outcome(job, rc, &err);
    }
    complete(job, final, &err);
    client_lock(c);
    bth_list_remove(&job->link);
    c->n_jobs--;
    bth_cond_broadcast(&c->changed);
    client_unlock(c);
    unref(job);
}

static const struct bth_transfer_ops job_ops = {.data = take_data, .ended = take_end};

/* ---- submission ------------------------------------------------------------------------------*/

static int set_headers(struct bth_client_job *job, const struct berth_request *r,
                       struct berth_error *err) {
    char line[128] = "X-Berth-Caller: ";
    curl_easy_setopt(job->transfer.easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    /* the daemon says something twice a second once it has the body */
    curl_easy_setopt(job->transfer.easy, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    if (!r->caller || !*r->caller) {
        return 0;
    }
    bth_query_caller(r->caller, line + strlen(line));
    return bth_transfer_header(&job->transfer, line, err);
}

static int prepare(struct bth_client_job *job, const char *model, const struct berth_request *r,
                   struct berth_error *err) {
    char *path = NULL;
    int rc = bth_query_run(model, r, &path, err);
    rc = rc < 0 ? rc : bth_transfer_create(job->client, path, &job->upload, &job->transfer, err);
    rc = rc < 0 ? rc : set_headers(job, r, err);
    bth_free(path);
    return rc;
}

static struct bth_client_job *create(struct bth_client_lease *lease,
                                     const struct berth_request *r) {
    struct bth_client_job *job = bth_calloc(1, sizeof(*job));
    char *file = r->input.kind == BERTH_INPUT_FILE ? bth_strdup(r->input.path) : NULL;
    struct berth_item **items =
        r->stream ? bth_calloc(MAX_ITEMS, sizeof(struct berth_item *)) : NULL;
    if (!job || (r->stream && !items) || (r->input.kind == BERTH_INPUT_FILE && !file)) {
        bth_free(items);
        bth_free(file);
        bth_free(job);
        return NULL;
    }
    *job = (struct bth_client_job){.client = lease->client,
                                   .lease = lease,
                                   .transfer = {.ops = &job_ops},
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

/* Joins the client's jobs, and with that begins. ESHUTDOWN. */
static int begin(struct bth_client_job *job, struct berth_error *err) {
    struct bth_client *c = job->client;
    client_lock(c);
    bool closing = c->closing;
    job->started = !closing;
    if (!closing) {
        bth_list_append(&c->jobs, &job->link);
        c->n_jobs++;
    }
    client_unlock(c);
    if (closing) {
        return bth_error(err, BERTH_ESHUTDOWN, "the manager is closing");
    }
    job_lock(job);
    job->refs++; /* the transfer's */
    job_unlock(job);
    bth_loop_note(&c->loop, &job->transfer, BTH_TRANSFER_START);
    return 0;
}

int bth_client_submit(struct bth_client_lease *lease, const struct berth_request *request,
                      struct bth_client_job **out, struct berth_error *err) {
    struct bth_client_job *job = create(lease, request);
    struct berth_error why = {0};
    if (!job) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    if (bth_upload_input(&job->upload, &request->input, &why) < 0) {
        complete(job, NULL, &why); /* as in process, an input's faults are the job's */
    } else {
        rc = prepare(job, lease->model, request, err);
        rc = rc < 0 ? rc : begin(job, err);
    }
    if (rc < 0) {
        unref(job);
        return rc;
    }
    *out = job;
    return 0;
}

/* ---- from the caller -------------------------------------------------------------------------*/

/* The oldest partial item, or NULL. *out_resume: there is room again for the transfer. */
static struct berth_item *pop_locked(struct bth_client_job *job, bool *out_resume) REQUIRES(result);
static struct berth_item *pop_locked(struct bth_client_job *job, bool *out_resume) {
    if (job->n_items == 0) {
        return NULL;
    }
    struct berth_item *item = job->items[job->first_item];
    job->first_item = (job->first_item + 1) % MAX_ITEMS;
    job->n_items--;
    *out_resume = job->paused && MAX_ITEMS - job->n_items >= BLOCK;
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
    complete(job, NULL, &err);
    if (job->started) {
        bth_loop_note(&job->client->loop, &job->transfer, BTH_TRANSFER_CANCEL);
    }
}

void bth_client_job_free(struct bth_client_job *job) {
    bth_client_job_on_event(job, NULL, NULL);
    bth_client_job_cancel(job);
    unref(job);
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

/* The half that talks: one POST /v1/run. */
#include "client/remote_job.h"
#include "base/alloc.h"
#include "base/error.h"
#include "client/query.h"
#include <stdio.h>
#include <string.h>

enum { MAX_REFUSAL = 65536, SILENCE_S = 30 };

/* ---- from the loop ---------------------------------------------------------------------------*/

static void advance(struct bth_client_job *job, double done, double total) {
    bth_outbox_advance(&job->results, done, total);
    if (total > 0) {
        bth_outbox_running(&job->results);
    }
}

static int keep(struct bth_client_job *job, struct berth_item *item, struct berth_error *err) {
    advance(job, item->done, item->total);
    job->last = item->kind == BERTH_ITEM_FINAL;
    if (!bth_outbox_put(&job->results, item)) {
        return bth_error(err, BERTH_EIO, "the daemon's answer is damaged: too many items at once");
    }
    return 0;
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
        advance(job, e.done, e.total);
        break;
    case BTH_EVENT_ITEM:
        rc = keep(job, e.item, err);
        break;
    case BTH_EVENT_ERROR:
        job->said = e.error;
        break;
    }
    return rc;
}

static int take_data(struct bth_transfer *t, const char *bytes, size_t n) {
    struct bth_client_job *job = BTH_CONTAINER(t, struct bth_client_job, transfer);
    if (bth_transfer_status(t) != 200) {
        bth_str_append(&job->refusal, bytes, BTH_MIN(n, MAX_REFUSAL - job->refusal.size));
        return 0;
    }
    if (!bth_outbox_has_room(&job->results)) {
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
    if (rc != CURLE_OK || !job->last) {
        outcome(job, rc, &err);
    }
    bth_outbox_complete(&job->results, &err);
    client_lock(c);
    bth_list_remove(&job->link);
    c->n_jobs--;
    bth_cond_broadcast(&c->changed);
    client_unlock(c);
    bth_remote_unref(job);
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

static int prepare(struct bth_client_job *job, const char *model, const char *lease,
                   const struct berth_request *r, struct berth_error *err) {
    char *path = NULL;
    int rc = bth_query_run(model, lease, r, &path, err);
    rc = rc < 0 ? rc : bth_transfer_create(job->client, path, &job->upload, &job->transfer, err);
    rc = rc < 0 ? rc : set_headers(job, r, err);
    bth_free(path);
    return rc;
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
    bth_outbox_ref(&job->results); /* the transfer's */
    bth_loop_note(&c->loop, &job->transfer, BTH_TRANSFER_START);
    return 0;
}

int bth_client_submit(struct bth_client_lease *lease, const struct berth_request *request,
                      struct bth_client_job **out, struct berth_error *err) {
    char name[64];
    struct berth_error why = {0};
    int rc = bth_client_lease_use(lease, name, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_client_job *job;
    rc = bth_remote_create(lease, request, &job, err);
    if (rc < 0) {
        return rc;
    }
    job->transfer.ops = &job_ops;
    if (bth_upload_input(&job->upload, &request->input, &why) < 0) {
        bth_outbox_complete(&job->results,
                            &why); /* as in process, an input's faults are the job's */
    } else {
        rc = prepare(job, lease->model, name, request, err);
        rc = rc < 0 ? rc : begin(job, err);
    }
    if (rc < 0) {
        bth_remote_unref(job);
        return rc;
    }
    *out = job;
    return 0;
}

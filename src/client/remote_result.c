/* A request as its caller holds it. */
#include "base/alloc.h"
#include "base/error.h"
#include "client/remote_job.h"

static void on_room(struct bth_outbox *results) {
    struct bth_client_job *job = BTH_CONTAINER(results, struct bth_client_job, results);
    bth_loop_note(&job->client->loop, &job->transfer, BTH_TRANSFER_RESUME);
}

int bth_remote_create(struct bth_client_lease *lease, const struct berth_request *r,
                      struct bth_client_job **out, struct berth_error *err) {
    struct bth_client_job *job = bth_calloc(1, sizeof(*job));
    char *file = r->input.kind == BERTH_INPUT_FILE ? bth_strdup(r->input.path) : NULL;
    if (!job || (r->input.kind == BERTH_INPUT_FILE && !file) ||
        bth_outbox_init(&job->results, r->stream ? BTH_REMOTE_ITEMS : 0, BTH_REMOTE_BLOCK, on_room,
                        err) < 0) {
        bth_free(file);
        bth_free(job);
        return bth_error_nomem(err);
    }
    job->client = lease->client;
    job->lease = lease;
    job->upload.fd = -1;
    job->file = file;
    bth_list_init(&job->link);
    bth_client_ref(job->client);
    *out = job;
    return 0;
}

void bth_remote_unref(struct bth_client_job *job) {
    if (!bth_outbox_unref(&job->results)) {
        return;
    }
    bth_outbox_finish(&job->results);
    bth_transfer_finish(&job->transfer);
    bth_upload_finish(&job->upload);
    bth_lines_finish(&job->lines);
    bth_str_finish(&job->refusal);
    bth_free(job->file);
    bth_client_unref(job->client);
    bth_free(job);
}

struct bth_outbox *bth_client_job_results(struct bth_client_job *job) {
    return &job->results;
}

void bth_client_job_cancel(struct bth_client_job *job) {
    struct berth_error err;
    bth_error(&err, BERTH_ECANCELLED, "the request was cancelled");
    bth_outbox_complete(&job->results, &err);
    if (job->started) {
        bth_loop_note(&job->client->loop, &job->transfer, BTH_TRANSFER_CANCEL);
    }
}

void bth_client_job_free(struct bth_client_job *job) {
    bth_outbox_on_event(&job->results, NULL, NULL);
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

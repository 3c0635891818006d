/* One question to the daemon, and its answer. The caller waits on the call itself. */
#include "base/clock.h"
#include "base/error.h"
#include "client/client_private.h"
#include "client/event.h"

enum { ANSWER_BYTES = 16 << 20 };

struct call {
    struct bth_transfer transfer;
    struct bth_upload upload;
    struct bth_str body; /* the loop's until `done` */
    bool too_large;      /* likewise */
    CURLcode rc;         /* likewise */
    int status;          /* likewise */

    struct bth_mutex lock;
    struct bth_cond changed;
    bool done GUARDED_BY(result);
};

BTH_LOCK(call, struct call, lock, result)

static int take_data(struct bth_transfer *t, const char *bytes, size_t n) {
    struct call *call = BTH_CONTAINER(t, struct call, transfer);
    if (n > ANSWER_BYTES - call->body.size) {
        call->too_large = true;
        return BERTH_ETOOLARGE;
    }
    bth_str_append(&call->body, bytes, n);
    return call->body.failed ? BERTH_ENOMEM : 0;
}

static void take_end(struct bth_transfer *t, CURLcode rc) {
    struct call *call = BTH_CONTAINER(t, struct call, transfer);
    call->status = bth_transfer_status(t);
    call->rc = rc;
    call_lock(call);
    call->done = true;
    bth_cond_broadcast(&call->changed);
    call_unlock(call);
}

static const struct bth_transfer_ops call_ops = {.data = take_data, .ended = take_end};

/* false: the deadline has passed and it is no longer wanted. The loop has let go of it either way.
 */
static bool wait_for(struct bth_client *c, struct call *call, int64_t deadline) {
    bool in_time = true;
    call_lock(call);
    while (!call->done && in_time) {
        in_time = bth_cond_wait(&call->changed, &call->lock, deadline);
    }
    in_time |= call->done;
    call_unlock(call);
    if (!in_time) {
        bth_loop_note(&c->loop, &call->transfer, BTH_TRANSFER_CANCEL);
        call_lock(call);
        while (!call->done) {
            bth_cond_wait(&call->changed, &call->lock, BTH_FOREVER);
        }
        call_unlock(call);
    }
    return in_time;
}

static int outcome(const struct bth_client *c, const struct call *call, struct bth_str *out,
                   struct berth_error *err) {
    if (call->body.failed) {
        return bth_error_nomem(err);
    }
    if (call->too_large) {
        return bth_error(err, BERTH_EIO, "the daemon's answer is longer than %d bytes",
                         ANSWER_BYTES);
    }
    if (call->rc == CURLE_ABORTED_BY_CALLBACK) {
        return bth_error(err, BERTH_ESHUTDOWN, "the manager is closing");
    }
    if (call->rc != CURLE_OK) {
        return bth_transfer_error(c, &call->transfer, call->rc, err);
    }
    if (call->status < 200 || call->status > 299) {
        return bth_event_refusal(call->status, bth_str_text(&call->body), call->body.size, err);
    }
    if (out) {
        bth_str_append(out, bth_str_text(&call->body), call->body.size);
        return out->failed ? bth_error_nomem(err) : 0;
    }
    return 0;
}

int bth_client_ask(struct bth_client *c, const char *path, const char *body, int64_t timeout_ms,
                   struct bth_str *out, struct berth_error *err) {
    return bth_client_send(c, body ? "POST" : "GET", path, body, timeout_ms, out, err);
}

int bth_client_delete(struct bth_client *c, const char *path, int64_t timeout_ms,
                      struct berth_error *err) {
    return bth_client_send(c, "DELETE", path, NULL, timeout_ms, NULL, err);
}

int bth_client_send(struct bth_client *c, const char *method, const char *path, const char *body,
                    int64_t timeout_ms, struct bth_str *out, struct berth_error *err) {
    struct call call = {.transfer = {.ops = &call_ops}, .upload = {.fd = -1}};
    int64_t deadline = bth_deadline(bth_now(), timeout_ms);
    int rc = body ? bth_upload_json(&call.upload, body, err) : 0;
    rc =
        rc < 0 ? rc : bth_transfer_create(c, path, body ? &call.upload : NULL, &call.transfer, err);
    if (rc < 0) {
        bth_upload_finish(&call.upload);
        return rc;
    }
    curl_easy_setopt(call.transfer.easy, CURLOPT_CUSTOMREQUEST, method);
    bth_mutex_init(&call.lock, BTH_RANK_result);
    bth_cond_init(&call.changed);
    bth_loop_note(&c->loop, &call.transfer, BTH_TRANSFER_START);
    if (wait_for(c, &call, deadline)) {
        rc = outcome(c, &call, out, err);
    } else {
        rc = bth_error(err, BERTH_ETIMEDOUT, "the daemon at %.100s has not answered in time",
                       c->address);
    }
    bth_transfer_finish(&call.transfer);
    bth_upload_finish(&call.upload);
    bth_str_finish(&call.body);
    bth_cond_finish(&call.changed);
    bth_mutex_finish(&call.lock);
    return rc;
}

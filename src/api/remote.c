/* The world of a daemon: the client layer behind the public handles. */
#include "api/handle.h"
#include "base/clock.h"
#include "base/error.h"
#include "plug/plug.h"
#include <string.h>

static int close_all(struct berth *b, int64_t deadline, struct berth_error *err) {
    return bth_client_close(b->client, deadline, err);
}

static int acquire(struct berth *b, const char *model, const struct berth_acquire_options *o,
                   struct berth_lease *out, struct berth_error *err) {
    return bth_client_acquire(b->client, model, o, &out->remote, err);
}

static void release(struct berth_lease *lease) {
    bth_client_release(lease->remote);
}

static const char *lease_model(const struct berth_lease *lease) {
    return bth_client_lease_model(lease->remote);
}

static bool lease_revoked(const struct berth_lease *lease) {
    return bth_client_lease_revoked(lease->remote);
}

static uint64_t owner_new(struct berth *b) {
    return bth_client_owner(b->client);
}

/* The daemon watches the time. */
static int64_t ms_until(int64_t deadline) {
    return deadline == BTH_FOREVER ? -1 : BTH_MAX(0, deadline - bth_now()) / BTH_NS_PER_MS;
}

static int wait_available(struct berth *b, const char *what, uint64_t owner,
                          uint32_t max_concurrent, int64_t deadline, struct berth_error *err) {
    return bth_client_wait_available(b->client, what, owner, max_concurrent, ms_until(deadline),
                                     err);
}

static int usage(struct berth *b, struct berth_usage *out) {
    return bth_client_usage(b->client, out);
}

static int cleanup(struct berth *b, uint64_t owner, int64_t deadline,
                   struct berth_cleanup_report *out, struct berth_error *err) {
    return bth_client_cleanup(b->client, owner, ms_until(deadline), out, err);
}

/* The engine of a model's family, which its name begins with; NULL: not in this library. */
static const struct berth_engine_ops *engine_of(const char *name) {
    size_t n;
    const struct berth_engine_ops *const *all = bth_builtin_engines(&n);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(all[i]->family);
        if (strncmp(all[i]->family, name, length) == 0 && name[length] == '/') {
            return all[i];
        }
    }
    return NULL;
}

/* The daemon knows the model, the engine is here too: nothing is sent to find a fault in it. */
static int check(struct berth *b, const char *model, const struct berth_request *r,
                 struct berth_error *err) {
    char name[64];
    int rc = bth_client_name(b->client, model, name, err);
    if (rc < 0) {
        return rc;
    }
    const struct berth_engine_ops *engine = engine_of(name);
    return engine ? engine->check(r, err)
                  : bth_error(err, BERTH_EUNSUPPORTED,
                              "%s: this library does not know the daemon's family of models", name);
}

static int enable(struct berth *b, const char *model, bool on, struct berth_error *err) {
    char name[64];
    return bth_client_enable(b->client, model, on, name, err);
}

static int unload(struct berth *b, const char *model, int64_t timeout_ms, struct berth_error *err) {
    return bth_client_unload(b->client, model, timeout_ms, err);
}

static size_t models(struct berth *b, struct berth_model_stats *out, size_t size, size_t n) {
    return bth_client_models(b->client, out, size, n);
}

static size_t devices(struct berth *b, struct berth_device_stats *out, size_t size, size_t n) {
    return bth_client_devices(b->client, out, size, n);
}

static int submit(struct berth_lease *lease, const struct berth_request *r, struct berth_job *out,
                  struct berth_error *err) {
    return bth_client_submit(lease->remote, r, &out->remote, err);
}

static struct bth_outbox *job_results(const struct berth_job *job) {
    return bth_client_job_results(job->remote);
}

static void job_cancel(struct berth_job *job) {
    bth_client_job_cancel(job->remote);
}

static void job_free(struct berth_job *job) {
    bth_client_job_free(job->remote);
}

const struct bth_world bth_remote_world = {
    .close = close_all,
    .acquire = acquire,
    .check = check,
    .unload = unload,
    .enable = enable,
    .models = models,
    .devices = devices,
    .owner_new = owner_new,
    .wait_available = wait_available,
    .usage = usage,
    .cleanup = cleanup,
    .lease_revoked = lease_revoked,
    .release = release,
    .lease_model = lease_model,
    .submit = submit,
    .job_results = job_results,
    .job_cancel = job_cancel,
    .job_free = job_free,
};

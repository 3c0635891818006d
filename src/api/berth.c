/* Opening, closing, statistics: the checks, and which world it is. */
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "plug/device.h"
#include <string.h>
#include <unistd.h>

BTH_EXPORT const char *berth_version(void) {
    return BERTH_VERSION_STRING;
}

int bth_check_pid(pid_t pid, struct berth_error *err) {
    return pid == getpid()
               ? 0
               : bth_error(err, BERTH_EFORKED,
                           "this handle was opened before fork(): open a new one in the "
                           "child");
}

/* ---- open and close ---- */

/* Whether the caller has said in code how a manager of his own is to be. */
static bool wants_own(const struct berth_config *c) {
    return c->file || c->n_models || c->cpu_memory_bytes || c->threads || c->device ||
           c->precision || c->gpu_memory_bytes;
}

static int open_world(const struct berth_config *given, struct berth *b, struct berth_error *err) {
    bool own = wants_own(given);
    if (given->server && strcmp(given->server, "none") != 0 && own) {
        return bth_error(err, BERTH_EINVAL,
                         "berth_open: with a server, models, file, memory, threads, device and "
                         "precision are the daemon's");
    }
    int rc = bth_client_find(given->server, own, &b->client, err);
    if (rc == 0 && b->client) {
        bth_client_greet(b->client);
        b->world = &bth_remote_world;
        return 0;
    }
    return rc < 0 ? rc : bth_local_open(given, b, err);
}

int bth_open_traced(const struct berth_config *config, const struct bth_trace_sink *trace,
                    struct berth **out, struct berth_error *err) {
    struct berth_config given = BERTH_CONFIG_INIT;
    if (!out || (config && config->struct_size < sizeof(config->struct_size))) {
        return bth_error(err, BERTH_EINVAL,
                         "berth_open needs `out`, and a config of "
                         "BERTH_CONFIG_INIT or NULL");
    }
    if (config) {
        memcpy(&given, config, BTH_MIN((size_t)config->struct_size, sizeof(given)));
    }
    if (given.threads < 0 || given.threads > 1024 || (given.n_models && !given.models)) {
        return bth_error(err, BERTH_EINVAL, "berth_open: threads is 0 to 1024, models not NULL");
    }
    struct berth *b = bth_calloc(1, sizeof(*b));
    if (!b) {
        return bth_error_nomem(err);
    }
    b->pid = getpid();
    b->trace = trace;
    int rc = open_world(&given, b, err);
    if (rc < 0) {
        bth_free(b);
        return rc;
    }
    *out = b;
    return 0;
}

BTH_EXPORT int berth_open(const struct berth_config *config, struct berth **out,
                          struct berth_error *err) {
    return bth_open_traced(config, NULL, out, err);
}

BTH_EXPORT int berth_close(struct berth *b, int64_t timeout_ms, struct berth_error *err) {
    if (!b) {
        return 0;
    }
    int rc = bth_check_pid(b->pid, err);
    if (rc < 0) {
        return rc;
    }
    rc = b->world->close(b, bth_deadline(bth_now(), timeout_ms), err);
    bth_free(b);
    return rc;
}

/* ---- statistics ---- */

BTH_EXPORT size_t berth_models(struct berth *b, struct berth_model_stats *out, size_t size,
                               size_t n) {
    if (!b || bth_check_pid(b->pid, NULL) < 0) {
        return 0;
    }
    return b->world->models(b, out, size, out ? n : 0);
}

BTH_EXPORT size_t berth_devices(struct berth *b, struct berth_device_stats *out, size_t size,
                                size_t n) {
    if (!b || bth_check_pid(b->pid, NULL) < 0) {
        return 0;
    }
    return b->world->devices(b, out, size, out ? n : 0);
}

BTH_EXPORT size_t berth_device_list(struct berth_device_info *out, size_t n) {
    return bth_device_list(out, out ? n : 0);
}

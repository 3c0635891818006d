/* The world in this process: a manager, and a scheduler for each of its devices. */
#include "api/config.h"
#include "api/devices.h"
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include "base/sync.h"
#include "plug/plug.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

static void cancel_jobs(void *arg, struct bth_lease *lease) {
    struct berth *b = arg;
    bth_sched_cancel(b->scheds[0], lease);
}

/* The first that says something, or NULL. */
static const char *first_of(const char *code, const char *environment, const char *file) {
    return code ? code : environment && *environment ? environment : file;
}

/* The file's settings under the environment's under those given in code. */
static int read_config(const struct berth_config *given, struct berth *b, struct bth_config *out,
                       struct berth_error *err) {
    char *path = given->file ? bth_strdup(given->file) : bth_config_find();
    int rc = 0;
    if (given->file && !path) {
        return bth_error_nomem(err);
    }
    *out = (struct bth_config){0};
    if (path && *path) {
        rc = bth_config_load(path, out, err);
    }
    if (rc == 0) {
        bth_reload_remember(b, path, out);
    } else {
        bth_free(path);
    }
    if (rc == 0 && given->cpu_memory_bytes) {
        out->cpu_memory_bytes = given->cpu_memory_bytes;
    }
    if (rc == 0 && given->threads) {
        out->threads = given->threads;
    }
    if (rc == 0 && given->gpu_memory_bytes) {
        out->gpu_memory_bytes = given->gpu_memory_bytes;
    }
    if (rc == 0) {
        out->device = first_of(given->device, getenv("BERTH_DEVICE"), out->device);
        out->precision = first_of(given->precision, getenv("BERTH_PRECISION"), out->precision);
    }
    return rc;
}

static int start(struct berth *b, const struct bth_config *config,
                 const struct berth_model_spec *models, size_t n_models, size_t n_given,
                 struct berth_error *err) {
    struct bth_devices d;
    int rc = bth_devices_open(config, &d, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_manager_config mc = {.devices = d.devices,
                                    .budgets = d.budgets,
                                    .n_devices = d.n,
                                    .n_spare = d.n_spare,
                                    .models = models,
                                    .n_models = n_models,
                                    .n_given = n_given,
                                    .revoked = cancel_jobs,
                                    .arg = b};
    mc.engines = bth_builtin_engines(&mc.n_engines);
    rc = bth_manager_create(&mc, &b->manager, err);
    if (rc < 0) {
        bth_devices_close(&d);
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < d.n; i++) {
        const struct bth_sched_config sc = {
            .host_threads = d.host_threads[i], .first = b->scheds[0], .manager = b->manager};
        rc = bth_sched_create(&sc, &b->scheds[i], err);
        b->n_devices += rc == 0;
    }
    return rc < 0 ? rc : bth_watch_start(&b->watch, b, BTH_STUCK_NS, err);
}

/* ---- preloading ----------------------------------------------------------------------------*/

/* Ends with the manager: its leases are refused then. What cannot be loaded is an event. */
static void *preload_main(void *arg) {
    struct berth *b = arg;
    for (size_t i = 0; i < b->n_preload; i++) {
        const struct bth_ask ask = {.tag = "preload", .deadline = BTH_FOREVER};
        struct bth_lease *lease;
        if (bth_manager_lease(b->manager, b->preload[i], &ask, &lease, NULL) == 0) {
            bth_lease_release(lease);
        }
    }
    return NULL;
}

static int start_preload(struct berth *b, const struct berth_model_spec *models, size_t n,
                         struct berth_error *err) {
    b->preload = bth_calloc(n + 1, sizeof(*b->preload));
    for (size_t i = 0; b->preload && i < n; i++) {
        if (models[i].preload) {
            b->preload[b->n_preload] = bth_strdup(models[i].name);
            if (!b->preload[b->n_preload]) {
                return bth_error_nomem(err);
            }
            b->n_preload++;
        }
    }
    if (!b->preload) {
        return bth_error_nomem(err);
    }
    if (b->n_preload && bth_thread_start(&b->preloader, "berth-preload", preload_main, b) < 0) {
        return bth_error_nomem(err);
    }
    return 0;
}

static void end_preload(struct berth *b) {
    bth_thread_join(&b->preloader);
    for (size_t i = 0; i < b->n_preload; i++) {
        bth_free(b->preload[i]);
    }
    bth_free(b->preload);
    b->preload = NULL;
    b->n_preload = 0;
}

/* Models given in code before the file's. */
static int start_with_models(struct berth *b, const struct berth_config *given,
                             const struct bth_config *config, struct berth_error *err) {
    size_t n = given->n_models + config->n_models;
    struct berth_model_spec *models = bth_calloc(n, sizeof(*models));
    if (!models) {
        return bth_error_nomem(err);
    }
    if (given->n_models) {
        memcpy(models, given->models, given->n_models * sizeof(*models));
    }
    if (config->n_models) {
        memcpy(models + given->n_models, config->models, config->n_models * sizeof(*models));
    }
    int rc = start(b, config, models, n, given->n_models, err);
    rc = rc < 0 ? rc : start_preload(b, models, n, err);
    bth_free(models);
    return rc;
}

static void stop(struct berth *b) {
    end_preload(b);
    bth_free(b->config_file);
    b->config_file = NULL;
    bth_watch_stop(&b->watch);
    for (size_t i = 0; i < b->n_devices; i++) {
        if (!bth_sched_destroy(b->scheds[i])) {
            const struct berth_error why = {BERTH_EDEVICE, "a call on the device hangs"};
            bth_manager_lose(b->manager, i, &why);
        }
    }
    bth_manager_destroy(b->manager);
}

int bth_local_open(const struct berth_config *given, struct berth *b, struct berth_error *err) {
    struct bth_config file;
    int rc = read_config(given, b, &file, err);
    if (rc < 0) {
        return rc;
    }
    b->world = &bth_local_world;
    rc = start_with_models(b, given, &file, err);
    bth_config_finish(&file);
    if (rc < 0) { /* stop() frees what read_config has kept too */
        if (b->manager) {
            bth_manager_drain(b->manager, 0, NULL);
        }
        stop(b);
    }
    return rc;
}

static int close_all(struct berth *b, int64_t deadline, struct berth_error *err) {
    int rc = bth_manager_drain(b->manager, deadline, err);
    stop(b);
    return rc;
}

/* ---- leases ---- */

static int acquire(struct berth *b, const char *model, const struct berth_acquire_options *o,
                   struct berth_lease *out, struct berth_error *err) {
    const struct bth_ask ask = bth_ask_of(o);
    int rc = bth_manager_lease(b->manager, model, &ask, &out->lease, err);
    if (rc == 0) {
        bth_lease_bind(out, out->lease, b->scheds);
    }
    return rc;
}

static void release(struct berth_lease *lease) {
    if (lease->sched) {
        bth_sched_cancel(lease->sched, lease->lease);
    }
    bth_lease_release(lease->lease);
    if (lease->sched) {
        bth_sched_unref(lease->sched);
    }
}

static bool lease_revoked(const struct berth_lease *lease) {
    return bth_lease_is_revoked(lease->lease);
}

static uint64_t owner_new(struct berth *b) {
    return bth_manager_owner(b->manager);
}

static int wait_available(struct berth *b, const char *what, uint64_t owner,
                          uint32_t max_concurrent, int64_t deadline, struct berth_error *err) {
    const struct bth_ask ask = {
        .deadline = deadline, .max_concurrent = max_concurrent, .owner = owner};
    return bth_manager_wait_available(b->manager, what, &ask, err);
}

static int usage(struct berth *b, struct berth_usage *out) {
    bth_manager_usage(b->manager, out);
    return 0;
}

static int cleanup(struct berth *b, uint64_t owner, int64_t deadline,
                   struct berth_cleanup_report *out, struct berth_error *err) {
    return bth_manager_cleanup(b->manager, owner, deadline, out, err);
}

static const char *lease_model(const struct berth_lease *lease) {
    return bth_lease_name(lease->lease);
}

static int enable(struct berth *b, const char *model, bool on, struct berth_error *err) {
    const char *name;
    return bth_manager_enable(b->manager, model, on, &name, err);
}

static int unload(struct berth *b, const char *model, int64_t timeout_ms, struct berth_error *err) {
    return bth_manager_unload(b->manager, model, bth_deadline(bth_now(), timeout_ms), err);
}

/* ---- statistics ---- */

static size_t models(struct berth *b, struct berth_model_stats *out, size_t size, size_t n) {
    return bth_manager_models(b->manager, out, size, n);
}

static size_t devices(struct berth *b, struct berth_device_stats *out, size_t size, size_t n) {
    struct berth_device_stats all[BTH_MAX_DEVICES];
    size_t have = bth_manager_devices(b->manager, all, BTH_COUNT(all));
    for (size_t i = 0; i < have && i < n; i++) {
        bth_sched_stats(b->scheds[i], &all[i]);
        bth_sized_copy((char *)out + i * size, size, &all[i], sizeof(all[i]));
    }
    return have;
}

/* ---- requests ---- */

static int check(struct berth *b, const char *model, const struct berth_request *r,
                 struct berth_error *err) {
    struct berth_error own = {0};
    const struct berth_engine_ops *engine = bth_manager_engine(b->manager, model, &own);
    return engine ? engine->check(r, err) : bth_error_copy(err, &own);
}

static int submit(struct berth_lease *lease, const struct berth_request *r, struct berth_job *out,
                  struct berth_error *err) {
    if (!lease->sched) {
        return bth_error(err, BERTH_ESTATE,
                         "%s: an exclusive lease keeps others away and runs nothing; acquire a "
                         "shared one of the same owner for requests",
                         bth_lease_name(lease->lease));
    }
    return bth_sched_submit(lease->sched, lease->lease, r, &out->job, err);
}

static struct bth_outbox *job_results(const struct berth_job *job) {
    return bth_job_results(job->job);
}

static void job_cancel(struct berth_job *job) {
    bth_job_cancel(job->job);
}

static void job_free(struct berth_job *job) {
    bth_job_free(job->job);
}

const struct bth_world bth_local_world = {
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

/* Opening, closing, leases, statistics. */
#include "api/config.h"
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include "base/sync.h"
#include "plug/device.h"
#include "plug/plug.h"
#include <stdio.h>
#include <stdlib.h>
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

/* ---- memory ---- */

/* A number of bytes from a file that holds one, or 0. */
static uint64_t read_bytes(const char *path) {
    FILE *f = fopen(path, "re");
    unsigned long long v = 0;
    if (f) {
        if (fscanf(f, "%llu", &v) != 1) {
            v = 0; /* "max" */
        }
        fclose(f);
    }
    return v;
}

static uint64_t memory_available(void) {
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return (uint64_t)kib * 1024;
}

static bool is_gpu(const struct berth_device *device) {
    return strcmp(device->ops->name, "cuda") == 0;
}

/* 80 % of what this process could have: the machine's free memory, or the cgroup's limit. */
static uint64_t default_budget(void) {
    uint64_t have = memory_available(), limit = read_bytes("/sys/fs/cgroup/memory.max");
    if (limit && limit < have) {
        have = limit;
    }
    return have ? have / 10 * 8 : UINT64_C(1) << 30;
}

/* ---- open and close ---- */

static void lease_revoked(void *arg, struct bth_lease *lease) {
    struct berth *b = arg;
    for (size_t i = 0; i < b->n_devices; i++) {
        bth_sched_cancel(b->scheds[i], lease);
    }
}

/* Sound is decoded beside the device's turns by cores that the device leaves idle: all where it is
 * a GPU, none where few cores compute (between turns then). */
static int host_threads(const struct berth_device *device, int threads) {
    return is_gpu(device) ? threads : threads <= 2 ? 0 : 2;
}

/* The first that says something, or NULL. */
static const char *first_of(const char *code, const char *environment, const char *file) {
    return code ? code : environment && *environment ? environment : file;
}

/* The file's settings under the environment's under those given in code. */
static int read_config(const struct berth_config *given, struct bth_config *out,
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
    bth_free(path);
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

/* What core may hand out on this device. The CPU's memory is shared with all programs; a GPU keeps
 * a tenth of what is free for the driver's own needs. */
static uint64_t budget_of(const struct berth_device *device, const struct bth_config *config) {
    if (!is_gpu(device)) {
        return config->cpu_memory_bytes ? config->cpu_memory_bytes : default_budget();
    }
    return config->gpu_memory_bytes ? config->gpu_memory_bytes : device->free_bytes / 10 * 9;
}

static int start(struct berth *b, const struct bth_config *config,
                 const struct berth_model_spec *models, size_t n_models, struct berth_error *err) {
    struct berth_device *device;
    const struct bth_device_wish wish = {
        .name = config->device, .precision = config->precision, .threads = config->threads};
    int rc = bth_device_open(&wish, &device, err);
    if (rc < 0) {
        return rc;
    }
    const uint64_t budget = budget_of(device, config);
    struct bth_manager_config mc = {.devices = &device,
                                    .budgets = &budget,
                                    .n_devices = 1,
                                    .models = models,
                                    .n_models = n_models,
                                    .revoked = lease_revoked,
                                    .arg = b};
    mc.engines = bth_builtin_engines(&mc.n_engines);
    rc = bth_manager_create(&mc, &b->manager, err);
    if (rc < 0) {
        device->ops->close(device);
        return rc;
    }
    const int threads = config->threads ? config->threads : bth_cpu_count();
    const struct bth_sched_config sc = {.host_threads = host_threads(device, threads)};
    rc = bth_sched_create(&sc, &b->scheds[0], err);
    b->n_devices = rc < 0 ? 0 : 1;
    return rc;
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
    int rc = start(b, config, models, n, err);
    bth_free(models);
    return rc;
}

static void stop(struct berth *b) {
    for (size_t i = 0; i < b->n_devices; i++) {
        bth_sched_destroy(b->scheds[i]);
    }
    bth_manager_destroy(b->manager);
    bth_free(b);
}

BTH_EXPORT int berth_open(const struct berth_config *config, struct berth **out,
                          struct berth_error *err) {
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
    struct bth_config file;
    int rc = read_config(&given, &file, err);
    if (rc < 0) {
        return rc;
    }
    struct berth *b = bth_calloc(1, sizeof(*b));
    if (!b) {
        bth_config_finish(&file);
        return bth_error_nomem(err);
    }
    b->pid = getpid();
    rc = start_with_models(b, &given, &file, err);
    bth_config_finish(&file);
    if (rc < 0) {
        stop(b);
        return rc;
    }
    *out = b;
    return 0;
}

BTH_EXPORT int berth_close(struct berth *b, int64_t timeout_ms, struct berth_error *err) {
    if (!b) {
        return 0;
    }
    int rc = bth_check_pid(b->pid, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_manager_drain(b->manager, bth_deadline(bth_now(), timeout_ms), err);
    stop(b);
    return rc;
}

/* ---- statistics ---- */

BTH_EXPORT size_t berth_models(struct berth *b, struct berth_model_stats *out, size_t size,
                               size_t n) {
    if (!b || bth_check_pid(b->pid, NULL) < 0) {
        return 0;
    }
    return bth_manager_models(b->manager, out, size, out ? n : 0);
}

BTH_EXPORT size_t berth_devices(struct berth *b, struct berth_device_stats *out, size_t size,
                                size_t n) {
    struct berth_device_stats all[BTH_MAX_DEVICES];
    if (!b || bth_check_pid(b->pid, NULL) < 0) {
        return 0;
    }
    size_t have = bth_manager_devices(b->manager, all, BTH_COUNT(all));
    for (size_t i = 0; out && i < have && i < n; i++) {
        bth_sched_stats(b->scheds[i], &all[i]);
        bth_sized_copy((char *)out + i * size, size, &all[i], sizeof(all[i]));
    }
    return have;
}

BTH_EXPORT size_t berth_device_list(struct berth_device_info *out, size_t n) {
    return bth_device_list(out, out ? n : 0);
}

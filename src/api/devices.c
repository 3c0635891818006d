#include "api/devices.h"

#include "base/compiler.h"
#include "base/error.h"
#include "base/sync.h"
#include "plug/device.h"
#include <stdio.h>
#include <string.h>

/* ---- memory ----------------------------------------------------------------------------------*/

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

/* The smallest memory.max of this process's cgroup (version 2) and those above it; 0: none. */
static uint64_t cgroup_limit(void) {
    char line[256], path[320];
    uint64_t least = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "0::/", 4) != 0) {
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        for (char *end = line + strlen(line); end; end = strrchr(line + 3, '/')) {
            *end = '\0';
            snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
            const uint64_t limit = read_bytes(path);
            least = limit && (!least || limit < least) ? limit : least;
        }
    }
    if (f) {
        fclose(f);
    }
    return least;
}

/* 80 % of what this process could have: the machine's free memory, or its cgroup's limit. */
static uint64_t default_budget(void) {
    uint64_t have = memory_available(), limit = cgroup_limit();
    if (limit && limit < have) {
        have = limit;
    }
    return have ? have / 10 * 8 : UINT64_C(1) << 30;
}

static bool is_gpu(const struct berth_device *device) {
    return strcmp(device->ops->name, "cuda") == 0;
}

/* What core may hand out on this device. The CPU's memory is shared with all programs; a GPU keeps
 * a tenth of what is free for the driver's own needs. */
static uint64_t budget_of(const struct berth_device *device, const struct bth_config *config) {
    if (!is_gpu(device)) {
        return config->cpu_memory_bytes ? config->cpu_memory_bytes : default_budget();
    }
    return config->gpu_memory_bytes ? config->gpu_memory_bytes : device->free_bytes / 10 * 9;
}

/* ---- opening ---------------------------------------------------------------------------------*/

/* Sound is decoded beside the device's turns by cores that the device leaves idle: all where it is
 * a GPU, none where few cores compute (between turns then). */
static int host_threads(const struct berth_device *device, int threads) {
    return is_gpu(device) ? threads : threads <= 2 ? 0 : 2;
}

static int add(struct bth_devices *d, const char *name, const struct bth_config *config,
               struct berth_error *err) {
    if (d->n == BTH_MAX_DEVICES) {
        return bth_error(err, BERTH_EINVAL, "more than %d devices", BTH_MAX_DEVICES);
    }
    struct berth_device *device;
    const struct bth_device_wish wish = {
        .name = name, .precision = config->precision, .threads = config->threads};
    int rc = bth_device_open(&wish, &device, err);
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        if (strcmp(d->devices[i]->name, device->name) == 0) {
            rc = bth_error(err, BERTH_EINVAL, "%s is named twice", device->name);
            device->ops->close(device);
        }
    }
    if (rc < 0) {
        return rc;
    }
    const int threads = config->threads ? config->threads : bth_cpu_count();
    d->devices[d->n] = device;
    d->budgets[d->n] = budget_of(device, config);
    d->host_threads[d->n++] = host_threads(device, threads);
    return 0;
}

/* Every name of the list. */
static int add_all(struct bth_devices *d, const char *list, const struct bth_config *config,
                   struct berth_error *err) {
    int rc = 0;
    for (const char *at = list; rc == 0 && at;) {
        const char *comma = strchr(at, ',');
        const size_t n = comma ? (size_t)(comma - at) : strlen(at);
        char name[64];
        if (n >= sizeof(name)) {
            return bth_error(err, BERTH_EINVAL, "no device has a name as long as '%.40s...'", at);
        }
        snprintf(name, sizeof(name), "%.*s", (int)n, at);
        rc = add(d, name, config, err);
        at = comma ? comma + 1 : NULL;
    }
    return rc;
}

int bth_devices_open(const struct bth_config *config, struct bth_devices *out,
                     struct berth_error *err) {
    struct bth_devices d = {.n = 0};
    int rc = add_all(&d, config->device ? config->device : "cpu", config, err);
    bool cpu = false;
    for (size_t i = 0; i < d.n; i++) {
        cpu |= !is_gpu(d.devices[i]);
    }
    if (rc == 0 && !cpu) {
        rc = add(&d, "cpu", config, err);
        d.n_spare = rc == 0;
    }
    if (rc < 0) {
        bth_devices_close(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void bth_devices_close(struct bth_devices *d) {
    for (size_t i = 0; i < d->n; i++) {
        d->devices[i]->ops->close(d->devices[i]);
    }
    d->n = 0;
}

#include "plug/device.h"

#include "base/compiler.h"
#include "base/error.h"
#include "compute/compute.h"
#include "plug/gpu.h"
#include <stdio.h>
#include <string.h>

enum { MAX_GPUS = 64 };

static int open_cpu(const struct bth_device_wish *wish, struct berth_device **out,
                    struct berth_error *err) {
    const struct bth_cpu_config config = {.threads = wish->threads, .cap = BTH_CPU_AVX512};
    int rc = bth_cpu_open(&config, out, err);
    if (rc == 0) {
        (*out)->fast = wish->precision && strcmp(wish->precision, "fast") == 0;
    }
    return rc;
}

static bool names_gpu(const char *name) {
    return strcmp(name, "cuda") == 0 || strncmp(name, "cuda:", 5) == 0 ||
           strncmp(name, "GPU-", 4) == 0;
}

/* Whoever asked for "auto" and got the CPU sees the reason where he sees the device. */
static void say_why_no_gpu(struct berth_device *cpu, const struct berth_error *why) {
    char *description = cpu->description;
    const size_t n = strlen(description), size = sizeof(cpu->description);
    snprintf(description + n, size - n, "; no GPU: %.*s", (int)size, why->message);
}

int bth_device_open(const struct bth_device_wish *wish, struct berth_device **out,
                    struct berth_error *err) {
    const char *name = wish->name ? wish->name : "cpu", *precision = wish->precision;
    if (precision && strcmp(precision, "exact") != 0 && strcmp(precision, "fast") != 0) {
        return bth_error(err, BERTH_EINVAL, "precision is exact or fast, not '%s'", precision);
    }
    const bool fast = !precision || strcmp(precision, "fast") == 0;
    if (strcmp(name, "cpu") == 0) {
        return open_cpu(wish, out, err);
    }
    if (names_gpu(name)) {
        return bth_gpu_open(name, fast, out, err);
    }
    if (strcmp(name, "auto") != 0) {
        return bth_error(err, BERTH_EINVAL,
                         "a device is cpu, cuda, cuda:N, a GPU's UUID or auto, not '%s'", name);
    }
    struct berth_error why;
    if (bth_gpu_open("cuda", fast, out, &why) == 0) {
        return 0;
    }
    const int rc = open_cpu(wish, out, err);
    if (rc == 0) {
        say_why_no_gpu(*out, &why);
    }
    return rc;
}

static void describe_gpu(const struct bth_gpu *g, struct berth_device_info *out) {
    snprintf(out->name, sizeof(out->name), "cuda:%d", g->ordinal);
    snprintf(out->uuid, sizeof(out->uuid), "%s", g->uuid);
    snprintf(out->description, sizeof(out->description), "%s", g->name);
    snprintf(out->problem, sizeof(out->problem), "%s", g->problem);
    out->total_bytes = g->total_bytes;
    out->used_bytes = g->used_bytes;
}

static void describe_cpu(struct berth_device_info *out) {
    struct berth_device *cpu;
    struct berth_error err;
    const struct bth_device_wish wish = {.name = "cpu"};
    snprintf(out->name, sizeof(out->name), "cpu");
    if (open_cpu(&wish, &cpu, &err) < 0) {
        snprintf(out->problem, sizeof(out->problem), "%.*s", (int)sizeof(out->problem) - 1,
                 err.message);
        return;
    }
    snprintf(out->description, sizeof(out->description), "%s", cpu->description);
    out->total_bytes = cpu->total_bytes;
    cpu->ops->close(cpu);
}

size_t bth_device_list(struct berth_device_info *out, size_t n) {
    struct bth_gpu gpus[MAX_GPUS];
    struct berth_error err;
    const int found = bth_gpu_list(gpus, MAX_GPUS, &err);
    const size_t have = 1 + (found < 0 ? 1 : (size_t)found);
    for (size_t i = 0; i < have && i < n; i++) {
        out[i] = (struct berth_device_info){0};
        if (i == 0) {
            describe_cpu(&out[i]);
        } else if (found < 0) {
            snprintf(out[i].name, sizeof(out[i].name), "cuda");
            snprintf(out[i].problem, sizeof(out[i].problem), "%.*s",
                     (int)sizeof(out[i].problem) - 1, err.message);
        } else if (i <= MAX_GPUS) {
            describe_gpu(&gpus[i - 1], &out[i]);
        }
    }
    return have;
}

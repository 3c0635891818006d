/* The CPU backend's device: which kernels, how many threads, and the vtable. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/sync.h"
#include "compute/compute.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 256 };

static void cpu_close(struct berth_device *device) {
    struct bth_cpu_device *d = (struct bth_cpu_device *)device;
    if (d) {
        bth_team_destroy(d->team);
        bth_mutex_finish(&d->lock);
        bth_free(d);
    }
}

static int cpu_sync(struct berth_device *device, struct berth_error *err) {
    (void)device;
    (void)err;
    return 0; /* program_run has run it */
}

static bool runs_all(const struct berth_device *device, enum berth_op_kind kind) {
    (void)device;
    return kind < BERTH_N_OPS;
}

static const struct berth_backend_ops cpu_ops = {
    .api_version = BERTH_BACKEND_API,
    .struct_size = sizeof(cpu_ops),
    .name = "cpu",
    .close = cpu_close,
    .buffer_create = bth_hostmem_create,
    .buffer_destroy = bth_hostmem_destroy,
    .region_create = bth_hostmem_region_create,
    .region_commit = bth_hostmem_commit,
    .region_decommit = bth_hostmem_decommit,
    .write = bth_hostmem_write,
    .read = bth_hostmem_read,
    .weight_create = bth_cpu_weight_create,
    .weight_destroy = bth_cpu_weight_destroy,
    .weight_bytes = bth_cpu_weight_bytes,
    .program_create = bth_cpu_program_create,
    .program_destroy = bth_cpu_program_destroy,
    .program_run = bth_cpu_program_run,
    .sync = cpu_sync,
    .runs = runs_all,
};

/* The kernels of an instruction set, NULL where compiler or machine lacks it. */
static const struct bth_kernels *kernels_for(enum bth_cpu_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case BTH_CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
                   ? bth_kernels_avx512()
                   : NULL;
    case BTH_CPU_AVX2: /* every AVX2 machine with FMA has F16C */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? bth_kernels_avx2()
                                                                               : NULL;
#endif
    case BTH_CPU_SCALAR:
        return bth_kernels_scalar();
    default:
        return NULL;
    }
}

/* The lower of `cap` and what BERTH_CPU says. */
static int capped_isa(enum bth_cpu_isa cap, enum bth_cpu_isa *out, struct berth_error *err) {
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    const char *text = getenv("BERTH_CPU");
    *out = cap;
    if (!text || !text[0]) {
        return 0;
    }
    for (int i = 0; i < (int)BTH_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i < (int)cap ? (enum bth_cpu_isa)i : cap;
            return 0;
        }
    }
    return bth_error(err, BERTH_EINVAL, "BERTH_CPU is \"%.32s\": use avx512, avx2 or scalar", text);
}

int bth_cpu_open(const struct bth_cpu_config *config, struct berth_device **out,
                 struct berth_error *err) {
    enum bth_cpu_isa isa;
    int rc = capped_isa(config->cap, &isa, err);
    if (rc < 0) {
        return rc;
    }
    const int threads = config->threads > 0 ? config->threads : bth_cpu_count();
    if (threads > MAX_THREADS) {
        return bth_error(err, BERTH_EINVAL, "%d threads: at most %d", threads, MAX_THREADS);
    }
    struct bth_cpu_device *d = bth_calloc(1, sizeof(*d));
    if (!d) {
        return bth_error_nomem(err);
    }
    while (!(d->kernels = kernels_for(isa))) {
        isa--;
    }
    rc = bth_team_create(threads, &d->team, err);
    if (rc < 0) {
        bth_free(d);
        return rc;
    }
    d->base = (struct berth_device){.ops = &cpu_ops,
                                    .name = "cpu",
                                    .total_bytes = bth_hostmem_total(),
                                    .max_windows = 1,
                                    .turn_flops = 4e9};
    bth_mutex_init(&d->lock, BTH_RANK_stats);
    cpu_device_lock(d);
    bth_list_init(&d->pools);
    cpu_device_unlock(d);
    snprintf(d->base.description, sizeof(d->base.description), "%s, %d thread%s", d->kernels->name,
             threads, threads == 1 ? "" : "s");
    *out = &d->base;
    return 0;
}

void bth_cpu_together(struct berth_device *device) {
    ((struct bth_cpu_device *)device)->together = true;
}

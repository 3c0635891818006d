/*
 * compute/cpu/cpu_device.h - what the files of this backend share: the device and its programs.
 */
#ifndef BTH_CPU_DEVICE_H
#define BTH_CPU_DEVICE_H

#include "base/list.h"
#include "base/sync.h"
#include "compute/cpu/kernels.h"
#include "compute/cpu/team.h"
#include <berth/backend.h>

struct bth_cpu_device {
    struct berth_device base;
    struct bth_team *team;
    bool together; /* small runs too */
    const struct bth_kernels *kernels;
    struct bth_mutex lock;
    struct bth_list pools GUARDED_BY(stats); /* scratch, one pool for each workspace */
};

BTH_LOCK(cpu_device, struct bth_cpu_device, lock, stats)

/* cpu_pool.c: scratch that all programs of one workspace share, since only one runs at a time. As
 * large as the largest needs; grown while programs are created, which is before the first runs. */
struct bth_cpu_pool {
    struct bth_list link;
    struct berth_reservation *workspace;
    struct berth_buffer *buffer;
    int users; /* programs */
};
int bth_cpu_pool_join(struct bth_cpu_device *d, struct berth_reservation *workspace, size_t bytes,
                      struct bth_cpu_pool **out, struct berth_error *err);
void bth_cpu_pool_leave(struct bth_cpu_device *d, struct bth_cpu_pool *pool);

/* The vtable's calls; see berth/backend.h. */
int bth_cpu_weight_create(struct berth_device *device, struct berth_reservation *r,
                          enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                          struct berth_weight **out, struct berth_error *err);
void bth_cpu_weight_destroy(struct berth_weight *w);
size_t bth_cpu_weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                            int64_t k);

int bth_cpu_program_create(struct berth_device *device, struct berth_reservation *r,
                           const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                           struct berth_error *err);
void bth_cpu_program_destroy(struct berth_program *p);
int bth_cpu_program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                        struct berth_error *err);

#endif

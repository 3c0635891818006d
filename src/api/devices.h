/*
 * api/devices.h - the devices of a manager: which a configuration names, what core may hand out on
 * each, how much work for the host runs beside it.
 *
 * Called by who opens a manager, on one thread.
 */
#ifndef BTH_API_DEVICES_H
#define BTH_API_DEVICES_H

#include "api/config.h"
#include "core/limits.h"
#include <berth/backend.h>

struct bth_devices {
    struct berth_device *devices[BTH_MAX_DEVICES]; /* [n] */
    uint64_t budgets[BTH_MAX_DEVICES];             /* bytes */
    int host_threads[BTH_MAX_DEVICES];
    size_t n;
    size_t n_spare; /* the last of them: nobody named it. A CPU beside GPUs, for models that no GPU
                       can run */
};

/* Opens what config->device says: a name, or several with commas between them. EINVAL (also one
 * named twice, or too many), else as bth_device_open. The caller, or the manager that gets them,
 * closes them. */
int bth_devices_open(const struct bth_config *config, struct bth_devices *out,
                     struct berth_error *err);
void bth_devices_close(struct bth_devices *d);

#endif

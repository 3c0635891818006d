/*
 * plug/device.h - opening a device by the name that a user gives it, and listing what there is.
 *
 * Any thread. Nothing here is kept: whoever opens a device closes it.
 */
#ifndef BTH_PLUG_DEVICE_H
#define BTH_PLUG_DEVICE_H

#include <berth/backend.h>
#include <berth/types.h>

struct bth_device_wish {
    const char *name;      /* "cpu", "cuda", "cuda:N", a GPU's UUID, "auto"; NULL: "cpu" */
    const char *precision; /* "exact", "fast"; NULL: exact on a CPU, fast on a GPU */
    int threads;           /* of a CPU; 0: all allowed */
};

/* EINVAL (name or precision unknown), EUNSUPPORTED (no driver), ENOTFOUND (no such GPU), EDEVICE,
 * ENOMEM. May take seconds where a GPU is asked for. "auto" that ends at the CPU says in the
 * device's description why. */
int bth_device_open(const struct bth_device_wish *wish, struct berth_device **out,
                    struct berth_error *err);

/* berth_device_list, see berth/berth.h. */
size_t bth_device_list(struct berth_device_info *out, size_t n);

#endif

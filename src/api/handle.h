/*
 * api/handle.h - what is behind the public handles.
 *
 * Layer api: berth.h over core and sched, in this process. It checks arguments, turns time-outs
 * into deadlines and finds the scheduler of a device; it decides nothing.
 */
#ifndef BTH_HANDLE_H
#define BTH_HANDLE_H

#include "core/manager.h"
#include "sched/sched.h"
#include <berth/berth.h>
#include <sys/types.h>

struct berth {
    pid_t pid; /* handles do not work in a forked child: its threads are not there */
    struct bth_manager *manager;
    struct bth_sched *scheds[BTH_MAX_DEVICES];
    size_t n_devices;
};

struct berth_lease {
    pid_t pid;
    struct bth_lease *lease;
    struct bth_sched *sched; /* a reference; NULL: exclusive */
};

struct berth_job {
    pid_t pid;
    struct bth_job *job;
};

/* What the options say, with the deadline that follows from now on. `options` may be NULL. */
int bth_read_ask(const struct berth_acquire_options *options, struct bth_ask *out,
                 struct berth_error *err);
/* Makes a handle of a granted lease, which runs on one of these (the handle keeps a reference). */
void bth_lease_bind(struct berth_lease *handle, struct bth_lease *lease,
                    struct bth_sched *const *scheds);

/* EFORKED in a child of the process that opened the handle. */
int bth_check_pid(pid_t pid, struct berth_error *err);

#endif

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

/* EFORKED in a child of the process that opened the handle. */
int bth_check_pid(pid_t pid, struct berth_error *err);

#endif

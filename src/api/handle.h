/*
 * api/handle.h - what is behind the public handles.
 *
 * Layer api: berth.h over one of two worlds: core and sched in this process (local.c), or a daemon
 * (remote.c over the client layer). berth.c, lease.c and job.c check arguments and hand on; they
 * decide nothing but which world it is, once, in berth_open.
 */
#ifndef BTH_HANDLE_H
#define BTH_HANDLE_H

#include "base/str.h"
#include "base/sync.h"
#include "client/client.h"
#include "core/manager.h"
#include "sched/sched.h"
#include <berth/berth.h>
#include <sys/types.h>

/* The calls of berth.h behind their checks: nothing is NULL, structs have this version's size, the
 * process is the one that opened. Times are deadlines (bth_now's clock) but where the daemon
 * watches them (_ms). */
struct bth_world {
    int (*close)(struct berth *b, int64_t deadline, struct berth_error *err);
    int (*acquire)(struct berth *b, const char *model, const struct berth_acquire_options *o,
                   struct berth_lease *out, struct berth_error *err);
    int (*check)(struct berth *b, const char *model, const struct berth_request *r,
                 struct berth_error *err);
    int (*unload)(struct berth *b, const char *model, int64_t timeout_ms, struct berth_error *err);
    int (*enable)(struct berth *b, const char *model, bool on, struct berth_error *err);
    size_t (*models)(struct berth *b, struct berth_model_stats *out, size_t size, size_t n);
    size_t (*devices)(struct berth *b, struct berth_device_stats *out, size_t size, size_t n);
    uint64_t (*owner_new)(struct berth *b);
    int (*wait_available)(struct berth *b, const char *what, uint64_t owner,
                          uint32_t max_concurrent, int64_t deadline, struct berth_error *err);
    int (*usage)(struct berth *b, struct berth_usage *out);
    int (*cleanup)(struct berth *b, uint64_t owner, int64_t deadline,
                   struct berth_cleanup_report *out, struct berth_error *err);

    void (*release)(struct berth_lease *lease);
    const char *(*lease_model)(const struct berth_lease *lease);
    bool (*lease_revoked)(const struct berth_lease *lease);
    int (*submit)(struct berth_lease *lease, const struct berth_request *r, struct berth_job *out,
                  struct berth_error *err);

    struct bth_outbox *(*job_results)(const struct berth_job *job); /* to take from */
    void (*job_cancel)(struct berth_job *job);
    void (*job_free)(struct berth_job *job);
};

extern const struct bth_world bth_local_world, bth_remote_world;

/* Looks once a second whether a device hangs, and gives it up. */
struct bth_watch {
    struct bth_thread thread;
    struct berth *berth;
    int64_t limit; /* of bth_sched_is_stuck */
    int stop;      /* an eventfd; -1: not started */
};
int bth_watch_start(struct bth_watch *w, struct berth *b, int64_t limit, struct berth_error *err);
/* Zeroed ones and those that could not be started are allowed. */
void bth_watch_stop(struct bth_watch *w) BLOCKING;

struct berth {
    pid_t pid; /* handles do not work in a forked child: its threads are not there */
    const struct bth_world *world;
    /* local */
    struct bth_manager *manager;
    struct bth_sched *scheds[BTH_MAX_DEVICES]; /* a group: by device */
    size_t n_devices;
    struct bth_watch watch;
    struct bth_thread preloader; /* loads these one after the other, and ends */
    char **preload;              /* [n_preload] */
    size_t n_preload;
    char *config_file; /* heap; NULL: there was none */
    /* what it said besides models, for bth_local_reload */
    struct {
        uint64_t cpu_memory_bytes, gpu_memory_bytes;
        int threads;
        char device[64], precision[16];
    } file;
    /* remote */
    struct bth_client *client;
};

struct berth_lease {
    pid_t pid;
    const struct bth_world *world;
    struct bth_lease *lease;
    struct bth_sched *sched; /* a reference; NULL: exclusive */
    struct bth_client_lease *remote;
};

struct berth_job {
    pid_t pid;
    const struct bth_world *world;
    struct bth_job *job;
    struct bth_client_job *remote;
};

/* Fills a handle with a manager of this process. */
int bth_local_open(const struct berth_config *given, struct berth *b, struct berth_error *err);

/* What the configuration's file says now, beside what is: names, a line each. */
struct bth_reload {
    struct bth_str added, changed; /* models: new ones; others' pins and keep-alives */
    struct bth_str removed;        /* models that it names no more */
    struct bth_str restart;        /* what differs and takes a new start: "NAME: why" */
};
/* Reads it again and does what can be done while all goes on; `dry`: only says. EINVAL (with
 * file:line:column, nothing is changed), ENOTFOUND, EIO, ENOMEM. Any thread. */
int bth_local_reload(struct berth *b, bool dry, struct bth_reload *out, struct berth_error *err);
void bth_reload_finish(struct bth_reload *r);
/* What was read at the start; takes the path over. */
struct bth_config;
void bth_reload_remember(struct berth *b, char *path, const struct bth_config *c);

/* The options of whatever version, as this version's; NULL: the usual ones. EINVAL. */
int bth_read_options(const struct berth_acquire_options *options, struct berth_acquire_options *out,
                     struct berth_error *err);
/* What they say, with the deadline that follows from now on. */
struct bth_ask bth_ask_of(const struct berth_acquire_options *o);
/* Makes a handle of a granted lease, which runs on one of these (the handle keeps a reference). */
void bth_lease_bind(struct berth_lease *handle, struct bth_lease *lease,
                    struct bth_sched *const *scheds);

/* EFORKED in a child of the process that opened the handle. */
int bth_check_pid(pid_t pid, struct berth_error *err);

#endif

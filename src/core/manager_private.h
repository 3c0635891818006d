/*
 * core/manager_private.h - what the manager's files share.
 *
 *   manager.c        life, acquire and release, unload, drain; carrying actions out
 *   manager_async.c  acquiring without waiting
 *   manager_use.c    uses: opening, bytes, `granted` callbacks
 *   manager_load.c   a loader thread: estimate, load, unload
 *   manager_stats.c  snapshots
 *   manager_text.c   what a refusal says
 *
 * Everything that changes lies in `state` and is changed by bth_step alone; the rest is the glue:
 * who sleeps where, whom to tell.
 */
#ifndef BTH_MANAGER_PRIVATE_H
#define BTH_MANAGER_PRIVATE_H

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/reservation.h"
#include "base/sync.h"
#include "core/manager.h"
#include "core/registry.h"
#include "core/step.h"

/* A loaded model and the promises it draws from. A loader makes and destroys it; others look at
 * it under the lock while its generation is READY or DRAIN. */
struct bth_instance {
    struct bth_manager *manager;
    uint64_t gen;
    struct berth_model *model;
    struct berth_reservation weights, workspace;
    struct bth_instance *next; /* in `leaked` */
};

/* A caller waiting in acquire; on his stack. */
struct bth_waiter {
    struct bth_cond cond;
    bool done;
    int rc;
    struct berth_error error;
};

/* `arg` of its ticket, then of its row. */
struct bth_lease {
    struct bth_manager *manager;
    const struct bth_entry *entry;
    char *tag;
    struct bth_waiter *waiter; /* until the answer: who sleeps for it, */
    struct bth_acquire *async; /* or whom to tell */
    uint64_t id;
    int device;
};

struct bth_manager {
    struct bth_mutex lock;
    struct bth_cond work;    /* the loaders' */
    struct bth_cond changed; /* a generation has gone */
    struct bth_state state GUARDED_BY(core);
    struct bth_actions actions GUARDED_BY(core);
    struct bth_registry registry GUARDED_BY(core);
    struct berth_device *devices[BTH_MAX_DEVICES]; /* constant until destroy */
    uint32_t n_devices;
    struct bth_thread loaders[BTH_LOADERS];
    void (*revoked)(void *arg, struct bth_lease *lease);
    void *arg;
    bool stop GUARDED_BY(core);
    bool cut_short GUARDED_BY(core);              /* the drain has revoked something */
    size_t refs GUARDED_BY(core);                 /* the handle, leases, uses, calls under way */
    struct bth_instance *leaked GUARDED_BY(core); /* unloaded with bytes still drawn */
};
BTH_LOCK(core, struct bth_manager, lock, core)

/* Runs one step at the present time and carries its actions out. */
void bth_manager_step_locked(struct bth_manager *m, const struct bth_event *event) REQUIRES(core);
/* Unlocks and gives up a reference: `m` may be gone. */
void bth_manager_leave_unref(struct bth_manager *m) RELEASES(core);
/* Raises the limit of `r` by a GROW event's bytes; false: there is no room. */
bool bth_manager_grow(struct bth_manager *m, struct berth_reservation *r,
                      const struct bth_event *event) EXCLUDES(core);

/* Whether a generation that there was at the time of `serial` is still there. */
bool bth_manager_still_there_locked(const struct bth_manager *m, uint32_t model, uint64_t serial)
    REQUIRES(core);

/* Answers an acquire that nobody sleeps for; on failure the lease is freed. */
void bth_acquire_answer_locked(struct bth_manager *m, struct bth_lease *lease,
                               const struct bth_action *a) REQUIRES(core);
/* A lease that is not granted; NULL when out of memory. */
struct bth_lease *bth_lease_create(struct bth_manager *m, const struct bth_entry *entry,
                                   const char *tag);
void bth_lease_free(struct bth_lease *lease);

/* Tells a use what an action says. */
void bth_use_answer_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core);

void *bth_manager_loader_main(void *manager);

/* Fills err for a REFUSE or USE_REFUSED; returns its code. */
int bth_manager_refusal_locked(const struct bth_manager *m, const struct bth_action *a,
                               struct berth_error *err) REQUIRES(core);

#endif

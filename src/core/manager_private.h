/*
 * core/manager_private.h - what the manager's files share.
 *
 *   manager.c        life, unload, drain; carrying actions out
 *   manager_config.c models that are added, dropped, disabled
 *   manager_lease.c  names, leases, waiting for a chance, clean-up
 *   manager_async.c  acquiring without waiting
 *   manager_use.c    uses: opening, bytes, `granted` callbacks
 *   manager_load.c   a loader thread: estimate, load, unload
 *   manager_lost.c   a device that has failed or hangs, and what was on it
 *   manager_stats.c  snapshots of models and devices
 *   manager_view.c   snapshots of leases and of those who wait
 *   manager_expect.c how long they will wait yet
 *   manager_text.c   what a refusal says
 *   manager_happening.c  what has happened, and sums of it
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
#include "core/trace.h"

/* A loaded model and the promises it draws from. A loader makes and destroys it; others look at
 * it under the lock while its generation is READY or DRAIN. */
struct bth_instance {
    struct bth_manager *manager;
    const struct berth_engine_ops *ops;
    uint64_t gen;
    uint64_t stamp; /* of its files when it was loaded: a replica's are the same */
    uint32_t device;
    uint32_t users; /* uses not ended, also those that the step has forgotten; core's lock */
    struct berth_model *model;
    struct berth_reservation weights, workspace;
    struct bth_instance *next; /* in `leaked` or `lost` */
};

/* A caller waiting in acquire; on his stack. */
struct bth_waiter {
    struct bth_cond cond;
    uint64_t ticket;
    bool done;
    int rc;
    struct berth_error error;
};

/* `arg` of its ticket, then of its row. */
struct bth_lease {
    struct bth_manager *manager;
    const char *name; /* of the model or family */
    char *tag, *holder;
    int64_t since; /* asked, then granted */
    int64_t until; /* see bth_lease_until; core's lock */
    int64_t pid, tid;
    struct bth_waiter *waiter; /* until the answer: who sleeps for it, */
    struct bth_acquire *async; /* or whom to tell */
    uint64_t id;
    int device; /* -1: exclusive */
    bool exclusive;
    _Atomic bool revoked;
};

struct bth_manager {
    struct bth_mutex lock;
    struct bth_cond work;    /* the loaders' */
    struct bth_cond changed; /* a generation has gone; with watchers: any step */
    struct bth_state state GUARDED_BY(core);
    struct bth_actions actions GUARDED_BY(core);
    struct bth_trace trace GUARDED_BY(core); /* off, mostly */
    struct bth_registry registry GUARDED_BY(core);
    struct berth_device *devices[BTH_MAX_DEVICES]; /* constant until destroy */
    uint32_t n_devices;
    uint32_t n_spare;
    struct bth_history family_holds[BTH_MAX_FAMILIES] GUARDED_BY(core); /* of leases on all of it */
    struct bth_thread loaders[BTH_LOADERS];
    void (*revoked)(void *arg, struct bth_lease *lease);
    void *arg;
    bool stop GUARDED_BY(core);
    bool cut_short GUARDED_BY(core);       /* the drain has revoked something */
    uint32_t watchers GUARDED_BY(core);    /* who wait for a state and not for an answer */
    uint64_t revocations GUARDED_BY(core); /* so far */
    _Atomic uint64_t owners;               /* given out */
    _Atomic bool gone[BTH_MAX_DEVICES];    /* state.devices[].lost, to be read without the lock */
    size_t refs GUARDED_BY(core);          /* the handle, leases, uses, calls under way */
    struct bth_happening *happenings;      /* ring [BTH_HAPPENINGS], core's lock */
    uint64_t last_happening GUARDED_BY(core);
    struct bth_manager_sums sums GUARDED_BY(core);
    struct bth_instance *leaked GUARDED_BY(core); /* unloaded with bytes still drawn */
    struct bth_instance *lost GUARDED_BY(core);   /* their device has failed: kept to the end */
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

/* Makes the registry's newest entry known to the state. 0 or ENOMEM. */
int bth_manager_count_model(struct bth_manager *m, uint32_t *out) REQUIRES(core);
/* What the configuration says of whether a model is disabled: done if it is news. */
void bth_manager_say_locked(struct bth_manager *m, uint32_t model, bool disabled) REQUIRES(core);
/* One that was dropped and is the same as this: brought back, as it was then. Its index or -1. */
int64_t bth_manager_again_locked(struct bth_manager *m, const struct berth_model_spec *spec)
    REQUIRES(core);
/* A name, alias or path; the registry's index is the state's. Reads files. */
int bth_manager_resolve(struct bth_manager *m, const char *name, uint32_t *out,
                        const struct bth_entry **out_entry, struct berth_error *err) EXCLUDES(core);

/* What a name or alias that is known is: a model, or, if they are wanted, a family. ENOTFOUND. */
int bth_scope_find_locked(struct bth_manager *m, const char *name, bool families, uint32_t *out,
                          const char **out_name, struct berth_error *err) REQUIRES(core);

/* A lease that is not granted; NULL when out of memory. */
struct bth_lease *bth_lease_create(struct bth_manager *m, const char *name,
                                   const struct bth_ask *ask);
void bth_lease_free(struct bth_lease *lease);
struct bth_event bth_ask_event(const struct bth_ask *ask, uint32_t scope, struct bth_lease *lease);
/* Tells whoever waits for it: of a QUEUED, of a GRANT or REFUSE. */
void bth_lease_queued_locked(const struct bth_action *a);
void bth_lease_answer_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core);
/* For one that nobody sleeps for; on failure the lease is freed. */
void bth_acquire_answer_locked(struct bth_manager *m, struct bth_lease *lease,
                               const struct bth_action *a) REQUIRES(core);

/* Tells a use what an action says. */
void bth_use_answer_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core);

/* Keeps what has happened: to a lease by an action, or to a model. */
void bth_happened_lease_locked(struct bth_manager *m, enum bth_happening_kind kind,
                               const struct bth_lease *lease, const struct berth_error *why)
    REQUIRES(core);
void bth_happened_device_locked(struct bth_manager *m, const char *device,
                                const struct berth_error *why) REQUIRES(core);
struct bth_model_news {
    enum bth_happening_kind kind;
    const char *model, *device; /* device: or NULL */
    uint64_t bytes, residual;
    bool idle; /* UNLOAD: for having been idle */
    int64_t ns;
    const struct berth_error *why;
};
void bth_happened_model_locked(struct bth_manager *m, const struct bth_model_news *news)
    REQUIRES(core);

/*
 * Expected waiting times of one scope's queue, ticket by ticket from its first on.
 */
struct bth_queue_view {
    const struct bth_history *holds;
    int64_t all_left, exclusive_left; /* of those who hold it; BTH_UNKNOWN */
    int64_t load_left;
    uint32_t turns; /* of the tickets so far */
    bool together;  /* the last of them go together */
};
struct bth_queue_view bth_queue_view_locked(struct bth_manager *m, uint32_t scope, int64_t now)
    REQUIRES(core);
/* The next ticket's; BTH_UNKNOWN. */
int64_t bth_queue_expected(struct bth_queue_view *v, const struct bth_ticket *t, enum bth_why why);
/* Where the times of leases on this are kept. */
struct bth_history *bth_manager_holds_locked(struct bth_manager *m, uint32_t scope) REQUIRES(core);

void *bth_manager_loader_main(void *manager);
/* An instance whose device has failed: nobody gets it any more. */
void bth_instance_lost_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core);
/* The lost device says that it has failed: no more work for it. */
void bth_manager_lose_locked(struct bth_manager *m, uint32_t device, const struct berth_error *why)
    REQUIRES(core);
/* At the end: unloads what was lost and closes the devices, but for those on which an engine's call
 * still hangs: it would find the memory gone. */
void bth_manager_close_devices(struct bth_manager *m) BLOCKING;

/* Fills err for a REFUSE or USE_REFUSED; returns its code. */
int bth_manager_refusal_locked(const struct bth_manager *m, const struct bth_action *a,
                               struct berth_error *err) REQUIRES(core);

#endif

/*
 * core/manager.h - who may use which model, what is loaded, how many bytes it may take.
 *
 * Layer core: registry, leases, waiters, the byte ledger, loads and unloads. All decisions are one
 * pure step (step.h: state + event + now -> actions); this file takes the lock, runs the step and
 * carries the actions out. It knows engines and devices only by their interfaces, and starts a
 * few loader threads, so that a long load delays neither another load nor an unload. It does not
 * run requests: that is sched.
 *
 * Lock rank: core. Nothing here calls an engine or a device with the lock held.
 */
#ifndef BTH_MANAGER_H
#define BTH_MANAGER_H

#include "base/histogram.h"
#include "base/str.h"
#include "core/limits.h"
#include <berth/berth.h>
#include <berth/engine.h>

struct bth_manager;
struct bth_lease;
struct bth_trace_sink;

struct bth_manager_config {
    struct berth_device **devices; /* [n_devices]; the manager closes them at its end */
    const uint64_t *budgets;       /* [n_devices] bytes */
    size_t n_devices;
    size_t n_spare; /* the last of them: only for models that no other device can run */
    const struct berth_engine_ops *const *engines; /* [n_engines] */
    size_t n_engines;
    const struct berth_model_spec *models; /* [n_models], copied */
    size_t n_models;
    size_t n_given; /* the first of them: given in code; the others are the configuration's */
    /* A lease was revoked: its requests are to be cancelled. Called as bth_use.granted is. May be
     * NULL. */
    void (*revoked)(void *arg, struct bth_lease *lease);
    void *arg;
    const struct bth_trace_sink *trace; /* core/trace.h; or NULL */
};

int bth_manager_create(const struct bth_manager_config *config, struct bth_manager **out,
                       struct berth_error *err);

/* Refuses newcomers, waits until `deadline` for leases and uses to end, then revokes what is left,
 * waits for its uses to end (sched has been told to cancel) and unloads. ETIMEDOUT if something was
 * revoked. The manager can then be destroyed. */
int bth_manager_drain(struct bth_manager *m, int64_t deadline, struct berth_error *err);
/* Closes the devices and stops the loaders; drains at once what was not drained. Leases still held
 * stay valid for release only. */
void bth_manager_destroy(struct bth_manager *m);
/* Keeps the object, not what it does, beyond its end: for who may have to cancel or release later.
 */
void bth_manager_ref(struct bth_manager *m);
void bth_manager_unref(struct bth_manager *m);

/* What a configuration says of one model, beside what is known. */
enum bth_news {
    BTH_NEWS_SAME,
    BTH_NEWS_ADDED,
    BTH_NEWS_KEPT_OTHERWISE, /* its pin, its keep-alive and the like have changed */
    BTH_NEWS_DIFFERS /* in what cannot change while the manager lives: path, alias, engine */
};
/* Makes a new model known, and a known one kept as the spec says; `dry`: only says what it would
 * be. Looks at files. EINVAL, ETOOLARGE, ENOMEM. */
int bth_manager_configure(struct bth_manager *m, const struct berth_model_spec *spec, bool dry,
                          enum bth_news *out, struct berth_error *err);

/* Drops those models of the configuration that it names no more, `specs` being what it names: they
 * are found no more, and unloaded when their leases and requests have ended. Their names go to
 * `out`, a line each; `dry`: only that. */
void bth_manager_forget(struct bth_manager *m, const struct berth_model_spec *specs, size_t n,
                        bool dry, struct bth_str *out);
/* See berth_enable and berth_disable. *out_name: the full name. ENOTFOUND. */
int bth_manager_enable(struct bth_manager *m, const char *name, bool on, const char **out_name,
                       struct berth_error *err);

/* What a caller asks for; see struct berth_acquire_options. Zero: a shared lease, without a limit.
 */
struct bth_ask {
    const char *tag;
    const char *holder; /* who asks, for lists: "uid 0 pid 7"; NULL: this process */
    int64_t pid, tid;   /* of the thread that asks, for lists; 0: not known */
    int64_t deadline;   /* zero is long ago: nothing is waited for or loaded */
    bool exclusive;
    uint32_t max_concurrent;
    int priority; /* above the usual one, or below: BTH_PRIORITY_LOWEST to _HIGHEST */
    uint64_t owner;
};
/* A lease by name, alias or path (a path of an unknown model registers it as
 * family/last-component); an exclusive one may be on a family. Waits until the deadline. Errors:
 * see berth_acquire. */
int bth_manager_lease(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                      struct bth_lease **out, struct berth_error *err);
/*
 * The same for callers who must not wait. Fill `answered`, then start it; the object must stay
 * until answered has been called: exactly once if the start succeeded, maybe within it, at the
 * latest within bth_acquire_cancel or bth_manager_drain. rc 0: `lease` is the caller's; else err
 * says why. It runs on any thread with the core lock held: it may leave a message and nothing else.
 * The name is one that the manager knows (bth_manager_find): no file is touched.
 */
struct bth_acquire {
    void (*answered)(struct bth_acquire *acquire, int rc, const struct berth_error *err);
    struct bth_lease *lease;
    struct bth_manager *manager; /* core's, as is `ticket` */
    uint64_t ticket;             /* 0: answered */
};
/* The deadline is the caller's to watch: he cancels. ENOTFOUND, ENOMEM. */
int bth_acquire_start(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                      struct bth_acquire *acquire, struct berth_error *err);
/* No longer wanted: answered with ECANCELLED unless it has been answered already. */
void bth_acquire_cancel(struct bth_acquire *acquire);
/* Once its deadline has passed: answered with ETIMEDOUT, and who holds what, unless it has been
 * answered already. */
void bth_acquire_tick(struct bth_acquire *acquire);

void bth_lease_release(struct bth_lease *lease);
const char *bth_lease_name(const struct bth_lease *lease);
/* Index of the device that the leased model was on when it was granted (its requests may run on
 * others: see bth_use); -1: an exclusive lease is on none. */
int bth_lease_device(const struct bth_lease *lease);
bool bth_lease_is_revoked(const struct bth_lease *lease);
/* Takes it away now: its requests are cancelled, and it is good for release only. */
void bth_lease_revoke(struct bth_lease *lease);
/* Until when the caller means to hold it: lists show it, and nothing else comes of it. */
void bth_lease_until(struct bth_lease *lease, int64_t until);
/* The same as bth_lease_revoke by the id that bth_manager_leases gives. ELOST: it is over. */
int bth_manager_revoke(struct bth_manager *m, uint64_t id, struct berth_error *err);

/* While a model is pinned it is not unloaded for others' bytes or for being idle; it loads nothing.
 * Each pin is taken back once. ENOTFOUND. */
int bth_manager_pin(struct bth_manager *m, const char *name, bool more, struct berth_error *err);

uint64_t bth_manager_owner(struct bth_manager *m); /* a fresh one */
/* Of `ask`: owner, max_concurrent (>= 1) and deadline. See berth_wait_available. */
int bth_manager_wait_available(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                               struct berth_error *err);
void bth_manager_usage(struct bth_manager *m, struct berth_usage *out);
/* See berth_cleanup. Ends by BTH_REVOKE_GRACE_NS after the deadline. ENOMEM. */
#define BTH_REVOKE_GRACE_NS INT64_C(5000000000)
int bth_manager_cleanup(struct bth_manager *m, uint64_t owner, int64_t deadline,
                        struct berth_cleanup_report *out, struct berth_error *err);
/* The same without waiting: begun, then asked now and then whether it has ended. */
struct bth_cleanup {
    uint64_t seq, gens, before, own; /* core's */
    int64_t end;
    struct berth_cleanup_report report;
};
int bth_manager_cleanup_start(struct bth_manager *m, uint64_t owner, int64_t deadline,
                              struct bth_cleanup *out, struct berth_error *err);
/* true: it has, and `report` is filled. */
bool bth_manager_cleanup_ended(struct bth_manager *m, struct bth_cleanup *c);

/* A lease, or somebody who waits for one. */
struct bth_lease_info {
    uint64_t id; /* held: for bth_manager_revoke; else 0 */
    char what[64], tag[64], holder[160];
    int64_t pid, tid; /* 0: not known */
    uint64_t owner;
    bool exclusive, waiting, revoked;
    uint32_t max_concurrent; /* waiting; 0: no limit */
    int priority;            /* waiting: 0 to 9 */
    uint32_t position;       /* waiting: 1 is the next of its queue; else 0 */
    const char *why;         /* waiting: "lease", "loading", "bytes"; else "" */
    int64_t since_ms;        /* held, or waited, for so long */
    int64_t left_ms;         /* until the wait ends by itself, or it is revoked; -1: no limit */
    int64_t expected_ms;     /* waiting: as long yet, by what was seen (history.h); -1: unknown */
    bool overdue;            /* held far longer than usual (history.h), or beyond its time */
};
/* One snapshot. Returns how many there are; at most `n` are written. */
size_t bth_manager_leases(struct bth_manager *m, struct bth_lease_info *out, size_t n);

/* What has happened, for those who look on; the last BTH_HAPPENINGS of it are kept. */
enum bth_happening_kind {
    BTH_HAPPENED_LOAD,
    BTH_HAPPENED_FAIL, /* a load */
    BTH_HAPPENED_UNLOAD,
    BTH_HAPPENED_EVICT, /* an unload, for the bytes of another */
    BTH_HAPPENED_GRANT,
    BTH_HAPPENED_REFUSE,
    BTH_HAPPENED_REVOKE,
    BTH_HAPPENED_LOST /* a device has failed, or hangs: `what` is its name, `cause` why */
};
#define BTH_N_HAPPENINGS 8
#define BTH_HAPPENINGS   1024
struct bth_happening {
    uint64_t number; /* from 1 on, without gaps */
    int64_t at_ms;   /* since the epoch */
    enum bth_happening_kind kind;
    int code; /* FAIL, REFUSE, LOST: why, and `cause` in words */
    char what[64], who[128], cause[128];
    bool idle;         /* UNLOAD: for having been idle */
    char device[32];   /* LOAD, FAIL, UNLOAD, EVICT: where; "" for a FAIL that came to none */
    uint64_t bytes;    /* LOAD, UNLOAD, EVICT: of the device */
    uint64_t residual; /* UNLOAD, EVICT: of them, not given back */
    int64_t ms;        /* LOAD, UNLOAD, EVICT: it took; GRANT: it was waited for */
};
/* Those after number `after`, oldest first, at most n. */
size_t bth_manager_happenings(struct bth_manager *m, uint64_t after, struct bth_happening *out,
                              size_t n);
/* The number of the last. */
uint64_t bth_manager_last_happening(struct bth_manager *m);

/* Sums since the start. */
struct bth_manager_sums {
    uint64_t happened[BTH_N_HAPPENINGS];
    uint64_t refused[32];               /* by -code */
    uint64_t idle;                      /* of the UNLOADs */
    struct bth_histogram wait, hold;    /* of leases: until granted; until given back */
    struct bth_histogram load, unload;  /* UNLOAD and EVICT */
    uint64_t residual[BTH_MAX_DEVICES]; /* bytes now: still drawn after an unload */
};
void bth_manager_sums(struct bth_manager *m, struct bth_manager_sums *out);

/* What a load of this model would come to now; see bth_state_plan, whose words `kind` has: "ready",
 * "loading", "fits", "evicts", "waits", "impossible", "failed", "disabled"; or "unknown": its size
 * is being found out, ask again. ENOTFOUND, ENOMEM. */
struct bth_plan_info {
    const char *kind;
    char model[64], device[32];
    uint64_t need, room;
    int64_t learnt_ms; /* `need` was found out so long ago; -1: for a load that is there already */
    size_t n_evicts;
    char evicts[16][80];
    char cause[252]; /* impossible, failed, disabled */
};
int bth_manager_plan(struct bth_manager *m, const char *name, struct bth_plan_info *out,
                     struct berth_error *err);

/* The engine that serves a name, loaded or not; NULL if unknown (err says what there is). */
const struct berth_engine_ops *bth_manager_engine(struct bth_manager *m, const char *name,
                                                  struct berth_error *err);
/* The full name of a name, alias or path, which makes a new path known; valid as long as the
 * manager. NULL if unknown. Reads files. */
const char *bth_manager_full_name(struct bth_manager *m, const char *name, struct berth_error *err);

/*
 * A use: one request of a lease on the loaded model, with its bytes reserved.
 *
 * bth_use_open pins the model, so that the engine's `begin` may be called on it; bth_use_begin asks
 * for bytes. `granted` is then called exactly once, with 0 or why not, unless bth_use_end comes
 * first: after that returns it is never called. It runs on any thread with the core lock held: it
 * may post an event to the scheduler and nothing else. A use outlives its lease: releasing or
 * revoking the lease does not free the model under it. One owner thread, `granted` aside.
 */
struct bth_use {
    struct berth_model *model;            /* valid from open to end, */
    uint32_t device;                      /* index of the device that it is on */
    struct berth_reservation reservation; /* valid from the grant to end */
    void (*granted)(struct bth_use *use, int rc, const struct berth_error *err);
    struct bth_manager *manager; /* core's, as are these */
    struct bth_instance *instance;
    uint64_t id;
};
/* EREVOKED; ELOST when the lease has been released; EDEVICE when the device has failed that the
 * leased model was on: a new lease gets it elsewhere. Not for exclusive leases. */
int bth_use_open(struct bth_lease *lease, struct bth_use *use, struct berth_error *err);
void bth_use_begin(struct bth_use *use, size_t bytes_max);
/* Ends a use in any state after open, once; `failed` is counted. */
void bth_use_end(struct bth_use *use, bool failed);

/*
 * Device number `device` has failed for good, or an engine's call on it hangs: nothing is loaded or
 * begun on it any more, its bytes stay charged, models that are ready elsewhere too go on there,
 * and others load anew where they can. Uses on it end as ever, or never; those that wait for bytes
 * are refused with EDEVICE. Any thread; again: nothing. The scheduler says it (sched.h).
 */
void bth_manager_lose(struct bth_manager *m, size_t device, const struct berth_error *why);
const char *bth_manager_device_name(const struct bth_manager *m, size_t device); /* likewise */
bool bth_manager_is_lost(const struct bth_manager *m, size_t device);            /* takes no lock */

int bth_manager_unload(struct bth_manager *m, const char *name, int64_t deadline,
                       struct berth_error *err);
/* The same without waiting: begins, and says later whether what was loaded then has gone. The name
 * is one that the manager knows. ENOTFOUND, ENOMEM. */
int bth_manager_unload_start(struct bth_manager *m, const char *name, uint64_t *out_mark,
                             struct berth_error *err);
bool bth_manager_unloaded(struct bth_manager *m, const char *name, uint64_t mark);

/* What there is to say of the model of this name or alias. Never touches a file. ENOTFOUND (the
 * text lists what there is). */
int bth_manager_find(struct bth_manager *m, const char *name, struct berth_model_stats *out,
                     struct berth_error *err);
/* As berth_models: entries of `size` bytes. */
size_t bth_manager_models(struct bth_manager *m, struct berth_model_stats *out, size_t size,
                          size_t n);
/* What models have of devices now, old generations that are still there too. */
struct bth_memory_info {
    const char *model, *device; /* valid as long as the manager */
    uint64_t weights, workspace, session;
};
/* One snapshot, an entry for each model on each device; returns how many, at most `n`. */
size_t bth_manager_memory(struct bth_manager *m, struct bth_memory_info *out, size_t n);
/* Fills the ledger's part; sched adds turns. */
size_t bth_manager_devices(struct bth_manager *m, struct berth_device_stats *out, size_t n);

#endif

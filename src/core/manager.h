/*
 * core/manager.h - who may use which model, what is loaded, how many bytes it may take.
 *
 * Layer core: registry, leases, waiters, the byte ledger, loads and unloads. All decisions are one
 * pure step (step.h: state + event + now -> actions); this file takes the lock, runs the step and
 * carries the actions out. It knows engines and devices only by their interfaces, and starts one
 * loader thread. It does not run requests: that is sched.
 *
 * Lock rank: core. Nothing here calls an engine or a device with the lock held.
 */
#ifndef BTH_MANAGER_H
#define BTH_MANAGER_H

#include <berth/berth.h>
#include <berth/engine.h>

struct bth_manager;
struct bth_lease;

struct bth_manager_config {
    struct berth_device **devices; /* [n_devices]; the manager closes them at its end */
    const uint64_t *budgets;       /* [n_devices] bytes */
    size_t n_devices;
    const struct berth_engine_ops *const *engines; /* [n_engines] */
    size_t n_engines;
    const struct berth_model_spec *models; /* [n_models], copied */
    size_t n_models;
};

int bth_manager_create(const struct bth_manager_config *config, struct bth_manager **out,
                       struct berth_error *err);

/* Refuses newcomers, waits until `deadline` for leases and uses to end, then revokes what is left,
 * waits for its uses to end (sched has been told to cancel) and unloads. ETIMEDOUT if something was
 * revoked. The manager can then be destroyed. */
int bth_manager_drain(struct bth_manager *m, int64_t deadline, struct berth_error *err);
void bth_manager_destroy(struct bth_manager *m);

/* A shared lease by name, alias or path (a path of an unknown model registers it as
 * family/last-component). Waits until `deadline`. Errors: see berth_acquire. */
int bth_manager_acquire(struct bth_manager *m, const char *name, const char *tag, int64_t deadline,
                        struct bth_lease **out, struct berth_error *err);
void bth_lease_release(struct bth_lease *lease);
const char *bth_lease_name(const struct bth_lease *lease);
/* The engine that serves a name, loaded or not; NULL if unknown (err says what there is). */
const struct berth_engine_ops *bth_manager_engine(struct bth_manager *m, const char *name,
                                                  struct berth_error *err);

/* A use: one request of a lease on the loaded model, with its bytes reserved.
 *
 * bth_use_begin asks for `bytes_max`; when they fit, `granted` is called (maybe before it returns;
 * from any thread, with nothing held; it must only post an event), exactly once, with 0 or why not.
 * The reservation is the use's. bth_use_end gives the bytes back and must come exactly once after a
 * grant of 0. A use outlives its lease: releasing the lease does not free the model under it. */
struct bth_use {
    struct berth_model *model;
    struct berth_reservation reservation;
    void (*granted)(struct bth_use *use, int rc, const struct berth_error *err);
    void *arg;         /* the caller's */
    void *core_private; /* core's */
};
/* Pins the model for a request about to begin (so that engine `begin` may be called on it) without
 * bytes. ELOST when the lease is revoked. */
int bth_use_open(struct bth_lease *lease, struct bth_use *use, struct berth_error *err);
void bth_use_begin(struct bth_use *use, size_t bytes_max);
/* Ends a use in any state after open; `failed` is counted. Idempotent guard: call once. */
void bth_use_end(struct bth_use *use, bool failed);

int bth_manager_unload(struct bth_manager *m, const char *name, int64_t deadline,
                       struct berth_error *err);

size_t bth_manager_models(struct bth_manager *m, struct berth_model_stats *out, size_t n);
/* Fills the ledger's part; sched adds turns. */
size_t bth_manager_devices(struct bth_manager *m, struct berth_device_stats *out, size_t n);

#endif

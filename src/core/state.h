/*
 * core/state.h - the state that bth_step moves: devices, models, instances, tickets, leases, uses.
 *
 * Objects are made outside (memory is no business of the step) and linked in by events. All fields are
 * the step's, guarded by the manager's lock; the simulator runs the same code without one.
 */
#ifndef BTH_STATE_H
#define BTH_STATE_H

#include "base/list.h"
#include <berth/engine.h>

enum bth_action_kind {
    BTH_ACT_NONE,
    BTH_ACT_GRANT,      /* ticket: it has a lease now */
    BTH_ACT_REFUSE,     /* ticket: see its error */
    BTH_ACT_LOAD,       /* instance: load it, answer with LOAD_DONE */
    BTH_ACT_FREE,       /* instance: unload it, answer with FREE_DONE */
    BTH_ACT_USE_GRANT,  /* use: its bytes are reserved */
    BTH_ACT_USE_REFUSE, /* use: see its error */
    BTH_ACT_REVOKE      /* lease: tell its holder; its requests are to be cancelled */
};

/* What is to be done, linked into the step's output. An object has at most one pending. */
struct bth_action {
    struct bth_list link;
    enum bth_action_kind kind;
    void *object;
};

/* Bytes of one device. room = budget - (reserved + committed + freeing + sessions). */
struct bth_ledger {
    uint64_t budget;
    uint64_t reserved;  /* of loads going on */
    uint64_t committed; /* weights and workspace of ready models */
    uint64_t freeing;   /* of models being unloaded */
    uint64_t sessions;  /* of granted uses */
};

enum bth_instance_phase {
    BTH_INSTANCE_LOADING,
    BTH_INSTANCE_READY,
    BTH_INSTANCE_DRAINING, /* no newcomers; waits for leases and uses to end */
    BTH_INSTANCE_FREEING,
    BTH_INSTANCE_GONE
};

/* One loaded copy: a generation of a model on a device. Phases move forward only. */
struct bth_instance {
    struct bth_list link; /* in bth_state.instances */
    struct bth_action action;
    struct bth_model_entry *model;
    int device;
    enum bth_instance_phase phase;
    uint64_t generation;
    uint64_t bytes;     /* charged now: the estimate while loading, what it holds afterwards */
    int n_leases, n_uses;
    int64_t idle_since; /* valid when both are 0 */
    /* the manager's */
    struct berth_model *handle;
    struct berth_reservation weights, workspace;
    struct berth_error error;
};

struct bth_model_entry {
    struct bth_list link; /* in bth_state.models */
    const struct berth_engine_ops *engine;
    char name[64], alias[64], path[256];
    struct bth_instance *open; /* LOADING or READY: the one generation that takes newcomers */
    uint64_t generation;       /* of the newest instance */
    bool estimated;
    struct berth_estimate estimate;
    uint64_t learnt_bytes; /* the most that a load has held */
    struct {
        int n;
        int64_t until;
        struct berth_error cause;
    } fail; /* back-off after failed loads */
    /* counters */
    uint64_t n_waiting, n_running, n_served, n_failed, n_loads;
    int64_t load_began, load_ns;
};

/* Someone who waits for a lease. */
struct bth_ticket {
    struct bth_list link; /* in bth_state.tickets, in order of arrival */
    struct bth_action action;
    struct bth_model_entry *model;
    struct bth_lease_state *lease; /* what it becomes */
    int64_t deadline;
    bool answered;
    struct berth_error error;
};

enum bth_lease_phase { BTH_LEASE_WAIT, BTH_LEASE_HELD, BTH_LEASE_REVOKED, BTH_LEASE_RELEASED };

struct bth_lease_state {
    struct bth_list link; /* in bth_state.leases while HELD or REVOKED */
    struct bth_action action;
    enum bth_lease_phase phase;
    struct bth_instance *instance;
};

enum bth_use_phase { BTH_USE_OPEN, BTH_USE_WAIT, BTH_USE_RUN, BTH_USE_ENDED };

/* A request on an instance: it pins the instance from open on, its bytes from the grant on. */
struct bth_use_state {
    struct bth_list link; /* in bth_state.uses while it waits */
    struct bth_action action;
    enum bth_use_phase phase;
    struct bth_instance *instance;
    uint64_t bytes;
    struct berth_error error;
};

#define BTH_MAX_DEVICES 16

struct bth_state {
    struct bth_ledger ledgers[BTH_MAX_DEVICES];
    int n_devices;
    struct bth_list models, instances, tickets, leases, uses;
    int n_loading, max_loading; /* loads at once */
    bool closing;
};

#endif

/*
 * core/step.h - every decision of core as one pure function: state + event + now -> actions.
 *
 * No lock, clock, thread, file or engine inside: manager.c runs it under the core lock and carries
 * the actions out; the simulator (tests/sim/sim_core.c) runs the same code under a virtual clock.
 *
 * THE STATES, and who moves them
 *   device      budget = reserved + committed + freeing + residual + room        (ledger.c)
 *   model       what could be loaded; back-off after a failed load
 *   generation  OPEN > CLOSING > dead. At most one OPEN a model. A CLOSING one is never opened
 *               again: newcomers get the next. It is known by its first instance, which leases are
 *               counted on; further ones are its replicas, at most one on each device, and it is
 *               dead when all are. An instance:
 *                 RESV     bytes are reserved, LOAD is asked for
 *                 LOADING  a loader is at it
 *                 READY    the only state in which a lease is granted
 *                 DRAIN    closing, until its last lease and its last use have gone
 *                 FREEING  FREE is asked for; the bytes stay charged until FREE_DONE
 *               and from any of these, when its device has failed (DEVICE_LOST), it is gone at
 *               once: its uses are LOST, its bytes residual, and a replica is promoted in its place
 *   ticket      a caller waiting for a lease: answered GRANT or REFUSE, exactly once
 *   lease       HELD > released | REVOKED (then its uses are cancelled, its bytes wait for them).
 *               A shared one pins its generation; an exclusive one, of a model or of a family,
 *               pins nothing and keeps others away
 *   use         one request on one instance, the READY one with fewest: OPEN (pins it) > WAIT (for
 *               bytes) > RUN > CANCELLING, or REFUSED; gone with USE_END, or LOST with its device
 *
 * THE ORDER. A ticket's key is the time of asking, 10 s earlier for each priority above the usual
 * one and later for each below: whoever came 10 s before one of the next higher priority is never
 * overtaken by him. Each model has a queue by key, then by age, and its first ticket alone is
 * looked at: whoever must wait, for others' leases too, holds up all behind him, so nobody starves
 * and an event costs no more than the tickets that it answers. A family has a queue of those who
 * want all of it; they and the tickets of its models hold each other up in the same order. Nobody
 * waits for leases of his own (owner): inside his own shared lease he gets the same generation,
 * inside his own exclusive he comes first, and an exclusive inside his own shared is refused
 * (UPGRADE). So is, at once, who would wait for ever in a ring of owners (DEADLOCK, step_cycle.c).
 * Among models whose first ticket lacks bytes (they are "hungry") the first owns an earmark on its
 * device: younger ones use only the room beyond it. Uses pass earmarks, for who holds a lease must
 * be able to finish, and are first come, first served within an instance.
 *
 * REPLICAS take what nobody else wants (step_gen.c). One is loaded when a use comes and every
 * instance has BTH_REPLICA_USES of them, if a device like the first's has room for it and nobody
 * waits for bytes. An instance that another READY one of its generation can do without goes first
 * when somebody needs bytes, whether leased, pinned or busy (it ends its uses), and by itself when
 * it has had none for BTH_REPLICA_REST_NS.
 *
 * MEMORY. Only ACQUIRE, USE_OPEN, UNLOAD, CLEANUP and ESTIMATE allocate, before they change
 * anything, and answer ENOMEM; all other events cannot fail.
 */
#ifndef BTH_STEP_H
#define BTH_STEP_H

#include "core/limits.h"
#include "core/owners.h"
#include "core/table.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTH_BACKOFF_MAX_S    60
#define BTH_PRIORITY_NS      INT64_C(10000000000)
#define BTH_PRIORITY_HIGHEST 4 /* above the usual one */
#define BTH_PRIORITY_LOWEST  (-5)
#define BTH_RING_NAMES       6

/* ---- state ----------------------------------------------------------------------------------*/

struct bth_ledger {
    uint64_t budget;
    uint64_t reserved, committed, freeing;
    uint64_t residual; /* still drawn after an unload: never given out again */
    uint64_t earmark;  /* the oldest byte waiter's need, as of the last event */
    uint32_t kind;     /* replicas go to devices of the same */
    bool lost;         /* it has failed for good: no room, for ever */
};

/* What a load will take on one device. */
struct bth_estimate {
    uint64_t weights, workspace;
    uint64_t session; /* least worth loading for; stays reserved while the instance lives */
};

/* Why the first ticket of a queue waits. */
enum bth_why { BTH_WHY_NONE, BTH_WHY_LEASE, BTH_WHY_ESTIMATE, BTH_WHY_LOADING, BTH_WHY_BYTES };

enum bth_est_state { BTH_EST_NONE, BTH_EST_ASKED, BTH_EST_KNOWN };

struct bth_list {
    uint64_t first, last;
};

/* What a lease is on: a model by its index, or a family by BTH_FAMILY + its index. */
#define BTH_FAMILY UINT32_C(0x80000000)
struct bth_scope {
    struct bth_list queue;      /* tickets, oldest first; a family's are exclusive */
    struct bth_list leases;     /* HELD ones on just this */
    uint32_t held, uses;        /* HELD leases and uses; a family's include its models' */
    uint32_t waiting;           /* tickets in `queue`, */
    uint32_t waiting_exclusive; /* of them */
    uint32_t exclusive;         /* HELD exclusive leases on just this: one owner's */
    uint64_t exclusive_owner;
};

struct bth_model {
    void *arg; /* the driver's */
    uint32_t family;
    struct bth_scope scope;
    bool disabled;           /* newcomers are refused, */
    bool removed;            /* as if nobody knew it */
    enum bth_why why;        /* the first of the queue waits */
    bool hungry;             /* for bytes: in the list of such, */
    int64_t hunger_key;      /* in the order of their first tickets */
    uint64_t hunger;         /* its seq */
    uint32_t previous, next; /* index + 1 */
    uint64_t open;           /* the OPEN generation, or 0 */
    uint64_t serial;         /* of the newest generation */
    enum bth_est_state est_state;
    bool est_started;
    uint64_t est_op;
    struct bth_estimate est[BTH_MAX_DEVICES];
    int64_t est_at;    /* KNOWN: since then */
    uint32_t failures; /* in a row */
    int64_t retry_at;  /* no load before */
    uint32_t most;     /* instances; 0: as many as there are devices of a kind */
    int64_t more_at;   /* no replica before */
    struct berth_error cause;
    /* statistics */
    bool pinned;        /* never evicted, never unloaded for being idle; nor while */
    uint32_t pins;      /* of clients are there */
    int64_t keep_alive; /* unloaded when idle for so long; BTH_FOREVER: never */
    uint64_t running, served, failed, loads;
    int64_t load_ns, used_at; /* used_at < 0: never */
    uint64_t heat, heat_at;   /* how often it is used, as of use `heat_at`: see step_evict.c */
};

enum bth_inst_state { BTH_RESV, BTH_LOADING, BTH_READY, BTH_DRAIN, BTH_FREEING };

struct bth_gen { /* one instance */
    uint64_t id;
    uint64_t of;       /* the first instance of its generation; 0: this is it, */
    uint32_t replicas; /* and there are so many others, not closing */
    uint32_t model, device;
    uint64_t serial, seq;  /* of its model, of all */
    int64_t revoke_at;     /* closing: its leases and uses have until then */
    bool closing, started; /* started: a loader has begun the pending FREE */
    enum bth_inst_state inst;
    uint64_t op;  /* the pending LOAD or FREE, or 0 */
    void *handle; /* the driver's loaded instance, from LOAD_DONE to FREE */
    struct bth_estimate est;
    uint64_t held;    /* C while READY or DRAIN, F while FREEING */
    uint64_t res;     /* R: not drawn yet, sessions apart */
    uint64_t session; /* R: max(est.session, sum of the uses' bytes) */
    uint64_t use_bytes;
    uint32_t leases, uses; /* HELD leases; uses in any state */
    uint32_t waits;        /* of them in WAIT */
    int64_t load_at;
    uint64_t used_seq; /* order of last use: the clock may stand still */
    int64_t idle_at;   /* READY and unused: unloaded then */
    uint64_t pass;     /* the pump's mark: a use of it waits already */
    bool victim;       /* the planner's mark */
    bool evicted;      /* closed for others' bytes, */
    bool expired;      /* or for having been idle */
};

struct bth_ticket {
    uint64_t id, prev, next; /* in the queue */
    void *arg;
    uint32_t scope;
    bool exclusive;
    uint32_t max_concurrent;
    int priority;          /* above the usual one, or below */
    uint64_t owner, party; /* the owner, and his row */
    int64_t key;
    uint64_t seq; /* its age; 0: its owner is inside already, so it comes before all */
    int64_t expires;
    /* step_cycle.c's */
    uint64_t search, found; /* the last that has seen it, and what that saw next */
    bool ends;              /* there: it will be answered */
};

/* In queues: by key, then by age. */
static inline bool bth_ticket_before(const struct bth_ticket *a, const struct bth_ticket *b) {
    return a->key < b->key || (a->key == b->key && a->seq < b->seq);
}

enum bth_lease_state { BTH_LEASE_HELD, BTH_LEASE_REVOKED };
struct bth_lease_row {
    uint64_t id, prev, next; /* among the HELD ones of its scope */
    void *arg;
    uint64_t gen; /* 0: exclusive or revoked */
    uint32_t scope;
    bool exclusive;
    enum bth_lease_state state;
    uint64_t owner, party, seq; /* party: the owner's row */
    int64_t revoke_at;
};

enum bth_use_state { BTH_USE_OPEN, BTH_USE_WAIT, BTH_USE_RUN, BTH_USE_CANCELLING, BTH_USE_REFUSED };
struct bth_use_row {
    uint64_t id, prev, next; /* among those that wait */
    void *arg;
    uint64_t lease, gen;
    uint64_t bytes;
    enum bth_use_state state;
    bool lost; /* its lease was revoked while it was OPEN */
};

struct bth_state {
    int64_t now;
    struct bth_ledger devices[BTH_MAX_DEVICES];
    uint32_t n_devices;
    struct bth_model *models;
    uint32_t n_models, models_capacity;
    struct bth_scope families[BTH_MAX_FAMILIES];
    struct bth_table gens, tickets, leases, uses;
    struct bth_owners owners;
    struct bth_list waiting;                         /* uses in WAIT, oldest first */
    uint32_t hungriest, least_hungry;                /* models, index + 1, oldest first */
    uint64_t last_op, last_pass, last_use, last_seq; /* seq: of tickets, leases and generations */
    uint64_t last_search;
    int64_t last_key;                      /* the largest that a ticket has had */
    uint64_t ring[BTH_RING_NAMES], n_ring; /* the last DEADLOCK's other tickets, in order */
    bool stirred;                          /* bytes, or who waits for them: bth_pump has to look */
    uint32_t turn; /* in it: index + 1 of the model that may be given bytes now */
    bool closing;
    int64_t revoke_at; /* the least that is to come, */
    int64_t idle_at;   /* likewise of idle generations: unload */
};

/* ---- events ---------------------------------------------------------------------------------*/

enum bth_event_kind {
    BTH_EV_ACQUIRE,   /* scope, exclusive, max_concurrent (0: any), priority (0: the usual one),
                         owner, expires, arg: GRANT, REFUSE or QUEUED; expires <= now: no wait,
                         nothing started */
    BTH_EV_CANCEL,    /* id of a ticket */
    BTH_EV_RELEASE,   /* id of a lease; again: nothing */
    BTH_EV_USE_OPEN,  /* id of a lease, arg: USE_OPENED or USE_REFUSED */
    BTH_EV_USE_BEGIN, /* id of a use, bytes, arg: USE_RUN or USE_REFUSED, now or later */
    BTH_EV_USE_END,   /* id of a use, failed; again: nothing */
    BTH_EV_OP_BEGIN,  /* op: a loader has taken it */
    BTH_EV_ESTIMATED, /* op, error or estimates [n_devices] */
    BTH_EV_LOAD_DONE, /* op, error, handle, bytes = drawn, spare = may still be drawn */
    BTH_EV_FREE_DONE, /* op, bytes = still drawn (residual) */
    BTH_EV_GROW,      /* id of a generation or (use true) of a use, bytes: GROWN, or nothing: no */
    BTH_EV_UNLOAD,    /* scope (a model), arg: REFUSE when out of memory, else nothing */
    BTH_EV_CLEANUP,   /* owner, expires: drain all that is loaded and all leases, then revoke them;
                         leases of `owner` at once. Newcomers get the next generation. As UNLOAD */
    BTH_EV_REVOKE,    /* id of a lease: as if its time were over */
    BTH_EV_CLOSE,     /* expires: refuse newcomers, drain, then revoke */
    BTH_EV_ESTIMATE,  /* scope (a model): its size is to be known, for a plan; loads nothing */
    BTH_EV_DISABLE,   /* scope (a model), removed: refuses newcomers and all who wait, drains and
                         unloads it; those inside may go deeper. Cannot fail */
    BTH_EV_ENABLE,    /* scope (a model) */
    BTH_EV_DEVICE_LOST, /* device: has failed, or hangs; again: nothing. A LOAD or FREE that a
                           loader has begun is no longer of interest: its DONE changes nothing */
    BTH_EV_TICK         /* time has passed; with the id of a ticket: for that one */
};
#define BTH_N_EVENTS 20

struct bth_event {
    enum bth_event_kind kind;
    uint64_t id, op;
    uint32_t scope, max_concurrent, device;
    bool exclusive, removed;
    int priority;
    uint64_t owner;
    void *arg;
    int64_t expires;
    uint64_t bytes, spare;
    bool use, failed;
    void *handle;
    const struct berth_error *error; /* NULL: it went well */
    const struct bth_estimate *estimates;
};

/* ---- actions --------------------------------------------------------------------------------*/

enum bth_action_kind {
    BTH_ACT_QUEUED,      /* id = ticket */
    BTH_ACT_GRANT,       /* id = lease, gen (0: exclusive); arg of the ticket */
    BTH_ACT_REFUSE,      /* code, reason, scope; arg of the ticket */
    BTH_ACT_USE_OPENED,  /* id = use, gen */
    BTH_ACT_USE_RUN,     /* id = use, bytes */
    BTH_ACT_USE_REFUSED, /* code, reason */
    BTH_ACT_USE_CANCEL,  /* id = use: its lease was revoked, it must end soon */
    BTH_ACT_USE_LOST,    /* id = use, with its device: USE_END will find it gone */
    BTH_ACT_REVOKED,     /* id = lease */
    BTH_ACT_WORK,        /* op: bth_state_next_op has something new */
    BTH_ACT_GROWN,
    BTH_ACT_LOST, /* gen: its device has failed; handle, unless a loader has it; bytes, scope */
    BTH_ACT_DEAD  /* gen is no more */
};

enum bth_reason {
    BTH_REASON_NONE,
    BTH_REASON_MEMORY,      /* ENOMEM: a table could not grow */
    BTH_REASON_SHUTDOWN,    /* ESHUTDOWN */
    BTH_REASON_TIMEOUT,     /* ETIMEDOUT; `why` says what it waited for */
    BTH_REASON_CANCELLED,   /* ECANCELLED */
    BTH_REASON_IMPOSSIBLE,  /* EBUDGET: not even alone; `bytes` = need */
    BTH_REASON_LOAD_FAILED, /* the model's cause */
    BTH_REASON_LOST,        /* ELOST: the lease was given back */
    BTH_REASON_REVOKED,     /* EREVOKED */
    BTH_REASON_UPGRADE,     /* EUPGRADE: exclusive inside one's own lease */
    BTH_REASON_DEADLOCK,    /* EDEADLOCK: others wait for what he has; `ring` names them */
    BTH_REASON_DISABLED,    /* EDISABLED, or ENOTFOUND if it was removed */
    BTH_REASON_DEVICE       /* EDEVICE: it was on a device that has failed, or none is left */
};
#define BTH_N_REASONS 13

struct bth_action {
    enum bth_action_kind kind;
    enum bth_reason reason;
    enum bth_why why;
    int code;
    uint32_t scope;
    uint64_t id, gen, op, bytes;
    void *arg, *handle;
};

/* The driver's buffer; the step makes it large enough. Zero-initialised is valid. */
struct bth_actions {
    struct bth_action *items;
    size_t n, capacity;
};
void bth_actions_finish(struct bth_actions *a);

/* ---- the step -------------------------------------------------------------------------------*/

void bth_state_init(struct bth_state *s, const uint64_t *budgets, uint32_t n_devices);
void bth_state_finish(struct bth_state *s);
/* Makes a model known; 0 or ENOMEM. */
int bth_state_add_model(struct bth_state *s, void *arg, uint32_t family, uint32_t *out);

/* See struct bth_model. A keep-alive of one that is loaded and idle counts from now on. Whoever
 * waits for the bytes of one that is no longer pinned is looked at with the next event. */
void bth_state_keep(struct bth_state *s, uint32_t model, int64_t keep_alive, bool pinned);
/* One more, or one less, of the clients' pins. */
void bth_state_pin(struct bth_state *s, uint32_t model, bool more);
static inline bool bth_model_pinned(const struct bth_model *m) {
    return m->pinned || m->pins > 0;
}

/* Replaces the contents of `out`. `now` may stand still and is never taken back. */
void bth_step(struct bth_state *s, const struct bth_event *event, int64_t now,
              struct bth_actions *out);

/* When a TICK is due for all but tickets, which their owners watch; BTH_FOREVER: never. */
static inline int64_t bth_state_next_deadline(const struct bth_state *s) {
    return s->idle_at < s->revoke_at ? s->idle_at : s->revoke_at;
}

/* Fewer than `max_concurrent` leases of others are held on it, and no exclusive is held or waited
 * for by others. A hint: it is true of this moment only. */
bool bth_state_is_available(const struct bth_state *s, uint32_t scope, uint64_t owner,
                            uint32_t max_concurrent);
/* Something that there was when `last_seq` was `seq`: a generation not dead, a lease still HELD. */
bool bth_state_outlives(const struct bth_state *s, uint64_t seq);

/* What a load of the model would come to if it were asked for now, last of all; by the function
 * that places loads. Changes nothing that counts (it marks victims, and takes the marks away). */
enum bth_plan_kind {
    BTH_PLAN_READY,   /* loaded already */
    BTH_PLAN_LOADING, /* on its way */
    BTH_PLAN_UNKNOWN, /* its size is not known: ESTIMATE */
    BTH_PLAN_FAILED,  /* lately; no new try yet */
    BTH_PLAN_DISABLED,
    BTH_PLAN_FITS,
    BTH_PLAN_EVICTS,    /* `victims`, which are idle, or one of several */
    BTH_PLAN_WAITS,     /* for bytes that others use, or that are being freed */
    BTH_PLAN_IMPOSSIBLE /* not even alone, or its device has failed: `why` */
};
enum { BTH_PLAN_VICTIMS = 64 };
struct bth_plan {
    enum bth_plan_kind kind;
    enum bth_reason why;
    uint32_t device; /* FITS, EVICTS: where; else the roomiest */
    uint64_t need, room;
    uint32_t n_victims, victims[BTH_PLAN_VICTIMS]; /* models; more are counted */
    bool spare[BTH_PLAN_VICTIMS];                  /* only one instance of several */
};
void bth_state_plan(struct bth_state *s, uint32_t model, struct bth_plan *out);

/* What a loader should do next: frees first, then estimates, then loads, oldest first but
 * replicas last; no load while BTH_LOADS_AT_ONCE are under way. The driver says OP_BEGIN, does it,
 * and says the matching DONE event. */
enum bth_op_kind { BTH_OP_NONE, BTH_OP_ESTIMATE, BTH_OP_LOAD, BTH_OP_FREE };
struct bth_op {
    enum bth_op_kind kind;
    uint64_t id;
    uint32_t model, device;
    uint64_t gen;
    struct bth_estimate est;
    void *handle; /* FREE: of the instance; LOAD: of the first of which it is a replica, or NULL */
};
struct bth_op bth_state_next_op(const struct bth_state *s);

/* Whether a model is, or is in, what a lease is on. */
bool bth_model_in(const struct bth_state *s, uint32_t model, uint32_t scope);

/* Nothing is loaded, loading or being freed. */
static inline bool bth_state_empty(const struct bth_state *s) {
    return s->gens.used == 0;
}

#endif

/*
 * A lease asked for without waiting.
 *
 * The ticket outlives the manager's handle: it keeps the manager and the schedulers that a grant
 * may name. Core's callback fills it under the lock `result`, on any thread; whoever waits takes
 * what is there. A ticket that is freed first leaves the queue, which core answers at once.
 */
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sync.h"

struct berth_ticket {
    pid_t pid;
    struct bth_manager *manager;               /* a reference */
    struct bth_sched *scheds[BTH_MAX_DEVICES]; /* [n_devices] references */
    size_t n_devices;
    struct bth_acquire acquire;
    struct bth_mutex lock;
    struct bth_cond cond;
    bool answered GUARDED_BY(result);
    int rc GUARDED_BY(result);
    struct berth_error error GUARDED_BY(result);
    struct berth_lease *lease GUARDED_BY(result); /* made beforehand; NULL: taken */
    /* a daemon's: a reference, and of the above only `pid` and `lease` */
    struct bth_client_lease *remote;
};
BTH_LOCK(ticket, struct berth_ticket, lock, result)

static void answered(struct bth_acquire *acquire, int rc, const struct berth_error *err) {
    struct berth_ticket *t =
        (struct berth_ticket *)((char *)acquire - offsetof(struct berth_ticket, acquire));
    ticket_lock(t);
    t->answered = true;
    t->rc = rc;
    if (rc < 0) {
        t->error = *err;
    }
    bth_cond_broadcast(&t->cond);
    ticket_unlock(t);
}

/* Frees what is left of one whose acquire is over. */
static void destroy(struct berth_ticket *t) BTH_TSA(no_thread_safety_analysis) {
    for (size_t i = 0; i < t->n_devices; i++) {
        bth_sched_unref(t->scheds[i]);
    }
    if (t->manager) {
        bth_manager_unref(t->manager);
    }
    bth_cond_finish(&t->cond);
    bth_mutex_finish(&t->lock);
    bth_free(t->lease);
    bth_free(t);
}

/* The part that both worlds have. */
static struct berth_ticket *create_empty(struct berth *b) BTH_TSA(no_thread_safety_analysis) {
    struct berth_ticket *t = bth_calloc(1, sizeof(*t));
    struct berth_lease *lease = bth_calloc(1, sizeof(*lease));
    if (!t || !lease) {
        bth_free(t);
        bth_free(lease);
        return NULL;
    }
    t->pid = b->pid;
    t->lease = lease;
    bth_mutex_init(&t->lock, BTH_RANK_result);
    bth_cond_init(&t->cond);
    return t;
}

static struct berth_ticket *create(struct berth *b) {
    struct berth_ticket *t = create_empty(b);
    if (!t) {
        return NULL;
    }
    t->acquire.answered = answered;
    t->manager = b->manager;
    bth_manager_ref(t->manager);
    for (; t->n_devices < b->n_devices; t->n_devices++) {
        t->scheds[t->n_devices] = b->scheds[t->n_devices];
        bth_sched_ref(t->scheds[t->n_devices]);
    }
    return t;
}

static int start(struct berth_ticket *t, const char *model, const struct bth_ask *ask,
                 struct berth_error *err) {
    struct berth_error own = {0};
    int rc = bth_acquire_start(t->manager, model, ask, &t->acquire, &own);
    if (rc == BERTH_ENOTFOUND) { /* a path perhaps */
        const char *full = bth_manager_full_name(t->manager, model, &own);
        rc = full ? bth_acquire_start(t->manager, full, ask, &t->acquire, &own) : own.code;
    }
    return rc < 0 ? bth_error_copy(err, &own) : 0;
}

/* ---- a daemon's ------------------------------------------------------------------------------*/

static int start_remote(struct berth *b, const char *model, const struct berth_acquire_options *o,
                        struct berth_ticket **out, struct berth_error *err) {
    struct berth_ticket *t = create_empty(b);
    if (!t) {
        return bth_error_nomem(err);
    }
    int rc = bth_client_acquire_start(b->client, model, o, &t->remote, err);
    if (rc < 0) {
        destroy(t);
        return rc;
    }
    bth_client_lease_ref(t->remote);
    *out = t;
    return 0;
}

static int wait_remote(struct berth_ticket *t, int64_t deadline, struct berth_lease **out,
                       struct berth_error *err) {
    int rc = bth_client_lease_wait(t->remote, deadline, err);
    if (rc < 0) {
        return rc;
    }
    ticket_lock(t);
    struct berth_lease *taken = t->lease;
    t->lease = NULL;
    ticket_unlock(t);
    if (!taken) {
        return bth_error(err, BERTH_ESTATE, "the lease has been taken from this ticket already");
    }
    *taken = (struct berth_lease){.pid = t->pid, .world = &bth_remote_world, .remote = t->remote};
    *out = taken;
    return 0;
}

static void free_remote(struct berth_ticket *t) {
    ticket_lock(t);
    bool taken = !t->lease;
    ticket_unlock(t);
    if (!taken) {
        bth_client_release(t->remote);
    }
    bth_client_lease_unref(t->remote);
    destroy(t);
}

/* ---- the calls -------------------------------------------------------------------------------*/

BTH_EXPORT int berth_acquire_start(struct berth *b, const char *model,
                                   const struct berth_acquire_options *options,
                                   struct berth_ticket **out, struct berth_error *err) {
    if (!b || !model || !out) {
        return bth_error(err, BERTH_EINVAL,
                         "berth_acquire_start needs a manager, a model and `out`");
    }
    struct berth_acquire_options o;
    struct bth_ask ask;
    int rc = bth_check_pid(b->pid, err);
    rc = rc < 0 ? rc : bth_read_options(options, &o, err);
    if (rc < 0) {
        return rc;
    }
    o.wait_ms = -1;
    if (b->world != &bth_local_world) {
        return start_remote(b, model, &o, out, err);
    }
    ask = bth_ask_of(&o);
    struct berth_ticket *t = create(b);
    if (!t) {
        return bth_error_nomem(err);
    }
    rc = start(t, model, &ask, err);
    if (rc < 0) {
        destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

BTH_EXPORT int berth_ticket_wait(struct berth_ticket *ticket, int64_t timeout_ms,
                                 struct berth_lease **out, struct berth_error *err) {
    if (!ticket || !out) {
        return bth_error(err, BERTH_EINVAL, "berth_ticket_wait needs a ticket and `out`");
    }
    int rc = bth_check_pid(ticket->pid, err);
    if (rc < 0) {
        return rc;
    }
    const int64_t deadline = bth_deadline(bth_now(), timeout_ms);
    if (ticket->remote) {
        return wait_remote(ticket, deadline, out, err);
    }
    struct berth_lease *taken = NULL;
    ticket_lock(ticket);
    while (!ticket->answered && bth_cond_wait(&ticket->cond, &ticket->lock, deadline)) {
    }
    if (!ticket->answered) {
        rc = bth_error(err, BERTH_ETIMEDOUT, "the lease has not been granted yet");
    } else if (ticket->rc < 0) {
        rc = bth_error_copy(err, &ticket->error);
    } else if (!ticket->lease) {
        rc = bth_error(err, BERTH_ESTATE, "the lease has been taken from this ticket already");
    } else {
        taken = ticket->lease;
        ticket->lease = NULL;
    }
    ticket_unlock(ticket);
    if (taken) {
        bth_lease_bind(taken, ticket->acquire.lease, ticket->scheds);
        *out = taken;
    }
    return rc;
}

BTH_EXPORT void berth_ticket_free(struct berth_ticket *ticket) {
    if (!ticket || bth_check_pid(ticket->pid, NULL) < 0) {
        return;
    }
    if (ticket->remote) {
        free_remote(ticket);
        return;
    }
    bth_acquire_cancel(&ticket->acquire);
    ticket_lock(ticket); /* answered by now, and nobody else has the handle any more */
    struct bth_lease *left = ticket->rc == 0 && ticket->lease ? ticket->acquire.lease : NULL;
    ticket_unlock(ticket);
    bth_lease_release(left);
    destroy(ticket);
}

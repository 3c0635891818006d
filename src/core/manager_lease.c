/* Leases: names, acquiring, releasing, waiting for a chance, cleaning up. */
#include "core/manager_private.h"

#include "base/fs.h"
#include <stdio.h>
#include <string.h>

/* ---- names ----------------------------------------------------------------------------------*/

/* A path nobody has named yet becomes a model. */
static int register_path(struct bth_manager *m, const char *path, uint32_t *out,
                         struct berth_error *err) BTH_TSA(no_thread_safety_analysis) {
    char *real;
    const struct berth_engine_ops *ops;
    int rc = bth_registry_probe(&m->registry, path, &real, &ops, err); /* reads constants only */
    if (rc < 0) {
        return rc;
    }
    core_lock(m);
    int64_t known = bth_registry_find_real(&m->registry, real);
    if (known >= 0) {
        *out = (uint32_t)known;
    } else {
        rc = bth_registry_add_path(&m->registry, path, real, ops, err);
        if (rc == 0 && bth_manager_count_model(m, out) < 0) {
            bth_registry_pop(&m->registry);
            rc = bth_error_nomem(err);
        }
    }
    core_unlock(m);
    bth_free(real);
    return rc;
}

/* Registry and state count models alike: an entry's index is the model's. */
int bth_manager_resolve(struct bth_manager *m, const char *name, uint32_t *out,
                        const struct bth_entry **out_entry, struct berth_error *err) {
    uint32_t index = 0;
    int rc = 0;
    core_lock(m);
    int64_t i = bth_registry_find(&m->registry, name);
    if (i < 0) {
        core_unlock(m);
        bool path = bth_is_file(name) || bth_is_dir(name);
        rc = path ? register_path(m, name, &index, err) : 0;
        core_lock(m);
        rc = path ? rc : bth_registry_unknown(&m->registry, name, err);
    } else {
        index = (uint32_t)i;
    }
    if (rc == 0) {
        *out = index;
        *out_entry = m->registry.entries[index];
    }
    core_unlock(m);
    return rc;
}

const struct berth_engine_ops *bth_manager_engine(struct bth_manager *m, const char *name,
                                                  struct berth_error *err) {
    uint32_t model;
    const struct bth_entry *entry = NULL;
    return bth_manager_resolve(m, name, &model, &entry, err) < 0 ? NULL : entry->ops;
}

const char *bth_manager_full_name(struct bth_manager *m, const char *name,
                                  struct berth_error *err) {
    uint32_t model;
    const struct bth_entry *entry = NULL;
    return bth_manager_resolve(m, name, &model, &entry, err) < 0 ? NULL : entry->name;
}

int bth_scope_find_locked(struct bth_manager *m, const char *name, bool families, uint32_t *out,
                          const char **out_name, struct berth_error *err) {
    const struct bth_registry *r = &m->registry;
    const int64_t family = families ? bth_registry_find_family(r, name) : -1;
    if (family >= 0) {
        *out = BTH_FAMILY | (uint32_t)family;
        *out_name = r->families[family];
        return 0;
    }
    const int64_t model = bth_registry_find(r, name);
    if (model < 0) {
        return bth_registry_unknown(r, name, err);
    }
    *out = (uint32_t)model;
    *out_name = r->entries[model]->name;
    return 0;
}

/* A model, a path too, or for exclusive leases and questions a family. */
static int resolve_scope(struct bth_manager *m, const char *name, bool families, uint32_t *out,
                         const char **out_name, struct berth_error *err) EXCLUDES(core) {
    core_lock(m);
    int rc = bth_scope_find_locked(m, name, families, out, out_name, NULL);
    core_unlock(m);
    if (rc == 0) {
        return 0;
    }
    const struct bth_entry *entry = NULL;
    rc = bth_manager_resolve(m, name, out, &entry, err);
    if (rc == 0) {
        *out_name = entry->name;
    }
    return rc;
}

/* ---- leases ---------------------------------------------------------------------------------*/

struct bth_lease *bth_lease_create(struct bth_manager *m, const char *name,
                                   const struct bth_ask *ask) {
    struct bth_lease *lease = bth_calloc(1, sizeof(*lease));
    char *tag = bth_strdup(ask->tag ? ask->tag : "");
    char *holder = bth_strdup(ask->holder ? ask->holder : "");
    if (!lease || !tag || !holder) {
        bth_free(tag);
        bth_free(holder);
        bth_free(lease);
        return NULL;
    }
    lease->manager = m;
    lease->name = name;
    lease->tag = tag;
    lease->holder = holder;
    lease->since = bth_now();
    lease->until = BTH_FOREVER;
    lease->pid = ask->pid;
    lease->tid = ask->tid;
    lease->exclusive = ask->exclusive;
    lease->device = -1;
    return lease;
}

void bth_lease_free(struct bth_lease *lease) {
    if (lease) {
        bth_free(lease->tag);
        bth_free(lease->holder);
        bth_free(lease);
    }
}

void bth_lease_queued_locked(const struct bth_action *a) {
    struct bth_lease *lease = a->arg;
    *(lease->async ? &lease->async->ticket : &lease->waiter->ticket) = a->id;
}

void bth_lease_answer_locked(struct bth_manager *m, const struct bth_action *a) {
    struct bth_lease *lease = a->arg;
    if (!lease) {
        return; /* UNLOAD and CLEANUP: the caller looks itself */
    }
    if (a->kind == BTH_ACT_GRANT) {
        const struct bth_gen *g = bth_table_get(&m->state.gens, a->gen);
        bth_happened_lease_locked(m, BTH_HAPPENED_GRANT, lease, NULL);
        lease->id = a->id;
        lease->since = m->state.now;
        lease->device = g ? (int)g->device : -1;
        m->refs++; /* the lease's */
    }
    if (lease->async) {
        bth_acquire_answer_locked(m, lease, a);
        return;
    }
    struct bth_waiter *w = lease->waiter;
    w->rc = a->kind == BTH_ACT_GRANT ? 0 : bth_manager_refusal_locked(m, a, &w->error);
    if (w->rc < 0) {
        bth_happened_lease_locked(m, BTH_HAPPENED_REFUSE, lease, &w->error);
    }
    lease->waiter = NULL;
    w->done = true;
    bth_cond_signal(&w->cond);
}

struct bth_event bth_ask_event(const struct bth_ask *ask, uint32_t scope, struct bth_lease *lease) {
    return (struct bth_event){.kind = BTH_EV_ACQUIRE,
                              .scope = scope,
                              .exclusive = ask->exclusive,
                              .max_concurrent = ask->max_concurrent,
                              .priority = ask->priority,
                              .owner = ask->owner,
                              .expires = ask->deadline,
                              .arg = lease};
}

/* The step decides: whoever is granted at the last moment has been granted. */
static void wait_for_answer(struct bth_manager *m, const struct bth_event *event,
                            struct bth_waiter *w) EXCLUDES(core) {
    core_lock(m);
    m->refs++; /* this call's: the manager may be destroyed while we wake up */
    bth_manager_step_locked(m, event);
    if (m->actions.n == 0) {
        w->done = true;
        w->rc = bth_error_nomem(&w->error);
    }
    while (!w->done) {
        if (!bth_cond_wait(&w->cond, &m->lock, event->expires)) {
            bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK, .id = w->ticket});
        }
    }
    bth_manager_leave_unref(m);
}

int bth_manager_lease(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                      struct bth_lease **out, struct berth_error *err) {
    uint32_t scope = 0;
    const char *full = NULL;
    int rc = resolve_scope(m, name, ask->exclusive, &scope, &full, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_lease *lease = bth_lease_create(m, full, ask);
    if (!lease) {
        return bth_error_nomem(err);
    }
    struct bth_waiter w = {.done = false};
    const struct bth_event event = bth_ask_event(ask, scope, lease);
    lease->waiter = &w;
    bth_cond_init(&w.cond);
    wait_for_answer(m, &event, &w);
    bth_cond_finish(&w.cond);
    if (w.rc < 0) {
        bth_lease_free(lease);
        return bth_error_copy(err, &w.error);
    }
    *out = lease;
    return 0;
}

void bth_lease_release(struct bth_lease *lease) {
    if (!lease) {
        return;
    }
    struct bth_manager *m = lease->manager;
    core_lock(m);
    const struct bth_lease_row *row = bth_table_get(&m->state.leases, lease->id);
    struct bth_history *holds = row ? bth_manager_holds_locked(m, row->scope) : NULL;
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_RELEASE, .id = lease->id});
    const int64_t held = m->state.now - lease->since;
    if (holds) {
        bth_history_add(holds, held);
    }
    bth_histogram_add(&m->sums.hold, held);
    bth_manager_leave_unref(m);
    bth_lease_free(lease);
}

const char *bth_lease_name(const struct bth_lease *lease) {
    return lease->name;
}

int bth_lease_device(const struct bth_lease *lease) {
    return lease->device;
}

bool bth_lease_is_revoked(const struct bth_lease *lease) {
    return atomic_load_explicit(&lease->revoked, memory_order_relaxed);
}

void bth_lease_until(struct bth_lease *lease, int64_t until) {
    core_lock(lease->manager);
    lease->until = until;
    core_unlock(lease->manager);
}

void bth_lease_revoke(struct bth_lease *lease) {
    core_lock(lease->manager);
    bth_manager_step_locked(lease->manager,
                            &(struct bth_event){.kind = BTH_EV_REVOKE, .id = lease->id});
    core_unlock(lease->manager);
}

int bth_manager_revoke(struct bth_manager *m, uint64_t id, struct berth_error *err) {
    core_lock(m);
    const struct bth_lease_row *l = bth_table_get(&m->state.leases, id);
    int rc = l && l->state == BTH_LEASE_HELD
                 ? 0
                 : bth_error(err, BERTH_ELOST, "there is no such lease, or no more");
    if (rc == 0) {
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_REVOKE, .id = id});
    }
    core_unlock(m);
    return rc;
}

int bth_manager_pin(struct bth_manager *m, const char *name, bool more, struct berth_error *err) {
    uint32_t model = 0;
    const char *full;
    core_lock(m);
    int rc = bth_scope_find_locked(m, name, false, &model, &full, err);
    if (rc == 0) {
        bth_state_pin(&m->state, model, more);
        bth_trace_pin(&m->trace, model, more);
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
        bth_cond_broadcast(&m->work); /* loaders that had no time to watch */
    }
    core_unlock(m);
    return rc;
}

/* ---- owners, chances, usage -----------------------------------------------------------------*/

uint64_t bth_manager_owner(struct bth_manager *m) {
    return 1 + atomic_fetch_add_explicit(&m->owners, 1, memory_order_relaxed);
}

static bool is_disabled_locked(const struct bth_manager *m, uint32_t scope) REQUIRES(core) {
    return !(scope & BTH_FAMILY) && m->state.models[scope].disabled;
}

int bth_manager_wait_available(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                               struct berth_error *err) {
    uint32_t scope = 0;
    const char *full = NULL;
    int rc = resolve_scope(m, name, true, &scope, &full, err);
    if (rc < 0) {
        return rc;
    }
    core_lock(m);
    m->refs++;
    m->watchers++;
    bool there = false, in_time = true;
    while (!is_disabled_locked(m, scope) &&
           !(there = bth_state_is_available(&m->state, scope, ask->owner, ask->max_concurrent)) &&
           in_time && !m->state.closing) {
        in_time = bth_cond_wait(&m->changed, &m->lock, ask->deadline);
    }
    m->watchers--;
    if (is_disabled_locked(m, scope)) {
        const struct bth_action a = {
            .code = BERTH_EDISABLED, .reason = BTH_REASON_DISABLED, .scope = scope};
        rc = bth_manager_refusal_locked(m, &a, err);
    } else if (m->state.closing) {
        rc = bth_error(err, BERTH_ESHUTDOWN, "%s: closing, no new leases are given", full);
    } else if (!there) {
        rc = bth_error(err, BERTH_ETIMEDOUT,
                       "%s: others held as many leases as that, or an exclusive, until the time "
                       "was up; try again or wait longer",
                       full);
    }
    bth_manager_leave_unref(m);
    return rc;
}

void bth_manager_usage(struct bth_manager *m, struct berth_usage *out) {
    *out = (struct berth_usage){0};
    core_lock(m);
    out->n_families = m->registry.n_families;
    snprintf(out->device, sizeof(out->device), "%s", m->devices[0]->name);
    for (uint32_t i = 0; i < out->n_families; i++) {
        snprintf(out->families[i].family, sizeof(out->families[i].family), "%s",
                 m->registry.families[i]);
        out->families[i].leases = m->state.families[i].held;
    }
    const struct bth_table *gens = &m->state.gens;
    for (struct bth_gen *g = bth_table_next(gens, NULL); g; g = bth_table_next(gens, g)) {
        out->families[m->state.models[g->model].family].ready |= g->inst == BTH_READY;
    }
    core_unlock(m);
}

/* ---- clean-up -------------------------------------------------------------------------------*/

static uint64_t charged_locked(const struct bth_manager *m) REQUIRES(core) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->n_devices; i++) {
        const struct bth_ledger *d = &m->state.devices[i];
        sum += d->reserved + d->committed + d->freeing + d->residual;
    }
    return sum;
}

/* Of those that there were at `seq`, replicas not counted: */
static uint64_t gens_locked(const struct bth_manager *m, uint64_t seq) REQUIRES(core) {
    const struct bth_table *gens = &m->state.gens;
    uint64_t n = 0;
    for (struct bth_gen *g = bth_table_next(gens, NULL); g; g = bth_table_next(gens, g)) {
        n += g->seq <= seq && g->of == 0;
    }
    return n;
}

static uint64_t held_locked(const struct bth_manager *m, uint64_t seq) REQUIRES(core) {
    const struct bth_table *leases = &m->state.leases;
    uint64_t n = 0;
    struct bth_lease_row *l;
    for (l = bth_table_next(leases, NULL); l; l = bth_table_next(leases, l)) {
        n += l->state == BTH_LEASE_HELD && l->seq <= seq;
    }
    return n;
}

static uint64_t held_by_locked(const struct bth_manager *m, uint64_t owner) REQUIRES(core) {
    const struct bth_table *leases = &m->state.leases;
    uint64_t n = 0;
    struct bth_lease_row *l;
    for (l = owner ? bth_table_next(leases, NULL) : NULL; l; l = bth_table_next(leases, l)) {
        n += l->state == BTH_LEASE_HELD && l->owner == owner;
    }
    return n;
}

static void finish_locked(struct bth_manager *m, struct bth_cleanup *c) REQUIRES(core) {
    c->report.forced = m->revocations > c->own;
    c->report.leases_revoked = m->revocations - c->before;
    c->report.models_unloaded = c->gens - gens_locked(m, c->seq);
    c->report.bytes_after = charged_locked(m);
}

static int begin_locked(struct bth_manager *m, uint64_t owner, int64_t deadline,
                        struct bth_cleanup *c, struct berth_error *err) REQUIRES(core) {
    *c = (struct bth_cleanup){.seq = m->state.last_seq,
                              .before = m->revocations,
                              .end = deadline == BTH_FOREVER ? deadline
                                                             : deadline + BTH_REVOKE_GRACE_NS,
                              .report = {.bytes_before = charged_locked(m)}};
    c->gens = gens_locked(m, c->seq);
    c->own = c->before + held_by_locked(m, owner); /* revoked at once, which is no force */
    bth_manager_step_locked(
        m, &(struct bth_event){.kind = BTH_EV_CLEANUP, .owner = owner, .expires = deadline});
    if (m->actions.n > 0 && m->actions.items[0].reason == BTH_REASON_MEMORY) {
        return bth_error_nomem(err);
    }
    c->report.leases_waited_for = held_locked(m, c->seq);
    return 0;
}

/* Revokes what is due; whether all that was meant has gone, or the end has come. */
static bool ended_locked(struct bth_manager *m, const struct bth_cleanup *c) REQUIRES(core) {
    if (bth_now() >= bth_state_next_deadline(&m->state)) {
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
    }
    return !bth_state_outlives(&m->state, c->seq) || bth_now() >= c->end;
}

int bth_manager_cleanup(struct bth_manager *m, uint64_t owner, int64_t deadline,
                        struct berth_cleanup_report *out, struct berth_error *err) {
    struct bth_cleanup c;
    core_lock(m);
    m->refs++;
    int rc = begin_locked(m, owner, deadline, &c, err);
    m->watchers++;
    while (rc == 0 && !ended_locked(m, &c)) {
        bth_cond_wait(&m->changed, &m->lock, BTH_MIN(bth_state_next_deadline(&m->state), c.end));
    }
    m->watchers--;
    if (rc == 0) {
        finish_locked(m, &c);
        *out = c.report;
    }
    bth_manager_leave_unref(m);
    return rc;
}

int bth_manager_cleanup_start(struct bth_manager *m, uint64_t owner, int64_t deadline,
                              struct bth_cleanup *out, struct berth_error *err) {
    core_lock(m);
    int rc = begin_locked(m, owner, deadline, out, err);
    core_unlock(m);
    return rc;
}

bool bth_manager_cleanup_ended(struct bth_manager *m, struct bth_cleanup *c) {
    core_lock(m);
    bool ended = ended_locked(m, c);
    if (ended) {
        finish_locked(m, c);
    }
    core_unlock(m);
    return ended;
}

#include "core/manager_private.h"

#include "base/fs.h"
#include <assert.h>
#include <string.h>

/* ---- actions --------------------------------------------------------------------------------*/

static void answer_waiter_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core) {
    struct bth_lease *lease = a->arg;
    if (!lease) {
        return; /* bth_manager_unload looks itself */
    }
    if (a->kind == BTH_ACT_GRANT) {
        const struct bth_gen *g = bth_table_get(&m->state.gens, a->gen);
        lease->id = a->id;
        lease->device = (int)g->device;
        m->refs++; /* the lease's */
    }
    if (lease->async) {
        bth_acquire_answer_locked(m, lease, a);
        return;
    }
    struct bth_waiter *w = lease->waiter;
    w->rc = a->kind == BTH_ACT_GRANT ? 0 : bth_manager_refusal_locked(m, a, &w->error);
    lease->waiter = NULL;
    w->done = true;
    bth_cond_signal(&w->cond);
}

static void carry_out_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core) {
    switch (a->kind) {
    case BTH_ACT_GRANT:
    case BTH_ACT_REFUSE:
        answer_waiter_locked(m, a);
        break;
    case BTH_ACT_USE_OPENED:
    case BTH_ACT_USE_RUN:
    case BTH_ACT_USE_REFUSED:
        bth_use_answer_locked(m, a);
        break;
    case BTH_ACT_USE_CANCEL: /* its lease's holder is told, or has let its requests go already */
        m->cut_short = true;
        break;
    case BTH_ACT_REVOKED:
        m->cut_short = true;
        if (m->revoked) {
            m->revoked(m->arg, a->arg);
        }
        break;
    case BTH_ACT_WORK:
        bth_cond_signal(&m->work);
        break;
    case BTH_ACT_DEAD:
        bth_cond_broadcast(&m->changed);
        break;
    case BTH_ACT_QUEUED:
        if (((struct bth_lease *)a->arg)->async) {
            ((struct bth_lease *)a->arg)->async->ticket = a->id;
        }
        break;
    case BTH_ACT_GROWN:
        break;
    }
}

void bth_manager_step_locked(struct bth_manager *m, const struct bth_event *event) {
    assert(bth_mutex_held(&m->lock));
    bth_step(&m->state, event, bth_now(), &m->actions);
    for (size_t i = 0; i < m->actions.n; i++) {
        carry_out_locked(m, &m->actions.items[i]);
    }
}

bool bth_manager_grow(struct bth_manager *m, struct berth_reservation *r,
                      const struct bth_event *event) {
    bool grown = false;
    core_lock(m);
    bth_manager_step_locked(m, event);
    for (size_t i = 0; i < m->actions.n; i++) {
        grown |= m->actions.items[i].kind == BTH_ACT_GROWN;
    }
    if (grown) {
        atomic_fetch_add_explicit(&r->limit_bytes, event->bytes, memory_order_relaxed);
    }
    core_unlock(m);
    return grown;
}

/* ---- life -----------------------------------------------------------------------------------*/

static void manager_free(struct bth_manager *m) BTH_TSA(no_thread_safety_analysis) {
    while (m->leaked) {
        struct bth_instance *next = m->leaked->next;
        bth_free(m->leaked);
        m->leaked = next;
    }
    bth_registry_finish(&m->registry);
    bth_state_finish(&m->state);
    bth_actions_finish(&m->actions);
    bth_cond_finish(&m->work);
    bth_cond_finish(&m->changed);
    bth_mutex_finish(&m->lock);
    bth_free(m);
}

void bth_manager_leave_unref(struct bth_manager *m) {
    bool last = --m->refs == 0;
    core_unlock(m);
    if (last) {
        manager_free(m);
    }
}

static int add_models(struct bth_manager *m, const struct bth_manager_config *config,
                      struct berth_error *err) BTH_TSA(no_thread_safety_analysis) {
    int rc = bth_registry_init(&m->registry, config->engines, config->n_engines, err);
    for (size_t i = 0; rc == 0 && i < config->n_models; i++) {
        uint32_t index;
        rc = bth_registry_add(&m->registry, &config->models[i], err);
        if (rc == 0 && bth_state_add_model(&m->state, NULL, &index) < 0) {
            rc = bth_error_nomem(err);
        }
    }
    return rc;
}

static void stop_loaders(struct bth_manager *m, size_t n) {
    core_lock(m);
    m->stop = true;
    bth_cond_broadcast(&m->work);
    core_unlock(m);
    for (size_t i = 0; i < n; i++) {
        bth_thread_join(&m->loaders[i]);
    }
}

static int start_loaders(struct bth_manager *m, struct berth_error *err) {
    for (size_t i = 0; i < BTH_LOADERS; i++) {
        if (bth_thread_start(&m->loaders[i], "berth-load", bth_manager_loader_main, m) < 0) {
            stop_loaders(m, i);
            return bth_error_nomem(err);
        }
    }
    return 0;
}

int bth_manager_create(const struct bth_manager_config *config, struct bth_manager **out,
                       struct berth_error *err) BTH_TSA(no_thread_safety_analysis) {
    if (config->n_devices < 1 || config->n_devices > BTH_MAX_DEVICES) {
        return bth_error(err, BERTH_EINVAL, "%zu devices: between 1 and %d are possible",
                         config->n_devices, BTH_MAX_DEVICES);
    }
    struct bth_manager *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    bth_mutex_init(&m->lock, BTH_RANK_core);
    bth_cond_init(&m->work);
    bth_cond_init(&m->changed);
    m->refs = 1;
    m->revoked = config->revoked;
    m->arg = config->arg;
    m->n_devices = (uint32_t)config->n_devices;
    memcpy(m->devices, config->devices, config->n_devices * sizeof(m->devices[0]));
    bth_state_init(&m->state, config->budgets, m->n_devices);
    int rc = add_models(m, config, err);
    rc = rc < 0 ? rc : start_loaders(m, err);
    if (rc < 0) {
        manager_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

int bth_manager_drain(struct bth_manager *m, int64_t deadline, struct berth_error *err) {
    core_lock(m);
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_CLOSE, .expires = deadline});
    while (!bth_state_empty(&m->state)) {
        if (!bth_cond_wait(&m->changed, &m->lock, bth_state_next_deadline(&m->state))) {
            bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
        }
    }
    bool cut_short = m->cut_short;
    core_unlock(m);
    return cut_short
               ? bth_error(err, BERTH_ETIMEDOUT,
                           "closed before all had finished: leases or requests were cut short")
               : 0;
}

void bth_manager_destroy(struct bth_manager *m) {
    if (!m) {
        return;
    }
    bth_manager_drain(m, 0, NULL); /* nothing, if it was drained */
    stop_loaders(m, BTH_LOADERS);
    for (uint32_t i = 0; i < m->n_devices; i++) {
        m->devices[i]->ops->close(m->devices[i]);
    }
    core_lock(m);
    bth_manager_leave_unref(m);
}

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
        if (rc == 0 && bth_state_add_model(&m->state, NULL, out) < 0) {
            bth_registry_pop(&m->registry);
            rc = bth_error_nomem(err);
        }
    }
    core_unlock(m);
    bth_free(real);
    return rc;
}

/* Registry and state count models alike: an entry's index is the model's. */
static int resolve(struct bth_manager *m, const char *name, uint32_t *out,
                   const struct bth_entry **out_entry, struct berth_error *err) EXCLUDES(core) {
    core_lock(m);
    int64_t i = bth_registry_find(&m->registry, name);
    core_unlock(m);
    int rc = 0;
    if (i >= 0) {
        *out = (uint32_t)i;
    } else if (bth_is_file(name) || bth_is_dir(name)) {
        rc = register_path(m, name, out, err);
    } else {
        core_lock(m);
        rc = bth_registry_unknown(&m->registry, name, err);
        core_unlock(m);
    }
    if (rc == 0) {
        core_lock(m);
        *out_entry = m->registry.entries[*out];
        core_unlock(m);
    }
    return rc;
}

const struct berth_engine_ops *bth_manager_engine(struct bth_manager *m, const char *name,
                                                  struct berth_error *err) {
    uint32_t model;
    const struct bth_entry *entry = NULL;
    return resolve(m, name, &model, &entry, err) < 0 ? NULL : entry->ops;
}

/* ---- leases ---------------------------------------------------------------------------------*/

struct bth_lease *bth_lease_create(struct bth_manager *m, const struct bth_entry *entry,
                                   const char *tag) {
    struct bth_lease *lease = bth_calloc(1, sizeof(*lease));
    char *copy = bth_strdup(tag ? tag : "");
    if (!lease || !copy) {
        bth_free(copy);
        bth_free(lease);
        return NULL;
    }
    *lease = (struct bth_lease){.manager = m, .entry = entry, .tag = copy};
    return lease;
}

void bth_lease_free(struct bth_lease *lease) {
    if (lease) {
        bth_free(lease->tag);
        bth_free(lease);
    }
}

/* The step decides: whoever is granted at the last moment has been granted. */
static void wait_for_answer(struct bth_manager *m, uint32_t model, int64_t deadline,
                            struct bth_lease *lease) EXCLUDES(core) {
    struct bth_waiter *w = lease->waiter;
    core_lock(m);
    m->refs++; /* this call's: the manager may be destroyed while we wake up */
    bth_manager_step_locked(
        m, &(struct bth_event){
               .kind = BTH_EV_ACQUIRE, .model = model, .expires = deadline, .arg = lease});
    if (m->actions.n == 0) {
        w->done = true;
        w->rc = bth_error_nomem(&w->error);
    }
    while (!w->done) {
        if (!bth_cond_wait(&w->cond, &m->lock, deadline)) {
            bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
        }
    }
    bth_manager_leave_unref(m);
}

int bth_manager_acquire(struct bth_manager *m, const char *name, const char *tag, int64_t deadline,
                        struct bth_lease **out, struct berth_error *err) {
    uint32_t model;
    const struct bth_entry *entry = NULL;
    int rc = resolve(m, name, &model, &entry, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_lease *lease = bth_lease_create(m, entry, tag);
    if (!lease) {
        return bth_error_nomem(err);
    }
    struct bth_waiter w = {.done = false};
    lease->waiter = &w;
    bth_cond_init(&w.cond);
    wait_for_answer(m, model, deadline, lease);
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
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_RELEASE, .id = lease->id});
    bth_manager_leave_unref(m);
    bth_lease_free(lease);
}

const char *bth_lease_name(const struct bth_lease *lease) {
    return lease->entry->name;
}

int bth_lease_device(const struct bth_lease *lease) {
    return lease->device;
}

/* ---- unload ---------------------------------------------------------------------------------*/

bool bth_manager_still_there_locked(const struct bth_manager *m, uint32_t model, uint64_t serial) {
    const struct bth_table *gens = &m->state.gens;
    for (struct bth_gen *g = bth_table_next(gens, NULL); g; g = bth_table_next(gens, g)) {
        if (g->model == model && g->serial <= serial) {
            return true;
        }
    }
    return false;
}

int bth_manager_unload(struct bth_manager *m, const char *name, int64_t deadline,
                       struct berth_error *err) {
    uint32_t model;
    const struct bth_entry *entry = NULL;
    int rc = resolve(m, name, &model, &entry, err);
    if (rc < 0) {
        return rc;
    }
    core_lock(m);
    m->refs++;
    uint64_t serial = m->state.models[model].serial;
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_UNLOAD, .model = model});
    if (m->actions.n > 0 && m->actions.items[0].reason == BTH_REASON_MEMORY) {
        rc = bth_error_nomem(err);
    }
    bool in_time = true;
    while (rc == 0 && in_time && bth_manager_still_there_locked(m, model, serial)) {
        in_time = bth_cond_wait(&m->changed, &m->lock, deadline);
    }
    if (rc == 0 && bth_manager_still_there_locked(m, model, serial)) {
        rc = bth_error(err, BERTH_ETIMEDOUT,
                       "%s: still in use, unloads when its last lease and request have ended",
                       entry->name);
    }
    bth_manager_leave_unref(m);
    return rc;
}

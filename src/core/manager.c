#include "core/manager_private.h"

#include <assert.h>
#include <string.h>

/* ---- actions --------------------------------------------------------------------------------*/

static void carry_out_locked(struct bth_manager *m, const struct bth_action *a) REQUIRES(core) {
    switch (a->kind) {
    case BTH_ACT_GRANT:
    case BTH_ACT_REFUSE:
        bth_lease_answer_locked(m, a);
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
        m->revocations++;
        bth_happened_lease_locked(m, BTH_HAPPENED_REVOKE, a->arg, NULL);
        atomic_store_explicit(&((struct bth_lease *)a->arg)->revoked, true, memory_order_relaxed);
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
        bth_lease_queued_locked(a);
        break;
    case BTH_ACT_LOST:
        bth_instance_lost_locked(m, a);
        break;
    case BTH_ACT_GROWN:
    case BTH_ACT_USE_LOST: /* the scheduler ends what ran on the device */
        break;
    }
}

void bth_manager_step_locked(struct bth_manager *m, const struct bth_event *event) {
    assert(bth_mutex_held(&m->lock));
    bth_step(&m->state, event, bth_now(), &m->actions);
    for (size_t i = 0; i < m->actions.n; i++) {
        carry_out_locked(m, &m->actions.items[i]);
    }
    if (m->watchers > 0) { /* they look again themselves */
        bth_cond_broadcast(&m->changed);
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
    bth_free(m->happenings);
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

void bth_manager_ref(struct bth_manager *m) {
    core_lock(m);
    m->refs++;
    core_unlock(m);
}

void bth_manager_unref(struct bth_manager *m) {
    core_lock(m);
    bth_manager_leave_unref(m);
}

int bth_manager_count_model(struct bth_manager *m, uint32_t *out) {
    const struct bth_registry *r = &m->registry;
    return bth_state_add_model(&m->state, NULL, r->entries[r->n - 1]->family, out);
}

static int64_t keep_alive_of(const struct berth_model_spec *spec) {
    return spec->keep_alive_s ? (int64_t)spec->keep_alive_s * BTH_NS_PER_S : BTH_FOREVER;
}

static void keep_locked(struct bth_manager *m, uint32_t model, const struct berth_model_spec *spec)
    REQUIRES(core) {
    bth_state_keep(&m->state, model, keep_alive_of(spec), spec->pin);
    bth_manager_say_locked(m, model, spec->disabled);
    m->state.models[model].most = spec->replicas;
}

static int add_locked(struct bth_manager *m, const struct berth_model_spec *spec, const char *real,
                      struct berth_error *err) REQUIRES(core) {
    uint32_t index;
    int rc = bth_registry_add(&m->registry, spec, real, err);
    if (rc == 0 && bth_manager_count_model(m, &index) < 0) {
        bth_registry_pop(&m->registry);
        rc = bth_error_nomem(err);
    }
    if (rc == 0) {
        keep_locked(m, index, spec);
    }
    return rc;
}

static int add_models(struct bth_manager *m, const struct bth_manager_config *config,
                      struct berth_error *err) BTH_TSA(no_thread_safety_analysis) {
    int rc = bth_registry_init(&m->registry, config->engines, config->n_engines, err);
    for (size_t i = 0; rc == 0 && i < config->n_models; i++) {
        const struct berth_model_spec *spec = &config->models[i];
        char *real = NULL;
        rc = spec->path ? bth_registry_real(spec->path, &real, err) : 0;
        core_lock(m);
        rc = rc < 0 ? rc : add_locked(m, spec, real, err);
        if (rc == 0) {
            m->registry.entries[i]->configured = i >= config->n_given;
        }
        core_unlock(m);
        bth_free(real);
    }
    return rc;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static enum bth_news compare_locked(const struct bth_manager *m, uint32_t model,
                                    const struct berth_model_spec *spec) REQUIRES(core) {
    const struct bth_entry *e = m->registry.entries[model];
    const struct bth_model *known = &m->state.models[model];
    if (!same_text(e->path, spec->path) || !same_text(e->alias, spec->alias) ||
        (spec->engine && strcmp(e->ops->family, spec->engine) != 0)) {
        return BTH_NEWS_DIFFERS;
    }
    return known->pinned == spec->pin && known->keep_alive == keep_alive_of(spec) &&
                   known->most == spec->replicas && e->disabled == spec->disabled
               ? BTH_NEWS_SAME
               : BTH_NEWS_KEPT_OTHERWISE;
}

int bth_manager_configure(struct bth_manager *m, const struct berth_model_spec *spec, bool dry,
                          enum bth_news *out, struct berth_error *err) {
    char *real;
    int rc = bth_registry_real(spec->path, &real, err);
    if (rc < 0) {
        return rc;
    }
    core_lock(m);
    const int64_t known = bth_registry_find(&m->registry, spec->name);
    if (known < 0) {
        *out = BTH_NEWS_ADDED;
        if (!dry) {
            const int64_t again = bth_manager_again_locked(m, spec);
            rc = again < 0 ? add_locked(m, spec, real, err) : 0;
            const size_t index = again < 0 ? m->registry.n - 1 : (size_t)again;
            if (rc == 0) {
                m->registry.entries[index]->configured = true;
                keep_locked(m, (uint32_t)index, spec);
            }
        }
    } else {
        *out = compare_locked(m, (uint32_t)known, spec);
        if (!dry && *out == BTH_NEWS_KEPT_OTHERWISE) {
            keep_locked(m, (uint32_t)known, spec);
            bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
        }
    }
    core_unlock(m);
    bth_free(real);
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

/* Devices are of one kind when a model does the same on them, to the bit: one backend, and by its
 * own words one kind of hardware. */
static void tell_kinds(struct bth_manager *m) BTH_TSA(no_thread_safety_analysis) {
    for (uint32_t i = 0; i < m->n_devices; i++) {
        uint32_t kind = 0;
        while (m->devices[kind]->ops != m->devices[i]->ops ||
               strcmp(m->devices[kind]->description, m->devices[i]->description) != 0) {
            kind++;
        }
        m->state.devices[i].kind = kind;
    }
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
    m->n_spare = (uint32_t)config->n_spare;
    memcpy(m->devices, config->devices, config->n_devices * sizeof(m->devices[0]));
    bth_state_init(&m->state, config->budgets, m->n_devices);
    tell_kinds(m);
    m->happenings = bth_calloc(BTH_HAPPENINGS, sizeof(*m->happenings));
    int rc = m->happenings ? add_models(m, config, err) : bth_error_nomem(err);
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
    m->cut_short &= m->state.closing; /* what a clean-up has revoked does not count */
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
    bth_manager_close_devices(m);
    core_lock(m);
    bth_manager_leave_unref(m);
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
    int rc = bth_manager_resolve(m, name, &model, &entry, err);
    if (rc < 0) {
        return rc;
    }
    core_lock(m);
    m->refs++;
    uint64_t serial = m->state.models[model].serial;
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_UNLOAD, .scope = model});
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

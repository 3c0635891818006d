/*
 * The lock around the step, and what its actions mean: waking waiters, loading, unloading, telling the
 * scheduler.
 */
#include "core/manager.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/reservation.h"
#include "base/sync.h"
#include "core/registry.h"
#include "core/step.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LOADERS = 2 };

struct bth_manager {
    struct bth_mutex lock;
    struct bth_state state GUARDED_BY(core);
    struct bth_list jobs GUARDED_BY(core);      /* LOAD and FREE actions for the loaders */
    struct bth_instance *spare GUARDED_BY(core); /* memory for the next instance */
    int refs GUARDED_BY(core);                  /* the owner's, and one for each lease */
    bool stopping GUARDED_BY(core);
    struct bth_cond work;    /* jobs, or stopping */
    struct bth_cond changed; /* an instance has gone, or a lease */
    struct bth_thread loaders[LOADERS];
    struct berth_device *devices[BTH_MAX_DEVICES];
    int n_devices;
    const struct berth_engine_ops *const *engines;
    size_t n_engines;
    void (*revoked)(void *arg, struct bth_lease *lease);
    void *arg;
};

BTH_LOCK(manager, struct bth_manager, lock, core)

struct bth_lease {
    struct bth_manager *manager;
    struct bth_lease_state state; /* the step's */
    char name[64];
    int device;
};

/* A caller in bth_manager_acquire. */
struct waiter {
    struct bth_ticket ticket;
    struct bth_cond answered;
    int rc; /* of the answer; 1: none yet */
};

/* ---- events and actions ---- */

static int grow_use(struct berth_reservation *r, size_t more, struct berth_error *err);

static void perform(struct bth_manager *m, struct bth_action *a) REQUIRES(core);
static void perform(struct bth_manager *m, struct bth_action *a) {
    struct waiter *w;
    struct bth_use *use;
    switch (a->kind) {
    case BTH_ACT_GRANT:
    case BTH_ACT_REFUSE:
        w = BTH_CONTAINER(a->object, struct waiter, ticket);
        w->rc = a->kind == BTH_ACT_GRANT ? 0 : w->ticket.error.code;
        bth_cond_signal(&w->answered);
        break;
    case BTH_ACT_LOAD:
    case BTH_ACT_FREE:
        bth_list_append(&m->jobs, &a->link);
        bth_cond_signal(&m->work);
        break;
    case BTH_ACT_USE_GRANT:
        use = BTH_CONTAINER(a->object, struct bth_use, state);
        bth_reservation_init(&use->reservation, BERTH_BYTES_SESSION, use->state.bytes);
        use->reservation.grow = grow_use;
        use->granted(use, 0, NULL);
        break;
    case BTH_ACT_USE_REFUSE:
        use = BTH_CONTAINER(a->object, struct bth_use, state);
        use->granted(use, use->state.error.code, &use->state.error);
        break;
    case BTH_ACT_REVOKE:
        if (m->revoked) {
            m->revoked(m->arg, BTH_CONTAINER(a->object, struct bth_lease, state));
        }
        break;
    case BTH_ACT_NONE:
        break;
    }
}

/* Runs the step on an event and everything that follows from it. */
static int happen_locked(struct bth_manager *m, struct bth_event ev) REQUIRES(core);
static int happen_locked(struct bth_manager *m, struct bth_event ev) {
    assert(bth_mutex_held(&m->lock));
    struct bth_list out;
    bool wants_spare;
    bth_list_init(&out);
    if (!m->spare) {
        m->spare = bth_calloc(1, sizeof(*m->spare));
    }
    ev.spare = m->spare;
    int rc = bth_step(&m->state, &ev, bth_now(), &out, &wants_spare);
    m->spare = ev.spare;
    for (struct bth_list *l; (l = bth_list_first(&out));) {
        bth_list_remove(l);
        perform(m, BTH_CONTAINER(l, struct bth_action, link));
    }
    return rc;
}

static int happen(struct bth_manager *m, struct bth_event ev) EXCLUDES(core);
static int happen(struct bth_manager *m, struct bth_event ev) {
    manager_lock(m);
    int rc = happen_locked(m, ev);
    manager_unlock(m);
    return rc;
}

/* ---- loading and unloading, on the loader threads ---- */

/* More bytes for weights or workspace than were estimated. */
static int grow_instance(struct berth_reservation *r, size_t more, struct berth_error *err) {
    struct bth_manager *m = r->owner;
    struct bth_instance *i = r->kind == BERTH_BYTES_WEIGHTS
                                 ? BTH_CONTAINER(r, struct bth_instance, weights)
                                 : BTH_CONTAINER(r, struct bth_instance, workspace);
    int rc = happen(m, (struct bth_event){.kind = BTH_EV_GROW, .instance = i, .bytes = more});
    if (rc < 0) {
        return bth_error(err, rc, "%s needs %.1f MB more than was estimated, and the budget has no room",
                         i->model->name, (double)more / 1e6);
    }
    atomic_fetch_add_explicit(&r->limit_bytes, more, memory_order_relaxed);
    return 0;
}

static void prepare_reservation(struct bth_manager *m, struct berth_reservation *r,
                                enum berth_bytes_kind kind, size_t bytes) {
    bth_reservation_init(r, kind, bytes);
    r->grow = grow_instance;
    r->owner = m;
}

static void run_load(struct bth_manager *m, struct bth_instance *i) {
    const struct bth_model_entry *e = i->model;
    prepare_reservation(m, &i->weights, BERTH_BYTES_WEIGHTS, e->estimate.weights_bytes);
    prepare_reservation(m, &i->workspace, BERTH_BYTES_WORKSPACE,
                        i->bytes - e->estimate.weights_bytes);
    const struct berth_load load = {.path = e->path,
                                    .device = m->devices[i->device],
                                    .weights = &i->weights,
                                    .workspace = &i->workspace};
    i->error = (struct berth_error){0};
    int rc = e->engine->load(&load, &i->handle, &i->error);
    uint64_t held = bth_reservation_used(&i->weights) + bth_reservation_used(&i->workspace);
    happen(m, (struct bth_event){
                  .kind = BTH_EV_LOAD_DONE, .instance = i, .rc = rc, .bytes = rc < 0 ? 0 : held});
    if (rc < 0) {
        bth_free(i);
    }
}

static void run_free(struct bth_manager *m, struct bth_instance *i) {
    i->model->engine->unload(i->handle);
    uint64_t left = bth_reservation_used(&i->weights) + bth_reservation_used(&i->workspace);
    happen(m, (struct bth_event){.kind = BTH_EV_FREE_DONE, .instance = i, .bytes = left});
    bth_free(i);
}

static void *loader_main(void *arg) {
    struct bth_manager *m = arg;
    manager_lock(m);
    for (;;) {
        struct bth_list *l = bth_list_first(&m->jobs);
        if (!l) {
            if (m->stopping) {
                break;
            }
            bth_cond_wait(&m->work, &m->lock, BTH_FOREVER);
            continue;
        }
        bth_list_remove(l);
        struct bth_action *a = BTH_CONTAINER(l, struct bth_action, link);
        manager_unlock(m);
        (a->kind == BTH_ACT_LOAD ? run_load : run_free)(m, a->object);
        manager_lock(m);
        bth_cond_broadcast(&m->changed);
    }
    manager_unlock(m);
    return NULL;
}

/* ---- create and destroy ---- */

static const struct berth_engine_ops *engine_of(const struct bth_manager *m, const char *name) {
    for (size_t i = 0; i < m->n_engines; i++) {
        size_t n = strlen(m->engines[i]->family);
        if (strncmp(name, m->engines[i]->family, n) == 0 && name[n] == '/') {
            return m->engines[i];
        }
    }
    return NULL;
}

static int add_model_locked(struct bth_manager *m, const struct berth_model_spec *spec,
                            struct berth_error *err) REQUIRES(core);
static int add_model_locked(struct bth_manager *m, const struct berth_model_spec *spec,
                            struct berth_error *err) {
    const struct berth_engine_ops *engine = spec->name ? engine_of(m, spec->name) : NULL;
    struct bth_model_entry *entry;
    if (!engine) {
        return bth_error(err, BERTH_EINVAL, "model '%.80s': no engine serves that family",
                         spec->name ? spec->name : "");
    }
    return bth_registry_add(&m->state, engine, spec, &entry, err);
}

/* Nobody else is left. */
static void free_parts(struct bth_manager *m) BTH_TSA(no_thread_safety_analysis);
static void free_parts(struct bth_manager *m) {
    struct bth_model_entry *e;
    BTH_LIST_EACH(e, &m->state.models, struct bth_model_entry, link) {
        bth_list_remove(&e->link);
        bth_free(e);
    }
    bth_free(m->spare);
    bth_cond_finish(&m->work);
    bth_cond_finish(&m->changed);
    bth_mutex_finish(&m->lock);
    bth_free(m);
}

static void unref(struct bth_manager *m) {
    manager_lock(m);
    bool last = --m->refs == 0;
    manager_unlock(m);
    if (last) {
        free_parts(m);
    }
}

static void stop_loaders(struct bth_manager *m) {
    manager_lock(m);
    m->stopping = true;
    bth_cond_broadcast(&m->work);
    manager_unlock(m);
    for (int i = 0; i < LOADERS; i++) {
        bth_thread_join(&m->loaders[i]);
    }
}

static int fill(struct bth_manager *m, const struct bth_manager_config *c,
                struct berth_error *err) {
    int rc = 0;
    manager_lock(m);
    for (size_t i = 0; i < c->n_devices; i++) {
        m->devices[m->n_devices++] = c->devices[i];
        m->state.ledgers[m->state.n_devices++].budget = c->budgets[i];
    }
    for (size_t i = 0; rc == 0 && i < c->n_models; i++) {
        rc = add_model_locked(m, &c->models[i], err);
    }
    manager_unlock(m);
    for (int i = 0; rc == 0 && i < LOADERS; i++) {
        rc = bth_thread_start(&m->loaders[i], "berth-loader", loader_main, m);
        if (rc < 0) {
            bth_error_nomem(err);
        }
    }
    return rc;
}

/* Nobody else is there yet. */
static void init(struct bth_manager *m, const struct bth_manager_config *c)
    BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_manager *m, const struct bth_manager_config *c) {
    bth_mutex_init(&m->lock, BTH_RANK_core);
    bth_cond_init(&m->work);
    bth_cond_init(&m->changed);
    bth_state_init(&m->state);
    bth_list_init(&m->jobs);
    m->refs = 1;
    m->engines = c->engines;
    m->n_engines = c->n_engines;
    m->revoked = c->revoked;
    m->arg = c->arg;
}

int bth_manager_create(const struct bth_manager_config *config, struct bth_manager **out,
                       struct berth_error *err) {
    if (config->n_devices < 1 || config->n_devices > BTH_MAX_DEVICES) {
        return bth_error(err, BERTH_EINVAL, "%zu devices; 1 to %d are managed", config->n_devices,
                         BTH_MAX_DEVICES);
    }
    struct bth_manager *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    init(m, config);
    int rc = fill(m, config, err);
    if (rc < 0) {
        stop_loaders(m);
        unref(m);
        return rc;
    }
    *out = m;
    return 0;
}

void bth_manager_destroy(struct bth_manager *m) {
    if (!m) {
        return;
    }
    stop_loaders(m);
    for (int i = 0; i < m->n_devices; i++) {
        m->devices[i]->ops->close(m->devices[i]);
    }
    unref(m);
}

static bool instances_left_locked(struct bth_manager *m) REQUIRES(core);
static bool instances_left_locked(struct bth_manager *m) {
    return bth_list_linked(&m->state.instances);
}

int bth_manager_drain(struct bth_manager *m, int64_t deadline, struct berth_error *err) {
    int rc = 0;
    manager_lock(m);
    happen_locked(m, (struct bth_event){.kind = BTH_EV_CLOSE});
    while (instances_left_locked(m) && bth_now() < deadline) {
        bth_cond_wait(&m->changed, &m->lock, deadline);
    }
    if (instances_left_locked(m)) {
        rc = bth_error(err, BERTH_ETIMEDOUT, "work was still going on at the deadline and was cancelled");
        happen_locked(m, (struct bth_event){.kind = BTH_EV_REVOKE_ALL});
        while (instances_left_locked(m)) {
            bth_cond_wait(&m->changed, &m->lock, BTH_FOREVER);
        }
    }
    manager_unlock(m);
    return rc;
}

/* ---- finding models ---- */

/* Which engine knows this path? Outside the lock: it reads files. */
static const struct berth_engine_ops *probe(const struct bth_manager *m, const char *path,
                                            struct berth_error *err) {
    struct berth_model_info info;
    for (size_t i = 0; i < m->n_engines; i++) {
        struct berth_error why;
        int rc = m->engines[i]->probe(path, &info, &why);
        if (rc == 0) {
            return m->engines[i];
        }
        if (rc != BERTH_ENOTFOUND) {
            bth_error_copy(err, &why); /* it is of this family, but cannot be read */
            return NULL;
        }
    }
    bth_error(err, BERTH_ENOTFOUND, "%.150s: no engine knows what this is", path);
    return NULL;
}

/* An entry for a path that has none yet. */
static struct bth_model_entry *add_path(struct bth_manager *m, const char *path,
                                        struct berth_error *err) {
    const struct berth_engine_ops *engine = probe(m, path, err);
    if (!engine) {
        return NULL;
    }
    manager_lock(m);
    struct bth_model_entry *e = bth_registry_find_path(&m->state, path);
    if (!e) {
        char name[64];
        bth_registry_name_for(&m->state, engine->family, path, name);
        const struct berth_model_spec spec = {.name = name, .path = path};
        if (bth_registry_add(&m->state, engine, &spec, &e, err) < 0) {
            e = NULL;
        }
    }
    manager_unlock(m);
    return e;
}

static struct bth_model_entry *find(struct bth_manager *m, const char *name,
                                    struct berth_error *err) {
    manager_lock(m);
    struct bth_model_entry *e = bth_registry_find(&m->state, name);
    if (!e) {
        e = bth_registry_find_path(&m->state, name);
    }
    if (!e) {
        bth_registry_unknown(&m->state, name, err);
    }
    manager_unlock(m);
    if (e || !(bth_is_file(name) || bth_is_dir(name))) {
        return e;
    }
    char *path = realpath(name, NULL);
    e = path ? add_path(m, path, err) : NULL;
    free(path);
    return e;
}

const struct berth_engine_ops *bth_manager_engine(struct bth_manager *m, const char *name,
                                                  struct berth_error *err) {
    const struct bth_model_entry *e = find(m, name, err);
    return e ? e->engine : NULL;
}

/* What the model will take; read from its files once, outside the lock. */
static int estimate(struct bth_manager *m, struct bth_model_entry *e, struct berth_error *err) {
    manager_lock(m);
    bool known = e->estimated;
    manager_unlock(m);
    if (known) {
        return 0;
    }
    struct berth_estimate found;
    int rc = e->engine->estimate(e->path, m->devices[0], &found, err);
    if (rc == 0) {
        manager_lock(m);
        e->estimate = found;
        e->estimated = true;
        manager_unlock(m);
    }
    return rc;
}

/* ---- leases ---- */

static int wait_for_grant(struct bth_manager *m, struct waiter *w, int *out_device) {
    manager_lock(m);
    happen_locked(m, (struct bth_event){.kind = BTH_EV_ACQUIRE, .ticket = &w->ticket});
    while (w->rc > 0) {
        if (!bth_cond_wait(&w->answered, &m->lock, w->ticket.deadline) && w->rc > 0) {
            happen_locked(m, (struct bth_event){.kind = BTH_EV_TICK});
        }
    }
    if (w->rc == 0) {
        m->refs++; /* the lease's */
        *out_device = w->ticket.lease->instance->device;
    }
    manager_unlock(m);
    return w->rc;
}

int bth_manager_acquire(struct bth_manager *m, const char *name, const char *tag, int64_t deadline,
                        struct bth_lease **out, struct berth_error *err) {
    (void)tag;
    struct bth_model_entry *e = find(m, name, err);
    if (!e) {
        return err ? err->code : BERTH_ENOTFOUND;
    }
    int rc = estimate(m, e, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_lease *lease = bth_calloc(1, sizeof(*lease));
    if (!lease) {
        return bth_error_nomem(err);
    }
    lease->manager = m;
    memcpy(lease->name, e->name, sizeof(lease->name));
    struct waiter w = {.ticket = {.model = e, .lease = &lease->state, .deadline = deadline}, .rc = 1};
    bth_cond_init(&w.answered);
    rc = wait_for_grant(m, &w, &lease->device);
    bth_cond_finish(&w.answered);
    if (rc < 0) {
        bth_free(lease);
        return bth_error_copy(err, &w.ticket.error);
    }
    *out = lease;
    return 0;
}

void bth_lease_release(struct bth_lease *lease) {
    struct bth_manager *m = lease->manager;
    manager_lock(m);
    happen_locked(m, (struct bth_event){.kind = BTH_EV_RELEASE, .lease = &lease->state});
    bth_cond_broadcast(&m->changed);
    manager_unlock(m);
    bth_free(lease);
    unref(m);
}

const char *bth_lease_name(const struct bth_lease *lease) {
    return lease->name;
}

int bth_lease_device(const struct bth_lease *lease) {
    return lease->device;
}

/* ---- uses ---- */

static int grow_use(struct berth_reservation *r, size_t more, struct berth_error *err) {
    struct bth_use *use = BTH_CONTAINER(r, struct bth_use, reservation);
    int rc = happen(use->manager, (struct bth_event){
                                      .kind = BTH_EV_GROW, .use = &use->state, .bytes = more});
    if (rc < 0) {
        return bth_error(err, rc, "the request needs %.1f MB more than it asked for at first, and "
                                  "the budget has no room",
                         (double)more / 1e6);
    }
    atomic_fetch_add_explicit(&r->limit_bytes, more, memory_order_relaxed);
    return 0;
}

int bth_use_open(struct bth_lease *lease, struct bth_use *use, struct berth_error *err) {
    use->manager = lease->manager;
    use->state = (struct bth_use_state){0};
    int rc = happen(lease->manager, (struct bth_event){.kind = BTH_EV_USE_OPEN,
                                                       .use = &use->state,
                                                       .lease = &lease->state});
    if (rc < 0) {
        return bth_error(err, rc, "the lease on %s has ended", lease->name);
    }
    use->model = use->state.instance->handle;
    return 0;
}

void bth_use_begin(struct bth_use *use, size_t bytes_max) {
    happen(use->manager, (struct bth_event){
                             .kind = BTH_EV_USE_BEGIN, .use = &use->state, .bytes = bytes_max});
}

void bth_use_end(struct bth_use *use, bool failed) {
    struct bth_manager *m = use->manager;
    manager_lock(m);
    happen_locked(m, (struct bth_event){
                         .kind = BTH_EV_USE_END, .use = &use->state, .failed = failed});
    bth_cond_broadcast(&m->changed);
    manager_unlock(m);
}

/* ---- unload, statistics ---- */

/* An instance of the model up to a generation is still there. */
static bool lives_locked(struct bth_manager *m, const struct bth_model_entry *e,
                         uint64_t generation) REQUIRES(core);
static bool lives_locked(struct bth_manager *m, const struct bth_model_entry *e,
                         uint64_t generation) {
    const struct bth_instance *i;
    BTH_LIST_EACH(i, &m->state.instances, struct bth_instance, link) {
        if (i->model == e && i->generation <= generation) {
            return true;
        }
    }
    return false;
}

int bth_manager_unload(struct bth_manager *m, const char *name, int64_t deadline,
                       struct berth_error *err) {
    struct bth_model_entry *e = find(m, name, err);
    if (!e) {
        return err ? err->code : BERTH_ENOTFOUND;
    }
    manager_lock(m);
    uint64_t generation = e->generation;
    happen_locked(m, (struct bth_event){.kind = BTH_EV_UNLOAD, .model = e});
    while (lives_locked(m, e, generation) && bth_now() < deadline) {
        bth_cond_wait(&m->changed, &m->lock, deadline);
    }
    bool lives = lives_locked(m, e, generation);
    manager_unlock(m);
    return lives ? bth_error(err, BERTH_ETIMEDOUT,
                             "%s is still in use; it is unloaded when its last user leaves",
                             e->name)
                 : 0;
}

static enum berth_model_state public_state(const struct bth_model_entry *e, bool draining) {
    if (e->open) {
        return e->open->phase == BTH_INSTANCE_READY ? BERTH_MODEL_READY : BERTH_MODEL_LOADING;
    }
    return draining ? BERTH_MODEL_DRAINING : BERTH_MODEL_ABSENT;
}

static void describe_locked(struct bth_manager *m, const struct bth_model_entry *e, int64_t now,
                            struct berth_model_stats *out) REQUIRES(core);
static void describe_locked(struct bth_manager *m, const struct bth_model_entry *e, int64_t now,
                            struct berth_model_stats *out) {
    *out = (struct berth_model_stats){.waiting = e->n_waiting,
                                      .running = e->n_running,
                                      .served = e->n_served,
                                      .failed = e->n_failed,
                                      .loads = e->n_loads,
                                      .load_ms = e->load_ns / BTH_NS_PER_MS,
                                      .idle_ms = -1};
    memcpy(out->name, e->name, sizeof(out->name));
    memcpy(out->alias, e->alias, sizeof(out->alias));
    memcpy(out->path, e->path, sizeof(out->path));
    strncpy(out->family, e->engine->family, sizeof(out->family) - 1);
    bool draining = false;
    const struct bth_instance *i;
    BTH_LIST_EACH(i, &m->state.instances, struct bth_instance, link) {
        if (i->model != e) {
            continue;
        }
        draining |= i->phase == BTH_INSTANCE_DRAINING || i->phase == BTH_INSTANCE_FREEING;
        out->leases += (uint64_t)i->n_leases;
        out->weights_bytes += bth_reservation_used(&i->weights);
        out->workspace_bytes += bth_reservation_used(&i->workspace);
        memcpy(out->device, m->devices[i->device]->name, sizeof(out->device));
        if (i->n_leases == 0 && i->n_uses == 0 && i->phase == BTH_INSTANCE_READY) {
            out->idle_ms = (now - i->idle_since) / BTH_NS_PER_MS;
        }
    }
    out->state = public_state(e, draining);
}

size_t bth_manager_models(struct bth_manager *m, struct berth_model_stats *out, size_t n) {
    size_t have = 0;
    int64_t now = bth_now();
    const struct bth_model_entry *e;
    manager_lock(m);
    BTH_LIST_EACH(e, &m->state.models, struct bth_model_entry, link) {
        if (have < n) {
            describe_locked(m, e, now, &out[have]);
        }
        have++;
    }
    manager_unlock(m);
    return have;
}

size_t bth_manager_devices(struct bth_manager *m, struct berth_device_stats *out, size_t n) {
    manager_lock(m);
    for (size_t i = 0; i < n && i < (size_t)m->n_devices; i++) {
        const struct bth_ledger *l = &m->state.ledgers[i];
        out[i] = (struct berth_device_stats){.budget_bytes = l->budget,
                                             .reserved_bytes = l->reserved,
                                             .committed_bytes = l->committed + l->sessions,
                                             .freeing_bytes = l->freeing};
        memcpy(out[i].name, m->devices[i]->name, sizeof(out[i].name));
        memcpy(out[i].description, m->devices[i]->description, sizeof(out[i].description));
    }
    manager_unlock(m);
    return (size_t)m->n_devices;
}

/*
 * A loader: a thread that estimates, loads and unloads with no lock held. All are alike; what each
 * does next is the step's choice (bth_state_next_op). Frees come first, for somebody may wait for
 * the bytes.
 */
#include "core/manager_private.h"

#include "base/compiler.h"

static int instance_grow(struct berth_reservation *r, size_t more, struct berth_error *err) {
    const struct bth_instance *in = r->owner;
    return bth_manager_grow(in->manager, r,
                            &(struct bth_event){.kind = BTH_EV_GROW, .id = in->gen, .bytes = more})
               ? 0
               : bth_error(err, BERTH_EBUDGET,
                           "the model needs %zu bytes more than estimated and the device has no "
                           "room for them",
                           more);
}

/* What a load on each device takes: more than any has where it cannot be, so that the step needs no
 * second rule. An error if it can be nowhere. */
static int estimate_all(struct bth_manager *m, const struct bth_entry *entry,
                        struct bth_estimate *out, struct berth_error *err) BLOCKING {
    const uint32_t first = m->n_devices - m->n_spare;
    bool somewhere = false, lost = false;
    for (uint32_t i = 0; i < m->n_devices; i++) {
        struct berth_estimate e = {0};
        const bool gone = bth_manager_is_lost(m, i);
        int rc = gone || (i >= first && somewhere)
                     ? BERTH_EUNSUPPORTED
                     : entry->ops->estimate(entry->path, m->devices[i], &e, err);
        lost |= gone;
        if (rc == 0) {
            out[i] = (struct bth_estimate){e.weights_bytes, e.workspace_bytes, e.session_bytes};
            somewhere = true;
        } else if (rc == BERTH_EUNSUPPORTED) {
            out[i] = (struct bth_estimate){UINT64_MAX, UINT64_MAX, UINT64_MAX};
        } else {
            return rc;
        }
    }
    if (!somewhere && lost) {
        return bth_error(err, BERTH_EDEVICE,
                         "the device that could run it has failed: start the program anew");
    }
    return somewhere ? 0 : err->code;
}

static void estimate(struct bth_manager *m, const struct bth_entry *entry,
                     const struct bth_op *op) BLOCKING {
    struct bth_estimate estimates[BTH_MAX_DEVICES] = {{0}};
    struct berth_error error = {0};
    const int rc = estimate_all(m, entry, estimates, &error);
    core_lock(m);
    if (rc < 0) {
        bth_happened_model_locked(m, &(struct bth_model_news){.kind = BTH_HAPPENED_FAIL,
                                                              .model = entry->name,
                                                              .why = &error});
    }
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_ESTIMATED,
                                                   .op = op->id,
                                                   .error = rc < 0 ? &error : NULL,
                                                   .estimates = estimates});
    core_unlock(m);
}

static int load_instance(struct bth_manager *m, const struct bth_entry *entry,
                         const struct bth_op *op, struct bth_instance **out,
                         struct berth_error *err) BLOCKING {
    struct bth_instance *in = bth_calloc(1, sizeof(*in));
    if (!in) {
        return bth_error_nomem(err);
    }
    in->manager = m;
    in->ops = entry->ops;
    in->gen = op->gen;
    in->device = op->device;
    bth_reservation_init(&in->weights, BERTH_BYTES_WEIGHTS, op->est.weights);
    bth_reservation_init(&in->workspace, BERTH_BYTES_WORKSPACE, op->est.workspace);
    in->weights.owner = in->workspace.owner = in;
    in->weights.grow = in->workspace.grow = instance_grow;
    *out = in;
    const struct berth_load load = {.path = entry->path,
                                    .device = m->devices[op->device],
                                    .weights = &in->weights,
                                    .workspace = &in->workspace};
    return entry->ops->load(&load, &in->model, err);
}

static uint64_t drawn(const struct bth_instance *in) {
    return bth_reservation_used(&in->weights) + bth_reservation_used(&in->workspace);
}

/* An instance that is through. What it has not given back may still point to its reservations. */
static void discard_locked(struct bth_manager *m, struct bth_instance *in) REQUIRES(core) {
    if (in && drawn(in) > 0) {
        in->next = m->leaked;
        m->leaked = in;
    } else {
        bth_free(in);
    }
}

/* Whether a load failed because its device has: a failed one says so of everything. */
static bool device_failed(struct berth_device *device, int rc, struct berth_error *err) BLOCKING {
    return rc == BERTH_EDEVICE && device->ops->sync(device, err) == BERTH_EDEVICE;
}

/* What there is now to say of a load that has ended. */
static struct bth_event done_event(const struct bth_op *op, struct bth_instance *in, int rc,
                                   const struct berth_error *error) {
    struct bth_event done = {.kind = BTH_EV_LOAD_DONE, .op = op->id};
    done.bytes = in ? drawn(in) : 0;
    if (rc < 0) {
        done.error = error;
        return done;
    }
    /* Weights are complete; of the workspace more may be drawn as turns need it. */
    size_t used = bth_reservation_used(&in->weights);
    atomic_store_explicit(&in->weights.limit_bytes, used, memory_order_relaxed);
    done.spare = in->workspace.limit_bytes - bth_reservation_used(&in->workspace);
    done.handle = in;
    return done;
}

static void load(struct bth_manager *m, const struct bth_entry *entry,
                 const struct bth_op *op) BLOCKING {
    struct bth_instance *in = NULL;
    struct berth_error error = {.code = BERTH_EINTERNAL}, lost = {0};
    const int64_t began = bth_now();
    int rc = load_instance(m, entry, op, &in, &error);
    const bool failed = device_failed(m->devices[op->device], rc, &lost);
    core_lock(m);
    bth_happened_model_locked(
        m, &(struct bth_model_news){.kind = rc < 0 ? BTH_HAPPENED_FAIL : BTH_HAPPENED_LOAD,
                                    .model = entry->name,
                                    .device = m->devices[op->device]->name,
                                    .bytes = in ? drawn(in) : 0,
                                    .ns = bth_now() - began,
                                    .why = rc < 0 ? &error : NULL});
    if (failed) { /* first, so that whoever waits for it is served elsewhere and not refused */
        bth_manager_lose_locked(m, op->device, &lost);
    }
    const bool wanted = bth_table_get(&m->state.gens, op->gen) != NULL;
    const struct bth_event done = done_event(op, in, rc, &error);
    bth_manager_step_locked(m, &done);
    if (rc == 0 && !wanted) { /* its device was lost meanwhile */
        core_unlock(m);
        entry->ops->unload(in->model);
        core_lock(m);
    }
    if (rc < 0 || !wanted) {
        discard_locked(m, in);
    }
    core_unlock(m);
}

static void unload(struct bth_manager *m, const struct bth_entry *entry,
                   const struct bth_op *op) BLOCKING {
    struct bth_instance *in = op->handle;
    const int64_t began = bth_now();
    const uint64_t bytes = drawn(in);
    entry->ops->unload(in->model);
    core_lock(m);
    const struct bth_gen *g = bth_table_get(&m->state.gens, op->gen);
    bth_happened_model_locked(
        m,
        &(struct bth_model_news){.kind = g && g->evicted ? BTH_HAPPENED_EVICT : BTH_HAPPENED_UNLOAD,
                                 .model = entry->name,
                                 .device = m->devices[op->device]->name,
                                 .bytes = bytes,
                                 .residual = drawn(in),
                                 .ns = bth_now() - began});
    bth_manager_step_locked(
        m, &(struct bth_event){.kind = BTH_EV_FREE_DONE, .op = op->id, .bytes = drawn(in)});
    discard_locked(m, in);
    core_unlock(m);
}

/* Until there is work; meanwhile what has been idle for its time is unloaded. */
static void rest_locked(struct bth_manager *m) REQUIRES(core) {
    const int64_t look = bth_now() + BTH_NS_PER_S;
    if (!bth_cond_wait(&m->work, &m->lock, look) && bth_now() >= m->state.idle_at) {
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK});
    }
}

void *bth_manager_loader_main(void *manager) {
    struct bth_manager *m = manager;
    core_lock(m);
    while (!m->stop) {
        struct bth_op op = bth_state_next_op(&m->state);
        if (op.kind == BTH_OP_NONE) {
            rest_locked(m);
            continue;
        }
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
        const struct bth_entry *entry = m->registry.entries[op.model];
        core_unlock(m);
        if (op.kind == BTH_OP_ESTIMATE) {
            estimate(m, entry, &op);
        } else if (op.kind == BTH_OP_LOAD) {
            load(m, entry, &op);
        } else {
            unload(m, entry, &op);
        }
        core_lock(m);
    }
    core_unlock(m);
    return NULL;
}

#include "core/manager_private.h"

#include "base/sized.h"
#include <stdio.h>
#include <string.h>

/* The generation to speak of: the open one, else the newest that is still there. */
static const struct bth_gen *shown_gen(const struct bth_state *s, uint32_t model) {
    const struct bth_gen *best = bth_table_get(&s->gens, s->models[model].open);
    if (best) {
        return best;
    }
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->model == model && (!best || g->serial > best->serial)) {
            best = g;
        }
    }
    return best;
}

static enum berth_model_state state_of(const struct bth_model *m, const struct bth_gen *g) {
    if (!g && m->disabled) {
        return BERTH_MODEL_DISABLED;
    }
    if (!g) {
        return m->scope.waiting ? BERTH_MODEL_LOADING : BERTH_MODEL_ABSENT;
    }
    if (g->closing) {
        return BERTH_MODEL_DRAINING;
    }
    return g->inst == BTH_READY ? BERTH_MODEL_READY : BERTH_MODEL_LOADING;
}

static void add_bytes(const struct bth_gen *g, struct berth_model_stats *out) {
    if (g->inst == BTH_READY || g->inst == BTH_DRAIN) {
        const struct bth_instance *in = g->handle;
        out->weights_bytes += bth_reservation_used(&in->weights);
        out->workspace_bytes += bth_reservation_used(&in->workspace);
    } else if (g->inst != BTH_FREEING) {
        out->weights_bytes += g->est.weights;
        out->workspace_bytes += g->est.workspace;
    } else {
        out->weights_bytes += g->held;
    }
    out->session_bytes += g->use_bytes;
}

/* All instances of the generation; of the devices what no longer fits into the text is only
 * counted. */
static void fill_instances_locked(const struct bth_manager *m, const struct bth_gen *shown,
                                  struct berth_model_stats *out) REQUIRES(core) {
    const struct bth_table *gens = &m->state.gens;
    for (struct bth_gen *g = bth_table_next(gens, NULL); g; g = bth_table_next(gens, g)) {
        if (g->model != shown->model || g->serial != shown->serial) {
            continue;
        }
        add_bytes(g, out);
        if (g->inst == BTH_READY) {
            const size_t n = strlen(out->devices);
            snprintf(out->devices + n, sizeof(out->devices) - n, "%s%s", n ? "," : "",
                     m->devices[g->device]->name);
            out->instances++;
        }
    }
}

static void fill_model_locked(struct bth_manager *m, uint32_t i, struct berth_model_stats *out)
    REQUIRES(core) {
    const struct bth_entry *e = m->registry.entries[i];
    const struct bth_model *model = &m->state.models[i];
    const struct bth_gen *g = shown_gen(&m->state, i);
    *out = (struct berth_model_stats){.state = state_of(model, g),
                                      .leases = model->scope.held,
                                      .waiting = model->scope.waiting,
                                      .running = model->running,
                                      .served = model->served,
                                      .failed = model->failed,
                                      .loads = model->loads,
                                      .load_ms = model->load_ns / BTH_NS_PER_MS,
                                      .idle_ms = -1};
    snprintf(out->name, sizeof(out->name), "%s", e->name);
    snprintf(out->alias, sizeof(out->alias), "%s", e->alias ? e->alias : "");
    snprintf(out->family, sizeof(out->family), "%s", m->registry.families[e->family]);
    snprintf(out->engine, sizeof(out->engine), "%s", e->ops->family);
    snprintf(out->path, sizeof(out->path), "%s", e->path);
    if (g) {
        snprintf(out->device, sizeof(out->device), "%s", m->devices[g->device]->name);
        fill_instances_locked(m, g, out);
    }
    if (model->used_at >= 0 && model->scope.held == 0 && model->running == 0) {
        out->idle_ms = (bth_now() - model->used_at) / BTH_NS_PER_MS;
    }
}

int bth_manager_find(struct bth_manager *m, const char *name, struct berth_model_stats *out,
                     struct berth_error *err) {
    int rc = 0;
    core_lock(m);
    int64_t i = bth_registry_find(&m->registry, name);
    const struct bth_entry *e = i < 0 ? NULL : m->registry.entries[i];
    /* the registry finds paths too, which are not names that strangers may use */
    if (e && (strcmp(e->name, name) == 0 || (e->alias && strcmp(e->alias, name) == 0))) {
        fill_model_locked(m, (uint32_t)i, out);
    } else {
        rc = bth_registry_unknown(&m->registry, name, err);
    }
    core_unlock(m);
    return rc;
}

/* One that the configuration names no more is shown until it has gone. */
static bool is_shown_locked(const struct bth_manager *m, uint32_t i) REQUIRES(core) {
    return !m->registry.entries[i]->removed || m->state.models[i].scope.held > 0 ||
           shown_gen(&m->state, i);
}

size_t bth_manager_models(struct bth_manager *m, struct berth_model_stats *out, size_t size,
                          size_t n) {
    size_t count = 0;
    core_lock(m);
    for (uint32_t i = 0; i < m->state.n_models; i++) {
        if (is_shown_locked(m, i) && count++ < n) {
            struct berth_model_stats one;
            fill_model_locked(m, i, &one);
            bth_sized_copy((char *)out + (count - 1) * size, size, &one, sizeof(one));
        }
    }
    core_unlock(m);
    return count;
}

size_t bth_manager_memory(struct bth_manager *m, struct bth_memory_info *out, size_t n) {
    size_t there = 0;
    core_lock(m);
    const struct bth_table *gens = &m->state.gens;
    for (struct bth_gen *g = bth_table_next(gens, NULL); g; g = bth_table_next(gens, g)) {
        const struct bth_memory_info place = {.model = m->registry.entries[g->model]->name,
                                              .device = m->devices[g->device]->name};
        struct berth_model_stats bytes = {0};
        size_t i = 0;
        while (i < there && (out[i].model != place.model || out[i].device != place.device)) {
            i++;
        }
        if (i == n) {
            break;
        }
        if (i == there) {
            out[there++] = place;
        }
        add_bytes(g, &bytes);
        out[i].weights += bytes.weights_bytes;
        out[i].workspace += bytes.workspace_bytes;
        out[i].session += bytes.session_bytes;
    }
    core_unlock(m);
    return there;
}

size_t bth_manager_devices(struct bth_manager *m, struct berth_device_stats *out, size_t n) {
    core_lock(m);
    for (size_t i = 0; i < m->n_devices && i < n; i++) {
        const struct bth_ledger *d = &m->state.devices[i];
        out[i] = (struct berth_device_stats){.budget_bytes = d->budget,
                                             .reserved_bytes = d->reserved,
                                             .committed_bytes = d->committed + d->residual,
                                             .freeing_bytes = d->freeing,
                                             .residual_bytes = d->residual,
                                             .lost = d->lost};
        snprintf(out[i].name, sizeof(out[i].name), "%s", m->devices[i]->name);
        snprintf(out[i].description, sizeof(out[i].description), "%s", m->devices[i]->description);
    }
    core_unlock(m);
    return m->n_devices;
}

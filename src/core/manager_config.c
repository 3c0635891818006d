/* Models that come, go, and are out of use for a time, while all goes on. */
#include "core/manager_private.h"

#include <string.h>

static void set_enabled_locked(struct bth_manager *m, uint32_t model, bool on, bool removed)
    REQUIRES(core) {
    bth_manager_step_locked(m, &(struct bth_event){.kind = on ? BTH_EV_ENABLE : BTH_EV_DISABLE,
                                                   .scope = model,
                                                   .removed = removed});
}

void bth_manager_say_locked(struct bth_manager *m, uint32_t model, bool disabled) {
    struct bth_entry *e = m->registry.entries[model];
    if (e->disabled != disabled) {
        e->disabled = disabled;
        set_enabled_locked(m, model, !disabled, false);
    }
}

int bth_manager_enable(struct bth_manager *m, const char *name, bool on, const char **out_name,
                       struct berth_error *err) {
    int rc = 0;
    core_lock(m);
    const int64_t model = bth_registry_find(&m->registry, name);
    if (model < 0) {
        rc = bth_registry_unknown(&m->registry, name, err);
    } else {
        set_enabled_locked(m, (uint32_t)model, on, false);
        *out_name = m->registry.entries[model]->name;
    }
    core_unlock(m);
    return rc;
}

/* ---- the configuration, read again -----------------------------------------------------------*/

static bool is_named(const struct bth_entry *e, const struct berth_model_spec *specs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(e->name, specs[i].name) == 0) {
            return true;
        }
    }
    return false;
}

void bth_manager_forget(struct bth_manager *m, const struct berth_model_spec *specs, size_t n,
                        bool dry, struct bth_str *out) {
    core_lock(m);
    for (size_t i = 0; i < m->registry.n; i++) {
        struct bth_entry *e = m->registry.entries[i];
        if (!e->configured || e->removed || is_named(e, specs, n)) {
            continue;
        }
        bth_str_printf(out, "%s\n", e->name);
        if (!dry) {
            e->removed = true;
            e->disabled = false;
            set_enabled_locked(m, (uint32_t)i, false, true);
        }
    }
    core_unlock(m);
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

int64_t bth_manager_again_locked(struct bth_manager *m, const struct berth_model_spec *spec) {
    const struct bth_registry *r = &m->registry;
    if (spec->alias && bth_registry_find(r, spec->alias) >= 0) {
        return -1; /* another's by now */
    }
    for (size_t i = 0; i < r->n; i++) {
        struct bth_entry *e = r->entries[i];
        if (e->removed && strcmp(e->name, spec->name) == 0 && same_text(e->path, spec->path) &&
            same_text(e->alias, spec->alias) &&
            (!spec->engine || strcmp(e->ops->family, spec->engine) == 0)) {
            e->removed = false;
            set_enabled_locked(m, (uint32_t)i, true, false);
            return (int64_t)i;
        }
    }
    return -1;
}

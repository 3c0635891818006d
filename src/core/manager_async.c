/* Acquiring and unloading without waiting. The ticket is the step's as always, the answer
 * goes to a callback. */
#include "core/manager_private.h"

void bth_acquire_answer_locked(struct bth_manager *m, struct bth_lease *lease,
                               const struct bth_action *a) {
    struct bth_acquire *acquire = lease->async;
    struct berth_error error = {0};
    int rc = 0;
    acquire->ticket = 0;
    lease->async = NULL;
    if (a->kind == BTH_ACT_GRANT) {
        acquire->lease = lease;
    } else {
        rc = bth_manager_refusal_locked(m, a, &error);
        bth_happened_lease_locked(m, BTH_HAPPENED_REFUSE, lease, &error);
        bth_lease_free(lease);
    }
    acquire->answered(acquire, rc, &error); /* the object may be gone */
}

int bth_acquire_start(struct bth_manager *m, const char *name, const struct bth_ask *ask,
                      struct bth_acquire *acquire, struct berth_error *err) {
    uint32_t scope;
    const char *full = NULL;
    core_lock(m);
    int rc = bth_scope_find_locked(m, name, ask->exclusive, &scope, &full, err);
    if (rc < 0) {
        core_unlock(m);
        return rc;
    }
    struct bth_lease *lease = bth_lease_create(m, full, ask);
    if (!lease) {
        core_unlock(m);
        return bth_error_nomem(err);
    }
    acquire->manager = m;
    acquire->lease = NULL;
    acquire->ticket = 0;
    lease->async = acquire;
    const struct bth_event event = bth_ask_event(ask, scope, lease);
    bth_manager_step_locked(m, &event);
    if (m->actions.n == 0) { /* no room even for a refusal */
        bth_lease_free(lease);
        rc = bth_error_nomem(err);
    }
    core_unlock(m);
    return rc;
}

void bth_acquire_cancel(struct bth_acquire *acquire) {
    struct bth_manager *m = acquire->manager;
    core_lock(m);
    if (acquire->ticket) {
        bth_manager_step_locked(m,
                                &(struct bth_event){.kind = BTH_EV_CANCEL, .id = acquire->ticket});
    }
    core_unlock(m);
}

void bth_acquire_tick(struct bth_acquire *acquire) {
    struct bth_manager *m = acquire->manager;
    core_lock(m);
    if (acquire->ticket) {
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_TICK, .id = acquire->ticket});
    }
    core_unlock(m);
}

int bth_manager_unload_start(struct bth_manager *m, const char *name, uint64_t *out_mark,
                             struct berth_error *err) {
    int rc = 0;
    core_lock(m);
    int64_t model = bth_registry_find(&m->registry, name);
    if (model < 0) {
        rc = bth_registry_unknown(&m->registry, name, err);
    } else {
        *out_mark = m->state.models[model].serial;
        bth_manager_step_locked(
            m, &(struct bth_event){.kind = BTH_EV_UNLOAD, .scope = (uint32_t)model});
        if (m->actions.n > 0 && m->actions.items[0].reason == BTH_REASON_MEMORY) {
            rc = bth_error_nomem(err);
        }
    }
    core_unlock(m);
    return rc;
}

bool bth_manager_unloaded(struct bth_manager *m, const char *name, uint64_t mark) {
    core_lock(m);
    int64_t model = bth_registry_find(&m->registry, name);
    bool gone = model < 0 || !bth_manager_still_there_locked(m, (uint32_t)model, mark);
    core_unlock(m);
    return gone;
}

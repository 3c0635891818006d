#include "core/manager_private.h"

#include <stdio.h>

static int64_t left_ms(int64_t until, int64_t now) {
    return until == BTH_FOREVER ? -1 : BTH_MAX(0, until - now) / BTH_NS_PER_MS;
}

static void fill(const struct bth_lease *lease, int64_t now, struct bth_lease_info *out) {
    *out = (struct bth_lease_info){.exclusive = lease->exclusive,
                                   .why = "",
                                   .pid = lease->pid,
                                   .tid = lease->tid,
                                   .since_ms = (now - lease->since) / BTH_NS_PER_MS,
                                   .expected_ms = -1};
    snprintf(out->what, sizeof(out->what), "%s", lease->name);
    snprintf(out->tag, sizeof(out->tag), "%s", lease->tag);
    snprintf(out->holder, sizeof(out->holder), "%s", lease->holder);
}

static const char *why_text(enum bth_why why) {
    switch (why) {
    case BTH_WHY_BYTES:
        return "bytes";
    case BTH_WHY_ESTIMATE:
    case BTH_WHY_LOADING:
        return "loading";
    case BTH_WHY_LEASE:
    case BTH_WHY_NONE:
        break;
    }
    return "lease";
}

struct list {
    struct bth_lease_info *out;
    size_t n, most;
    int64_t now;
};

/* Beyond its time it is held while a request that was cancelled has not ended yet. */
static void fill_held_locked(struct bth_manager *m, const struct bth_lease_row *l, int64_t now,
                             struct bth_lease_info *out) REQUIRES(core) {
    const struct bth_lease *lease = l->arg;
    const int64_t until = BTH_MIN(l->revoke_at, lease->until);
    fill(lease, now, out);
    out->id = l->id;
    out->owner = l->owner;
    out->revoked = l->state == BTH_LEASE_REVOKED;
    out->left_ms = left_ms(until, now);
    out->overdue = now > until ||
                   bth_history_overdue(bth_manager_holds_locked(m, l->scope), now - lease->since);
}

static void add_held_locked(struct bth_manager *m, struct list *list) REQUIRES(core) {
    const struct bth_table *leases = &m->state.leases;
    struct bth_lease_row *l;
    for (l = bth_table_next(leases, NULL); l; l = bth_table_next(leases, l), list->n++) {
        if (list->n < list->most) {
            fill_held_locked(m, l, list->now, &list->out[list->n]);
        }
    }
}

/* Those who wait behind the first wait for him. */
static void add_waiting_locked(struct bth_manager *m, uint32_t index, struct list *list)
    REQUIRES(core) {
    const bool family = index & BTH_FAMILY;
    const struct bth_scope *scope =
        family ? &m->state.families[index & ~BTH_FAMILY] : &m->state.models[index].scope;
    const enum bth_why why = family ? BTH_WHY_LEASE : m->state.models[index].why;
    uint32_t position = 0;
    if (scope->waiting == 0) {
        return;
    }
    struct bth_queue_view view = bth_queue_view_locked(m, index, list->now);
    const struct bth_ticket *t = bth_table_get(&m->state.tickets, scope->queue.first);
    for (; t; t = bth_table_get(&m->state.tickets, t->next), list->n++) {
        position++;
        if (list->n < list->most) {
            struct bth_lease_info *info = &list->out[list->n];
            fill(t->arg, list->now, info);
            info->waiting = true;
            info->owner = t->owner;
            info->max_concurrent = t->max_concurrent;
            info->priority = t->priority - BTH_PRIORITY_LOWEST;
            info->position = position;
            info->why = why_text(t->exclusive ? BTH_WHY_LEASE : why);
            info->left_ms = left_ms(t->expires, list->now);
            const int64_t expected = bth_queue_expected(&view, t, why);
            info->expected_ms = expected < 0 ? -1 : expected / BTH_NS_PER_MS;
        }
    }
}

size_t bth_manager_leases(struct bth_manager *m, struct bth_lease_info *out, size_t n) {
    struct list list = {.out = out, .most = n, .now = bth_now()};
    core_lock(m);
    add_held_locked(m, &list);
    for (uint32_t i = 0; i < m->state.n_models; i++) {
        add_waiting_locked(m, i, &list);
    }
    for (uint32_t i = 0; i < m->registry.n_families; i++) {
        add_waiting_locked(m, BTH_FAMILY | i, &list);
    }
    core_unlock(m);
    return list.n;
}

/* ---- plans ----------------------------------------------------------------------------------*/

static const char *const plan_texts[] = {
    [BTH_PLAN_READY] = "ready",          [BTH_PLAN_LOADING] = "loading",
    [BTH_PLAN_UNKNOWN] = "unknown",      [BTH_PLAN_FAILED] = "failed",
    [BTH_PLAN_DISABLED] = "disabled",    [BTH_PLAN_FITS] = "fits",
    [BTH_PLAN_EVICTS] = "evicts",        [BTH_PLAN_WAITS] = "waits",
    [BTH_PLAN_IMPOSSIBLE] = "impossible"};

/* In the words of the refusal that a ticket would get. */
static void put_cause_locked(const struct bth_manager *m, uint32_t model, enum bth_reason reason,
                             struct bth_plan_info *out) REQUIRES(core) {
    const struct bth_action a = {.kind = BTH_ACT_REFUSE, .reason = reason, .scope = model};
    struct berth_error why;
    bth_manager_refusal_locked(m, &a, &why);
    snprintf(out->cause, sizeof(out->cause), "%s", why.message);
}

static void fill_plan_locked(struct bth_manager *m, uint32_t model, struct bth_plan_info *out)
    REQUIRES(core) {
    struct bth_plan p;
    bth_state_plan(&m->state, model, &p);
    const struct bth_model *known = &m->state.models[model];
    *out = (struct bth_plan_info){
        .kind = plan_texts[p.kind], .need = p.need, .room = p.room, .n_evicts = p.n_victims};
    out->learnt_ms = known->est_state == BTH_EST_KNOWN
                         ? BTH_MAX(0, bth_now() - known->est_at) / BTH_NS_PER_MS
                         : -1;
    snprintf(out->model, sizeof(out->model), "%s", m->registry.entries[model]->name);
    snprintf(out->device, sizeof(out->device), "%s", m->devices[p.device]->name);
    for (size_t i = 0; i < BTH_MIN(p.n_victims, BTH_COUNT(out->evicts)); i++) {
        snprintf(out->evicts[i], sizeof(out->evicts[i]), "%s%s",
                 m->registry.entries[p.victims[i]]->name, p.spare[i] ? " (a replica)" : "");
    }
    if (p.kind == BTH_PLAN_IMPOSSIBLE) {
        put_cause_locked(m, model, p.why, out);
    } else if (p.kind == BTH_PLAN_DISABLED) {
        put_cause_locked(m, model, BTH_REASON_DISABLED, out);
    } else if (p.kind == BTH_PLAN_FAILED) {
        put_cause_locked(m, model, BTH_REASON_LOAD_FAILED, out);
    }
}

int bth_manager_plan(struct bth_manager *m, const char *name, struct bth_plan_info *out,
                     struct berth_error *err) {
    uint32_t model;
    const char *full;
    core_lock(m);
    int rc = bth_scope_find_locked(m, name, false, &model, &full, err);
    if (rc == 0) {
        bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = model});
        fill_plan_locked(m, model, out);
    }
    core_unlock(m);
    return rc;
}

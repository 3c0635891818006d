/* How long those who wait will wait yet: the state read, the arithmetic is history.c's. */
#include "core/manager_private.h"

/* Beyond so many holders it would take too long to look at them under the lock. */
enum { MAX_HOLDERS = 256 };

struct bth_history *bth_manager_holds_locked(struct bth_manager *m, uint32_t scope) {
    return scope & BTH_FAMILY ? &m->family_holds[scope & ~BTH_FAMILY]
                              : &m->registry.entries[scope]->holds;
}

static int64_t later(int64_t a, int64_t b) {
    return a < 0 || b < 0 ? BTH_UNKNOWN : BTH_MAX(a, b);
}

/* Those who hold just this. */
static void add_holders_locked(struct bth_manager *m, uint32_t scope, int64_t now,
                               struct bth_queue_view *v) REQUIRES(core) {
    const struct bth_scope *s = scope & BTH_FAMILY ? &m->state.families[scope & ~BTH_FAMILY]
                                                   : &m->state.models[scope].scope;
    const struct bth_lease_row *l = bth_table_get(&m->state.leases, s->leases.first);
    for (int i = 0; l; l = bth_table_get(&m->state.leases, l->next), i++) {
        const struct bth_lease *lease = l->arg;
        int64_t left = i < MAX_HOLDERS ? bth_history_left(bth_manager_holds_locked(m, scope),
                                                          now - lease->since)
                                       : BTH_UNKNOWN;
        v->all_left = later(v->all_left, left);
        if (l->exclusive) {
            v->exclusive_left = later(v->exclusive_left, left);
        }
        if (i >= MAX_HOLDERS) {
            return;
        }
    }
}

/* 0: what is there can be used as it is. */
static int64_t load_left_locked(const struct bth_manager *m, const struct bth_model *model,
                                int64_t now) REQUIRES(core) {
    const struct bth_gen *g = bth_table_get(&m->state.gens, model->open);
    if (g && g->inst == BTH_READY) {
        return 0;
    }
    return bth_load_left(model->load_ns, g && g->inst == BTH_LOADING ? now - g->load_at : 0);
}

struct bth_queue_view bth_queue_view_locked(struct bth_manager *m, uint32_t scope, int64_t now) {
    struct bth_queue_view v = {.holds = bth_manager_holds_locked(m, scope)};
    add_holders_locked(m, scope, now, &v);
    if (scope & BTH_FAMILY) {
        for (uint32_t i = 0; i < m->state.n_models; i++) {
            if (bth_model_in(&m->state, i, scope)) {
                add_holders_locked(m, i, now, &v);
            }
        }
        return v;
    }
    const struct bth_model *model = &m->state.models[scope];
    v.load_left = load_left_locked(m, model, now);
    if (m->state.families[model->family].waiting > 0) { /* who comes first is a matter of age */
        v.all_left = v.exclusive_left = BTH_UNKNOWN;
    } else {
        add_holders_locked(m, BTH_FAMILY | model->family, now, &v);
    }
    return v;
}

int64_t bth_queue_expected(struct bth_queue_view *v, const struct bth_ticket *t, enum bth_why why) {
    const bool alone = t->exclusive || t->max_concurrent;
    struct bth_wait w = {.holders_left = alone ? v->all_left : v->exclusive_left,
                         .turns = v->turns,
                         .usual = v->turns ? bth_history_usual(v->holds) : 0,
                         .load_left = t->exclusive ? 0 : v->load_left};
    if (!alone && v->together) { /* with those just before it */
        w.turns--;
    } else {
        v->turns++;
    }
    v->together = !alone;
    /* bytes come when somebody else's models can go: nothing tells when */
    return why == BTH_WHY_BYTES && !t->exclusive ? BTH_UNKNOWN : bth_wait_expected(&w);
}

/*
 * Events of those who take leases, and of those who take them away.
 */
#include "core/step_private.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <assert.h>

struct bth_scope *bth_scope_of(struct bth_state *s, uint32_t scope) {
    return scope & BTH_FAMILY ? &s->families[scope & ~BTH_FAMILY] : &s->models[scope].scope;
}

bool bth_model_in(const struct bth_state *s, uint32_t model, uint32_t scope) {
    return scope & BTH_FAMILY ? s->models[model].family == (scope & ~BTH_FAMILY) : model == scope;
}

struct bth_scope *bth_family_of(struct bth_state *s, uint32_t scope) {
    return &s->families[scope & BTH_FAMILY ? scope & ~BTH_FAMILY : s->models[scope].family];
}

/* ---- leases ---------------------------------------------------------------------------------*/

void bth_grant(struct bth_state *s, const struct bth_ticket *t, struct bth_gen *g,
               struct bth_actions *out) {
    struct bth_scope *scope = bth_scope_of(s, t->scope), *family = bth_family_of(s, t->scope);
    struct bth_lease_row *l = bth_table_add(&s->leases); /* reserved by ACQUIRE */
    assert(l && t->exclusive == !g);
    *l = (struct bth_lease_row){.id = l->id,
                                .prev = scope->leases.last,
                                .arg = t->arg,
                                .gen = g ? g->id : 0,
                                .scope = t->scope,
                                .exclusive = t->exclusive,
                                .owner = t->owner,
                                .party = t->party,
                                .seq = ++s->last_seq,
                                .revoke_at = g ? g->revoke_at : BTH_FOREVER};
    struct bth_lease_row *last = bth_table_get(&s->leases, l->prev);
    *(last ? &last->next : &scope->leases.first) = l->id;
    scope->leases.last = l->id;
    struct bth_owner *owner = bth_table_get(&s->owners.rows, l->party);
    if (owner) {
        owner->leases++;
    }
    scope->held++;
    family->held += family != scope;
    if (t->exclusive) {
        scope->exclusive++;
        scope->exclusive_owner = t->owner;
    } else {
        assert(g->inst == BTH_READY || g->inst == BTH_DRAIN);
        g->leases++;
        bth_gen_touch(s, g);
        s->models[t->scope].used_at = s->now;
    }
    struct bth_action *a = bth_act(out, BTH_ACT_GRANT);
    a->id = l->id;
    a->gen = l->gen;
    a->scope = t->scope;
    a->arg = t->arg;
}

/* The lease no longer holds what it holds. */
static void let_go(struct bth_state *s, struct bth_lease_row *l, struct bth_actions *out) {
    struct bth_scope *scope = bth_scope_of(s, l->scope), *family = bth_family_of(s, l->scope);
    struct bth_lease_row *prev = bth_table_get(&s->leases, l->prev);
    struct bth_lease_row *next = bth_table_get(&s->leases, l->next);
    *(prev ? &prev->next : &scope->leases.first) = l->next;
    *(next ? &next->prev : &scope->leases.last) = l->prev;
    l->prev = l->next = 0;
    struct bth_owner *owner = bth_table_get(&s->owners.rows, l->party);
    if (owner) {
        owner->leases--;
        bth_owner_rest(s, owner);
    }
    scope->held--;
    family->held -= family != scope;
    scope->exclusive -= l->exclusive;
    struct bth_gen *g = bth_table_get(&s->gens, l->gen);
    if (g) {
        g->leases--;
        bth_gen_touch(s, g);
        s->models[l->scope].used_at = s->now;
        s->stirred |= g->leases + g->uses == 0; /* it may be evicted now */
        bth_gen_rest(s, g);
        bth_gen_settle(s, g, out);
    }
}

static struct bth_lease_row *first_of(const struct bth_state *s, const struct bth_scope *scope,
                                      uint64_t owner) {
    struct bth_lease_row *l = bth_table_get(&s->leases, scope->leases.first);
    while (l && l->owner != owner) {
        l = bth_table_get(&s->leases, l->next);
    }
    return l;
}

static bool is_inside(const struct bth_scope *scope, uint64_t owner) {
    return owner && scope->exclusive && scope->exclusive_owner == owner;
}

/* Does he hold any part of it? */
static bool holds_some(struct bth_state *s, uint32_t scope, uint64_t owner) {
    if (first_of(s, bth_scope_of(s, scope), owner)) {
        return true;
    }
    for (uint32_t i = 0; (scope & BTH_FAMILY) && i < s->n_models; i++) {
        if (bth_model_in(s, i, scope) && first_of(s, &s->models[i].scope, owner)) {
            return true;
        }
    }
    return false;
}

/* Those who hold a lease already are answered at once, where that is possible. */
static bool answer_holder(struct bth_state *s, const struct bth_event *e,
                          const struct bth_owner *owner, bool inside, struct bth_actions *out) {
    struct bth_scope *scope = bth_scope_of(s, e->scope);
    if (!owner || owner->leases == 0 || scope->held + bth_family_of(s, e->scope)->held == 0) {
        return false;
    }
    const struct bth_ticket t = {.arg = e->arg,
                                 .scope = e->scope,
                                 .exclusive = e->exclusive,
                                 .owner = e->owner,
                                 .party = owner->id};
    if (e->exclusive) {
        if (!inside && holds_some(s, e->scope, e->owner)) {
            bth_refuse(s, out, BTH_ACT_REFUSE, e->scope, BTH_REASON_UPGRADE)->arg = e->arg;
            return true;
        }
        if (inside) {
            bth_grant(s, &t, NULL, out);
        }
        return inside;
    }
    struct bth_lease_row *l = bth_table_get(&s->leases, scope->leases.first);
    while (l && (l->owner != e->owner || !bth_table_get(&s->gens, l->gen))) {
        l = bth_table_get(&s->leases, l->next); /* an exclusive one, or its generation was lost */
    }
    if (l) {
        bth_grant(s, &t, bth_table_get(&s->gens, l->gen), out);
    }
    return l != NULL;
}

/* He who asks while he waits has more hands than one. */
static struct bth_owner *take_owner(struct bth_state *s, uint64_t owner) {
    struct bth_owner *row = owner ? bth_owners_find(&s->owners, owner) : NULL;
    if (row) {
        row->hands |= row->waiting > 0;
    }
    return row;
}

static void wait_in_queue(struct bth_state *s, const struct bth_event *e, struct bth_owner *owner,
                          bool inside, struct bth_actions *out) {
    struct bth_ticket *t = bth_ticket_add(s, e, owner, inside);
    const uint64_t id = t->id;
    if (s->now < t->expires && bth_ticket_would_deadlock(s, t, owner)) {
        bth_ticket_refuse(s, t, BTH_REASON_DEADLOCK, out);
        return;
    }
    if (bth_scope_of(s, e->scope)->queue.first == id) {
        bth_pump_scope(s, e->scope, out);
    }
    t = bth_table_get(&s->tickets, id);
    if (t && s->now >= t->expires) {
        bth_ticket_refuse(s, t, BTH_REASON_TIMEOUT, out);
    } else if (t) {
        struct bth_action *a = bth_act(out, BTH_ACT_QUEUED);
        a->id = id;
        a->arg = e->arg;
    }
}

void bth_on_acquire(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    if (s->closing) {
        bth_refuse(s, out, BTH_ACT_REFUSE, e->scope, BTH_REASON_SHUTDOWN)->arg = e->arg;
        return;
    }
    struct bth_owner *owner = take_owner(s, e->owner);
    bool inside = is_inside(bth_scope_of(s, e->scope), e->owner) ||
                  is_inside(bth_family_of(s, e->scope), e->owner);
    if (answer_holder(s, e, owner, inside, out)) {
        bth_pump_scope(s, e->scope, out); /* one more that the first there may wait for */
    } else if (!(e->scope & BTH_FAMILY) && s->models[e->scope].disabled) {
        bth_refuse(s, out, BTH_ACT_REFUSE, e->scope, BTH_REASON_DISABLED)->arg = e->arg;
    } else {
        owner = owner || !e->owner ? owner : bth_owners_add(&s->owners, e->owner);
        wait_in_queue(s, e, owner, inside, out);
    }
}

static void take_back(struct bth_state *s, struct bth_ticket *t, enum bth_reason reason,
                      struct bth_actions *out) {
    uint32_t scope = t->scope;
    bool first = bth_scope_of(s, scope)->queue.first == t->id;
    bth_ticket_refuse(s, t, reason, out);
    if (first) {
        bth_pump_scope(s, scope, out);
    }
}

void bth_on_cancel(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_ticket *t = bth_table_get(&s->tickets, e->id);
    if (t) {
        take_back(s, t, BTH_REASON_CANCELLED, out);
    }
}

void bth_on_release(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_lease_row *l = bth_table_get(&s->leases, e->id);
    if (!l) {
        return;
    }
    uint32_t scope = l->scope;
    bool held = l->state == BTH_LEASE_HELD;
    if (held) {
        let_go(s, l, out);
    }
    bth_table_drop(&s->leases, l);
    if (held) {
        bth_pump_scope(s, scope, out);
    }
}

/* ---- taking away ----------------------------------------------------------------------------*/

/* A use that has not begun is refused, one that runs is to be cancelled. */
static void revoke_use(struct bth_state *s, struct bth_use_row *u, struct bth_actions *out) {
    if (u->state == BTH_USE_WAIT) {
        bth_use_refuse(s, u, BTH_REASON_REVOKED, out);
    } else if (u->state == BTH_USE_OPEN) {
        u->lost = true;
    } else if (u->state == BTH_USE_RUN) {
        u->state = BTH_USE_CANCELLING;
        struct bth_action *a = bth_act(out, BTH_ACT_USE_CANCEL);
        a->id = u->id;
        a->arg = u->arg;
    }
}

/* Revokes what is due, and says when the next will be. */
static void revoke_due(struct bth_state *s, struct bth_actions *out) {
    struct bth_use_row *u;
    for (u = bth_table_next(&s->uses, NULL); u; u = bth_table_next(&s->uses, u)) {
        const struct bth_gen *g = bth_table_get(&s->gens, u->gen);
        const struct bth_lease_row *l = bth_table_get(&s->leases, u->lease);
        if (s->now >= g->revoke_at || (l && s->now >= l->revoke_at)) {
            revoke_use(s, u, out);
        }
    }
    s->revoke_at = BTH_FOREVER;
    s->stirred = true;
    struct bth_lease_row *l;
    for (l = bth_table_next(&s->leases, NULL); l; l = bth_table_next(&s->leases, l)) {
        if (l->state != BTH_LEASE_HELD) {
            continue;
        }
        if (s->now < l->revoke_at) {
            s->revoke_at = BTH_MIN(s->revoke_at, l->revoke_at);
            continue;
        }
        l->state = BTH_LEASE_REVOKED;
        let_go(s, l, out);
        l->gen = 0;
        struct bth_action *a = bth_act(out, BTH_ACT_REVOKED);
        a->id = l->id;
        a->arg = l->arg;
    }
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (s->now < g->revoke_at) { /* requests may outlive their lease */
            s->revoke_at = BTH_MIN(s->revoke_at, g->revoke_at);
        }
    }
}

/* Closes all that is loaded and gives its users, and whoever holds an exclusive, until `at`. */
static void drain(struct bth_state *s, uint64_t owner, int64_t at, struct bth_actions *out) {
    struct bth_gen *g;
    for (g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        g->revoke_at = BTH_MIN(g->revoke_at, at);
        bth_gen_close(s, g, out);
    }
    struct bth_lease_row *l;
    for (l = bth_table_next(&s->leases, NULL); l; l = bth_table_next(&s->leases, l)) {
        bool own = owner && l->owner == owner;
        l->revoke_at = BTH_MIN(l->revoke_at, own ? s->now : at);
    }
    revoke_due(s, out);
    bth_pump_all(s, out);
}

void bth_on_cleanup(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    drain(s, e->owner, e->expires, out);
}

void bth_on_revoke(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_lease_row *l = bth_table_get(&s->leases, e->id);
    if (l && l->state == BTH_LEASE_HELD) {
        l->revoke_at = BTH_MIN(l->revoke_at, s->now);
        revoke_due(s, out);
        bth_pump_all(s, out);
    }
}

void bth_on_close(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    s->closing = true;
    struct bth_ticket *t;
    for (t = bth_table_next(&s->tickets, NULL); t; t = bth_table_next(&s->tickets, t)) {
        bth_ticket_refuse(s, t, BTH_REASON_SHUTDOWN, out);
    }
    drain(s, 0, e->expires, out);
}

void bth_on_disable(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_model *m = &s->models[e->scope];
    struct bth_gen *g = bth_table_get(&s->gens, m->open);
    m->disabled = true;
    m->removed = e->removed;
    while (m->scope.queue.first) {
        bth_ticket_refuse(s, bth_table_get(&s->tickets, m->scope.queue.first), BTH_REASON_DISABLED,
                          out);
    }
    if (g) {
        bth_gen_close(s, g, out);
    }
    bth_pump_scope(s, e->scope, out);
    s->stirred = true;
}

/* Who waits for it, behind an exclusive perhaps, will use it soon. */
static bool is_over(const struct bth_state *s, const struct bth_gen *g) {
    const struct bth_model *m = &s->models[g->model];
    return g->inst == BTH_READY && g->uses == 0 && s->now >= g->idle_at &&
           (bth_gen_is_spare(s, g) ||
            (g->leases == 0 && m->scope.waiting == 0 && !bth_model_pinned(m)));
}

/* Unloads what has been idle for too long, and says when to look again. */
static void expire_idle(struct bth_state *s, struct bth_actions *out) {
    s->idle_at = BTH_FOREVER;
    s->stirred = true;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (is_over(s, g)) {
            g->expired = true;
            bth_gen_leave(s, g, out);
        } else if (s->now >= g->idle_at) {
            bth_gen_rest(s, g); /* whoever waits may leave without having used it */
        } else if (g->inst == BTH_READY && g->uses == 0) {
            s->idle_at = BTH_MIN(s->idle_at, g->idle_at);
        }
    }
}

void bth_on_tick(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_ticket *t = bth_table_get(&s->tickets, e->id);
    if (t && s->now >= t->expires) {
        take_back(s, t, BTH_REASON_TIMEOUT, out);
    }
    bool any = false;
    t = e->id ? NULL : bth_table_next(&s->tickets, NULL);
    for (; t; t = bth_table_next(&s->tickets, t)) {
        if (s->now >= t->expires) {
            bth_ticket_refuse(s, t, BTH_REASON_TIMEOUT, out);
            any = true;
        }
    }
    if (s->now >= s->revoke_at) {
        revoke_due(s, out);
        any = true;
    }
    if (s->now >= s->idle_at) {
        expire_idle(s, out);
        any = true;
    }
    if (any) {
        bth_pump_all(s, out);
    }
}

/* ---- asking ---------------------------------------------------------------------------------*/

/* Whether others than `owner` hold or want it for themselves. */
static bool others_exclude(const struct bth_state *s, const struct bth_scope *scope,
                           uint64_t owner) {
    if (scope->exclusive && (owner == 0 || scope->exclusive_owner != owner)) {
        return true;
    }
    if (scope->waiting_exclusive == 0) {
        return false;
    }
    const struct bth_ticket *t = bth_table_get(&s->tickets, scope->queue.first);
    while (t && (!t->exclusive || (owner && t->owner == owner))) {
        t = bth_table_get(&s->tickets, t->next);
    }
    return t != NULL;
}

/* Leases of others than `owner`, counted up to `most`. */
static uint32_t count_others(const struct bth_state *s, const struct bth_scope *scope,
                             uint64_t owner, uint32_t most) {
    uint32_t n = 0;
    const struct bth_lease_row *l = bth_table_get(&s->leases, scope->leases.first);
    for (; l && n < most; l = bth_table_get(&s->leases, l->next)) {
        n += owner == 0 || l->owner != owner;
    }
    return n;
}

bool bth_state_is_available(const struct bth_state *s, uint32_t scope, uint64_t owner,
                            uint32_t max_concurrent) {
    uint32_t family = scope & BTH_FAMILY ? scope & ~BTH_FAMILY : s->models[scope].family;
    if (others_exclude(s, &s->families[family], owner)) {
        return false;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_models && n < max_concurrent; i++) {
        if (bth_model_in(s, i, scope)) {
            if (others_exclude(s, &s->models[i].scope, owner)) {
                return false;
            }
            n += count_others(s, &s->models[i].scope, owner, max_concurrent - n);
        }
    }
    return n < max_concurrent;
}

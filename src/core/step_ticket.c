/*
 * Tickets: their places in the queues, and whom that would hurt.
 */
#include "core/step_private.h"

#include "base/compiler.h"

/* Puts a ticket into its queue, behind all that it may not overtake. */
static void link_ticket(struct bth_state *s, struct bth_ticket *t) {
    struct bth_scope *scope = bth_scope_of(s, t->scope);
    struct bth_list *q = &scope->queue;
    struct bth_ticket *next = t->seq ? NULL : bth_table_get(&s->tickets, q->first);
    struct bth_ticket *prev = t->seq ? bth_table_get(&s->tickets, q->last) : NULL;
    while (t->seq && prev && bth_ticket_before(t, prev)) {
        next = prev;
        prev = bth_table_get(&s->tickets, prev->prev);
    }
    t->prev = prev ? prev->id : 0;
    t->next = next ? next->id : 0;
    *(prev ? &prev->next : &q->first) = t->id;
    *(next ? &next->prev : &q->last) = t->id;
    scope->waiting++;
    scope->waiting_exclusive += t->exclusive;
}

static void unlink_ticket(struct bth_state *s, struct bth_ticket *t) {
    struct bth_scope *scope = bth_scope_of(s, t->scope);
    struct bth_ticket *prev = bth_table_get(&s->tickets, t->prev);
    struct bth_ticket *next = bth_table_get(&s->tickets, t->next);
    *(prev ? &prev->next : &scope->queue.first) = t->next;
    *(next ? &next->prev : &scope->queue.last) = t->prev;
    scope->waiting--;
    scope->waiting_exclusive -= t->exclusive;
}

/* He whose owner is inside comes first, all others by their keys. */
struct bth_ticket *bth_ticket_add(struct bth_state *s, const struct bth_event *e,
                                  struct bth_owner *owner, bool inside) {
    struct bth_ticket *t = bth_table_add(&s->tickets);
    *t = (struct bth_ticket){.id = t->id,
                             .arg = e->arg,
                             .scope = e->scope,
                             .exclusive = e->exclusive,
                             .max_concurrent = e->max_concurrent,
                             .priority = e->priority,
                             .owner = e->owner,
                             .party = owner ? owner->id : 0,
                             .key = inside ? INT64_MIN : s->now - e->priority * BTH_PRIORITY_NS,
                             .seq = inside ? 0 : ++s->last_seq,
                             .expires = e->expires};
    link_ticket(s, t);
    s->last_key = BTH_MAX(s->last_key, t->key);
    if (owner) {
        owner->ticket = t->id;
        owner->waiting++;
    }
    return t;
}

void bth_owner_rest(struct bth_state *s, struct bth_owner *owner) {
    if (owner->leases + owner->waiting == 0) {
        bth_owners_drop(&s->owners, owner);
    }
}

void bth_ticket_unlink(struct bth_state *s, struct bth_ticket *t) {
    struct bth_owner *owner = bth_table_get(&s->owners.rows, t->party);
    unlink_ticket(s, t);
    if (owner) {
        owner->waiting--;
        bth_owner_rest(s, owner);
    }
    bth_table_drop(&s->tickets, t);
}

void bth_ticket_refuse(struct bth_state *s, struct bth_ticket *t, enum bth_reason reason,
                       struct bth_actions *out) {
    struct bth_action *a = bth_refuse(s, out, BTH_ACT_REFUSE, t->scope, reason);
    a->why = t->exclusive ? BTH_WHY_LEASE : s->models[t->scope].why;
    a->arg = t->arg;
    bth_ticket_unlink(s, t);
}

void bth_tickets_refuse(struct bth_state *s, uint32_t scope, enum bth_reason reason,
                        struct bth_actions *out) {
    for (uint64_t id = s->models[scope].scope.queue.first; id;) {
        struct bth_ticket *t = bth_table_get(&s->tickets, id);
        id = t->next;
        if (!t->exclusive) {
            bth_ticket_refuse(s, t, reason, out);
        }
    }
}

/* Whether somebody who asked before it comes after it. */
static bool overtakes(struct bth_state *s, const struct bth_ticket *t) {
    const struct bth_ticket *last;
    if (!(t->scope & BTH_FAMILY)) {
        last = bth_table_get(&s->tickets, bth_family_of(s, t->scope)->queue.last);
        return t->next || (last && bth_ticket_before(t, last));
    }
    bool any = t->next != 0;
    for (uint32_t i = 0; i < s->n_models && !any; i++) {
        last = bth_table_get(&s->tickets, s->models[i].scope.queue.last);
        any = last && bth_model_in(s, i, t->scope) && bth_ticket_before(t, last);
    }
    return any;
}

bool bth_ticket_would_deadlock(struct bth_state *s, struct bth_ticket *t,
                               const struct bth_owner *owner) {
    const bool holds = owner && owner->leases > 0 && !owner->hands;
    const bool passes = t->seq && overtakes(s, t);
    if (!t->seq || (!holds && !passes) || !bth_ticket_is_stuck(s, t)) {
        return false;
    }
    if (passes) {
        unlink_ticket(s, t);
        t->key = s->last_key;
        link_ticket(s, t);
    }
    return holds && (!passes || bth_ticket_is_stuck(s, t));
}

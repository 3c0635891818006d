/*
 * Who would wait for ever.
 *
 * A ticket is answered once all that is before it in its queue and its family's, or its models',
 * has been answered, and the leases of others that keep it waiting have been given back; with a
 * max_concurrent, enough of them. Whoever holds leases and waits for something else gives them back
 * after that: so tickets wait for tickets. One that waits for itself by all ways of this kind is
 * stuck, and the newcomer who would close the ring is refused instead. Before him nobody was stuck,
 * so every ring has him in it.
 *
 * Only what is certain counts. Nobody's leases (owner 0) are thought to end, and so are those of an
 * owner who has asked for something while he waited: he has more hands than one to give back with.
 * Requests end. Bytes are not looked at. Whoever waits for a time only is thought to wait for ever.
 */
#include "core/step_private.h"

#include "base/clock.h"

/* Steps are short: a ring that is not found after so many looks is left to the time-outs. */
enum { LOOKS = 6000 };

struct search {
    struct bth_state *s;
    struct bth_ticket *start, *last; /* of those found, by their `found` */
    const struct bth_ticket *blocker;
    bool back; /* somebody waits for the start */
    int looks;
};

/* Said of a ticket that another waits for; true: that one goes on waiting. */
typedef bool look_fn(struct search *c, struct bth_ticket *t);

static struct bth_ticket *ticket(const struct search *c, uint64_t id) {
    return bth_table_get(&c->s->tickets, id);
}

/* What the holder of a lease waits for, before he lets go; NULL: he will. */
static struct bth_ticket *holder_waits(const struct search *c, const struct bth_lease_row *l,
                                       const struct bth_ticket *t) {
    const struct bth_owner *o = bth_table_get(&c->s->owners.rows, l->party);
    return o && l->party != t->party && o->waiting > 0 && !o->hands ? ticket(c, o->ticket) : NULL;
}

/* How many leases on just this keep `t` waiting: all, or exclusive ones only. */
static uint32_t count_leases(struct search *c, const struct bth_scope *scope,
                             const struct bth_ticket *t, bool all, look_fn *look) {
    uint32_t n = 0;
    const struct bth_lease_row *l = NULL;
    if (all || scope->exclusive > 0) {
        l = bth_table_get(&c->s->leases, scope->leases.first);
    }
    for (; l; l = bth_table_get(&c->s->leases, l->next)) {
        struct bth_ticket *first = all || l->exclusive ? holder_waits(c, l, t) : NULL;
        c->looks++;
        n += first && look(c, first);
    }
    return n;
}

/* The last of a queue that comes before `t`: the others are before that one. */
static bool queue_blocks(struct search *c, const struct bth_scope *scope,
                         const struct bth_ticket *t, look_fn *look) {
    struct bth_ticket *x = ticket(c, scope->queue.last);
    while (x && !bth_ticket_before(x, t)) {
        c->looks++;
        x = ticket(c, x->prev);
    }
    return x && look(c, x);
}

static bool family_blocks(struct search *c, const struct bth_ticket *t, look_fn *look) {
    const struct bth_state *s = c->s;
    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct bth_scope *scope = &s->models[i].scope;
        if (bth_model_in(s, i, t->scope) &&
            (queue_blocks(c, scope, t, look) || count_leases(c, scope, t, true, look) > 0)) {
            return true;
        }
    }
    return false;
}

static bool model_blocks(struct search *c, const struct bth_ticket *t, look_fn *look) {
    const struct bth_model *m = &c->s->models[t->scope];
    const struct bth_scope *family = &c->s->families[m->family];
    if (t->seq && queue_blocks(c, family, t, look)) {
        return true;
    }
    if (count_leases(c, family, t, true, look) > 0) {
        return true;
    }
    const uint32_t most = t->seq && !t->exclusive ? t->max_concurrent : 0;
    return most > 0 && m->scope.held >= most && count_leases(c, &m->scope, t, true, look) >= most;
}

/* Looks at all that `t` waits for until one says that it goes on waiting. */
static bool blocks(struct search *c, const struct bth_ticket *t, look_fn *look) {
    struct bth_ticket *before = ticket(c, t->prev);
    if (before && look(c, before)) {
        return true;
    }
    if (count_leases(c, bth_scope_of(c->s, t->scope), t, t->exclusive, look) > 0) {
        return true;
    }
    return t->scope & BTH_FAMILY ? family_blocks(c, t, look) : model_blocks(c, t, look);
}

/* ---- finding those who matter, then who of them will be answered -----------------------------*/

static bool find(struct search *c, struct bth_ticket *t) {
    c->looks++;
    c->back |= t == c->start;
    if (t->search != c->s->last_search) {
        t->search = c->s->last_search;
        t->found = 0;
        t->ends = false;
        c->last->found = t->id;
        c->last = t;
    }
    return false;
}

static bool waits_on(struct search *c, struct bth_ticket *t) {
    c->looks++;
    if (!t->ends) {
        c->blocker = t;
    }
    return !t->ends;
}

/* Last found first: they are the least likely to wait. */
static struct bth_ticket *turn_round(struct search *c) {
    struct bth_ticket *before = NULL;
    for (struct bth_ticket *t = c->start; t;) {
        struct bth_ticket *next = ticket(c, t->found);
        t->found = before ? before->id : 0;
        before = t;
        t = next;
    }
    return before;
}

static bool will_end(struct search *c) {
    struct bth_ticket *first = turn_round(c);
    for (bool any = true; any && !c->start->ends && c->looks < LOOKS;) {
        any = false;
        for (struct bth_ticket *t = first; t; t = ticket(c, t->found)) {
            if (!t->ends && !blocks(c, t, waits_on)) {
                t->ends = any = true;
            }
        }
    }
    return c->start->ends || c->looks >= LOOKS;
}

/* From one stuck ticket to the next that it waits for, and back to the first. */
static void name_ring(struct search *c) {
    struct bth_state *s = c->s;
    const struct bth_ticket *t = c->start;
    s->n_ring = 0;
    while (s->n_ring < BTH_RING_NAMES && blocks(c, t, waits_on) && c->blocker != c->start) {
        t = c->blocker;
        s->ring[s->n_ring++] = t->id;
    }
}

bool bth_ticket_is_stuck(struct bth_state *s, struct bth_ticket *t) {
    struct search c = {.s = s, .start = t, .last = t};
    t->search = ++s->last_search;
    t->found = 0;
    t->ends = false;
    for (const struct bth_ticket *x = t; x && c.looks < LOOKS; x = ticket(&c, x->found)) {
        blocks(&c, x, find);
    }
    if (!c.back || c.looks >= LOOKS || will_end(&c)) {
        return false;
    }
    name_ring(&c);
    return true;
}

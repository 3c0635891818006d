/*
 * tests/sim/spoil.h - errors of which each is put once into a seed of sim_core.c: the state, or an
 * answer, is spoilt after a step, and the simulator's own books are to show it. Wrong steps are in
 * mutants/.
 */
#ifndef BTH_SPOIL_H
#define BTH_SPOIL_H

#include "sim/core_world.h"

static const char *const mutant_names[N_MUTANTS] = {
    "none",        "lost grant",   "double grant",    "leaked byte",  "early free",
    "revived",     "miscounted",   "late time-out",   "overtaken",    "grant unloaded",
    "freed twice", "lost wake-up", "overbooked",      "kept revoked", "forgotten exclusive",
    "barged",      "kept lease",   "stuck exclusive", "missed ring",  "false ring",
    "double key",  "kept lost",    "misrouted"};

static bool one_in(struct world *w, uint64_t n) {
    return rnd(w, n) == 0;
}

static struct bth_gen *find_gen(struct world *w, enum bth_inst_state inst) {
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->inst == inst) {
            return g;
        }
    }
    return NULL;
}

static bool spoil_answer(struct world *w) {
    struct bth_action *a = find_action(w, BTH_ACT_GRANT);
    if (!a) {
        return false;
    }
    if (w->mutant == LOST_GRANT) {
        a->kind = BTH_ACT_QUEUED;
    } else if (w->mutant == DOUBLE_GRANT && w->actions.n < w->actions.capacity) {
        w->actions.items[w->actions.n++] = *a;
    } else {
        struct bth_gen *g = bth_table_get(&w->state.gens, a->gen);
        g->inst = BTH_LOADING;
    }
    return true;
}

/* The first model whose queue has a shared first ticket that did not come from inside. */
static struct bth_ticket *first_shared(struct world *w) {
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        struct bth_ticket *t =
            bth_table_get(&w->state.tickets, w->state.models[i].scope.queue.first);
        if (t && !t->exclusive && t->seq) {
            return t;
        }
    }
    return NULL;
}

static bool spoil_queue(struct world *w) {
    struct bth_ticket *a = first_shared(w);
    struct bth_ticket *b = a ? bth_table_get(&w->state.tickets, a->next) : NULL;
    if (w->mutant == BARGED) {
        if (a) {
            a->seq = 0;
        }
        return a != NULL;
    }
    if (!b || b->exclusive) {
        return false;
    }
    void *arg = a->arg;
    a->arg = b->arg;
    b->arg = arg;
    return true;
}

static bool spoil_exclusive(struct world *w) {
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        struct bth_scope *scope = &w->state.models[i].scope;
        struct bth_ticket *t = bth_table_get(&w->state.tickets, scope->queue.first);
        if (w->mutant == FORGOTTEN_EXCLUSIVE ? scope->exclusive > 0 : t && t->exclusive) {
            scope->exclusive = 0;
            scope->uses += w->mutant == STUCK_EXCLUSIVE; /* as if a wake-up had been lost */
            return true;
        }
    }
    return false;
}

static bool spoil_gen(struct world *w) {
    struct bth_gen *g = find_gen(w, w->mutant == OVERBOOKED    ? BTH_READY
                                    : w->mutant == LOST_WAKEUP ? BTH_LOADING
                                                               : BTH_DRAIN);
    if (!g) {
        return false;
    }
    if (w->mutant == EARLY_FREE) {
        g->inst = BTH_FREEING;
        g->op = ++w->state.last_op;
        w->state.devices[g->device].committed -= g->held;
        w->state.devices[g->device].freeing += g->held;
    } else if (w->mutant == REVIVED) {
        g->inst = BTH_READY;
    } else if (w->mutant == LOST_WAKEUP) { /* as if its waiters had not been looked at */
        if (g->closing || !w->state.models[g->model].scope.waiting) {
            return false;
        }
        g->inst = BTH_READY;
    } else {
        uint64_t more = bth_ledger_room(&w->state.devices[g->device]) + 1;
        g->res += more;
        w->state.devices[g->device].reserved += more;
    }
    return true;
}

/* As if it had been forgotten how many hands an owner has. */
static bool spoil_owner(struct world *w) {
    EACH_ROW(struct bth_owner, o, w->state.owners.rows) {
        if (o->hands == (w->mutant == FALSE_RING) && o->leases > 0) {
            o->hands = !o->hands;
            return w->mutant == FALSE_RING ? false : one_in(w, 50);
        }
    }
    return false;
}

/* A use on an instance that has more of them than another. */
static bool spoil_route(struct world *w) {
    struct bth_action *a = find_action(w, BTH_ACT_USE_OPENED);
    struct bth_gen *at = a ? bth_table_get(&w->state.gens, a->gen) : NULL;
    struct bth_use_row *u = a ? bth_table_get(&w->state.uses, a->id) : NULL;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (at && g != at && first_of(g) == first_of(at) && g->inst == BTH_READY &&
            g->uses >= at->uses) {
            at->uses--;
            g->uses++;
            u->gen = a->gen = g->id;
            return true;
        }
    }
    return false;
}

static bool spoil_now(struct world *w, const struct bth_event *e) {
    switch (w->mutant) {
    case LOST_GRANT:
    case DOUBLE_GRANT:
    case GRANT_UNLOADED:
        return spoil_answer(w);
    case LEAKED_BYTE:
        w->state.devices[0].committed++;
        return true;
    case EARLY_FREE:
    case REVIVED:
    case LOST_WAKEUP:
    case OVERBOOKED:
        return spoil_gen(w);
    case MISSED_RING:
    case FALSE_RING:
        return spoil_owner(w);
    case MISCOUNTED:
        w->state.models[0].scope.held++;
        return true;
    case FORGOTTEN_EXCLUSIVE:
    case STUCK_EXCLUSIVE:
        return spoil_exclusive(w);
    case OVERTAKEN:
    case BARGED:
        return spoil_queue(w);
    case MISROUTED:
        return spoil_route(w);
    case KEPT_REVOKED:
    case KEPT_LEASE:
    case KEPT_LOST:
        for (size_t i = 0; i < w->actions.n && e->kind != BTH_EV_RELEASE; i++) {
            if (w->actions.items[i].kind == (w->mutant == KEPT_LEASE  ? BTH_ACT_REVOKED
                                             : w->mutant == KEPT_LOST ? BTH_ACT_USE_LOST
                                                                      : BTH_ACT_USE_CANCEL)) {
                w->actions.items[i].kind = BTH_ACT_WORK;
                return true;
            }
        }
        return false;
    default: /* LATE_TIMEOUT and FREED_TWICE are the driver's */
        return false;
    }
}

static void spoil(struct world *w, const struct bth_event *e) {
    if (!w->spoilt && w->mutant && one_in(w, 4)) {
        w->spoilt = spoil_now(w, e);
    }
}

#endif

/*
 * A seeded simulation of core/step.h: clients, loaders and a clock that exist only here.
 *
 *     sim_core [--seeds N] [--first S]
 *
 * Each seed makes a small world (devices, models, sizes, habits), lets random events happen (late,
 * twice, in any order, with failures) and checks the invariants of the manager's model after every
 * single one, from its own books and not from the step's. Then it closes the world and checks that
 * nothing is left. Some seeds run twice: same seed, same actions.
 *
 * Mutants: the simulator spoils the state or an answer after a step in one known way and expects
 * its own checks to notice, so that a green run means something.
 *
 *   I1 every byte in one class     I2 nothing new while over the budget
 *   I3 an exclusive is alone with its owner     I4 grants only of READY
 *   I5 freed once, with nobody on  I6 one load per model and device, one open generation
 *   I7 one answer each, in time    I8 first come, first served    I9 nobody waits without a reason
 *   I10 evictions suffice          I11 nobody waits for ever in a ring
 *   I12 counts are right           stale events change nothing
 */
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

/* ---- mutants --------------------------------------------------------------------------------*/

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

/* ---- the driver -----------------------------------------------------------------------------*/

/* All that matters, so that "changes nothing" can be checked. */
static uint64_t state_hash(const struct bth_state *s) {
    uint64_t h = 7;
    for (uint32_t i = 0; i < s->n_devices; i++) {
        mix(&h, s->devices[i].reserved);
        mix(&h, s->devices[i].committed);
        mix(&h, s->devices[i].freeing);
        mix(&h, s->devices[i].residual);
    }
    for (uint32_t i = 0; i < s->n_models; i++) {
        mix(&h, s->models[i].open);
        mix(&h, s->models[i].est_state);
        mix(&h, s->models[i].failures);
        mix(&h, s->models[i].served);
        mix(&h, s->models[i].scope.held);
    }
    EACH_ROW(struct bth_gen, g, s->gens) {
        mix(&h, g->id);
        mix(&h, g->inst);
        mix(&h, g->op);
        mix(&h, g->leases);
        mix(&h, g->uses);
        mix(&h, bth_gen_bytes(g));
    }
    EACH_ROW(struct bth_ticket, t, s->tickets) {
        mix(&h, t->id);
    }
    EACH_ROW(struct bth_lease_row, l, s->leases) {
        mix(&h, l->id);
        mix(&h, l->state);
    }
    EACH_ROW(struct bth_use_row, u, s->uses) {
        mix(&h, u->id);
        mix(&h, u->state);
    }
    return h;
}

/* Something that comes too late or once too often. */
static void happen_stale(struct world *w, struct bth_event e) {
    uint64_t before = state_hash(&w->state);
    happen(w, e);
    HOLDS(w, state_hash(&w->state) == before && w->actions.n == 0, "a stale event did something");
}

/* ---- the loaders ----------------------------------------------------------------------------*/

static void loader_begin(struct world *w) {
    struct bth_op op = bth_state_next_op(&w->state);
    if (op.kind == BTH_OP_NONE || w->n_jobs == MAX_OPS) {
        return;
    }
    if (op.kind == BTH_OP_FREE) {
        struct instance *in = &w->instances[(uintptr_t)op.handle - 1];
        HOLDS(w, in->alive && in->gen == op.gen, "I5: freed twice");
        in->alive = w->mutant == FREED_TWICE ? in->alive : false;
    }
    w->jobs[w->n_jobs++] = (struct job){op, w->now + (int64_t)rnd(w, 400) * BTH_NS_PER_MS};
    happen(w, (struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
}

static void finish_estimate(struct world *w, const struct bth_op *op, struct berth_error *error) {
    struct bth_estimate est[BTH_MAX_DEVICES];
    for (size_t i = 0; i < BTH_MAX_DEVICES; i++) {
        est[i] = w->barred[op->model][i]
                     ? (struct bth_estimate){UINT64_MAX, UINT64_MAX, UINT64_MAX}
                     : (struct bth_estimate){w->size[op->model], w->spare[op->model],
                                             w->session[op->model]};
    }
    happen(w, (struct bth_event){.kind = BTH_EV_ESTIMATED,
                                 .op = op->id,
                                 .error = w->faults && one_in(w, 16) ? error : NULL,
                                 .estimates = est});
}

/* `op` is of an instance that was lost meanwhile: its end changes nothing, and the loader frees
 * what it has. */
static void finish_lost(struct world *w, const struct bth_op *op) {
    if (op->kind == BTH_OP_LOAD) {
        happen_stale(w, (struct bth_event){.kind = BTH_EV_LOAD_DONE, .op = op->id, .bytes = 5});
    } else {
        happen_stale(w, (struct bth_event){.kind = BTH_EV_FREE_DONE, .op = op->id});
    }
}

static void finish_load(struct world *w, const struct bth_op *op, struct berth_error *error) {
    struct bth_event e = {.kind = BTH_EV_LOAD_DONE, .op = op->id};
    if (w->n_instances == MAX_INSTANCES || (w->faults && one_in(w, 6))) {
        e.error = error;
        e.bytes = one_in(w, 10) ? 1 + rnd(w, 5) : 0;
        w->residual[op->device] += e.bytes;
    } else {
        e.bytes = op->est.weights - (one_in(w, 3) ? rnd(w, op->est.weights) : 0);
        e.bytes += w->faults && one_in(w, 12) ? rnd(w, 40) : 0; /* an engine that took more */
        e.spare = op->est.workspace;
        w->instances[w->n_instances++] = (struct instance){.gen = op->gen, .alive = true};
        e.handle = (void *)(uintptr_t)w->n_instances;
    }
    happen(w, e);
}

static void loader_end(struct world *w) {
    struct berth_error error = {.code = one_in(w, 2) ? BERTH_EFORMAT : BERTH_ENOMEM};
    size_t i = rnd(w, w->n_jobs);
    struct bth_op op = w->jobs[i].op;
    w->now = BTH_MAX(w->now, w->jobs[i].due);
    w->jobs[i] = w->jobs[--w->n_jobs];
    if (op.kind == BTH_OP_ESTIMATE) {
        finish_estimate(w, &op, &error);
    } else if (!bth_table_get(&w->state.gens, op.gen)) {
        finish_lost(w, &op);
    } else if (op.kind == BTH_OP_LOAD) {
        finish_load(w, &op, &error);
    } else {
        uint64_t left = w->faults && one_in(w, 40) ? 1 + rnd(w, 9) : 0;
        w->residual[op.device] += left;
        happen(w, (struct bth_event){.kind = BTH_EV_FREE_DONE, .op = op.id, .bytes = left});
        if (w->mutant == FREED_TWICE) {
            HOLDS(w, !w->instances[(uintptr_t)op.handle - 1].alive, "I5: freed and still alive");
        }
    }
    w->stale_op = op.id;
}

/* ---- the clients ----------------------------------------------------------------------------*/

static bool waits(const struct world *w, uint64_t owner) {
    bool any = false;
    EACH_CLIENT(o, w) {
        any |= o->state == WAITING && same_owner(o->owner, owner);
    }
    return any;
}

static void do_acquire(struct world *w) {
    size_t i = rnd(w, MAX_CLIENTS);
    struct client *c = &w->clients[i];
    if (c->state != ABSENT) {
        return;
    }
    int64_t wait = one_in(w, 8) ? 0 : (int64_t)rnd(w, 3000) * BTH_NS_PER_MS;
    *c = (struct client){.scope = (uint32_t)rnd(w, w->state.n_models),
                         .exclusive = one_in(w, w->exclusives),
                         .max_concurrent = one_in(w, 8) ? 1 + (uint32_t)rnd(w, 3) : 0,
                         .owner = one_in(w, 3) ? 0 : 1 + rnd(w, MAX_OWNERS),
                         .expires = one_in(w, 6) ? BTH_FOREVER : w->now + wait};
    if (c->exclusive && one_in(w, 3)) {
        c->scope = BTH_FAMILY | (uint32_t)rnd(w, N_FAMILIES);
    }
    if (w->one_hand && waits(w, c->owner)) {
        *c = (struct client){0};
        return;
    }
    if (one_in(w, w->priorities)) {
        c->priority =
            BTH_PRIORITY_LOWEST + (int)rnd(w, 1 + BTH_PRIORITY_HIGHEST - BTH_PRIORITY_LOWEST);
    }
    prepare_to_ask(w, c);
    happen(w,
           (struct bth_event){.kind = BTH_EV_ACQUIRE,
                              .scope = c->scope,
                              .exclusive = c->exclusive,
                              .max_concurrent = c->max_concurrent,
                              .priority = w->mutant == DOUBLE_KEY ? 2 * c->priority : c->priority,
                              .owner = c->owner,
                              .expires = c->expires,
                              .arg = (void *)(uintptr_t)(i + 1)});
}

static void do_cleanup(struct world *w) {
    int64_t deadline = w->now + (int64_t)rnd(w, 2000) * BTH_NS_PER_MS;
    if (w->n_sweeps == MAX_SWEEPS) {
        return;
    }
    w->sweeps[w->n_sweeps++] = (struct sweep){w->order, deadline};
    seen_sweeps++;
    uint64_t owner = rnd(w, MAX_OWNERS + 1), before = w->order;
    happen(w, (struct bth_event){.kind = BTH_EV_CLEANUP, .owner = owner, .expires = deadline});
    EACH_CLIENT(c, w) {
        HOLDS(w, c->state != HOLDING || !same_owner(c->owner, owner) || c->granted > before,
              "the caller's own leases are waited for");
    }
}

static void do_release(struct world *w, struct client *c) {
    if (c->state == HOLDING || c->state == REVOKED) {
        c->state = ABSENT;
        w->stale_lease = c->id;
        happen(w, (struct bth_event){.kind = BTH_EV_RELEASE, .id = c->id});
    } else if (c->state == WAITING && one_in(w, 6)) {
        happen(w, (struct bth_event){.kind = BTH_EV_CANCEL, .id = c->id});
        HOLDS(w, c->state == ABSENT, "I7: cancelled without an answer");
    }
}

static void do_revoke(struct world *w, const struct client *c) {
    if (c->state == HOLDING) {
        happen(w, (struct bth_event){.kind = BTH_EV_REVOKE, .id = c->id});
        HOLDS(w, c->state == REVOKED, "revoked, and still held");
    }
}

static void do_use(struct world *w) {
    struct use *u = &w->uses[rnd(w, MAX_USES)];
    const struct client *c = &w->clients[rnd(w, MAX_CLIENTS)];
    if (u->state == UNUSED && (c->state == HOLDING || c->state == REVOKED) && !c->exclusive) {
        *u = (struct use){.model = c->scope, .owner = c->owner};
        happen(w, (struct bth_event){.kind = BTH_EV_USE_OPEN,
                                     .id = c->id,
                                     .arg = (void *)(uintptr_t)(u - w->uses + 1)});
        HOLDS(w, (c->state == HOLDING && gen_of(w, c->scope, c->gen)) == (u->state == OPENED),
              "a use of a held lease opens");
    } else if (u->state == OPENED) {
        u->state = ASKED;
        u->bytes = one_in(w, 40) ? 100000 : rnd(w, 60);
        happen(w, (struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = u->id, .bytes = u->bytes});
    }
}

static void end_use(struct world *w, struct use *u) {
    uint64_t id = u->id;
    *u = (struct use){0};
    w->stale_use = id;
    happen(w, (struct bth_event){.kind = BTH_EV_USE_END, .id = id, .failed = one_in(w, 3)});
}

static void do_end_use(struct world *w) {
    struct use *u = &w->uses[rnd(w, MAX_USES)];
    if (u->state == RUNNING || u->state == ENDING || u->state == REFUSED ||
        (u->state != UNUSED && one_in(w, 8))) {
        if (!w->crowded || one_in(w, 3)) {
            end_use(w, u);
        }
    }
}

static void do_grow(struct world *w) {
    struct use *u = &w->uses[rnd(w, MAX_USES)];
    uint64_t more = rnd(w, 20);
    if (u->state == RUNNING) {
        const struct bth_gen *g = bth_table_get(&w->state.gens, u->gen);
        bool fits = bth_ledger_session_delta(g, g->use_bytes + more) <=
                    bth_ledger_room(&w->state.devices[g->device]);
        u->bytes += fits ? more : 0;
        happen(w, (struct bth_event){.kind = BTH_EV_GROW, .id = u->id, .use = true, .bytes = more});
        HOLDS(w, fits == (find_action(w, BTH_ACT_GROWN) != NULL), "I2: grown without room");
    } else if (w->n_jobs && w->jobs[0].op.kind == BTH_OP_LOAD) {
        happen(w, (struct bth_event){.kind = BTH_EV_GROW, .id = w->jobs[0].op.gen, .bytes = more});
    }
}

static void do_stale(struct world *w) {
    struct berth_error error = {.code = BERTH_EIO};
    switch (rnd(w, 6)) {
    case 0:
        happen_stale(w, (struct bth_event){.kind = BTH_EV_LOAD_DONE, .op = w->stale_op});
        break;
    case 1:
        happen_stale(w, (struct bth_event){.kind = BTH_EV_FREE_DONE, .op = w->stale_op});
        break;
    case 2:
        happen_stale(
            w, (struct bth_event){.kind = BTH_EV_ESTIMATED, .op = w->stale_op, .error = &error});
        break;
    case 3:
        happen_stale(w, (struct bth_event){.kind = BTH_EV_RELEASE, .id = w->stale_lease});
        break;
    case 4:
        happen_stale(w, (struct bth_event){.kind = BTH_EV_USE_END, .id = w->stale_use});
        break;
    default:
        happen_stale(w, (struct bth_event){.kind = BTH_EV_CANCEL, .id = w->stale_ticket});
    }
}

/* Whoever's time has come is told: each by himself, or all by one tick. */
static void catch_up(struct world *w) {
    bool due = w->now >= bth_state_next_deadline(&w->state), each = one_in(w, 2);
    if (w->mutant == LATE_TIMEOUT) {
        return;
    }
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        if (c->state == WAITING && w->now >= c->expires) {
            uint64_t id = each ? c->id : 0;
            happen(w, (struct bth_event){.kind = BTH_EV_TICK, .id = id});
        }
    }
    if (due) {
        happen(w, (struct bth_event){.kind = BTH_EV_TICK});
    }
}

/* Time passes, sometimes to a deadline exactly. */
static void do_time(struct world *w) {
    int64_t to = w->now + (int64_t)rnd(w, 300) * BTH_NS_PER_MS;
    to += one_in(w, 12) ? 5 * BTH_NS_PER_S : 0;
    int64_t due = bth_state_next_deadline(&w->state);
    EACH_CLIENT(c, w) {
        due = c->state == WAITING ? BTH_MIN(due, c->expires) : due;
    }
    w->now = due < to && one_in(w, 2) ? BTH_MAX(due, w->now) : to;
    catch_up(w);
    EACH_CLIENT(c, w) {
        HOLDS(w, c->state != WAITING || w->now < c->expires, "I7: answered too late");
    }
    check_sweeps(w);
}

/* A plan changes nothing. */
static void do_plan(struct world *w) {
    const uint32_t model = (uint32_t)rnd(w, w->state.n_models);
    struct bth_plan plan;
    if (one_in(w, 4)) {
        happen(w, (struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = model});
    }
    const uint64_t before = state_hash(&w->state);
    bth_state_plan(&w->state, model, &plan);
    HOLDS(w, state_hash(&w->state) == before, "a plan did something");
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        HOLDS(w, !g->victim, "a plan left a mark");
    }
}

/* As manager.c does it: whoever waits is looked at once. */
static void keep(struct world *w, uint32_t model, int64_t keep_alive, bool pinned) {
    bth_state_keep(&w->state, model, keep_alive, pinned);
    happen(w, (struct bth_event){.kind = BTH_EV_TICK});
}

static void do_keep(struct world *w) {
    const int64_t for_ms = 1 + (int64_t)rnd(w, 400);
    const uint32_t pin = (uint32_t)rnd(w, w->state.n_models);
    bth_state_pin(&w->state, pin, w->state.models[pin].pins == 0);
    keep(w, (uint32_t)rnd(w, w->state.n_models),
         one_in(w, 3) ? BTH_FOREVER : for_ms * BTH_NS_PER_MS, one_in(w, 4));
}

static void do_disable(struct world *w) {
    const uint32_t model = (uint32_t)rnd(w, w->state.n_models);
    w->disabled[model] = !w->disabled[model];
    happen(w, (struct bth_event){.kind = w->disabled[model] ? BTH_EV_DISABLE : BTH_EV_ENABLE,
                                 .scope = model,
                                 .removed = one_in(w, 2)});
}

static void do_lose(struct world *w) {
    happen(w, (struct bth_event){.kind = BTH_EV_DEVICE_LOST,
                                 .device = (uint32_t)rnd(w, w->state.n_devices)});
}

static void do_something(struct world *w) {
    uint64_t what = rnd(w, 100);
    if (one_in(w, w->disables)) {
        do_disable(w);
    }
    if (one_in(w, w->losses)) {
        do_lose(w);
    }
    if (one_in(w, w->keeps)) {
        do_keep(w);
    }
    if (one_in(w, 30)) {
        do_plan(w);
    } else if (one_in(w, w->unloads)) {
        happen(w, (struct bth_event){.kind = BTH_EV_UNLOAD,
                                     .scope = (uint32_t)rnd(w, w->state.n_models)});
    } else if (one_in(w, w->cleanups)) {
        do_cleanup(w);
    } else if (what < 14) {
        do_acquire(w);
    } else if (what < (w->crowded ? 20 : 34)) {
        struct client *c = &w->clients[rnd(w, MAX_CLIENTS)];
        if (one_in(w, 12)) {
            do_revoke(w, c);
        } else {
            do_release(w, c);
        }
    } else if (what < 48) {
        do_use(w);
    } else if (what < 58) {
        do_end_use(w);
    } else if (what < 73) {
        loader_begin(w);
    } else if (what < 86) {
        if (w->n_jobs) {
            loader_end(w);
            catch_up(w);
        }
    } else if (what < 89) {
        do_grow(w);
    } else if (what < 92) {
        do_stale(w);
    } else {
        do_time(w);
    }
}

/* ---- a seed ---------------------------------------------------------------------------------*/

static void build(struct world *w, uint64_t seed, enum mutant mutant) {
    *w = (struct world){
        .rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .mutant = mutant, .spoil = spoil};
    rnd(w, 2);
    w->crowded = one_in(w, 3);
    uint64_t budgets[4] = {100 + rnd(w, 400), 100 + rnd(w, 400), 100 + rnd(w, 400),
                           100 + rnd(w, 400)};
    const bool several = w->crowded || one_in(w, 4);
    bth_state_init(&w->state, budgets, several ? 2 + (uint32_t)rnd(w, 3) : 1);
    w->state.devices[w->state.n_devices - 1].kind = one_in(w, 4);
    uint64_t n = 1 + rnd(w, w->crowded ? 3 : MAX_MODELS);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t index;
        CHECK_INT(bth_state_add_model(&w->state, NULL, (uint32_t)rnd(w, N_FAMILIES), &index), 0);
        w->size[i] = 1 + rnd(w, one_in(w, 8) ? 600 : 150);
        w->spare[i] = rnd(w, 20);
        w->session[i] = rnd(w, 30);
        w->state.models[i].most = one_in(w, 2) ? 0 : 1 + (uint32_t)rnd(w, 3);
        if (w->state.n_devices > 1 && one_in(w, 3)) {
            w->barred[i][rnd(w, w->state.n_devices)] = true;
        }
    }
    w->faults = !one_in(w, 4);
    w->exclusives = w->crowded ? 100 : one_in(w, 3) ? 3 : one_in(w, 2) ? 8 : 1000000;
    w->cleanups = one_in(w, 4) ? 80 : 1000000;
    w->unloads = one_in(w, 3) ? 40 : 1000;
    w->keeps = one_in(w, 2) ? 12 : 1000000;
    w->disables = one_in(w, 4) ? 40 : 1000000;
    w->one_hand = one_in(w, 2);
    w->priorities = one_in(w, 2) ? 3 : 1000000;
    w->losses = one_in(w, w->crowded ? 2 : 6) ? 120 : 1000000;
    w->now = (int64_t)rnd(w, 1000) * BTH_NS_PER_S;
}

/* What sched and the loaders do: uses of revoked leases end, one way or another. */
static void work_on(struct world *w, bool revoked) {
    struct use *u = &w->uses[rnd(w, MAX_USES)];
    if (revoked && u->state == OPENED) {
        u->state = ASKED;
        happen(w, (struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = u->id, .bytes = 1});
    } else if (u->state == ENDING || u->state == REFUSED ||
               (revoked && u->state == RUNNING && w->mutant != KEPT_REVOKED)) {
        end_use(w, u);
    }
    if (one_in(w, 2)) {
        loader_begin(w);
    } else if (w->n_jobs) {
        loader_end(w);
        catch_up(w);
    } else {
        do_time(w);
    }
}

/* E1: faults stop, whoever holds a lease ends sooner or later: everybody is answered. */
static void answer_all(struct world *w) {
    bool waits = true;
    for (int i = 0; i < 20000 && waits; i++) {
        struct client *c = &w->clients[rnd(w, MAX_CLIENTS)];
        if (c->state == HOLDING || c->state == REVOKED) {
            do_release(w, c);
        }
        struct use *u = &w->uses[rnd(w, MAX_USES)];
        if (u->state != UNUSED) {
            end_use(w, u);
        }
        work_on(w, false);
        waits = false;
        EACH_CLIENT(o, w) {
            waits |= o->state == WAITING;
        }
    }
    HOLDS(w, !waits, "E1: somebody waits for ever");
}

/* A clean-up of holders who never let go: it ends, and whoever came meanwhile has not been hurt. */
static void clean_up_all(struct world *w) {
    for (int i = 0; i < 4; i++) {
        do_acquire(w);
    }
    uint64_t seq = w->state.last_seq;
    w->n_sweeps = 0;
    do_cleanup(w);
    int64_t deadline = w->sweeps[0].deadline;
    do_acquire(w);
    for (int i = 0; i < 4000 && bth_state_outlives(&w->state, seq); i++) {
        work_on(w, w->now >= deadline);
    }
    HOLDS(w, !bth_state_outlives(&w->state, seq), "a clean-up does not end");
}

static void check_empty(struct world *w) {
    HOLDS(w, bth_state_empty(&w->state), "E2: something is still loaded");
    for (size_t i = 0; i < w->n_instances; i++) {
        HOLDS(w, !w->instances[i].alive, "E2: an instance was forgotten");
    }
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        HOLDS(w, d->reserved + d->committed + d->freeing == 0 && d->residual == w->residual[i],
              "E2: bytes are missing");
    }
}

/* The end: everybody is answered, what is left is cleaned up, or the world just closes. */
static void finish(struct world *w) {
    w->faults = false;
    for (uint32_t i = 0; i < w->state.n_models; i++) { /* a pin may keep others waiting for ever */
        while (w->state.models[i].pins > 0) {
            bth_state_pin(&w->state, i, false);
        }
        keep(w, i, w->state.models[i].keep_alive, false);
    }
    if (one_in(w, 2)) {
        answer_all(w);
    }
    if (one_in(w, 2)) {
        clean_up_all(w);
    }
    int64_t deadline = w->now + (int64_t)rnd(w, 2000) * BTH_NS_PER_MS;
    happen(w, (struct bth_event){.kind = BTH_EV_CLOSE, .expires = deadline});
    do_acquire(w);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        HOLDS(w, w->clients[i].state != WAITING, "E2: waits after close");
    }
    for (int i = 0; i < 4000 && !bth_state_empty(&w->state); i++) {
        work_on(w, w->now >= deadline);
    }
    check_empty(w);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        do_release(w, &w->clients[i]);
    }
    HOLDS(w, w->state.leases.used == 0 && w->state.tickets.used == 0, "E2: rows are left");
}

/* false: an invariant was broken, see w->why. */
static bool run(struct world *w, uint64_t seed, enum mutant mutant) {
    build(w, seed, mutant);
    volatile bool good = false;
    if (setjmp(w->out) == 0) {
        for (int i = 0; i < STEPS; i++) {
            do_something(w);
        }
        finish(w);
        good = true;
    }
    bth_state_finish(&w->state);
    bth_actions_finish(&w->actions);
    return good;
}

static void run_mutants(struct world *w) {
    for (enum mutant m = NO_MUTANT + 1; m < N_MUTANTS; m++) {
        uint64_t seed = 1;
        while (seed <= 500 && run(w, seed, m)) {
            seed++;
        }
        if (seed > 500) {
            TEST_FAIL("mutant '%s' was not noticed", mutant_names[m]);
        }
        printf("mutant %-14s noticed at seed %llu: %s\n", mutant_names[m], (unsigned long long)seed,
               w->why);
    }
}

static void print_coverage(void) {
    static const char *const events[BTH_N_EVENTS] = {
        "ACQUIRE",   "CANCEL",    "RELEASE",   "USE_OPEN", "USE_BEGIN",   "USE_END", "OP_BEGIN",
        "ESTIMATED", "LOAD_DONE", "FREE_DONE", "GROW",     "UNLOAD",      "CLEANUP", "REVOKE",
        "CLOSE",     "ESTIMATE",  "DISABLE",   "ENABLE",   "DEVICE_LOST", "TICK"};
    static const char *const reasons[BTH_N_REASONS] = {
        "none", "memory",  "shutdown", "timeout",  "cancelled", "impossible", "load_failed",
        "lost", "revoked", "upgrade",  "deadlock", "disabled",  "device"};
    for (size_t i = 0; i < BTH_N_EVENTS; i++) {
        printf("%s %llu%s", events[i], (unsigned long long)seen_events[i],
               i + 1 < BTH_N_EVENTS ? ", " : "\nrefused: ");
        CHECK(seen_events[i] >= 100);
    }
    for (size_t i = BTH_REASON_SHUTDOWN; i < BTH_N_REASONS; i++) {
        printf("%s %llu, ", reasons[i], (unsigned long long)seen_reasons[i]);
        CHECK(seen_reasons[i] >= 100 || i == BTH_REASON_LOST || i == BTH_REASON_REVOKED);
    }
    printf("\nexclusives %llu, from inside %llu, clean-ups %llu, exclusives waiting %llu\n",
           (unsigned long long)seen_exclusives, (unsigned long long)seen_inside,
           (unsigned long long)seen_sweeps, (unsigned long long)seen_blocked);
    CHECK(seen_exclusives >= 100 && seen_inside >= 100 && seen_sweeps >= 100);
    printf("overtaken in queues %llu, last for others' sake %llu\n",
           (unsigned long long)seen_overtaken, (unsigned long long)seen_demoted);
    CHECK(seen_overtaken >= 100 && seen_demoted >= 20);
    printf("evictions %llu, unloaded after their time %llu, uses that waited %llu, uses cancelled "
           "%llu, leases revoked %llu\n",
           (unsigned long long)seen_evictions, (unsigned long long)seen_idle,
           (unsigned long long)seen_waits, (unsigned long long)seen_actions[BTH_ACT_USE_CANCEL],
           (unsigned long long)seen_actions[BTH_ACT_REVOKED]);
    printf("replicas after an event %llu, that left %llu, busy %llu, promoted for one lost %llu, "
           "instances lost %llu, uses %llu\n",
           (unsigned long long)seen_replicas, (unsigned long long)seen_spares,
           (unsigned long long)seen_drained, (unsigned long long)seen_heirs,
           (unsigned long long)seen_actions[BTH_ACT_LOST],
           (unsigned long long)seen_actions[BTH_ACT_USE_LOST]);
    CHECK(seen_replicas >= 100 && seen_spares >= 100 && seen_drained >= 100 && seen_heirs >= 100 &&
          seen_actions[BTH_ACT_USE_LOST] >= 100);
    CHECK(seen_evictions >= 100 && seen_idle >= 100 && seen_waits >= 100 &&
          seen_actions[BTH_ACT_USE_CANCEL] >= 100);
}

int main(int argc, char **argv) {
    static struct world w;
    unsigned long long seeds = getenv("BERTH_LONG") ? 100000 : 10000, first = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = strtoull(argv[i + 1], NULL, 10);
        } else {
            TEST_FAIL("usage: sim_core [--seeds N] [--first SEED]");
        }
    }
    for (unsigned long long seed = first; seed < first + seeds; seed++) {
        if (!run(&w, seed, NO_MUTANT)) {
            TEST_FAIL("seed %llu: %s", seed, w.why);
        }
        uint64_t hash = w.hash;
        if (seed % 16 == 0 && (!run(&w, seed, NO_MUTANT) || w.hash != hash)) {
            TEST_FAIL("seed %llu does not do the same twice", seed);
        }
    }
    printf("%llu seeds\n", seeds);
    if (seeds >= 500) {
        print_coverage();
        run_mutants(&w);
    }
    return 0;
}

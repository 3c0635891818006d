/*
 * A seeded simulation of core/step.h: clients, loaders and a clock that exist only here.
 *
 *     sim_core [--seeds N] [--first S]
 *     sim_core [--first S] --hunt N      the first of N seeds that fails, shrunk: for steps known
 * to be wrong
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
#include "sim/spoil.h"
#include <signal.h>
#include <sys/time.h>

/* Plans acted upon, by kind; the longest that anybody waited once all let go, ns. */
static uint64_t seen_plans[BTH_PLAN_IMPOSSIBLE + 1];
static int64_t longest_wait;

/* ---- the driver -----------------------------------------------------------------------------*/

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
    error = w->faults && one_in(w, 16) ? error : NULL;
    const struct bth_model *m = &w->state.models[op->model]; /* another may be asked for by now */
    book_load(w, op->model, error && m->est_op == op->id, false);
    happen(w, (struct bth_event){
                  .kind = BTH_EV_ESTIMATED, .op = op->id, .error = error, .estimates = est});
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
    const struct bth_gen *g = bth_table_get(&w->state.gens, op->gen);
    book_load(w, op->model, e.error && g->of == 0, !e.error); /* a replica is no matter */
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
        const struct bth_gen *g = bth_table_get(&w->state.gens, op.gen);
        uint64_t left = w->faults && one_in(w, 40) ? BTH_MIN(1 + rnd(w, 9), g->held) : 0;
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
    const bool upgrade = c->exclusive && c->order && holds_part(w, c, 0) && !w->state.closing;
    happen(w,
           (struct bth_event){.kind = BTH_EV_ACQUIRE,
                              .scope = c->scope,
                              .exclusive = c->exclusive,
                              .max_concurrent = c->max_concurrent,
                              .priority = w->mutant == DOUBLE_KEY ? 2 * c->priority : c->priority,
                              .owner = c->owner,
                              .expires = c->expires,
                              .arg = (void *)(uintptr_t)(i + 1)});
    HOLDS(w, !upgrade || c->state == ABSENT, "waits for his own lease");
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
    } else if (u->state == UNUSED && one_in(w, 6)) { /* of a lease that was given back */
        happen(w, (struct bth_event){.kind = BTH_EV_USE_OPEN,
                                     .id = w->stale_lease,
                                     .arg = (void *)(uintptr_t)(u - w->uses + 1)});
        HOLDS(w, u->state == UNUSED, "a use of no lease opens");
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

/* Nobody's lease is in the way of one more, and he is the last of all who wait. */
static bool is_open(struct world *w, uint32_t model) {
    const struct bth_model *m = &w->state.models[model];
    EACH_ROW(struct bth_ticket, t, w->state.tickets) {
        if (t->key > w->now) {
            return false;
        }
    }
    return m->scope.waiting == 0 && w->state.families[m->family].waiting == 0 &&
           bth_state_is_available(&w->state, model, 0, UINT32_MAX) && !w->state.closing &&
           w->state.gens.used < w->state.gens.capacity;
}

/* Whether just those that the plan names have been evicted; `before` is how many there were. */
static bool are_evicted(struct world *w, const struct bth_plan *plan, uint32_t before) {
    uint32_t named = 0, all = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        bool is = false;
        for (uint32_t i = 0; i < plan->n_victims; i++) {
            is |= plan->victims[i] == g->model && plan->device == g->device;
        }
        named += g->evicted && is;
        all += g->evicted;
    }
    return named >= plan->n_victims && all == before + plan->n_victims;
}

static uint32_t count_evicted(const struct world *w) {
    uint32_t n = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        n += g->evicted;
    }
    return n;
}

/* What a plan says is what comes of it. */
static void act(struct world *w, uint32_t model, const struct bth_plan *plan) {
    static const enum row rows[] = {[BTH_PLAN_DISABLED] = ROW_ACQUIRE_DISABLED,
                                    [BTH_PLAN_READY] = ROW_ACQUIRE_GRANTED,
                                    [BTH_PLAN_LOADING] = ROW_ACQUIRE_QUEUED_LOADING,
                                    [BTH_PLAN_UNKNOWN] = ROW_ACQUIRE_QUEUED_ESTIMATE,
                                    [BTH_PLAN_FAILED] = ROW_ACQUIRE_LOAD_FAILED,
                                    [BTH_PLAN_FITS] = ROW_ACQUIRE_QUEUED_LOADING,
                                    [BTH_PLAN_EVICTS] = ROW_ACQUIRE_QUEUED_BYTES,
                                    [BTH_PLAN_WAITS] = ROW_ACQUIRE_QUEUED_BYTES,
                                    [BTH_PLAN_IMPOSSIBLE] = ROW_ACQUIRE_IMPOSSIBLE};
    struct client *c = w->clients;
    while (c < w->clients + MAX_CLIENTS && c->state != ABSENT) {
        c++;
    }
    if (c == w->clients + MAX_CLIENTS) {
        return;
    }
    const uint32_t before = count_evicted(w);
    *c = (struct client){.scope = model, .expires = BTH_FOREVER};
    prepare_to_ask(w, c);
    const struct bth_event e = {.kind = BTH_EV_ACQUIRE,
                                .scope = model,
                                .expires = BTH_FOREVER,
                                .arg = (void *)(uintptr_t)(c - w->clients + 1)};
    happen(w, e);
    const enum row row = row_after(&w->state, &e, &w->actions);
    const bool lost = plan->kind == BTH_PLAN_IMPOSSIBLE && plan->why == BTH_REASON_DEVICE;
    HOLDS(w, row == (lost ? ROW_ACQUIRE_DEVICE : rows[plan->kind]), "plan %d: it came to row %d",
          (int)plan->kind, (int)row);
    HOLDS(w, are_evicted(w, plan, before), "plan: %u victims, and others went", plan->n_victims);
    const struct bth_gen *g = bth_table_get(&w->state.gens, w->state.models[model].open);
    HOLDS(w, plan->kind != BTH_PLAN_FITS || (g && g->device == plan->device),
          "plan: on another device");
    seen_plans[plan->kind]++;
}

/* A plan changes nothing. */
static void plan_for(struct world *w, uint32_t model, struct bth_plan *out) {
    const uint64_t before = whole_hash(&w->state);
    bth_state_plan(&w->state, model, out);
    HOLDS(w, whole_hash(&w->state) == before, "a plan did something");
}

static void do_plan(struct world *w) {
    uint32_t model = (uint32_t)rnd(w, w->state.n_models);
    struct bth_plan plan, other;
    if (one_in(w, 4)) {
        happen(w, (struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = model});
    }
    happen(w, (struct bth_event){.kind = BTH_EV_TICK}); /* a plan is as of the last event */
    plan_for(w, model, &plan);
    for (uint32_t i = 0; i < w->state.n_models; i++) { /* that kind is rare */
        plan_for(w, i, &other);
        if (other.kind == BTH_PLAN_EVICTS) {
            plan = other;
            model = i;
        }
    }
    if (is_open(w, model)) {
        act(w, model, &plan);
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

/* 12 s for each of MAX_CLIENTS, one after the other: an estimate, an eviction and a load take 0.4 s
 * each at most, the turns that whoever holds it takes to let go the rest. */
#define LONGEST_WAIT (12 * MAX_CLIENTS * BTH_NS_PER_S)

/* E1: faults stop, whoever holds a lease ends sooner or later: everybody is answered. */
static void answer_all(struct world *w) {
    bool waits = true;
    const int64_t began = w->now;
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
    HOLDS(w, w->now - began <= LONGEST_WAIT, "E1: somebody waited for %.0f s",
          (double)(w->now - began) / 1e9);
    longest_wait = BTH_MAX(longest_wait, w->now - began);
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

/* Each step draws numbers of its own, so that it does much the same when others are left out. */
static void reseed(struct world *w, uint64_t seed, uint64_t step) {
    uint64_t h = seed;
    mix(&h, step + 1);
    mix(&h, step + 1);
    w->rng = h | 1;
    rnd(w, 2);
}

/* false: an invariant was broken, see w->why. The steps in `skip`, or NULL, are left out. */
static bool run(struct world *w, uint64_t seed, enum mutant mutant, const bool skip[STEPS],
                bool told) {
    build(w, seed, mutant);
    w->told = told;
    w->quiet = mutant || skip;
    volatile bool good = false;
    if (setjmp(w->out) == 0) {
        for (int i = 0; i < STEPS; i++) {
            reseed(w, seed, (uint64_t)i);
            if (!skip || !skip[i]) {
                do_something(w);
            }
        }
        reseed(w, seed, STEPS);
        finish(w);
        good = true;
    }
    if (!w->crashed) { /* else who knows what is in it */
        bth_state_finish(&w->state);
        bth_actions_finish(&w->actions);
    }
    return good;
}

static void run_mutants(struct world *w) {
    for (enum mutant m = NO_MUTANT + 1; m < N_MUTANTS; m++) {
        uint64_t seed = 1;
        while (seed <= 500 && run(w, seed, m, NULL, false)) {
            seed++;
        }
        if (seed > 500) {
            TEST_FAIL("mutant '%s' was not noticed", mutant_names[m]);
        }
        printf("mutant %-14s noticed at seed %llu: %s\n", mutant_names[m], (unsigned long long)seed,
               w->why);
    }
}

/* Each is to have been seen so often. */
static void print_rows(uint64_t least) {
#define ROW_NAME(id, event, what) {event, what},
    static const struct { const char *event, *what; } names[N_ROWS] = {ROWS(ROW_NAME)};
#undef ROW_NAME
    int missing = 0;
    size_t rarest = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        rarest = seen_rows[i] < seen_rows[rarest] ? i : rarest;
        printf("%-10s %-42s %10llu%s\n", names[i].event, names[i].what,
               (unsigned long long)seen_rows[i], seen_rows[i] < least ? "  too few" : "");
        missing += seen_rows[i] < least;
    }
    if (missing) {
        fflush(stdout);
        TEST_FAIL("%d rows were seen less than %llu times", missing, (unsigned long long)least);
    }
    printf("measure 3: %d rows of the step's table, the rarest %llu times: %s, %s\n", (int)N_ROWS,
           (unsigned long long)seen_rows[rarest], names[rarest].event, names[rarest].what);
}

static void print_coverage(void) {
    print_rows(100);
    printf("exclusives %llu, from inside %llu, clean-ups %llu, exclusives waiting %llu\n",
           (unsigned long long)seen_exclusives, (unsigned long long)seen_inside,
           (unsigned long long)seen_sweeps, (unsigned long long)seen_blocked);
    CHECK(seen_exclusives >= 100 && seen_inside >= 100 && seen_sweeps >= 100);
    printf("overtaken in queues %llu, last for others' sake %llu\n",
           (unsigned long long)seen_overtaken, (unsigned long long)seen_demoted);
    static const char *const plans[] = {"ready", "loading", "unknown", "failed",    "disabled",
                                        "fits",  "evicts",  "waits",   "impossible"};
    printf("measure 6: plans acted upon as they said:");
    for (size_t i = 0; i <= BTH_PLAN_IMPOSSIBLE; i++) {
        printf(" %s %llu", plans[i], (unsigned long long)seen_plans[i]);
        CHECK(seen_plans[i] >= 20);
    }
    puts("");
    printf(
        "measure 4: faults over, leases let go: everybody answered within %.1f s (at most %.0f)\n",
        (double)longest_wait / 1e9, (double)LONGEST_WAIT / 1e9);
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

/* ---- a step that is wrong -------------------------------------------------------------------*/

static struct world *hunted;

static void on_crash(int number) {
    hunted->crashed = true;
    broken(hunted, "%s", number == SIGVTALRM ? "does not end" : "crash");
}

/* run() where a crash, a failed assertion or a loop without end is a broken invariant too. */
static bool run_wild(struct world *w, uint64_t seed, const bool skip[STEPS], bool told) {
    const struct itimerval most = {.it_value.tv_usec = 400000}, none = {.it_value.tv_usec = 0};
    hunted = w;
    setitimer(ITIMER_VIRTUAL, &most, NULL);
    const bool good = run(w, seed, NO_MUTANT, skip, told);
    setitimer(ITIMER_VIRTUAL, &none, NULL);
    return good;
}

static void set_range(bool skip[STEPS], int from, int to, bool to_skip, const bool was[STEPS]) {
    for (int i = from; i < to && i < STEPS; i++) {
        skip[i] = to_skip || was[i];
    }
}

/* Leaves out every range of steps without which the seed fails too, large ones first. */
static void shrink(struct world *w, uint64_t seed, bool skip[STEPS]) {
    bool was[STEPS];
    for (int size = STEPS / 2, any = 0; size > 0; size = any ? size : size / 2) {
        any = 0;
        for (int from = 0; from < STEPS; from += size) {
            memcpy(was, skip, sizeof(was));
            set_range(skip, from, from + size, true, was);
            if (memcmp(was, skip, sizeof(was)) == 0) {
                continue;
            }
            if (run_wild(w, seed, skip, false)) {
                set_range(skip, from, from + size, false, was);
            } else {
                any = 1;
            }
        }
    }
}

/* The first seed that fails, made small. 3: there is one. */
static int hunt(struct world *w, uint64_t first, uint64_t seeds) {
    bool skip[STEPS] = {false};
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &(struct sigaction){.sa_handler = on_crash, .sa_flags = SA_NODEFER},
                  NULL);
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (run_wild(w, seed, NULL, false)) {
            continue;
        }
        printf("seed %llu: %s\n", (unsigned long long)seed, w->why);
        CHECK(freopen("/dev/null", "w", stderr)); /* each failed assertion would say so */
        shrink(w, seed, skip);
        run_wild(w, seed, skip, true);
        printf("shrunk to %d events: %s\n", w->n_told, w->why);
        return 3;
    }
    printf("%llu seeds, nothing found\n", (unsigned long long)seeds);
    return 0;
}

int main(int argc, char **argv) {
    static struct world w;
    setvbuf(stdout, NULL, _IOLBF, 0);
    unsigned long long seeds = getenv("BERTH_LONG") ? 100000 : 10000, first = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--hunt") == 0) {
            return hunt(&w, first, strtoull(argv[i + 1], NULL, 10));
        } else {
            TEST_FAIL("usage: sim_core [--seeds N] [--first SEED] [--hunt N]");
        }
    }
    for (unsigned long long seed = first; seed < first + seeds; seed++) {
        if (!run(&w, seed, NO_MUTANT, NULL, false)) {
            TEST_FAIL("seed %llu: %s", seed, w.why);
        }
        uint64_t hash = w.hash;
        if (seed % 16 == 0 && (!run(&w, seed, NO_MUTANT, NULL, false) || w.hash != hash)) {
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

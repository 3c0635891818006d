/*
 * Every order of events of small worlds, breadth first, through the real step.
 *
 *     explore_core [depth]     (4; with BERTH_LONG 6, a minute; 7 takes some)
 *
 * Two owners with two callers each and two models of one family, the first loaded; in one world
 * both models fit, in another one at a time; in the third there are two devices, both have the
 * first, which is busy on one, and each may be lost. After each event all invariants of
 * core_world.h are checked, that nobody waits for ever in a ring among them, and that whoever was
 * refused for it would have (core_stuck.h); from each state that is new, everybody lets go and
 * everybody who waits must be answered. States are the same when what callers, queues, generations
 * and bytes look like is.
 */
#include "sim/core_world.h"

enum { CALLERS = 4, N_ASKS = 7, MAX_DEPTH = MAX_SWEEPS };

/* `crowd`: so many uses of the first model at the start, which end together. */
struct setting {
    uint64_t room[2];
    uint32_t n_devices;
    size_t crowd;
};
static const struct setting settings[] = {
    {{20}, 1, 0}, {{10}, 1, 0}, {{12, 8}, 2, BTH_REPLICA_USES}};
static const struct setting *setting;

static const struct ask {
    const char *what;
    uint32_t scope;
    bool exclusive;
    uint32_t max_concurrent;
    int priority;
} asks[N_ASKS] = {{"A", 0, false, 0, 0},
                  {"B", 1, false, 0, 0},
                  {"A, one at most", 0, false, 1, 0},
                  {"A exclusive", 0, true, 0, 0},
                  {"B exclusive", 1, true, 0, 0},
                  {"all exclusive", BTH_FAMILY, true, 0, 0},
                  {"A exclusive, before all", 0, true, 0, BTH_PRIORITY_HIGHEST}};

/* ---- what may happen ------------------------------------------------------------------------*/

/* Each caller asks in N_ASKS ways, lets go, begins a use, ends it; then what all share. */
enum { LET_GO = N_ASKS, BEGIN, END, PER_CALLER };
enum {
    WORK = CALLERS * PER_CALLER,
    FAIL,
    UNLOAD,
    DISABLE,
    CLEANUP,
    TIME,
    LOSE_ONE,
    LOSE_TWO,
    CROWD_ENDS,
    N_CHOICES
};

static bool work(struct world *w, bool fail) {
    struct berth_error error = {.code = BERTH_EIO};
    struct bth_op op = bth_state_next_op(&w->state);
    const struct bth_estimate est[BTH_MAX_DEVICES] = {{.weights = 6}, {.weights = 6}};
    struct bth_event e = {.op = op.id, .estimates = est, .error = fail ? &error : NULL};
    if (op.kind == BTH_OP_NONE || (fail && op.kind == BTH_OP_FREE)) {
        return false;
    }
    e.kind = op.kind == BTH_OP_ESTIMATE ? BTH_EV_ESTIMATED
             : op.kind == BTH_OP_LOAD   ? BTH_EV_LOAD_DONE
                                        : BTH_EV_FREE_DONE;
    e.bytes = op.kind == BTH_OP_LOAD && !fail ? 6 : 0;
    happen(w, (struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
    happen(w, e);
    return true;
}

static void acquire(struct world *w, size_t i, const struct ask *ask) {
    struct client *c = &w->clients[i];
    *c = (struct client){.scope = ask->scope,
                         .exclusive = ask->exclusive,
                         .max_concurrent = ask->max_concurrent,
                         .priority = ask->priority,
                         .owner = 1 + i / 2,
                         .expires = BTH_FOREVER};
    prepare_to_ask(w, c);
    happen(w, (struct bth_event){.kind = BTH_EV_ACQUIRE,
                                 .scope = c->scope,
                                 .exclusive = c->exclusive,
                                 .max_concurrent = c->max_concurrent,
                                 .priority = c->priority,
                                 .owner = c->owner,
                                 .expires = c->expires,
                                 .arg = (void *)(uintptr_t)(i + 1)});
}

static bool let_go(struct world *w, struct client *c) {
    bool waits = c->state == WAITING;
    if (c->state == ABSENT) {
        return false;
    }
    if (!waits) {
        c->state = ABSENT;
    }
    happen(w, (struct bth_event){.kind = waits ? BTH_EV_CANCEL : BTH_EV_RELEASE, .id = c->id});
    return true;
}

static bool begin_use(struct world *w, const struct client *c, size_t i, uint64_t bytes) {
    struct use *u = &w->uses[i];
    if (u->state != UNUSED || c->state != HOLDING || c->exclusive) {
        return false;
    }
    *u = (struct use){.model = c->scope, .owner = c->owner};
    happen(w, (struct bth_event){
                  .kind = BTH_EV_USE_OPEN, .id = c->id, .arg = (void *)(uintptr_t)(i + 1)});
    if (u->state != OPENED) {
        HOLDS(w, !gen_of(w, c->scope, c->gen), "a use of a held lease opens");
        return true;
    }
    u->state = ASKED;
    u->bytes = bytes;
    happen(w, (struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = u->id, .bytes = bytes});
    return true;
}

static bool end_use(struct world *w, struct use *u) {
    uint64_t id = u->id;
    if (u->state == UNUSED) {
        return false;
    }
    *u = (struct use){0};
    happen(w, (struct bth_event){.kind = BTH_EV_USE_END, .id = id});
    return true;
}

static bool lose(struct world *w, uint32_t device) {
    const bool can = setting->n_devices > 1 && !w->state.devices[device].lost;
    if (can) {
        happen(w, (struct bth_event){.kind = BTH_EV_DEVICE_LOST, .device = device});
    }
    return can;
}

static bool end_crowd(struct world *w) {
    bool any = false;
    for (size_t i = 0; i < setting->crowd; i++) {
        any |= end_use(w, &w->uses[CALLERS + i]);
    }
    return any;
}

/* false: it cannot happen here. */
static bool choose(struct world *w, int choice) {
    size_t i = (size_t)choice / PER_CALLER;
    int what = choice % PER_CALLER;
    switch (choice) {
    case WORK:
    case FAIL:
        return work(w, choice == FAIL);
    case UNLOAD:
        happen(w, (struct bth_event){.kind = BTH_EV_UNLOAD, .scope = 0});
        return true;
    case DISABLE: /* or enabled again */
        w->disabled[0] = !w->disabled[0];
        happen(w, (struct bth_event){.kind = w->disabled[0] ? BTH_EV_DISABLE : BTH_EV_ENABLE,
                                     .scope = 0});
        return true;
    case CLEANUP:
        w->sweeps[w->n_sweeps++] = (struct sweep){w->order, w->now + BTH_NS_PER_S};
        seen_sweeps++;
        happen(w, (struct bth_event){
                      .kind = BTH_EV_CLEANUP, .owner = 1, .expires = w->now + BTH_NS_PER_S});
        return true;
    case TIME: /* of a deadline, or until a model may be loaded again */
        w->now += 2 * BTH_NS_PER_S;
        happen(w, (struct bth_event){.kind = BTH_EV_TICK});
        check_sweeps(w);
        return true;
    case LOSE_ONE:
    case LOSE_TWO:
        return lose(w, choice == LOSE_TWO);
    case CROWD_ENDS:
        return end_crowd(w);
    }
    if (what == LET_GO) {
        return let_go(w, &w->clients[i]);
    }
    if (what == BEGIN) {
        return begin_use(w, &w->clients[i], i, 3);
    }
    if (what == END) {
        return end_use(w, &w->uses[i]);
    }
    if (w->clients[i].state != ABSENT) {
        return false;
    }
    acquire(w, i, &asks[what]);
    return true;
}

static void print_choice(int choice) {
    static const char *const common[] = {
        "a loader works",      "a loader fails", "A is unloaded",    "A is disabled, or enabled",
        "clean-up by owner 1", "time passes",    "device 0 is lost", "device 1 is lost",
        "the crowd's uses end"};
    int what = choice % PER_CALLER;
    if (choice >= WORK) {
        printf("  %s\n", common[choice - WORK]);
    } else {
        printf("  caller %d: %s\n", choice / PER_CALLER,
               what == LET_GO  ? "lets go"
               : what == BEGIN ? "begins a use"
               : what == END   ? "ends it"
                               : asks[what].what);
    }
}

/* ---- states ---------------------------------------------------------------------------------*/

/* All that decides what can happen from here on, without ids and absolute times. */
static uint64_t look_of(const struct world *w) {
    const struct bth_state *s = &w->state;
    uint64_t h = 11;
    for (size_t i = 0; i < CALLERS; i++) {
        const struct client *c = &w->clients[i];
        const struct bth_lease_row *l = bth_table_get(&s->leases, c->id);
        const struct bth_gen *g = c->state == HOLDING ? gen_of(w, c->scope, c->gen) : NULL;
        mix(&h, c->state);
        mix(&h, c->state == ABSENT ? 0 : c->scope);
        mix(&h, c->state == ABSENT ? 0 : c->exclusive + 2 * c->max_concurrent);
        mix(&h, c->state == HOLDING ? l->revoke_at != BTH_FOREVER : 0);
        mix(&h, c->state == HOLDING && g ? g->closing : 0);
        const struct bth_gen *at = bth_table_get(&s->gens, w->uses[i].gen);
        mix(&h, w->uses[i].state);
        mix(&h, w->uses[i].state == UNUSED ? 0 : w->uses[i].model);
        mix(&h, w->uses[i].state != UNUSED && at ? at->device : 0);
    }
    mix(&h, w->uses[CALLERS].state);
    for (uint32_t i = 0; i <= s->n_models; i++) {
        const struct bth_scope *scope = scope_of(w, i < s->n_models ? i : BTH_FAMILY);
        for (uint64_t id = scope->queue.first; id;) {
            const struct bth_ticket *t = bth_table_get(&s->tickets, id);
            uint64_t older = 0; /* its place among all */
            EACH_ROW(struct bth_ticket, o, s->tickets) {
                older += bth_ticket_before(o, t);
            }
            mix(&h, (uintptr_t)t->arg * 16 + older);
            mix(&h, t->key < s->now - 2 * BTH_PRIORITY_NS); /* before all that may come */
            id = t->next;
        }
        mix(&h, scope->exclusive * 4 + (scope->exclusive ? scope->exclusive_owner : 0));
    }
    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct bth_model *m = &s->models[i];
        mix(&h, m->why * 16 + m->est_state * 4 + m->hungry * 2 + m->disabled);
        mix(&h, s->now < m->retry_at ? (uint64_t)(m->retry_at - s->now) : 0);
        mix(&h, m->failures);
        uint64_t gens = 0;
        EACH_ROW(struct bth_gen, g, s->gens) {
            uint64_t one = 13;
            mix(&one, g->inst * 4 + g->closing * 2 + (m->open == g->id));
            mix(&one, g->leases * 64 + g->uses * 8 + (g->revoke_at != BTH_FOREVER));
            mix(&one, bth_gen_bytes(g));
            mix(&one, g->device * 4 + (g->of != 0) * 2 + g->evicted);
            gens += g->model == i ? one : 0;
        }
        mix(&h, gens);
    }
    mix(&h, s->devices[0].earmark);
    mix(&h, w->hands[1] * 2 + w->hands[2]);
    mix(&h, s->devices[1].earmark);
    mix(&h, s->devices[0].lost + 2 * s->devices[1].lost);
    mix(&h, s->waiting.first != 0);
    return h;
}

/* Open addressing; 0 is free. */
static struct {
    uint64_t *keys; /* [capacity] */
    size_t n, capacity;
} known;

static bool is_new(uint64_t key) {
    key += key == 0;
    if (2 * known.n >= known.capacity) {
        size_t capacity = known.capacity ? 2 * known.capacity : 1 << 16;
        uint64_t *keys = calloc(capacity, sizeof(*keys));
        CHECK(keys);
        for (size_t i = 0; i < known.capacity; i++) {
            size_t at = known.keys[i] & (capacity - 1);
            while (known.keys[i] && keys[at]) {
                at = (at + 1) & (capacity - 1);
            }
            keys[at] = known.keys[i] ? known.keys[i] : keys[at];
        }
        free(known.keys);
        known.keys = keys;
        known.capacity = capacity;
    }
    size_t at = key & (known.capacity - 1);
    while (known.keys[at] && known.keys[at] != key) {
        at = (at + 1) & (known.capacity - 1);
    }
    if (known.keys[at]) {
        return false;
    }
    known.keys[at] = key;
    known.n++;
    return true;
}

/* ---- the search -----------------------------------------------------------------------------*/

struct path {
    uint8_t choices[MAX_DEPTH];
};

static void begin(struct world *w) {
    *w = (struct world){.rng = 1, .now = BTH_NS_PER_S};
    bth_state_init(&w->state, setting->room, setting->n_devices);
    for (uint32_t i = 0, index; i < 2; i++) {
        CHECK_INT(bth_state_add_model(&w->state, NULL, 0, &index), 0);
    }
    w->unchecked = true;
    acquire(w, 0, &asks[0]);
    work(w, false);
    work(w, false);
    for (size_t i = 0; i < setting->crowd; i++) {
        CHECK(begin_use(w, &w->clients[0], CALLERS + i, 1));
    }
    CHECK(setting->crowd == 0 || work(w, false)); /* the replica */
    let_go(w, &w->clients[0]);
}

/* Everybody lets go of what he holds until nothing can happen any more. */
static void answer_all(struct world *w) {
    for (int quiet = 0; quiet < 3;) {
        bool any = work(w, false) | end_crowd(w);
        for (size_t i = 0; i < CALLERS; i++) {
            any |= end_use(w, &w->uses[i]);
            any |= w->clients[i].state != WAITING && let_go(w, &w->clients[i]);
        }
        quiet = any ? 0 : quiet + 1;
    }
    for (size_t i = 0; i < CALLERS; i++) {
        HOLDS(w, w->clients[i].state == ABSENT, "E1: caller %zu waits for ever", i);
    }
    HOLDS(w, w->state.leases.used + w->state.uses.used == 0, "E2: rows are left");
}

/* true: it leads to a state that is new. */
static bool try(const struct path *p, int depth) {
    static struct world w;
    begin(&w);
    volatile bool fresh = false;
    if (setjmp(w.out) == 0) {
        for (int i = 0; i < depth; i++) {
            w.unchecked = i + 1 < depth;
            if (!choose(&w, p->choices[i])) {
                break; /* the last: the others could happen */
            }
            if (i + 1 == depth && is_new(look_of(&w))) {
                fresh = true;
                answer_all(&w);
            }
        }
    } else {
        for (int i = 0; i < depth; i++) {
            print_choice(p->choices[i]);
        }
        TEST_FAIL("world %d: %s", (int)(setting - settings), w.why);
    }
    bth_state_finish(&w.state);
    bth_actions_finish(&w.actions);
    return fresh;
}

static void explore(int depth) {
    struct path *level = calloc(1, sizeof(*level)), *next = NULL;
    size_t n = 1, n_next = 0, capacity = 0;
    known.n = 0;
    memset(known.keys, 0, known.capacity * sizeof(*known.keys));
    for (int d = 1; d <= depth; d++) {
        for (size_t i = 0; i < n; i++) {
            for (int choice = 0; choice < N_CHOICES; choice++) {
                struct path p = level[i];
                p.choices[d - 1] = (uint8_t)choice;
                if (!try(&p, d)) {
                    continue;
                }
                if (n_next == capacity) {
                    capacity = capacity ? 2 * capacity : 1024;
                    next = realloc(next, capacity * sizeof(*next));
                    CHECK(next);
                }
                next[n_next++] = p;
            }
        }
        printf("world %d, depth %d: %zu new states; refused in rings %llu\n",
               (int)(setting - settings), d, n_next,
               (unsigned long long)seen_reasons[BTH_REASON_DEADLOCK]);
        free(level);
        level = next;
        n = n_next;
        next = NULL;
        n_next = capacity = 0;
    }
    free(level);
}

int main(int argc, char **argv) {
    int depth = argc > 1 ? atoi(argv[1]) : getenv("BERTH_LONG") ? 6 : 4;
    CHECK(depth >= 1 && depth <= MAX_DEPTH);
    CHECK(is_new(1)); /* makes the table */
    for (setting = settings; setting < settings + BTH_COUNT(settings); setting++) {
        explore(depth);
    }
    free(known.keys);
    return 0;
}

/*
 * Every order of events of small worlds, breadth first, through the real step.
 *
 *     explore_core [depth]     (as the worlds' table says, deeper with BERTH_LONG)
 *
 * Two models of one family, the first loaded; one device or two, where both models fit or one at a
 * time; two owners with two callers each, or three with one; in one world both devices have the
 * first model, which is busy on one, and each may be lost. After each event all invariants of
 * core_world.h are checked, that nobody waits for ever in a ring among them, and that whoever was
 * refused for it would have (core_stuck.h); from each state that is new, plans change nothing, then
 * everybody lets go and everybody who waits must be answered. States are the same when what
 * callers, queues, generations and bytes look like is. The last world leaves out what can be
 * counted without end (failures, clean-ups, time), so that at some depth there is nothing new:
 * closure.
 */
#include "sim/core_world.h"

enum { CALLERS = 4, N_ASKS = 7, MAX_DEPTH = 64 };
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

static const struct setting {
    const char *what;
    uint64_t rooms[2];
    uint32_t n_devices;
    size_t callers, each; /* each: of an owner */
    size_t crowd;         /* so many uses of the first model at the start, which end together */
    int depth, long_depth;
    bool bounded; /* what can be counted without end is left out */
} settings[] = {
    {"2 owners, room for both", {20}, 1, 4, 2, 0, 4, 5, false},
    {"2 owners, room for one", {10}, 1, 4, 2, 0, 4, 5, false},
    {"3 owners, 2 devices, room for one on each", {10, 10}, 2, 3, 1, 0, 4, 6, false},
    {"3 owners, 2 devices, room for one on one of them", {10, 4}, 2, 3, 1, 0, 4, 6, false},
    {"2 owners, 2 devices that may be lost, both busy",
     {12, 8},
     2,
     4,
     2,
     BTH_REPLICA_USES,
     3,
     5,
     false},
    {"3 owners, 2 devices, nothing without end", {10, 10}, 2, 3, 1, 0, 6, 10, true},
    {"2 owners, 2 devices, nothing without end", {10, 10}, 2, 2, 1, 0, 8, MAX_DEPTH, true},
};
static const struct setting *setting;

/* ---- what may happen ------------------------------------------------------------------------*/

/* Each caller asks in N_ASKS ways, lets go, begins a use, ends it; then what all share. */
enum { LET_GO = N_ASKS, BEGIN, END, PER_CALLER };
enum {
    WORK = CALLERS * PER_CALLER,
    UNLOAD,
    DISABLE,
    ESTIMATE,
    PIN,
    LOSE_ONE,
    LOSE_TWO,
    CROWD_ENDS,
    FAIL,
    CLEANUP,
    KEEP,
    TIME,
    N_CHOICES,
    FIRST_WITHOUT_END = FAIL
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
    book_load(w, op.model, fail, op.kind == BTH_OP_LOAD);
    happen(w, e);
    return true;
}

static void acquire(struct world *w, size_t i, const struct ask *ask) {
    struct client *c = &w->clients[i];
    *c = (struct client){.scope = ask->scope,
                         .exclusive = ask->exclusive,
                         .max_concurrent = ask->max_concurrent,
                         .priority = ask->priority,
                         .owner = 1 + i / setting->each,
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

/* As manager.c does it. */
static void keep(struct world *w, int64_t keep_alive, bool pinned) {
    bth_state_keep(&w->state, 0, keep_alive, pinned);
    happen(w, (struct bth_event){.kind = BTH_EV_TICK});
}

static bool lose(struct world *w, uint32_t device) {
    const bool can = setting->crowd > 0 && !w->state.devices[device].lost;
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
    const struct bth_model *a = &w->state.models[0];
    size_t i = (size_t)choice / PER_CALLER;
    int what = choice % PER_CALLER;
    switch (choice) {
    case ESTIMATE:
        happen(w, (struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = 1});
        return true;
    case PIN:
        keep(w, a->keep_alive, !a->pinned);
        return true;
    case KEEP:
        keep(w, a->keep_alive == BTH_FOREVER ? BTH_NS_PER_S : BTH_FOREVER, a->pinned);
        return true;
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
        if (w->n_sweeps == MAX_SWEEPS) {
            return false;
        }
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
    if (w->clients[i].state != ABSENT || i >= setting->callers) {
        return false;
    }
    acquire(w, i, &asks[what]);
    return true;
}

static void print_choice(int choice) {
    static const char *const common[] = {"a loader works",
                                         "A is unloaded",
                                         "A is disabled, or enabled",
                                         "B's size is asked for",
                                         "A is pinned, or no more",
                                         "device 0 is lost",
                                         "device 1 is lost",
                                         "the crowd's uses end",
                                         "a loader fails",
                                         "clean-up by owner 1",
                                         "A is kept for a second, or for ever",
                                         "time passes"};
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
        mix(&h, m->pinned * 2 + (m->keep_alive == BTH_FOREVER));
        uint64_t gens = 0;
        EACH_ROW(struct bth_gen, g, s->gens) {
            uint64_t one = 13;
            mix(&one, g->inst * 4 + g->closing * 2 + (m->open == g->id));
            mix(&one, g->device);
            mix(&one, g->idle_at == BTH_FOREVER ? 0 : (uint64_t)(g->idle_at - s->now) + 1);
            mix(&one, g->leases * 64 + g->uses * 8 + (g->revoke_at != BTH_FOREVER));
            mix(&one, bth_gen_bytes(g));
            mix(&one, g->device * 4 + (g->of != 0) * 2 + g->evicted);
            gens += g->model == i ? one : 0;
        }
        mix(&h, gens);
    }
    for (uint32_t i = 0; i < s->n_devices; i++) {
        mix(&h, s->devices[i].earmark * 2 + s->devices[i].lost);
    }
    for (size_t i = 0; i <= MAX_OWNERS; i++) {
        mix(&h, w->hands[i]);
    }
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
    bth_state_init(&w->state, setting->rooms, setting->n_devices);
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

static void check_plans(struct world *w) {
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        struct bth_plan plan;
        const uint64_t before = whole_hash(&w->state);
        bth_state_plan(&w->state, i, &plan);
        HOLDS(w, whole_hash(&w->state) == before, "a plan did something");
    }
}

/* Everybody lets go of what he holds until nothing can happen any more. */
static void answer_all(struct world *w) {
    for (int quiet = 0; quiet < 3;) {
        bool any = work(w, false);
        any |= end_crowd(w);
        for (size_t i = 0; i < CALLERS; i++) {
            any |= end_use(w, &w->uses[i]);
            any |= w->clients[i].state != WAITING && let_go(w, &w->clients[i]);
        }
        if (w->state.models[0].pinned) { /* it may be in the way for ever */
            keep(w, BTH_FOREVER, false);
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
                check_plans(&w);
                answer_all(&w);
            }
        }
    } else {
        for (int i = 0; i < depth; i++) {
            print_choice(p->choices[i]);
        }
        TEST_FAIL("%s: %s", setting->what, w.why);
    }
    bth_state_finish(&w.state);
    bth_actions_finish(&w.actions);
    return fresh;
}

static bool may_choose(int choice) {
    return !setting->bounded || choice < FIRST_WITHOUT_END;
}

/* All that one more choice makes of those of a level. */
static struct path *go_on(const struct path *level, size_t n, int depth, size_t *out_n) {
    struct path *next = NULL;
    size_t n_next = 0, capacity = 0;
    for (size_t i = 0; i < n; i++) {
        for (int choice = 0; choice < N_CHOICES; choice++) {
            struct path p = level[i];
            p.choices[depth - 1] = (uint8_t)choice;
            if (!may_choose(choice) || !try(&p, depth)) {
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
    *out_n = n_next;
    return next;
}

static void explore(int depth) {
    struct path *level = calloc(1, sizeof(*level));
    size_t n = 1, all = 1;
    int d = 0;
    known.n = 0;
    memset(known.keys, 0, known.capacity * sizeof(*known.keys));
    while (d < depth && n > 0) {
        struct path *next = go_on(level, n, ++d, &n);
        free(level);
        level = next;
        all += n;
    }
    printf("measure 2: %s: %zu states, %s depth %d\n", setting->what, all,
           n ? "all to" : "closure: nothing new beyond", n ? d : d - 1);
    free(level);
}

int main(int argc, char **argv) {
    const int given = argc > 1 ? atoi(argv[1]) : 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(given >= 0 && given <= MAX_DEPTH);
    CHECK(is_new(1)); /* makes the table */
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        setting = &settings[i];
        explore(given ? given : getenv("BERTH_LONG") ? setting->long_depth : setting->depth);
    }
    free(known.keys);
    return 0;
}

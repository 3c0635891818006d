/*
 * tests/sim/core_world.h - the world of sim_core.c and explore_core.c: its books, what it makes of
 * the step's answers, and what must hold in it after every event.
 *
 * A broken invariant ends the seed (longjmp) with a sentence in `why`.
 */
#ifndef BTH_CORE_WORLD_H
#define BTH_CORE_WORLD_H

#include "base/clock.h"
#include "core/ledger.h"
#include "core/step.h"
#include "lib/test.h"
#include "sim/rows.h"
#include "sim/state_hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

enum {
    MAX_MODELS = 6,
    N_FAMILIES = 2,
    MAX_OWNERS = 6,
    MAX_SWEEPS = 16,
    MAX_CLIENTS = 24,
    MAX_USES = 32,
    MAX_OPS = BTH_LOADERS,
    MAX_INSTANCES = 512,
    STEPS = 400
};

enum client_state { ABSENT, WAITING, HOLDING, REVOKED };
struct client {
    enum client_state state;
    uint32_t scope;
    bool exclusive;
    uint32_t max_concurrent;
    int priority;
    uint64_t owner;
    uint64_t id;      /* of the ticket, then of the lease */
    uint64_t gen;     /* serial of the generation; 0: exclusive */
    int64_t key;      /* of asking: earlier by his priority, unless that would have hurt; */
    uint64_t order;   /* then in this order; 0: from inside his own exclusive */
    uint64_t granted; /* order of the grant */
    int64_t expires;
};

/* A clean-up: what was granted until then is gone when its time is over. */
struct sweep {
    uint64_t granted;
    int64_t deadline;
};

enum use_state { UNUSED, OPENED, ASKED, RUNNING, ENDING, REFUSED };
struct use {
    enum use_state state;
    uint32_t model;
    uint64_t id, gen, bytes, owner;
};

/* What a loader has in hand; a loaded instance is known by its index, which is its handle. */
struct job {
    struct bth_op op;
    int64_t due;
};
struct instance {
    uint64_t gen;
    bool alive;
};

enum mutant {
    NO_MUTANT,
    LOST_GRANT,
    DOUBLE_GRANT,
    LEAKED_BYTE,
    EARLY_FREE,
    REVIVED,
    MISCOUNTED,
    LATE_TIMEOUT,
    OVERTAKEN,
    GRANT_UNLOADED,
    FREED_TWICE,
    LOST_WAKEUP,
    OVERBOOKED,
    KEPT_REVOKED,
    FORGOTTEN_EXCLUSIVE,
    BARGED,
    KEPT_LEASE,
    STUCK_EXCLUSIVE,
    MISSED_RING,
    FALSE_RING,
    DOUBLE_KEY,
    KEPT_LOST,
    MISROUTED,
    N_MUTANTS
};
struct world {
    struct bth_state state;
    struct bth_actions actions;
    uint64_t rng, hash, order, total_before[BTH_MAX_DEVICES], residual[BTH_MAX_DEVICES];
    int64_t now;
    uint64_t size[MAX_MODELS], spare[MAX_MODELS], session[MAX_MODELS];
    bool barred[MAX_MODELS][BTH_MAX_DEVICES]; /* no load of the model there */
    uint32_t failures[MAX_MODELS];            /* in a row */
    int64_t failed_at[MAX_MODELS];
    struct client clients[MAX_CLIENTS];
    bool hands[MAX_OWNERS + 1]; /* has asked for something while he waited, */
    bool one_hand;              /* which nobody does in this world */
    bool disabled[MAX_MODELS];
    struct sweep sweeps[MAX_SWEEPS];
    size_t n_sweeps;
    struct use uses[MAX_USES];
    struct job jobs[MAX_OPS];
    size_t n_jobs;
    struct instance instances[MAX_INSTANCES];
    size_t n_instances;
    uint64_t stale_op, stale_lease, stale_ticket, stale_use;
    uint64_t old_gens[MAX_INSTANCES]; /* generations that have died */
    size_t n_old;
    bool faults;
    uint64_t exclusives; /* one in so many acquires */
    uint64_t cleanups;   /* one in so many events */
    uint64_t unloads;    /* one in so many events */
    uint64_t losses;     /* one in so many events */
    bool crowded;        /* uses last, so that there are many */
    uint64_t keeps;      /* one in so many events */
    uint64_t disables;   /* one in so many events */
    uint64_t priorities; /* one in so many acquires has an unusual one */
    enum mutant mutant;
    bool spoilt;
    void (*spoil)(struct world *w, const struct bth_event *e); /* or NULL */
    bool unchecked; /* events that have been checked already */
    bool quiet;     /* not counted for the rows */
    bool crashed;   /* the step itself, while hunted */
    bool told;      /* prints what happens */
    int n_told;     /* events that changed something */
    int last_event;
    char why[256];
    jmp_buf out;
};

static uint64_t seen_events[BTH_N_EVENTS], seen_reasons[BTH_N_REASONS], seen_evictions, seen_idle,
    seen_waits, seen_inside, seen_exclusives, seen_sweeps, seen_blocked, seen_overtaken,
    seen_demoted, seen_replicas, seen_heirs, seen_spares, seen_drained, seen_actions[16];

static void broken(struct world *w, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof(w->why), fmt, args);
    va_end(args);
    longjmp(w->out, 1);
}
#define HOLDS(w, cond, ...)                                                                        \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            broken(w, __VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

static uint64_t rnd(struct world *w, uint64_t n) {
    unsigned long long r = w->rng;
    uint64_t v = test_rand(&r) >> 11;
    w->rng = r;
    return v % n;
}
#define EVENT_NAMES                                                                                \
    "ACQUIRE", "CANCEL", "RELEASE", "USE_OPEN", "USE_BEGIN", "USE_END", "OP_BEGIN", "ESTIMATED",   \
        "LOAD_DONE", "FREE_DONE", "GROW", "UNLOAD", "CLEANUP", "CLOSE", "ESTIMATE", "DISABLE",     \
        "ENABLE", "DEVICE_LOST", "TICK"

/* ---- invariants -----------------------------------------------------------------------------*/

static uint64_t total(const struct bth_ledger *d) {
    return d->reserved + d->committed + d->freeing + d->residual;
}

static uint64_t first_of(const struct bth_gen *g) {
    return g->of ? g->of : g->id;
}

/* Another READY instance of its generation. */
static bool is_spare(const struct world *w, const struct bth_gen *g) {
    EACH_ROW(struct bth_gen, o, w->state.gens) {
        if (o != g && o->model == g->model && o->serial == g->serial && o->inst == BTH_READY) {
            return g->inst == BTH_READY;
        }
    }
    return false;
}

/* Any instance of the generation: is it still there? */
static const struct bth_gen *gen_of(const struct world *w, uint32_t model, uint64_t serial) {
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->model == model && g->serial == serial && g->of == 0) {
            return g;
        }
    }
    return NULL;
}

static void check_ledger(struct world *w) {
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        uint64_t r = 0, c = 0, f = 0;
        EACH_ROW(struct bth_gen, g, w->state.gens) {
            if (g->device == i) {
                r += g->res + g->session;
                *(g->inst == BTH_FREEING ? &f : &c) += g->held;
            }
        }
        HOLDS(w, r == d->reserved && c == d->committed && f == d->freeing, "I1: sums differ");
        HOLDS(w, d->residual == w->residual[i], "I1: residual");
    }
}

static void check_growth(struct world *w, const struct bth_event *e) {
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        HOLDS(w,
              total(d) <= d->budget || total(d) <= w->total_before[i] ||
                  e->kind == BTH_EV_LOAD_DONE,
              "I2: %llu of %llu bytes promised", (unsigned long long)total(d),
              (unsigned long long)d->budget);
    }
}

static void check_generations(struct world *w) {
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        const struct bth_model *m = &w->state.models[i];
        HOLDS(w, m->disabled == w->disabled[i] && !(m->disabled && m->open), "loaded and disabled");
    }
    EACH_ROW(struct bth_gen, a, w->state.gens) {
        const struct bth_model *m = &w->state.models[a->model];
        HOLDS(w, a->of ? a->closing || m->open == a->of : a->closing == (m->open != a->id),
              "I6: open generation");
        HOLDS(w, !w->state.devices[a->device].lost, "something is on a lost device");
        HOLDS(w, a->inst != BTH_READY || !a->closing, "a closing generation is READY");
        HOLDS(w, a->inst != BTH_DRAIN || a->leases || a->uses, "I9: drained and not freed");
        for (size_t i = 0; i < w->n_old; i++) {
            HOLDS(w, w->old_gens[i] != a->id, "a dead generation came back");
        }
        EACH_ROW(struct bth_gen, b, w->state.gens) {
            HOLDS(w,
                  a == b || a->model != b->model || a->device != b->device ||
                      a->inst > BTH_LOADING || b->inst > BTH_LOADING,
                  "I6: two loads of one model on one device");
            HOLDS(w,
                  a == b || a->closing || b->closing || a->model != b->model ||
                      (a->device != b->device && first_of(a) == first_of(b) &&
                       w->state.devices[a->device].kind == w->state.devices[b->device].kind),
                  "two instances of one generation where one belongs");
        }
    }
}

/* A generation and its replicas: counted, no more than allowed, and none before the first. */
static void check_replicas(struct world *w) {
    EACH_ROW(struct bth_gen, a, w->state.gens) {
        uint32_t n = 0;
        EACH_ROW(struct bth_gen, b, w->state.gens) {
            n += b->of == a->id && !b->closing;
        }
        const uint32_t most = w->state.models[a->model].most;
        HOLDS(w, a->replicas == n && (a->of == 0 || n + a->leases == 0), "replicas are miscounted");
        HOLDS(w, n == 0 || a->inst == BTH_READY, "a replica of what is not ready");
        HOLDS(w, n == 0 || most == 0 || n < most, "too many replicas");
        seen_replicas += a->of && a->inst == BTH_READY;
    }
}

static uint32_t family_of(const struct world *w, uint32_t scope) {
    return scope & BTH_FAMILY ? scope : BTH_FAMILY | w->state.models[scope].family;
}
static bool overlap(const struct world *w, uint32_t a, uint32_t b) {
    return a == b || a == family_of(w, b) || b == family_of(w, a);
}
static bool same_owner(uint64_t a, uint64_t b) {
    return a && a == b;
}
static const struct bth_scope *scope_of(const struct world *w, uint32_t scope) {
    return scope & BTH_FAMILY ? &w->state.families[scope & ~BTH_FAMILY]
                              : &w->state.models[scope].scope;
}
#define EACH_CLIENT(c, w)                                                                          \
    for (const struct client *c = (w)->clients; c < (w)->clients + MAX_CLIENTS; c++)
#define EACH_SCOPE(i, w)                                                                           \
    for (uint32_t i = 0; i < MAX_MODELS + N_FAMILIES; i++)                                         \
        if (i >= MAX_MODELS || i < (w)->state.n_models)
static uint32_t nth_scope(uint32_t i) {
    return i < MAX_MODELS ? i : BTH_FAMILY | (i - MAX_MODELS);
}

static void check_counts(struct world *w) {
    uint64_t running[MAX_MODELS] = {0};
    EACH_SCOPE(i, w) {
        uint32_t scope = nth_scope(i);
        uint64_t held = 0, waiting = 0, uses = 0;
        EACH_CLIENT(c, w) {
            bool in = c->scope == scope || (c->state && family_of(w, c->scope) == scope);
            held += in && c->state == HOLDING;
            waiting += c->scope == scope && c->state == WAITING;
        }
        for (size_t k = 0; k < MAX_USES; k++) {
            uses += w->uses[k].state != UNUSED && overlap(w, w->uses[k].model, scope);
        }
        const struct bth_scope *sc = scope_of(w, scope);
        HOLDS(w, sc->held == held && sc->waiting == waiting && sc->uses == uses,
              "I12: counts of scope %x: held %u/%llu waiting %u/%llu uses %u/%llu", scope, sc->held,
              (unsigned long long)held, sc->waiting, (unsigned long long)waiting, sc->uses,
              (unsigned long long)uses);
    }
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        uint32_t held = 0, uses = 0;
        uint64_t bytes = 0;
        EACH_CLIENT(c, w) {
            held += c->state == HOLDING && c->scope == g->model && c->gen == g->serial &&
                    g->of == 0 && !c->exclusive;
        }
        for (size_t i = 0; i < MAX_USES; i++) {
            const struct use *u = &w->uses[i];
            bool run = u->state == RUNNING || u->state == ENDING;
            if (u->state != UNUSED && u->gen == g->id) {
                uses++;
                bytes += run ? u->bytes : 0;
                running[g->model] += run;
            }
        }
        HOLDS(w, g->leases == held && g->uses == uses, "I12: leases %u/%u uses %u/%u", g->leases,
              held, g->uses, uses);
        HOLDS(w, g->use_bytes == bytes && g->session >= bytes, "I1: bytes of sessions");
        HOLDS(w, g->inst != BTH_FREEING || held + uses == 0, "I5: freed with somebody on it");
    }
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        HOLDS(w, w->state.models[i].running == running[i], "I12: counts of model %u", i);
    }
}

/* An exclusive is alone with its owner. */
static void check_exclusives(struct world *w) {
    EACH_CLIENT(x, w) {
        if (x->state != HOLDING || !x->exclusive) {
            continue;
        }
        EACH_CLIENT(c, w) {
            HOLDS(w,
                  c == x || c->state != HOLDING || !overlap(w, c->scope, x->scope) ||
                      same_owner(c->owner, x->owner),
                  "I3: a lease beside an exclusive");
        }
        for (size_t i = 0; i < MAX_USES; i++) {
            const struct use *u = &w->uses[i];
            HOLDS(w,
                  u->state == UNUSED || !overlap(w, u->model, x->scope) ||
                      same_owner(u->owner, x->owner),
                  "I3: a request beside an exclusive");
        }
    }
}

static bool is_before(const struct client *a, const struct client *b) {
    return a->order == 0 || b->order == 0 ? a->order < b->order
           : a->key == b->key             ? a->order < b->order
                                          : a->key < b->key;
}

/* Must the first of a queue wait for others' leases? From our own books. */
static bool waits_for_leases(const struct world *w, const struct client *c) {
    uint32_t held = 0;
    EACH_CLIENT(o, w) {
        if (o == c || !overlap(w, o->scope, c->scope)) {
            continue;
        }
        if (o->state == HOLDING) {
            held += o->scope == c->scope;
            if (c->exclusive || (o->exclusive && !same_owner(o->owner, c->owner))) {
                return true;
            }
        }
        if (o->state == WAITING && is_before(o, c) && (c->exclusive || o->exclusive)) {
            return true;
        }
    }
    for (size_t i = 0; c->exclusive && i < MAX_USES; i++) {
        if (w->uses[i].state != UNUSED && overlap(w, w->uses[i].model, c->scope)) {
            return true;
        }
    }
    return c->order && c->max_concurrent && !c->exclusive && held >= c->max_concurrent;
}

/* Every client that waits is in his queue, in his order, and no first one waits for nothing. */
static void check_queues(struct world *w) {
    uint64_t n = 0;
    EACH_SCOPE(i, w) {
        const struct client *last = NULL;
        for (uint64_t id = scope_of(w, nth_scope(i))->queue.first; id;) {
            const struct bth_ticket *t = bth_table_get(&w->state.tickets, id);
            HOLDS(w, t != NULL, "the queue is torn");
            const struct client *c = &w->clients[(uintptr_t)t->arg - 1];
            HOLDS(w, c->state == WAITING && c->scope == nth_scope(i), "I7: answered and queued");
            HOLDS(w, i >= MAX_MODELS || !w->disabled[i], "waits for what is disabled");
            HOLDS(w, !last || !is_before(c, last), "I8: out of order");
            HOLDS(w, (t->seq == 0) == (c->order == 0), "I8: he is not inside and comes first");
            seen_overtaken += last && last->order > c->order;
            last = c;
            n++;
            if (t->prev == 0 && t->exclusive) {
                HOLDS(w, waits_for_leases(w, c), "I9: an exclusive waits for nobody");
                seen_blocked++;
            }
            id = t->next;
        }
    }
    EACH_CLIENT(c, w) {
        n -= c->state == WAITING;
    }
    HOLDS(w, n == 0, "I7: waits outside the queues");
}

/* What a clean-up found is gone when its time is over. */
static void check_sweeps(struct world *w) {
    for (size_t i = 0; i < w->n_sweeps; i++) {
        EACH_CLIENT(c, w) {
            HOLDS(w,
                  c->state != HOLDING || c->granted > w->sweeps[i].granted ||
                      w->now < w->sweeps[i].deadline,
                  "a lease has outlived its clean-up");
        }
    }
}

/* The question that berth_wait_available asks, at random, against our own books. */
static void check_available(struct world *w) {
    uint32_t scope = nth_scope((uint32_t)rnd(w, MAX_MODELS + N_FAMILIES));
    uint64_t owner = rnd(w, MAX_OWNERS + 1);
    uint32_t most = 1 + (uint32_t)rnd(w, 3), others = 0;
    if (!(scope & BTH_FAMILY) && scope >= w->state.n_models) {
        return;
    }
    bool excluded = false;
    EACH_CLIENT(c, w) {
        if ((c->state == HOLDING || c->state == WAITING) && overlap(w, c->scope, scope) &&
            !same_owner(c->owner, owner)) {
            excluded |= c->exclusive;
            others += c->state == HOLDING;
        }
    }
    HOLDS(w, bth_state_is_available(&w->state, scope, owner, most) == (!excluded && others < most),
          "is_available is wrong");
}

static bool loads(const struct world *w, uint32_t model, uint32_t device) {
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->model == model && g->device == device && g->inst <= BTH_LOADING) {
            return true;
        }
    }
    return false;
}

static uint64_t need_on(const struct world *w, uint32_t model, uint32_t device) {
    const struct bth_estimate *e = &w->state.models[model].est[device];
    return e->weights + e->workspace + e->session;
}

/* A use has gone to `at`: if it is one too many for all instances there are, and nobody needs the
 * room of a device like theirs, one more is on its way. */
static void check_demand(struct world *w, const struct bth_gen *at) {
    const struct bth_model *m = &w->state.models[at->model];
    bool taken[BTH_MAX_DEVICES] = {false};
    uint32_t n = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        taken[g->device] |= g->model == at->model;
        if (g->model == at->model && g->serial == at->serial && !g->closing) {
            if (g->inst != BTH_READY || g->uses < BTH_REPLICA_USES) {
                return;
            }
            n++;
        }
    }
    if (at->closing || (m->most && n >= m->most) || w->now < m->more_at || w->state.hungriest ||
        w->state.waiting.first) {
        return;
    }
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        HOLDS(w,
              taken[i] || d->kind != w->state.devices[at->device].kind ||
                  bth_ledger_room(d) < need_on(w, at->model, i),
              "I9: busy on all its devices beside one with room");
    }
}

static uint64_t idle_bytes(const struct world *w, uint32_t device) {
    uint64_t sum = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->device == device && g->inst == BTH_READY &&
            (is_spare(w, g) ||
             (g->leases + g->uses == 0 && !bth_model_pinned(&w->state.models[g->model])))) {
            sum += bth_gen_bytes(g);
        }
    }
    return sum;
}

/* The oldest that waits for bytes, with no use waiting before it, could not be helped. */
static void check_oldest(struct world *w, const struct bth_ticket *t) {
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        uint64_t need = need_on(w, t->scope, i), room = bth_ledger_room(d);
        if (need > bth_ledger_limit(d) || loads(w, t->scope, i)) {
            continue;
        }
        HOLDS(w, room < need,
              "I9: the oldest waits beside enough room: %llu of %llu, earmark %llu, event %d",
              (unsigned long long)room, (unsigned long long)need, (unsigned long long)d->earmark,
              w->last_event);
        HOLDS(w,
              room + d->freeing >= need || room + d->freeing + idle_bytes(w, i) < need ||
                  w->state.n_devices > 1,
              "I9: nobody was evicted for the oldest");
    }
}

/* 1, 2, 4 ... 60 s after the last of several failures in a row. */
static int64_t retry_at(const struct world *w, uint32_t model) {
    const uint32_t n = w->failures[model];
    const int64_t s = n > 6 ? BTH_BACKOFF_MAX_S : (INT64_C(1) << n) / 2;
    return n ? w->failed_at[model] + s * BTH_NS_PER_S : w->now;
}

/* A load, or an estimate, has ended so. */
static void book_load(struct world *w, uint32_t model, bool failed, bool loaded) {
    w->failures[model] = failed ? w->failures[model] + 1 : loaded ? 0 : w->failures[model];
    w->failed_at[model] = failed ? w->now : w->failed_at[model];
}

static void check_conserving(struct world *w) {
    const struct bth_ticket *oldest = NULL;
    uint64_t hungry = 0;
    const struct bth_model *last = NULL;
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        const struct bth_model *m = &w->state.models[i];
        const struct bth_ticket *t = bth_table_get(&w->state.tickets, m->scope.queue.first);
        const struct bth_gen *g = bth_table_get(&w->state.gens, m->open);
        if (!t || t->exclusive || waits_for_leases(w, &w->clients[(uintptr_t)t->arg - 1])) {
            HOLDS(w, m->why == (t ? BTH_WHY_LEASE : BTH_WHY_NONE) && !m->hungry, "why");
            continue;
        }
        HOLDS(w, !g || g->inst != BTH_READY, "I9: waits for a ready model");
        HOLDS(w, g || w->now >= retry_at(w, i), "I9: waits for a model that has failed");
        if (g) {
            HOLDS(w, m->why == BTH_WHY_LOADING, "why");
        } else if (m->est_state != BTH_EST_KNOWN) {
            HOLDS(w, m->est_state == BTH_EST_ASKED, "I9: nobody estimates");
        } else {
            HOLDS(w, m->hungry && m->why == BTH_WHY_BYTES && m->hunger == t->seq, "not hungry");
            oldest = oldest && !bth_ticket_before(t, oldest) ? oldest : t;
            hungry++;
        }
    }
    for (uint32_t i = w->state.hungriest; i; i = w->state.models[i - 1].next) {
        const struct bth_model *m = &w->state.models[i - 1];
        HOLDS(w,
              !last || last->hunger_key < m->hunger_key ||
                  (last->hunger_key == m->hunger_key && last->hunger <= m->hunger),
              "I8: the hungry are out of order");
        last = m;
        hungry--;
    }
    HOLDS(w, hungry == 0, "the list of the hungry");
    if (oldest && oldest->seq && w->state.waiting.first == 0 &&
        w->state.gens.used < w->state.gens.capacity) {
        check_oldest(w, oldest);
    }
    for (size_t i = 0; i < MAX_USES; i++) {
        const struct bth_use_row *u = bth_table_get(&w->state.uses, w->uses[i].id);
        if (u && u->state == BTH_USE_WAIT) {
            const struct bth_gen *g = bth_table_get(&w->state.gens, u->gen);
            uint64_t delta = bth_ledger_session_delta(g, g->use_bytes + u->bytes);
            HOLDS(w, g->waits > 1 || delta > bth_ledger_room(&w->state.devices[g->device]),
                  "I9: a use waits beside enough room");
        }
    }
}

/* A loader that is free finds all there is to do, but for loads beyond their number. */
static void check_loaders(struct world *w) {
    const struct bth_op op = bth_state_next_op(&w->state);
    int loading = 0;
    bool load = false, free = false, estimate = false, wanted = false;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        loading += g->inst == BTH_LOADING;
        load |= g->inst == BTH_RESV;
        wanted |= g->inst == BTH_RESV && g->of == 0;
        free |= g->inst == BTH_FREEING && !g->started;
    }
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        const struct bth_model *m = &w->state.models[i];
        estimate |= m->est_state == BTH_EST_ASKED && !m->est_started;
    }
    HOLDS(w, loading <= BTH_LOADS_AT_ONCE, "too many loads at once");
    const struct bth_gen *next = bth_table_get(&w->state.gens, op.gen);
    HOLDS(w, op.kind != BTH_OP_LOAD || next->of == 0 || !wanted, "a replica before what is wanted");
    load &= loading < BTH_LOADS_AT_ONCE;
    HOLDS(w,
          op.kind == (free       ? BTH_OP_FREE
                      : estimate ? BTH_OP_ESTIMATE
                      : load     ? BTH_OP_LOAD
                                 : BTH_OP_NONE),
          "I9: a loader was told to do %d", (int)op.kind);
}

/* Somebody will look when the time of an idle one is over. */
static void check_keeping(struct world *w) {
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        const struct bth_model *m = &w->state.models[g->model];
        HOLDS(w, !w->barred[g->model][g->device], "loaded where it cannot be");
        if (g->inst == BTH_READY && g->uses == 0) {
            const bool ever = bth_model_pinned(m) || m->keep_alive == BTH_FOREVER,
                       leased = g->leases > 0;
            HOLDS(w, !is_spare(w, g) || g->idle_at != BTH_FOREVER, "I9: a spare one is forgotten");
            HOLDS(w,
                  leased || ever == (g->idle_at == BTH_FOREVER) || (ever && w->state.n_devices > 1),
                  "I9: an idle model is forgotten");
            HOLDS(w, leased || w->state.idle_at <= g->idle_at, "I9: nobody looks in time");
        }
    }
}

#include "sim/core_evict.h"

/* He holds it, or all of its family, for himself. */
static bool is_inside(const struct world *w, const struct client *c) {
    EACH_CLIENT(o, w) {
        if (o->state == HOLDING && o->exclusive && same_owner(o->owner, c->owner) &&
            (o->scope == c->scope || o->scope == family_of(w, c->scope))) {
            return true;
        }
    }
    return false;
}

#include "sim/core_stuck.h"

static struct bth_action *find_action(struct world *w, enum bth_action_kind kind) {
    for (size_t i = 0; i < w->actions.n; i++) {
        if (w->actions.items[i].kind == kind) {
            return &w->actions.items[i];
        }
    }
    return NULL;
}

/* ---- the driver -----------------------------------------------------------------------------*/

/* He holds a part of it; shared, of a generation (0: any). */
static bool holds_part(const struct world *w, const struct client *c, uint64_t gen) {
    EACH_CLIENT(o, w) {
        if (o->state == HOLDING && same_owner(o->owner, c->owner) &&
            overlap(w, o->scope, c->scope) && (gen == 0 || o->gen == gen)) {
            return true;
        }
    }
    return false;
}

static void take_refusal(struct world *w, struct client *c, const struct bth_action *a) {
    HOLDS(w, a->code < 0 && a->reason != BTH_REASON_NONE, "a refusal without a reason");
    HOLDS(w, a->reason != BTH_REASON_TIMEOUT || w->now >= c->expires, "timed out too soon");
    HOLDS(w, a->reason != BTH_REASON_LOAD_FAILED || w->now < retry_at(w, c->scope),
          "refused for a failure that is over");
    HOLDS(w,
          a->reason != BTH_REASON_UPGRADE ||
              (c->exclusive && !is_inside(w, c) && holds_part(w, c, 0)),
          "refused as an upgrade");
    HOLDS(w,
          a->reason != BTH_REASON_DISABLED || (!(c->scope & BTH_FAMILY) && w->disabled[c->scope]),
          "refused as disabled");
    HOLDS(w, a->reason != BTH_REASON_DEADLOCK || (c->id == 0 && closes_ring(w, c)),
          "I11: refused, and would not have been stuck");
    seen_reasons[a->reason]++;
    w->stale_ticket = c->id ? c->id : w->stale_ticket;
    c->state = ABSENT;
}

static void take_answer(struct world *w, const struct bth_action *a) {
    struct client *c = &w->clients[(uintptr_t)a->arg - 1];
    HOLDS(w, c->state == WAITING, "I7: a second answer");
    if (a->kind == BTH_ACT_REFUSE) {
        take_refusal(w, c, a);
        return;
    }
    const struct bth_gen *g = bth_table_get(&w->state.gens, a->gen);
    bool again = c->exclusive ? is_inside(w, c) : g && holds_part(w, c, g->serial);
    if (c->exclusive) {
        HOLDS(w, a->gen == 0, "an exclusive has a generation");
        seen_exclusives++;
    } else {
        HOLDS(w, g && g->model == c->scope, "I4: another model");
        /* the instance may have left in the same step, for others' bytes, if another is there */
        const struct bth_gen *first = gen_of(w, c->scope, g->serial);
        HOLDS(w,
              first && ((first->inst == BTH_READY && !first->closing) ||
                        (again && first->inst == BTH_DRAIN)),
              "I4: not ready");
    }
    seen_inside += again;
    HOLDS(w, again || (c->scope & BTH_FAMILY) || !w->disabled[c->scope], "granted though disabled");
    HOLDS(w, again || !waits_for_leases(w, c), "I8: granted against the leases or over an older");
    EACH_CLIENT(o, w) {
        HOLDS(w, o->state != WAITING || o->scope != c->scope || !is_before(o, c) || again,
              "I8: overtaken");
    }
    c->state = HOLDING;
    c->id = a->id;
    c->gen = g ? g->serial : 0;
    c->granted = ++w->order;
}

/* It went to the instance with fewest, this one not counted. */
static void check_opened(struct world *w, const struct bth_gen *at) {
    HOLDS(w, at && (at->inst == BTH_READY || at->inst == BTH_DRAIN), "a use of what is not there");
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        HOLDS(w,
              g == at || g->model != at->model || g->serial != at->serial || g->inst != BTH_READY ||
                  g->uses >= at->uses || (g->uses == at->uses - 1 && g->device > at->device),
              "a use went to a busier instance");
    }
}

static void take_use(struct world *w, const struct bth_action *a) {
    struct use *u = &w->uses[(uintptr_t)a->arg - 1];
    switch (a->kind) {
    case BTH_ACT_USE_OPENED:
        HOLDS(w, u->state == UNUSED, "opened twice");
        check_opened(w, bth_table_get(&w->state.gens, a->gen));
        u->state = OPENED;
        u->id = a->id;
        u->gen = a->gen;
        break;
    case BTH_ACT_USE_RUN:
        HOLDS(w, u->state == ASKED, "I7: a use runs that did not ask");
        u->state = RUNNING;
        break;
    case BTH_ACT_USE_REFUSED:
        HOLDS(w, u->state == ASKED || u->state == UNUSED, "I7: a use answered twice");
        u->state = u->state == ASKED ? REFUSED : UNUSED;
        break;
    case BTH_ACT_USE_LOST:
        HOLDS(w, u->state != UNUSED && w->last_event == BTH_EV_DEVICE_LOST, "a use lost by itself");
        u->state = UNUSED;
        w->stale_use = a->id;
        break;
    default:
        HOLDS(w, u->state == RUNNING, "cancelled without running");
        u->state = ENDING;
        break;
    }
}

static void take_action(struct world *w, const struct bth_action *a) {
    seen_actions[a->kind]++;
    switch (a->kind) {
    case BTH_ACT_QUEUED:
        w->clients[(uintptr_t)a->arg - 1].id = a->id;
        break;
    case BTH_ACT_GRANT:
    case BTH_ACT_REFUSE:
        take_answer(w, a);
        break;
    case BTH_ACT_REVOKED:
        HOLDS(w, w->clients[(uintptr_t)a->arg - 1].state == HOLDING, "revoked, not held");
        w->clients[(uintptr_t)a->arg - 1].state = REVOKED;
        break;
    case BTH_ACT_DEAD:
        if (w->n_old < MAX_INSTANCES) {
            w->old_gens[w->n_old++] = a->gen;
        }
        break;
    case BTH_ACT_LOST:
        if (a->handle) {
            struct instance *in = &w->instances[(uintptr_t)a->handle - 1];
            HOLDS(w, in->alive && in->gen == a->gen, "I5: lost twice");
            in->alive = false;
        }
        break;
    case BTH_ACT_WORK:
    case BTH_ACT_GROWN:
        break;
    default:
        take_use(w, a);
    }
}

/* Prints an event that has changed something, and what came of it. */
static void tell(struct world *w, const struct bth_event *e, uint64_t before) {
    static const char *const events[BTH_N_EVENTS] = {EVENT_NAMES};
    static const char *const actions[] = {
        "queued",   "grant",   "refuse", "use opened", "use runs", "use refused", "use cancelled",
        "use lost", "revoked", "work",   "grown",      "lost",     "dead"};
    if (w->actions.n == 0 && state_hash(&w->state) == before) {
        return;
    }
    printf("  %2d. %.3f s %s", ++w->n_told, (double)w->now / 1e9, events[e->kind]);
    if (e->kind == BTH_EV_ACQUIRE || e->kind == BTH_EV_UNLOAD || e->kind == BTH_EV_ESTIMATE) {
        printf(" %s %u", e->scope & BTH_FAMILY ? "family" : "model", e->scope & ~BTH_FAMILY);
    }
    printf("%s%s:", e->exclusive ? " exclusive" : "", e->error ? " failed" : "");
    for (size_t i = 0; i < w->actions.n; i++) {
        printf(" %s", actions[w->actions.items[i].kind]);
    }
    puts("");
}

static void happen(struct world *w, struct bth_event e) {
    bool ready[MAX_INSTANCES] = {false};
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        w->total_before[i] = total(&w->state.devices[i]);
    }
    const bool loses = e.kind == BTH_EV_DEVICE_LOST && !w->state.devices[e.device].lost;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        ready[(size_t)(g->id & 0xFFFFFF) % MAX_INSTANCES] = g->inst == BTH_READY;
        w->residual[e.device] += loses && g->device == e.device ? bth_gen_bytes(g) : 0;
        seen_heirs += loses && g->device == e.device && is_spare(w, g);
    }
    seen_events[e.kind]++;
    w->last_event = (int)e.kind;
    const enum row before = row_before(&w->state, &e);
    const uint64_t hunger = w->state.hungriest ? w->state.models[w->state.hungriest - 1].hunger : 0;
    const uint64_t last_op = w->state.last_op, hash = w->told ? state_hash(&w->state) : 0;
    bth_step(&w->state, &e, w->now, &w->actions);
    if (!w->quiet) {
        count_rows(&w->state, &e, before, last_op, &w->actions);
    }
    if (w->told) {
        tell(w, &e, hash);
    }
    if (w->spoil) {
        w->spoil(w, &e);
    }
    for (size_t i = 0; i < w->actions.n; i++) {
        const struct bth_action *a = &w->actions.items[i];
        mix(&w->hash, (uint64_t)a->kind << 32 | (uint32_t)a->code);
        mix(&w->hash, a->id);
        mix(&w->hash, a->gen ^ a->op << 20);
        mix(&w->hash, (uintptr_t)a->arg);
        take_action(w, a);
    }
    forget_hands(w);
    if (w->unchecked) {
        return;
    }
    check_ledger(w);
    check_growth(w, &e);
    check_generations(w);
    check_replicas(w);
    check_counts(w);
    check_queues(w);
    check_stuck(w);
    check_exclusives(w);
    check_available(w);
    check_loaders(w);
    check_conserving(w);
    check_keeping(w);
    check_passing(w, last_op, hunger);
    const struct bth_action *opened = find_action(w, BTH_ACT_USE_OPENED);
    if (opened) {
        check_demand(w, bth_table_get(&w->state.gens, opened->gen));
    }
    if (e.kind == BTH_EV_USE_BEGIN && w->actions.n == 0) {
        seen_waits++;
    }
    /* a younger use of another instance may have run on what was to become an older one's */
    bool asked = e.kind != BTH_EV_UNLOAD && e.kind != BTH_EV_DISABLE && e.kind != BTH_EV_CLEANUP &&
                 e.kind != BTH_EV_CLOSE && !find_action(w, BTH_ACT_USE_RUN);
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->inst == BTH_FREEING && g->op > last_op && e.kind == BTH_EV_LOAD_DONE) {
            check_fresh(w, g);
        }
        HOLDS(w,
              e.kind != BTH_EV_TICK || g->inst != BTH_DRAIN || g->evicted ||
                  !ready[(size_t)(g->id & 0xFFFFFF) % MAX_INSTANCES],
              "unloaded for being idle, and it is used");
        seen_drained +=
            g->inst == BTH_DRAIN && g->evicted && ready[(size_t)(g->id & 0xFFFFFF) % MAX_INSTANCES];
        if (asked && g->inst == BTH_FREEING && ready[(size_t)(g->id & 0xFFFFFF) % MAX_INSTANCES]) {
            check_leaving(w, g);
        }
    }
}

#endif

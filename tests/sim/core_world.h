/*
 * tests/sim/core_world.h - the world of sim_core.c and what must hold in it after every event.
 *
 * A broken invariant ends the seed (longjmp) with a sentence in `why`.
 */
#ifndef BTH_CORE_WORLD_H
#define BTH_CORE_WORLD_H

#include "base/clock.h"
#include "core/ledger.h"
#include "core/step.h"
#include "lib/test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

enum {
    MAX_MODELS = 6,
    MAX_CLIENTS = 24,
    MAX_USES = 32,
    MAX_OPS = BTH_LOADERS,
    MAX_INSTANCES = 512,
    STEPS = 400
};

enum client_state { ABSENT, WAITING, HOLDING, REVOKED };
struct client {
    enum client_state state;
    uint32_t model;
    uint64_t id; /* of the ticket, then of the lease */
    uint64_t gen, order;
    int64_t expires;
};

enum use_state { UNUSED, OPENED, ASKED, RUNNING, ENDING, REFUSED };
struct use {
    enum use_state state;
    uint64_t id, gen, bytes;
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
    N_MUTANTS
};
static const char *const mutant_names[N_MUTANTS] = {
    "none",        "lost grant",   "double grant",  "leaked byte", "early free",
    "revived",     "miscounted",   "late time-out", "overtaken",   "grant unloaded",
    "freed twice", "lost wake-up", "overbooked",    "kept revoked"};

struct world {
    struct bth_state state;
    struct bth_actions actions;
    uint64_t rng, hash, order, total_before[BTH_MAX_DEVICES], residual[BTH_MAX_DEVICES];
    int64_t now;
    uint64_t size[MAX_MODELS], spare[MAX_MODELS], session[MAX_MODELS];
    struct client clients[MAX_CLIENTS];
    struct use uses[MAX_USES];
    struct job jobs[MAX_OPS];
    size_t n_jobs;
    struct instance instances[MAX_INSTANCES];
    size_t n_instances;
    uint64_t stale_op, stale_lease, stale_ticket, stale_use;
    uint64_t old_gens[MAX_INSTANCES]; /* generations that have died */
    size_t n_old;
    bool faults;
    uint64_t unloads; /* one in so many events */
    enum mutant mutant;
    bool spoilt;
    int last_event;
    char why[256];
    jmp_buf out;
};

static uint64_t seen_events[BTH_N_EVENTS], seen_reasons[8], seen_evictions, seen_waits,
    seen_actions[16];

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
static bool one_in(struct world *w, uint64_t n) {
    return rnd(w, n) == 0;
}
static void mix(uint64_t *h, uint64_t v) {
    *h = (*h ^ v) * UINT64_C(1099511628211);
    *h ^= *h >> 29;
}
#define EACH_ROW(type, var, table)                                                                 \
    for (type *var = bth_table_next(&(table), NULL); var; var = bth_table_next(&(table), var))

/* ---- invariants -----------------------------------------------------------------------------*/

static uint64_t total(const struct bth_ledger *d) {
    return d->reserved + d->committed + d->freeing + d->residual;
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
    EACH_ROW(struct bth_gen, a, w->state.gens) {
        const struct bth_model *m = &w->state.models[a->model];
        HOLDS(w, a->closing == (m->open != a->id), "I6: open generation");
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
        }
    }
}

static void check_counts(struct world *w) {
    uint64_t leases[MAX_MODELS] = {0}, waiting[MAX_MODELS] = {0}, running[MAX_MODELS] = {0};
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        leases[w->clients[i].model] += w->clients[i].state == HOLDING;
        waiting[w->clients[i].model] += w->clients[i].state == WAITING;
    }
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        uint32_t held = 0, uses = 0;
        uint64_t bytes = 0;
        for (size_t i = 0; i < MAX_CLIENTS; i++) {
            held += w->clients[i].state == HOLDING && w->clients[i].gen == g->id;
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
        const struct bth_model *m = &w->state.models[i];
        HOLDS(w, m->leases == leases[i] && m->waiting == waiting[i] && m->running == running[i],
              "I12: counts of model %u", i);
    }
}

/* Every client that waits is in the queue, in his order, and not beyond his time. */
static void check_queue(struct world *w) {
    uint64_t last = 0, n = 0;
    for (uint64_t id = w->state.queue.first; id;) {
        const struct bth_ticket *t = bth_table_get(&w->state.tickets, id);
        HOLDS(w, t != NULL, "the queue is torn");
        const struct client *c = &w->clients[(uintptr_t)t->arg - 1];
        HOLDS(w, c->state == WAITING, "I7: answered and still queued");
        HOLDS(w, c->order > last, "I8: out of order");
        last = c->order;
        n++;
        id = t->next;
    }
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        n -= w->clients[i].state == WAITING;
    }
    HOLDS(w, n == 0, "I7: waits outside the queue");
}

static bool loads(const struct world *w, uint32_t model, uint32_t device) {
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->model == model && g->device == device && g->inst <= BTH_LOADING) {
            return true;
        }
    }
    return false;
}

static uint64_t idle_bytes(const struct world *w, uint32_t device) {
    uint64_t sum = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        if (g->device == device && g->inst == BTH_READY && g->leases + g->uses == 0) {
            sum += bth_gen_bytes(g);
        }
    }
    return sum;
}

static uint64_t need_on(const struct world *w, uint32_t model, uint32_t device) {
    const struct bth_estimate *e = &w->state.models[model].est[device];
    return e->weights + e->workspace + e->session;
}

/* The oldest that waits for bytes, with no use waiting before it, could not be helped. */
static void check_oldest(struct world *w, const struct bth_ticket *t) {
    for (uint32_t i = 0; i < w->state.n_devices; i++) {
        const struct bth_ledger *d = &w->state.devices[i];
        uint64_t need = need_on(w, t->model, i), room = bth_ledger_room(d);
        if (need > bth_ledger_limit(d) || loads(w, t->model, i)) {
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

static void check_conserving(struct world *w) {
    bool oldest = w->state.waiting.first == 0;
    for (uint64_t id = w->state.queue.first; id;) {
        const struct bth_ticket *t = bth_table_get(&w->state.tickets, id);
        const struct bth_model *m = &w->state.models[t->model];
        const struct bth_gen *g = bth_table_get(&w->state.gens, m->open);
        id = t->next;
        HOLDS(w, !g || g->inst != BTH_READY, "I9: waits for a ready model");
        HOLDS(w, g || w->state.now >= m->retry_at, "I9: waits for a model that has failed");
        if (g) {
            HOLDS(w, t->why == BTH_WHY_LOADING, "why");
        } else if (m->est_state != BTH_EST_KNOWN) {
            HOLDS(w, m->est_state == BTH_EST_ASKED, "I9: nobody estimates");
        } else if (oldest) {
            check_oldest(w, t);
            oldest = false;
        }
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
    bool load = false, free = false, estimate = false;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        loading += g->inst == BTH_LOADING;
        load |= g->inst == BTH_RESV;
        free |= g->inst == BTH_FREEING && !g->started;
    }
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        const struct bth_model *m = &w->state.models[i];
        estimate |= m->est_state == BTH_EST_ASKED && !m->est_started;
    }
    HOLDS(w, loading <= BTH_LOADS_AT_ONCE, "too many loads at once");
    load &= loading < BTH_LOADS_AT_ONCE;
    HOLDS(w,
          op.kind == (free       ? BTH_OP_FREE
                      : estimate ? BTH_OP_ESTIMATE
                      : load     ? BTH_OP_LOAD
                                 : BTH_OP_NONE),
          "I9: a loader was told to do %d", (int)op.kind);
}

/* Whoever was READY, is being freed and was not asked to go made room that somebody needs. */
static void check_eviction(struct world *w, uint32_t device) {
    const struct bth_ledger *d = &w->state.devices[device];
    uint64_t coming = bth_ledger_room(d) + d->freeing;
    bool wanted = false;
    EACH_ROW(struct bth_ticket, t, w->state.tickets) {
        wanted |= t->why == BTH_WHY_BYTES && need_on(w, t->model, device) <= coming;
    }
    EACH_ROW(struct bth_use_row, u, w->state.uses) {
        const struct bth_gen *g = bth_table_get(&w->state.gens, u->gen);
        wanted |= u->state == BTH_USE_WAIT && g->device == device &&
                  bth_ledger_session_delta(g, g->use_bytes + u->bytes) <= coming;
    }
    HOLDS(w, wanted, "I10: evicted for nothing");
    seen_evictions++;
}

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
        mix(&h, s->models[i].leases);
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

#endif

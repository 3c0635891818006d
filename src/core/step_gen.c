/*
 * Generations: how they end; their instances beside each other; what becomes of one whose device is
 * lost.
 *
 * All instances are rows of `gens`. The first has the generation's id, which leases name, and
 * counts them; should it go before the others, one of those takes its place (promote). So a
 * generation that is open has a READY first instance, or a single one that is on its way there.
 */
#include "core/ledger.h"
#include "core/step_private.h"

#include "base/clock.h"
#include "base/compiler.h"

static uint64_t first_of(const struct bth_gen *g) {
    return g->of ? g->of : g->id;
}

/* Another READY instance of its generation; NULL: none. */
static struct bth_gen *sibling(const struct bth_state *s, const struct bth_gen *g) {
    if (!g->of && !g->replicas) {
        return NULL;
    }
    for (struct bth_gen *o = bth_table_next(&s->gens, NULL); o; o = bth_table_next(&s->gens, o)) {
        if (o != g && o->inst == BTH_READY && first_of(o) == first_of(g)) {
            return o;
        }
    }
    return NULL;
}

bool bth_gen_is_spare(const struct bth_state *s, const struct bth_gen *g) {
    return g->inst == BTH_READY && sibling(s, g) != NULL;
}

/* `heir` becomes the first instance in the place of `g`, with its leases. */
static void promote(struct bth_state *s, struct bth_gen *g, struct bth_gen *heir) {
    for (struct bth_gen *o = bth_table_next(&s->gens, NULL); o; o = bth_table_next(&s->gens, o)) {
        if (o->of == g->id) {
            o->of = heir->id;
        }
    }
    struct bth_lease_row *l;
    for (l = bth_table_next(&s->leases, NULL); l; l = bth_table_next(&s->leases, l)) {
        if (l->gen == g->id) {
            l->gen = heir->id;
        }
    }
    g->of = heir->id;
    heir->of = 0;
    heir->replicas = g->replicas; /* one has become the first, the first one of them */
    heir->leases = g->leases;
    g->replicas = g->leases = 0;
    s->models[g->model].open = heir->id;
}

/* ---- the end ----------------------------------------------------------------------------------*/

void bth_gen_dead(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    struct bth_action *a = bth_act(out, BTH_ACT_DEAD);
    a->gen = g->id;
    a->scope = g->model;
    if (s->models[g->model].open == g->id) {
        s->models[g->model].open = 0;
    }
    struct bth_gen *first = bth_table_get(&s->gens, g->of);
    if (first && !g->closing) {
        first->replicas--;
    }
    bth_table_drop(&s->gens, g);
}

void bth_gen_settle(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    if (g->inst != BTH_DRAIN || g->leases || g->uses) {
        return;
    }
    g->inst = BTH_FREEING;
    g->started = false;
    g->op = ++s->last_op;
    bth_ledger_free(&s->devices[g->device], g);
    bth_act_work(out, g->op);
}

void bth_gen_rest(struct bth_state *s, struct bth_gen *g) {
    const struct bth_model *m = &s->models[g->model];
    int64_t rest = BTH_FOREVER;
    g->idle_at = BTH_FOREVER;
    if (g->inst != BTH_READY || g->uses) {
        return;
    }
    if (bth_gen_is_spare(s, g)) {
        rest = BTH_MIN(m->keep_alive, BTH_REPLICA_REST_NS);
    } else if (!g->leases && !bth_model_pinned(m)) {
        rest = m->keep_alive;
    }
    if (rest != BTH_FOREVER) {
        g->idle_at = s->now + rest;
        s->idle_at = BTH_MIN(s->idle_at, g->idle_at);
    }
}

static void close_instance(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    struct bth_gen *first = bth_table_get(&s->gens, g->of);
    if (g->closing) {
        return;
    }
    g->closing = true;
    if (first) {
        first->replicas--;
    } else if (!g->of) {
        s->models[g->model].open = 0;
    }
    if (g->inst == BTH_RESV) { /* no loader has begun: nothing to undo */
        bth_ledger_unreserve(&s->devices[g->device], g);
        bth_gen_dead(s, g, out);
    } else if (g->inst == BTH_READY) {
        g->inst = BTH_DRAIN;
        bth_gen_settle(s, g, out);
    }
}

void bth_gen_close(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    struct bth_gen *r = g->replicas ? bth_table_next(&s->gens, NULL) : NULL;
    for (; r; r = bth_table_next(&s->gens, r)) {
        if (r->of == g->id) {
            close_instance(s, r, out);
        }
    }
    close_instance(s, g, out);
}

void bth_gens_rest(struct bth_state *s, uint32_t model) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->model == model) {
            bth_gen_rest(s, g);
        }
    }
}

void bth_gen_leave(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    struct bth_gen *heir = g->of ? NULL : sibling(s, g);
    if (heir) {
        promote(s, g, heir);
    }
    bth_gen_close(s, g, out);
}

/* The fewest uses, on the lowest device. One that closes has no replica that takes uses. */
struct bth_gen *bth_gen_pick(struct bth_state *s, uint64_t id) {
    struct bth_gen *best = bth_table_get(&s->gens, id);
    struct bth_gen *g = best && best->replicas ? bth_table_next(&s->gens, NULL) : NULL;
    for (; g; g = bth_table_next(&s->gens, g)) {
        if (g->of == id && g->inst == BTH_READY &&
            (g->uses < best->uses || (g->uses == best->uses && g->device < best->device))) {
            best = g;
        }
    }
    return best;
}

/* ---- one more -------------------------------------------------------------------------------*/

/* Each of its instances has as many uses as it takes, and none is still to come. */
static bool all_busy(const struct bth_state *s, uint64_t first) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (first_of(g) == first && !g->closing &&
            (g->inst != BTH_READY || g->uses < BTH_REPLICA_USES)) {
            return false;
        }
    }
    return true;
}

/* A device of its kind that has none of its instances, and room: the roomiest. -1: none. */
static int place_beside(const struct bth_state *s, const struct bth_gen *first) {
    const struct bth_model *m = &s->models[first->model];
    bool taken[BTH_MAX_DEVICES] = {false};
    uint64_t most = 0;
    int best = -1;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        taken[g->device] |= g->model == first->model;
    }
    for (uint32_t i = 0; i < s->n_devices; i++) {
        const struct bth_ledger *d = &s->devices[i];
        const uint64_t room = bth_ledger_room(d);
        if (!taken[i] && d->kind == s->devices[first->device].kind && bth_could_run(s, m, i) &&
            room >= bth_need_of(m, i) && (best < 0 || room > most)) {
            best = (int)i;
            most = room;
        }
    }
    return best;
}

void bth_replicate(struct bth_state *s, const struct bth_gen *g, struct bth_actions *out) {
    struct bth_gen *first = bth_table_get(&s->gens, first_of(g));
    const struct bth_model *m = &s->models[g->model];
    if (s->n_devices == 1 || g->uses < BTH_REPLICA_USES || m->open != first_of(g) ||
        (m->most && first->replicas + 1 >= m->most) || s->now < m->more_at) {
        return;
    }
    if (s->hungriest || s->waiting.first || !all_busy(s, first->id)) {
        return;
    }
    const int device = place_beside(s, first);
    if (device >= 0) {
        bth_start_load(s, g->model, (uint32_t)device, first, out);
    }
}

/* ---- lost -----------------------------------------------------------------------------------*/

/* Its instance is gone: whoever waits is told, whoever runs will find out. */
static void lose_use(struct bth_state *s, struct bth_use_row *u, struct bth_actions *out) {
    if (u->state == BTH_USE_WAIT) {
        bth_use_refuse(s, u, BTH_REASON_DEVICE, out);
    }
    struct bth_action *a = bth_act(out, BTH_ACT_USE_LOST);
    a->id = u->id;
    a->gen = u->gen;
    a->arg = u->arg;
    bth_use_drop(s, u, true);
}

static void lose_instance(struct bth_state *s, struct bth_gen *g, struct bth_actions *out) {
    struct bth_gen *heir = g->of || g->closing ? NULL : sibling(s, g);
    if (heir) {
        promote(s, g, heir);
        bth_gen_rest(s, heir);
    } else if (!g->of) { /* no other is ready: its leases run nothing more */
        struct bth_gen *o;
        for (o = bth_table_next(&s->gens, NULL); o; o = bth_table_next(&s->gens, o)) {
            if (o->of == g->id) {
                bth_gen_close(s, o, out);
            }
        }
    }
    struct bth_use_row *u;
    for (u = bth_table_next(&s->uses, NULL); u; u = bth_table_next(&s->uses, u)) {
        if (u->gen == g->id) {
            lose_use(s, u, out);
        }
    }
    struct bth_action *a = bth_act(out, BTH_ACT_LOST);
    a->gen = g->id;
    a->scope = g->model;
    a->bytes = bth_gen_bytes(g);
    a->handle = g->inst == BTH_FREEING && g->started ? NULL : g->handle;
    bth_ledger_lose(&s->devices[g->device], g);
    bth_gen_dead(s, g, out);
}

void bth_on_device_lost(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_ledger *d = &s->devices[e->device];
    if (d->lost) {
        return;
    }
    d->lost = true;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->device == e->device) {
            lose_instance(s, g, out);
        }
    }
    for (uint32_t i = 0; i < s->n_models; i++) { /* another device may have to do now */
        struct bth_model *m = &s->models[i];
        if (m->est_state == BTH_EST_KNOWN) {
            m->est_state = BTH_EST_NONE;
        } else if (m->est_state == BTH_EST_ASKED && m->est_started) {
            bth_ask_estimate(s, m, out);
        }
    }
    s->stirred = true;
    bth_pump_all(s, out);
}

/*
 * The only place that grants, loads and evicts. One pass is a fixed point: nothing that it does
 * makes room at once (evicted bytes stay charged until FREE_DONE), and a READY instance is granted
 * to all its waiters in the pass that finds it.
 */
#include "core/ledger.h"
#include "core/step_private.h"

#include "base/clock.h"
#include <assert.h>

static uint64_t need_of(const struct bth_model *m, uint32_t device) {
    return m->est[device].weights + m->est[device].workspace + m->est[device].session;
}

/* ---- eviction -------------------------------------------------------------------------------*/

static bool is_idle(const struct bth_gen *g, uint32_t device) {
    return g->device == device && g->inst == BTH_READY && g->leases == 0 && g->uses == 0;
}

/* The idle generation used longest ago that is no victim yet. */
static struct bth_gen *oldest_idle(struct bth_state *s, uint32_t device) {
    struct bth_gen *best = NULL;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (is_idle(g, device) && !g->victim && (!best || g->used_seq < best->used_seq)) {
            best = g;
        }
    }
    return best;
}

/* Marks a set of idle generations with `want` bytes, those used longest ago first and none that the
 * others make superfluous. Marks nothing and says false when all together do not suffice. */
static bool choose_victims(struct bth_state *s, uint32_t device, uint64_t want) {
    uint64_t sum = 0;
    struct bth_gen *g;
    while (sum < want && (g = oldest_idle(s, device))) {
        g->victim = true;
        sum += bth_gen_bytes(g);
    }
    bool enough = sum >= want;
    for (g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->victim && (!enough || sum - bth_gen_bytes(g) >= want)) {
            g->victim = false;
            sum -= bth_gen_bytes(g);
        }
    }
    return enough;
}

/* Sees that `need` bytes will be there once what is being freed is back. false: it cannot. */
static bool make_room(struct bth_state *s, uint32_t device, uint64_t need,
                      struct bth_actions *out) {
    const struct bth_ledger *d = &s->devices[device];
    uint64_t coming = bth_ledger_room(d) + d->freeing;
    if (coming >= need) {
        return true;
    }
    if (!choose_victims(s, device, need - coming)) {
        return false;
    }
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->victim) {
            g->victim = false;
            bth_gen_close(s, g, out);
        }
    }
    return true;
}

/* ---- uses -----------------------------------------------------------------------------------*/

bool bth_use_is_impossible(const struct bth_state *s, const struct bth_use_row *u) {
    const struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    return g->held + g->res + u->bytes > bth_ledger_limit(&s->devices[g->device]);
}

bool bth_pump_use(struct bth_state *s, struct bth_use_row *u, struct bth_actions *out) {
    if (bth_use_is_impossible(s, u)) {
        bth_use_refuse(s, u, BTH_REASON_IMPOSSIBLE, out);
        return true;
    }
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    struct bth_ledger *d = &s->devices[g->device];
    uint64_t sum = g->use_bytes + u->bytes;
    uint64_t delta = bth_ledger_session_delta(g, sum);
    if (delta > bth_ledger_room(d)) {
        /* Beyond the limit only its own instance's uses can make room: nobody else need leave. */
        if (g->held + g->res + sum <= bth_ledger_limit(d)) {
            make_room(s, g->device, delta, out);
        }
        if (d->earmark == 0) {
            d->earmark = delta;
        }
        return false;
    }
    bth_ledger_set_sessions(d, g, sum);
    bth_use_unlink(s, u);
    u->state = BTH_USE_RUN;
    s->models[g->model].running++;
    struct bth_action *a = bth_act(out, BTH_ACT_USE_RUN);
    a->id = u->id;
    a->bytes = u->bytes;
    a->arg = u->arg;
    return true;
}

/* Oldest first; within an instance nobody passes. */
static void pump_uses(struct bth_state *s, uint64_t pass, struct bth_actions *out) {
    for (uint64_t id = s->waiting.first; id;) {
        struct bth_use_row *u = bth_table_get(&s->uses, id);
        struct bth_gen *g = bth_table_get(&s->gens, u->gen);
        id = u->next;
        if (g->pass != pass && !bth_pump_use(s, u, out)) {
            g->pass = pass;
        }
    }
}

/* ---- tickets --------------------------------------------------------------------------------*/

static void grant(struct bth_state *s, struct bth_ticket *t, struct bth_gen *g,
                  struct bth_actions *out) {
    struct bth_lease_row *l = bth_table_add(&s->leases); /* reserved by ACQUIRE */
    assert(l && g->inst == BTH_READY && !g->closing);
    l->arg = t->arg;
    l->gen = g->id;
    l->model = t->model;
    g->leases++;
    g->used_seq = ++s->last_use;
    struct bth_model *m = &s->models[t->model];
    m->leases++;
    m->used_at = s->now;
    struct bth_action *a = bth_act(out, BTH_ACT_GRANT);
    a->id = l->id;
    a->gen = g->id;
    a->model = t->model;
    a->arg = t->arg;
    bth_ticket_unlink(s, t);
}

/* One load of a model on a device at a time, also across generations. */
static bool loads_on(const struct bth_state *s, uint32_t model, uint32_t device) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->model == model && g->device == device && g->inst <= BTH_LOADING) {
            return true;
        }
    }
    return false;
}

static void start_load(struct bth_state *s, uint32_t model, uint32_t device,
                       struct bth_actions *out) {
    struct bth_model *m = &s->models[model];
    struct bth_gen *g = bth_table_add(&s->gens); /* reserved by ACQUIRE or UNLOAD */
    assert(g);
    g->model = model;
    g->device = device;
    g->serial = ++m->serial;
    g->est = m->est[device];
    g->inst = BTH_RESV;
    g->op = ++s->last_op;
    g->load_at = s->now;
    m->open = g->id;
    m->est_state = BTH_EST_NONE; /* the file may change before the next load */
    bth_ledger_reserve(&s->devices[device], g);
    bth_act_work(out, g->op);
}

/* Loads where there is room beyond an earmark; else evicts where that suffices; else marks the
 * roomiest device, so that younger tickets leave alone what comes free there. */
static enum bth_why place(struct bth_state *s, uint32_t model, struct bth_actions *out) {
    const struct bth_model *m = &s->models[model];
    int now = -1, later = -1;
    uint64_t most_now = 0, most_later = 0;
    bool allowed[BTH_MAX_DEVICES] = {false};
    for (uint32_t i = 0; i < s->n_devices; i++) {
        const struct bth_ledger *d = &s->devices[i];
        uint64_t room = bth_ledger_room(d), need = need_of(m, i);
        if (need > bth_ledger_limit(d) || loads_on(s, model, i)) {
            continue;
        }
        allowed[i] = true;
        if (room >= d->earmark && room - d->earmark >= need && (now < 0 || room > most_now)) {
            now = (int)i;
            most_now = room;
        }
        if (d->earmark == 0 && (later < 0 || room + d->freeing > most_later)) {
            later = (int)i;
            most_later = room + d->freeing;
        }
    }
    if (now >= 0) {
        start_load(s, model, (uint32_t)now, out);
        return BTH_WHY_LOADING;
    }
    for (uint32_t i = 0; i < s->n_devices; i++) {
        if (allowed[i] && s->devices[i].earmark == 0 && make_room(s, i, need_of(m, i), out)) {
            later = (int)i;
            break;
        }
    }
    if (later >= 0) {
        s->devices[later].earmark = need_of(m, (uint32_t)later);
    }
    return BTH_WHY_BYTES;
}

static bool fits_somewhere(const struct bth_state *s, const struct bth_model *m) {
    for (uint32_t i = 0; i < s->n_devices; i++) {
        if (need_of(m, i) <= bth_ledger_limit(&s->devices[i])) {
            return true;
        }
    }
    return false;
}

void bth_pump_ticket(struct bth_state *s, struct bth_ticket *t, struct bth_actions *out) {
    struct bth_model *m = &s->models[t->model];
    struct bth_gen *g = bth_table_get(&s->gens, m->open);
    if (g && g->inst == BTH_READY) {
        grant(s, t, g, out);
    } else if (s->now >= t->expires) {
        bth_ticket_refuse(s, t, BTH_REASON_TIMEOUT, out);
    } else if (g) {
        t->why = BTH_WHY_LOADING;
    } else if (s->now < m->retry_at) {
        bth_ticket_refuse(s, t, BTH_REASON_LOAD_FAILED, out);
    } else if (m->est_state != BTH_EST_KNOWN) {
        t->why = BTH_WHY_ESTIMATE;
        if (m->est_state == BTH_EST_NONE) {
            m->est_state = BTH_EST_ASKED;
            m->est_started = false;
            m->est_op = ++s->last_op;
            bth_act_work(out, m->est_op);
        }
    } else if (!fits_somewhere(s, m)) {
        bth_ticket_refuse(s, t, BTH_REASON_IMPOSSIBLE, out);
    } else {
        t->why = place(s, t->model, out);
    }
}

void bth_pump(struct bth_state *s, struct bth_actions *out) {
    uint64_t pass = ++s->last_pass;
    for (uint32_t i = 0; i < s->n_devices; i++) {
        s->devices[i].earmark = 0;
    }
    pump_uses(s, pass, out);
    for (uint64_t id = s->queue.first; id;) {
        struct bth_ticket *t = bth_table_get(&s->tickets, id);
        struct bth_model *m = &s->models[t->model];
        id = t->next;
        if (m->pass == pass && s->now < t->expires) {
            t->why = m->pass_why; /* as for the older ticket of the same model */
            continue;
        }
        uint64_t self = t->id;
        bth_pump_ticket(s, t, out);
        if (bth_table_get(&s->tickets, self)) {
            m->pass = pass;
            m->pass_why = t->why;
        }
    }
}

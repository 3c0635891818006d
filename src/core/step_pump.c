/*
 * The only place that answers tickets and loads; whom it evicts step_evict.c says.
 *
 * Queues are answered at once, from the first ticket on, when something about their scope changes
 * (bth_pump_scope). Bytes are given out in passes over the hungry models, the one with the oldest
 * ticket first (bth_pump), when something has stirred them. Nothing that a pass does makes room at
 * once: evicted bytes stay charged until FREE_DONE.
 */
#include "core/ledger.h"
#include "core/step_private.h"

#include "base/clock.h"
#include <assert.h>

uint64_t bth_need_of(const struct bth_model *m, uint32_t device) {
    return m->est[device].weights + m->est[device].workspace + m->est[device].session;
}

bool bth_could_run(const struct bth_state *s, const struct bth_model *m, uint32_t device) {
    const struct bth_ledger *d = &s->devices[device];
    return !d->lost && bth_need_of(m, device) <= bth_ledger_limit(d);
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
            bth_find_room(s, g->device, delta, BTH_WHEN_DONE);
            bth_evict_victims(s, out);
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

/* ---- loads ----------------------------------------------------------------------------------*/

/* One load of a model on a device at a time, also across generations. */
static bool loads_on(const struct bth_state *s, uint32_t model, uint32_t device) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->model == model && g->device == device && g->inst <= BTH_LOADING) {
            return true;
        }
    }
    return false;
}

void bth_start_load(struct bth_state *s, uint32_t model, uint32_t device, struct bth_gen *of,
                    struct bth_actions *out) {
    struct bth_model *m = &s->models[model];
    struct bth_gen *g = bth_table_add(&s->gens);
    g->model = model;
    g->device = device;
    g->serial = of ? of->serial : ++m->serial;
    g->seq = ++s->last_seq;
    g->revoke_at = BTH_FOREVER;
    g->est = m->est[device];
    g->inst = BTH_RESV;
    g->op = ++s->last_op;
    g->load_at = s->now;
    if (of) {
        g->of = of->id;
        of->replicas++;
    } else {
        m->open = g->id;
        m->est_state = BTH_EST_NONE; /* the file may change before the next load */
    }
    bth_ledger_reserve(&s->devices[device], g);
    bth_act_work(out, g->op);
}

/* Where a load goes. */
struct choice {
    int now;   /* the device that has room, or -1 */
    int later; /* else the one where victims, which are marked, make room, or the roomiest; or -1 */
    bool sure; /* of `later`: with them, and what is being freed, there will be room */
};

/* The first device where evictions suffice. */
static bool find_sure(struct bth_state *s, const struct bth_model *m,
                      const bool allowed[BTH_MAX_DEVICES], enum bth_gladness least,
                      struct choice *c) {
    for (uint32_t i = 0; !c->sure && i < s->n_devices; i++) {
        if (allowed[i] && s->devices[i].earmark == 0 &&
            bth_find_room(s, i, bth_need_of(m, i), least)) {
            c->later = (int)i;
            c->sure = true;
        }
    }
    return c->sure;
}

/* Where there is room beyond an earmark; else where evictions suffice; else the roomiest device. */
static struct choice choose(struct bth_state *s, uint32_t model) {
    const struct bth_model *m = &s->models[model];
    struct choice c = {-1, -1, false};
    uint64_t most_now = 0, most_later = 0;
    bool allowed[BTH_MAX_DEVICES] = {false};
    for (uint32_t i = 0; i < s->n_devices; i++) {
        const struct bth_ledger *d = &s->devices[i];
        uint64_t room = bth_ledger_room(d), need = bth_need_of(m, i);
        if (!bth_could_run(s, m, i) || loads_on(s, model, i)) {
            continue;
        }
        allowed[i] = true;
        if (room >= d->earmark && room - d->earmark >= need && (c.now < 0 || room > most_now)) {
            c.now = (int)i;
            most_now = room;
        }
        if (d->earmark == 0 && (c.later < 0 || room + d->freeing > most_later)) {
            c.later = (int)i;
            most_later = room + d->freeing;
        }
    }
    if (c.now < 0 && !find_sure(s, m, allowed, BTH_IDLE, &c)) {
        find_sure(s, m, allowed, BTH_WHEN_DONE, &c);
    }
    return c;
}

/* Loads, or evicts and marks the device, so that younger tickets leave alone what comes free there.
 */
static enum bth_why place(struct bth_state *s, uint32_t model, struct bth_actions *out) {
    if (s->gens.used == s->gens.capacity) { /* no row until a generation has died */
        return BTH_WHY_BYTES;
    }
    const struct choice c = choose(s, model);
    if (c.now >= 0) {
        bth_start_load(s, model, (uint32_t)c.now, NULL, out);
        return BTH_WHY_LOADING;
    }
    bth_evict_victims(s, out);
    if (c.later >= 0) {
        s->devices[c.later].earmark = bth_need_of(&s->models[model], (uint32_t)c.later);
    }
    return BTH_WHY_BYTES;
}

static bool fits_somewhere(const struct bth_state *s, const struct bth_model *m) {
    for (uint32_t i = 0; i < s->n_devices; i++) {
        if (bth_could_run(s, m, i)) {
            return true;
        }
    }
    return false;
}

/* Why nothing fits: a device that has failed might have done. */
static enum bth_reason why_nowhere(const struct bth_state *s) {
    for (uint32_t i = 0; i < s->n_devices; i++) {
        if (s->devices[i].lost) {
            return BTH_REASON_DEVICE;
        }
    }
    return BTH_REASON_IMPOSSIBLE;
}

void bth_ask_estimate(struct bth_state *s, struct bth_model *m, struct bth_actions *out) {
    m->est_state = BTH_EST_ASKED;
    m->est_started = false;
    m->est_op = ++s->last_op;
    bth_act_work(out, m->est_op);
}

/* ---- plans ----------------------------------------------------------------------------------*/

static uint32_t roomiest(const struct bth_state *s) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < s->n_devices; i++) {
        if (bth_ledger_limit(&s->devices[i]) > bth_ledger_limit(&s->devices[best])) {
            best = i;
        }
    }
    return best;
}

/* Names the marked, and takes their marks away. */
static void take_victims(struct bth_state *s, struct bth_plan *out) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->victim) {
            g->victim = false;
            if (out->n_victims < BTH_PLAN_VICTIMS) {
                out->victims[out->n_victims] = g->model;
                out->spare[out->n_victims] = bth_gen_is_spare(s, g);
            }
            out->n_victims++;
        }
    }
}

static void plan_place(struct bth_state *s, uint32_t model, struct bth_plan *out) {
    const struct choice c = choose(s, model);
    take_victims(s, out);
    out->kind = c.now >= 0 ? BTH_PLAN_FITS : out->n_victims > 0 ? BTH_PLAN_EVICTS : BTH_PLAN_WAITS;
    if (c.now >= 0 || c.later >= 0) {
        out->device = (uint32_t)(c.now >= 0 ? c.now : c.later);
    }
}

void bth_state_plan(struct bth_state *s, uint32_t model, struct bth_plan *out) {
    const struct bth_model *m = &s->models[model];
    const struct bth_gen *g = bth_table_get(&s->gens, m->open);
    *out = (struct bth_plan){.device = g ? g->device : roomiest(s)};
    if (g) {
        out->kind = g->inst == BTH_READY ? BTH_PLAN_READY : BTH_PLAN_LOADING;
    } else if (m->disabled) {
        out->kind = BTH_PLAN_DISABLED;
    } else if (s->now < m->retry_at) {
        out->kind = BTH_PLAN_FAILED;
    } else if (m->est_state != BTH_EST_KNOWN) {
        out->kind = BTH_PLAN_UNKNOWN;
    } else if (!fits_somewhere(s, m)) {
        out->kind = BTH_PLAN_IMPOSSIBLE;
        out->why = why_nowhere(s);
    } else {
        plan_place(s, model, out);
    }
    if (out->kind != BTH_PLAN_UNKNOWN) {
        out->need = bth_need_of(m, out->device);
    }
    out->room = bth_ledger_room(&s->devices[out->device]);
}

/* ---- tickets --------------------------------------------------------------------------------*/

/* The first ticket of a family's queue that `t` may not overtake. */
static bool family_is_before(const struct bth_state *s, uint32_t family,
                             const struct bth_ticket *t) {
    const struct bth_ticket *x = bth_table_get(&s->tickets, s->families[family].queue.first);
    return x && bth_ticket_before(x, t);
}

static bool excludes(const struct bth_scope *scope, uint64_t owner) {
    return scope->exclusive && (owner == 0 || scope->exclusive_owner != owner);
}

static bool shared_must_wait(const struct bth_state *s, const struct bth_ticket *t) {
    const struct bth_model *m = &s->models[t->scope];
    if (excludes(&m->scope, t->owner) || excludes(&s->families[m->family], t->owner)) {
        return true;
    }
    return t->seq && (family_is_before(s, m->family, t) ||
                      (t->max_concurrent && m->scope.held >= t->max_concurrent));
}

/* Nobody else holds or uses it, and nobody older waits for a part of it. */
static bool exclusive_must_wait(struct bth_state *s, const struct bth_ticket *t) {
    const struct bth_scope *scope = bth_scope_of(s, t->scope);
    if (scope->held || scope->uses) {
        return true;
    }
    if (!(t->scope & BTH_FAMILY)) {
        uint32_t family = s->models[t->scope].family;
        return s->families[family].exclusive || family_is_before(s, family, t);
    }
    for (uint32_t i = 0; i < s->n_models; i++) {
        const struct bth_ticket *first = bth_table_get(&s->tickets, s->models[i].scope.queue.first);
        if (first && bth_model_in(s, i, t->scope) && bth_ticket_before(first, t)) {
            return true;
        }
    }
    return false;
}

/* Each answers the ticket and says BTH_WHY_NONE, or says why it waits. */
static enum bth_why wait_or_expire(struct bth_state *s, struct bth_ticket *t, enum bth_why why,
                                   struct bth_actions *out) {
    if (s->now < t->expires) {
        return why;
    }
    s->models[t->scope].why = why;
    bth_ticket_refuse(s, t, BTH_REASON_TIMEOUT, out);
    return BTH_WHY_NONE;
}

static enum bth_why pump_exclusive(struct bth_state *s, struct bth_ticket *t,
                                   struct bth_actions *out) {
    if (!exclusive_must_wait(s, t)) {
        bth_grant(s, t, NULL, out);
        bth_ticket_unlink(s, t);
    } else if (s->now < t->expires) {
        return BTH_WHY_LEASE;
    } else {
        bth_ticket_refuse(s, t, BTH_REASON_TIMEOUT, out);
    }
    return BTH_WHY_NONE;
}

static enum bth_why pump_shared(struct bth_state *s, struct bth_ticket *t,
                                struct bth_actions *out) {
    struct bth_model *m = &s->models[t->scope];
    struct bth_gen *g = bth_table_get(&s->gens, m->open);
    if (shared_must_wait(s, t)) {
        return wait_or_expire(s, t, BTH_WHY_LEASE, out);
    }
    if (g && g->inst == BTH_READY) {
        bth_grant(s, t, g, out);
        bth_ticket_unlink(s, t);
        return BTH_WHY_NONE;
    }
    if (g || s->now >= t->expires) {
        return wait_or_expire(s, t, g ? BTH_WHY_LOADING : BTH_WHY_ESTIMATE, out);
    }
    if (s->now < m->retry_at) {
        bth_ticket_refuse(s, t, BTH_REASON_LOAD_FAILED, out);
        return BTH_WHY_NONE;
    }
    if (m->est_state != BTH_EST_KNOWN) {
        if (m->est_state == BTH_EST_NONE) {
            bth_ask_estimate(s, m, out);
        }
        return BTH_WHY_ESTIMATE;
    }
    if (!fits_somewhere(s, m)) {
        bth_ticket_refuse(s, t, why_nowhere(s), out);
        return BTH_WHY_NONE;
    }
    /* Bytes are given out in a pass only, where the older have had their turn. */
    if (s->turn != t->scope + 1 || m->hunger != t->seq) {
        return BTH_WHY_BYTES;
    }
    s->turn = 0;
    return place(s, t->scope, out);
}

static bool is_hungrier(const struct bth_model *a, const struct bth_model *b) {
    return a->hunger_key < b->hunger_key ||
           (a->hunger_key == b->hunger_key && a->hunger < b->hunger);
}

/* Puts a model into the list of the hungry by its first ticket, or out of it (NULL). */
static void set_hungry(struct bth_state *s, uint32_t model, const struct bth_ticket *first) {
    struct bth_model *m = &s->models[model];
    if (m->hungry) {
        *(m->previous ? &s->models[m->previous - 1].next : &s->hungriest) = m->next;
        *(m->next ? &s->models[m->next - 1].previous : &s->least_hungry) = m->previous;
    }
    m->hungry = first != NULL;
    m->hunger_key = first ? first->key : 0;
    m->hunger = first ? first->seq : 0;
    s->stirred = true;
    if (!first) {
        return;
    }
    m->previous = s->least_hungry;
    m->next = 0;
    while (m->previous && is_hungrier(m, &s->models[m->previous - 1])) {
        m->next = m->previous;
        m->previous = s->models[m->previous - 1].previous;
    }
    *(m->previous ? &s->models[m->previous - 1].next : &s->hungriest) = model + 1;
    *(m->next ? &s->models[m->next - 1].previous : &s->least_hungry) = model + 1;
}

static void pump_model(struct bth_state *s, uint32_t model, struct bth_actions *out) {
    struct bth_model *m = &s->models[model];
    enum bth_why why = BTH_WHY_NONE;
    struct bth_ticket *t = bth_table_get(&s->tickets, m->scope.queue.first);
    while (t) {
        why = t->exclusive ? pump_exclusive(s, t, out) : pump_shared(s, t, out);
        if (why != BTH_WHY_NONE) {
            break;
        }
        t = bth_table_get(&s->tickets, m->scope.queue.first);
    }
    m->why = why;
    bool hungry = why == BTH_WHY_BYTES;
    if (hungry != m->hungry || (hungry && m->hunger != t->seq)) {
        set_hungry(s, model, hungry ? t : NULL);
    }
}

/* true: somebody was answered. */
static bool pump_family(struct bth_state *s, uint32_t family, struct bth_actions *out) {
    struct bth_scope *scope = &s->families[family];
    bool any = false;
    struct bth_ticket *t = bth_table_get(&s->tickets, scope->queue.first);
    while (t && pump_exclusive(s, t, out) == BTH_WHY_NONE) {
        any = true;
        t = bth_table_get(&s->tickets, scope->queue.first);
    }
    return any;
}

static void pump_models(struct bth_state *s, uint32_t family, struct bth_actions *out) {
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (s->models[i].family == family) {
            pump_model(s, i, out);
        }
    }
}

void bth_pump_scope(struct bth_state *s, uint32_t scope, struct bth_actions *out) {
    uint32_t family = scope & ~BTH_FAMILY;
    if (scope & BTH_FAMILY) {
        pump_models(s, family, out);
    } else {
        family = s->models[scope].family;
        pump_model(s, scope, out);
    }
    while (pump_family(s, family, out)) {
        pump_models(s, family, out);
    }
}

void bth_pump_all(struct bth_state *s, struct bth_actions *out) {
    for (uint32_t i = 0; i < BTH_MAX_FAMILIES; i++) {
        bth_pump_scope(s, BTH_FAMILY | i, out);
    }
}

void bth_pump(struct bth_state *s, struct bth_actions *out) {
    while (s->stirred) {
        s->stirred = false;
        uint64_t pass = ++s->last_pass;
        for (uint32_t i = 0; i < s->n_devices; i++) {
            s->devices[i].earmark = 0;
        }
        pump_uses(s, pass, out);
        for (uint32_t i = s->hungriest; i && !s->stirred;) {
            uint32_t model = i - 1;
            i = s->models[model].next;
            s->turn = model + 1;
            bth_pump_scope(s, model, out);
            s->turn = 0;
        }
    }
}

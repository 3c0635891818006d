#include "core/ledger.h"
#include "core/step_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include <assert.h>

/* Sums of a few such numbers do not overflow; estimates and sizes beyond it are cut to it, and fit
 * no device. */
#define BYTES_MAX (UINT64_C(1) << 58)

static uint64_t cut(uint64_t bytes) {
    return BTH_MIN(bytes, BYTES_MAX);
}

/* ---- actions --------------------------------------------------------------------------------*/

struct bth_action *bth_act(struct bth_actions *out, enum bth_action_kind kind) {
    assert(out->n < out->capacity);
    struct bth_action *a = &out->items[out->n++];
    *a = (struct bth_action){.kind = kind};
    return a;
}

void bth_act_work(struct bth_actions *out, uint64_t op) {
    bth_act(out, BTH_ACT_WORK)->op = op;
}

void bth_actions_finish(struct bth_actions *a) {
    bth_free(a->items);
    *a = (struct bth_actions){0};
}

/* Room for all that one step can say: an answer and QUEUED a ticket, an answer and the end of it a
 * use, a revocation a lease, LOAD or LOST, FREE and DEAD an instance, an estimate a model. */
static bool reserve_actions(const struct bth_state *s, struct bth_actions *out) {
    size_t n = 2 * (size_t)s->tickets.capacity + 2 * (size_t)s->uses.capacity + s->leases.capacity +
               3 * (size_t)s->gens.capacity + s->n_models + 4;
    if (n <= out->capacity) {
        return true;
    }
    struct bth_action *items = bth_realloc_array(out->items, 2 * n, sizeof(*items));
    if (!items) {
        return false;
    }
    out->items = items;
    out->capacity = 2 * n;
    return true;
}

/* A lease for every ticket, a generation for every model that may want one, a replica. */
static bool reserve(struct bth_state *s, size_t tickets, size_t uses, struct bth_actions *out) {
    return bth_table_reserve(&s->tickets, s->tickets.used + tickets) &&
           bth_table_reserve(&s->leases, s->leases.used + s->tickets.used + tickets) &&
           bth_owners_reserve(&s->owners, s->owners.rows.used + tickets) &&
           bth_table_reserve(&s->gens, s->gens.used + s->n_models + uses) &&
           bth_table_reserve(&s->uses, s->uses.used + uses) && reserve_actions(s, out);
}

static int code_of(const struct bth_state *s, uint32_t model, enum bth_reason reason) {
    switch (reason) {
    case BTH_REASON_MEMORY:
        return BERTH_ENOMEM;
    case BTH_REASON_SHUTDOWN:
        return BERTH_ESHUTDOWN;
    case BTH_REASON_TIMEOUT:
        return BERTH_ETIMEDOUT;
    case BTH_REASON_CANCELLED:
        return BERTH_ECANCELLED;
    case BTH_REASON_IMPOSSIBLE:
        return BERTH_EBUDGET;
    case BTH_REASON_LOAD_FAILED:
        return s->models[model].cause.code;
    case BTH_REASON_LOST:
        return BERTH_ELOST;
    case BTH_REASON_REVOKED:
        return BERTH_EREVOKED;
    case BTH_REASON_UPGRADE:
        return BERTH_EUPGRADE;
    case BTH_REASON_DEADLOCK:
        return BERTH_EDEADLOCK;
    case BTH_REASON_DISABLED:
        return s->models[model].removed ? BERTH_ENOTFOUND : BERTH_EDISABLED;
    case BTH_REASON_DEVICE:
        return BERTH_EDEVICE;
    case BTH_REASON_NONE:
        break;
    }
    return BERTH_EINTERNAL;
}

/* The first answer of all is the only one that may have no room: ENOMEM to a newcomer. */
struct bth_action *bth_refuse(const struct bth_state *s, struct bth_actions *out,
                              enum bth_action_kind kind, uint32_t scope, enum bth_reason reason) {
    struct bth_action *a = bth_act(out, kind);
    a->scope = scope;
    a->reason = reason;
    a->code = code_of(s, scope, reason);
    return a;
}

/* ---- uses -----------------------------------------------------------------------*/

void bth_use_unlink(struct bth_state *s, struct bth_use_row *u) {
    assert(u->state == BTH_USE_WAIT);
    struct bth_use_row *prev = bth_table_get(&s->uses, u->prev);
    struct bth_use_row *next = bth_table_get(&s->uses, u->next);
    *(prev ? &prev->next : &s->waiting.first) = u->next;
    *(next ? &next->prev : &s->waiting.last) = u->prev;
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    g->waits--;
}

void bth_use_refuse(struct bth_state *s, struct bth_use_row *u, enum bth_reason reason,
                    struct bth_actions *out) {
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    if (u->state == BTH_USE_WAIT) {
        bth_use_unlink(s, u);
    }
    u->state = BTH_USE_REFUSED;
    struct bth_action *a = bth_refuse(s, out, BTH_ACT_USE_REFUSED, g->model, reason);
    a->id = u->id;
    a->gen = g->id;
    a->bytes = u->bytes;
    a->arg = u->arg;
}

/* ---- events of callers ----------------------------------------------------------------------*/

static void on_use_open(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_lease_row *l = bth_table_get(&s->leases, e->id);
    if (!l || l->state != BTH_LEASE_HELD) {
        bth_refuse(s, out, BTH_ACT_USE_REFUSED, l ? l->scope : 0,
                   l ? BTH_REASON_REVOKED : BTH_REASON_LOST)
            ->arg = e->arg;
        return;
    }
    assert(!l->exclusive); /* it has no generation: the driver does not ask */
    struct bth_gen *g = bth_gen_pick(s, l->gen);
    if (!g) {
        bth_refuse(s, out, BTH_ACT_USE_REFUSED, l->scope, BTH_REASON_DEVICE)->arg = e->arg;
        return;
    }
    struct bth_use_row *u = bth_table_add(&s->uses);
    u->arg = e->arg;
    u->lease = l->id;
    u->gen = g->id;
    u->state = BTH_USE_OPEN;
    g->uses++;
    s->models[g->model].scope.uses++;
    s->families[s->models[g->model].family].uses++;
    struct bth_action *a = bth_act(out, BTH_ACT_USE_OPENED);
    a->id = u->id;
    a->gen = g->id;
    a->arg = u->arg;
    bth_replicate(s, g, out);
}

static void on_use_begin(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_use_row *u = bth_table_get(&s->uses, e->id);
    if (!u) { /* lost with its device */
        bth_refuse(s, out, BTH_ACT_USE_REFUSED, e->scope, BTH_REASON_DEVICE)->arg = e->arg;
        return;
    }
    if (u->state != BTH_USE_OPEN) {
        return;
    }
    u->bytes = cut(e->bytes);
    if (u->lost) {
        bth_use_refuse(s, u, BTH_REASON_REVOKED, out);
        return;
    }
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    u->state = BTH_USE_WAIT;
    u->prev = s->waiting.last;
    struct bth_use_row *last = bth_table_get(&s->uses, u->prev);
    *(last ? &last->next : &s->waiting.first) = u->id;
    s->waiting.last = u->id;
    if (g->waits++ == 0 || bth_use_is_impossible(s, u)) {
        bth_pump_use(s, u, out);
        s->stirred = true; /* it may have taken what a ticket relied on: evict for that one anew */
    }
}

void bth_use_drop(struct bth_state *s, struct bth_use_row *u, bool failed) {
    const struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    struct bth_model *m = &s->models[g->model];
    m->running -= u->state == BTH_USE_RUN || u->state == BTH_USE_CANCELLING;
    m->served++;
    m->failed += failed;
    m->used_at = s->now;
    m->scope.uses--;
    s->families[m->family].uses--;
    bth_table_drop(&s->uses, u);
}

static void on_use_end(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_use_row *u = bth_table_get(&s->uses, e->id);
    if (!u) {
        return;
    }
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    if (u->state == BTH_USE_WAIT) {
        bth_use_unlink(s, u);
    } else if (u->state == BTH_USE_RUN || u->state == BTH_USE_CANCELLING) {
        bth_ledger_set_sessions(&s->devices[g->device], g, g->use_bytes - u->bytes);
    }
    g->uses--;
    bth_gen_touch(s, g);
    const uint32_t model = g->model;
    bth_use_drop(s, u, e->failed);
    bth_gen_rest(s, g);
    bth_gen_settle(s, g, out);
    bth_pump_scope(s, model, out);
    s->stirred = true;
}

/* ---- events of the loaders ------------------------------------------------------------------*/

static struct bth_gen *gen_of_op(const struct bth_state *s, uint64_t op) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (op && g->op == op) {
            return g;
        }
    }
    return NULL;
}

static uint32_t model_of_op(const struct bth_state *s, uint64_t op) {
    uint32_t i = 0;
    while (i < s->n_models &&
           !(s->models[i].est_state == BTH_EST_ASKED && s->models[i].est_op == op)) {
        i++;
    }
    return i;
}

static void on_op_begin(struct bth_state *s, const struct bth_event *e) {
    struct bth_gen *g = gen_of_op(s, e->op);
    uint32_t i = model_of_op(s, e->op);
    if (g && g->inst == BTH_RESV) {
        g->inst = BTH_LOADING;
        g->load_at = s->now;
    } else if (g) {
        g->started = true;
    } else if (i < s->n_models) {
        s->models[i].est_started = true;
    }
}

/* 1, 2, 4 ... 60 s in which callers get the cause at once; those who wait get it now. */
static void load_failed(struct bth_state *s, uint32_t model, const struct berth_error *error,
                        struct bth_actions *out) {
    struct bth_model *m = &s->models[model];
    int64_t delay = m->failures < 6 ? INT64_C(1) << m->failures : BTH_BACKOFF_MAX_S;
    m->failures++;
    m->cause = *error;
    m->retry_at = s->now + BTH_MIN(delay, BTH_BACKOFF_MAX_S) * BTH_NS_PER_S;
    bth_tickets_refuse(s, model, BTH_REASON_LOAD_FAILED, out);
}

static void on_estimated(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    uint32_t model = model_of_op(s, e->op);
    if (model == s->n_models) {
        return;
    }
    struct bth_model *m = &s->models[model];
    m->est_state = e->error ? BTH_EST_NONE : BTH_EST_KNOWN;
    m->est_at = s->now;
    if (e->error) {
        load_failed(s, model, e->error, out);
    } else {
        for (uint32_t i = 0; i < s->n_devices; i++) {
            m->est[i].weights = cut(e->estimates[i].weights);
            m->est[i].workspace = cut(e->estimates[i].workspace);
            m->est[i].session = cut(e->estimates[i].session);
        }
    }
    bth_pump_scope(s, model, out);
}

static void on_load_done(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_gen *g = gen_of_op(s, e->op);
    if (!g || g->inst != BTH_LOADING) {
        return;
    }
    struct bth_ledger *d = &s->devices[g->device];
    struct bth_model *m = &s->models[g->model];
    uint32_t model = g->model;
    g->op = 0;
    if (e->error) {
        const bool replica = g->of != 0;
        bth_ledger_unreserve(d, g);
        d->residual += e->bytes;
        bth_gen_dead(s, g, out);
        if (replica) {
            m->more_at = s->now + BTH_REPLICA_PAUSE_NS;
        } else {
            load_failed(s, model, e->error, out);
        }
    } else {
        bth_ledger_commit(d, g, e->bytes, e->spare);
        g->handle = e->handle;
        g->inst = g->closing ? BTH_DRAIN : BTH_READY;
        m->failures = 0;
        m->retry_at = s->now;
        m->loads++;
        m->load_ns = s->now - g->load_at;
        bth_gen_touch(s, g);
        bth_gens_rest(s, model); /* those beside it may go now */
        bth_gen_settle(s, g, out);
    }
    bth_pump_scope(s, model, out);
    s->stirred = true;
}

static void on_free_done(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_gen *g = gen_of_op(s, e->op);
    if (g && g->inst == BTH_FREEING) {
        bth_ledger_freed(&s->devices[g->device], g, e->bytes);
        bth_gen_dead(s, g, out);
        s->stirred = true;
    }
}

static bool grow_use(struct bth_state *s, struct bth_use_row *u, uint64_t more) {
    if (!u || more > BYTES_MAX - u->bytes ||
        (u->state != BTH_USE_RUN && u->state != BTH_USE_CANCELLING)) {
        return false;
    }
    struct bth_gen *g = bth_table_get(&s->gens, u->gen);
    struct bth_ledger *d = &s->devices[g->device];
    if (bth_ledger_session_delta(g, g->use_bytes + more) > bth_ledger_room(d)) {
        return false;
    }
    u->bytes += more;
    bth_ledger_set_sessions(d, g, g->use_bytes + more);
    return true;
}

static bool grow_gen(struct bth_state *s, struct bth_gen *g, uint64_t more) {
    if (!g || g->inst == BTH_RESV || g->inst == BTH_FREEING) {
        return false;
    }
    struct bth_ledger *d = &s->devices[g->device];
    uint64_t room = bth_ledger_room(d);
    if (room < d->earmark || room - d->earmark < more) {
        return false;
    }
    bth_ledger_grow(d, g, more);
    return true;
}

static void on_grow(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    uint64_t more = cut(e->bytes);
    bool grown = e->use ? grow_use(s, bth_table_get(&s->uses, e->id), more)
                        : grow_gen(s, bth_table_get(&s->gens, e->id), more);
    if (grown) {
        bth_act(out, BTH_ACT_GROWN);
        s->stirred = true; /* as after USE_BEGIN */
    }
}

/* ---- events of administration ---------------------------------------------------------------*/

static void on_unload(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    assert(e->scope < s->n_models);
    struct bth_gen *g = bth_table_get(&s->gens, s->models[e->scope].open);
    if (g) {
        bth_gen_close(s, g, out);
        bth_pump_scope(s, e->scope, out);
        s->stirred = true;
    }
}

static void on_estimate(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    struct bth_model *m = &s->models[e->scope];
    if (!m->open && m->est_state == BTH_EST_NONE && s->now >= m->retry_at) {
        bth_ask_estimate(s, m, out);
    }
}

/* ---- the step -------------------------------------------------------------------------------*/

/* Memory for the event, or the newcomer's refusal; false: answered. */
static bool prepare(struct bth_state *s, const struct bth_event *e, struct bth_actions *out) {
    bool acquire = e->kind == BTH_EV_ACQUIRE, open = e->kind == BTH_EV_USE_OPEN;
    if (!acquire && !open && e->kind != BTH_EV_UNLOAD && e->kind != BTH_EV_CLEANUP &&
        e->kind != BTH_EV_ESTIMATE) {
        return true;
    }
    if (reserve(s, acquire, open, out)) {
        return true;
    }
    if (out->capacity > 0) {
        bth_refuse(s, out, open ? BTH_ACT_USE_REFUSED : BTH_ACT_REFUSE, e->scope, BTH_REASON_MEMORY)
            ->arg = e->arg;
    }
    return false; /* no action at all says the same */
}

void bth_step(struct bth_state *s, const struct bth_event *e, int64_t now,
              struct bth_actions *out) {
    s->now = BTH_MAX(s->now, now);
    out->n = 0;
    if (!prepare(s, e, out)) {
        return;
    }
    switch (e->kind) {
    case BTH_EV_ACQUIRE:
        bth_on_acquire(s, e, out);
        break;
    case BTH_EV_CANCEL:
        bth_on_cancel(s, e, out);
        break;
    case BTH_EV_RELEASE:
        bth_on_release(s, e, out);
        break;
    case BTH_EV_USE_OPEN:
        on_use_open(s, e, out);
        break;
    case BTH_EV_USE_BEGIN:
        on_use_begin(s, e, out);
        break;
    case BTH_EV_USE_END:
        on_use_end(s, e, out);
        break;
    case BTH_EV_OP_BEGIN:
        on_op_begin(s, e);
        break;
    case BTH_EV_ESTIMATED:
        on_estimated(s, e, out);
        break;
    case BTH_EV_LOAD_DONE:
        on_load_done(s, e, out);
        break;
    case BTH_EV_FREE_DONE:
        on_free_done(s, e, out);
        break;
    case BTH_EV_GROW:
        on_grow(s, e, out);
        break;
    case BTH_EV_UNLOAD:
        on_unload(s, e, out);
        break;
    case BTH_EV_CLEANUP:
        bth_on_cleanup(s, e, out);
        break;
    case BTH_EV_REVOKE:
        bth_on_revoke(s, e, out);
        break;
    case BTH_EV_CLOSE:
        bth_on_close(s, e, out);
        break;
    case BTH_EV_ESTIMATE:
        on_estimate(s, e, out);
        break;
    case BTH_EV_DISABLE:
        bth_on_disable(s, e, out);
        break;
    case BTH_EV_ENABLE:
        s->models[e->scope].disabled = s->models[e->scope].removed = false;
        break;
    case BTH_EV_DEVICE_LOST:
        bth_on_device_lost(s, e, out);
        break;
    case BTH_EV_TICK:
        bth_on_tick(s, e, out);
        break;
    }
    bth_pump(s, out);
}

bool bth_state_outlives(const struct bth_state *s, uint64_t seq) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->seq <= seq) {
            return true;
        }
    }
    struct bth_lease_row *l;
    for (l = bth_table_next(&s->leases, NULL); l; l = bth_table_next(&s->leases, l)) {
        if (l->state == BTH_LEASE_HELD && l->seq <= seq) {
            return true;
        }
    }
    return false;
}

static struct bth_op gen_op(const struct bth_state *s, const struct bth_gen *g) {
    const struct bth_gen *first = bth_table_get(&s->gens, g->of);
    return (struct bth_op){.kind = g->inst == BTH_FREEING ? BTH_OP_FREE : BTH_OP_LOAD,
                           .id = g->op,
                           .model = g->model,
                           .device = g->device,
                           .gen = g->id,
                           .est = g->est,
                           .handle = first && g->inst == BTH_RESV ? first->handle : g->handle};
}

static bool may_load(const struct bth_state *s) {
    int n = 0;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        n += g->inst == BTH_LOADING;
    }
    return n < BTH_LOADS_AT_ONCE;
}

struct bth_op bth_state_next_op(const struct bth_state *s) {
    struct bth_op best = {.kind = BTH_OP_NONE};
    const bool loads = may_load(s);
    uint64_t place = 0; /* of the best: a replica comes after all whom somebody waits for */
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        bool pending = (g->inst == BTH_RESV && loads) || (g->inst == BTH_FREEING && !g->started);
        enum bth_op_kind kind = g->inst == BTH_FREEING ? BTH_OP_FREE : BTH_OP_LOAD;
        const uint64_t own = g->op | (uint64_t)(g->inst == BTH_RESV && g->of) << 63;
        if (pending && (kind > best.kind || (kind == best.kind && own < place))) {
            best = gen_op(s, g);
            place = own;
        }
    }
    for (uint32_t i = 0; i < s->n_models && best.kind != BTH_OP_FREE; i++) {
        const struct bth_model *m = &s->models[i];
        if (m->est_state == BTH_EST_ASKED && !m->est_started &&
            (best.kind != BTH_OP_ESTIMATE || m->est_op < best.id)) {
            best = (struct bth_op){.kind = BTH_OP_ESTIMATE, .id = m->est_op, .model = i};
        }
    }
    return best;
}

/* ---- life -----------------------------------------------------------------------------------*/

void bth_state_init(struct bth_state *s, const uint64_t *budgets, uint32_t n_devices) {
    assert(n_devices >= 1 && n_devices <= BTH_MAX_DEVICES);
    *s = (struct bth_state){.n_devices = n_devices,
                            .last_key = INT64_MIN,
                            .revoke_at = BTH_FOREVER,
                            .idle_at = BTH_FOREVER};
    for (uint32_t i = 0; i < n_devices; i++) {
        s->devices[i].budget = cut(budgets[i]);
    }
    bth_table_init(&s->gens, sizeof(struct bth_gen));
    bth_table_init(&s->tickets, sizeof(struct bth_ticket));
    bth_table_init(&s->leases, sizeof(struct bth_lease_row));
    bth_table_init(&s->uses, sizeof(struct bth_use_row));
    bth_owners_init(&s->owners);
}

void bth_state_finish(struct bth_state *s) {
    bth_free(s->models);
    bth_table_finish(&s->gens);
    bth_table_finish(&s->tickets);
    bth_table_finish(&s->leases);
    bth_table_finish(&s->uses);
    bth_owners_finish(&s->owners);
}

int bth_state_add_model(struct bth_state *s, void *arg, uint32_t family, uint32_t *out) {
    assert(family < BTH_MAX_FAMILIES);
    if (s->n_models == s->models_capacity) {
        uint32_t capacity = s->models_capacity ? 2 * s->models_capacity : 8;
        struct bth_model *models = bth_realloc_array(s->models, capacity, sizeof(*models));
        if (!models) {
            return BERTH_ENOMEM;
        }
        s->models = models;
        s->models_capacity = capacity;
    }
    s->models[s->n_models] =
        (struct bth_model){.arg = arg, .family = family, .used_at = -1, .keep_alive = BTH_FOREVER};
    *out = s->n_models++;
    return 0;
}

/* What is kept, and for how long, has changed. */
static void keep_anew(struct bth_state *s, uint32_t model) {
    struct bth_gen *g = bth_table_get(&s->gens, s->models[model].open);
    if (g) {
        bth_gens_rest(s, model);
        s->stirred = true; /* it may be evicted now */
    }
}

void bth_state_keep(struct bth_state *s, uint32_t model, int64_t keep_alive, bool pinned) {
    struct bth_model *m = &s->models[model];
    m->keep_alive = keep_alive;
    m->pinned = pinned;
    keep_anew(s, model);
}

void bth_state_pin(struct bth_state *s, uint32_t model, bool more) {
    struct bth_model *m = &s->models[model];
    if (more) {
        m->pins++;
    } else {
        assert(m->pins > 0);
        m->pins--;
    }
    keep_anew(s, model);
}

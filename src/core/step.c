#include "core/step.h"

#include "base/clock.h"
#include "base/error.h"
#include <assert.h>
#include <string.h>

#define MB(bytes) ((double)(bytes) / 1e6)

void bth_state_init(struct bth_state *s) {
    *s = (struct bth_state){.max_loading = 2};
    bth_list_init(&s->models);
    bth_list_init(&s->instances);
    bth_list_init(&s->tickets);
    bth_list_init(&s->leases);
    bth_list_init(&s->uses);
}

uint64_t bth_ledger_room(const struct bth_ledger *l) {
    uint64_t taken = l->reserved + l->committed + l->freeing + l->sessions;
    return taken < l->budget ? l->budget - taken : 0;
}

static void act(struct bth_list *out, struct bth_action *a, enum bth_action_kind kind,
                void *object) {
    a->kind = kind;
    a->object = object;
    bth_list_append(out, &a->link);
}

/* ---- answers ---- */

static void drop_ticket(struct bth_ticket *t) {
    t->answered = true;
    t->model->n_waiting--;
    bth_list_remove(&t->link);
}

/* t->error has been filled. */
static void refuse(struct bth_ticket *t, struct bth_list *out) {
    drop_ticket(t);
    act(out, &t->action, BTH_ACT_REFUSE, t);
}

static void grant(struct bth_state *s, struct bth_ticket *t, struct bth_list *out) {
    struct bth_instance *i = t->model->open;
    assert(i && i->phase == BTH_INSTANCE_READY);
    drop_ticket(t);
    t->lease->phase = BTH_LEASE_HELD;
    t->lease->instance = i;
    i->n_leases++;
    bth_list_append(&s->leases, &t->lease->link);
    act(out, &t->action, BTH_ACT_GRANT, t);
}

/* ---- bytes ---- */

static uint64_t need_of(const struct bth_model_entry *m) {
    uint64_t estimate = m->estimate.weights_bytes + m->estimate.workspace_bytes;
    return estimate > m->learnt_bytes ? estimate : m->learnt_bytes;
}

/* The device for a model's next instance: the one with most room. */
static int place(const struct bth_state *s) {
    int best = 0;
    for (int d = 1; d < s->n_devices; d++) {
        if (bth_ledger_room(&s->ledgers[d]) > bth_ledger_room(&s->ledgers[best])) {
            best = d;
        }
    }
    return best;
}

static uint64_t largest_budget(const struct bth_state *s) {
    uint64_t most = 0;
    for (int d = 0; d < s->n_devices; d++) {
        most = s->ledgers[d].budget > most ? s->ledgers[d].budget : most;
    }
    return most;
}

static bool is_idle(const struct bth_instance *i) {
    return i->phase == BTH_INSTANCE_READY && i->n_leases == 0 && i->n_uses == 0;
}

/* Somebody waits for this very model: it is not to be unloaded under them. */
static bool is_wanted(const struct bth_state *s, const struct bth_instance *i) {
    struct bth_ticket *t;
    BTH_LIST_EACH(t, &s->tickets, struct bth_ticket, link) {
        if (t->model == i->model) {
            return true;
        }
    }
    return false;
}

static struct bth_instance *oldest_idle(const struct bth_state *s, int device) {
    struct bth_instance *i, *oldest = NULL;
    BTH_LIST_EACH(i, &s->instances, struct bth_instance, link) {
        if (i->device == device && is_idle(i) && !is_wanted(s, i) &&
            (!oldest || i->idle_since < oldest->idle_since)) {
            oldest = i;
        }
    }
    return oldest;
}

static void close_instance(struct bth_instance *i) {
    if (i->phase == BTH_INSTANCE_READY) {
        i->phase = BTH_INSTANCE_DRAINING;
    }
    if (i->model->open == i) {
        i->model->open = NULL;
    }
}

/* Makes `bytes` of room on a device by draining idle models, if there are enough of them; else drains
 * none. Bytes already on their way back count. */
static void make_room(struct bth_state *s, int device, uint64_t bytes) {
    struct bth_instance *i;
    uint64_t coming = bth_ledger_room(&s->ledgers[device]) + s->ledgers[device].freeing;
    uint64_t idle = 0;
    BTH_LIST_EACH(i, &s->instances, struct bth_instance, link) {
        if (i->device == device && i->phase == BTH_INSTANCE_DRAINING && i->n_leases + i->n_uses == 0) {
            coming += i->bytes;
        } else if (i->device == device && is_idle(i) && !is_wanted(s, i)) {
            idle += i->bytes;
        }
    }
    if (coming + idle < bytes) {
        return;
    }
    while (coming < bytes && (i = oldest_idle(s, device))) {
        coming += i->bytes;
        close_instance(i);
    }
}

/* ---- the pump: the only place that grants, loads, frees ---- */

static void free_drained(struct bth_state *s, struct bth_list *out) {
    struct bth_instance *i;
    BTH_LIST_EACH(i, &s->instances, struct bth_instance, link) {
        if (i->phase == BTH_INSTANCE_DRAINING && i->n_leases == 0 && i->n_uses == 0) {
            struct bth_ledger *l = &s->ledgers[i->device];
            i->phase = BTH_INSTANCE_FREEING;
            l->committed -= i->bytes;
            l->freeing += i->bytes;
            act(out, &i->action, BTH_ACT_FREE, i);
        }
    }
}

/* Uses wait in order; the first that does not fit holds back those behind it on its device. */
static void pump_uses(struct bth_state *s, struct bth_list *out) {
    bool blocked[BTH_MAX_DEVICES] = {false};
    struct bth_use_state *u;
    BTH_LIST_EACH(u, &s->uses, struct bth_use_state, link) {
        int d = u->instance->device;
        struct bth_ledger *l = &s->ledgers[d];
        uint64_t most = l->budget - (u->instance->bytes < l->budget ? u->instance->bytes : l->budget);
        if (u->bytes > most) {
            u->phase = BTH_USE_OPEN;
            bth_list_remove(&u->link);
            bth_error(&u->error, BERTH_EBUDGET,
                      "this request needs up to %.0f MB where %s leaves %.0f MB of the budget: raise "
                      "the device's memory, or ask for less (best_of, length of the audio)",
                      MB(u->bytes), u->instance->model->name, MB(most));
            act(out, &u->action, BTH_ACT_USE_REFUSE, u);
        } else if (!blocked[d] && u->bytes <= bth_ledger_room(l)) {
            l->sessions += u->bytes;
            u->phase = BTH_USE_RUN;
            bth_list_remove(&u->link);
            act(out, &u->action, BTH_ACT_USE_GRANT, u);
        } else if (!blocked[d]) {
            blocked[d] = true;
            make_room(s, d, u->bytes);
        }
    }
}

static void start_load(struct bth_state *s, struct bth_model_entry *m, int device, uint64_t need,
                       struct bth_instance *i, int64_t now, struct bth_list *out) {
    i->model = m;
    i->device = device;
    i->phase = BTH_INSTANCE_LOADING;
    i->generation = ++m->generation;
    i->bytes = need;
    i->n_leases = i->n_uses = 0;
    m->open = i;
    m->load_began = now;
    s->ledgers[device].reserved += need;
    s->n_loading++;
    bth_list_append(&s->instances, &i->link);
    act(out, &i->action, BTH_ACT_LOAD, i);
}

/* One ticket whose model is neither ready nor loading. */
static bool pump_load(struct bth_state *s, struct bth_ticket *t, struct bth_instance **spare,
                      bool *bytes_blocked, bool *wants_spare, int64_t now, struct bth_list *out) {
    struct bth_model_entry *m = t->model;
    if (now < m->fail.until) {
        bth_error_copy(&t->error, &m->fail.cause);
        refuse(t, out);
        return true;
    }
    uint64_t need = need_of(m), with_session = need + m->estimate.session_bytes;
    if (with_session > largest_budget(s)) {
        bth_error(&t->error, BERTH_EBUDGET,
                  "%s needs %.0f MB and %.0f MB for a request; the largest budget is %.0f MB: raise "
                  "the device's memory in the configuration",
                  m->name, MB(need), MB(m->estimate.session_bytes), MB(largest_budget(s)));
        refuse(t, out);
        return true;
    }
    if (*bytes_blocked || s->n_loading >= s->max_loading) {
        return false;
    }
    int d = place(s);
    if (with_session > bth_ledger_room(&s->ledgers[d])) {
        *bytes_blocked = true;
        make_room(s, d, with_session);
        return false;
    }
    if (!*spare) {
        *wants_spare = true;
        return false;
    }
    start_load(s, m, d, need, *spare, now, out);
    *spare = NULL;
    return true;
}

static bool pump_tickets(struct bth_state *s, struct bth_instance **spare, bool *wants_spare,
                         int64_t now, struct bth_list *out) {
    bool bytes_blocked = false, moved = false;
    struct bth_ticket *t;
    BTH_LIST_EACH(t, &s->tickets, struct bth_ticket, link) {
        const struct bth_instance *i = t->model->open;
        if (s->closing) {
            bth_error(&t->error, BERTH_ESHUTDOWN, "Berth is shutting down");
            refuse(t, out);
        } else if (i && i->phase == BTH_INSTANCE_READY) {
            grant(s, t, out);
            moved = true;
        } else if (!i) {
            moved |= pump_load(s, t, spare, &bytes_blocked, wants_spare, now, out);
        }
    }
    return moved;
}

static void expire(struct bth_state *s, int64_t now, struct bth_list *out) {
    struct bth_ticket *t;
    BTH_LIST_EACH(t, &s->tickets, struct bth_ticket, link) {
        if (t->deadline <= now) {
            bth_error(&t->error, BERTH_ETIMEDOUT, "%s was not to be had in time (%s)",
                      t->model->name,
                      t->model->open ? "it is loading" : "it waits for memory or another load");
            refuse(t, out);
        }
    }
}

static void pump(struct bth_state *s, struct bth_event *ev, int64_t now, struct bth_list *out,
                 bool *wants_spare) {
    *wants_spare = false;
    do {
        free_drained(s, out);
        pump_uses(s, out);
    } while (pump_tickets(s, &ev->spare, wants_spare, now, out));
    free_drained(s, out);
}

/* ---- events ---- */

static void acquire(struct bth_state *s, struct bth_ticket *t) {
    t->answered = false;
    t->lease->phase = BTH_LEASE_WAIT;
    t->lease->instance = NULL;
    bth_list_init(&t->lease->link);
    t->model->n_waiting++;
    bth_list_append(&s->tickets, &t->link);
}

static void note_idle(struct bth_instance *i, int64_t now) {
    if (i->n_leases == 0 && i->n_uses == 0) {
        i->idle_since = now;
    }
}

static void release(struct bth_lease_state *l, int64_t now) {
    if (l->phase == BTH_LEASE_HELD) {
        l->instance->n_leases--;
        note_idle(l->instance, now);
    }
    if (l->phase == BTH_LEASE_HELD || l->phase == BTH_LEASE_REVOKED) {
        bth_list_remove(&l->link);
    }
    l->phase = BTH_LEASE_RELEASED;
}

static int use_open(struct bth_use_state *u, const struct bth_lease_state *l) {
    if (l->phase != BTH_LEASE_HELD) {
        return BERTH_ELOST;
    }
    u->phase = BTH_USE_OPEN;
    u->instance = l->instance;
    u->bytes = 0;
    bth_list_init(&u->link);
    u->instance->n_uses++;
    u->instance->model->n_running++;
    return 0;
}

static void use_end(struct bth_state *s, struct bth_use_state *u, bool failed, int64_t now) {
    if (u->phase == BTH_USE_ENDED) {
        return;
    }
    if (u->phase == BTH_USE_RUN) {
        s->ledgers[u->instance->device].sessions -= u->bytes;
    }
    bth_list_remove(&u->link); /* a use that waits is given up */
    u->phase = BTH_USE_ENDED;
    u->instance->n_uses--;
    u->instance->model->n_running--;
    u->instance->model->n_served++;
    u->instance->model->n_failed += failed;
    note_idle(u->instance, now);
}

static int grow(struct bth_state *s, const struct bth_event *ev) {
    int d = ev->use ? ev->use->instance->device : ev->instance->device;
    struct bth_ledger *l = &s->ledgers[d];
    if (ev->bytes > bth_ledger_room(l)) {
        return BERTH_EBUDGET;
    }
    if (ev->use) {
        ev->use->bytes += ev->bytes;
        l->sessions += ev->bytes;
    } else {
        ev->instance->bytes += ev->bytes;
        *(ev->instance->phase == BTH_INSTANCE_LOADING ? &l->reserved : &l->committed) += ev->bytes;
    }
    return 0;
}

static const int64_t longest_back_off = 60 * BTH_NS_PER_S;

static void load_failed(struct bth_state *s, struct bth_instance *i, int rc, int64_t now,
                        struct bth_list *out) {
    struct bth_model_entry *m = i->model;
    int64_t wait = BTH_NS_PER_S << (m->fail.n < 6 ? m->fail.n : 6);
    m->fail.n++;
    m->fail.until = now + (wait < longest_back_off ? wait : longest_back_off);
    m->fail.cause = i->error;
    if (m->fail.cause.code == 0) {
        bth_error(&m->fail.cause, rc, "loading %s failed", m->name);
    }
    struct bth_ticket *t;
    BTH_LIST_EACH(t, &s->tickets, struct bth_ticket, link) {
        if (t->model == m) {
            bth_error_copy(&t->error, &m->fail.cause);
            refuse(t, out);
        }
    }
}

static void load_done(struct bth_state *s, const struct bth_event *ev, int64_t now,
                      struct bth_list *out) {
    struct bth_instance *i = ev->instance;
    if (i->phase != BTH_INSTANCE_LOADING) {
        return;
    }
    struct bth_ledger *l = &s->ledgers[i->device];
    struct bth_model_entry *m = i->model;
    s->n_loading--;
    l->reserved -= i->bytes;
    if (ev->rc < 0) {
        i->bytes = 0;
        close_instance(i);
        i->phase = BTH_INSTANCE_GONE;
        bth_list_remove(&i->link);
        load_failed(s, i, ev->rc, now, out);
        return;
    }
    bool still_open = m->open == i;
    i->bytes = ev->bytes;
    l->committed += ev->bytes;
    i->phase = still_open ? BTH_INSTANCE_READY : BTH_INSTANCE_DRAINING;
    i->idle_since = now;
    m->n_loads++;
    m->load_ns = now - m->load_began;
    m->learnt_bytes = ev->bytes > m->learnt_bytes ? ev->bytes : m->learnt_bytes;
    m->fail.n = 0;
    m->fail.until = 0;
}

/* Bytes that an engine did not give back stay charged as committed: better too little room than
 * an out-of-memory crash. */
static void free_done(struct bth_state *s, const struct bth_event *ev) {
    struct bth_instance *i = ev->instance;
    if (i->phase != BTH_INSTANCE_FREEING) {
        return;
    }
    struct bth_ledger *l = &s->ledgers[i->device];
    l->freeing -= i->bytes;
    l->committed += ev->bytes;
    i->bytes = 0;
    i->phase = BTH_INSTANCE_GONE;
    bth_list_remove(&i->link);
}

static void unload(struct bth_model_entry *m) {
    if (m->open) {
        close_instance(m->open);
    }
}

static void close_all(struct bth_state *s) {
    struct bth_model_entry *m;
    s->closing = true;
    BTH_LIST_EACH(m, &s->models, struct bth_model_entry, link) {
        unload(m);
    }
}

/* Revoked leases no longer hold their instance; their uses do, until they have ended. */
static void revoke_all(struct bth_state *s, int64_t now, struct bth_list *out) {
    struct bth_lease_state *l;
    BTH_LIST_EACH(l, &s->leases, struct bth_lease_state, link) {
        if (l->phase == BTH_LEASE_HELD) {
            l->phase = BTH_LEASE_REVOKED;
            l->instance->n_leases--;
            note_idle(l->instance, now);
            act(out, &l->action, BTH_ACT_REVOKE, l);
        }
    }
}

int bth_step(struct bth_state *s, struct bth_event *ev, int64_t now, struct bth_list *out,
             bool *out_wants_spare) {
    int rc = 0;
    switch (ev->kind) {
    case BTH_EV_ACQUIRE:
        acquire(s, ev->ticket);
        break;
    case BTH_EV_CANCEL:
        if (!ev->ticket->answered) {
            bth_error(&ev->ticket->error, BERTH_ECANCELLED, "no longer wanted");
            refuse(ev->ticket, out);
        }
        break;
    case BTH_EV_RELEASE:
        release(ev->lease, now);
        break;
    case BTH_EV_USE_OPEN:
        rc = use_open(ev->use, ev->lease);
        break;
    case BTH_EV_USE_BEGIN:
        ev->use->phase = BTH_USE_WAIT;
        ev->use->bytes = ev->bytes;
        bth_list_append(&s->uses, &ev->use->link);
        break;
    case BTH_EV_USE_END:
        use_end(s, ev->use, ev->failed, now);
        break;
    case BTH_EV_GROW:
        rc = grow(s, ev);
        break;
    case BTH_EV_LOAD_DONE:
        load_done(s, ev, now, out);
        break;
    case BTH_EV_FREE_DONE:
        free_done(s, ev);
        break;
    case BTH_EV_UNLOAD:
        unload(ev->model);
        break;
    case BTH_EV_CLOSE:
        close_all(s);
        break;
    case BTH_EV_REVOKE_ALL:
        revoke_all(s, now, out);
        break;
    case BTH_EV_TICK:
        break;
    }
    pump(s, ev, now, out, out_wants_spare); /* a grant that is due comes before a time-out */
    expire(s, now, out);
    return rc;
}

int64_t bth_next_deadline(const struct bth_state *s) {
    int64_t next = BTH_FOREVER;
    struct bth_ticket *t;
    BTH_LIST_EACH(t, &s->tickets, struct bth_ticket, link) {
        next = t->deadline < next ? t->deadline : next;
    }
    return next;
}

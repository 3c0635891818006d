/*
 * tests/sim/rows.h - the rows of the step's table: what each event finds and what comes of it.
 * Counted by core_world.h for every event; sim_core.c prints them and wants each a hundred times.
 */
#ifndef BTH_ROWS_H
#define BTH_ROWS_H

#include "core/step.h"
#include "lib/test.h"

#define ROWS(X)                                                                                    \
    X(ACQUIRE_GRANTED, "ACQUIRE", "granted at once")                                               \
    X(ACQUIRE_QUEUED_LEASE, "ACQUIRE", "queued behind leases")                                     \
    X(ACQUIRE_QUEUED_ESTIMATE, "ACQUIRE", "queued until its size is known")                        \
    X(ACQUIRE_QUEUED_LOADING, "ACQUIRE", "queued until it is loaded")                              \
    X(ACQUIRE_QUEUED_BYTES, "ACQUIRE", "queued for bytes")                                         \
    X(ACQUIRE_SHUTDOWN, "ACQUIRE", "refused: shutdown")                                            \
    X(ACQUIRE_TIMEOUT, "ACQUIRE", "refused: no time to wait")                                      \
    X(ACQUIRE_IMPOSSIBLE, "ACQUIRE", "refused: impossible")                                        \
    X(ACQUIRE_DEVICE, "ACQUIRE", "refused: no device is left for it")                              \
    X(ACQUIRE_LOAD_FAILED, "ACQUIRE", "refused: the load has failed lately")                       \
    X(ACQUIRE_DEADLOCK, "ACQUIRE", "refused: others wait for what he has")                         \
    X(ACQUIRE_DISABLED, "ACQUIRE", "refused: disabled")                                            \
    X(ACQUIRE_UPGRADE, "ACQUIRE", "refused: upgrade")                                              \
    X(CANCEL_TICKET, "CANCEL", "a ticket")                                                         \
    X(CANCEL_NOTHING, "CANCEL", "too late")                                                        \
    X(RELEASE_HELD, "RELEASE", "a lease held")                                                     \
    X(RELEASE_REVOKED, "RELEASE", "a lease revoked")                                               \
    X(RELEASE_NOTHING, "RELEASE", "twice")                                                         \
    X(USE_OPEN_OPENED, "USE_OPEN", "opened")                                                       \
    X(USE_OPEN_REVOKED, "USE_OPEN", "refused: revoked")                                            \
    X(USE_OPEN_DEVICE, "USE_OPEN", "refused: its device was lost")                                 \
    X(USE_OPEN_LOST, "USE_OPEN", "refused: given back")                                            \
    X(USE_BEGIN_RUN, "USE_BEGIN", "runs")                                                          \
    X(USE_BEGIN_WAIT, "USE_BEGIN", "waits for bytes")                                              \
    X(USE_BEGIN_IMPOSSIBLE, "USE_BEGIN", "refused: impossible")                                    \
    X(USE_BEGIN_REVOKED, "USE_BEGIN", "refused: revoked")                                          \
    X(USE_END_OPEN, "USE_END", "before it began")                                                  \
    X(USE_END_WAIT, "USE_END", "while it waits")                                                   \
    X(USE_END_RUN, "USE_END", "while it runs")                                                     \
    X(USE_END_CANCELLING, "USE_END", "cancelled")                                                  \
    X(USE_END_REFUSED, "USE_END", "refused")                                                       \
    X(USE_END_NOTHING, "USE_END", "twice")                                                         \
    X(OP_BEGIN_ESTIMATE, "OP_BEGIN", "an estimate")                                                \
    X(OP_BEGIN_LOAD, "OP_BEGIN", "a load")                                                         \
    X(OP_BEGIN_FREE, "OP_BEGIN", "a free")                                                         \
    X(ESTIMATED_KNOWN, "ESTIMATED", "known")                                                       \
    X(ESTIMATED_FAILED, "ESTIMATED", "failed")                                                     \
    X(ESTIMATED_NOTHING, "ESTIMATED", "stale")                                                     \
    X(LOAD_DONE_READY, "LOAD_DONE", "ready")                                                       \
    X(LOAD_DONE_MORE, "LOAD_DONE", "ready, larger than estimated")                                 \
    X(LOAD_DONE_CLOSING, "LOAD_DONE", "closed meanwhile: freed")                                   \
    X(LOAD_DONE_FAILED, "LOAD_DONE", "failed")                                                     \
    X(LOAD_DONE_LEAKED, "LOAD_DONE", "failed, with bytes still drawn")                             \
    X(LOAD_DONE_NOTHING, "LOAD_DONE", "stale")                                                     \
    X(FREE_DONE_CLEAN, "FREE_DONE", "all is back")                                                 \
    X(FREE_DONE_RESIDUAL, "FREE_DONE", "with bytes still drawn")                                   \
    X(FREE_DONE_NOTHING, "FREE_DONE", "stale")                                                     \
    X(GROW_USE, "GROW", "a use")                                                                   \
    X(GROW_USE_DENIED, "GROW", "a use, no room")                                                   \
    X(GROW_LOAD, "GROW", "a load")                                                                 \
    X(GROW_LOAD_DENIED, "GROW", "a load, no room")                                                 \
    X(UNLOAD_IDLE, "UNLOAD", "idle: freed")                                                        \
    X(UNLOAD_USED, "UNLOAD", "in use: drains")                                                     \
    X(UNLOAD_RESERVED, "UNLOAD", "before its load began: dead")                                    \
    X(UNLOAD_LOADING, "UNLOAD", "while it loads")                                                  \
    X(UNLOAD_NOTHING, "UNLOAD", "not loaded")                                                      \
    X(CLEANUP_USED, "CLEANUP", "with leases")                                                      \
    X(CLEANUP_UNUSED, "CLEANUP", "without leases")                                                 \
    X(REVOKE_HELD, "REVOKE", "a lease held")                                                       \
    X(CLOSE_USED, "CLOSE", "with leases")                                                          \
    X(CLOSE_UNUSED, "CLOSE", "without leases")                                                     \
    X(ESTIMATE_ASKED, "ESTIMATE", "asked for")                                                     \
    X(ESTIMATE_NOTHING, "ESTIMATE", "known, loaded or failed lately")                              \
    X(DISABLE_USED, "DISABLE", "with waiters or leases")                                           \
    X(DISABLE_UNUSED, "DISABLE", "without")                                                        \
    X(ENABLE_DISABLED, "ENABLE", "a disabled one")                                                 \
    X(DEVICE_LOST_USED, "DEVICE_LOST", "with something on it")                                     \
    X(DEVICE_LOST_EMPTY, "DEVICE_LOST", "with nothing on it")                                      \
    X(DEVICE_LOST_NOTHING, "DEVICE_LOST", "twice")                                                 \
    X(TICK_TIMEOUT, "TICK", "a ticket's time is over")                                             \
    X(TICK_REVOKED, "TICK", "leases are revoked")                                                  \
    X(TICK_IDLE, "TICK", "an idle model is unloaded")                                              \
    X(TICK_NOTHING, "TICK", "nothing is due")                                                      \
    X(PUMP_EVICTED, "pump", "evicted for others' bytes")                                           \
    X(PUMP_EARMARKED, "pump", "bytes kept for the oldest")                                         \
    X(PUMP_LOAD, "pump", "a load begins")                                                          \
    X(PUMP_REPLICA, "pump", "a replica's load begins")

#define ROW_ENUM(id, event, what) ROW_##id,
enum row { ROWS(ROW_ENUM) N_ROWS };
#undef ROW_ENUM

static uint64_t seen_rows[N_ROWS];

static const struct bth_gen *row_gen_of_op(const struct bth_state *s, uint64_t op) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (op && g->op == op) {
            return g;
        }
    }
    return NULL;
}

static enum row row_of_load(const struct bth_event *e, const struct bth_gen *g) {
    if (!g || g->inst != BTH_LOADING) {
        return ROW_LOAD_DONE_NOTHING;
    }
    if (e->error) {
        return e->bytes ? ROW_LOAD_DONE_LEAKED : ROW_LOAD_DONE_FAILED;
    }
    return g->closing                                                ? ROW_LOAD_DONE_CLOSING
           : e->bytes + e->spare > g->est.weights + g->est.workspace ? ROW_LOAD_DONE_MORE
                                                                     : ROW_LOAD_DONE_READY;
}

static enum row row_of_unload(const struct bth_gen *g) {
    if (!g) {
        return ROW_UNLOAD_NOTHING;
    }
    return g->inst == BTH_RESV        ? ROW_UNLOAD_RESERVED
           : g->inst == BTH_LOADING   ? ROW_UNLOAD_LOADING
           : g->leases + g->uses == 0 ? ROW_UNLOAD_IDLE
                                      : ROW_UNLOAD_USED;
}

static enum row row_of_use_end(const struct bth_use_row *u) {
    static const enum row rows[] = {[BTH_USE_OPEN] = ROW_USE_END_OPEN,
                                    [BTH_USE_WAIT] = ROW_USE_END_WAIT,
                                    [BTH_USE_RUN] = ROW_USE_END_RUN,
                                    [BTH_USE_CANCELLING] = ROW_USE_END_CANCELLING,
                                    [BTH_USE_REFUSED] = ROW_USE_END_REFUSED};
    return u ? rows[u->state] : ROW_USE_END_NOTHING;
}

/* By what the event finds, before the step; N_ROWS: by what comes of it, row_after. */
static enum row row_before(const struct bth_state *s, const struct bth_event *e) {
    const struct bth_gen *g = row_gen_of_op(s, e->op);
    const struct bth_lease_row *l = bth_table_get(&s->leases, e->id);
    switch (e->kind) {
    case BTH_EV_CANCEL:
        return bth_table_get(&s->tickets, e->id) ? ROW_CANCEL_TICKET : ROW_CANCEL_NOTHING;
    case BTH_EV_RELEASE:
        return !l                              ? ROW_RELEASE_NOTHING
               : l->state == BTH_LEASE_REVOKED ? ROW_RELEASE_REVOKED
                                               : ROW_RELEASE_HELD;
    case BTH_EV_USE_OPEN:
        return !l                                ? ROW_USE_OPEN_LOST
               : l->state == BTH_LEASE_REVOKED   ? ROW_USE_OPEN_REVOKED
               : bth_table_get(&s->gens, l->gen) ? ROW_USE_OPEN_OPENED
                                                 : ROW_USE_OPEN_DEVICE;
    case BTH_EV_USE_END:
        return row_of_use_end(bth_table_get(&s->uses, e->id));
    case BTH_EV_OP_BEGIN:
        return !g                    ? ROW_OP_BEGIN_ESTIMATE
               : g->inst == BTH_RESV ? ROW_OP_BEGIN_LOAD
                                     : ROW_OP_BEGIN_FREE;
    case BTH_EV_ESTIMATED:
        for (uint32_t i = 0; i < s->n_models; i++) {
            if (s->models[i].est_state == BTH_EST_ASKED && s->models[i].est_op == e->op) {
                return e->error ? ROW_ESTIMATED_FAILED : ROW_ESTIMATED_KNOWN;
            }
        }
        return ROW_ESTIMATED_NOTHING;
    case BTH_EV_LOAD_DONE:
        return row_of_load(e, g);
    case BTH_EV_FREE_DONE:
        return !g || g->inst != BTH_FREEING ? ROW_FREE_DONE_NOTHING
               : e->bytes                   ? ROW_FREE_DONE_RESIDUAL
                                            : ROW_FREE_DONE_CLEAN;
    case BTH_EV_DISABLE: {
        const struct bth_model *m = &s->models[e->scope];
        return m->scope.held + m->scope.waiting > 0 ? ROW_DISABLE_USED : ROW_DISABLE_UNUSED;
    }
    case BTH_EV_ENABLE:
        return s->models[e->scope].disabled ? ROW_ENABLE_DISABLED : N_ROWS;
    case BTH_EV_DEVICE_LOST:
        if (s->devices[e->device].lost) {
            return ROW_DEVICE_LOST_NOTHING;
        }
        for (g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
            if (g->device == e->device) {
                return ROW_DEVICE_LOST_USED;
            }
        }
        return ROW_DEVICE_LOST_EMPTY;
    case BTH_EV_UNLOAD:
        return row_of_unload(bth_table_get(&s->gens, s->models[e->scope].open));
    case BTH_EV_CLEANUP:
        return s->leases.used ? ROW_CLEANUP_USED : ROW_CLEANUP_UNUSED;
    case BTH_EV_REVOKE:
        return ROW_REVOKE_HELD;
    case BTH_EV_CLOSE:
        return s->leases.used ? ROW_CLOSE_USED : ROW_CLOSE_UNUSED;
    default:
        return N_ROWS;
    }
}

static enum row row_of_acquire(const struct bth_state *s, const struct bth_event *e,
                               const struct bth_action *a) {
    static const enum row refused[BTH_N_REASONS] = {
        [BTH_REASON_SHUTDOWN] = ROW_ACQUIRE_SHUTDOWN,
        [BTH_REASON_TIMEOUT] = ROW_ACQUIRE_TIMEOUT,
        [BTH_REASON_IMPOSSIBLE] = ROW_ACQUIRE_IMPOSSIBLE,
        [BTH_REASON_LOAD_FAILED] = ROW_ACQUIRE_LOAD_FAILED,
        [BTH_REASON_UPGRADE] = ROW_ACQUIRE_UPGRADE,
        [BTH_REASON_DEADLOCK] = ROW_ACQUIRE_DEADLOCK,
        [BTH_REASON_DISABLED] = ROW_ACQUIRE_DISABLED,
        [BTH_REASON_DEVICE] = ROW_ACQUIRE_DEVICE};
    static const enum row queued[] = {[BTH_WHY_NONE] = ROW_ACQUIRE_QUEUED_LEASE,
                                      [BTH_WHY_LEASE] = ROW_ACQUIRE_QUEUED_LEASE,
                                      [BTH_WHY_ESTIMATE] = ROW_ACQUIRE_QUEUED_ESTIMATE,
                                      [BTH_WHY_LOADING] = ROW_ACQUIRE_QUEUED_LOADING,
                                      [BTH_WHY_BYTES] = ROW_ACQUIRE_QUEUED_BYTES};
    if (a->kind == BTH_ACT_QUEUED) {
        return queued[e->scope & BTH_FAMILY ? BTH_WHY_LEASE : s->models[e->scope].why];
    }
    return a->kind == BTH_ACT_REFUSE ? refused[a->reason] : ROW_ACQUIRE_GRANTED;
}

static enum row row_of_use_begin(const struct bth_action *a) {
    if (!a) {
        return ROW_USE_BEGIN_WAIT;
    }
    return a->kind == BTH_ACT_USE_RUN           ? ROW_USE_BEGIN_RUN
           : a->reason == BTH_REASON_IMPOSSIBLE ? ROW_USE_BEGIN_IMPOSSIBLE
                                                : ROW_USE_BEGIN_REVOKED;
}

static enum row row_of_tick(const struct bth_actions *actions) {
    enum row row = ROW_TICK_NOTHING;
    for (size_t i = 0; i < actions->n; i++) {
        const struct bth_action *a = &actions->items[i];
        if (a->kind == BTH_ACT_REFUSE && a->reason == BTH_REASON_TIMEOUT) {
            return ROW_TICK_TIMEOUT;
        }
        row = a->kind == BTH_ACT_REVOKED                           ? ROW_TICK_REVOKED
              : a->kind == BTH_ACT_WORK && row == ROW_TICK_NOTHING ? ROW_TICK_IDLE
                                                                   : row;
    }
    return row;
}

static enum row row_after(const struct bth_state *s, const struct bth_event *e,
                          const struct bth_actions *actions) {
    const struct bth_action *mine = NULL; /* the last that answers whoever asked */
    bool grown = false;
    for (size_t i = 0; i < actions->n; i++) {
        const struct bth_action *a = &actions->items[i];
        mine = (e->arg && a->arg == e->arg && a->kind <= BTH_ACT_REFUSE) ||
                       (e->id && a->id == e->id && a->kind >= BTH_ACT_USE_RUN)
                   ? a
                   : mine;
        grown |= a->kind == BTH_ACT_GROWN;
    }
    switch (e->kind) {
    case BTH_EV_ACQUIRE:
        return mine ? row_of_acquire(s, e, mine) : N_ROWS;
    case BTH_EV_USE_BEGIN:
        return row_of_use_begin(mine);
    case BTH_EV_GROW:
        return e->use ? (grown ? ROW_GROW_USE : ROW_GROW_USE_DENIED)
                      : (grown ? ROW_GROW_LOAD : ROW_GROW_LOAD_DENIED);
    case BTH_EV_ESTIMATE:
        return actions->n ? ROW_ESTIMATE_ASKED : ROW_ESTIMATE_NOTHING;
    case BTH_EV_TICK:
        return row_of_tick(actions);
    default:
        return N_ROWS;
    }
}

static void count_rows(const struct bth_state *s, const struct bth_event *e, enum row before,
                       uint64_t last_op, const struct bth_actions *actions) {
    const enum row row = before < N_ROWS ? before : row_after(s, e, actions);
    if (row < N_ROWS) {
        seen_rows[row]++;
    }
    for (uint32_t i = 0; i < s->n_devices; i++) {
        seen_rows[ROW_PUMP_EARMARKED] += s->devices[i].earmark > 0;
    }
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        seen_rows[g->of ? ROW_PUMP_REPLICA : ROW_PUMP_LOAD] +=
            g->inst == BTH_RESV && g->op > last_op;
        seen_rows[ROW_PUMP_EVICTED] += g->evicted && g->inst == BTH_FREEING && g->op > last_op;
    }
}

#endif

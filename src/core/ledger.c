#include "core/ledger.h"

#include <assert.h>

uint64_t bth_ledger_room(const struct bth_ledger *d) {
    uint64_t taken = d->reserved + d->committed + d->freeing + d->residual;
    return taken < d->budget && !d->lost ? d->budget - taken : 0;
}

uint64_t bth_ledger_limit(const struct bth_ledger *d) {
    return d->residual < d->budget && !d->lost ? d->budget - d->residual : 0;
}

uint64_t bth_gen_bytes(const struct bth_gen *g) {
    return g->held + g->res + g->session;
}

void bth_ledger_reserve(struct bth_ledger *d, struct bth_gen *g) {
    g->res = g->est.weights + g->est.workspace;
    g->session = g->est.session;
    d->reserved += g->res + g->session;
}

void bth_ledger_commit(struct bth_ledger *d, struct bth_gen *g, uint64_t drawn, uint64_t spare) {
    d->reserved -= g->res;
    g->held = drawn;
    g->res = spare;
    d->committed += g->held;
    d->reserved += g->res;
}

void bth_ledger_unreserve(struct bth_ledger *d, struct bth_gen *g) {
    d->reserved -= g->res + g->session;
    g->res = g->session = 0;
}

void bth_ledger_free(struct bth_ledger *d, struct bth_gen *g) {
    assert(g->use_bytes == 0);
    d->reserved -= g->res + g->session;
    d->committed -= g->held;
    g->held += g->res + g->session; /* nothing becomes room before FREE_DONE: see step_pump.c */
    g->res = g->session = 0;
    d->freeing += g->held;
}

void bth_ledger_freed(struct bth_ledger *d, struct bth_gen *g, uint64_t residual) {
    d->freeing -= g->held;
    g->held = 0;
    d->residual += residual;
}

void bth_ledger_lose(struct bth_ledger *d, struct bth_gen *g) {
    d->reserved -= g->res + g->session;
    *(g->inst == BTH_FREEING ? &d->freeing : &d->committed) -= g->held;
    d->residual += bth_gen_bytes(g);
    g->held = g->res = g->session = g->use_bytes = 0;
}

void bth_ledger_grow(struct bth_ledger *d, struct bth_gen *g, uint64_t more) {
    g->res += more;
    d->reserved += more;
}

static uint64_t sessions(const struct bth_gen *g, uint64_t use_bytes) {
    return use_bytes > g->est.session ? use_bytes : g->est.session;
}

uint64_t bth_ledger_session_delta(const struct bth_gen *g, uint64_t use_bytes) {
    uint64_t want = sessions(g, use_bytes);
    return want > g->session ? want - g->session : 0;
}

void bth_ledger_set_sessions(struct bth_ledger *d, struct bth_gen *g, uint64_t use_bytes) {
    d->reserved -= g->session;
    g->use_bytes = use_bytes;
    g->session = sessions(g, use_bytes);
    d->reserved += g->session;
}

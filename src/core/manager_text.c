#include "core/manager_private.h"

#include "base/str.h"
#include "core/ledger.h"

static const char *name_of(const struct bth_manager *m, uint32_t scope) REQUIRES(core) {
    return scope & BTH_FAMILY ? m->registry.families[scope & ~BTH_FAMILY]
                              : m->registry.entries[scope]->name;
}

/* What a holder calls his lease, else who he is. */
static const char *who(const struct bth_lease *lease) {
    return *lease->tag ? lease->tag : lease->holder;
}

static double mb(uint64_t bytes) {
    return (double)bytes / 1e6;
}

/* "whisper/base 290.1 MB (2 leases: import, web)" for each that is loaded or on its way. */
static void append_holders_locked(const struct bth_manager *m, struct bth_str *s) REQUIRES(core) {
    const struct bth_state *st = &m->state;
    for (struct bth_gen *g = bth_table_next(&st->gens, NULL); g; g = bth_table_next(&st->gens, g)) {
        bth_str_printf(s, "%s%s %.1f MB", s->size ? ", " : "", name_of(m, g->model),
                       mb(bth_gen_bytes(g)));
        if (g->inst == BTH_FREEING) {
            bth_str_puts(s, " (being freed)");
        }
        if (g->leases + g->uses == 0) {
            continue;
        }
        bth_str_printf(s, " (%u leases, %u requests", g->leases, g->uses);
        const char *before = ": ";
        struct bth_lease_row *l;
        for (l = bth_table_next(&st->leases, NULL); l; l = bth_table_next(&st->leases, l)) {
            const struct bth_lease *lease = l->arg;
            if (l->gen == g->id && *who(lease)) {
                bth_str_printf(s, "%s%s", before, who(lease));
                before = ", ";
            }
        }
        bth_str_putc(s, ')');
    }
}

/* Who holds any part of it: "whisper/base (import, exclusive), whisper/base (web)", at most 8. */
static void append_leases_locked(const struct bth_manager *m, uint32_t scope, struct bth_str *s)
    REQUIRES(core) {
    const struct bth_state *st = &m->state;
    struct bth_lease_row *l;
    int n = 0;
    for (l = bth_table_next(&st->leases, NULL); l && n < 8; l = bth_table_next(&st->leases, l)) {
        const struct bth_lease *lease = l->arg;
        uint32_t family = scope & BTH_FAMILY ? scope : BTH_FAMILY | st->models[scope].family;
        bool part = l->scope == scope || l->scope == family ||
                    (!(l->scope & BTH_FAMILY) && bth_model_in(st, l->scope, scope));
        if (part && l->state == BTH_LEASE_HELD) {
            bth_str_printf(s, "%s%s (%s%s%s)", n ? ", " : "", lease->name, who(lease),
                           *who(lease) ? ", " : "", l->exclusive ? "exclusive" : "shared");
            n++;
        }
    }
}

static int lease_text_locked(const struct bth_manager *m, const struct bth_action *a,
                             struct berth_error *err) REQUIRES(core) {
    struct bth_str s = {0};
    append_leases_locked(m, a->scope, &s);
    int rc =
        bth_error(err, a->code, "%s: others had it until the time was up; it is held by %s",
                  name_of(m, a->scope), s.size ? bth_str_text(&s) : "requests that are ending");
    bth_str_finish(&s);
    return rc;
}

static int timeout_text_locked(const struct bth_manager *m, const struct bth_action *a,
                               struct berth_error *err) REQUIRES(core) {
    const char *name = name_of(m, a->scope);
    if (a->why == BTH_WHY_LEASE) {
        return lease_text_locked(m, a, err);
    }
    if (a->why != BTH_WHY_BYTES) {
        return bth_error(err, a->code, "%s: %s when the time was up; try again or wait longer",
                         name, a->why == BTH_WHY_LOADING ? "still loading" : "not loaded yet");
    }
    struct bth_str s = {0};
    append_holders_locked(m, &s);
    int rc = bth_error(err, a->code, "%s: no room came free in time; memory is held by %s", name,
                       s.size ? bth_str_text(&s) : "what could not be unloaded");
    bth_str_finish(&s);
    return rc;
}

static int impossible_text_locked(const struct bth_manager *m, const struct bth_action *a,
                                  struct berth_error *err) REQUIRES(core) {
    const struct bth_state *st = &m->state;
    const struct bth_gen *g = bth_table_get(&st->gens, a->gen);
    if (g) {
        return bth_error(err, a->code,
                         "the request needs %.1f MB beside the %.1f MB of %s, the budget of %s is "
                         "%.1f MB: raise it or ask for less",
                         mb(a->bytes), mb(g->held + g->res), name_of(m, a->scope),
                         m->devices[g->device]->name,
                         mb(bth_ledger_limit(&st->devices[g->device])));
    }
    const struct bth_estimate *all = st->models[a->scope].est;
    uint32_t best = 0; /* the largest, of those that can run it */
    for (uint32_t i = 1; i < m->n_devices; i++) {
        const bool fewer = all[i].weights < all[best].weights;
        if (fewer || (all[i].weights == all[best].weights &&
                      bth_ledger_limit(&st->devices[i]) > bth_ledger_limit(&st->devices[best]))) {
            best = i;
        }
    }
    const struct bth_estimate *e = &all[best];
    return bth_error(
        err, a->code,
        "%s needs %.1f MB (weights %.1f, workspace %.1f, one session %.1f), the budget "
        "of %s is %.1f MB: raise it or take a smaller model",
        name_of(m, a->scope), mb(e->weights + e->workspace + e->session), mb(e->weights),
        mb(e->workspace), mb(e->session), m->devices[best]->name,
        mb(bth_ledger_limit(&st->devices[best])));
}

static int load_text_locked(const struct bth_manager *m, const struct bth_action *a,
                            struct berth_error *err) REQUIRES(core) {
    const struct bth_model *model = &m->state.models[a->scope];
    int64_t wait = model->retry_at - m->state.now;
    int rc = bth_error_copy(err, &model->cause);
    bth_error_prefix(err, "%s cannot be loaded (next try in %lld s): ", name_of(m, a->scope),
                     (long long)((wait + BTH_NS_PER_S - 1) / BTH_NS_PER_S));
    return rc;
}

/* "whisper/base: would wait for ever: web waits for marian/en-de, which import has ..." */
static int deadlock_text_locked(const struct bth_manager *m, const struct bth_action *a,
                                struct berth_error *err) REQUIRES(core) {
    const struct bth_state *st = &m->state;
    struct bth_str s = {0};
    for (uint64_t i = 0; i < st->n_ring; i++) {
        const struct bth_ticket *t = bth_table_get(&st->tickets, st->ring[i]);
        const struct bth_lease *lease = t->arg;
        bth_str_printf(&s, "%s%s waits for %s", i ? ", " : "",
                       *who(lease) ? who(lease) : "somebody", name_of(m, t->scope));
    }
    int rc = bth_error(err, a->code,
                       "%s: would wait for ever, for others want what the caller holds (%s): "
                       "release that first, then ask for both anew",
                       name_of(m, a->scope), s.failed ? "" : bth_str_text(&s));
    bth_str_finish(&s);
    return rc;
}

static int disabled_text_locked(const struct bth_manager *m, const struct bth_action *a,
                                struct berth_error *err) REQUIRES(core) {
    const char *name = name_of(m, a->scope);
    return m->state.models[a->scope].removed
               ? bth_error(err, a->code, "%s: the configuration names it no more", name)
               : bth_error(err, a->code, "%s: is disabled until somebody enables it", name);
}

static int device_text(const struct bth_manager *m, const struct bth_action *a,
                       struct berth_error *err) REQUIRES(core) {
    return a->kind == BTH_ACT_REFUSE
               ? bth_error(err, a->code,
                           "%s: the device that could run it has failed: start the program anew",
                           name_of(m, a->scope))
               : bth_error(err, a->code,
                           "the device that was to run this has failed: release the lease and "
                           "acquire a new one");
}

int bth_manager_refusal_locked(const struct bth_manager *m, const struct bth_action *a,
                               struct berth_error *err) {
    switch (a->reason) {
    case BTH_REASON_MEMORY:
        return bth_error_nomem(err);
    case BTH_REASON_TIMEOUT:
        return timeout_text_locked(m, a, err);
    case BTH_REASON_IMPOSSIBLE:
        return impossible_text_locked(m, a, err);
    case BTH_REASON_LOAD_FAILED:
        return load_text_locked(m, a, err);
    case BTH_REASON_SHUTDOWN:
        return bth_error(err, a->code, "%s: closing, no new leases are given",
                         name_of(m, a->scope));
    case BTH_REASON_CANCELLED:
        return bth_error(err, a->code, "%s: no longer waited for", name_of(m, a->scope));
    case BTH_REASON_UPGRADE:
        return bth_error(err, a->code,
                         "%s: exclusive access inside one's own lease would wait for itself: "
                         "release that lease first, or take the exclusive one before it",
                         name_of(m, a->scope));
    case BTH_REASON_DEADLOCK:
        return deadlock_text_locked(m, a, err);
    case BTH_REASON_DISABLED:
        return disabled_text_locked(m, a, err);
    case BTH_REASON_LOST:
        return bth_error(err, a->code, "the lease was given back, acquire a new one");
    case BTH_REASON_DEVICE:
        return device_text(m, a, err);
    case BTH_REASON_REVOKED:
    case BTH_REASON_NONE:
        break;
    }
    return bth_error(err, a->code, "%s: the lease was revoked, acquire a new one",
                     name_of(m, a->scope));
}

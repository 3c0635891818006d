/*
 * tests/sim/core_evict.h - whom evictions may take, and who is loaded before whom. A part of
 * core_world.h, which includes it.
 */
#ifndef BTH_CORE_EVICT_H
#define BTH_CORE_EVICT_H

/* Whoever was READY, is being freed and was not asked to go made room that somebody needs, or its
 * time was over. */
static void check_leaving(struct world *w, const struct bth_gen *gone) {
    const uint32_t device = gone->device;
    const struct bth_ledger *d = &w->state.devices[device];
    uint64_t coming = bth_ledger_room(d) + d->freeing, most = 0;
    const bool spare = gone->of != 0;
    int wanted = 0;
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        coming += g->device == device && g->inst == BTH_DRAIN && g->evicted ? bth_gen_bytes(g) : 0;
    }
    HOLDS(w, spare || !bth_model_pinned(&w->state.models[gone->model]), "I10: a pinned one went");
    seen_spares += spare;
    if (!gone->evicted) {
        HOLDS(w, w->now >= gone->idle_at, "I10: unloaded before its time");
        seen_idle++;
        return;
    }
    for (uint32_t i = 0; i < w->state.n_models; i++) {
        const uint64_t need = need_on(w, i, device);
        if (w->state.models[i].hungry && need <= coming) {
            wanted++;
            most = BTH_MAX(most, need);
        }
    }
    EACH_ROW(struct bth_use_row, u, w->state.uses) {
        const struct bth_gen *g = bth_table_get(&w->state.gens, u->gen);
        if (u->state == BTH_USE_WAIT && g->device == device) {
            const uint64_t need = bth_ledger_session_delta(g, g->use_bytes + u->bytes);
            wanted += need <= coming;
            most = need <= coming ? BTH_MAX(most, need) : most;
        }
    }
    HOLDS(w, wanted > 0, "I10: evicted for nothing");
    HOLDS(w, wanted > 1 || most > coming - gone->held, "I10: evicted and not needed");
    seen_evictions++;
}

/* Nobody who came later takes what the oldest waits for. With one device, and
 * while no request waits for bytes: it comes first. */
static void check_passing(struct world *w, uint64_t last_op, uint64_t hunger) {
    const struct bth_model *m =
        w->state.hungriest ? &w->state.models[w->state.hungriest - 1] : NULL;
    if (w->state.n_devices > 1 || !m || m->hunger != hunger || hunger == 0 ||
        w->state.waiting.first || loads(w, w->state.hungriest - 1, 0)) {
        return;
    }
    EACH_ROW(struct bth_gen, g, w->state.gens) {
        const struct bth_ticket *t =
            bth_table_get(&w->state.tickets, w->state.models[g->model].scope.queue.first);
        HOLDS(w,
              g->inst != BTH_RESV || g->op <= last_op || !t || t->key < m->hunger_key ||
                  (t->key == m->hunger_key && t->seq < hunger),
              "I8: a load passes one who has waited for longer");
    }
}

/* Who is loaded is used first by those who waited for it. */
static void check_fresh(struct world *w, const struct bth_gen *g) {
    const struct bth_ticket *t =
        bth_table_get(&w->state.tickets, w->state.models[g->model].scope.queue.first);
    HOLDS(w,
          !g->evicted || !t || t->exclusive ||
              waits_for_leases(w, &w->clients[(uintptr_t)t->arg - 1]),
          "I10: evicted when it had been loaded, and somebody waits for it");
}

#endif

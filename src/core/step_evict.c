/* Who makes room: which instances go, and which of them first. */
#include "core/ledger.h"
#include "core/step_private.h"

#include "base/clock.h"
#include "base/compiler.h"

/* Of those that go as gladly, who is worth least goes first: how often the model is asked for (its
 * heat), times what its last load has cost (time), over what the instance holds (bytes), which is
 * what keeping a byte of it is expected to save. Heat halves with every HALF_LIFE grants and
 * requests, of all models, that go by; it outlives the generation. Among equals the one used
 * longest ago goes. Whole numbers, the same everywhere. */
enum { HALF_LIFE = 512, HEAT = 1 << 12, LEAST_KIB = 1024, MOST_COST_MS = 1 << 20 };

static uint64_t heat_of(const struct bth_state *s, const struct bth_model *m) {
    const uint64_t by = s->last_use - m->heat_at, halves = BTH_MIN(by / HALF_LIFE, 63);
    const uint64_t heat = m->heat >> halves;
    return heat - heat * (by % HALF_LIFE) / (2 * HALF_LIFE); /* straight lines between */
}

void bth_gen_touch(struct bth_state *s, struct bth_gen *g) {
    struct bth_model *m = &s->models[g->model];
    g->used_seq = ++s->last_use;
    m->heat = heat_of(s, m) + HEAT;
    m->heat_at = s->last_use;
}

static uint64_t worth_of(const struct bth_state *s, const struct bth_gen *g) {
    const struct bth_model *m = &s->models[g->model];
    const uint64_t cost = (uint64_t)BTH_MIN(m->load_ns / BTH_NS_PER_MS, MOST_COST_MS);
    return heat_of(s, m) * cost * 1024 / BTH_MAX(bth_gen_bytes(g) >> 10, LEAST_KIB);
}

static bool goes_before(const struct bth_state *s, const struct bth_gen *a,
                        const struct bth_gen *b) {
    const uint64_t worth_a = worth_of(s, a), worth_b = worth_of(s, b);
    return worth_a != worth_b ? worth_a < worth_b : a->used_seq < b->used_seq;
}

static enum bth_gladness leaves(const struct bth_state *s, const struct bth_gen *g,
                                uint32_t device) {
    if (g->device != device || g->inst != BTH_READY) {
        return BTH_NOT_AT_ALL;
    }
    if (bth_gen_is_spare(s, g)) {
        return g->uses == 0 ? BTH_SPARE : g->waits == 0 ? BTH_WHEN_DONE : BTH_NOT_AT_ALL;
    }
    return g->leases == 0 && g->uses == 0 && !bth_model_pinned(&s->models[g->model])
               ? BTH_IDLE
               : BTH_NOT_AT_ALL;
}

/* The one that goes most gladly, worth least, that is no victim yet. */
static struct bth_gen *next_victim(struct bth_state *s, uint32_t device) {
    struct bth_gen *best = NULL;
    enum bth_gladness most = BTH_NOT_AT_ALL;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        const enum bth_gladness how = g->victim ? BTH_NOT_AT_ALL : leaves(s, g, device);
        if (how > most || (how && how == most && goes_before(s, g, best))) {
            best = g;
            most = how;
        }
    }
    return best;
}

/* Marks a set of instances with `want` bytes, those that go most gladly (`least` so) and are worth
 * least first, and none that the others make superfluous. Marks nothing and says false when
 * all together do not suffice. */
static bool choose_victims(struct bth_state *s, uint32_t device, uint64_t want,
                           enum bth_gladness least) {
    uint64_t sum = 0, all = 0;
    struct bth_gen *g;
    for (g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        all += leaves(s, g, device) >= least ? bth_gen_bytes(g) : 0;
    }
    if (all < want) {
        return false;
    }
    while (sum < want && (g = next_victim(s, device))) {
        g->victim = true;
        sum += bth_gen_bytes(g);
    }
    for (g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->victim && sum - bth_gen_bytes(g) >= want) {
            g->victim = false;
            sum -= bth_gen_bytes(g);
        }
    }
    return true;
}

/* Of busy instances that have been told to go: room when their uses have ended. */
static uint64_t leaving(const struct bth_state *s, uint32_t device) {
    uint64_t sum = 0;
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        sum += g->device == device && g->inst == BTH_DRAIN && g->evicted ? bth_gen_bytes(g) : 0;
    }
    return sum;
}

bool bth_find_room(struct bth_state *s, uint32_t device, uint64_t need, enum bth_gladness least) {
    const struct bth_ledger *d = &s->devices[device];
    uint64_t coming = bth_ledger_room(d) + d->freeing + leaving(s, device);
    return coming >= need || choose_victims(s, device, need - coming, least);
}

void bth_evict_victims(struct bth_state *s, struct bth_actions *out) {
    for (struct bth_gen *g = bth_table_next(&s->gens, NULL); g; g = bth_table_next(&s->gens, g)) {
        if (g->victim) {
            g->victim = false;
            g->evicted = true;
            bth_gen_leave(s, g, out);
        }
    }
}

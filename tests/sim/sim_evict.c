/*
 * How well the step chooses whom to evict: a trace of requests over models of unequal size and cost
 * of loading, with room for a quarter of them.
 *
 *     sim_evict     (20 traces; with BERTH_LONG 200)
 *
 * Twenty models are asked for by Zipf's law, in an order that has nothing to do with size or cost.
 * The first number is the seconds spent on loading when requests come one after the other, beside
 * a cache that drops whoever was used longest ago (written down here, with the step's own rule that
 * nobody goes in vain). The second is how long four callers take for the trace that each takes
 * from when he is free, beside a time that no order of things could beat.
 */
#include "base/clock.h"
#include "core/ledger.h"
#include "core/step.h"
#include "lib/test.h"

enum { MODELS = 20, REQUESTS = 3000, CALLERS = 4, ROOM_FOR = 5, MAX_JOBS = BTH_LOADERS };

struct trace {
    uint64_t bytes[MODELS];
    int64_t cost[MODELS]; /* ns that a load takes */
    uint64_t room;
    int models[REQUESTS];
    int64_t holds[REQUESTS]; /* ns that the request takes */
};

static void make_trace(struct trace *t, unsigned long long seed) {
    unsigned long long rng = seed * 0x9E3779B97F4A7C15ULL + 1;
    double weight[MODELS], sum = 0;
    uint64_t total = 0;
    int rank[MODELS];
    test_rand(&rng);
    for (int i = 0; i < MODELS; i++) {
        /* 200 MB to 2 GB; 100 MB a second (a shared disk) to 5,000 (pages in memory) */
        t->bytes[i] = (uint64_t)(200e6 * pow(10, (test_randf(&rng) + 1) / 2));
        const double speed = 100e6 * pow(50, (test_randf(&rng) + 1) / 2);
        t->cost[i] = (int64_t)(0.2e9 + (double)t->bytes[i] / speed * 1e9);
        total += t->bytes[i];
        rank[i] = i;
    }
    t->room = total * ROOM_FOR / MODELS;
    for (int i = 0; i < MODELS; i++) {
        t->room = t->room < t->bytes[i] ? t->bytes[i] : t->room;
        const int j = (int)((test_rand(&rng) >> 11) % (unsigned)(i + 1));
        const int other = rank[j];
        rank[j] = rank[i];
        rank[i] = other;
    }
    for (int i = 0; i < MODELS; i++) {
        weight[i] = 1.0 / (rank[i] + 1);
        sum += weight[i];
    }
    for (int i = 0; i < REQUESTS; i++) {
        double at = (test_randf(&rng) + 1) / 2 * sum;
        int m = 0;
        while (m + 1 < MODELS && (at -= weight[m]) > 0) {
            m++;
        }
        t->models[i] = m;
        t->holds[i] = (int64_t)(0.5e9 + 8e9 * (double)(test_randf(&rng) + 1));
    }
}

/* ---- whoever was used longest ago ------------------------------------------------------------*/

static int oldest(const bool *loaded, const bool *victim, const int *used) {
    int best = -1;
    for (int i = 0; i < MODELS; i++) {
        if (loaded[i] && !victim[i] && (best < 0 || used[i] < used[best])) {
            best = i;
        }
    }
    return best;
}

static double lru_seconds(const struct trace *t) {
    bool loaded[MODELS] = {false};
    int used[MODELS] = {0};
    uint64_t free_bytes = t->room;
    double seconds = 0;
    for (int i = 0; i < REQUESTS; i++) {
        const int m = t->models[i];
        bool victim[MODELS] = {false};
        uint64_t coming = free_bytes;
        while (!loaded[m] && coming < t->bytes[m]) {
            const int v = oldest(loaded, victim, used);
            victim[v] = true;
            coming += t->bytes[v];
        }
        for (int v = 0; v < MODELS; v++) {
            if (victim[v] && coming - t->bytes[v] < t->bytes[m]) {
                loaded[v] = false;
                free_bytes += t->bytes[v];
            } else if (victim[v]) {
                coming -= t->bytes[v];
            }
        }
        if (!loaded[m]) {
            seconds += (double)t->cost[m] / 1e9;
            free_bytes -= t->bytes[m];
            loaded[m] = true;
        }
        used[m] = i;
    }
    return seconds;
}

/* ---- the step --------------------------------------------------------------------------------*/

struct caller {
    bool asks;
    uint64_t lease;
    int64_t until; /* holds it; BTH_FOREVER: waits, or has no more to ask */
    int64_t holds;
};
struct job {
    struct bth_op op;
    int64_t until;
};
struct bench {
    const struct trace *trace;
    struct bth_state state;
    struct bth_actions actions;
    int64_t now;
    struct caller callers[CALLERS];
    struct job jobs[MAX_JOBS];
    int n_jobs, next, loads;
    double load_seconds;
};

static void happen(struct bench *b, struct bth_event e) {
    bth_step(&b->state, &e, b->now, &b->actions);
    for (size_t i = 0; i < b->actions.n; i++) {
        const struct bth_action *a = &b->actions.items[i];
        CHECK(a->kind != BTH_ACT_REFUSE);
        if (a->kind == BTH_ACT_GRANT) {
            struct caller *c = &b->callers[(uintptr_t)a->arg - 1];
            CHECK(c->asks);
            c->asks = false;
            c->lease = a->id;
            c->until = b->now + c->holds;
        }
    }
}

static void ask(struct bench *b, int caller) {
    struct caller *c = &b->callers[caller];
    c->until = BTH_FOREVER;
    if (b->next == REQUESTS) {
        return;
    }
    c->asks = true;
    c->holds = b->trace->holds[b->next];
    const int model = b->trace->models[b->next++];
    happen(b, (struct bth_event){.kind = BTH_EV_ACQUIRE,
                                 .scope = (uint32_t)model,
                                 .expires = BTH_FOREVER,
                                 .arg = (void *)(uintptr_t)(caller + 1)});
}

/* Sizes are known and bytes are freed at once; loads take their time. */
static void begin_jobs(struct bench *b) {
    for (;;) {
        const struct bth_op op = bth_state_next_op(&b->state);
        struct bth_estimate est[BTH_MAX_DEVICES] = {{0}};
        if (op.kind == BTH_OP_NONE || b->n_jobs == MAX_JOBS) {
            return;
        }
        happen(b, (struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
        if (op.kind == BTH_OP_ESTIMATE) {
            est[0].weights = b->trace->bytes[op.model];
            happen(b, (struct bth_event){.kind = BTH_EV_ESTIMATED, .op = op.id, .estimates = est});
        } else if (op.kind == BTH_OP_FREE) {
            happen(b, (struct bth_event){.kind = BTH_EV_FREE_DONE, .op = op.id});
        } else {
            b->jobs[b->n_jobs++] = (struct job){op, b->now + b->trace->cost[op.model]};
        }
    }
}

/* The next thing that ends; false: nothing is under way. */
static bool end_next(struct bench *b) {
    int caller = -1, job = -1;
    int64_t at = BTH_FOREVER;
    for (int i = 0; i < CALLERS; i++) {
        if (b->callers[i].until < at) {
            at = b->callers[i].until;
            caller = i;
        }
    }
    for (int i = 0; i < b->n_jobs; i++) {
        if (b->jobs[i].until < at) {
            at = b->jobs[i].until;
            job = i;
        }
    }
    if (at == BTH_FOREVER) {
        return false;
    }
    b->now = at;
    if (job >= 0) {
        const struct bth_op op = b->jobs[job].op;
        b->jobs[job] = b->jobs[--b->n_jobs];
        b->loads++;
        b->load_seconds += (double)b->trace->cost[op.model] / 1e9;
        happen(b, (struct bth_event){
                      .kind = BTH_EV_LOAD_DONE, .op = op.id, .bytes = op.est.weights, .handle = b});
    } else {
        happen(b, (struct bth_event){.kind = BTH_EV_RELEASE, .id = b->callers[caller].lease});
        ask(b, caller);
    }
    return true;
}

/* Seconds of loading; how long all took. */
static double play(const struct trace *t, int callers, double *out_took) {
    static struct bench b;
    b = (struct bench){.trace = t};
    bth_state_init(&b.state, &t->room, 1);
    for (uint32_t i = 0, index; i < MODELS; i++) {
        CHECK_INT(bth_state_add_model(&b.state, NULL, 0, &index), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        b.callers[i].until = BTH_FOREVER;
    }
    for (int i = 0; i < callers; i++) {
        ask(&b, i);
        begin_jobs(&b);
    }
    while (end_next(&b)) {
        begin_jobs(&b);
    }
    CHECK_INT(b.next, REQUESTS);
    CHECK_INT(b.state.tickets.used + b.state.leases.used, 0);
    *out_took = (double)b.now / 1e9;
    bth_state_finish(&b.state);
    bth_actions_finish(&b.actions);
    return b.load_seconds;
}

/* Callers hold leases without a pause, nobody waits for a load but for the first of them. */
static double least_seconds(const struct trace *t) {
    double sum = 0;
    for (int i = 0; i < REQUESTS; i++) {
        sum += (double)t->holds[i] / 1e9;
    }
    return sum / CALLERS + (double)t->cost[t->models[0]] / 1e9;
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    static struct trace t;
    const int traces = getenv("BERTH_LONG") ? 200 : 20;
    double ours = 0, lru = 0, took = 0, least = 0, worst = 0, slowest = 0;
    for (int i = 1; i <= traces; i++) {
        double alone, together;
        make_trace(&t, (unsigned long long)i);
        const double seconds = play(&t, 1, &alone), other = lru_seconds(&t);
        play(&t, CALLERS, &together);
        ours += seconds;
        lru += other;
        took += together;
        least += least_seconds(&t);
        worst = fmax(worst, seconds / other);
        slowest = fmax(slowest, together / least_seconds(&t));
    }
    printf("measure 5: %d traces of %d requests, %d models, room for %d: %.0f s of loading, %.0f s "
           "by last "
           "use: %.3f (worst %.3f)\n",
           traces, REQUESTS, MODELS, ROOM_FOR, ours, lru, ours / lru, worst);
    printf("measure 5: %d callers: %.0f s, at least %.0f s: %.3f (worst %.3f)\n", CALLERS, took,
           least, took / least, slowest);
    CHECK(ours <= 0.8 * lru);
    CHECK(took <= 1.3 * least);
    return 0;
}

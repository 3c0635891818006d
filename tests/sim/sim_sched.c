/*
 * A seeded simulation of the scheduler: the real planner, accounts, turns, notes and jobs, under a
 * clock, an engine and a core that exist only here.
 *
 *     sim_sched [--seeds N] [--first S]
 *
 * Each seed makes a world: requests of several callers and models arrive at random times; they are
 * cancelled, too late, refused, abandoned, left unread; sessions fail, turns run out of memory, the
 * device is lost. The engine and the core check every call against the contract, the world checks:
 *
 *   S1 every session ends once, every use ends once, every job completes once with the right result
 *   S2 a turn holds equal (model, stage, key) only, and no more rows than allowed
 *   S3 nothing is lost on the way to a reader, and a full reader parks his session
 *   S4 a cancelled or late job ends within a turn
 *   S5 nobody waits for a turn for longer than
 *        (callers + 1) * (100 ms + longest turn * (sessions + 2)) * widest share + 900 ms
 *   S6 when the scheduler sleeps there is nothing that it could do
 *   S7 the same seed gives the same turns
 *
 * Two more worlds are made by hand: one for fair shares, one for company.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/item.h"
#include "base/reservation.h"
#include "lib/test.h"
#include "sched/sched.h"
#include <inttypes.h>

#define MS BTH_NS_PER_MS

enum { PREPARE, ENCODE, STEP, N_STAGES };
enum { MAX_REQUESTS = 64, N_MODELS = 2, N_LEASES = 4, N_CALLERS = 4, CAPACITY = 100 };

struct bth_lease {
    int model;
    bool revoked;
};

struct sim_request {
    struct bth_job *job; /* NULL: not submitted, refused or given back */
    struct bth_use *use; /* between open and end */
    struct sim_session *session;
    /* what it is */
    int lease, caller, priority;
    int prepares, encodes, steps, windows;
    uint64_t key;
    uint32_t rows;
    size_t bytes;
    int emit; /* partial items a step */
    int fail_code, fail_at;
    bool stream, reads;
    int64_t deadline;
    /* what has become of it */
    bool submitted, waits_for_bytes, holds_bytes, grant_is_late, over, finished, known, taken;
    int begun, ended, opened, closed;
    int done; /* turns */
    int sent, got;
    int64_t cancelled_at, over_at, since;
    int retried;
};

struct sim_session {
    struct berth_session base;
    struct sim_request *r;
    bool cancelled, in_turn;
};

static struct world {
    uint64_t seed, rng, hash;
    int64_t now;
    struct bth_sched *sched;
    struct sim_request requests[MAX_REQUESTS];
    int n, next_arrival;
    int64_t arrival_at[MAX_REQUESTS], late_grant_at;
    struct bth_lease leases[N_LEASES];
    struct berth_model models[N_MODELS];
    struct sim_request *submitting;
    size_t bytes_out;
    int64_t longest_turn, longest_wait, turns, turn_started;
    int lost_after; /* turns; 0: never */
    bool lost, faults, mixed_priorities;
    int most_active, active;
    int64_t cost_of_caller[N_CALLERS];
} w;

static struct {
    uint64_t done, failed, cancelled, late, parked, lost, refused, overloaded, retried, rows, turns;
    int64_t longest_wait;
} seen;

#define HOLDS(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "seed %" PRIu64 " at %.3f ms, %s:%d: ", w.seed, (double)w.now / 1e6,   \
                    __func__, __LINE__);                                                           \
            TEST_FAIL(__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

static int64_t sim_clock(void) {
    return w.now;
}
static uint64_t rnd(uint64_t n) {
    unsigned long long r = w.rng;
    uint64_t v = test_rand(&r) >> 11;
    w.rng = r;
    return v % n;
}
static bool one_in(uint64_t n) {
    return rnd(n) == 0;
}
static void note(uint64_t v) {
    w.hash = (w.hash ^ v) * UINT64_C(1099511628211);
    w.hash ^= w.hash >> 29;
}
static int index_of(const struct sim_request *r) {
    return (int)(r - w.requests);
}

/* ---- the core that is not there --------------------------------------------------------------*/

int bth_use_open(struct bth_lease *lease, struct bth_use *use, struct berth_error *err) {
    if (lease->revoked) {
        return bth_error(err, BERTH_ELOST, "revoked");
    }
    struct sim_request *r = w.submitting;
    use->model = &w.models[lease->model];
    use->id = (uint64_t)index_of(r) + 1;
    r->use = use;
    r->opened++;
    return 0;
}

void bth_manager_ref(struct bth_manager *m) {
    (void)m;
}

void bth_manager_unref(struct bth_manager *m) {
    (void)m;
}

void bth_manager_lose(struct bth_manager *m, size_t device, const struct berth_error *why) {
    (void)m, (void)device, (void)why;
}

static void grant(struct sim_request *r) {
    r->waits_for_bytes = r->grant_is_late = false;
    r->holds_bytes = true;
    bth_reservation_init(&r->use->reservation, BERTH_BYTES_SESSION, r->bytes);
    r->use->granted(r->use, 0, NULL);
}

/* First come, first served; some answers are late. */
static void grant_what_fits(void) {
    for (int i = 0; i < w.n; i++) {
        struct sim_request *r = &w.requests[i];
        if (!r->waits_for_bytes || r->grant_is_late) {
            continue;
        }
        if (w.bytes_out + r->bytes > CAPACITY) {
            return;
        }
        w.bytes_out += r->bytes;
        if (w.faults && one_in(3)) {
            r->grant_is_late = true;
            w.late_grant_at = w.now + (int64_t)rnd(30) * MS;
        } else {
            grant(r);
        }
    }
}

void bth_use_begin(struct bth_use *use, size_t bytes_max) {
    struct sim_request *r = &w.requests[use->id - 1];
    HOLDS(r->use == use && r->begun == 1 && !r->waits_for_bytes, "bytes asked for out of order");
    HOLDS(bytes_max == r->bytes, "asked for %zu bytes, not %zu", bytes_max, r->bytes);
    if (bytes_max > CAPACITY) {
        struct berth_error err;
        bth_error(&err, BERTH_EBUDGET, "never");
        use->granted(use, BERTH_EBUDGET, &err);
        return;
    }
    r->waits_for_bytes = true;
    grant_what_fits();
}

void bth_use_end(struct bth_use *use, bool failed) {
    (void)failed;
    struct sim_request *r = &w.requests[use->id - 1];
    HOLDS(r->use == use, "a use ended twice");
    HOLDS(!r->session, "the use ended before its session");
    if (r->holds_bytes) {
        HOLDS(bth_reservation_used(&use->reservation) == 0, "bytes left in the reservation");
    }
    if (r->holds_bytes || r->grant_is_late) {
        w.bytes_out -= r->bytes;
    }
    r->use = NULL;
    r->closed++;
    r->holds_bytes = r->waits_for_bytes = r->grant_is_late = false;
    r->over = true;
    r->over_at = w.now;
    grant_what_fits();
}

/* ---- the engine ------------------------------------------------------------------------------*/

static const struct berth_stage stages[N_STAGES] = {
    [PREPARE] = {"PREPARE", BERTH_LANE_HOST, 1, 3 * MS, 0},
    [ENCODE] = {"ENCODE", BERTH_LANE_DEVICE, 2, 15 * MS, 0},
    [STEP] = {"STEP", BERTH_LANE_DEVICE, 8, 2 * MS, MS / 4},
};

static int turns_of(const struct sim_request *r) {
    return r->prepares + r->windows * (r->encodes + r->steps);
}

static int stage_of(const struct sim_request *r) {
    int n = r->done - r->prepares;
    if (n < 0) {
        return PREPARE;
    }
    return n % (r->encodes + r->steps) < r->encodes ? ENCODE : STEP;
}

static int sim_begin(struct berth_model *model, const struct berth_request *request,
                     struct berth_session **out, struct berth_need *need, struct berth_error *err) {
    HOLDS(request->input.size == sizeof(int), "the request was not copied well");
    int i;
    memcpy(&i, request->input.data, sizeof(i));
    struct sim_request *r = &w.requests[i];
    HOLDS(r->begun++ == 0 && r->use, "begun twice, or without a use");
    struct sim_session *s = bth_calloc(1, sizeof(*s));
    if (r->fail_code && r->fail_at < 0) {
        bth_free(s);
        r->begun--;
        return bth_error(err, r->fail_code, "bad request");
    }
    s->base.model = model;
    s->r = r;
    r->session = s;
    w.active++;
    w.most_active = BTH_MAX(w.most_active, w.active);
    *need = (struct berth_need){r->bytes, r->bytes};
    *out = &s->base;
    return 0;
}

static void sim_next(struct berth_session *session, struct berth_want *out) {
    struct sim_session *s = (struct sim_session *)session;
    struct sim_request *r = s->r;
    HOLDS(!s->in_turn && session->sink && session->reservation, "asked at a wrong time");
    r->since = w.now;
    r->retried = 0;
    if (s->cancelled || r->done == turns_of(r)) {
        *out = (struct berth_want){.stage = BERTH_WANT_END};
        return;
    }
    int stage = stage_of(r);
    *out = (struct berth_want){.stage = stage,
                               .key = stage == ENCODE ? (uint64_t)r->done % 2 : r->key,
                               .rows = stage == STEP ? r->rows : 1,
                               .max_rows = stage == STEP && r->key == 1 ? 4 : 0};
}

static void check_session(const struct berth_batch *b, uint32_t i) {
    struct sim_session *s = (struct sim_session *)b->sessions[i];
    struct sim_request *r = s->r;
    struct berth_want want;
    int64_t since = r->since;
    HOLDS(r->session == s && !s->cancelled, "a turn of a session that is no more");
    sim_next(&s->base, &want);
    r->since = since;
    HOLDS(b->model == s->base.model && b->stage == want.stage && b->key == want.key,
          "a turn of another model, stage or key");
    for (uint32_t j = 0; j < i; j++) {
        HOLDS(b->sessions[j] != b->sessions[i], "a session twice in a turn");
    }
    if (!r->stream) { /* a reader may keep his own session waiting */
        int64_t wait = w.now - r->since - (int64_t)r->retried * 10 * MS;
        w.longest_wait = BTH_MAX(w.longest_wait, wait);
    }
    HOLDS(!r->stream || r->sent - r->got + BERTH_MAX_EMIT <= 8, "run without room for its results");
}

static int sim_enqueue(struct berth_batch *b, struct berth_error *err) {
    HOLDS(!w.lost, "a turn on a lost device");
    HOLDS(b->n >= 1 && b->model == b->sessions[0]->model, "no turn");
    uint32_t rows = 0;
    note((uint64_t)w.now);
    note((uint64_t)b->stage << 32 | b->n);
    for (uint32_t i = 0; i < b->n; i++) {
        struct sim_request *r = ((struct sim_session *)b->sessions[i])->r;
        check_session(b, i);
        rows += b->stage == STEP ? r->rows : 1;
        note((uint64_t)index_of(r));
    }
    HOLDS(rows <= (b->stage == STEP && b->key == 1 ? 4 : stages[b->stage].max_rows),
          "%u rows in a turn of %s", rows, stages[b->stage].name);
    w.turns++;
    seen.turns++;
    seen.rows += rows;
    w.turn_started = w.now;
    if (w.lost_after && w.turns >= w.lost_after) {
        w.lost = true;
        return bth_error(err, BERTH_EDEVICE, "the device has gone");
    }
    int64_t cost = stages[b->stage].turn_ns + stages[b->stage].row_ns * rows;
    w.now += cost + (w.faults ? (int64_t)rnd((uint64_t)cost / 4) : 0);
    w.longest_turn = BTH_MAX(w.longest_turn, w.now - w.turn_started);
    if (w.faults && one_in(40)) {
        for (uint32_t i = 0; i < b->n; i++) {
            ((struct sim_session *)b->sessions[i])->r->retried++;
        }
        seen.retried++;
        return bth_error(err, BERTH_ENOMEM, "for now");
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct sim_session *s = (struct sim_session *)b->sessions[i];
        s->in_turn = true;
        w.cost_of_caller[s->r->caller] += (w.now - w.turn_started) / b->n;
    }
    b->turn = &w;
    return 0;
}

static int emit(struct sim_session *s, enum berth_item_kind kind) {
    struct berth_item *item = bth_item_create(kind);
    CHECK(item);
    item->done = s->r->done;
    item->total = turns_of(s->r);
    char text[32];
    int n = snprintf(text, sizeof(text), "%d:%d", index_of(s->r), s->r->sent);
    item->text = bth_arena_strndup(bth_item_arena(item), text, (size_t)n);
    if (kind == BERTH_ITEM_PARTIAL) {
        s->r->sent++;
    }
    return s->base.sink->emit(s->base.sink, item);
}

static int move_on(struct sim_session *s, struct berth_error *err) {
    struct sim_request *r = s->r;
    bool stepped = stage_of(r) == STEP;
    if (r->done == 0) {
        CHECK_OK(bth_reservation_draw(s->base.reservation, r->bytes, err), *err);
    }
    r->done++;
    if (r->fail_code && r->done > r->fail_at) {
        return bth_error(err, r->fail_code, "as told");
    }
    emit(s, BERTH_ITEM_PROGRESS);
    for (int i = 0; stepped && i < r->emit; i++) {
        emit(s, BERTH_ITEM_PARTIAL);
    }
    if (r->done == turns_of(r)) {
        r->finished = true;
        emit(s, BERTH_ITEM_FINAL);
    }
    return 0;
}

static int sim_settle(struct berth_batch *b, struct berth_error *err) {
    (void)err;
    HOLDS(b->turn == &w, "the turn's own state was lost");
    for (uint32_t i = 0; i < b->n; i++) {
        struct sim_session *s = (struct sim_session *)b->sessions[i];
        HOLDS(s->in_turn, "settled without a turn");
        s->in_turn = false;
        b->status[i] = move_on(s, &b->errors[i]);
    }
    return 0;
}

static void sim_cancel(struct berth_session *session) {
    struct sim_session *s = (struct sim_session *)session;
    HOLDS(!s->in_turn && !s->cancelled, "cancelled in a turn, or twice");
    s->cancelled = true;
}

static void sim_end(struct berth_session *session) {
    struct sim_session *s = (struct sim_session *)session;
    HOLDS(!s->in_turn && s->r->session == s, "ended in a turn, or twice");
    if (s->r->done > 0) {
        bth_reservation_return(session->reservation, s->r->bytes);
    }
    s->r->ended++;
    s->r->session = NULL;
    w.active--;
    bth_free(s);
}

static const struct berth_engine_ops engine = {.api_version = BERTH_ENGINE_API,
                                               .struct_size = sizeof(struct berth_engine_ops),
                                               .family = "sim",
                                               .stages = stages,
                                               .n_stages = N_STAGES,
                                               .begin = sim_begin,
                                               .next = sim_next,
                                               .enqueue = sim_enqueue,
                                               .settle = sim_settle,
                                               .cancel = sim_cancel,
                                               .end = sim_end};

/* ---- clients ---------------------------------------------------------------------------------*/

static void submit(struct sim_request *r) {
    static const char *const callers[N_CALLERS] = {"ann", "bob", "cy", ""};
    int i = index_of(r);
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = &i, .size = sizeof(i)};
    request.caller = callers[r->caller];
    request.priority = r->priority;
    request.stream = r->stream;
    request.deadline_ms = r->deadline ? (r->deadline - w.now) / MS : 0;
    r->deadline = request.deadline_ms ? w.now + request.deadline_ms * MS : BTH_FOREVER;
    w.submitting = r;
    struct berth_error err;
    int rc = bth_sched_submit(w.sched, &w.leases[r->lease], &request, &r->job, &err);
    if (rc == 0) {
        r->submitted = true;
        return;
    }
    HOLDS(rc == BERTH_EOVERLOADED || (rc == BERTH_ELOST && w.leases[r->lease].revoked),
          "submit gave %d: %s", rc, err.message);
    seen.overloaded += rc == BERTH_EOVERLOADED;
}

/* What the end must be, given what has happened to the session. */
static int expected(const struct sim_request *r, int rc) {
    if (rc == BERTH_ECANCELLED) {
        HOLDS(r->cancelled_at, "cancelled by nobody");
        return rc;
    }
    if (rc == BERTH_ETIMEDOUT) {
        HOLDS(r->over_at >= r->deadline, "too late too early");
        return rc;
    }
    if (rc == BERTH_EDEVICE && w.lost) {
        return rc;
    }
    if (r->bytes > CAPACITY && !(r->fail_code && r->fail_at < 0)) {
        return BERTH_EBUDGET;
    }
    return r->fail_code && (r->fail_at < turns_of(r)) ? r->fail_code : 0;
}

/* S1, S3: takes the result of a job that is over. */
static void take_result(struct sim_request *r) {
    struct berth_item *item = NULL;
    struct berth_error err = {0};
    int rc;
    while ((rc = bth_job_next(r->job, 0, &item, &err)) == 0 && item->kind == BERTH_ITEM_PARTIAL) {
        r->got++;
        berth_item_free(item);
    }
    HOLDS(rc == expected(r, rc), "job %d ended with %d (%s), expected %d", index_of(r), rc,
          err.message, expected(r, rc));
    seen.done += rc == 0;
    seen.cancelled += rc == BERTH_ECANCELLED;
    seen.late += rc == BERTH_ETIMEDOUT;
    seen.lost += rc == BERTH_EDEVICE;
    seen.refused += rc == BERTH_EBUDGET;
    seen.failed += rc < 0;
    HOLDS((rc == 0) == (bth_job_state(r->job) == BERTH_JOB_DONE), "state and result differ");
    HOLDS(!r->stream || r->got == r->sent, "%d of %d items came", r->got, r->sent);
    if (rc == 0) {
        char text[32];
        snprintf(text, sizeof(text), "%d:%d", index_of(r), r->sent);
        HOLDS(r->finished && item->kind == BERTH_ITEM_FINAL, "a result without an end");
        HOLDS(strcmp(item->text, text) == 0, "another's result");
        berth_item_free(item);
        HOLDS(bth_job_next(r->job, 0, &item, &err) == BERTH_ESTATE, "two results");
    }
    r->taken = true;
    note((uint64_t)(int64_t)rc);
    note((uint64_t)r->over_at);
}

/* S4 */
static void check_prompt(struct sim_request *r) {
    int64_t wanted = r->cancelled_at ? r->cancelled_at : BTH_FOREVER;
    if (r->deadline != BTH_FOREVER) {
        wanted = BTH_MIN(wanted, r->deadline);
    }
    HOLDS(wanted == BTH_FOREVER || r->over_at <= wanted + w.longest_turn,
          "ended %.3f ms after it was cancelled or late", (double)(r->over_at - wanted) / 1e6);
}

static void read_some(struct sim_request *r) {
    struct berth_item *item;
    char text[32];
    for (uint64_t n = rnd(8); n > 0 && r->got < r->sent; n--) {
        int rc = bth_job_next(r->job, 0, &item, NULL);
        snprintf(text, sizeof(text), "%d:%d", index_of(r), r->got);
        HOLDS(rc == 0 && item->kind == BERTH_ITEM_PARTIAL && strcmp(item->text, text) == 0,
              "item %s did not come", text);
        r->got++;
        berth_item_free(item);
    }
}

static void cancel_job(struct sim_request *r) {
    if (!r->over && !r->cancelled_at) {
        r->cancelled_at = BTH_MAX(w.now, 1);
    }
}

/* One random thing that a client does. */
static void client_event(void) {
    struct sim_request *r = &w.requests[rnd((uint64_t)w.n)];
    if (!r->job) {
        return;
    }
    switch (rnd(12)) {
    case 0:
        if (one_in(4)) {
            cancel_job(r);
            bth_job_cancel(r->job);
        }
        break;
    case 1:
        if (one_in(6)) { /* gives the handle back, whatever the state */
            cancel_job(r);
            bth_job_free(r->job);
            r->job = NULL;
        }
        break;
    case 2:
        if (one_in(40)) {
            w.leases[r->lease].revoked = true;
            for (int i = 0; i < w.n; i++) {
                if (w.requests[i].submitted && w.requests[i].lease == r->lease) {
                    cancel_job(&w.requests[i]);
                }
            }
            bth_sched_cancel(w.sched, &w.leases[r->lease]);
        }
        break;
    case 3:
    case 4:
    case 5:
        if (r->stream && r->reads) {
            read_some(r);
        }
        break;
    default:
        break;
    }
}

/* ---- worlds ----------------------------------------------------------------------------------*/

static void make_request(struct sim_request *r) {
    *r = (struct sim_request){.lease = (int)rnd(N_LEASES),
                              .caller = (int)rnd(N_CALLERS),
                              .priority = w.mixed_priorities ? 4 + (int)rnd(3) : 5,
                              .prepares = (int)rnd(3),
                              .encodes = (int)rnd(6),
                              .steps = 1 + (int)rnd(20),
                              .windows = 1 + (int)rnd(2),
                              .key = rnd(2),
                              .rows = 1 + (uint32_t)rnd(3),
                              .bytes = 1 + rnd(40),
                              .emit = (int)rnd(3),
                              .stream = one_in(3)};
    r->reads = r->stream && !one_in(4);
    if (one_in(40)) {
        r->bytes = 2 * CAPACITY;
    }
    if (w.faults && one_in(6)) {
        static const int codes[] = {BERTH_EAUDIO, BERTH_EINVAL, BERTH_ENOMEM, BERTH_EINTERNAL};
        r->fail_code = codes[rnd(4)];
        r->fail_at = (int)rnd(20) - 1;
    }
    if (one_in(6)) {
        r->deadline = 1 + (int64_t)rnd(600) * MS; /* from its arrival, see arrive() */
    }
}

static void open_world(uint64_t seed, size_t max_jobs) {
    memset(&w, 0, sizeof(w));
    w.seed = seed;
    w.rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    w.now = 1000 * MS;
    w.late_grant_at = BTH_FOREVER;
    for (int i = 0; i < N_MODELS; i++) {
        w.models[i] = (struct berth_model){.ops = &engine};
    }
    for (int i = 0; i < N_LEASES; i++) {
        w.leases[i].model = i % N_MODELS;
    }
    const struct bth_sched_config config = {
        .max_jobs = max_jobs, .max_results = 8, .clock = sim_clock};
    struct berth_error err;
    CHECK_OK(bth_sched_create(&config, &w.sched, &err), err);
}

static void arrive(void) {
    while (w.next_arrival < w.n && w.arrival_at[w.next_arrival] <= w.now) {
        struct sim_request *r = &w.requests[w.next_arrival++];
        if (r->deadline) {
            r->deadline += w.now;
        }
        submit(r);
    }
}

static void late_grants(void) {
    if (w.late_grant_at > w.now) {
        return;
    }
    w.late_grant_at = BTH_FOREVER;
    for (int i = 0; i < w.n; i++) {
        if (w.requests[i].grant_is_late) {
            grant(&w.requests[i]);
        }
    }
}

/* S6: whoever is not over waits for something that only others can give. */
static void check_idle(void) {
    bool parked = false;
    for (int i = 0; i < w.n; i++) {
        struct sim_request *r = &w.requests[i];
        bool waits = r->submitted && !r->over;
        bool full = r->stream && r->sent - r->got > 8 - BERTH_MAX_EMIT;
        HOLDS(!waits || full || r->waits_for_bytes, "job %d could run, but sleeps", i);
        parked |= waits && full;
        seen.parked += waits && full;
    }
    for (int i = 0; i < w.n; i++) {
        HOLDS(!w.requests[i].waits_for_bytes || parked, "bytes wait, and nobody holds any");
    }
}

/* Runs until nothing happens by itself. */
static void play(bool clients) {
    for (;;) {
        arrive();
        late_grants();
        if (clients) {
            client_event();
        }
        int64_t due = bth_sched_step(w.sched);
        if (due <= w.now) {
            continue;
        }
        int64_t next = BTH_MIN(due, w.late_grant_at);
        if (w.next_arrival < w.n) {
            next = BTH_MIN(next, w.arrival_at[w.next_arrival]);
        }
        if (next == BTH_FOREVER) {
            return;
        }
        w.now = BTH_MAX(next, w.now);
    }
}

/* Readers who were slow read to the end; the unread are given up. */
static void drain_readers(void) {
    for (int i = 0; i < w.n; i++) {
        struct sim_request *r = &w.requests[i];
        while (r->job && r->reads && !r->over && r->got < r->sent) {
            read_some(r);
            play(false);
        }
    }
}

static void close_world(void) {
    for (int i = 0; i < w.n; i++) {
        if (w.requests[i].submitted) {
            cancel_job(&w.requests[i]);
        }
    }
    bth_sched_destroy(w.sched);
    for (int i = 0; i < w.n; i++) {
        struct sim_request *r = &w.requests[i];
        HOLDS(r->begun == r->ended && r->opened == r->closed && r->opened >= r->submitted,
              "job %d: begun %d, ended %d, opened %d, closed %d", i, r->begun, r->ended, r->opened,
              r->closed);
        if (r->submitted) {
            check_prompt(r);
        }
        if (r->job) {
            take_result(r);
            bth_job_free(r->job);
        }
    }
    int64_t bound = (N_CALLERS + 1) * (100 * MS + w.longest_turn * (w.most_active + 2)) *
                        (w.mixed_priorities ? 4 : 1) +
                    900 * MS;
    HOLDS(w.longest_wait <= bound, "waited %.0f ms, more than %.0f", (double)w.longest_wait / 1e6,
          (double)bound / 1e6);
    seen.longest_wait = BTH_MAX(seen.longest_wait, w.longest_wait);
}

static uint64_t run_seed(uint64_t seed) {
    int64_t live = bth_alloc_live();
    open_world(seed, seed % 5 == 0 ? 6 : 0);
    w.faults = seed % 3 != 0;
    w.mixed_priorities = seed % 2;
    w.n = 1 + (int)rnd(40);
    w.lost_after = seed % 11 == 0 ? 1 + (int)rnd(300) : 0;
    uint64_t gap = 1 + rnd(60);
    int64_t at = w.now;
    for (int i = 0; i < w.n; i++) {
        make_request(&w.requests[i]);
        w.arrival_at[i] = at;
        at += (int64_t)rnd(gap) * MS;
    }
    play(true);
    check_idle();
    drain_readers();
    check_idle();
    close_world();
    HOLDS(bth_alloc_live() == live, "%lld blocks leaked", (long long)(bth_alloc_live() - live));
    return w.hash;
}

/* A caller with many requests and one with a single one get equal shares of the device. */
static void fair_shares(void) {
    open_world(1, 0);
    w.n = 33;
    for (int i = 0; i < w.n; i++) {
        w.requests[i] = (struct sim_request){.lease = i % 2,
                                             .caller = i < 32 ? 0 : 1,
                                             .priority = 5,
                                             .encodes = i < 32 ? 30 : 0,
                                             .steps = i < 32 ? 1 : 4000,
                                             .windows = 1,
                                             .rows = 8, /* nobody rides */
                                             .key = 0,
                                             .bytes = 1,
                                             .deadline = BTH_FOREVER};
        w.arrival_at[i] = w.now;
        w.requests[i].deadline = 0;
    }
    int64_t until = w.now + 10000 * MS;
    while (w.now < until) {
        arrive();
        bth_sched_step(w.sched);
    }
    double ratio = (double)w.cost_of_caller[0] / (double)w.cost_of_caller[1];
    printf("32 requests against 1: %.2f of the device each\n", ratio);
    /* in pairs encoders ride; the turn's cost is what counts */
    HOLDS(ratio > 0.9 && ratio < 1.1, "unfair: %.3f", ratio);
    close_world();
}

/* Eight requests that come one after the other step together, yet another model is served at once.
 */
static void company(void) {
    open_world(2, 0);
    w.n = 9;
    for (int i = 0; i < w.n; i++) {
        bool other = i == 8;
        w.requests[i] = (struct sim_request){.lease = other ? 1 : 0,
                                             .caller = other ? 3 : i % 3,
                                             .priority = 5,
                                             .encodes = other ? 0 : 20,
                                             .steps = other ? 100 : 150,
                                             .windows = 1,
                                             .rows = 1,
                                             .bytes = 1};
        w.arrival_at[i] = w.now + i * 30 * MS;
    }
    int64_t began = w.now;
    play(false);
    check_idle();
    for (int i = 0; i < w.n; i++) {
        HOLDS(w.requests[i].finished, "not finished");
    }
    /* alone each would take 20 * 15 + 150 * 2.25 ms, and the other 100 * 2.25 */
    double alone = 8 * (20 * 15 + 150 * 2.25) + 100 * 2.25;
    double took = (double)(w.now - began) / 1e6;
    double other = (double)(w.requests[8].over_at - w.arrival_at[8]) / 1e6;
    printf(
        "eight together: %.0f ms, one after the other %.0f ms; a ninth of another model %.0f ms\n",
        took, alone, other);
    HOLDS(took < 0.65 * alone, "no company");
    HOLDS(other < 4 * 100 * 2.25 + 15, "held up by another model"); /* one of four callers */
    close_world();
}

int main(int argc, char **argv) {
    uint64_t seeds = getenv("BERTH_LONG") ? 50000 : 3000, first = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = strtoull(argv[i + 1], NULL, 10);
        }
    }
    fair_shares();
    company();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        uint64_t hash = run_seed(seed);
        if (seed % 16 == 0) {
            HOLDS(run_seed(seed) == hash, "two runs, two results"); /* S7 */
        }
    }
    printf("%" PRIu64 " seeds: %" PRIu64 " turns of %.2f rows; %" PRIu64 " done, %" PRIu64
           " failed (%" PRIu64 " cancelled, %" PRIu64 " late, %" PRIu64 " lost, %" PRIu64
           " refused), %" PRIu64 " parked, %" PRIu64 " overloaded, %" PRIu64
           " retries; longest wait %.0f ms\n",
           seeds, seen.turns, (double)seen.rows / (double)seen.turns, seen.done, seen.failed,
           seen.cancelled, seen.late, seen.lost, seen.refused, seen.parked, seen.overloaded,
           seen.retried, (double)seen.longest_wait / 1e6);
    CHECK(first != 1 || seeds < 1000 ||
          (seen.done && seen.cancelled && seen.late && seen.lost && seen.refused && seen.parked &&
           seen.overloaded && seen.retried));
    return 0;
}

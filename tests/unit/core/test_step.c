/* The step, one rule at a time: what a caller is told, and when. The simulator has the rest. */
#include "base/alloc.h"
#include "lib/steps.h"

static void acquire(uint32_t model, int64_t expires) {
    step((struct bth_event){.kind = BTH_EV_ACQUIRE, .scope = model, .expires = expires});
}

static uint64_t load(uint32_t model, uint64_t bytes) {
    acquire(model, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, bytes);
    work(BTH_OP_LOAD, bytes);
    return id_of(BTH_ACT_GRANT);
}

static void release(uint64_t lease) {
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
}

static void test_single_flight(void) {
    begin(100, 0, 1);
    acquire(0, BTH_FOREVER);
    acquire(0, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, 60);
    acquire(0, BTH_FOREVER);
    CHECK_INT(s.devices[0].reserved, 60);
    work(BTH_OP_LOAD, 50);
    CHECK_INT(out.n, 3); /* all in the step that made it ready */
    CHECK_INT(s.devices[0].committed, 50);
    CHECK_INT(s.devices[0].reserved, 0);
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    end();
}

static void test_back_off(void) {
    begin(100, 0, 1);
    struct berth_error error = {.code = BERTH_EFORMAT};
    int64_t pause = 0;
    for (int i = 0; i < 9; i++) {
        acquire(0, BTH_FOREVER);
        CHECK(find(BTH_ACT_QUEUED));
        struct bth_op op = bth_state_next_op(&s);
        step((struct bth_event){.kind = BTH_EV_ESTIMATED, .op = op.id, .error = &error});
        CHECK_INT(find(BTH_ACT_REFUSE)->code, BERTH_EFORMAT);
        pause = s.models[0].retry_at - now;
        CHECK_INT(pause / BTH_NS_PER_S, i < 6 ? 1 << i : 60);
        acquire(0, BTH_FOREVER);
        CHECK_INT(find(BTH_ACT_REFUSE)->reason, BTH_REASON_LOAD_FAILED);
        CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
        now += pause;
    }
    release(load(0, 10));
    CHECK_INT(s.models[0].failures, 0);
    end();
}

static void test_eviction(void) {
    begin(100, 0, 4);
    release(load(0, 40));
    release(load(1, 20));
    uint64_t held = load(2, 30);
    acquire(3, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, 80); /* 60 idle and 10 free do not suffice: nobody leaves */
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    release(held); /* model 1 need not leave: 0 and 2 and the 10 are enough */
    work(BTH_OP_FREE, 0);
    work(BTH_OP_FREE, 0);
    CHECK_INT(s.models[0].open, 0);
    CHECK(s.models[1].open != 0);
    CHECK_INT(s.models[2].open, 0);
    work(BTH_OP_LOAD, 80);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

static void test_earmark(void) {
    begin(100, 0, 3);
    uint64_t held = load(0, 60);
    acquire(1, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, 70); /* waits for `held` */
    acquire(2, now + BTH_NS_PER_S);
    work(BTH_OP_ESTIMATE, 30); /* would fit, but what is free belongs to the older one */
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    now += BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(find(BTH_ACT_REFUSE)->why, BTH_WHY_BYTES);
    release(held);
    work(BTH_OP_FREE, 0);
    work(BTH_OP_LOAD, 70);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

static void test_uses(void) {
    begin(100, 0, 1);
    uint64_t lease = load(0, 50), uses[3];
    for (int i = 0; i < 3; i++) {
        step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease});
        uses[i] = id_of(BTH_ACT_USE_OPENED);
    }
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = uses[0], .bytes = 30});
    CHECK(find(BTH_ACT_USE_RUN));
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = uses[1], .bytes = 40});
    CHECK_INT(out.n, 0);
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = uses[2], .bytes = 1});
    CHECK_INT(out.n, 0); /* nobody passes */
    release(lease);
    step((struct bth_event){.kind = BTH_EV_UNLOAD, .scope = 0});
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE); /* uses hold it */
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = uses[0]});
    CHECK_INT(out.n, 2); /* both fit */
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = uses[1], .failed = true});
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = uses[1]}); /* again: nothing */
    CHECK_INT(s.models[0].served, 2);
    CHECK_INT(s.models[0].failed, 1);
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = uses[2]});
    work(BTH_OP_FREE, 0);
    CHECK(bth_state_empty(&s));
    end();
}

static void test_claims(void) {
    begin(100, 0, 1);
    acquire(0, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, UINT64_MAX); /* a file that lies: sums must not wrap */
    CHECK_INT(find(BTH_ACT_REFUSE)->code, BERTH_EBUDGET);
    step((struct bth_event){.kind = BTH_EV_GROW, .id = 77, .bytes = 1});
    CHECK_INT(out.n, 0);
    end();
    begin(100, 0, 1);
    acquire(0, now); /* who does not wait starts nothing */
    CHECK_INT(find(BTH_ACT_REFUSE)->code, BERTH_ETIMEDOUT);
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    end();
}

/* Loads that hang keep neither another load nor a free nor an estimate from being done. */
static void test_loads_at_once(void) {
    begin(100, 0, 4);
    release(load(0, 10));
    struct bth_op ops[BTH_LOADS_AT_ONCE];
    for (uint32_t i = 0; i < BTH_LOADS_AT_ONCE; i++) {
        acquire(1 + i, BTH_FOREVER);
        work(BTH_OP_ESTIMATE, 10);
        ops[i] = bth_state_next_op(&s);
        CHECK_INT(ops[i].kind, BTH_OP_LOAD);
        CHECK_INT(ops[i].model, 1 + i);
        step((struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = ops[i].id});
    }
    acquire(3, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, 10);
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE); /* its load waits for one of the two */
    step((struct bth_event){.kind = BTH_EV_UNLOAD, .scope = 0});
    work(BTH_OP_FREE, 0);
    step((struct bth_event){.kind = BTH_EV_LOAD_DONE, .op = ops[1].id, .bytes = 10});
    CHECK(find(BTH_ACT_GRANT));
    work(BTH_OP_LOAD, 10);
    CHECK_INT(find(BTH_ACT_GRANT)->scope, 3);
    end();
}

static void test_failing_memory(void) {
    for (int64_t n = 1, failed = true; failed; n++) {
        CHECK(n < 100);
        begin(100, 0, 1);
        bth_alloc_fail_at(n);
        acquire(0, BTH_FOREVER);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (failed) { /* told, or nothing said: and nothing changed */
            CHECK(out.n == 0 || find(BTH_ACT_REFUSE)->code == BERTH_ENOMEM);
            CHECK_INT(s.tickets.used, 0);
        }
        end();
    }
}

static struct bth_plan plan(uint32_t model) {
    struct bth_plan p;
    bth_state_plan(&s, model, &p);
    return p;
}

static void estimate(uint32_t model, uint64_t bytes) {
    step((struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = model});
    work(BTH_OP_ESTIMATE, bytes);
}

/* What a plan says is what a ticket then gets. */
static void test_plan(void) {
    begin(100, 0, 4);
    CHECK_INT(plan(0).kind, BTH_PLAN_UNKNOWN);
    estimate(0, 60);
    CHECK_INT(plan(0).kind, BTH_PLAN_FITS);
    CHECK_INT(plan(0).need, 60);
    acquire(0, BTH_FOREVER);
    CHECK_INT(plan(0).kind, BTH_PLAN_LOADING);
    work(BTH_OP_LOAD, 60);
    const uint64_t lease = id_of(BTH_ACT_GRANT);
    CHECK_INT(plan(0).kind, BTH_PLAN_READY);
    estimate(1, 50);
    CHECK_INT(plan(1).kind, BTH_PLAN_WAITS); /* it is leased */
    CHECK_INT(plan(1).room, 40);
    estimate(2, 101);
    CHECK_INT(plan(2).kind, BTH_PLAN_IMPOSSIBLE);
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
    const struct bth_plan p = plan(1);
    CHECK_INT(p.kind, BTH_PLAN_EVICTS);
    CHECK(p.n_victims == 1 && p.victims[0] == 0);
    acquire(1, BTH_FOREVER);
    CHECK_INT(plan(0).kind, BTH_PLAN_UNKNOWN); /* evicted, and its file may change */
    CHECK_INT(plan(1).kind, BTH_PLAN_WAITS);   /* until it is freed */
    work(BTH_OP_FREE, 0);
    work(BTH_OP_LOAD, 50);
    CHECK_INT(plan(1).kind, BTH_PLAN_READY);
    acquire(2, BTH_FOREVER);
    CHECK(find(BTH_ACT_REFUSE) && find(BTH_ACT_REFUSE)->reason == BTH_REASON_IMPOSSIBLE);
    end();
}

/* Loads a model that nobody has and lets it go again. */
static void load_and_leave(uint32_t model, uint64_t bytes) {
    acquire(model, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, bytes);
    work(BTH_OP_LOAD, bytes);
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = id_of(BTH_ACT_GRANT)});
}

/* What is idle for its time is unloaded, what is in use or pinned is not. */
static void test_keep_alive(void) {
    begin(100, 0, 3);
    bth_state_keep(&s, 0, 10 * BTH_NS_PER_S, false);
    bth_state_keep(&s, 1, 10 * BTH_NS_PER_S, true);
    load_and_leave(0, 20);
    load_and_leave(1, 20);
    CHECK_INT(bth_state_next_deadline(&s), now + 10 * BTH_NS_PER_S);
    now += 6 * BTH_NS_PER_S;
    acquire(0, BTH_FOREVER);
    const uint64_t lease = id_of(BTH_ACT_GRANT);
    now += 6 * BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(plan(0).kind, BTH_PLAN_READY); /* in use */
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
    now += 9 * BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(plan(0).kind, BTH_PLAN_READY);
    now += BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK(plan(0).kind != BTH_PLAN_READY);
    CHECK_INT(plan(1).kind, BTH_PLAN_READY); /* pinned */
    CHECK_INT(bth_state_next_deadline(&s), BTH_FOREVER);
    work(BTH_OP_FREE, 0);
    acquire(2, BTH_FOREVER); /* not even for others' bytes */
    work(BTH_OP_ESTIMATE, 90);
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    CHECK_INT(plan(1).kind, BTH_PLAN_READY);
    end();
}

/* A keep-alive that is set or ends counts from then on; one no longer pinned makes room. */
static void test_kept_otherwise(void) {
    begin(100, 0, 3);
    load_and_leave(0, 20);
    bth_state_keep(&s, 0, 10 * BTH_NS_PER_S, false);
    CHECK_INT(bth_state_next_deadline(&s), now + 10 * BTH_NS_PER_S);
    bth_state_keep(&s, 0, BTH_FOREVER, true);
    now += 20 * BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(plan(0).kind, BTH_PLAN_READY);
    acquire(1, BTH_FOREVER);
    work(BTH_OP_ESTIMATE, 90);
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    bth_state_keep(&s, 0, BTH_FOREVER, false);
    step((struct bth_event){.kind = BTH_EV_TICK});
    work(BTH_OP_FREE, 0);
    work(BTH_OP_LOAD, 90);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

/* One for whom an idle model was kept leaves: its time begins anew. */
static void test_kept_for_nobody(void) {
    begin(100, 0, 1);
    bth_state_keep(&s, 0, 10 * BTH_NS_PER_S, false);
    load_and_leave(0, 20);
    step((struct bth_event){
        .kind = BTH_EV_ACQUIRE, .scope = 0, .exclusive = true, .owner = 1, .expires = BTH_FOREVER});
    const uint64_t exclusive = id_of(BTH_ACT_GRANT);
    acquire(0, BTH_FOREVER);
    const uint64_t ticket = id_of(BTH_ACT_QUEUED);
    now += 10 * BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(plan(0).kind, BTH_PLAN_READY); /* it is waited for */
    step((struct bth_event){.kind = BTH_EV_CANCEL, .id = ticket});
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = exclusive});
    now += 10 * BTH_NS_PER_S;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK(plan(0).kind != BTH_PLAN_READY);
    end();
}

/* A plan of what is loaded asks for no size: a file that has gone must not turn away who waits. */
static void test_plan_of_loaded(void) {
    begin(100, 0, 1);
    load_and_leave(0, 20);
    step((struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = 0});
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    end();
}

int main(void) {
    test_keep_alive();
    test_kept_otherwise();
    test_kept_for_nobody();
    test_plan_of_loaded();
    test_plan();
    test_single_flight();
    test_back_off();
    test_eviction();
    test_earmark();
    test_uses();
    test_claims();
    test_loads_at_once();
    test_failing_memory();
    return 0;
}

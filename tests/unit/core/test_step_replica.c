/* Replicas, one rule at a time: when one comes, where, who gets it, who goes first; and what
 * becomes of a generation whose device is lost. The simulator has the rest. */
#include "lib/steps.h"

static void acquire(uint32_t model) {
    step((struct bth_event){.kind = BTH_EV_ACQUIRE, .scope = model, .expires = BTH_FOREVER});
}

static uint64_t load(uint32_t model, uint64_t bytes) {
    acquire(model);
    work(BTH_OP_ESTIMATE, bytes);
    work(BTH_OP_LOAD, bytes);
    return id_of(BTH_ACT_GRANT);
}

/* Opens and begins one use; on which device it is. */
static uint32_t use(uint64_t lease, uint64_t *out_id) {
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease});
    *out_id = id_of(BTH_ACT_USE_OPENED);
    const struct bth_gen *g = bth_table_get(&s.gens, find(BTH_ACT_USE_OPENED)->gen);
    CHECK(g);
    const uint32_t device = g->device;
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = *out_id, .bytes = 1});
    return device;
}

static void end_use(uint64_t id) {
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = id});
}

static enum bth_op_kind next_op(void) {
    return bth_state_next_op(&s).kind;
}

enum { MANY = 12 };

/* A model on both devices, with `n` uses begun. */
static uint64_t replicated(uint64_t uses[MANY], int n) {
    const uint64_t lease = load(0, 40);
    for (int i = 0; i < n; i++) {
        CHECK_INT(use(lease, &uses[i]), i < BTH_REPLICA_USES ? 0 : 1);
        if (i == BTH_REPLICA_USES - 1) {
            CHECK_INT(work(BTH_OP_LOAD, 40), 1);
        }
    }
    return lease;
}

static void test_demand(void) {
    uint64_t uses[MANY];
    begin(100, 90, 1);
    const uint64_t lease = load(0, 40);
    for (int i = 0; i < BTH_REPLICA_USES; i++) {
        CHECK_INT(next_op(), BTH_OP_NONE);
        CHECK_INT(use(lease, &uses[i]), 0);
    }
    CHECK_INT(next_op(), BTH_OP_LOAD);
    CHECK_INT(use(lease, &uses[4]), 0); /* it is not there yet */
    CHECK_INT(work(BTH_OP_LOAD, 40), 1);
    CHECK(!find(BTH_ACT_GRANT));
    for (int i = 5; i < 10; i++) {
        CHECK_INT(use(lease, &uses[i]), 1); /* fewest */
    }
    CHECK_INT(use(lease, &uses[10]), 0); /* of equals the lowest */
    CHECK_INT(next_op(), BTH_OP_NONE);   /* one on each device */
    CHECK_INT(s.models[0].serial, 1);
    for (int i = 0; i < 11; i++) {
        end_use(uses[i]);
    }
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
    step((struct bth_event){.kind = BTH_EV_UNLOAD, .scope = 0}); /* closes all of it */
    work(BTH_OP_FREE, 0);
    work(BTH_OP_FREE, 0);
    CHECK(bth_state_empty(&s));
    end();
}

/* Not where it may not be, has no room, is of another kind, or somebody waits for bytes. */
static void test_not_now(void) {
    for (int why = 0; why < 5; why++) {
        uint64_t id;
        begin(100, why == 1 ? 30 : 90, 2);
        const uint64_t lease = load(0, 40);
        s.models[0].most = why == 0;
        s.devices[1].kind = why == 2;
        if (why == 3) {
            acquire(1);
            work(BTH_OP_ESTIMATE, 95); /* waits for what is leased */
        } else if (why == 4) {
            step((struct bth_event){.kind = BTH_EV_DEVICE_LOST, .device = 1});
        }
        for (int i = 0; i < MANY; i++) {
            CHECK_INT(use(lease, &id), 0);
        }
        CHECK_INT(next_op(), BTH_OP_NONE);
        end();
    }
}

/* A replica that cannot be loaded harms nobody, and is not tried again at once. */
static void test_failed(void) {
    const struct berth_error error = {.code = BERTH_EIO};
    uint64_t id;
    begin(100, 90, 1);
    const uint64_t lease = load(0, 40);
    for (int i = 0; i < BTH_REPLICA_USES; i++) {
        use(lease, &id);
    }
    const struct bth_op op = bth_state_next_op(&s);
    step((struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
    step((struct bth_event){.kind = BTH_EV_LOAD_DONE, .op = op.id, .error = &error});
    CHECK_INT(s.models[0].failures, 0);
    CHECK_INT(use(lease, &id), 0);
    CHECK_INT(next_op(), BTH_OP_NONE);
    now += BTH_REPLICA_PAUSE_NS;
    CHECK_INT(use(lease, &id), 0);
    CHECK_INT(next_op(), BTH_OP_LOAD);
    end();
}

/* Somebody needs bytes: an instance that the others can do without goes, leased and pinned or not;
 * a busy one ends what it has, and gets no more. */
static void test_leaves_first(void) {
    uint64_t uses[MANY], more;
    begin(100, 60, 2);
    const uint64_t lease = replicated(uses, 6);
    bth_state_keep(&s, 0, BTH_FOREVER, true);
    acquire(1);
    work(BTH_OP_ESTIMATE, 80);
    CHECK_INT(next_op(), BTH_OP_NONE); /* uses 0 to 3 are on it */
    CHECK_INT(use(lease, &more), 1);
    for (int i = 0; i < BTH_REPLICA_USES; i++) {
        CHECK_INT(next_op(), BTH_OP_NONE);
        end_use(uses[i]);
    }
    work(BTH_OP_FREE, 0);
    CHECK_INT(work(BTH_OP_LOAD, 80), 0);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

/* The first instance itself may be the one that goes: another takes its place, with the leases. */
static void test_first_goes(void) {
    uint64_t uses[MANY], id;
    begin(120, 60, 2);
    const uint64_t lease = replicated(uses, 5);
    for (int i = 0; i < 4; i++) {
        end_use(uses[i]);
    }
    acquire(1);
    work(BTH_OP_ESTIMATE, 110);
    work(BTH_OP_FREE, 0);
    CHECK_INT(work(BTH_OP_LOAD, 110), 0);
    CHECK(find(BTH_ACT_GRANT));
    CHECK_INT(use(lease, &id), 1);
    struct bth_plan p;
    bth_state_plan(&s, 0, &p);
    CHECK(p.kind == BTH_PLAN_READY && p.device == 1);
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
    end_use(id);
    end_use(uses[4]);
    step((struct bth_event){.kind = BTH_EV_UNLOAD, .scope = 0});
    CHECK_INT(work(BTH_OP_FREE, 0), 1);
    end();
}

/* One of several goes when it has had nothing to do for a minute, under a lease too. */
static void test_rests(void) {
    uint64_t uses[MANY], id;
    begin(100, 90, 1);
    const uint64_t lease = replicated(uses, 6);
    for (int i = 0; i < 6; i++) {
        end_use(uses[i]);
    }
    now += BTH_REPLICA_REST_NS - 1;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(next_op(), BTH_OP_NONE);
    now += 1;
    step((struct bth_event){.kind = BTH_EV_TICK});
    work(BTH_OP_FREE, 0);
    now += 2 * BTH_REPLICA_REST_NS;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK_INT(next_op(), BTH_OP_NONE); /* the last stays */
    use(lease, &id);
    end();
}

/* A plan says that only one of several would go. */
static void test_plan(void) {
    uint64_t uses[MANY];
    begin(100, 60, 2);
    replicated(uses, 5);
    end_use(uses[4]);
    step((struct bth_event){.kind = BTH_EV_ESTIMATE, .scope = 1});
    work(BTH_OP_ESTIMATE, 60);
    struct bth_plan p;
    bth_state_plan(&s, 1, &p);
    CHECK_INT(p.kind, BTH_PLAN_EVICTS);
    CHECK(p.n_victims == 1 && p.victims[0] == 0 && p.spare[0] && p.device == 1);
    end();
}

/* ---- lost devices ---------------------------------------------------------------------------*/

static void lose(uint32_t device) {
    step((struct bth_event){.kind = BTH_EV_DEVICE_LOST, .device = device});
}

/* The other instance goes on, for the same lease; what ran on the lost one is over. */
static void test_one_of_two_lost(void) {
    uint64_t uses[MANY], id;
    begin(100, 90, 1);
    const uint64_t lease = replicated(uses, 6);
    lose(0);
    CHECK_INT(find(BTH_ACT_LOST)->bytes, 44);
    CHECK(find(BTH_ACT_LOST)->handle == &s);
    CHECK_INT(s.models[0].running, 2);
    CHECK_INT(s.models[0].failed, 4);
    CHECK_INT(s.devices[0].residual, 44);
    lose(0);
    CHECK_INT(out.n, 0);
    end_use(uses[0]);
    CHECK_INT(out.n, 0);
    CHECK_INT(use(lease, &id), 1);
    acquire(0);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

/* A lease whose only instance is lost runs nothing; a new one gets the model elsewhere. */
static void test_only_one_lost(void) {
    uint64_t id;
    begin(100, 90, 1);
    const uint64_t lease = load(0, 40);
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease});
    id = id_of(BTH_ACT_USE_OPENED);
    lose(0);
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = id, .bytes = 1, .arg = &id});
    CHECK(find(BTH_ACT_USE_REFUSED)->reason == BTH_REASON_DEVICE);
    CHECK(find(BTH_ACT_USE_REFUSED)->arg == &id);
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease});
    CHECK_INT(find(BTH_ACT_USE_REFUSED)->code, BERTH_EDEVICE);
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
    acquire(0);
    work(BTH_OP_ESTIMATE, 40);
    CHECK_INT(work(BTH_OP_LOAD, 40), 1);
    CHECK(find(BTH_ACT_GRANT));
    lose(1);
    acquire(0); /* and when none is left */
    work(BTH_OP_ESTIMATE, 40);
    CHECK_INT(find(BTH_ACT_REFUSE)->reason, BTH_REASON_DEVICE);
    CHECK(bth_state_empty(&s));
    end();
}

/* Whoever waits for a load on it is served elsewhere; its end changes nothing. */
static void test_lost_while_loading(void) {
    begin(100, 90, 1);
    acquire(0);
    work(BTH_OP_ESTIMATE, 40);
    const struct bth_op op = bth_state_next_op(&s);
    step((struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
    lose(0);
    CHECK(!find(BTH_ACT_LOST)->handle);
    work(BTH_OP_ESTIMATE, 40);
    step((struct bth_event){.kind = BTH_EV_LOAD_DONE, .op = op.id, .bytes = 40, .handle = &s});
    CHECK_INT(out.n, 0);
    CHECK_INT(work(BTH_OP_LOAD, 40), 1);
    CHECK(find(BTH_ACT_GRANT));
    end();
}

/* A use that waits for bytes is told. */
static void test_lost_while_waiting(void) {
    uint64_t uses[2];
    begin(100, 90, 1);
    const uint64_t lease = load(0, 40);
    for (int i = 0; i < 2; i++) {
        step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease});
        uses[i] = id_of(BTH_ACT_USE_OPENED);
        step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = uses[i], .bytes = 50});
    }
    lose(0);
    CHECK_INT(find(BTH_ACT_USE_REFUSED)->id, uses[1]);
    CHECK_INT(s.waiting.first, 0);
    end();
}

int main(void) {
    test_demand();
    test_not_now();
    test_failed();
    test_leaves_first();
    test_first_goes();
    test_rests();
    test_plan();
    test_one_of_two_lost();
    test_only_one_lost();
    test_lost_while_loading();
    test_lost_while_waiting();
    return 0;
}

/* Who gets a lease beside whom, one rule at a time. The simulator has the rest. */
#include "lib/steps.h"

/* Models 0 and 1 are of family 0, model 2 is of family 1; 0 and 2 are loaded. */
enum { A, B, C, FAMILY = BTH_FAMILY | 0 };

static int count(enum bth_action_kind kind) {
    int n = 0;
    for (size_t i = 0; i < out.n; i++) {
        n += out.items[i].kind == kind;
    }
    return n;
}

/* The id of what was answered: a lease or a ticket; 0: refused. */
static uint64_t answer(void) {
    const struct bth_action *a = find(BTH_ACT_GRANT);
    a = a ? a : find(BTH_ACT_QUEUED);
    return a ? a->id : 0;
}
static bool granted(void) {
    return find(BTH_ACT_GRANT) != NULL;
}
static bool queued(void) {
    return find(BTH_ACT_QUEUED) != NULL;
}
static int refused(void) {
    const struct bth_action *a = find(BTH_ACT_REFUSE);
    return a ? a->code : 0;
}

static uint64_t shared(uint32_t scope, uint64_t owner) {
    step((struct bth_event){
        .kind = BTH_EV_ACQUIRE, .scope = scope, .owner = owner, .expires = BTH_FOREVER});
    return answer();
}
static uint64_t exclusive(uint32_t scope, uint64_t owner) {
    step((struct bth_event){.kind = BTH_EV_ACQUIRE,
                            .scope = scope,
                            .exclusive = true,
                            .owner = owner,
                            .expires = BTH_FOREVER});
    return answer();
}
static void release(uint64_t lease) {
    step((struct bth_event){.kind = BTH_EV_RELEASE, .id = lease});
}

/* Does all that the loaders have to do. */
static void work_all(void) {
    for (enum bth_op_kind kind; (kind = bth_state_next_op(&s).kind) != BTH_OP_NONE;) {
        work(kind, 10);
    }
}

static uint64_t load(uint32_t model) {
    shared(model, 0);
    work_all();
    CHECK(granted());
    return answer();
}

static void begin_loaded(void) {
    const uint64_t budget = 100;
    bth_state_init(&s, &budget, 1);
    for (uint32_t i = 0, index; i < 3; i++) {
        CHECK_INT(bth_state_add_model(&s, NULL, i == C, &index), 0);
    }
    now = BTH_NS_PER_S;
    release(load(A));
    release(load(C));
}

static void test_beside(void) {
    begin_loaded();
    uint64_t first = shared(A, 1), second = shared(A, 2);
    CHECK(granted());
    uint64_t x = exclusive(A, 3);
    CHECK(queued());
    shared(A, 4); /* no barging */
    CHECK(queued());
    CHECK(shared(C, 4) && granted()); /* another model is no concern of theirs */
    release(first);
    CHECK_INT(out.n, 0);
    release(second);
    CHECK_INT(count(BTH_ACT_GRANT), 1);
    CHECK_INT(find(BTH_ACT_GRANT)->gen, 0);
    x = answer();
    exclusive(A, 5);
    CHECK(queued());
    release(x); /* the shared one came before the second exclusive */
    CHECK_INT(count(BTH_ACT_GRANT), 1);
    CHECK(find(BTH_ACT_GRANT)->gen != 0);
    end();
}

static void test_family(void) {
    begin_loaded();
    uint64_t a = shared(A, 1), x = exclusive(FAMILY, 2);
    CHECK(queued());
    shared(B, 3); /* waits for the older exclusive of its family: it is not even loaded */
    CHECK(queued());
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_NONE);
    release(a);
    CHECK(granted());
    x = answer();
    CHECK_INT(s.families[0].held, 1);
    exclusive(A, 4);
    CHECK(queued());
    CHECK(shared(B, 2) && queued()); /* from inside: first, but the model must be loaded */
    work_all();
    CHECK_INT(count(BTH_ACT_GRANT), 1); /* that one and not the older stranger */
    uint64_t b = answer();
    CHECK_INT(s.families[0].held, 2);
    release(x);
    CHECK_INT(count(BTH_ACT_GRANT), 2); /* B's other ticket, and A's exclusive */
    release(b);
    CHECK_INT(s.families[0].held, 2);
    end();
}

static void test_owner(void) {
    begin_loaded();
    uint64_t a = shared(A, 1);
    CHECK(exclusive(A, 1) == 0 && refused() == BERTH_EUPGRADE);
    CHECK(exclusive(FAMILY, 1) == 0 && refused() == BERTH_EUPGRADE);
    exclusive(A, 2);
    CHECK(queued());
    uint64_t again = shared(A, 1); /* past the queue */
    CHECK(granted());
    step((struct bth_event){.kind = BTH_EV_UNLOAD, .scope = A});
    uint64_t third = shared(A, 1); /* and while it drains: the same generation */
    CHECK(granted());
    release(a);
    release(again);
    release(third);
    uint64_t x = answer();
    CHECK(granted() && exclusive(A, 2) && granted());
    uint64_t y = answer();
    CHECK(exclusive(FAMILY, 2) == 0 && refused() == BERTH_EUPGRADE); /* more than he has */
    shared(A, 3);
    release(x);
    CHECK_INT(count(BTH_ACT_GRANT), 0);
    release(y);
    work_all();
    CHECK(granted());
    CHECK(exclusive(A, 0) && queued()); /* nobody's: a stranger to all */
    end();
}

static void test_max_concurrent(void) {
    begin_loaded();
    uint64_t a = shared(A, 1);
    struct bth_event one = {.kind = BTH_EV_ACQUIRE,
                            .scope = A,
                            .owner = 2,
                            .max_concurrent = 1,
                            .expires = BTH_FOREVER};
    step(one);
    CHECK(queued());
    shared(A, 3); /* no barging here either */
    CHECK(queued());
    one.owner = 1;
    step(one);
    CHECK(granted()); /* inside */
    release(answer());
    CHECK_INT(out.n, 0);
    release(a);
    CHECK_INT(count(BTH_ACT_GRANT), 2);
    CHECK(!bth_state_is_available(&s, A, 9, 2) && bth_state_is_available(&s, A, 9, 3));
    CHECK(bth_state_is_available(&s, A, 2, 2) && bth_state_is_available(&s, FAMILY, 9, 3));
    exclusive(A, 9);
    CHECK(!bth_state_is_available(&s, A, 2, 9) && bth_state_is_available(&s, A, 9, 3));
    end();
}

/* Whoever goes away lets those behind him pass. */
static void test_going_away(void) {
    begin_loaded();
    uint64_t a = shared(A, 1), x = exclusive(A, 2);
    shared(A, 3);
    step((struct bth_event){.kind = BTH_EV_CANCEL, .id = x});
    CHECK(count(BTH_ACT_GRANT) == 1 && refused() == BERTH_ECANCELLED);
    step((struct bth_event){
        .kind = BTH_EV_ACQUIRE, .scope = FAMILY, .exclusive = true, .expires = now + 5});
    x = answer();
    shared(B, 4);
    CHECK(queued());
    now += 5;
    step((struct bth_event){.kind = BTH_EV_TICK, .id = x});
    CHECK_INT(refused(), BERTH_ETIMEDOUT);
    CHECK_INT(find(BTH_ACT_REFUSE)->why, BTH_WHY_LEASE);
    work_all(); /* B's turn */
    CHECK(granted());
    step((struct bth_event){.kind = BTH_EV_ACQUIRE, .scope = A, .exclusive = true, .expires = now});
    CHECK_INT(refused(), BERTH_ETIMEDOUT); /* does not wait */
    release(a);
    end();
}

/* An exclusive waits for requests too, not for leases only. */
static void test_uses(void) {
    begin_loaded();
    uint64_t a = shared(A, 1);
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = a});
    uint64_t use = find(BTH_ACT_USE_OPENED)->id;
    exclusive(FAMILY, 2);
    release(a);
    CHECK_INT(out.n, 0);
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = use});
    CHECK(granted());
    end();
}

static void test_cleanup(void) {
    begin_loaded();
    uint64_t own = shared(A, 1), other = shared(C, 2), x = exclusive(B, 3);
    CHECK(granted());
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = other});
    uint64_t use = find(BTH_ACT_USE_OPENED)->id;
    step((struct bth_event){.kind = BTH_EV_USE_BEGIN, .id = use, .bytes = 1});
    uint64_t seq = s.last_seq;
    step((struct bth_event){.kind = BTH_EV_CLEANUP, .owner = 1, .expires = now + 5});
    CHECK_INT(count(BTH_ACT_REVOKED), 1);
    CHECK_INT(find(BTH_ACT_REVOKED)->id, own);
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = own});
    CHECK_INT(find(BTH_ACT_USE_REFUSED)->code, BERTH_EREVOKED);
    shared(C, 4); /* gets the next generation, while the old one drains */
    work_all();
    CHECK(granted());
    uint64_t newcomer = answer();
    CHECK_INT(bth_state_next_deadline(&s), now + 5);
    now += 5;
    step((struct bth_event){.kind = BTH_EV_TICK});
    CHECK(count(BTH_ACT_REVOKED) == 2 && count(BTH_ACT_USE_CANCEL) == 1);
    CHECK(bth_state_outlives(&s, seq)); /* not freed under the request */
    step((struct bth_event){.kind = BTH_EV_USE_END, .id = use});
    work_all();
    CHECK(!bth_state_outlives(&s, seq));
    CHECK_INT(bth_state_next_deadline(&s), BTH_FOREVER);
    step((struct bth_event){.kind = BTH_EV_USE_OPEN, .id = newcomer});
    CHECK(find(BTH_ACT_USE_OPENED));
    release(own);
    release(other);
    release(x);
    CHECK_INT(s.families[0].held, 0);
    end();
}

static uint64_t ask(uint32_t scope, bool is_exclusive, uint64_t owner, int priority) {
    step((struct bth_event){.kind = BTH_EV_ACQUIRE,
                            .scope = scope,
                            .exclusive = is_exclusive,
                            .owner = owner,
                            .priority = priority,
                            .expires = BTH_FOREVER});
    return answer();
}

/* A key is the time of asking, 10 s earlier for each priority. */
static void test_priorities(void) {
    begin_loaded();
    uint64_t a = exclusive(A, 1), low = ask(A, true, 2, -5), usual = ask(A, true, 3, 0);
    now += 19 * BTH_NS_PER_S;
    uint64_t high = ask(A, true, 4, 2); /* passes both */
    now += 2 * BTH_NS_PER_S;
    uint64_t late = ask(A, true, 5, 2); /* does not pass the usual one, who is 21 s older */
    release(a);
    CHECK_INT(s.families[0].held, 1);
    CHECK_INT(find(BTH_ACT_GRANT)->id, s.models[A].scope.leases.first);
    CHECK(bth_table_get(&s.tickets, high) == NULL);
    release(answer());
    CHECK(bth_table_get(&s.tickets, usual) == NULL && bth_table_get(&s.tickets, late) != NULL);
    release(answer());
    CHECK(bth_table_get(&s.tickets, late) == NULL && bth_table_get(&s.tickets, low) != NULL);
    release(answer());
    CHECK(granted());
    end();
}

/* The oldest rule of all: A holds 1 and wants 2, B the reverse. */
static void test_ring(void) {
    begin_loaded();
    exclusive(A, 1);
    uint64_t b = exclusive(C, 2);
    uint64_t waits = exclusive(C, 1);
    CHECK(queued());
    CHECK(exclusive(A, 2) == 0 && refused() == BERTH_EDEADLOCK);
    CHECK_INT(out.n, 1);
    CHECK_INT(s.n_ring, 1);
    CHECK(s.ring[0] == waits);
    step((struct bth_event){
        .kind = BTH_EV_ACQUIRE, .scope = A, .exclusive = true, .owner = 2, .expires = now});
    CHECK_INT(refused(), BERTH_ETIMEDOUT); /* does not wait */
    CHECK(exclusive(A, 3) && queued());    /* has nothing that anybody waits for */
    CHECK(exclusive(A, 0) && queued());
    release(b);
    CHECK(granted());
    end();
}

/* Through a stranger who waits for all of a family, and a limit that others fill. */
static void test_long_ring(void) {
    begin_loaded();
    release(load(B));
    uint64_t a = shared(A, 1);
    exclusive(FAMILY, 0);
    CHECK(shared(B, 1) == 0 && refused() == BERTH_EDEADLOCK);
    release(a);
    CHECK(granted());
    release(answer());

    a = shared(A, 1);
    uint64_t other = shared(A, 0);
    exclusive(C, 2);
    struct bth_event two = {.kind = BTH_EV_ACQUIRE,
                            .scope = A,
                            .owner = 2,
                            .max_concurrent = 2,
                            .expires = BTH_FOREVER};
    step(two);
    CHECK(queued());
    CHECK(shared(C, 1) && queued());  /* the stranger's may end, which is enough */
    CHECK(shared(A, 1) && granted()); /* from inside, though he has no hand free: time-outs */
    release(answer());
    release(other);
    CHECK(granted());
    end();
}

/* He who waits for two things at once is never told that he is stuck. */
static void test_hands(void) {
    begin_loaded();
    exclusive(A, 1);
    uint64_t c = exclusive(C, 2);
    CHECK(shared(C, 1) && queued() && exclusive(C, 1) && queued());
    CHECK(exclusive(A, 2) && queued());
    release(c);
    CHECK_INT(count(BTH_ACT_GRANT), 1);
    end();
}

/* A stranger with a high priority does not come between two who would wait for each other then. */
static void test_no_passing(void) {
    begin_loaded();
    uint64_t a = shared(A, 1), b = exclusive(B, 2);
    uint64_t first = shared(B, 1);
    CHECK(queued());
    uint64_t all = ask(FAMILY, true, 3, 4);
    CHECK(queued());
    CHECK(s.tickets.used == 2 && bth_table_get(&s.tickets, all));
    release(b);
    work_all();
    CHECK(granted() && bth_table_get(&s.tickets, first) == NULL);
    release(answer());
    release(a);
    CHECK(granted());
    end();
}

static void test_disable(void) {
    begin_loaded();
    uint64_t a = shared(A, 1);
    exclusive(A, 2);
    step((struct bth_event){.kind = BTH_EV_DISABLE, .scope = A});
    CHECK_INT(refused(), BERTH_EDISABLED); /* who waited */
    CHECK(shared(A, 3) == 0 && refused() == BERTH_EDISABLED);
    CHECK(exclusive(A, 3) == 0 && refused() == BERTH_EDISABLED);
    uint64_t again = shared(A, 1);
    CHECK(granted());
    uint64_t all = exclusive(FAMILY, 3);
    release(a);
    release(again);
    CHECK(granted() && all);
    CHECK(shared(A, 3) == 0 && refused() == BERTH_EDISABLED); /* inside, but it is not loaded */
    CHECK_INT(bth_state_next_op(&s).kind, BTH_OP_FREE);
    work_all();
    struct bth_plan plan;
    bth_state_plan(&s, A, &plan);
    CHECK_INT(plan.kind, BTH_PLAN_DISABLED);
    step((struct bth_event){.kind = BTH_EV_ENABLE, .scope = A});
    CHECK(shared(A, 3) && queued());
    step((struct bth_event){.kind = BTH_EV_DISABLE, .scope = A, .removed = true});
    CHECK_INT(refused(), BERTH_ENOTFOUND);
    work_all();
    CHECK(shared(A, 3) == 0 && refused() == BERTH_ENOTFOUND);
    end();
}

int main(void) {
    test_beside();
    test_family();
    test_owner();
    test_max_concurrent();
    test_going_away();
    test_uses();
    test_cleanup();
    test_priorities();
    test_ring();
    test_long_ring();
    test_hands();
    test_no_passing();
    test_disable();
    return 0;
}

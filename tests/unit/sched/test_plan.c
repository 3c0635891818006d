/* The planner and the accounts of fair share: pure functions, so plain arrays and made-up times. */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/test.h"
#include "sched/plan.h"
#include "sched/share.h"

#define MS BTH_NS_PER_MS

enum { ENCODE, STEP };
static const char model_a, model_b;

/* A default entry, n-th of its kind. */
static struct bth_plan_entry entry(const void *model, int stage, uint64_t seq, int64_t since) {
    return (struct bth_plan_entry){.model = model,
                                   .stage = stage,
                                   .rows = 1,
                                   .max_rows = 4,
                                   .priority = 5,
                                   .since = since,
                                   .deadline = BTH_FOREVER,
                                   .cost = 5 * MS,
                                   .seq = seq};
}

static void nobody_waits(void) {
    CHECK_INT(bth_plan(NULL, 0, 0), 0);
}

static void the_longest_waiting_leads(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 30 * MS),
                                 entry(&model_b, STEP, 1, 10 * MS),
                                 entry(&model_a, ENCODE, 2, 20 * MS)};
    CHECK_INT(bth_plan(e, 3, 40 * MS), 1);
    CHECK_INT(e[0].seq, 1);
}

static void the_older_submission_breaks_ties(void) {
    struct bth_plan_entry e[] = {entry(&model_b, STEP, 7, 0), entry(&model_a, STEP, 3, 0)};
    CHECK_INT(bth_plan(e, 2, MS), 1);
    CHECK_INT(e[0].seq, 3);
}

static void only_equals_share(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 0), entry(&model_a, STEP, 1, 1),
                                 entry(&model_a, STEP, 2, 2), entry(&model_b, STEP, 3, 3),
                                 entry(&model_a, ENCODE, 4, 4)};
    e[1].key = 9;
    CHECK_INT(bth_plan(e, 5, 200 * MS), 2);
    CHECK_INT(e[0].seq, 0);
    CHECK_INT(e[1].seq, 2);
}

static void rows_are_bounded(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 0), entry(&model_a, STEP, 1, 1),
                                 entry(&model_a, STEP, 2, 2), entry(&model_a, STEP, 3, 3)};
    e[0].rows = 2;
    e[1].rows = 3; /* does not fit beside the first */
    e[2].rows = 1;
    e[3].rows = 1;
    CHECK_INT(bth_plan(e, 4, MS), 3);
    CHECK_INT(e[0].seq, 0);
    CHECK_INT(e[1].seq, 2);
    CHECK_INT(e[2].seq, 3);
    struct bth_plan_entry big = entry(&model_a, STEP, 0, 0);
    big.rows = 9; /* more than a turn has: its own affair, alone */
    CHECK_INT(bth_plan(&big, 1, MS), 1);
}

static void priority_is_a_bounded_head_start(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 0), entry(&model_b, STEP, 1, 150 * MS)};
    e[1].priority = 7;
    bth_plan(e, 2, 160 * MS);
    CHECK_INT(e[0].seq, 1);
    struct bth_plan_entry f[] = {entry(&model_a, STEP, 0, 0), entry(&model_b, STEP, 1, 250 * MS)};
    f[1].priority = 7;
    bth_plan(f, 2, 260 * MS);
    CHECK_INT(f[0].seq, 0);
}

static void a_deadline_comes_first(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 100 * MS),
                                 entry(&model_b, STEP, 1, 101 * MS)};
    e[1].deadline = 104 * MS; /* minus 5 ms: due at 99 */
    bth_plan(e, 2, 102 * MS);
    CHECK_INT(e[0].seq, 1);
}

static void the_caller_who_had_least_leads(void) {
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 0), entry(&model_b, STEP, 1, 50 * MS)};
    e[0].used = 2;
    e[1].used = 1;
    bth_plan(e, 2, 60 * MS);
    CHECK_INT(e[0].seq, 1);
}

static void a_step_waits_a_little_for_company(void) {
    for (int filled = 0; filled < 2; filled++) {
        struct bth_plan_entry e[] = {
            entry(&model_a, STEP, 0, 0), entry(&model_a, ENCODE, 1, 50 * MS),
            entry(&model_a, STEP, 2, 60 * MS), entry(&model_a, STEP, 3, 60 * MS),
            entry(&model_a, STEP, 4, 60 * MS)};
        if (filled) { /* a full turn waits for nobody */
            CHECK_INT(bth_plan(e, 5, 99 * MS), 4);
            CHECK_INT(e[0].seq, 0);
        } else {
            CHECK_INT(bth_plan(e, 3, 99 * MS), 1);
            CHECK_INT(e[0].seq, 1);
        }
    }
    struct bth_plan_entry e[] = {entry(&model_a, STEP, 0, 0), entry(&model_a, ENCODE, 1, 50 * MS),
                                 entry(&model_a, STEP, 2, 60 * MS)};
    CHECK_INT(bth_plan(e, 3, 100 * MS), 2); /* long enough; the younger rides */
    CHECK_INT(e[0].seq, 0);
    /* another model's encoder is no company */
    struct bth_plan_entry f[] = {entry(&model_a, STEP, 0, 0), entry(&model_b, ENCODE, 1, 1)};
    bth_plan(f, 2, 2);
    CHECK_INT(f[0].seq, 0);
}

/* The decision must not depend on where entries stand. */
static void order_in_is_no_matter(void) {
    unsigned long long rng = 42;
    for (int round = 0; round < 2000; round++) {
        struct bth_plan_entry e[12], f[12];
        size_t n = 1 + test_rand(&rng) % 12;
        for (size_t i = 0; i < n; i++) {
            e[i] = entry(test_rand(&rng) % 2 ? &model_a : &model_b, (int)(test_rand(&rng) % 3), i,
                         (int64_t)(test_rand(&rng) % 20) * 10 * MS);
            e[i].key = test_rand(&rng) % 2;
            e[i].rows = 1 + (uint32_t)(test_rand(&rng) % 4);
            e[i].used = (int64_t)(test_rand(&rng) % 3);
            e[i].priority = (int)(test_rand(&rng) % 10);
        }
        memcpy(f, e, sizeof(f));
        for (size_t i = n; i > 1; i--) {
            size_t j = test_rand(&rng) % i;
            struct bth_plan_entry t = f[i - 1];
            f[i - 1] = f[j];
            f[j] = t;
        }
        size_t chosen = bth_plan(e, n, 200 * MS);
        CHECK(chosen >= 1 && chosen <= n);
        CHECK_INT(bth_plan(f, n, 200 * MS), chosen);
        uint32_t rows = 0;
        for (size_t i = 0; i < chosen; i++) {
            CHECK_INT(e[i].seq, f[i].seq);
            CHECK(e[i].model == e[0].model && e[i].stage == e[0].stage && e[i].key == e[0].key);
            rows += e[i].rows;
        }
        CHECK(rows <= 4);
    }
}

/* ---- shares ---------------------------------------------------------------------------------*/

/* One turn for the account that had least; ties go to the first. */
static size_t turn(struct bth_share *s, struct bth_account **waiting, size_t n, int64_t cost) {
    size_t best = 0;
    bth_share_begin(s);
    for (size_t i = 0; i < n; i++) {
        bth_share_waits(s, waiting[i]);
    }
    for (size_t i = 1; i < n; i++) {
        best = waiting[i]->used < waiting[best]->used ? i : best;
    }
    bth_share_leads(s, waiting[best]);
    bth_share_charge(waiting[best], cost, 5);
    return best;
}

static void shares_are_equal_whatever_turns_cost(void) {
    struct bth_share s;
    bth_share_init(&s);
    struct bth_account *w[2] = {bth_share_join(&s, "a"), bth_share_join(&s, "b")};
    CHECK(bth_share_join(&s, "a") == w[0]);
    int64_t had[2] = {0};
    for (int i = 0; i < 1000; i++) {
        size_t who = turn(&s, w, 2, 5 * MS);
        had[who] += 5 * MS;
        if (who == 1) { /* b's turns are four times as long */
            bth_share_charge(w[1], 15 * MS, 5);
            had[1] += 15 * MS;
        }
        CHECK(llabs(had[0] - had[1]) <= 25 * MS);
    }
    bth_share_finish(&s);
}

static void idle_time_saves_up_nothing(void) {
    struct bth_share s;
    bth_share_init(&s);
    struct bth_account *w[2] = {bth_share_join(&s, "a"), bth_share_join(&s, "b")};
    for (int i = 0; i < 100; i++) {
        turn(&s, w, 1, 5 * MS); /* b has a job, but nothing waits */
    }
    int b_in_a_row = 0;
    while (turn(&s, w, 2, 5 * MS) == 1) {
        b_in_a_row++;
    }
    CHECK(b_in_a_row <= 1);
    bth_share_finish(&s);
}

static void nobody_runs_from_his_account(void) {
    struct bth_share s;
    bth_share_init(&s);
    struct bth_account *w[2] = {bth_share_join(&s, "a"), bth_share_join(&s, "b")};
    turn(&s, w, 2, 100 * MS); /* a had 100 ms */
    CHECK_INT(turn(&s, w, 2, 5 * MS), 1);
    bth_share_leave(&s, w[0]);
    w[0] = bth_share_join(&s, "a");
    for (int i = 0; i < 19; i++) {
        CHECK_INT(turn(&s, w, 2, 5 * MS), 1);
    }
    CHECK_INT(turn(&s, w, 2, 5 * MS), 0);
    /* when all have gone, so have the accounts */
    bth_share_leave(&s, w[0]);
    bth_share_leave(&s, w[1]);
    CHECK(!bth_list_linked(&s.accounts));
    bth_share_finish(&s);
}

static void priority_doubles_a_share(void) {
    struct bth_share s;
    bth_share_init(&s);
    struct bth_account *a = bth_share_join(&s, "a"), *b = bth_share_join(&s, "b");
    bth_share_charge(a, 8 * MS, 5);
    bth_share_charge(b, 8 * MS, 7);
    CHECK_INT(a->used, 8 * MS);
    CHECK_INT(b->used, 2 * MS);
    bth_share_charge(b, MS, 0);
    CHECK_INT(b->used, 34 * MS);
    bth_share_finish(&s);
}

static void failing_memory(void) {
    struct bth_share s;
    bth_share_init(&s);
    bth_alloc_fail_at(1);
    CHECK(!bth_share_join(&s, "a"));
    CHECK(bth_alloc_failed());
    CHECK_INT(s.n_jobs, 0);
    bth_alloc_fail_at(0);
    bth_share_finish(&s);
}

int main(void) {
    int64_t live = bth_alloc_live();
    nobody_waits();
    the_longest_waiting_leads();
    the_older_submission_breaks_ties();
    only_equals_share();
    rows_are_bounded();
    priority_is_a_bounded_head_start();
    a_deadline_comes_first();
    the_caller_who_had_least_leads();
    a_step_waits_a_little_for_company();
    order_in_is_no_matter();
    shares_are_equal_whatever_turns_cost();
    idle_time_saves_up_nothing();
    nobody_runs_from_his_account();
    priority_doubles_a_share();
    failing_memory();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

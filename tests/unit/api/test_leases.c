/* Leases through berth.h with real threads and the toy engine: exclusives, owners, clean-up. */
#include "base/alloc.h"
#include "lib/toys.h"
#include <berth/berth.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/berth-test-XXXXXX";
static char paths[2][64];

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct berth *open_both(void) {
    const struct berth_model_spec specs[] = {{.name = "toy/a", .path = paths[0]},
                                             {.name = "toy/b", .path = paths[1]}};
    return test_open_models(specs, 2);
}

static int try_lease(struct berth *b, const char *what, enum berth_mode mode, uint64_t owner,
                     int64_t wait_ms, struct berth_lease **out, struct berth_error *err) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.mode = mode;
    o.owner = owner;
    o.wait_ms = wait_ms;
    o.tag = "tagged";
    return berth_acquire(b, what, &o, out, err);
}

static struct berth_lease *lease_on(struct berth *b, const char *what, enum berth_mode mode,
                                    uint64_t owner) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(try_lease(b, what, mode, owner, 10000, &lease, &err), err);
    return lease;
}

static uint64_t held(struct berth *b, bool *ready) {
    struct berth_usage usage = BERTH_USAGE_INIT;
    CHECK_INT(berth_usage(b, &usage), 0);
    for (uint32_t i = 0; i < usage.n_families; i++) {
        if (strcmp(usage.families[i].family, "toy") == 0) {
            if (ready) {
                *ready = usage.families[i].ready;
            }
            return usage.families[i].leases;
        }
    }
    TEST_FAIL("no family toy");
}

static struct berth_job *submit(struct berth_lease *lease, const char *turn_us) {
    const struct berth_option options[] = {{"turns", "2000"}, {"turn_us", turn_us}};
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "x", .size = 1};
    r.options = options;
    r.n_options = 2;
    struct berth_job *job;
    struct berth_error err;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    return job;
}

static void test_rules(void) {
    struct berth *b = open_both();
    struct berth_error err;
    struct berth_lease *none = NULL;
    bool ready = true;
    uint64_t me = berth_owner_new(b), you = berth_owner_new(b);
    CHECK(me && you && me != you);
    struct berth_lease *x = lease_on(b, "toy", BERTH_EXCLUSIVE, me);
    CHECK_STR(berth_lease_model(x), "toy");
    CHECK(held(b, &ready) == 1 && !ready); /* it loads nothing */
    CHECK_INT(try_lease(b, "toy/a", BERTH_SHARED, you, 20, &none, &err), BERTH_ETIMEDOUT);
    CHECK(strstr(err.message, "tagged") && strstr(err.message, "exclusive"));
    CHECK_INT(try_lease(b, "toy/a", BERTH_SHARED, 0, 0, &none, &err), BERTH_ETIMEDOUT);
    struct berth_lease *a = lease_on(b, "toy/a", BERTH_SHARED, me);
    CHECK(held(b, &ready) == 2 && ready);
    struct berth_job *job = NULL;
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "x", .size = 1};
    CHECK_INT(berth_submit(x, &r, &job, &err), BERTH_ESTATE);
    struct berth_item *item;
    CHECK_OK(berth_run(a, &r, &item, &err), err);
    berth_item_free(item);
    CHECK_INT(berth_wait_available(b, "toy/b", you, 1, 20, &err), BERTH_ETIMEDOUT);
    CHECK_OK(berth_wait_available(b, "toy/b", me, 1, 0, &err), err);
    berth_release(x);
    CHECK_OK(berth_wait_available(b, "toy", you, 2, 0, &err), err);
    CHECK_INT(berth_wait_available(b, "toy", you, 1, 0, &err), BERTH_ETIMEDOUT);
    CHECK_INT(try_lease(b, "toy", BERTH_EXCLUSIVE, me, -1, &none, &err), BERTH_EUPGRADE);
    CHECK(strstr(err.message, "release"));
    CHECK_INT(try_lease(b, "toy", BERTH_SHARED, me, -1, &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(try_lease(b, "toy/none", BERTH_EXCLUSIVE, me, -1, &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_wait_available(b, "toy/none", me, 1, -1, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_wait_available(b, "toy", me, 0, -1, &err), BERTH_EINVAL);
    CHECK_INT(try_lease(b, "toy", (enum berth_mode)7, me, -1, &none, &err), BERTH_EINVAL);
    CHECK(!none && !job);
    berth_release(a);
    uint64_t before = 0, after = 0;
    CHECK_OK(berth_trim(b, &before, &after, &err), err);
    CHECK(before > 0 && after > 0);
    /* a caller compiled with the options of the first version */
    struct berth_acquire_options old = BERTH_ACQUIRE_INIT;
    old.struct_size = offsetof(struct berth_acquire_options, mode);
    old.mode = (enum berth_mode)99;
    CHECK_OK(berth_acquire(b, "toy/a", &old, &a, &err), err);
    berth_release(a);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

struct waiter {
    struct berth *b;
    pthread_t thread;
    _Atomic int rc; /* 1: waits */
};

static void *wait_available(void *arg) {
    struct waiter *w = arg;
    w->rc = berth_wait_available(w->b, "toy/a", 0, 1, 10000, NULL);
    return NULL;
}

static void *take_shared(void *arg) {
    struct waiter *w = arg;
    struct berth_lease *lease = NULL;
    int rc = try_lease(w->b, "toy/a", BERTH_SHARED, 0, 10000, &lease, NULL);
    berth_release(lease);
    w->rc = rc;
    return NULL;
}

static void start(struct waiter *w, struct berth *b, void *(*fn)(void *)) {
    w->b = b;
    w->rc = 1;
    CHECK_INT(pthread_create(&w->thread, NULL, fn, w), 0);
}

static void test_waiting(void) {
    struct berth *b = open_both();
    struct berth_error err;
    struct waiter w[3];
    struct berth_lease *lease = lease_on(b, "toy/a", BERTH_SHARED, 0);
    start(&w[0], b, wait_available);
    sleep_ms(20);
    CHECK_INT(w[0].rc, 1);
    berth_release(lease);
    pthread_join(w[0].thread, NULL);
    CHECK_INT(w[0].rc, 0);
    lease = lease_on(b, "toy", BERTH_EXCLUSIVE, 0);
    for (int i = 0; i < 3; i++) {
        start(&w[i], b, i == 2 ? wait_available : take_shared);
    }
    sleep_ms(20);
    CHECK(w[0].rc == 1 && w[1].rc == 1 && w[2].rc == 1);
    berth_release(lease);
    for (int i = 0; i < 3; i++) {
        pthread_join(w[i].thread, NULL);
        CHECK_INT(w[i].rc, 0);
    }
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void test_cleanup(void) {
    struct berth *b = open_both();
    struct berth_error err;
    struct berth_cleanup_report report = BERTH_CLEANUP_INIT;
    CHECK_OK(berth_cleanup(b, 0, 0, &report, &err), err); /* nothing to do */
    CHECK(report.models_unloaded == 0 && !report.forced);
    berth_release(lease_on(b, "toy/b", BERTH_SHARED, 0));
    struct berth_lease *mine = lease_on(b, "toy/a", BERTH_SHARED, 77);
    CHECK_OK(berth_cleanup(b, 77, -1, &report, &err), err);
    CHECK(report.models_unloaded == 2 && report.leases_revoked == 1 && !report.forced);
    CHECK(report.bytes_before > 0 && report.bytes_after == 0 && report.leases_waited_for == 0);
    CHECK(berth_lease_revoked(mine));
    struct berth_lease *theirs = lease_on(b, "toy/a", BERTH_SHARED, 78); /* loaded anew */
    struct berth_job *job = submit(theirs, "1000");
    struct waiter w;
    start(&w, b, take_shared);
    CHECK_OK(berth_cleanup(b, 77, 30, &report, &err), err);
    CHECK(report.forced && report.models_unloaded >= 1 && report.leases_waited_for >= 1);
    struct berth_item *item;
    CHECK_INT(berth_job_wait(job, 10000, &item, &err), BERTH_ECANCELLED);
    berth_job_free(job);
    CHECK(berth_lease_revoked(theirs));
    const struct berth_request r = {.struct_size = sizeof(r),
                                    .input = {.kind = BERTH_INPUT_TEXT, .data = "x", .size = 1}};
    CHECK_INT(berth_submit(theirs, &r, &job, &err), BERTH_EREVOKED);
    pthread_join(w.thread, NULL);
    CHECK_INT(w.rc, 0);
    berth_release(theirs);
    berth_release(mine);
    CHECK_INT(held(b, NULL), 0);
    struct berth_lease *fresh = lease_on(b, "toy/a", BERTH_EXCLUSIVE, 0);
    CHECK(!berth_lease_revoked(fresh));
    CHECK_OK(berth_cleanup(b, 0, 0, NULL, &err), err);
    CHECK(berth_lease_revoked(fresh));
    berth_release(fresh);
    CHECK_OK(berth_close(b, 1000, &err), err); /* what clean-ups have revoked is not its fault */
}

/* What must hold whenever threads hold leases. */
static struct {
    struct berth *b;
    _Atomic int shared[2], exclusive[2];
} crowd;

static void one_visit(unsigned long long *rng, uint64_t owner) {
    static const char *const whats[] = {"toy/a", "toy/b", "toy"};
    unsigned long long r = test_rand(rng);
    int what = (int)(r % 7 == 6 ? 2 : r % 2);
    bool x = what == 2 || r / 8 % 4 == 0;
    struct berth_lease *lease = NULL, *again = NULL;
    struct berth_error err;
    int rc = try_lease(crowd.b, whats[what], x ? BERTH_EXCLUSIVE : BERTH_SHARED, owner,
                       (int64_t)(r / 64 % 50), &lease, &err);
    if (rc < 0) {
        CHECK(rc == BERTH_ETIMEDOUT);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (what == i || what == 2) {
            int sharers = crowd.shared[i], others = x ? crowd.exclusive[i]++ : 0;
            CHECK(!x || (sharers == 0 && others == 0));
            CHECK(x || crowd.exclusive[i] == 0);
            crowd.shared[i] += !x;
        }
    }
    if (x && what < 2 &&
        try_lease(crowd.b, whats[what], BERTH_SHARED, owner, 100, &again, &err) < 0) {
        CHECK_INT(err.code, BERTH_ETIMEDOUT);
    }
    for (int i = 0; i < 2; i++) {
        if (what == i || what == 2) {
            atomic_fetch_sub(x ? &crowd.exclusive[i] : &crowd.shared[i], 1);
        }
    }
    berth_release(again);
    berth_release(lease);
}

static void *visit(void *arg) {
    unsigned long long rng = (uintptr_t)arg + 1;
    uint64_t owner = berth_owner_new(crowd.b);
    for (int i = 0; i < 150; i++) {
        one_visit(&rng, owner);
    }
    return NULL;
}

/* Threads take all kinds of leases; no two of them ever meet who must not. */
static void test_crowd(void) {
    enum { N = 8 };
    pthread_t threads[N];
    struct berth_error err;
    crowd.b = open_both();
    for (uintptr_t i = 0; i < N; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, visit, (void *)i), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(held(crowd.b, NULL), 0);
    CHECK_OK(berth_close(crowd.b, 1000, &err), err);
}

static void *visit_and_go(void *arg) {
    unsigned long long rng = (uintptr_t)arg + 9;
    for (int i = 0; i < 60; i++) {
        struct berth_lease *lease = NULL;
        bool x = test_rand(&rng) % 4 == 0;
        int rc = try_lease(crowd.b, x ? "toy" : "toy/a", x ? BERTH_EXCLUSIVE : BERTH_SHARED, 0, 200,
                           &lease, NULL);
        CHECK(rc == 0 || rc == BERTH_ETIMEDOUT);
        if (rc == 0 && !x && test_rand(&rng) % 2) {
            const struct berth_request r = {
                .struct_size = sizeof(r),
                .input = {.kind = BERTH_INPUT_TEXT, .data = "x", .size = 1}};
            struct berth_item *item;
            rc = berth_run(lease, &r, &item, NULL);
            CHECK(rc == 0 || rc == BERTH_ECANCELLED || rc == BERTH_EREVOKED);
            if (rc == 0) {
                berth_item_free(item);
            }
        }
        berth_release(lease);
    }
    return NULL;
}

/* The same while others clean up all the time: nothing is freed under a request. */
static void test_cleaning_crowd(void) {
    enum { N = 6 };
    pthread_t threads[N];
    struct berth_error err;
    crowd.b = open_both();
    for (uintptr_t i = 0; i < N; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, visit_and_go, (void *)i), 0);
    }
    for (int i = 0; i < 20; i++) {
        struct berth_cleanup_report report = BERTH_CLEANUP_INIT;
        CHECK_OK(berth_cleanup(crowd.b, 0, i % 4, &report, &err), err);
        sleep_ms(3);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(held(crowd.b, NULL), 0);
    CHECK_OK(berth_close(crowd.b, 1000, &err), err);
}

static void test_fork(void) {
    struct berth *b = open_both();
    struct berth_error err;
    pid_t child = fork();
    if (child == 0) {
        struct berth_usage usage = BERTH_USAGE_INIT;
        bool good = berth_usage(b, &usage) == BERTH_EFORKED && berth_owner_new(b) == 0 &&
                    berth_cleanup(b, 0, 0, NULL, NULL) == BERTH_EFORKED &&
                    berth_wait_available(b, "toy", 0, 1, 0, NULL) == BERTH_EFORKED &&
                    berth_trim(b, NULL, NULL, NULL) == BERTH_EFORKED;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void test_failing_memory(void) {
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        CHECK(n < 200);
        struct berth *b = open_both();
        struct berth_error err;
        struct berth_lease *x = NULL;
        berth_release(lease_on(b, "toy/a", BERTH_SHARED, 0));
        bth_alloc_fail_at(n);
        int rc = try_lease(b, "toy", BERTH_EXCLUSIVE, 5, 1000, &x, &err);
        int clean = berth_cleanup(b, 5, 0, NULL, &err);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK(rc == 0 || rc == BERTH_ENOMEM);
        CHECK(clean == 0 || clean == BERTH_ENOMEM);
        CHECK(failed || (rc == 0 && clean == 0));
        berth_release(x);
        CHECK_OK(berth_close(b, 1000, &err), err);
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    CHECK(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%c", folder, 'a' + i);
        FILE *f = fopen(paths[i], "w");
        CHECK(f);
        fputs("berth-toy 1\nweights_bytes = 100000\n", f);
        fclose(f);
    }
    test_rules();
    test_waiting();
    test_cleanup();
    test_crowd();
    test_cleaning_crowd();
    test_fork();
    test_failing_memory();
    CHECK_INT(bth_alloc_live(), live);
    for (int i = 0; i < 2; i++) {
        unlink(paths[i]);
    }
    rmdir(folder);
    return 0;
}

/* The manager with real threads, the toy engine and a device that computes nothing. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/reservation.h"
#include "base/sync.h"
#include "core/manager.h"
#include "lib/fake_device.h"
#include "lib/lease.h"
#include "lib/test.h"
#include "toy/toy.h"
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define MB 1000000

/* The toy engine, but for models named hang...: their load ends when the gate opens. */
static struct berth_engine_ops engine;
static _Atomic bool gate_open;
static _Atomic int at_gate;

static const struct berth_engine_ops *const engines[] = {&engine};
static char folder[] = "/tmp/berth-test-XXXXXX";

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static const char *path_of(const char *name) {
    static _Thread_local char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int gated_load(const struct berth_load *load, struct berth_model **out,
                      struct berth_error *err) {
    at_gate += strstr(load->path, "/hang") != NULL;
    while (strstr(load->path, "/hang") && !gate_open) {
        sleep_ms(1);
    }
    return bth_toy_engine.load(load, out, err);
}

static void write_model(const char *name, const char *settings) {
    FILE *f = fopen(path_of(name), "w");
    CHECK(f);
    fprintf(f, "berth-toy 1\n%s", settings);
    fclose(f);
}

struct fixture {
    struct fake_device device;
    struct bth_manager *m;
    _Atomic int revoked;
};

static void on_revoked(void *arg, struct bth_lease *lease) {
    CHECK_STR(bth_lease_name(lease), "toy/a");
    ((struct fixture *)arg)->revoked++;
}

static int try_open(struct fixture *f, uint64_t budget, struct berth_error *err) {
    static const char *const names[] = {"a", "b", "slow", "bad", "huge", "hang1", "hang2"};
    struct berth_model_spec specs[BTH_COUNT(names)];
    char name[BTH_COUNT(names)][32], path[BTH_COUNT(names)][128];
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        snprintf(name[i], sizeof(name[i]), "toy/%s", names[i]);
        snprintf(path[i], sizeof(path[i]), "%s", path_of(names[i]));
        specs[i] = (struct berth_model_spec){
            .name = name[i], .path = path[i], .alias = i == 0 ? "first" : NULL};
    }
    fake_device_init(&f->device, "fake");
    f->revoked = 0;
    struct berth_device *device = &f->device.base;
    const struct bth_manager_config config = {.devices = &device,
                                              .budgets = &budget,
                                              .n_devices = 1,
                                              .engines = engines,
                                              .n_engines = 1,
                                              .models = specs,
                                              .n_models = BTH_COUNT(specs),
                                              .revoked = on_revoked,
                                              .arg = f};
    return bth_manager_create(&config, &f->m, err);
}

static void open_with(struct fixture *f, uint64_t budget) {
    struct berth_error err;
    CHECK_OK(try_open(f, budget, &err), err);
}

static void close_clean(struct fixture *f) {
    struct berth_error err;
    CHECK_OK(bth_manager_drain(f->m, BTH_FOREVER, &err), err);
    struct berth_device_stats d;
    CHECK_INT(bth_manager_devices(f->m, &d, 1), 1);
    CHECK_INT(d.reserved_bytes + d.committed_bytes + d.freeing_bytes, 0);
    bth_manager_destroy(f->m);
    CHECK_INT(f->device.live, 0);
    CHECK_INT(f->device.bytes, 0);
    CHECK_INT(f->device.closed, 1);
}

static int64_t in_ms(int64_t ms) {
    return bth_now() + ms * BTH_NS_PER_MS;
}

static struct bth_lease *acquire(struct fixture *f, const char *name) {
    struct berth_error err;
    struct bth_lease *lease;
    CHECK_OK(test_acquire(f->m, name, "test", in_ms(10000), &lease, &err), err);
    return lease;
}

static struct berth_model_stats stats_of(struct fixture *f, const char *name) {
    struct berth_model_stats all[16];
    size_t n = bth_manager_models(f->m, all, sizeof(*all), BTH_COUNT(all));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return all[i];
        }
    }
    TEST_FAIL("no statistics of %s", name);
}

/* ---- uses, as sched has them ----------------------------------------------------------------*/

struct request {
    struct bth_use use;
    _Atomic int answers, rc;
};

static void on_granted(struct bth_use *use, int rc, const struct berth_error *err) {
    struct request *r = (struct request *)(void *)use;
    CHECK((rc == 0) == (err == NULL));
    r->rc = rc;
    r->answers++;
}

static void request_begin(struct request *r, struct bth_lease *lease, size_t bytes) {
    struct berth_error err;
    *r = (struct request){.use.granted = on_granted};
    CHECK_OK(bth_use_open(lease, &r->use, &err), err);
    CHECK(r->use.model && r->use.model->ops == &bth_toy_engine);
    bth_use_begin(&r->use, bytes);
}

static void wait_answer(struct request *r) {
    while (r->answers == 0) {
        sleep_ms(1);
    }
}

/* ---- tests ----------------------------------------------------------------------------------*/

static void *share(void *arg) {
    struct fixture *f = arg;
    for (int i = 0; i < 40; i++) {
        struct bth_lease *lease = acquire(f, i % 3 ? "toy/a" : "first");
        CHECK_STR(bth_lease_name(lease), "toy/a");
        struct request r;
        request_begin(&r, lease, 1000);
        if (i % 2) {
            bth_lease_release(lease); /* the use keeps the model */
        }
        wait_answer(&r);
        CHECK_INT(r.rc, 0);
        bth_use_end(&r.use, i == 0);
        if (i % 2 == 0) {
            bth_lease_release(lease);
        }
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *), void *arg, int n) {
    pthread_t threads[16];
    for (int i = 0; i < n; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, fn, arg), 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void test_sharing(void) {
    struct fixture f;
    open_with(&f, 20 * MB);
    run_threads(share, &f, 16);
    struct berth_model_stats s = stats_of(&f, "toy/a");
    CHECK_INT(s.loads, 1); /* however many ask */
    CHECK_INT(s.served, 16 * 40);
    CHECK_INT(s.failed, 16);
    CHECK_INT(s.leases + s.waiting + s.running, 0);
    CHECK_INT(s.weights_bytes, 4 * MB);
    CHECK(s.state == BERTH_MODEL_READY && s.idle_ms >= 0);
    close_clean(&f);
}

static void test_times_out(void) {
    struct fixture f;
    struct berth_error err;
    struct bth_lease *lease = NULL;
    open_with(&f, 20 * MB);
    int64_t begin = bth_now();
    CHECK_INT(test_acquire(f.m, "toy/slow", NULL, in_ms(20), &lease, &err), BERTH_ETIMEDOUT);
    CHECK(!lease && bth_now() - begin < 250 * BTH_NS_PER_MS);
    CHECK_INT(test_acquire(f.m, "toy/a", NULL, 0, &lease, &err), BERTH_ETIMEDOUT);
    CHECK_INT(stats_of(&f, "toy/a").state, BERTH_MODEL_ABSENT); /* not waiting starts nothing */
    bth_lease_release(acquire(&f, "toy/slow"));                 /* the load has gone on */
    CHECK_INT(stats_of(&f, "toy/slow").loads, 1);
    CHECK_OK(test_acquire(f.m, "toy/slow", NULL, 0, &lease, &err), err);
    bth_lease_release(lease);
    close_clean(&f);
}

static void *expect_failure(void *arg) {
    struct fixture *f = arg;
    struct berth_error err;
    struct bth_lease *lease;
    CHECK_INT(test_acquire(f->m, "toy/bad", NULL, in_ms(5000), &lease, &err), BERTH_EFORMAT);
    CHECK(strstr(err.message, "toy/bad") && strstr(err.message, "next try in"));
    return NULL;
}

static void test_failed_load(void) {
    struct fixture f;
    struct berth_error err;
    struct bth_lease *lease;
    open_with(&f, 20 * MB);
    run_threads(expect_failure, &f, 16); /* all are told, none tries again at once */
    int64_t begin = bth_now();
    expect_failure(&f);
    CHECK(bth_now() - begin < 500 * BTH_NS_PER_MS);
    sleep_ms(1100); /* the first pause */
    write_model("bad", "");
    bth_lease_release(acquire(&f, "toy/bad"));
    write_model("bad", "load_fail = EFORMAT\n");
    CHECK_INT(test_acquire(f.m, "toy/none", NULL, in_ms(100), &lease, &err), BERTH_ENOTFOUND);
    CHECK(strstr(err.message, "toy/slow"));
    close_clean(&f);
}

static void test_paths(void) {
    struct fixture f;
    struct berth_error err;
    struct bth_lease *lease;
    open_with(&f, 20 * MB);
    lease = acquire(&f, path_of("a")); /* known by another name */
    CHECK_STR(bth_lease_name(lease), "toy/a");
    bth_lease_release(lease);
    char sub[160];
    snprintf(sub, sizeof(sub), "%s/sub", folder);
    mkdir(sub, 0700);
    write_model("sub/a", "weights_bytes = 1000\n");
    lease = acquire(&f, path_of("sub/a"));
    CHECK_STR(bth_lease_name(lease), "toy/a-2");
    CHECK_INT(bth_lease_device(lease), 0);
    bth_lease_release(lease);
    CHECK(bth_manager_engine(f.m, path_of("sub/a"), &err) == &engine);
    CHECK_INT(bth_manager_models(f.m, NULL, 0, 0), 8);
    CHECK(!bth_manager_engine(f.m, folder, &err));
    CHECK_INT(err.code, BERTH_ENOTFOUND);
    close_clean(&f);
}

static void test_budget(void) {
    struct fixture f;
    struct berth_error err;
    struct bth_lease *lease, *a;
    open_with(&f, 7 * MB); /* one of a and b at a time */
    CHECK_INT(test_acquire(f.m, "toy/huge", NULL, in_ms(5000), &lease, &err), BERTH_EBUDGET);
    CHECK(strstr(err.message, "900.0 MB"));
    a = acquire(&f, "toy/a");
    CHECK_INT(test_acquire(f.m, "toy/b", NULL, in_ms(50), &lease, &err), BERTH_ETIMEDOUT);
    CHECK(strstr(err.message, "toy/a") && strstr(err.message, ": test)"));
    bth_lease_release(a);
    lease = acquire(&f, "toy/b"); /* evicts a */
    CHECK_INT(stats_of(&f, "toy/a").state, BERTH_MODEL_ABSENT);

    struct request r, second, third;
    request_begin(&r, lease, 2 * MB);
    CHECK_INT(r.answers, 1);
    request_begin(&second, lease, 2 * MB);
    request_begin(&third, lease, 100 * MB); /* can never be: said at once */
    CHECK(second.answers == 0 && third.answers == 1);
    CHECK_INT(third.rc, BERTH_EBUDGET);
    CHECK_OK(bth_reservation_draw(&r.use.reservation, 2 * MB, &err), err);
    CHECK_INT(bth_reservation_draw(&r.use.reservation, 2 * MB, &err), BERTH_EBUDGET);
    CHECK_OK(bth_reservation_draw(&r.use.reservation, 1000, &err), err); /* grows */
    bth_reservation_return(&r.use.reservation, 2 * MB + 1000);
    bth_use_end(&r.use, false);
    CHECK_INT(second.answers, 1);
    CHECK_INT(second.rc, 0);
    bth_use_end(&second.use, false);
    bth_use_end(&third.use, true);
    bth_lease_release(lease);
    close_clean(&f);
}

static void test_unload(void) {
    struct fixture f;
    struct berth_error err;
    open_with(&f, 20 * MB);
    CHECK_OK(bth_manager_unload(f.m, "toy/a", 0, &err), err); /* not loaded */
    struct bth_lease *old = acquire(&f, "toy/a");
    CHECK_INT(bth_manager_unload(f.m, "toy/a", in_ms(20), &err), BERTH_ETIMEDOUT);
    CHECK_INT(stats_of(&f, "toy/a").state, BERTH_MODEL_DRAINING);
    struct bth_lease *fresh = acquire(&f, "toy/a"); /* the next generation */
    CHECK_INT(stats_of(&f, "toy/a").loads, 2);
    struct request r;
    request_begin(&r, old, 100); /* a held lease still works */
    CHECK_INT(r.rc, 0);
    bth_lease_release(old);
    bth_use_end(&r.use, false);
    bth_lease_release(fresh);
    CHECK_OK(bth_manager_unload(f.m, "first", in_ms(5000), &err), err);
    CHECK_INT(f.device.bytes, 0);
    CHECK_INT(bth_manager_unload(f.m, "toy/none", 0, &err), BERTH_ENOTFOUND);
    close_clean(&f);
}

static void *wait_for_slow(void *arg) {
    struct fixture *f = arg;
    struct berth_error err;
    struct bth_lease *lease;
    CHECK_INT(test_acquire(f->m, "toy/slow", NULL, BTH_FOREVER, &lease, &err), BERTH_ESHUTDOWN);
    return NULL;
}

static void *acquire_hang(void *arg) {
    struct fixture *f = arg;
    static _Atomic int turn;
    bth_lease_release(acquire(f, turn++ % 2 ? "toy/hang2" : "toy/hang1"));
    return NULL;
}

/* Loads that hang delay neither the load nor the use nor the unload of another model. */
static void test_hanging_load(void) {
    struct fixture f;
    struct berth_error err;
    struct bth_lease *lease;
    pthread_t hang[2];
    open_with(&f, 20 * MB);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(pthread_create(&hang[i], NULL, acquire_hang, &f), 0);
        while (at_gate <= i) {
            sleep_ms(1);
        }
        if (i == 0) {
            CHECK_OK(test_acquire(f.m, "toy/a", NULL, in_ms(5000), &lease, &err), err);
        }
    }
    /* two at once are what there is, but what is short goes on */
    struct request r;
    request_begin(&r, lease, 1000);
    CHECK_INT(r.answers, 1);
    bth_use_end(&r.use, false);
    bth_lease_release(lease);
    CHECK_OK(bth_manager_unload(f.m, "toy/a", in_ms(5000), &err), err);
    CHECK_INT(stats_of(&f, "toy/a").state, BERTH_MODEL_ABSENT);
    CHECK_INT(test_acquire(f.m, "toy/bad", NULL, in_ms(50), &lease, &err), BERTH_ETIMEDOUT);
    CHECK_INT(test_acquire(f.m, "toy/huge", NULL, in_ms(5000), &lease, &err), BERTH_EBUDGET);
    CHECK_INT(stats_of(&f, "toy/hang1").state, BERTH_MODEL_LOADING);
    gate_open = true;
    pthread_join(hang[0], NULL);
    pthread_join(hang[1], NULL);
    close_clean(&f);
}

/* What sched does when a lease is revoked: ends the use soon. */
static void *end_when_revoked(void *arg) {
    struct request *r = arg;
    sleep_ms(60);
    bth_use_end(&r->use, true);
    return NULL;
}

static void test_close(void) {
    struct fixture f;
    struct berth_error err;
    open_with(&f, 20 * MB);
    struct bth_lease *lease = acquire(&f, "toy/a");
    struct request r;
    request_begin(&r, lease, 100);
    pthread_t waiter, ender;
    pthread_create(&waiter, NULL, wait_for_slow, &f);
    while (stats_of(&f, "toy/slow").waiting == 0) {
        sleep_ms(1);
    }
    pthread_create(&ender, NULL, end_when_revoked, &r);
    CHECK_INT(bth_manager_drain(f.m, in_ms(20), &err), BERTH_ETIMEDOUT);
    CHECK_INT(f.revoked, 1);
    pthread_join(waiter, NULL);
    pthread_join(ender, NULL);
    CHECK_INT(f.device.bytes, 0);
    struct request late = {.use.granted = on_granted};
    CHECK_INT(bth_use_open(lease, &late.use, &err), BERTH_EREVOKED);
    bth_manager_destroy(f.m);
    bth_lease_release(lease); /* valid for this only */
    CHECK_INT(f.device.live, 0);
}

/* A little of everything; any step may fail, nothing may leak or hang. */
static void try_all(struct fixture *f) {
    struct berth_error err;
    struct bth_lease *lease = NULL;
    if (try_open(f, 20 * MB, &err) < 0) {
        CHECK_INT(err.code, BERTH_ENOMEM);
        return;
    }
    static const char *const names[] = {"toy/a", "sub/a", "first"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        const char *name = i == 1 ? path_of(names[i]) : names[i];
        int rc = test_acquire(f->m, name, "x", in_ms(10000), &lease, &err);
        CHECK(rc == 0 || rc == BERTH_ENOMEM || rc == BERTH_ENOTFOUND);
        if (rc < 0) {
            continue;
        }
        struct request r = {.use.granted = on_granted};
        if (bth_use_open(lease, &r.use, &err) == 0) {
            bth_use_begin(&r.use, 1000);
            CHECK_INT(r.answers, 1);
            bth_use_end(&r.use, false);
        }
        bth_lease_release(lease);
    }
    bth_manager_unload(f->m, "toy/a", in_ms(5000), &err);
    bth_manager_drain(f->m, BTH_FOREVER, &err);
    bth_manager_destroy(f->m);
    CHECK_INT(f->device.live, 0);
    CHECK_INT(f->device.bytes, 0);
}

static void test_failing_memory(void) {
    struct fixture f;
    int64_t live = bth_alloc_live();
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        CHECK(n < 1000);
        bth_alloc_fail_at(n);
        try_all(&f);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(bth_alloc_live(), live);
    }
}

/* Everything at once, under a budget that is too small for it. */
static void *crowd(void *arg) {
    struct fixture *f = arg;
    static const char *const names[] = {"toy/a", "toy/b", "toy/bad"};
    struct berth_error err;
    unsigned long long rng = (unsigned long long)(uintptr_t)&err;
    for (int i = 0; i < 60; i++) {
        struct bth_lease *lease;
        const char *name = names[test_rand(&rng) % 3];
        int rc =
            test_acquire(f->m, name, NULL, in_ms((int64_t)(test_rand(&rng) % 30)), &lease, &err);
        if (test_rand(&rng) % 8 == 0) {
            bth_manager_unload(f->m, name, in_ms(1), &err);
        }
        if (rc < 0) {
            continue;
        }
        struct request r;
        request_begin(&r, lease, test_rand(&rng) % (2 * MB));
        if (test_rand(&rng) % 2) {
            wait_answer(&r);
        }
        bth_use_end(&r.use, false);
        bth_lease_release(lease);
    }
    return NULL;
}

static void test_crowd(void) {
    struct fixture f;
    open_with(&f, 7 * MB);
    run_threads(crowd, &f, 8);
    close_clean(&f);
}

int main(void) {
    engine = bth_toy_engine;
    engine.load = gated_load;
    CHECK(mkdtemp(folder));
    write_model("a", "weights_bytes = 4000000\nload_ms = 20\n");
    write_model("b", "weights_bytes = 4000000\nunload_ms = 5\n");
    write_model("slow", "load_ms = 300\n");
    write_model("bad", "load_fail = EFORMAT\n");
    write_model("huge", "weights_bytes = 900000000\n");
    write_model("hang1", "");
    write_model("hang2", "");
    test_sharing();
    test_times_out();
    test_failed_load();
    test_paths();
    test_budget();
    test_unload();
    test_hanging_load();
    test_close();
    test_failing_memory();
    test_crowd();
    return 0;
}

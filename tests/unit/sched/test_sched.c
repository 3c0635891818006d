/* The scheduler with real threads, a real manager, the toy engine and a device that computes
 * nothing. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/outbox.h"
#include "base/sync.h"
#include "core/manager.h"
#include "lib/fake_device.h"
#include "lib/lease.h"
#include "lib/test.h"
#include "sched/sched.h"
#include "toy/toy.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MB 1000000

/* ---- the toy engine, with turns that can fail and a state that must come through -------------*/

static struct berth_engine_ops wrapped;
static const struct berth_engine_ops *const engines[] = {&wrapped};
static _Atomic int turn_fails, turn_failures; /* the error, and how often yet */

static int wrapped_load(const struct berth_load *load, struct berth_model **out,
                        struct berth_error *err) {
    int rc = bth_toy_engine.load(load, out, err);
    if (rc == 0) {
        (*out)->ops = &wrapped;
    }
    return rc;
}

static int wrapped_enqueue(struct berth_batch *b, struct berth_error *err) {
    if (turn_failures > 0) {
        turn_failures--;
        (void)err; /* says nothing: the code must do */
        return turn_fails;
    }
    int rc = bth_toy_engine.enqueue(b, err);
    b->turn = rc == 0 ? bth_strdup("turn") : NULL;
    return rc == 0 && !b->turn ? BERTH_ENOMEM : rc;
}

static int wrapped_settle(struct berth_batch *b, struct berth_error *err) {
    CHECK_STR(b->turn, "turn");
    bth_free(b->turn);
    return bth_toy_engine.settle(b, err);
}

static void wrap(void) {
    wrapped = bth_toy_engine;
    wrapped.load = wrapped_load;
    wrapped.enqueue = wrapped_enqueue;
    wrapped.settle = wrapped_settle;
}

/* ---- fixture --------------------------------------------------------------------------------*/

static char folder[] = "/tmp/berth-test-XXXXXX";
static char path_a[64], path_b[64];

struct fixture {
    struct fake_device device;
    struct bth_manager *m;
    struct bth_sched *s;
    struct bth_lease *lease, *other; /* of toy/a and toy/b */
};

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int64_t in_ms(int64_t ms) {
    return bth_now() + ms * BTH_NS_PER_MS;
}

static void open_fixture(struct fixture *f, struct bth_sched_config config) {
    struct berth_error err;
    const struct berth_model_spec specs[] = {{.name = "toy/a", .path = path_a},
                                             {.name = "toy/b", .path = path_b}};
    fake_device_init(&f->device, "fake");
    struct berth_device *device = &f->device.base;
    const uint64_t budget = 20 * MB;
    const struct bth_manager_config mc = {.devices = &device,
                                          .budgets = &budget,
                                          .n_devices = 1,
                                          .engines = engines,
                                          .n_engines = 1,
                                          .models = specs,
                                          .n_models = 2};
    CHECK_OK(bth_manager_create(&mc, &f->m, &err), err);
    CHECK_OK(bth_sched_create(&config, &f->s, &err), err);
    CHECK_OK(test_acquire(f->m, "toy/a", "t", in_ms(5000), &f->lease, &err), err);
    CHECK_OK(test_acquire(f->m, "toy/b", "t", in_ms(5000), &f->other, &err), err);
}

static void close_fixture(struct fixture *f) {
    struct berth_error err;
    bth_sched_destroy(f->s);
    bth_lease_release(f->lease);
    bth_lease_release(f->other);
    CHECK_OK(bth_manager_drain(f->m, in_ms(5000), &err), err);
    bth_manager_destroy(f->m);
    CHECK_INT(f->device.live, 0);
    CHECK_INT(f->device.bytes, 0);
}

/* A request with options given as "name=value,name=value". */
struct toy_request {
    struct berth_request r;
    struct berth_option options[8];
    char text[128];
};

static void fill(struct toy_request *t, const char *input, const char *options) {
    *t = (struct toy_request){.r = BERTH_REQUEST_INIT};
    t->r.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = input, .size = strlen(input)};
    t->r.options = t->options;
    snprintf(t->text, sizeof(t->text), "%s", options);
    char *rest = NULL;
    for (char *o = strtok_r(t->text, ",", &rest); o; o = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(o, '=');
        *value = '\0';
        t->options[t->r.n_options++] = (struct berth_option){o, value + 1};
    }
}

static struct bth_job *submit(struct fixture *f, struct toy_request *t) {
    struct berth_error err;
    struct bth_job *job;
    CHECK_OK(bth_sched_submit(f->s, f->lease, &t->r, &job, &err), err);
    memset(t, 0x5A, sizeof(*t)); /* everything was copied */
    return job;
}

static struct bth_job *start(struct fixture *f, const char *input, const char *options) {
    struct toy_request t;
    fill(&t, input, options);
    return submit(f, &t);
}

/* Frees the job; returns how it ended. */
static int end_of(struct bth_job *job, const char *text) {
    struct berth_item *item = NULL;
    struct berth_error err = {0};
    int rc = bth_outbox_wait(bth_job_results(job), in_ms(10000), &item, &err);
    if (rc == 0) {
        CHECK_INT(item->kind, BERTH_ITEM_FINAL);
        CHECK_STR(item->text, text);
        berth_item_free(item);
    } else {
        CHECK(!item);
        CHECK_INT(err.code, rc);
        CHECK(err.message[0]);
    }
    bth_job_free(job);
    return rc;
}

static void test_result(void) {
    struct fixture f;
    struct berth_item *item = NULL;
    struct berth_error err;
    double done, total;
    open_fixture(&f, (struct bth_sched_config){0});
    struct bth_job *job = start(&f, "hello", "turns=3,host_turns=2,turn_us=20000");
    CHECK_INT(bth_outbox_wait(bth_job_results(job), 0, &item, &err), BERTH_ETIMEDOUT);
    CHECK(!item);
    CHECK_OK(bth_outbox_wait(bth_job_results(job), BTH_FOREVER, &item, &err), err);
    CHECK_STR(item->text, "hello");
    berth_item_free(item);
    item = NULL;
    CHECK_INT(bth_outbox_wait(bth_job_results(job), BTH_FOREVER, &item, &err), BERTH_ESTATE);
    CHECK_INT(bth_job_next(job, 0, &item, NULL), BERTH_ESTATE);
    CHECK(!item);
    CHECK_INT(bth_job_state(job), BERTH_JOB_DONE);
    bth_outbox_progress(bth_job_results(job), &done, &total);
    CHECK(done == 5 && total == 5);
    bth_job_cancel(job); /* too late to matter */
    CHECK_INT(bth_job_state(job), BERTH_JOB_DONE);
    bth_job_free(job);
    struct berth_device_stats stats = {0};
    bth_sched_stats(f.s, &stats);
    CHECK_INT(stats.turns, 5);
    CHECK_INT(stats.rows, 5);
    CHECK(stats.longest_turn_us >= 20000);
    close_fixture(&f);
}

static void test_errors(void) {
    struct fixture f;
    open_fixture(&f, (struct bth_sched_config){0});
    CHECK_INT(end_of(start(&f, "x", "no_such=1"), NULL), BERTH_EINVAL);
    CHECK_INT(end_of(start(&f, "x", "fail=EAUDIO"), NULL), BERTH_EAUDIO);
    CHECK_INT(end_of(start(&f, "x", "bytes=30000000"), NULL), BERTH_EBUDGET);
    struct bth_job *jobs[8];
    for (int i = 0; i < 8; i++) { /* in one turn with it, and well */
        jobs[i] =
            start(&f, "mate",
                  i == 3 ? "turns=5,turn_us=2000,fail=EFORMAT,fail_at=3" : "turns=5,turn_us=2000");
    }
    for (int i = 0; i < 8; i++) {
        CHECK_INT(end_of(jobs[i], "mate"), i == 3 ? BERTH_EFORMAT : 0);
    }
    close_fixture(&f);
}

/* Out of memory passes, a lost device does not. */
static void test_failing_turns(int host_threads) {
    struct fixture f;
    for (int host = 0; host < 2; host++) {
        const char *options = host ? "host_turns=2,turns=2" : "turns=3";
        open_fixture(&f, (struct bth_sched_config){.host_threads = host_threads});
        turn_fails = BERTH_ENOMEM;
        turn_failures = 5;
        CHECK_INT(end_of(start(&f, "in the end", options), "in the end"), 0);
        turn_failures = 1000000;
        CHECK_INT(end_of(start(&f, "never", options), NULL), BERTH_ENOMEM);
        turn_failures = 0;
        struct bth_job *other = start(&f, "x", "turns=100000,turn_us=1000,key=1");
        struct bth_job *hosted = start(&f, "x", "host_turns=100000,turn_us=1000");
        sleep_ms(10);
        turn_fails = BERTH_EDEVICE;
        turn_failures = 1;
        CHECK_INT(end_of(start(&f, "lost", options), NULL), BERTH_EDEVICE);
        CHECK_INT(end_of(other, NULL), BERTH_EDEVICE);
        CHECK_INT(end_of(hosted, NULL), BERTH_EDEVICE);
        CHECK_INT(end_of(start(&f, "after", options), NULL), BERTH_EDEVICE);
        close_fixture(&f);
    }
}

static void test_stream(void) {
    struct fixture f;
    struct berth_error err;
    struct berth_item *item;
    struct toy_request t;
    open_fixture(&f, (struct bth_sched_config){.max_results = 8});
    fill(&t, "part", "turns=40,emit=2");
    t.r.stream = true;
    struct bth_job *job = submit(&f, &t);
    sleep_ms(30); /* parked by now */
    double done, total;
    bth_outbox_progress(bth_job_results(job), &done, &total);
    CHECK(done >= 1 && done < 5 && total == 40);
    CHECK_INT(end_of(start(&f, "no reader needed", "turns=9,emit=2"), "no reader needed"), 0);
    int n = 0;
    for (;; n++) {
        CHECK_OK(bth_job_next(job, in_ms(5000), &item, &err), err);
        bool last = item->kind == BERTH_ITEM_FINAL;
        CHECK(last || item->kind == BERTH_ITEM_PARTIAL);
        CHECK_STR(item->text, "part");
        berth_item_free(item);
        if (last) {
            break;
        }
    }
    CHECK_INT(n, 80);
    bth_job_free(job);
    fill(&t, "skip", "turns=40,emit=2");
    t.r.stream = true;
    CHECK_INT(end_of(submit(&f, &t), "skip"), 0); /* who waits reads, too */
    fill(&t, "unread", "turns=40,emit=2");
    t.r.stream = true;
    bth_job_free(submit(&f, &t));
    fill(&t, "cut", "turns=40,emit=2,fail=EIO,fail_at=2");
    t.r.stream = true;
    job = submit(&f, &t);
    for (n = 0; bth_job_next(job, in_ms(5000), &item, &err) == 0; n++) {
        berth_item_free(item);
    }
    CHECK_INT(n, 4); /* what there was comes before the error */
    CHECK_INT(err.code, BERTH_EIO);
    bth_job_free(job);
    close_fixture(&f);
}

static void test_cancel(int host_threads) {
    struct fixture f;
    open_fixture(&f, (struct bth_sched_config){.host_threads = host_threads});
    struct bth_job *a = start(&f, "x", "turns=10000,turn_us=1000");
    struct bth_job *b = start(&f, "x", "host_turns=10000,turn_us=1000");
    sleep_ms(20);
    CHECK_INT(bth_job_state(a), BERTH_JOB_RUNNING);
    bth_job_cancel(a);
    bth_job_cancel(a);
    bth_job_cancel(b);
    int64_t asked = bth_now();
    CHECK_INT(end_of(a, NULL), BERTH_ECANCELLED);
    CHECK_INT(end_of(b, NULL), BERTH_ECANCELLED);
    CHECK(bth_now() - asked < 2000 * BTH_NS_PER_MS);
    a = start(&f, "x", "turns=2");
    bth_job_cancel(a); /* before it has begun, or after */
    int rc = end_of(a, "x");
    CHECK(rc == 0 || rc == BERTH_ECANCELLED);
    bth_job_free(start(&f, "x", "turns=10000,turn_us=1000")); /* nobody is interested any more */
    bth_job_free(NULL);
    close_fixture(&f);
}

static void test_deadline(void) {
    struct fixture f;
    struct toy_request t;
    open_fixture(&f, (struct bth_sched_config){.host_threads = 1});
    int64_t began = bth_now();
    static const char *const slow[] = {"turns=10000,turn_us=1000", "host_turns=10000,turn_us=1000"};
    for (size_t i = 0; i < BTH_COUNT(slow); i++) {
        fill(&t, "late", slow[i]);
        t.r.deadline_ms = 30;
        CHECK_INT(end_of(submit(&f, &t), NULL), BERTH_ETIMEDOUT);
    }
    CHECK(bth_now() - began >= 60 * BTH_NS_PER_MS && bth_now() - began < 3000 * BTH_NS_PER_MS);
    /* also while it waits for bytes, which another has */
    struct bth_job *holder = start(&f, "x", "turns=10000,turn_us=1000,bytes=9000000");
    fill(&t, "late", "bytes=9000000");
    t.r.deadline_ms = 30;
    CHECK_INT(end_of(submit(&f, &t), NULL), BERTH_ETIMEDOUT);
    fill(&t, "patient", "bytes=9000000");
    struct bth_job *patient = submit(&f, &t);
    sleep_ms(5);
    CHECK_INT(bth_job_state(patient), BERTH_JOB_QUEUED);
    bth_job_free(holder);
    CHECK_INT(end_of(patient, "patient"), 0);
    fill(&t, "early", "turns=2");
    t.r.deadline_ms = 60000;
    CHECK_INT(end_of(submit(&f, &t), "early"), 0);
    close_fixture(&f);
}

static void test_overload(void) {
    struct fixture f;
    struct toy_request t;
    struct berth_error err;
    open_fixture(&f, (struct bth_sched_config){.max_jobs = 3});
    struct bth_job *jobs[3], *none = NULL;
    for (int i = 0; i < 3; i++) {
        jobs[i] = start(&f, "x", "turns=10000,turn_us=500");
    }
    fill(&t, "x", "turns=1");
    CHECK_INT(bth_sched_submit(f.s, f.lease, &t.r, &none, &err), BERTH_EOVERLOADED);
    CHECK(!none && berth_error_retryable(err.code));
    bth_job_cancel(jobs[1]);
    CHECK_INT(end_of(jobs[1], NULL), BERTH_ECANCELLED);
    for (int i = 0; i < 100; i++) { /* who has a result finds the room at once */
        CHECK_INT(end_of(start(&f, "in turn", "turns=1"), "in turn"), 0);
    }
    bth_job_free(jobs[0]);
    bth_job_free(jobs[2]);
    close_fixture(&f);
}

/* A process without a free descriptor is told so, and not that memory is short. */
static void test_descriptors(void) {
    struct fixture f;
    struct toy_request t;
    struct berth_error err;
    struct rlimit had, none;
    struct bth_job *job;
    open_fixture(&f, (struct bth_sched_config){0});
    fill(&t, "x", "turns=1");
    t.r.input = (struct berth_input){.kind = BERTH_INPUT_FD, .fd = 0};
    int fd = dup(0);
    CHECK(fd >= 0 && getrlimit(RLIMIT_NOFILE, &had) == 0);
    close(fd);
    none = (struct rlimit){.rlim_cur = (rlim_t)fd, .rlim_max = had.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_INT(bth_sched_submit(f.s, f.lease, &t.r, &job, &err), BERTH_EOVERLOADED);
    CHECK(strstr(err.message, "descriptor"));
    CHECK(setrlimit(RLIMIT_NOFILE, &had) == 0);
    t.r.input.fd = fd; /* not open */
    CHECK_INT(bth_sched_submit(f.s, f.lease, &t.r, &job, &err), BERTH_EIO);
    close_fixture(&f);
}

static void test_lease(void) {
    struct fixture f;
    struct toy_request t;
    struct berth_error err;
    open_fixture(&f, (struct bth_sched_config){0});
    struct bth_job *mine = start(&f, "x", "turns=10000,turn_us=500"), *others, *none = NULL;
    fill(&t, "other", "turns=30,turn_us=500");
    CHECK_OK(bth_sched_submit(f.s, f.other, &t.r, &others, &err), err);
    bth_sched_cancel(f.s, f.lease); /* as a release does */
    bth_lease_release(f.lease);
    CHECK_INT(end_of(mine, NULL), BERTH_ECANCELLED);
    CHECK_INT(end_of(others, "other"), 0);
    f.lease = NULL;
    /* the end of the scheduler ends its jobs; their handles live on */
    fill(&t, "x", "turns=10000,turn_us=500");
    CHECK_OK(bth_sched_submit(f.s, f.other, &t.r, &mine, &err), err);
    fill(&t, "kept", "turns=1");
    CHECK_OK(bth_sched_submit(f.s, f.other, &t.r, &others, &err), err);
    while (bth_job_state(others) != BERTH_JOB_DONE) {
        sleep_ms(1);
    }
    bth_sched_ref(f.s);
    bth_sched_destroy(f.s);
    CHECK_INT(bth_job_state(mine), BERTH_JOB_FAILED);
    CHECK_INT(bth_sched_submit(f.s, f.other, &t.r, &none, &err), BERTH_ESHUTDOWN);
    bth_sched_unref(f.s);
    f.s = NULL;
    CHECK_INT(end_of(mine, NULL), BERTH_ECANCELLED);
    CHECK_INT(end_of(others, "kept"), 0);
    close_fixture(&f);
}

enum { N_THREADS = 16, N_EACH = 40 };
struct caller {
    struct fixture *f;
    int id;
    int done, failed, cancelled;
};

static void *call(void *arg) {
    struct caller *c = arg;
    unsigned long long rng = (unsigned long long)c->id + 99;
    for (int i = 0; i < N_EACH; i++) {
        struct toy_request t;
        char text[32], options[96], id[8];
        snprintf(text, sizeof(text), "%d/%d", c->id, i);
        snprintf(id, sizeof(id), "c%d", c->id % 5);
        bool fails = test_rand(&rng) % 7 == 0, cancels = test_rand(&rng) % 7 == 0;
        snprintf(options, sizeof(options), "turns=%d,host_turns=%d,rows=%d,key=%d,bytes=%d%s",
                 1 + (int)(test_rand(&rng) % 5), (int)(test_rand(&rng) % 3),
                 1 + (int)(test_rand(&rng) % 4), (int)(test_rand(&rng) % 2),
                 (int)(test_rand(&rng) % 2000000), fails ? ",fail=EIO" : "");
        fill(&t, text, options);
        t.r.caller = id;
        t.r.priority = (int)(test_rand(&rng) % 10);
        t.r.stream = test_rand(&rng) % 2;
        struct bth_job *job = submit(c->f, &t);
        if (cancels) {
            bth_job_cancel(job);
        }
        int rc = end_of(job, text);
        CHECK(rc == 0 || (fails && rc == BERTH_EIO) || (cancels && rc == BERTH_ECANCELLED));
        c->done += rc == 0;
        c->failed += rc == BERTH_EIO;
        c->cancelled += rc == BERTH_ECANCELLED;
    }
    return NULL;
}

static void test_threads(int host_threads) {
    struct fixture f;
    struct caller callers[N_THREADS];
    pthread_t threads[N_THREADS];
    open_fixture(&f, (struct bth_sched_config){.host_threads = host_threads});
    for (int i = 0; i < N_THREADS; i++) {
        callers[i] = (struct caller){.f = &f, .id = i};
        CHECK_INT(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    int done = 0, failed = 0;
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        done += callers[i].done;
        failed += callers[i].failed + callers[i].cancelled;
    }
    struct berth_model_stats stats[2];
    CHECK_INT(bth_manager_models(f.m, stats, sizeof(*stats), 2), 2);
    CHECK_STR(stats[0].name, "toy/a");
    CHECK_INT(stats[0].served, N_THREADS * N_EACH); /* a result is given when all is counted */
    CHECK_INT(stats[0].failed, failed);
    CHECK_INT(stats[0].running, 0);
    CHECK_INT(done + failed, N_THREADS * N_EACH);
    close_fixture(&f);
}

/* Whatever allocation fails, only that request does, and nothing is leaked. */
static void test_failing_memory(void) {
    struct fixture f;
    struct berth_error err;
    open_fixture(&f, (struct bth_sched_config){0});
    CHECK_INT(end_of(start(&f, "warm", "turns=1"), "warm"), 0);
    sleep_ms(100); /* the scheduler's reference to a job goes after the result */
    int64_t live = bth_alloc_live();
    int failures = 0;
    for (int n = 1;; n++) {
        struct toy_request t;
        struct bth_job *job = NULL;
        fill(&t, "text", "turns=2,host_turns=1,emit=1,bytes=100");
        t.r.caller = "someone";
        t.r.stream = true;
        bth_alloc_fail_at(n);
        int rc = bth_sched_submit(f.s, f.lease, &t.r, &job, &err);
        CHECK(rc == 0 || (rc == BERTH_ENOMEM && !job));
        rc = rc ? rc : end_of(job, "text");
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (!fired) {
            CHECK_INT(rc, 0);
            break;
        }
        CHECK(rc == BERTH_ENOMEM || rc == 0); /* a turn is tried again */
        failures += rc < 0;
        for (int tries = 0; bth_alloc_live() != live && tries < 1000; tries++) {
            sleep_ms(1);
        }
        CHECK_INT(bth_alloc_live(), live);
    }
    CHECK(failures > 10);
    close_fixture(&f);
    for (int n = 1;; n++) {
        struct bth_sched *s = NULL;
        const struct bth_sched_config config = {.host_threads = 2};
        live = bth_alloc_live();
        bth_alloc_fail_at(n);
        int rc = bth_sched_create(&config, &s, &err);
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
        bth_sched_destroy(s);
        CHECK_INT(bth_alloc_live(), live);
        if (!fired) {
            break;
        }
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    wrap();
    CHECK(mkdtemp(folder));
    snprintf(path_a, sizeof(path_a), "%s/a", folder);
    snprintf(path_b, sizeof(path_b), "%s/b", folder);
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(i ? path_b : path_a, "w");
        CHECK(file);
        fputs("berth-toy 1\nweights_bytes = 1000000\n", file);
        fclose(file);
    }
    test_result();
    test_errors();
    test_failing_turns(0);
    test_failing_turns(1);
    test_stream();
    test_cancel(0);
    test_cancel(2);
    test_deadline();
    test_overload();
    test_descriptors();
    test_lease();
    test_threads(0);
    test_threads(2);
    test_failing_memory();
    unlink(path_a);
    unlink(path_b);
    rmdir(folder);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

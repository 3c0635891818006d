/* What callers with an event loop need: notification of jobs, leases without waiting, a heartbeat,
 * input from a descriptor. */
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/files.h"
#include "lib/toys.h"
#include <berth/berth.h>
#include <stdatomic.h>
#include <time.h>

static struct test_dir dir;

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct berth *open_toys(void) {
    char quick[512], slow[512], bad[512];
    const struct berth_model_spec specs[] = {
        {.name = "toy/quick", .path = test_dir_path(&dir, "quick", quick), .alias = "q"},
        {.name = "toy/slow", .path = test_dir_path(&dir, "slow", slow)},
        {.name = "toy/bad", .path = test_dir_path(&dir, "bad", bad)}};
    return test_open_models(specs, 3);
}

/* ---- jobs ---- */

static void count(void *arg) {
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static struct berth_job *submit(struct berth_lease *lease, const struct berth_option *options,
                                size_t n) {
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_job *job;
    struct berth_error err;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "hi", .size = 2};
    r.options = options;
    r.n_options = n;
    r.stream = true;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    return job;
}

/* Every item is announced, the end too; whoever looks only when told misses nothing. */
static void test_items(struct berth_lease *lease) {
    static const struct berth_option o[] = {{"turns", "5"}, {"turn_us", "2000"}, {"emit", "1"}};
    _Atomic int events = 0;
    int seen = 0, partial = 0;
    struct berth_job *job = submit(lease, o, 3);
    berth_job_on_event(job, count, &events);
    for (bool final = false; !final;) {
        while (atomic_load(&events) == seen) {
            sleep_ms(1);
        }
        seen = atomic_load(&events);
        struct berth_item *item;
        while (!final && berth_job_next(job, 0, &item, NULL) == 0) {
            final = item->kind == BERTH_ITEM_FINAL;
            partial += !final;
            berth_item_free(item);
        }
    }
    CHECK_INT(partial, 5);
    berth_job_free(job);
}

/* What has happened already is told at once; after NULL and after the end of the handle nothing is.
 */
static void test_late(struct berth_lease *lease) {
    static const struct berth_option o[] = {{"fail", "EIO"}}, slow[] = {{"turn_us", "20000"}};
    _Atomic int events = 0, never = 0;
    struct berth_job *job = submit(lease, o, 1);
    while (berth_job_state(job) != BERTH_JOB_FAILED) {
        sleep_ms(1);
    }
    berth_job_on_event(job, count, &events);
    CHECK_INT(events, 1);
    berth_job_free(job);
    job = submit(lease, slow, 1);
    berth_job_on_event(job, count, &never);
    berth_job_on_event(job, NULL, NULL);
    berth_job_on_event(NULL, count, &never);
    struct berth_job *freed = submit(lease, slow, 1);
    berth_job_on_event(freed, count, &never);
    berth_job_free(freed);
    int before = atomic_load(&never);
    struct berth_item *item;
    struct berth_error err;
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    berth_item_free(item);
    berth_job_free(job);
    CHECK_INT(never, before);
}

/* ---- leases ---- */

struct wish {
    struct bth_acquire acquire; /* first */
    _Atomic int answers;
    int rc;
};

static void answered(struct bth_acquire *a, int rc, const struct berth_error *err) {
    struct wish *w = (struct wish *)a;
    CHECK(rc == 0 || err->code == rc);
    w->rc = rc;
    atomic_fetch_add(&w->answers, 1);
}

static void await(struct wish *w) {
    while (atomic_load(&w->answers) == 0) {
        sleep_ms(1);
    }
    CHECK_INT(w->answers, 1);
}

static int start(struct bth_manager *m, const char *model, struct wish *w,
                 struct berth_error *err) {
    const struct bth_ask ask = {.tag = "tag", .deadline = BTH_FOREVER};
    return bth_acquire_start(m, model, &ask, &w->acquire, err);
}

static void test_acquire(struct berth *b) {
    struct bth_manager *m = b->manager;
    struct wish ready = {.acquire.answered = answered}, loading = ready, bad = ready, gone = ready;
    struct berth_error err;
    CHECK_OK(start(m, "q", &ready, &err), err);
    await(&ready);
    CHECK_INT(ready.rc, 0);
    CHECK_STR(bth_lease_name(ready.acquire.lease), "toy/quick");
    CHECK_OK(start(m, "toy/slow", &loading, &err), err);
    CHECK_INT(loading.answers, 0); /* 200 ms to load, and nobody waits */
    CHECK_OK(start(m, "toy/slow", &gone, &err), err);
    bth_acquire_cancel(&gone.acquire);
    CHECK_INT(gone.answers, 1);
    CHECK_INT(gone.rc, BERTH_ECANCELLED);
    CHECK_OK(start(m, "toy/bad", &bad, &err), err);
    await(&bad);
    CHECK_INT(bad.rc, BERTH_EFORMAT);
    CHECK(!bad.acquire.lease);
    await(&loading);
    CHECK_INT(loading.rc, 0);
    bth_acquire_cancel(&loading.acquire); /* too late: the lease stays */
    CHECK_INT(loading.answers, 1);
    bth_lease_release(loading.acquire.lease);
    bth_lease_release(ready.acquire.lease);
    CHECK_INT(start(m, "toy/none", &gone, &err), BERTH_ENOTFOUND);
}

static void test_unload(struct berth *b) {
    struct bth_manager *m = b->manager;
    struct berth_lease *lease;
    struct berth_error err;
    uint64_t mark;
    CHECK_OK(berth_acquire(b, "q", NULL, &lease, &err), err);
    CHECK_OK(bth_manager_unload_start(m, "q", &mark, &err), err);
    CHECK(!bth_manager_unloaded(m, "q", mark));
    berth_release(lease);
    while (!bth_manager_unloaded(m, "q", mark)) {
        sleep_ms(1);
    }
    CHECK_INT(bth_manager_unload_start(m, "none", &mark, &err), BERTH_ENOTFOUND);
}

/* Paths are no names here: strangers may ask. */
static void test_find(struct berth *b) {
    struct berth_model_stats stats;
    struct berth_error err;
    char path[512];
    CHECK_OK(bth_manager_find(b->manager, "q", &stats, &err), err);
    CHECK_STR(stats.name, "toy/quick");
    CHECK_INT(bth_manager_find(b->manager, test_dir_path(&dir, "quick", path), &stats, &err),
              BERTH_ENOTFOUND);
}

/* A wish that nobody has answered is answered when the manager closes. */
static void test_close(struct berth *b) {
    struct wish w = {.acquire.answered = answered};
    struct berth_error err;
    CHECK_OK(start(b->manager, "toy/slow", &w, &err), err);
    berth_close(b, 0, NULL);
    CHECK_INT(w.answers, 1);
    if (w.rc == 0) {
        bth_lease_release(w.acquire.lease);
    }
}

static void test_heartbeat(struct berth *b) {
    int64_t before = bth_sched_stepped_at(b->scheds[0]);
    sleep_ms(1200); /* idle all the time */
    CHECK(bth_sched_stepped_at(b->scheds[0]) > before);
}

/* ---- descriptors ---- */

static int add_up(void *arg, const int16_t *samples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        *(long *)arg += samples[i];
    }
    return 0;
}

static void test_fd(void) {
    static const unsigned char wav[] =
        "RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0"
        "\2\0\x10\0data\x08\0\0\0\1\0\2\0\3\0\4";
    char path[512];
    long sum = 0;
    struct berth_error err;
    test_dir_write(&dir, "wav", wav, sizeof(wav));
    FILE *f = fopen(test_dir_path(&dir, "wav", path), "rb");
    CHECK(f && fseek(f, 7, SEEK_SET) == 0);
    struct berth_input in = {.kind = BERTH_INPUT_FD, .fd = fileno(f)};
    CHECK_OK(berth_decode(&in, add_up, &sum, &err), err);
    CHECK_INT(sum, 10);
    CHECK_INT(ftell(f), 7); /* read from its start, its position left alone */
    fclose(f);
    in.fd = -1;
    CHECK(berth_decode(&in, add_up, &sum, &err) < 0);
}

int main(void) {
    static const char quick[] = "berth-toy 1\n", slow[] = "berth-toy 1\nload_ms = 200\n",
                      bad[] = "berth-toy 1\nload_fail = EFORMAT\n";
    int64_t live = bth_alloc_live();
    test_dir_open(&dir);
    test_dir_write(&dir, "quick", quick, sizeof(quick) - 1);
    test_dir_write(&dir, "slow", slow, sizeof(slow) - 1);
    test_dir_write(&dir, "bad", bad, sizeof(bad) - 1);
    struct berth *b = open_toys();
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(b, "toy/quick", NULL, &lease, &err), err);
    test_items(lease);
    test_late(lease);
    berth_release(lease);
    test_acquire(b);
    test_unload(b);
    test_find(b);
    test_heartbeat(b);
    test_fd();
    test_close(b);
    test_close(open_toys());
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

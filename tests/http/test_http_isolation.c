/*
 * One model's long request beside another that is loaded and unloaded all the time: 60 times, with
 * BERTH_LONG 1,000. How regularly the request's turns come, and how long health and statistics
 * take, is measured with and without the other.
 *
 * With BERTH_LONG the bounds are the promised ones (99 % of the turns within 1.1 times of what they
 * take without the other, and 1 ms; answers within 5 ms); else such as a busy machine keeps.
 */
#include "base/clock.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <pthread.h>
#include <stdatomic.h>

enum { MOST = 200000, IDLE_MS = 2000 };

struct times {
    double ms[MOST];
    size_t n;
};
static struct times turns[2], health[2], statistics[2]; /* without, with the other */
static struct test_daemon d;
static atomic_int phase; /* 0, 1; 2: the end */

static void add(struct times *all, int64_t ns) {
    const int now = atomic_load(&phase);
    if (now < 2 && all[now].n < MOST) {
        all[now].ms[all[now].n++] = (double)ns / 1e6;
    }
}

static int by_size(const void *x, const void *y) {
    return (*(const double *)x > *(const double *)y) - (*(const double *)x < *(const double *)y);
}

/* What 99 % stay within. */
static double late(struct times *t) {
    CHECK(t->n >= 50);
    qsort(t->ms, t->n, sizeof(t->ms[0]), by_size);
    return t->ms[t->n * 99 / 100];
}

/* ---- who is to be left alone -----------------------------------------------------------------*/

static void *read_turns(void *arg) {
    static const struct berth_option options[] = {
        {"turns", "1000000"}, {"turn_us", "2000"}, {"emit", "1"}};
    struct berth *b = arg;
    struct berth_lease *lease = remote_acquire(b, "echo");
    struct berth_request r = remote_toy(options, 3);
    struct berth_job *job;
    struct berth_item *item;
    struct berth_error err;
    r.stream = true;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_OK(berth_job_next(job, 10000, &item, &err), err);
    berth_item_free(item);
    for (int64_t last = bth_now(), now; atomic_load(&phase) < 2; last = now) {
        CHECK_OK(berth_job_next(job, 10000, &item, &err), err);
        berth_item_free(item);
        now = bth_now();
        add(turns, now - last);
    }
    berth_job_free(job);
    berth_release(lease);
    return NULL;
}

static void ask(struct http_conn *c, const char *path, struct times *out) {
    struct http_reply r;
    const int64_t began = bth_now();
    http_say(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    CHECK(http_read(c, &r));
    add(out, bth_now() - began);
    CHECK_INT(r.status, 200);
    http_free(&r);
}

static void *look(void *arg) {
    struct http_conn c = http_open(arg);
    while (atomic_load(&phase) < 2) {
        ask(&c, "/health", health);
        ask(&c, "/v1/stats", statistics);
        daemon_sleep_ms(5);
    }
    http_close(&c);
    return NULL;
}

/* ---- who comes and goes ----------------------------------------------------------------------*/

static void come_and_go(struct berth *b, int times) {
    for (int i = 0; i < times; i++) {
        struct berth_error err;
        berth_release(remote_acquire(b, "toy/other"));
        CHECK_OK(berth_unload(b, "toy/other", 5000, &err), err);
    }
}

static void prepare(void) {
    static const char other[] = "berth-toy 1\nweights_bytes = 16777216\nload_ms = 2\n";
    static const char config[] =
        "models:\n  toy/echo: {path: echo, alias: echo}\n  toy/other: {path: other}\n";
    daemon_prepare(&d, NULL);
    test_dir_write(&d.dir, "other", other, sizeof(other) - 1);
    test_dir_write(&d.dir, "berth.yaml", config, sizeof(config) - 1);
    daemon_start(&d);
}

static void report(int times) {
    const double alone = late(&turns[0]), beside = late(&turns[1]);
    const double healthy = late(&health[1]), counted = late(&statistics[1]);
    printf("measure 8: turns, 99 %%: %.2f ms of %zu alone, %.2f ms of %zu while another was loaded "
           "and "
           "unloaded %d times\n",
           alone, turns[0].n, beside, turns[1].n, times);
    printf("measure 8: health, 99 %%: %.2f ms alone, %.2f beside; statistics: %.2f, %.2f\n",
           late(&health[0]), healthy, late(&statistics[0]), counted);
    const bool strict = getenv("BERTH_LONG") && !TEST_SANITIZED;
    CHECK(beside <= (strict ? 1.1 * alone + 1 : 2 * alone + 100));
    CHECK(healthy <= (strict ? 5 : 250) && counted <= (strict ? 5 : 250));
}

int main(void) {
    pthread_t threads[2];
    const int times = getenv("BERTH_LONG") ? 1000 : TEST_SANITIZED ? 20 : 60;
    struct berth_error err;
    setvbuf(stdout, NULL, _IOLBF, 0);
    prepare();
    struct berth *b = remote_open(d.socket);
    CHECK(pthread_create(&threads[0], NULL, read_turns, b) == 0);
    CHECK(pthread_create(&threads[1], NULL, look, d.socket) == 0);
    daemon_sleep_ms(IDLE_MS);
    atomic_store(&phase, 1);
    come_and_go(b, times);
    atomic_store(&phase, 2);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    report(times);
    CHECK_OK(berth_close(b, 5000, &err), err);
    daemon_end(&d, SIGTERM);
    test_dir_close(&d.dir);
    return 0;
}

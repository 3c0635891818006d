/* Leases of a daemon's models: between two clients as between two threads, and gone with the
 * process that held them. */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <pthread.h>

static struct berth *a, *b;

static int acquire(struct berth *m, const char *model, enum berth_mode mode, int64_t wait_ms,
                   uint64_t owner, struct berth_lease **out, struct berth_error *err) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.mode = mode;
    o.wait_ms = wait_ms;
    o.owner = owner;
    o.tag = m == a ? "a" : "b";
    return berth_acquire(m, model, &o, out, err);
}

static struct berth_lease *take(struct berth *m, const char *model, enum berth_mode mode,
                                uint64_t owner) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(acquire(m, model, mode, 5000, owner, &lease, &err), err);
    return lease;
}

static uint64_t held(struct berth *m) {
    struct berth_usage u = BERTH_USAGE_INIT;
    CHECK_INT(berth_usage(m, &u), 0);
    uint64_t n = 0;
    for (uint32_t i = 0; i < u.n_families; i++) {
        n += u.families[i].leases;
    }
    return n;
}

/* ---- two clients -----------------------------------------------------------------------------*/

static void test_exclusive(void) {
    struct berth_error err;
    struct berth_lease *none, *shared = take(a, "echo", BERTH_SHARED, 0);
    CHECK_STR(berth_lease_model(shared), "toy/echo");
    CHECK_INT(acquire(b, "toy", BERTH_EXCLUSIVE, 0, 0, &none, &err), BERTH_ETIMEDOUT);
    CHECK_INT(acquire(b, "toy", BERTH_EXCLUSIVE, 150, 0, &none, &err), BERTH_ETIMEDOUT);
    CHECK(strstr(err.message, "held by toy/echo (a, shared)"));
    CHECK_INT(held(b), 1);
    berth_release(shared);
    CHECK_INT(held(b), 0);
    struct berth_lease *exclusive = take(b, "toy", BERTH_EXCLUSIVE, 0);
    CHECK_STR(berth_lease_model(exclusive), "toy");
    CHECK_INT(acquire(a, "echo", BERTH_SHARED, 100, 0, &none, &err), BERTH_ETIMEDOUT);
    CHECK_INT(berth_wait_available(a, "toy/echo", 0, 1, 100, &err), BERTH_ETIMEDOUT);
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_job *job;
    CHECK_INT(berth_submit(exclusive, &r, &job, &err), BERTH_ESTATE);
    berth_release(exclusive);
    CHECK_OK(berth_wait_available(a, "toy", 0, 1, 2000, &err), err);
    CHECK_INT(berth_wait_available(a, "nothing", 0, 1, 0, &err), BERTH_ENOTFOUND);
    CHECK_INT(acquire(a, "nothing", BERTH_EXCLUSIVE, 0, 0, &none, &err), BERTH_ENOTFOUND);
}

/* One's own leases do not keep one waiting; another client's owner of the same number is another.
 */
static void test_owners(void) {
    struct berth_error err;
    struct berth_lease *none;
    const uint64_t mine = berth_owner_new(a);
    CHECK(mine && mine != berth_owner_new(a));
    struct berth_lease *outer = take(a, "toy", BERTH_EXCLUSIVE, mine);
    struct berth_lease *inner = take(a, "echo", BERTH_SHARED, mine);
    CHECK_INT(acquire(b, "echo", BERTH_SHARED, 50, mine, &none, &err), BERTH_ETIMEDOUT);
    CHECK_OK(berth_wait_available(a, "toy", mine, 1, 0, &err), err);
    CHECK_INT(berth_wait_available(b, "toy", mine, 1, 0, &err), BERTH_ETIMEDOUT);
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_item *item;
    CHECK_OK(berth_run(inner, &r, &item, &err), err);
    CHECK_STR(item->text, "hallo");
    berth_item_free(item);
    berth_release(outer);
    CHECK_INT(acquire(a, "toy", BERTH_EXCLUSIVE, -1, mine, &none, &err), BERTH_EUPGRADE);
    berth_release(inner);
}

static void test_limit(void) {
    struct berth_error err;
    struct berth_lease *second, *first = take(a, "echo", BERTH_SHARED, 0);
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.max_concurrent = 1;
    o.wait_ms = 50;
    CHECK_INT(berth_acquire(b, "echo", &o, &second, &err), BERTH_ETIMEDOUT);
    o.max_concurrent = 2;
    CHECK_OK(berth_acquire(b, "echo", &o, &second, &err), err);
    berth_release(first);
    berth_release(second);
}

/* Two clients, each of which has what the other wants. */
static void *take_echo(void *arg) {
    berth_release(take(a, "echo", BERTH_EXCLUSIVE, 1));
    return arg;
}

static void test_ring(void) {
    struct berth_error err;
    struct berth_lease *none;
    pthread_t thread;
    struct berth_lease *mine = take(a, "marian", BERTH_EXCLUSIVE, 1);
    struct berth_lease *yours = take(b, "echo", BERTH_EXCLUSIVE, 1);
    CHECK_INT(pthread_create(&thread, NULL, take_echo, NULL), 0);
    daemon_sleep_ms(100);
    CHECK_INT(acquire(b, "marian", BERTH_EXCLUSIVE, 5000, 1, &none, &err), BERTH_EDEADLOCK);
    CHECK(strstr(err.message, "(a waits for toy/echo)"));
    berth_release(yours);
    pthread_join(thread, NULL);
    berth_release(mine);
}

/* A queue through the daemon goes by priorities too, and its user may raise his. */
static void test_priority(void) {
    struct berth_error err;
    struct berth_lease *held = take(a, "echo", BERTH_EXCLUSIVE, 0), *lease;
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_ticket *low, *high;
    o.mode = BERTH_EXCLUSIVE;
    CHECK_OK(berth_acquire_start(b, "echo", &o, &low, &err), err);
    o.priority = 9;
    CHECK_OK(berth_acquire_start(a, "echo", &o, &high, &err), err);
    berth_release(held);
    CHECK_OK(berth_ticket_wait(high, 5000, &lease, &err), err);
    CHECK_INT(berth_ticket_wait(low, 50, &held, &err), BERTH_ETIMEDOUT);
    berth_release(lease);
    berth_ticket_free(high);
    berth_ticket_free(low);
}

static void test_disable(void) {
    struct berth_error err;
    struct berth_lease *none;
    CHECK_OK(berth_disable(a, "echo", &err), err);
    CHECK_INT(acquire(b, "toy/echo", BERTH_SHARED, 5000, 0, &none, &err), BERTH_EDISABLED);
    CHECK_INT(berth_disable(a, "none", &err), BERTH_ENOTFOUND);
    struct berth_model_stats all[8];
    CHECK(berth_models(a, all, sizeof(*all), 8) > 0);
    CHECK_OK(berth_enable(b, "toy/echo", &err), err);
    berth_release(take(b, "echo", BERTH_SHARED, 0));
}

static void test_ticket(void) {
    struct berth_error err;
    struct berth_lease *lease, *again, *shared = take(a, "echo", BERTH_SHARED, 0);
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_ticket *first, *second;
    o.mode = BERTH_EXCLUSIVE;
    CHECK_INT(berth_acquire_start(b, "nothing", &o, &first, &err), BERTH_ENOTFOUND);
    CHECK_OK(berth_acquire_start(b, "echo", &o, &first, &err), err);
    CHECK_OK(berth_acquire_start(b, "echo", &o, &second, &err), err);
    CHECK_INT(berth_ticket_wait(first, 0, &lease, &err), BERTH_ETIMEDOUT);
    CHECK_INT(berth_ticket_wait(first, 50, &lease, &err), BERTH_ETIMEDOUT);
    berth_release(shared);
    CHECK_OK(berth_ticket_wait(first, 2000, &lease, &err), err);
    CHECK_INT(berth_ticket_wait(first, 0, &again, &err), BERTH_ESTATE);
    CHECK_INT(berth_ticket_wait(second, 50, &again, &err), BERTH_ETIMEDOUT);
    berth_ticket_free(first);
    CHECK_INT(held(a), 1);
    berth_ticket_free(second); /* leaves the queue */
    berth_release(lease);
    CHECK_INT(held(a), 0);
    CHECK_OK(berth_acquire_start(b, "echo", &o, &first, &err), err);
    daemon_sleep_ms(50);
    berth_ticket_free(first); /* granted and not taken */
    CHECK_INT(held(a), 0);
}

static void test_cleanup(void) {
    static const struct berth_option endless[] = {{"turns", "1000000"}, {"turn_us", "2000"}};
    struct berth_error err;
    struct berth_request r = remote_toy(endless, 2);
    struct berth_cleanup_report report = BERTH_CLEANUP_INIT;
    struct berth_job *job, *none;
    struct berth_item *item;
    struct berth_lease *lease = take(a, "echo", BERTH_SHARED, 0);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_OK(berth_cleanup(b, 0, 100, &report, &err), err);
    CHECK(report.forced && report.leases_revoked == 1 && report.models_unloaded == 1);
    CHECK(report.bytes_before > 0 && report.bytes_after == 0);
    CHECK_INT(berth_job_wait(job, 5000, &item, &err), BERTH_ECANCELLED);
    for (int i = 0; i < 200 && !berth_lease_revoked(lease); i++) {
        daemon_sleep_ms(10);
    }
    CHECK(berth_lease_revoked(lease));
    CHECK_INT(berth_submit(lease, &r, &none, &err), BERTH_EREVOKED);
    berth_job_free(job);
    berth_release(lease);
    lease = take(a, "echo", BERTH_SHARED, 7);
    CHECK_OK(berth_cleanup(a, 7, 60000, &report, &err), err); /* one's own are not waited for */
    CHECK(!report.forced && report.leases_revoked == 1);
    berth_release(lease);
}

/* Many threads of two clients, shared and exclusive: nobody is beside an exclusive. */
static _Atomic int inside, exclusives;

static void *contend(void *arg) {
    struct berth *m = arg;
    for (int i = 0; i < 30; i++) {
        const bool exclusive = (i + (m == a)) % 3 == 0;
        struct berth_lease *lease = take(m, "echo", exclusive ? BERTH_EXCLUSIVE : BERTH_SHARED, 0);
        inside++;
        exclusives += exclusive;
        CHECK(exclusives == 0 || inside == 1);
        exclusives -= exclusive;
        inside--;
        berth_release(lease);
    }
    return NULL;
}

static void test_threads(void) {
    enum { N = 6 };
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        CHECK(pthread_create(&threads[i], NULL, contend, i % 2 ? a : b) == 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(held(a), 0);
}

/* ---- the wire itself -------------------------------------------------------------------------*/

static int status_of(const struct test_daemon *d, const char *method, const char *path,
                     const char *body) {
    return http_status(d->socket, method, path, "", body);
}

static void test_protocol(const struct test_daemon *d) {
    static const char id[] = "0123456789abcdef0123456789abcdef";
    char path[128], text[256];
    snprintf(path, sizeof(path), "/v1/leases/%s/1", id);
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"echo\"}"), 410); /* no such session */
    CHECK_INT(status_of(d, "DELETE", path, NULL), 200);
    CHECK_INT(status_of(d, "PUT", "/v1/leases/x", "{\"model\":\"echo\"}"), 400);
    CHECK_INT(status_of(d, "PUT", "/v1/leases/x/-1", "{\"model\":\"echo\"}"), 400);
    CHECK_INT(status_of(d, "PUT", "/v1/leases/x/1/2", "{\"model\":\"echo\"}"), 400);
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"echo\",\"mode\":\"mine\"}"), 400);
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"echo\",\"what\":1}"), 400);
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"none\"}"), 404);
    CHECK_INT(status_of(d, "POST", "/v1/available", "{}"), 400);
    CHECK_INT(status_of(d, "POST", "/v1/available", "{\"model\":\"echo\",\"max_concurrent\":0}"),
              400);
    struct http_conn c = http_open(d->socket);
    http_say(&c, "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(http_read_until(&c, "\"epoch\""));
    const char *at = strstr(c.buf, "\"session\":\"");
    CHECK(at && sscanf(at, "\"session\":\"%32[0-9a-f]\"", text) == 1 && strlen(text) == 32);
    snprintf(path, sizeof(path), "/v1/leases/%s/7", text);
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"echo\",\"tag\":\"curl\"}"), 200);
    CHECK(http_read_until(&c, "\"granted\",\"lease\":7"));
    CHECK_INT(status_of(d, "PUT", path, "{\"model\":\"echo\"}"), 200); /* asked already */
    CHECK_INT(held(a), 1);
    struct http_reply r = http_ask(d->socket, "GET", "/v1/leases", "", NULL);
    CHECK(strstr(r.body, "\"tag\":\"curl\"") && strstr(r.body, "\"state\":\"held\""));
    http_free(&r);
    snprintf(text, sizeof(text), "/v1/run?model=whisper-1&lease=%s", path + strlen("/v1/leases/"));
    CHECK_INT(http_status(d->socket, "POST", text, "Content-Type: text/plain\r\n", "x"), 404);
    http_close(&c); /* and with the stream goes the lease */
    for (int i = 0; i < 100 && held(a); i++) {
        daemon_sleep_ms(10);
    }
    CHECK_INT(held(a), 0);
}

/* What has happened is told in its order, with causes and bytes; those who look on see it come. */
static void test_events(const struct test_daemon *d) {
    struct berth_error err;
    struct berth_lease *none;
    struct http_conn c = http_open(d->socket);
    http_say(&c, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(http_read_until(&c, "text/event-stream"));
    daemon_sleep_ms(300); /* it looks on */
    CHECK_OK(berth_unload(a, "echo", 5000, &err), err);
    struct berth_lease *lease = take(a, "echo", BERTH_SHARED, 0);
    CHECK_INT(acquire(b, "echo", BERTH_EXCLUSIVE, 0, 0, &none, &err), BERTH_ETIMEDOUT);
    CHECK_OK(berth_cleanup(b, 0, 0, NULL, &err), err);
    berth_release(lease);
    CHECK(http_read_until(&c, "event: load\ndata: {"));
    CHECK(http_read_until(&c, "event: grant"));
    CHECK(http_read_until(&c, "event: refuse"));
    CHECK(http_read_until(&c, "\"code\":\"ETIMEDOUT\",\"cause\":\"toy/echo: others had it"));
    CHECK(http_read_until(&c, "event: revoke"));
    CHECK(http_read_until(&c, "event: unload"));
    http_close(&c);
    struct http_reply r = http_ask(d->socket, "GET", "/v1/events?follow=false", "", NULL);
    CHECK_INT(r.status, 200);
    CHECK(strncmp(r.body, "id: 1\nevent: ", 13) == 0 && strstr(r.body, "\"bytes\":"));
    http_free(&r);
    r = http_ask(d->socket, "GET", "/v1/events?follow=false&since=3", "", NULL);
    CHECK(strncmp(r.body, "id: 4\n", 6) == 0);
    http_free(&r);
    r = http_ask(d->socket, "GET", "/v1/events?follow=false&since=1000000", "", NULL);
    CHECK(strncmp(r.body, "id: 1\n", 6) == 0); /* of a daemon that was there before */
    http_free(&r);
    CHECK_INT(http_status(d->socket, "GET", "/v1/events?since=x", "", NULL), 400);
    CHECK_INT(http_status(d->socket, "GET", "/v1/events?until=1", "", NULL), 400);
    r = http_ask(d->socket, "GET", "/metrics", "", NULL);
    CHECK(strstr(r.body, "berth_events_total{kind=\"revoke\"}"));
    CHECK(strstr(r.body, "berth_leases_refused_total{reason=\"ETIMEDOUT\"}"));
    CHECK(strstr(r.body, "berth_lease_hold_seconds_count"));
    http_free(&r);
}

/* ---- ends ------------------------------------------------------------------------------------*/

/* A process that holds everything for itself; with a child of its own that lives on. */
static pid_t start_holder(const struct test_daemon *d, bool with_child) {
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        a = remote_open(d->socket);
        take(a, "toy", BERTH_EXCLUSIVE, 0);
        if (with_child && fork() == 0) {
            daemon_sleep_ms(4000); /* has all descriptors of its parent */
            _exit(0);
        }
        CHECK(write(ready[1], "x", 1) == 1);
        daemon_sleep_ms(60000);
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void test_killed_clients(const pid_t *holders, size_t n, const char *socket) {
    struct berth_error err;
    struct berth_lease *lease;
    b = remote_open(socket);
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(acquire(b, "echo", BERTH_SHARED, 0, 0, &lease, &err), BERTH_ETIMEDOUT);
        int64_t killed = bth_now();
        CHECK(kill(holders[i], SIGKILL) == 0);
        lease = take(b, "echo", BERTH_SHARED, 0);
        CHECK(bth_now() - killed < 1000 * BTH_NS_PER_MS);
        berth_release(lease);
        CHECK(waitpid(holders[i], NULL, 0) == holders[i]);
    }
    berth_close(b, 0, NULL);
}

/* The news may take a moment: from then on every request under the lease is refused. */
static void expect_lost(struct berth_lease *lease) {
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_error err;
    struct berth_job *job;
    for (int rc = 0; rc != BERTH_ELOST;) {
        rc = berth_submit(lease, &r, &job, &err);
        if (rc == 0) {
            berth_job_free(job);
        }
    }
    CHECK(berth_error_retryable(err.code));
}

/* Killed at whatever point of its way it has come to: before it is there, while it asks, waits,
 * holds or gives back. What it had comes back within a second. */
static void test_killed_anywhere(const struct test_daemon *d) {
    enum { KILLS = 40, LONGEST_MS = 40 };
    uint32_t random = 12345;
    struct berth_error err;
    for (int i = 0; i < KILLS; i++) {
        random = random * 1664525 + 1013904223;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            execl(BTH_TEST_BERTHD, "berth", "lease", "-x", "toy", "-s", d->socket, "--", "sleep",
                  "0.02", (char *)NULL);
            _exit(99);
        }
        daemon_sleep_ms((long)(random >> 16) % LONGEST_MS);
        kill(pid, SIGKILL);
        struct berth_lease *lease;
        int rc = acquire(b, "toy", BERTH_EXCLUSIVE, 1000, 0, &lease, &err);
        CHECK_OK(rc, err);
        berth_release(lease);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    CHECK_INT(held(b), 0);
}

static void test_killed_daemon(struct test_daemon *d) {
    struct berth_error err;
    struct berth_lease *none, *lease = take(a, "echo", BERTH_SHARED, 0);
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_ticket *ticket;
    o.mode = BERTH_EXCLUSIVE;
    CHECK_OK(berth_acquire_start(b, "toy", &o, &ticket, &err), err);
    daemon_end(d, SIGKILL);
    CHECK_INT(berth_ticket_wait(ticket, 5000, &none, &err), BERTH_ELOST);
    CHECK(berth_error_retryable(err.code));
    berth_ticket_free(ticket);
    expect_lost(lease);
    daemon_start(d);
    expect_lost(lease); /* nothing comes back by itself */
    berth_release(lease);
    lease = take(a, "echo", BERTH_EXCLUSIVE, 0);
    berth_release(lease);
}

/* SIGTERM while a lease is held and nobody works: the daemon ends at once. */
static void test_stopped_daemon(struct test_daemon *d) {
    struct berth_lease *lease = take(a, "echo", BERTH_SHARED, 0);
    int64_t before = bth_now();
    CHECK(WIFEXITED(daemon_end(d, SIGTERM)));
    CHECK(bth_now() - before < 5000 * BTH_NS_PER_MS);
    expect_lost(lease);
    berth_release(lease);
}

int main(void) {
    int64_t live = bth_alloc_live();
    struct test_daemon d, e;
    daemon_prepare(&d, NULL);
    daemon_start(&d);
    daemon_prepare(&e, NULL);
    daemon_start(&e);
    const pid_t holders[] = {start_holder(&d, false), start_holder(&e, true)};
    test_killed_clients(&holders[0], 1, d.socket);
    test_killed_clients(&holders[1], 1, e.socket);
    daemon_end(&e, SIGTERM);
    test_dir_close(&e.dir);
    a = remote_open(d.socket);
    b = remote_open(d.socket);
    test_exclusive();
    test_owners();
    test_limit();
    test_ring();
    test_priority();
    test_disable();
    test_ticket();
    test_cleanup();
    test_threads();
    test_protocol(&d);
    test_events(&d);
    test_killed_anywhere(&d);
    test_killed_daemon(&d);
    test_stopped_daemon(&d);
    berth_close(a, 0, NULL);
    berth_close(b, 0, NULL);
    test_dir_close(&d.dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

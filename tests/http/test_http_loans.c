/* Leases without a session: asked for, renewed and given back by PUT and DELETE on a UUID, ended by
 * the clock; and how lists show leases, who waits and for how long, and how an administrator takes
 * one away. */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

static struct test_daemon d;
static struct berth *a;

static const char one[] = "/v1/leases/6f1c3a90-5b1e-4c53-9d5e-0123456789ab";
static const char two[] = "/v1/leases/6F1C3A90-5b1e-4c53-9d5e-0123456789AC";

static int status_of(const char *method, const char *path, const char *body) {
    return http_status(d.socket, method, path, "", body);
}

static void expect(const char *method, const char *path, const char *body, int status,
                   const char *text) {
    struct http_reply r = http_ask(d.socket, method, path, "", body);
    if (r.status != status || !strstr(r.body, text)) {
        TEST_FAIL("%s %s %s: %d %s", method, path, body ? body : "", r.status, r.body);
    }
    http_free(&r);
}

static struct berth_lease *take(enum berth_mode mode) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_lease *lease;
    struct berth_error err;
    o.mode = mode;
    o.wait_ms = 5000;
    o.tag = "me";
    CHECK_OK(berth_acquire(a, "echo", &o, &lease, &err), err);
    return lease;
}

static long number_in(const char *text, const char *key) {
    const char *at = strstr(text, key);
    CHECK(at);
    return strtol(at + strlen(key), NULL, 10);
}

static void expect_left(long least, long most) {
    struct http_reply r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
    const long left = number_in(r.body, "\"left_ms\":");
    CHECK(left > least && left <= most);
    http_free(&r);
}

/* ---- without a session -----------------------------------------------------------------------*/

static void test_bad(void) {
    CHECK_INT(status_of("PUT", one, "{\"model\":\"echo\"}"), 400); /* no ttl_ms */
    CHECK_INT(status_of("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":0}"), 400);
    CHECK_INT(status_of("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60001}"), 400);
    CHECK_INT(status_of("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":100,\"wait_ms\":-1}"), 400);
    CHECK_INT(status_of("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":100,\"owner\":1}"), 400);
    CHECK_INT(status_of("PUT", one, "{\"model\":\"none\",\"ttl_ms\":100}"), 404);
    CHECK_INT(status_of("PUT", one, "{\"model\":\"none\",\"mode\":\"exclusive\",\"ttl_ms\":9}"),
              404);
    CHECK_INT(status_of("PUT", "/v1/leases/6f1c3a90-5b1e-4c53-9d5e-0123456789ag",
                        "{\"model\":\"echo\",\"ttl_ms\":100}"),
              400);
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":100,\"renew\":true}", 410, "ELOST");
    expect("DELETE", one, NULL, 200, "{\"released\":false}");
}

static void test_life(void) {
    struct berth_error err;
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000,\"tag\":\"sh\",\"wait_ms\":5000}", 200,
           "{\"model\":\"toy/echo\",\"state\":\"held\",\"left_ms\":");
    expect("GET", "/v1/leases", NULL, 200, "\"tag\":\"sh\"");
    expect_left(45000, 60000);
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":30000,\"renew\":true}", 200, "held");
    expect_left(15000, 30000);
    expect("PUT", one, "{\"model\":\"echo\",\"mode\":\"exclusive\",\"ttl_ms\":9}", 400, "shared");
    /* another one does not get it for itself */
    expect("PUT", two, "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":500}", 504,
           "held by toy/echo (");
    expect("PUT", two, "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":9,\"wait_ms\":150}",
           504, "ETIMEDOUT");
    expect("DELETE", one, NULL, 200, "{\"released\":true}");
    expect("DELETE", one, NULL, 200, "{\"released\":false}");
    CHECK_OK(berth_wait_available(a, "toy", 0, 1, 0, &err), err);
}

/* Nobody renews it: it is revoked, and whoever waited is next. */
static void test_end(void) {
    struct berth_error err;
    expect("PUT", two, "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":1500}", 200, "held");
    expect("PUT", two, "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":1500}", 200, "held");
    CHECK_INT(berth_wait_available(a, "echo", 0, 1, 0, &err), BERTH_ETIMEDOUT);
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000,\"wait_ms\":5000}", 200, "held");
    expect("PUT", two, "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":9,\"renew\":true}",
           410, "ELOST");
    expect("GET", "/v1/events?follow=false", NULL, 200, "event: revoke");
    expect("DELETE", one, NULL, 200, "true");
}

/* A client that leaves while it waits has not got it later. */
static void test_left(void) {
    struct berth_lease *lease = take(BERTH_SHARED);
    struct http_conn c = http_open(d.socket);
    http_say(&c,
             "PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 69\r\n\r\n"
             "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":60000,\"wait_ms\":60000,\"a\"",
             two);
    http_close(&c); /* not even complete */
    c = http_open(d.socket);
    const char body[] =
        "{\"model\":\"toy\",\"mode\":\"exclusive\",\"ttl_ms\":60000,\"wait_ms\":60000}";
    http_say(&c, "PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", two,
             sizeof(body) - 1, body);
    for (int i = 0; i < 100 && status_of("GET", "/v1/leases", NULL) == 200; i++) {
        struct http_reply r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
        const bool waits = strstr(r.body, "\"state\":\"waiting\"") != NULL;
        http_free(&r);
        if (waits) {
            break;
        }
        daemon_sleep_ms(10);
    }
    expect("GET", "/v1/leases", NULL, 200, "\"waits_for\":\"lease\",\"expected_ms\":");
    http_close(&c);
    daemon_sleep_ms(500);
    berth_release(lease);
    lease = take(BERTH_EXCLUSIVE); /* nobody is in the way */
    berth_release(lease);
    expect("GET", "/v1/leases", NULL, 200, "\"total\":0");
}

static void test_many(void) {
    char path[80], last[80];
    int rc = 200, n = 0;
    for (; n < 100 && rc == 200; n++) {
        snprintf(path, sizeof(path), "/v1/leases/6f1c3a90-5b1e-4c53-9d5e-%012d", n);
        rc = status_of("PUT", path, "{\"model\":\"echo\",\"ttl_ms\":60000,\"wait_ms\":5000}");
    }
    CHECK_INT(rc, 429);
    CHECK_INT(n, 65);
    for (int i = 0; i < n; i++) {
        snprintf(last, sizeof(last), "/v1/leases/6f1c3a90-5b1e-4c53-9d5e-%012d", i);
        CHECK_INT(status_of("DELETE", last, NULL), 200);
    }
    expect("GET", "/v1/leases", NULL, 200, "\"total\":0");
}

/* ---- lists -----------------------------------------------------------------------------------*/

static void *wait_for_it(void *arg) {
    (void)arg;
    berth_release(take(BERTH_EXCLUSIVE));
    return NULL;
}

static void test_expected(void) {
    pthread_t waiter;
    char pid[32];
    berth_release(take(BERTH_SHARED));
    for (int i = 0; i < 64; i++) { /* some holds to learn from */
        struct berth_lease *lease = take(BERTH_SHARED);
        daemon_sleep_ms(i == 0 ? 900 : 1);
        berth_release(lease);
    }
    struct berth_lease *lease = take(BERTH_SHARED);
    CHECK(pthread_create(&waiter, NULL, wait_for_it, NULL) == 0);
    struct http_reply r = {0};
    for (int i = 0; i < 1000 && (!r.body || !strstr(r.body, "\"state\":\"waiting\"")); i++) {
        http_free(&r);
        daemon_sleep_ms(10);
        r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
    }
    snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)getpid());
    const char *held = strstr(r.body, "\"state\":\"held\""),
               *waits = strstr(r.body, "\"state\":\"waiting\"");
    CHECK(held && waits && strstr(held, pid) && strstr(waits, pid));
    CHECK_INT(number_in(held, "\"tid\":"), getpid()); /* the main thread */
    CHECK(number_in(waits, "\"tid\":") > 0 && number_in(waits, "\"tid\":") != getpid());
    CHECK_INT(number_in(waits, "\"position\":"), 1);
    /* at least one of the leases known was held for longer, 0.9 s */
    CHECK(number_in(waits, "\"expected_ms\":") >= 0);
    CHECK(number_in(waits, "\"expected_ms\":") < 10000);
    CHECK(strstr(held, "\"overdue\":false"));
    http_free(&r);
    bool known = true; /* until it is held longer than any was */
    for (int i = 0; i < 200 && known; i++) {
        daemon_sleep_ms(50);
        r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
        known = !strstr(r.body, "\"expected_ms\":null");
        http_free(&r);
    }
    CHECK(!known);
    berth_release(lease);
    pthread_join(waiter, NULL);
}

/* ---- an administrator ------------------------------------------------------------------------*/

static void test_revoke(void) {
    char path[64] = "/v1/leases/", id[24];
    struct berth_lease *lease = take(BERTH_EXCLUSIVE);
    struct http_reply r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
    const char *at = strstr(r.body, "\"id\":\"");
    CHECK(at && sscanf(at, "\"id\":\"%16[0-9a-f]\"", id) == 1);
    http_free(&r);
    strcat(path, id);
    expect("DELETE", path, NULL, 200, "{\"revoked\":true}");
    for (int i = 0; i < 200 && !berth_lease_revoked(lease); i++) {
        daemon_sleep_ms(10);
    }
    CHECK(berth_lease_revoked(lease));
    expect("DELETE", path, NULL, 410, "ELOST");
    expect("DELETE", "/v1/leases/ffffffffffffffff", NULL, 410, "ELOST");
    expect("DELETE", "/v1/leases/11111111111111111", NULL, 400, "EINVAL");
    struct berth_lease *next = take(BERTH_EXCLUSIVE); /* it is free, though not given back */
    berth_release(next);
    berth_release(lease);
    /* one without a session: its holder learns it once */
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000,\"wait_ms\":5000}", 200, "held");
    r = http_ask(d.socket, "GET", "/v1/leases", "", NULL);
    at = strstr(r.body, "\"id\":\"");
    CHECK(at && sscanf(at, "\"id\":\"%16[0-9a-f]\"", id) == 1);
    http_free(&r);
    snprintf(path, sizeof(path), "/v1/leases/%s", id);
    expect("DELETE", path, NULL, 200, "{\"revoked\":true}");
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000}", 503, "EREVOKED");
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000}", 200, "held"); /* asked for anew */
    expect("DELETE", one, NULL, 200, "true");
}

static void test_pins(void) {
    expect("GET", "/v1/pins", NULL, 200, "{\"pins\":[]}");
    expect("POST", "/v1/pins", "{\"model\":\"echo\",\"session\":\"0\"}", 410, "ELOST");
    expect("POST", "/v1/pins", "{\"model\":\"toy\",\"session\":\"0\"}", 404, "ENOTFOUND");
    struct http_conn c = http_open(d.socket);
    char body[160], id[40];
    http_say(&c, "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(http_read_until(&c, "\"epoch\""));
    const char *at = strstr(c.buf, "\"session\":\"");
    CHECK(at && sscanf(at, "\"session\":\"%32[0-9a-f]\"", id) == 1);
    snprintf(body, sizeof(body), "{\"model\":\"echo\",\"session\":\"%s\",\"tag\":\"x\"}", id);
    expect("POST", "/v1/pins", body, 200, "{\"pinned\":true}");
    expect("POST", "/v1/pins", body, 200, "{\"pinned\":true}"); /* it is one pin */
    expect("GET", "/v1/pins", NULL, 200, "\"model\":\"toy/echo\",\"holder\":\"uid ");
    expect("POST", "/v1/models/unload", "{\"model\":\"echo\"}", 409, "EBUSY");
    snprintf(body, sizeof(body), "{\"model\":\"echo\",\"session\":\"%s\"}", id);
    expect("POST", "/v1/models/unload", body, 200, "toy/echo"); /* one's own */
    snprintf(body, sizeof(body), "{\"model\":\"echo\",\"session\":\"%s\",\"pin\":false}", id);
    expect("POST", "/v1/pins", body, 200, "{\"pinned\":false}");
    expect("POST", "/v1/pins", body, 200, "{\"pinned\":false}");
    expect("POST", "/v1/models/unload", "{\"model\":\"echo\"}", 200, "toy/echo");
    http_close(&c);
}

/* What happens after the last look at it is in the log too. */
static void check_log(const char *path) {
    static char text[1 << 20];
    FILE *f = fopen(path, "re");
    CHECK(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    const char *stopping = strstr(text, "stopping"), *stopped = strstr(text, "stopped");
    CHECK(stopping && stopped);
    const char *gone = strstr(stopping, "toy/echo: unloaded");
    CHECK(gone && gone < stopped);
}

static void start_with_log(const char *path) {
    const int saved = dup(2), log = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(saved >= 0 && log >= 0 && dup2(log, 2) == 2);
    daemon_start(&d);
    CHECK(dup2(saved, 2) == 2);
    close(saved);
    close(log);
}

int main(void) {
    int64_t live = bth_alloc_live();
    char log[512];
    daemon_prepare(&d, NULL);
    test_dir_path(&d.dir, "log", log);
    start_with_log(log);
    a = remote_open(d.socket);
    test_bad();
    test_life();
    test_end();
    test_left();
    test_many();
    test_expected();
    test_revoke();
    test_pins();
    /* one is held while the daemon ends */
    expect("PUT", one, "{\"model\":\"echo\",\"ttl_ms\":60000,\"wait_ms\":5000}", 200, "held");
    CHECK_INT(daemon_end(&d, SIGTERM), 0);
    check_log(log);
    berth_close(a, 0, NULL);
    test_dir_close(&d.dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

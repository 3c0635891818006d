/* What goes wrong inside: memory that is not there, a device that hangs. Nobody waits for ever, and
 * the server is well again when the cause is gone. */
#include "base/alloc.h"
#include "lib/http.h"
#include <unistd.h>

static struct test_server t;

static const char *const requests[] = {
    "POST /v1/run?model=echo&turns=2&emit=1&stream=true HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/leases HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/events?follow=false HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/plan?load=echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/available HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n"
    "{\"model\":\"echo\"}",
    "POST /v1/models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n"
    "{\"model\":\"echo\"}",
    "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 64\r\n\r\n"
    "--B\r\nContent-Disposition: form-data; name=model\r\n\r\necho\r\n--B--\r\n",
};

/* One allocation after the other fails, in whatever thread: an answer, or a closed connection. */
static void test_memory(void) {
    for (size_t i = 0; i < BTH_COUNT(requests); i++) {
        int64_t n = 1;
        for (bool failed = true; failed; n++) {
            struct http_conn c = http_open(t.address);
            struct http_reply r;
            http_sleep_ms(2); /* the connection is accepted */
            bth_alloc_fail_at(n);
            http_send(&c, requests[i], strlen(requests[i]));
            if (http_read(&c, &r)) {
                CHECK(r.status == 200 || r.status >= 400);
                http_free(&r);
            }
            failed = bth_alloc_failed();
            bth_alloc_fail_at(0);
            http_close(&c);
        }
        CHECK(n > 2);
    }
    for (int i = 0; i < 200 && bth_server_busy(t.server); i++) {
        http_sleep_ms(10);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
    /* a load that failed is tried again after a second or two */
    int status = 0;
    for (int i = 0; i < 100 && status != 200; i++) {
        http_sleep_ms(100);
        status = http_status(t.address, "POST", "/v1/models/load", NULL, "{\"model\":\"echo\"}");
    }
    CHECK_INT(status, 200);
}

/* A session from its beginning to its end: at worst it is cut, and then its leases are back. */
static void test_session_memory(void) {
    for (int64_t n = 1, failed = 1; failed; n++) {
        struct http_conn c = http_open(t.address);
        char id[64] = "", path[96];
        http_sleep_ms(2);
        bth_alloc_fail_at(n);
        http_say(&c,
                 "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
        if (http_read_until(&c, "}\n")) {
            const char *at = strstr(c.buf, "\"session\":\"");
            CHECK(!at || sscanf(at, "\"session\":\"%32[0-9a-f]\"", id) == 1);
        }
        snprintf(path, sizeof(path), "PUT /v1/leases/%s/1", id);
        struct http_conn put = http_open(t.address);
        struct http_reply r;
        http_say(&put, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n%s", path,
                 "{\"model\":\"echo\"}");
        if (http_read(&put, &r)) {
            if (r.status == 200) {
                http_read_until(&c, "\"lease\":1"); /* granted, or refused, or cut off */
            }
            http_free(&r);
        }
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        http_close(&put);
        http_close(&c);
    }
    struct berth_usage u = BERTH_USAGE_INIT;
    uint64_t held = 1;
    for (int i = 0; i < 200 && held; i++) {
        http_sleep_ms(10);
        CHECK_INT(berth_usage(t.berth, &u), 0);
        held = 0;
        for (uint32_t k = 0; k < u.n_families; k++) {
            held += u.families[k].leases;
        }
    }
    CHECK_INT(held, 0);
}

/* A turn of six seconds: after five the device counts as stuck, and whoever asks is told at once.
 */
static void test_stuck(void) {
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    http_say(&c, "POST /v1/run?model=echo&turn_us=6000000 HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    http_sleep_ms(1000);
    CHECK_INT(http_status(t.address, "GET", "/health/live", NULL, NULL), 200);
    http_sleep_ms(4400);
    CHECK_INT(http_status(t.address, "GET", "/health/live", NULL, NULL), 503);
    CHECK_INT(http_status(t.address, "GET", "/health", NULL, NULL), 503);
    CHECK_INT(http_status(t.address, "GET", "/api/model-stats", NULL, NULL), 503);
    CHECK(http_read(&c, &r));
    CHECK_INT(r.status, 200);
    http_free(&r);
    http_close(&c);
    CHECK_INT(http_status(t.address, "GET", "/health/live", NULL, NULL), 200);
}

/* The place for bodies is not there: an error of ours, and only for bodies that need it. */
static void test_no_disk(void) {
    static char body[100000];
    memset(body, 'x', sizeof(body) - 1);
    const char *type = "Content-Type: text/plain\r\n";
    CHECK_INT(http_status(t.address, "POST", "/v1/run?model=echo", type, body), 500);
    CHECK_INT(http_status(t.address, "POST", "/v1/run?model=echo", type, "x"), 200);
}

int main(void) {
    int64_t live = bth_alloc_live();
    http_prepare(&t);
    setenv("TMPDIR", "/no/such/directory", 1);
    http_start(&t, NULL);
    test_memory();
    test_session_memory();
    test_no_disk();
    test_stuck();
    http_stop(&t);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

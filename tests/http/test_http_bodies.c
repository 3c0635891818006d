/* Bodies and heads as strangers send them: in pieces, too large, lying about their length, slowly.
 * Each is served or refused, and the server is as good as new afterwards. */
#include "base/alloc.h"
#include "lib/http.h"

static struct test_server t;
static const char *const run_head = "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                                    "Content-Type: text/plain\r\n";

static void expect(struct http_conn *c, int status, const char *text) {
    struct http_reply r;
    if (!http_read(c, &r)) {
        TEST_FAIL("closed instead of %d", status);
    }
    if (r.status != status || (text && !strstr(r.body, text))) {
        TEST_FAIL("%d \"%s\" instead of %d \"%s\"", r.status, r.body, status, text ? text : "");
    }
    http_free(&r);
}

/* A status, or the connection just closed: what libmicrohttpd refuses itself. */
static void expect_refused(const char *request) {
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    http_send(&c, request, strlen(request));
    if (http_read(&c, &r)) {
        if (r.status < 400 || r.status > 499) {
            TEST_FAIL("%d for %s", r.status, request);
        }
        http_free(&r);
    }
    CHECK(http_closed(&c, 3000));
    http_close(&c);
}

static void test_pieces(void) {
    struct http_conn c = http_open(t.address);
    http_say(&c, "%sContent-Length: 5\r\n\r\nhe", run_head);
    http_sleep_ms(30);
    http_say(&c, "l");
    http_sleep_ms(30);
    http_say(&c, "lo");
    expect(&c, 200, "\"text\":\"hello\"");
    /* the same connection, in chunks, byte by byte, with a trailer */
    char text[512];
    snprintf(text, sizeof(text),
             "%sTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n"
             "X-Trailer: 1\r\n\r\n",
             run_head);
    for (const char *p = text; *p; p++) {
        http_send(&c, p, 1);
    }
    expect(&c, 200, "\"text\":\"hello\"");
    http_close(&c);
}

static void test_pipelining(void) {
    struct http_conn c = http_open(t.address);
    for (int i = 0; i < 20; i++) {
        http_say(&c,
                 "%sContent-Length: 2\r\n\r\n%02dGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 run_head, i);
    }
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof(text), "\"text\":\"%02d\"", i);
        expect(&c, 200, text);
        expect(&c, 200, "\"ok\"");
    }
    http_close(&c);
}

/* Through the file: what was sent comes back. */
static void test_large(void) {
    enum { N = 300000 };
    char *text = malloc(N + 1);
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    CHECK(text);
    for (int i = 0; i < N; i++) {
        text[i] = (char)('a' + i % 26);
    }
    text[N] = '\0';
    http_say(&c, "%sContent-Length: %d\r\n\r\n", run_head, N);
    http_send(&c, text, N);
    CHECK(http_read(&c, &r));
    CHECK_INT(r.status, 200);
    const char *at = strstr(r.body, "\"text\":\"");
    CHECK(at && strncmp(at + 8, text, N) == 0 && at[8 + N] == '"');
    http_free(&r);
    http_close(&c);
    free(text);
}

static void test_limits(void) {
    struct http_conn c = http_open(t.address);
    /* known from its head: nothing is sent, and nothing is asked for */
    http_say(&c, "%sExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", run_head);
    CHECK(http_read_until(&c, "\r\n\r\n"));
    CHECK(strncmp(c.buf, "HTTP/1.1 413", 12) == 0);
    http_close(&c);
    c = http_open(t.address);
    http_say(&c, "%sContent-Length: 18446744073709551616\r\n\r\n", run_head);
    struct http_reply r;
    if (http_read(&c, &r)) {
        CHECK(r.status == 400 || r.status == 413);
        http_free(&r);
    }
    http_close(&c);
    /* found out on the way; the rest is read and thrown away */
    c = http_open(t.address);
    char block[10000];
    memset(block, 'x', sizeof(block));
    http_say(&c, "%sTransfer-Encoding: chunked\r\n\r\n", run_head);
    for (int i = 0; i < 120; i++) {
        http_say(&c, "%zx\r\n", sizeof(block));
        http_send(&c, block, sizeof(block));
        http_say(&c, "\r\n");
    }
    http_say(&c, "0\r\n\r\n");
    expect(&c, 413, "ETOOLARGE");
    http_say(&c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(&c, 200, NULL);
    http_close(&c);
    /* JSON has a smaller limit */
    c = http_open(t.address);
    http_say(&c,
             "POST /v1/models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n");
    expect(&c, 413, "ETOOLARGE");
    http_close(&c);
}

static void test_smuggling(void) {
    static const char *const requests[] = {
        "POST /v1/run?model=echo HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
        "2\r\n\r\nxx",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
        "1\r\n\r\nx",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1,1\r\n\r\nx",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x1\r\n\r\nx",
        "POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\nx",
    };
    for (size_t i = 0; i < BTH_COUNT(requests); i++) {
        expect_refused(requests[i]);
    }
}

static void test_bad_chunks(void) {
    static const char *const chunks[] = {"zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n",
                                         "3\r\nabcde\r\n", "\r\n"};
    for (size_t i = 0; i < BTH_COUNT(chunks); i++) {
        char text[512];
        snprintf(text, sizeof(text), "%sTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", run_head,
                 chunks[i]);
        expect_refused(text);
    }
}

/* Whoever sends chunks does not say how many: one that is refused is not listened to for long. */
static void test_refused_chunks(void) {
    char chunk[16384 + 16];
    int n = snprintf(chunk, sizeof(chunk), "4000\r\n%016384d\r\n", 0);
    struct http_conn c = http_open(t.address);
    http_say(&c, "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
    expect(&c, 404, NULL); /* at once, with no end of the body */
    CHECK(http_closed(&c, 3000));
    http_close(&c);
    c = http_open(t.address); /* its form is refused in its middle */
    http_say(&c, "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: multipart/form-data; boundary=b\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        http_send(&c, chunk, (size_t)n);
    }
    CHECK(http_closed(&c, 3000));
    http_close(&c);
}

static void test_header_flood(void) {
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    http_say(&c, "GET /health HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 20000; i++) {
        http_say(&c, "X-Header-%d: some value that takes room\r\n", i);
    }
    http_say(&c, "\r\n");
    if (http_read(&c, &r)) {
        CHECK_INT(r.status, 431);
        http_free(&r);
    }
    http_close(&c);
}

/* Half-sent heads and bodies, then gone, or silent: both end. */
static void test_half_sent(void) {
    for (int i = 0; i < 20; i++) {
        struct http_conn c = http_open(t.address);
        http_say(&c, i % 2 ? "POST /v1/ru" : "%sContent-Length: 100\r\n\r\nabc", run_head);
        http_close(&c);
    }
    for (int i = 0; i < 100 && bth_server_busy(t.server); i++) {
        http_sleep_ms(20);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
}

/* A byte now and then does not keep a connection; the limits are short here. */
static void test_slow(void) {
    static const char post[] = "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                               "Content-Length: 100000\r\n\r\n";
    static const char *const begin[] = {"", "GET /health HTTP/1.1\r\nX: ", post};
    struct http_conn c[3];
    bool closed[3] = {false};
    for (size_t i = 0; i < 3; i++) {
        c[i] = http_open(t.address);
        http_say(&c[i], "%s", begin[i]);
    }
    for (int tries = 0; tries < 40 && !(closed[0] && closed[1] && closed[2]); tries++) {
        for (size_t i = 0; i < 3; i++) {
            http_send(&c[i], "x", i > 0);
            closed[i] = closed[i] || http_closed(&c[i], 20);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK(closed[i]);
        http_close(&c[i]);
    }
    CHECK_INT(http_status(t.address, "GET", "/health", NULL, NULL), 200);
}

int main(void) {
    int64_t live = bth_alloc_live();
    http_prepare(&t);
    t.config.limits.body_bytes = 1000000;
    http_start(&t, NULL);
    test_pieces();
    test_pipelining();
    test_large();
    test_limits();
    test_smuggling();
    test_bad_chunks();
    test_refused_chunks();
    test_header_flood();
    test_half_sent();
    http_stop(&t);
    http_prepare(&t);
    t.config.limits.head_ms = t.config.limits.stall_ms = 400;
    http_start(&t, NULL);
    test_slow();
    http_stop(&t);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

/* Many at once, and many who leave: everybody is served, who leaves is cancelled within a second,
 * and descriptors, threads and memory are back afterwards. */
#include "base/alloc.h"
#include "lib/http.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 200, DRIVERS = 4 };

static struct test_server t;
static int rounds; /* of the load: 2,000 requests, or 10,000 with BERTH_LONG */

static struct berth_model_stats toy(void) {
    struct berth_model_stats all[8];
    CHECK(berth_models(t.berth, all, sizeof(all[0]), 8) >= 3);
    return all[0];
}

/* Requests on the model that have not ended. */
static uint64_t at_work(void) {
    struct berth_model_stats s = toy();
    return s.leases + s.waiting + s.running;
}

static void wait_idle(int ms) {
    for (int i = 0; i < ms / 10 && (at_work() || bth_server_busy(t.server)); i++) {
        http_sleep_ms(10);
    }
    CHECK_INT(at_work(), 0);
    CHECK_INT(bth_server_busy(t.server), 0);
}

/* ---- load ---- */

static void *drive(void *arg) {
    struct http_conn c[CONNECTIONS / DRIVERS];
    int first = *(int *)arg;
    for (size_t i = 0; i < BTH_COUNT(c); i++) {
        c[i] = http_open(i % 2 ? t.socket : t.address);
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < BTH_COUNT(c); i++) {
            http_say(&c[i],
                     "POST /v1/run?model=echo&turns=2&emit=1&stream=%s HTTP/1.1\r\n"
                     "Host: localhost\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
                     "%06d",
                     round % 2 ? "true" : "false", first + (int)i * rounds + round);
        }
        for (size_t i = 0; i < BTH_COUNT(c); i++) {
            struct http_reply r;
            char text[32];
            CHECK(http_read(&c[i], &r));
            CHECK_INT(r.status, 200);
            snprintf(text, sizeof(text), "\"text\":\"%06d\"", first + (int)i * rounds + round);
            CHECK(strstr(r.body, "\"partial\":false"));
            CHECK(strstr(r.body, text));
            http_free(&r);
        }
    }
    for (size_t i = 0; i < BTH_COUNT(c); i++) {
        http_close(&c[i]);
    }
    return NULL;
}

static void test_load(void) {
    pthread_t threads[DRIVERS];
    int first[DRIVERS];
    for (int i = 0; i < DRIVERS; i++) {
        first[i] = i * 100000;
        CHECK(pthread_create(&threads[i], NULL, drive, &first[i]) == 0);
    }
    for (int i = 0; i < DRIVERS; i++) {
        pthread_join(threads[i], NULL);
    }
    wait_idle(2000);
    CHECK(toy().served >= (uint64_t)(CONNECTIONS * rounds));
}

/* ---- chaos ---- */

/* Any request, cut at any place, left at any time. */
static void *misbehave(void *arg) {
    static const char *const options[] = {"",
                                          "&turns=5&turn_us=3000",
                                          "&emit=2&stream=true&turns=20",
                                          "&turns=1000&turn_us=1000&stream=true&emit=1",
                                          "&fail=EIO",
                                          "&nope=1"};
    unsigned long long seed = *(unsigned long long *)arg;
    const int n_requests = 15 * rounds;
    for (int i = 0; i < n_requests; i++) {
        char text[512];
        struct http_conn c = http_open(test_rand(&seed) % 2 ? t.socket : t.address);
        int n = snprintf(text, sizeof(text),
                         "POST /v1/run?model=%s%s HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Type: text/plain\r\nContent-Length: 40\r\n\r\n%040d",
                         test_rand(&seed) % 8 ? "echo" : "toy/slow",
                         options[test_rand(&seed) % BTH_COUNT(options)], i);
        bool whole = test_rand(&seed) % 4 != 0;
        http_send(&c, text, whole ? (size_t)n : test_rand(&seed) % (size_t)n);
        if (test_rand(&seed) % 2) {
            http_sleep_ms((long)(test_rand(&seed) % 12));
        }
        if (test_rand(&seed) % 3 == 0) {
            shutdown(c.fd, test_rand(&seed) % 2 ? SHUT_WR : SHUT_RDWR);
        }
        if (test_rand(&seed) % 4 == 0) {
            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                       sizeof(struct linger));
        }
        http_close(&c);
    }
    return NULL;
}

static void test_chaos(void) {
    pthread_t threads[DRIVERS];
    unsigned long long seeds[DRIVERS];
    for (int i = 0; i < DRIVERS; i++) {
        seeds[i] = 11 + (unsigned long long)i;
        CHECK(pthread_create(&threads[i], NULL, misbehave, &seeds[i]) == 0);
    }
    for (int i = 0; i < 20; i++) { /* loads and unloads between them */
        const char *path = i % 2 ? "/v1/models/load" : "/v1/models/unload";
        int status = http_status(t.address, "POST", path, NULL, "{\"model\":\"toy/slow\"}");
        CHECK(status == 200);
    }
    for (int i = 0; i < DRIVERS; i++) {
        pthread_join(threads[i], NULL);
    }
    wait_idle(3000);
}

/* ---- who leaves ---- */

static const char *const long_run =
    "POST /v1/run?model=echo&turns=10000&turn_us=10000%s HTTP/1.1\r\n"
    "Host: localhost\r\nContent-Type: text/plain\r\n"
    "Content-Length: 1\r\n\r\nx";

static struct http_conn start_long(const char *address, const char *more) {
    char text[512];
    struct http_conn c = http_open(address);
    snprintf(text, sizeof(text), long_run, more);
    http_send(&c, text, strlen(text));
    return c;
}

static void test_leave(void) {
    struct http_conn c[30];
    for (size_t i = 0; i < BTH_COUNT(c); i++) {
        c[i] = start_long(i % 2 ? t.socket : t.address, i % 3 ? "" : "&emit=1&stream=true");
    }
    while (at_work() < BTH_COUNT(c)) {
        http_sleep_ms(5);
    }
    http_sleep_ms(700); /* some have had signs of life */
    for (size_t i = 0; i < BTH_COUNT(c); i++) {
        if (i % 5 == 0) { /* with a reset */
            setsockopt(c[i].fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                       sizeof(struct linger));
        }
        http_close(&c[i]);
    }
    wait_idle(1000);
}

/* Who waits for a load and leaves is not waited for. */
static void test_leave_loading(void) {
    struct http_conn c = http_open(t.address);
    http_say(&c, "POST /v1/run?model=toy/slow HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    while (bth_server_busy(t.server) == 0) {
        http_sleep_ms(1);
    }
    http_close(&c);
    for (int i = 0; i < 100 && bth_server_busy(t.server); i++) {
        http_sleep_ms(10);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
}

/* A reader who does not read stops the job, not the server; then he is dropped. */
static void test_slow_reader(void) {
    char *text = malloc(60001);
    CHECK(text);
    memset(text, 'x', 60000);
    text[60000] = '\0';
    struct http_conn c = http_open(t.address);
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    http_say(&c, "POST /v1/run?model=echo&turns=2000&emit=2&stream=true HTTP/1.1\r\n"
                 "Host: localhost\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n");
    http_send(&c, text, 60000);
    free(text);
    CHECK_INT(http_status(t.address, "GET", "/health", NULL, NULL), 200);
    wait_idle(5000); /* stall_ms is 1 s here */
    http_close(&c);
}

/* ---- no room ---- */

static void test_queue(void) {
    struct http_conn c[4];
    struct http_reply r;
    for (size_t i = 0; i < 3; i++) {
        c[i] = start_long(t.address, "");
    }
    while (bth_server_busy(t.server) < 3) {
        http_sleep_ms(5);
    }
    c[3] = start_long(t.address, "");
    CHECK(http_read(&c[3], &r));
    CHECK_INT(r.status, 429);
    CHECK(atoi(http_field(&r, "Retry-After")) >= 1);
    CHECK(strstr(r.body, "\"code\":\"EOVERLOADED\""));
    http_free(&r);
    /* what is no work has room; and says who is there */
    r = http_ask(t.address, "GET", "/v1/requests", NULL, NULL);
    CHECK(strstr(r.body, "\"model\":\"toy/echo\""));
    http_free(&r);
    for (size_t i = 0; i < 4; i++) {
        http_close(&c[i]);
    }
    wait_idle(1000);
}

/* Bodies of all requests share one limit, which is given back. */
static void test_total(void) {
    struct http_conn a = http_open(t.address), b = http_open(t.address);
    struct http_reply r;
    char block[6000];
    memset(block, 'x', sizeof(block));
    http_say(&a, "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 6001\r\n\r\n");
    http_send(&a, block, sizeof(block));
    http_sleep_ms(50);
    http_say(&b, "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 6000\r\n\r\n");
    http_send(&b, block, sizeof(block));
    CHECK(http_read(&b, &r));
    CHECK_INT(r.status, 429);
    http_free(&r);
    http_send(&a, "x", 1);
    CHECK(http_read(&a, &r));
    CHECK_INT(r.status, 200);
    http_free(&r);
    http_say(&b, "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 6000\r\n\r\n");
    http_send(&b, block, sizeof(block));
    CHECK(http_read(&b, &r));
    CHECK_INT(r.status, 200);
    http_free(&r);
    http_close(&a);
    http_close(&b);
}

static void test_per_caller(void) {
    struct http_conn a = start_long(t.socket, ""), b;
    struct http_reply r;
    while (bth_server_busy(t.server) < 1) {
        http_sleep_ms(5);
    }
    b = start_long(t.socket, ""); /* the same process */
    CHECK(http_read(&b, &r));
    CHECK_INT(r.status, 429);
    http_free(&r);
    http_close(&a);
    http_close(&b);
    wait_idle(1000);
}

/* Who has the answer finds the place free, and the model: nothing is given back after it. */
static void test_room_after_answer(void) {
    struct http_conn c = http_open(t.address);
    for (int i = 0; i < 1000; i++) {
        struct http_reply r;
        http_say(&c,
                 "POST /v1/run?model=echo&emit=1&stream=%s HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
                 i % 2 ? "true" : "false");
        CHECK(http_read(&c, &r));
        CHECK_INT(r.status, 200);
        CHECK_INT(toy().leases, 0);
        http_free(&r);
    }
    http_close(&c);
}

/* Whose request it is: the peer, and the name that he gives one of his callers, if it is safe. */
static void test_caller(void) {
    struct http_conn c[2];
    char want[128];
    for (int i = 0; i < 2; i++) {
        c[i] = http_open(t.socket);
        http_say(&c[i],
                 "POST /v1/run?model=echo&turns=10000&turn_us=10000 HTTP/1.1\r\n"
                 "Host: localhost\r\nContent-Type: text/plain\r\n%s"
                 "Content-Length: 1\r\n\r\nx",
                 i ? "X-Berth-Caller: <b>\r\n" : "X-Berth-Caller: import-7\r\n");
        while (bth_server_busy(t.server) < 1) {
            http_sleep_ms(5);
        }
        struct http_reply r = http_ask(t.socket, "GET", "/v1/requests", NULL, NULL);
        snprintf(want, sizeof(want), "\"caller\":\"uid %ld pid %ld%s\"", (long)getuid(),
                 (long)getpid(), i ? "" : " import-7");
        CHECK(strstr(r.body, want));
        http_free(&r);
        http_close(&c[i]);
        wait_idle(1000);
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    rounds = getenv("BERTH_LONG") ? 50 : 10;
    http_prepare(&t);
    http_start(&t, NULL);
    test_load();
    test_leave();
    test_leave_loading(); /* while toy/slow has not been loaded */
    test_chaos();
    http_stop(&t);
    http_prepare(&t);
    t.config.limits.stall_ms = 1000;
    t.config.limits.rate = 1 << 30;
    t.config.limits.queue = 3;
    http_start(&t, NULL);
    test_slow_reader();
    test_queue();
    http_stop(&t);
    http_prepare(&t);
    t.config.limits.per_caller = 1;
    t.config.limits.total_bytes = 10000;
    http_start(&t, NULL);
    test_room_after_answer();
    test_total();
    test_per_caller();
    test_caller();
    http_stop(&t);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

/* A daemon that goes away, and things that answer and are none: clear errors, nothing hangs,
 * nothing leaks. */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* ---- a daemon that is killed and comes back --------------------------------------------------*/

static const struct berth_option endless[] = {{"turns", "1000000"}, {"turn_us", "2000"}};

static void expect_lost(struct berth_job *job) {
    struct berth_item *item;
    struct berth_error err;
    CHECK_INT(berth_job_wait(job, 5000, &item, &err), BERTH_ELOST);
    CHECK(strstr(err.message, "try again"));
    CHECK(berth_error_retryable(BERTH_ELOST));
    CHECK_INT(berth_job_state(job), BERTH_JOB_FAILED);
    berth_job_free(job);
}

static void test_killed(struct test_daemon *d) {
    enum { JOBS = 8 };
    struct berth *b = remote_open(d->socket);
    struct berth_lease *lease, *more;
    struct berth_job *jobs[JOBS];
    struct berth_item *item;
    struct berth_error err;
    struct berth_request r = remote_toy(endless, 2);
    CHECK_OK(berth_acquire(b, "echo", NULL, &lease, &err), err);
    for (int i = 0; i < JOBS; i++) {
        CHECK_OK(berth_submit(lease, &r, &jobs[i], &err), err);
    }
    daemon_sleep_ms(100);
    CHECK(WIFSIGNALED(daemon_end(d, SIGKILL)));
    for (int i = 0; i < JOBS; i++) {
        expect_lost(jobs[i]);
    }
    CHECK_INT(berth_submit(lease, &r, &jobs[0], &err), BERTH_ELOST);
    CHECK(!berth_lease_revoked(lease));
    CHECK_INT(berth_acquire(b, "echo", NULL, &more, &err), BERTH_ELOST);
    CHECK_INT(berth_models(b, NULL, 0, 0), 0);
    CHECK_INT(berth_unload(b, "echo", 100, &err), BERTH_ELOST);
    daemon_start(d); /* the handle is good for the new daemon, the old lease is not */
    CHECK_INT(berth_submit(lease, &r, &jobs[0], &err), BERTH_ELOST);
    berth_release(lease);
    CHECK_OK(berth_acquire(b, "echo", NULL, &lease, &err), err);
    r = remote_toy(NULL, 0);
    CHECK_OK(berth_run(lease, &r, &item, &err), err);
    CHECK_STR(item->text, "hallo");
    berth_item_free(item);
    berth_release(lease);
    CHECK_OK(berth_close(b, 0, &err), err);
}

/* SIGTERM with a request that does not end: an error that says so, not silence. */
static void test_stopped(struct test_daemon *d) {
    struct berth *b = remote_open(d->socket);
    struct berth_lease *lease;
    struct berth_job *job;
    struct berth_item *item;
    struct berth_error err;
    struct berth_request r = remote_toy(endless, 2);
    CHECK_OK(berth_acquire(b, "echo", NULL, &lease, &err), err);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    daemon_sleep_ms(50);
    CHECK(WIFEXITED(daemon_end(d, SIGTERM)));
    CHECK(berth_job_wait(job, 5000, &item, &err) < 0);
    CHECK(err.code == BERTH_ECANCELLED || err.code == BERTH_ESHUTDOWN || err.code == BERTH_ELOST);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 0, &err), err);
}

/* ---- what is no daemon -----------------------------------------------------------------------*/

/* To POST /v1/run. */
struct fake_answer {
    const char *text;
    size_t size;
    size_t repeat, n_repeat; /* its last bytes, once more so many times */
};

struct fake {
    int fd;
    char address[64];
    bool hang;   /* keeps the connection open afterwards */
    int session; /* a stream that stays open, or -1 */
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock;
    struct fake_answer answer; /* the lock's */
};

static void set_answer(struct fake *f, const struct fake_answer *answer) {
    pthread_mutex_lock(&f->lock);
    f->answer = *answer;
    pthread_mutex_unlock(&f->lock);
}

static struct fake_answer get_answer(struct fake *f) {
    pthread_mutex_lock(&f->lock);
    struct fake_answer answer = f->answer;
    pthread_mutex_unlock(&f->lock);
    return answer;
}

#define OK_JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
#define CHUNKS  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LINES   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

/* One request a connection. Enough of HTTP to be asked: heads end in an empty line, bodies are
 * "hallo" or JSON. */
static void serve(struct fake *f, int fd) {
    struct http_conn c = {.fd = fd};
    if (!http_read_until(&c, "\r\n\r\n") ||
        (c.buf[0] == 'P' &&
         !http_read_until(&c, strstr(c.buf, "/v1/run") ? "\r\n\r\nhallo" : "}"))) {
        http_close(&c);
        return;
    }
    if (strncmp(c.buf, "GET /v1/models", 14) == 0) {
        http_say(&c, OK_JSON "2\r\nConnection: close\r\n\r\n{}");
    } else if (strncmp(c.buf, "POST /v1/sessions", 17) == 0) {
        http_say(&c, LINES "{\"event\":\"hello\",\"session\":\"5\",\"epoch\":1}\n");
        f->session = dup(c.fd);
    } else if (strncmp(c.buf, "PUT /v1/leases/5/", 17) == 0) {
        static const char granted[] =
            "{\"event\":\"granted\",\"lease\":1,\"model\":\"toy/echo\"}\n";
        http_say(&c, OK_JSON "2\r\nConnection: close\r\n\r\n{}");
        CHECK(send(f->session, granted, sizeof(granted) - 1, MSG_NOSIGNAL) > 0);
    } else if (strncmp(c.buf, "DELETE /v1/leases/5/", 20) == 0) {
        http_say(&c, OK_JSON "2\r\nConnection: close\r\n\r\n{}");
    } else {
        struct fake_answer a = get_answer(f);
        http_send(&c, a.text, a.size);
        for (size_t i = 0; i < a.n_repeat; i++) {
            http_send(&c, a.text + a.size - a.repeat, a.repeat);
        }
        while (f->hang && !atomic_load(&f->stop) && !http_closed(&c, 100)) {
        }
    }
    http_close(&c);
}

static void *run_fake(void *arg) {
    struct fake *f = arg;
    for (int fd; (fd = accept(f->fd, NULL, NULL)) >= 0;) {
        serve(f, fd);
    }
    return NULL;
}

static void start_fake(struct fake *f) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(f->fd >= 0 && bind(f->fd, (struct sockaddr *)&a, n) == 0 && listen(f->fd, 8) == 0);
    CHECK(getsockname(f->fd, (struct sockaddr *)&a, &n) == 0);
    snprintf(f->address, sizeof(f->address), "http://127.0.0.1:%d/", ntohs(a.sin_port));
    CHECK(pthread_create(&f->thread, NULL, run_fake, f) == 0);
}

static void stop_fake(struct fake *f) {
    atomic_store(&f->stop, true);
    shutdown(f->fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    if (f->session >= 0) {
        close(f->session);
    }
    close(f->fd);
}

#define FINAL "{\"event\":\"item\",\"partial\":false,\"done\":1,\"total\":1,\"text\":\"t\"}\n"
#define PART  "{\"event\":\"item\",\"partial\":true,\"done\":1,\"total\":1,\"text\":\"t\"}\n"

static const struct {
    const char *answer;
    int code; /* 0: it is good */
    const char *says;
} answers[] = {
    {LINES FINAL, 0, NULL},
    {"", BERTH_ELOST, "try again"},
    {"garbage\r\n\r\n", BERTH_EIO, "not understood"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" FINAL, BERTH_ELOST, "try again"},
    {CHUNKS "5\r\n{\"eve", BERTH_ELOST, "try again"},
    {CHUNKS "zz\r\n", BERTH_ELOST, NULL},
    {LINES, BERTH_ELOST, "broke off"},
    {LINES "{\"event\":\"progress\",\"done\":1,\"total\":2}\n", BERTH_ELOST, "broke off"},
    {LINES "{\"event\":\"item\",\"partial\":false,\"done\":1", BERTH_ELOST, "broke off"},
    {LINES "<html>\n", BERTH_EIO, "damaged"},
    {LINES FINAL FINAL, BERTH_EIO, "goes on"},
    {LINES "{\"event\":\"error\",\"code\":\"EAUDIO\",\"message\":\"m\"}\n", BERTH_EAUDIO, "m"},
    {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", BERTH_EIO, "302"},
    {"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\n<html>", BERTH_EIO, "500"},
    {"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", BERTH_EOVERLOADED, "429"},
    {"HTTP/1.1 400 No\r\nContent-Length: 50\r\n\r\n{\"error\":{\"code\":\"EINVAL\",\"message\":"
     "\"is no good\"}}",
     BERTH_EINVAL, "is no good"},
};

static void ask(struct berth_lease *lease, bool stream, int code, const char *says) {
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_job *job;
    struct berth_item *item;
    struct berth_error err = {0};
    r.stream = stream;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    int rc = berth_job_wait(job, 20000, &item, &err);
    if (rc != code || (says && !strstr(err.message, says))) {
        TEST_FAIL("%d, expected %d: %s, expected %s", rc, code, err.message, says);
    }
    if (rc == 0) {
        berth_item_free(item);
    }
    berth_job_free(job);
}

static void test_fake(void) {
    struct fake f = {.lock = PTHREAD_MUTEX_INITIALIZER, .session = -1, .answer = {.text = ""}};
    struct berth_lease *lease;
    struct berth_error err;
    start_fake(&f);
    struct berth *b = remote_open(f.address);
    CHECK_OK(berth_acquire(b, "echo", NULL, &lease, &err), err);
    for (size_t i = 0; i < BTH_COUNT(answers); i++) {
        set_answer(&f, &(struct fake_answer){.text = answers[i].answer,
                                             .size = strlen(answers[i].answer)});
        for (int stream = 0; stream < 2; stream++) {
            ask(lease, stream, answers[i].code, answers[i].says);
        }
    }
    static char line[1 << 16];
    memset(line, 'x', sizeof(line));
    memcpy(line, LINES, sizeof(LINES) - 1);
    set_answer(&f, &(struct fake_answer){.text = line,
                                         .size = sizeof(line),
                                         .repeat = sizeof(line) - sizeof(LINES),
                                         .n_repeat = 1100}); /* 70 MiB without an end */
    ask(lease, false, BERTH_ETOOLARGE, "line of more than");
    /* more items than anybody asked for */
    set_answer(&f, &(struct fake_answer){.text = LINES PART,
                                         .size = strlen(LINES PART),
                                         .repeat = strlen(PART),
                                         .n_repeat = 5000});
    ask(lease, true, BERTH_ELOST, "broke off");
    ask(lease, false, BERTH_ELOST, "broke off");
    /* a statistic that is none */
    CHECK_INT(berth_models(b, NULL, 0, 0), 0);
    CHECK_INT(berth_unload(b, "echo", 1000, &err), BERTH_EIO);
    berth_release(lease);
    CHECK_OK(berth_close(b, 0, &err), err);
    stop_fake(&f);
}

/* It takes the request and says nothing: who waits gives up, cancels, closes. */
static void test_silent(void) {
    struct fake f = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .session = -1, .answer = {.text = ""}, .hang = true};
    struct berth_lease *lease;
    struct berth_job *job;
    struct berth_item *item;
    struct berth_error err;
    struct berth_request r = remote_toy(NULL, 0);
    start_fake(&f);
    struct berth *b = remote_open(f.address);
    CHECK_OK(berth_acquire(b, "echo", NULL, &lease, &err), err);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_INT(berth_job_wait(job, 100, &item, &err), BERTH_ETIMEDOUT);
    berth_release(lease);
    CHECK_INT(berth_job_wait(job, -1, &item, &err), BERTH_ECANCELLED);
    berth_job_free(job);
    int64_t before = bth_now();
    berth_close(b, 0, NULL);
    CHECK(bth_now() - before < 2000 * BTH_NS_PER_MS);
    stop_fake(&f);
}

/* One allocation after the other fails, in whatever thread. */
static void test_memory(const char *address) {
    struct berth *b = remote_open(address);
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_lease *lease;
    struct berth_item *item;
    struct berth_error err;
    bool failed = true;
    r.stream = true;
    for (int64_t n = 1; failed; n++) {
        bth_alloc_fail_at(n);
        int rc = berth_acquire(b, "echo", NULL, &lease, &err);
        if (rc == 0) {
            rc = berth_run(lease, &r, &item, &err);
            berth_release(lease);
        }
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        /* a release does not fail: what could not be said is said with the next call */
        CHECK(rc == 0 || (failed && rc == BERTH_ENOMEM));
        if (rc == 0) {
            berth_item_free(item);
        }
    }
    struct berth_usage usage = BERTH_USAGE_INIT;
    CHECK_INT(berth_usage(b, &usage), 0);
    for (uint32_t i = 0; i < usage.n_families; i++) {
        CHECK_INT(usage.families[i].leases, 0);
    }
    for (int64_t n = 1; n < 40; n++) {
        struct berth_config c = BERTH_CONFIG_INIT;
        struct berth *more;
        c.server = address;
        bth_alloc_fail_at(n);
        int rc = berth_open(&c, &more, &err);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK(rc == 0 || (failed && rc == BERTH_ENOMEM)); /* a session can wait */
        if (rc == 0) {
            berth_close(more, 0, NULL);
        }
    }
    berth_close(b, 0, NULL);
}

int main(void) {
    int64_t live = bth_alloc_live();
    struct test_daemon d;
    daemon_prepare(&d, NULL);
    daemon_start(&d);
    struct berth *b = remote_open(d.socket); /* what libcurl keeps for all clients is there now */
    int fds = http_count_fds();
    test_killed(&d);
    test_memory(d.socket);
    test_stopped(&d);
    test_fake();
    test_silent();
    CHECK(http_count_fds() <= fds); /* that client's own may have gone with its daemon */
    berth_close(b, 0, NULL);
    test_dir_close(&d.dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

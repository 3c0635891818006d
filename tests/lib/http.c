#define _GNU_SOURCE /* strcasestr, memmem */
#include "lib/http.h"

#include "base/alloc.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

void http_sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- the server ------------------------------------------------------------------------------*/

static int count_entries(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

int http_count_fds(void) {
    return count_entries("/proc/self/fd");
}

int http_count_threads(void) {
    return count_entries("/proc/self/task");
}

static void *nothing(void *arg) {
    return arg;
}

/* Sanitizers start a thread of their own with the first of ours. */
static int count_threads_after_one(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0);
    pthread_join(thread, NULL);
    http_sleep_ms(20); /* until it is no longer listed */
    return http_count_threads();
}

void http_prepare(struct test_server *t) {
    static const char echo[] = "berth-toy 1\n", slow[] = "berth-toy 1\nload_ms = 300\n",
                      broken[] = "berth-toy 1\nload_fail = EFORMAT\n";
    *t = (struct test_server){.fds = http_count_fds(), .threads = count_threads_after_one()};
    test_dir_open(&t->dir);
    test_dir_write(&t->dir, "echo", echo, sizeof(echo) - 1);
    test_dir_write(&t->dir, "slow", slow, sizeof(slow) - 1);
    test_dir_write(&t->dir, "broken", broken, sizeof(broken) - 1);
    snprintf(t->socket, sizeof(t->socket), "unix:%.100s/s.sock", t->dir.path);
    t->listen[0] = "127.0.0.1:0";
    t->listen[1] = t->socket;
    t->config = (struct bth_server_config){
        .listen = t->listen, .n_listen = 2, .limits = BTH_SERVER_LIMITS, .log = {.fd = 2}};
    t->config.limits.memory_bytes = 65536; /* larger bodies go to a file */
    if (getenv("BERTH_TEST_LOG")) {
        t->config.log.level = BTH_LOG_DEBUG;
    }
}

void http_start(struct test_server *t, const char *whisper) {
    char echo[512], slow[512], broken[512];
    struct berth_model_spec specs[15] = {
        {.name = "toy/echo", .path = test_dir_path(&t->dir, "echo", echo), .alias = "echo"},
        {.name = "toy/slow", .path = test_dir_path(&t->dir, "slow", slow)},
        {.name = "toy/broken", .path = test_dir_path(&t->dir, "broken", broken)}};
    size_t n = 3;
    if (whisper) {
        specs[n++] = (struct berth_model_spec){.name = "whisper/tiny", .path = whisper};
    }
    if (t->spacy) {
        specs[n++] = (struct berth_model_spec){.name = "spacy/tiny", .path = t->spacy};
    }
    if (t->marian) {
        specs[n++] = (struct berth_model_spec){.name = "marian/de-en", .path = t->marian};
        specs[n++] = (struct berth_model_spec){.name = "marian/en-fr", .path = t->marian};
    }
    struct berth_config c = BERTH_CONFIG_INIT;
    struct berth_error err;
    for (size_t i = 0; i < BTH_COUNT(t->pairs) && t->pairs[i]; i++) {
        specs[n++] = (struct berth_model_spec){.name = t->pairs[i], .path = echo, .engine = "toy"};
    }
    c.file = "";
    c.models = specs;
    c.n_models = n;
    c.threads = 1;
    CHECK_OK(berth_open(&c, &t->berth, &err), err);
    t->config.berth = t->berth;
    CHECK_OK(bth_server_create(&t->config, &t->server, &err), err);
    snprintf(t->address, sizeof(t->address), "%s", bth_server_address(t->server, 0));
}

void http_stop(struct test_server *t) {
    bth_server_destroy(t->server);
    berth_close(t->berth, 0, NULL);
    test_dir_close(&t->dir);
    for (int i = 0; i < 100 && http_count_threads() > t->threads; i++) {
        http_sleep_ms(10); /* a joined thread may still be listed */
    }
    CHECK_INT(http_count_fds(), t->fds);
    CHECK_INT(http_count_threads(), t->threads);
}

/* ---- the client ------------------------------------------------------------------------------*/

struct http_conn http_open(const char *address) {
    struct http_conn c = {.fd = -1};
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", address + 5);
        c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(c.fd >= 0 && connect(c.fd, (struct sockaddr *)&a, sizeof(a)) == 0);
        return c;
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(c.fd >= 0 && connect(c.fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return c;
}

void http_close(struct http_conn *c) {
    close(c->fd);
    free(c->buf);
    *c = (struct http_conn){.fd = -1};
}

void http_send(struct http_conn *c, const void *data, size_t n) {
    const char *p = data;
    while (n > 0) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0) {
            CHECK(errno == EPIPE || errno == ECONNRESET);
            return;
        }
        p += sent;
        n -= (size_t)sent;
    }
}

void http_say(struct http_conn *c, const char *fmt, ...) {
    char text[8192];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof(text));
    http_send(c, text, (size_t)n);
}

/* More bytes into the buffer; false: closed. */
static bool fill(struct http_conn *c, int ms) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (c->n + 65536 > c->capacity) {
        c->capacity = c->n * 2 + 131072;
        c->buf = realloc(c->buf, c->capacity);
        CHECK(c->buf);
    }
    if (poll(&p, 1, ms) == 0) {
        TEST_FAIL("no reply in %d ms; so far: %.*s", ms, (int)c->n, c->buf ? c->buf : "");
    }
    ssize_t got = recv(c->fd, c->buf + c->n, 65535, 0);
    if (got <= 0) {
        return false;
    }
    c->n += (size_t)got;
    c->buf[c->n] = '\0';
    return true;
}

static void drop(struct http_conn *c, size_t n) {
    memmove(c->buf, c->buf + n, c->n - n + 1);
    c->n -= n;
}

static bool take(struct http_conn *c, size_t n, char *out) {
    while (c->n < n) {
        if (!fill(c, WAIT_MS)) {
            return false;
        }
    }
    memcpy(out, c->buf, n);
    drop(c, n);
    return true;
}

static bool read_chunks(struct http_conn *c, struct http_reply *out) {
    for (;;) {
        char *end;
        while (!(end = c->n ? memmem(c->buf, c->n, "\r\n", 2) : NULL)) {
            if (!fill(c, WAIT_MS)) {
                return false;
            }
        }
        size_t n = strtoul(c->buf, NULL, 16);
        drop(c, (size_t)(end - c->buf) + 2);
        out->body = realloc(out->body, out->n_body + n + 3);
        CHECK(out->body);
        if (!take(c, n + 2, out->body + out->n_body)) {
            return false;
        }
        out->n_body += n;
        out->body[out->n_body] = '\0';
        if (n == 0) {
            return true;
        }
    }
}

const char *http_field(const struct http_reply *r, const char *name) {
    static _Thread_local char value[512];
    char key[128];
    snprintf(key, sizeof(key), "\r\n%s: ", name);
    const char *at = strcasestr(r->head, key);
    if (!at) {
        return NULL;
    }
    at += strlen(key);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

bool http_read(struct http_conn *c, struct http_reply *out) {
    char *end;
    *out = (struct http_reply){0};
    while (!(end = c->n ? memmem(c->buf, c->n, "\r\n\r\n", 4) : NULL)) {
        if (!fill(c, WAIT_MS)) {
            return false;
        }
    }
    size_t n = (size_t)(end - c->buf) + 4;
    out->head = malloc(n + 1);
    out->body = calloc(1, 3);
    CHECK(out->head && out->body);
    memcpy(out->head, c->buf, n);
    out->head[n] = '\0';
    drop(c, n);
    CHECK(sscanf(out->head, "HTTP/1.%*d %d", &out->status) == 1);
    if (out->status == 100) {
        http_free(out);
        return http_read(c, out);
    }
    const char *length = http_field(out, "Content-Length");
    bool whole = true;
    if (length) {
        out->n_body = strtoul(length, NULL, 10);
        out->body = realloc(out->body, out->n_body + 1);
        CHECK(out->body);
        whole = take(c, out->n_body, out->body);
        out->body[out->n_body] = '\0';
    } else if (http_field(out, "Transfer-Encoding")) {
        whole = read_chunks(c, out);
    }
    if (!whole) {
        http_free(out);
    }
    return whole;
}

bool http_read_until(struct http_conn *c, const char *text) {
    while (!(c->n && memmem(c->buf, c->n, text, strlen(text)))) {
        if (!fill(c, WAIT_MS)) {
            return false;
        }
    }
    return true;
}

void http_free(struct http_reply *r) {
    free(r->head);
    free(r->body);
    *r = (struct http_reply){0};
}

bool http_closed(struct http_conn *c, int ms) {
    for (int waited = 0; waited <= ms; waited += 20) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        char bytes[4096];
        if (poll(&p, 1, 20) > 0 && recv(c->fd, bytes, sizeof(bytes), 0) <= 0) {
            return true;
        }
    }
    return false;
}

struct http_reply http_ask(const char *address, const char *method, const char *path,
                           const char *headers, const char *body) {
    struct http_conn c = http_open(address);
    struct http_reply r;
    http_say(&c, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method, path,
             headers ? headers : "");
    if (body) {
        http_say(&c, "Content-Length: %zu\r\n\r\n", strlen(body));
        http_send(&c, body, strlen(body));
    } else {
        http_say(&c, "\r\n");
    }
    if (!http_read(&c, &r)) {
        TEST_FAIL("%s %s: closed without a reply", method, path);
    }
    http_close(&c);
    return r;
}

int http_status(const char *address, const char *method, const char *path, const char *headers,
                const char *body) {
    struct http_reply r = http_ask(address, method, path, headers, body);
    int status = r.status;
    http_free(&r);
    return status;
}

int http_program(const char *path, char *const argv[]) {
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execv(path, argv);
        _exit(99);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

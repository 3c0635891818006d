/* The end of a server: new work is refused, old work is finished or cancelled, every client gets an
 * answer. And of the process: signals, systemd's sockets and messages. */
#include "base/alloc.h"
#include "lib/http.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct test_server t;

static struct http_conn start(const char *address, const char *options) {
    struct http_conn c = http_open(address);
    http_say(&c,
             "POST /v1/run?model=echo%s HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
             options);
    return c;
}

static void wait_busy(size_t n) {
    while (bth_server_busy(t.server) != n) {
        http_sleep_ms(5);
    }
}

/* What is under way finishes; a keep-alive connection hears 503; new ones find nobody. */
static void test_drain(void) {
    struct http_conn work = start(t.address, "&turns=30&turn_us=20000"),
                     kept = http_open(t.address);
    struct http_reply r;
    wait_busy(1);
    http_say(&kept, "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n");
    http_sleep_ms(100); /* it has begun, so it is not idle */
    bth_server_drain(t.server);
    http_say(&kept, "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    if (http_read(&kept, &r)) { /* or it counted as idle, and was closed */
        CHECK_INT(r.status, 503);
        CHECK(http_field(&r, "Retry-After"));
        CHECK_STR(http_field(&r, "Connection"), "close");
        http_free(&r);
    }
    CHECK(http_read(&work, &r));
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body, "\"text\":\"hi\""));
    http_free(&r);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)atoi(strrchr(t.address, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED);
    close(fd);
    CHECK(access(t.socket + 5, F_OK) < 0); /* the Unix socket is gone */
    http_close(&work);
    http_close(&kept);
}

/* Jobs, waits for loads and half-sent bodies, all of them: an error that says to come again. */
static void test_cancel(void) {
    struct http_conn job = start(t.address, "&turns=10000&turn_us=10000"), stream, load, half;
    struct http_reply r;
    stream = start(t.address, "&turns=10000&turn_us=10000&emit=1&stream=true");
    CHECK(http_read_until(&stream, "partial"));
    load = http_open(t.address);
    http_say(&load, "POST /v1/models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n"
                    "{\"model\":\"toy/slow\"}");
    half = http_open(t.address);
    http_say(&half, "POST /v1/run?model=echo HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 100\r\n\r\nhalf");
    wait_busy(4);
    http_sleep_ms(100);
    bth_server_drain(t.server);
    bth_server_cancel(t.server);
    CHECK(http_read(&load, &r));
    CHECK_INT(r.status, 503);
    http_free(&r);
    CHECK(http_read(&job, &r));
    CHECK(r.status == 503 || strstr(r.body, "\"code\":\"ECANCELLED\""));
    http_free(&r);
    CHECK(http_read(&stream, &r)); /* chunks to the end, an error last */
    CHECK(strstr(r.body, "{\"event\":\"error\",\"code\":\"ECANCELLED\""));
    http_free(&r);
    http_close(&job);
    http_close(&stream);
    http_close(&load);
    bth_server_destroy(t.server); /* the half-sent one is cut */
    t.server = NULL;
    CHECK(http_closed(&half, 1000));
    http_close(&half);
    http_stop(&t);
}

/* ---- the process -----------------------------------------------------------------------------*/

static char config[600], address_file[600];

static void write_config(void) {
    char text[700];
    int n = snprintf(text, sizeof(text),
                     "models:\n  toy/echo: {path: %s/echo, alias: echo}\n"
                     "devices:\n  cpu: {threads: 1}\n",
                     t.dir.path);
    test_dir_write(&t.dir, "berth.yaml", text, (size_t)n);
    test_dir_path(&t.dir, "berth.yaml", config);
    test_dir_path(&t.dir, "addresses", address_file);
}

static pid_t spawn(const char *const args[], int listen_fd, const char *notify) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char text[32];
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        if (listen_fd >= 0) {
            dup2(listen_fd, 3);
            fcntl(3, F_SETFD, 0);
            snprintf(text, sizeof(text), "%ld", (long)getpid());
            setenv("LISTEN_PID", text, 1);
            setenv("LISTEN_FDS", "1", 1);
        }
        if (notify) {
            setenv("NOTIFY_SOCKET", notify, 1);
            setenv("WATCHDOG_USEC", "400000", 1);
        }
        execv(BTH_TEST_BERTHD, (char *const *)args);
        _exit(99);
    }
    return pid;
}

/* The first address once the process serves. */
static void wait_address(char out[128]) {
    FILE *f = NULL;
    for (int i = 0; i < 500 && !(f = fopen(address_file, "r")); i++) {
        http_sleep_ms(10);
    }
    CHECK(f && fgets(out, 128, f));
    out[strcspn(out, "\n")] = '\0';
    fclose(f);
    remove(address_file);
}

static void expect_exit(pid_t pid, int status) {
    int got;
    CHECK(waitpid(pid, &got, 0) == pid);
    CHECK(WIFEXITED(got));
    CHECK_INT(WEXITSTATUS(got), status);
}

/* SIGTERM: the request under way is finished, the exit is 0. */
static void test_process(void) {
    const char *const args[] = {"berth",    "serve", "--listen",       "127.0.0.1:0", "--no-socket",
                                "--config", config,  "--address-file", address_file,  NULL};
    char address[128];
    struct http_reply r;
    pid_t pid = spawn(args, -1, NULL);
    wait_address(address);
    struct http_conn c = start(address, "&turns=20&turn_us=20000");
    http_sleep_ms(100);
    kill(pid, SIGTERM);
    CHECK(http_read(&c, &r));
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body, "\"text\":\"hi\""));
    http_free(&r);
    http_close(&c);
    expect_exit(pid, 0);
    /* a second signal does not wait; by its other name, told by SIGINT */
    const char *const berthd[] = {"berthd",         "--listen",   "127.0.0.1:0",
                                  "--no-socket",    "--config",   config,
                                  "--address-file", address_file, NULL};
    pid = spawn(berthd, -1, NULL);
    wait_address(address);
    c = start(address, "&turns=10000&turn_us=10000");
    http_sleep_ms(100);
    kill(pid, SIGINT);
    http_sleep_ms(300);
    kill(pid, SIGINT);
    CHECK(http_read(&c, &r));
    CHECK(strstr(r.body, "ECANCELLED"));
    http_free(&r);
    http_close(&c);
    expect_exit(pid, 0);
}

/* A Unix socket and its mode; the owner may stop it by a request. */
static void test_stop_route(void) {
    char unix_address[160], address[128];
    struct stat st;
    snprintf(unix_address, sizeof(unix_address), "unix:%.100s/d.sock", t.dir.path);
    const char *const args[] = {"berthd", "--listen",       unix_address, "--no-socket", "--config",
                                config,   "--address-file", address_file, NULL};
    pid_t pid = spawn(args, -1, NULL);
    wait_address(address);
    CHECK_STR(address, unix_address);
    CHECK(stat(unix_address + 5, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0660);
    /* a second one does not take its place, a wrong option is told */
    expect_exit(spawn(args, -1, NULL), 1);
    const char *const wrong[] = {"berthd", "--max-body", "many", NULL};
    expect_exit(spawn(wrong, -1, NULL), 2);
    CHECK_INT(http_status(unix_address, "POST", "/v1/stop", NULL, "{\"timeout_ms\":1000}"), 202);
    expect_exit(pid, 0);
    CHECK(stat(unix_address + 5, &st) < 0);
    /* one that was killed leaves its socket, which the next replaces */
    pid = spawn(args, -1, NULL);
    wait_address(address);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pid = spawn(args, -1, NULL);
    wait_address(address);
    CHECK_INT(http_status(unix_address, "GET", "/health", NULL, NULL), 200);
    kill(pid, SIGTERM);
    expect_exit(pid, 0);
}

/* Messages until `text` has come. */
static void expect_message(int fd, const char *text) {
    char got[512];
    do {
        ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
        CHECK(n > 0);
        got[n] = '\0';
    } while (!strstr(got, text));
}

static void test_systemd(void) {
    struct sockaddr_un notify = {.sun_family = AF_UNIX};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    char address[128], want[128];
    snprintf(notify.sun_path, sizeof(notify.sun_path), "%.90s/notify", t.dir.path);
    int messages = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(bind(messages, (struct sockaddr *)&notify, sizeof(notify)) == 0);
    setsockopt(messages, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5},
               sizeof(struct timeval));
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listening, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listening, 16) == 0 &&
          getsockname(listening, (struct sockaddr *)&a, &n) == 0);
    const char *const args[] = {"berthd", "--config", config, "--address-file", address_file, NULL};
    pid_t pid = spawn(args, listening, notify.sun_path);
    expect_message(messages, "READY=1");
    wait_address(address);
    snprintf(want, sizeof(want), "127.0.0.1:%u", ntohs(a.sin_port));
    CHECK_STR(address, want);
    CHECK_INT(http_status(address, "GET", "/health", NULL, NULL), 200);
    expect_message(messages, "WATCHDOG=1");
    kill(pid, SIGTERM);
    expect_message(messages, "STOPPING=1");
    expect_exit(pid, 0);
    close(messages);
    close(listening);
}

int main(void) {
    int64_t live = bth_alloc_live();
    http_prepare(&t);
    http_start(&t, NULL);
    test_drain();
    http_stop(&t);
    http_prepare(&t);
    http_start(&t, NULL);
    test_cancel();
    http_prepare(&t);
    write_config();
    http_start(&t, NULL);
    test_process();
    test_stop_route();
    test_systemd();
    http_stop(&t);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

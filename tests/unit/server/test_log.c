/* A line of the log says what happened and nothing that a client could make a terminal do. */
#include "base/clock.h"
#include "lib/test.h"
#include "server/log.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void check(bool json, const char *text, const char *want) {
    int fds[2];
    char line[512] = "";
    CHECK(pipe(fds) == 0);
    const struct bth_log log = {.fd = fds[1], .level = BTH_LOG_INFO, .json = json};
    bth_log_write(&log, BTH_LOG_INFO, "id", "%s", text);
    bth_log_write(&log, BTH_LOG_DEBUG, "id", "left out");
    CHECK(read(fds[0], line, sizeof(line) - 1) > 0);
    close(fds[0]);
    close(fds[1]);
    if (json) {
        CHECK(strstr(line, want));
    } else {
        CHECK_STR(line, want);
    }
}

/* Reads what comes until a while passes without anything; `n` bytes are there already. */
static size_t drain(int fd, char *text, size_t size, size_t n) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t got = 1;
    while (got > 0 && poll(&p, 1, 300) > 0) {
        got = read(fd, text + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    return n;
}

/* Nobody reads: whoever writes the log goes on, later lines say how many were lost, and the end
 * does not wait for long. */
static void test_full_pipe(void) {
    enum { LINES = 20000 };
    int fds[2];
    static char text[1 << 20];
    size_t n;
    CHECK(pipe(fds) == 0);
    struct bth_log log = {.fd = fds[1], .level = BTH_LOG_INFO, .json = true};
    CHECK_INT(bth_log_writer_create(log.fd, &log.writer, NULL), 0);
    for (int i = 0; i < LINES; i++) {
        bth_log_write(&log, BTH_LOG_INFO, NULL, "line %d", i);
    }
    CHECK(bth_log_writer_dropped(log.writer) > 0);
    n = drain(fds[0], text, sizeof(text), 0);
    bth_log_write(&log, BTH_LOG_INFO, NULL, "the last");
    bth_log_writer_destroy(log.writer);
    close(fds[1]);
    drain(fds[0], text, sizeof(text), n);
    close(fds[0]);
    CHECK(strstr(text, "\"line 0\"") && strstr(text, "\"the last\""));
    CHECK(strstr(text, "lines of the log were lost"));

    CHECK(pipe(fds) == 0); /* nobody ever reads */
    log.fd = fds[1];
    CHECK_INT(bth_log_writer_create(log.fd, &log.writer, NULL), 0);
    for (int i = 0; i < LINES; i++) {
        bth_log_write(&log, BTH_LOG_INFO, NULL, "line %d", i);
    }
    int64_t began = bth_now();
    bth_log_writer_destroy(log.writer);
    CHECK(bth_now() - began < 5 * BTH_NS_PER_S);
    close(fds[0]);
    close(fds[1]);
}

/* What could not be written is counted. */
static void test_full_disk(void) {
    struct bth_log log = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC), .level = BTH_LOG_INFO};
    CHECK(log.fd >= 0);
    CHECK_INT(bth_log_writer_create(log.fd, &log.writer, NULL), 0);
    bth_log_write(&log, BTH_LOG_INFO, NULL, "one");
    bth_log_write(&log, BTH_LOG_INFO, NULL, "two");
    const int64_t until = bth_now() + 5 * BTH_NS_PER_S;
    while (bth_log_writer_dropped(log.writer) < 2 && bth_now() < until) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    CHECK(bth_log_writer_dropped(log.writer) >= 2);
    bth_log_writer_destroy(log.writer);
    close(log.fd);
}

int main(void) {
    test_full_pipe();
    test_full_disk();
    check(false, "plain", "plain [id]\n");
    check(false, "a\x1b[2J\r\nb\x7f", "a?[2J??b? [id]\n");
    check(false,
          "\xc2\x9b"
          "2J \xc3\xa9 \xe2\x82\xac",
          "?2J \xc3\xa9 \xe2\x82\xac [id]\n");
    check(false,
          "\x9b"
          "2J\xc2",
          "\xef\xbf\xbd"
          "2J\xef\xbf\xbd [id]\n");
    check(true, "a\"\n\x1b", "\"msg\":\"a\\\"\\n\\u001b\",\"request_id\":\"id\"}\n");
    return 0;
}

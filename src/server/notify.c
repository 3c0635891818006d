#include "server/notify.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

void bth_notify(const char *text) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(to.sun_path)) {
        return;
    }
    size_t n = strlen(path);
    memcpy(to.sun_path, path, n);
    if (*path == '@') {
        to.sun_path[0] = '\0'; /* the abstract name space */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) {
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* The variable's number, if the variable `pid` does not name another process; else 0. */
static long long number_for_us(const char *name, const char *pid) {
    const char *whose = getenv(pid), *text = getenv(name);
    if (!text || (whose && strtoll(whose, NULL, 10) != getpid())) {
        return 0;
    }
    return strtoll(text, NULL, 10);
}

int64_t bth_notify_watchdog_ms(void) {
    long long us = number_for_us("WATCHDOG_USEC", "WATCHDOG_PID");
    return us > 0 ? us / 2000 : 0;
}

size_t bth_notify_sockets(int *out, size_t n) {
    long long have = getenv("LISTEN_PID") ? number_for_us("LISTEN_FDS", "LISTEN_PID") : 0;
    size_t used = 0;
    for (int fd = FIRST_FD; fd < FIRST_FD + have && used < n; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
            out[used++] = fd;
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return used;
}

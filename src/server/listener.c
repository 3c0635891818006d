#include "server/listener.h"

#include "base/alloc.h"
#include "base/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static bool is_loopback(const union address *a) {
    if (a->any.sa_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    }
    return a->any.sa_family == AF_INET && ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

/* "host:port"; a name other than localhost would make the answer depend on a resolver. */
static bool parse_inet(const char *where, union address *out, socklen_t *out_n) {
    const char *colon = strrchr(where, ':');
    char host[64], *end;
    if (!colon || (size_t)(colon - where) >= sizeof(host) || !colon[1]) {
        return false;
    }
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || port > 65535 || colon[1] == '-' || colon[1] == '+') {
        return false;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
    size_t n = strlen(host);
    *out = (union address){0};
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *out_n = sizeof(out->v6);
        return inet_pton(AF_INET6, host + 1, &out->v6.sin6_addr) == 1;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    *out_n = sizeof(out->v4);
    return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                     &out->v4.sin_addr) == 1;
}

static int listen_on(int family, const union address *a, socklen_t n, int *out_fd) {
    int fd = socket(family, SOCK_STREAM, 0), on = 1;
    if (fd < 0) {
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, &a->any, n) < 0 || listen(fd, BACKLOG) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    *out_fd = fd;
    return 0;
}

/* Removes the socket of a server that is no more. */
static void remove_stale(const struct sockaddr_un *a) {
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK); /* a server whose queue is full is there, too */
    }
    if (fd >= 0 && lstat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED) {
        unlink(a->sun_path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int open_local(const char *path, struct bth_socket *s, struct berth_error *err) {
    union address a = {.local = {.sun_family = AF_UNIX}};
    if (*path != '/' || strlen(path) >= sizeof(a.local.sun_path)) {
        return bth_error(err, BERTH_EINVAL,
                         "unix:%.100s: an absolute path of less than %zu bytes is "
                         "wanted",
                         path, sizeof(a.local.sun_path));
    }
    strcpy(a.local.sun_path, path);
    s->path = bth_strdup(path);
    if (!s->path) {
        return bth_error_nomem(err);
    }
    remove_stale(&a.local);
    /* the socket is made by bind; with this mask nobody gets in before its mode is set */
    mode_t mask = umask(0177);
    int rc = listen_on(AF_UNIX, &a, sizeof(a.local), &s->fd);
    umask(mask);
    if (rc < 0 || chmod(path, 0660) < 0) {
        int code = errno == EADDRINUSE ? BERTH_EBUSY : BERTH_EIO;
        if (rc < 0) { /* it is another's */
            bth_free(s->path);
            s->path = NULL;
        }
        return bth_error(err, code, "unix:%s: %s", path, strerror(errno));
    }
    return 0;
}

/* What the socket says it is. */
static int describe(struct bth_socket *s, struct berth_error *err) {
    union address a;
    socklen_t n = sizeof(a);
    char text[INET6_ADDRSTRLEN];
    if (getsockname(s->fd, &a.any, &n) < 0) {
        return bth_error(err, BERTH_EIO, "a listening socket: %s", strerror(errno));
    }
    s->local = a.any.sa_family == AF_UNIX;
    s->loopback = is_loopback(&a);
    if (s->local) {
        snprintf(s->address, sizeof(s->address), "unix:%.108s",
                 n > sizeof(a.any.sa_family) ? a.local.sun_path : "");
    } else if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text));
        snprintf(s->address, sizeof(s->address), "[%s]:%u", text, ntohs(a.v6.sin6_port));
    } else if (a.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text));
        snprintf(s->address, sizeof(s->address), "%s:%u", text, ntohs(a.v4.sin_port));
    } else {
        return bth_error(err, BERTH_EINVAL, "a listening socket of an unknown kind");
    }
    return 0;
}

int bth_socket_open(const char *where, struct bth_socket *out, struct berth_error *err) {
    struct bth_socket s = {.fd = -1};
    union address a;
    socklen_t n;
    int rc = 0;
    if (strncmp(where, "unix:", 5) == 0) {
        rc = open_local(where + 5, &s, err);
    } else if (!parse_inet(where, &a, &n)) {
        rc = bth_error(err, BERTH_EINVAL,
                       "%.100s: an address is 127.0.0.1:8000, [::1]:8000, "
                       "localhost:8000 or unix:/PATH",
                       where);
    } else if (listen_on(a.any.sa_family, &a, n, &s.fd) < 0) {
        rc = bth_error(err, errno == EADDRINUSE ? BERTH_EBUSY : BERTH_EIO, "%s: %s", where,
                       strerror(errno));
    }
    rc = rc < 0 ? rc : describe(&s, err);
    if (rc < 0) {
        bth_socket_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

int bth_socket_adopt(int fd, struct bth_socket *out, struct berth_error *err) {
    struct bth_socket s = {.fd = fd, .shared = true};
    int listens = 0;
    socklen_t n = sizeof(listens);
    int rc = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens) {
        rc = bth_error(err, BERTH_EINVAL, "descriptor %d is not a listening socket", fd);
    }
    rc = rc < 0 ? rc : describe(&s, err);
    if (rc < 0) {
        bth_socket_close(&s);
        return rc;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    *out = s;
    return 0;
}

void bth_socket_stop(struct bth_socket *s) {
    if (s->path) { /* first: once nobody answers there, another server may make its own */
        unlink(s->path);
    }
    if (s->fd >= 0 && !s->shared) {
        shutdown(s->fd, SHUT_RDWR);
    }
    bth_free(s->path);
    s->path = NULL;
}

void bth_socket_close(struct bth_socket *s) {
    bth_socket_stop(s);
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
}

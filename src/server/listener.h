/*
 * server/listener.h - sockets that listen: "127.0.0.1:8000", "[::1]:0", "localhost:8000",
 * "unix:PATH".
 *
 * Not here: what is said on them. Port 0 is any free port. A Unix socket has mode 0660; one that a
 * dead server left behind is replaced, one that answers is not.
 */
#ifndef BTH_LISTENER_H
#define BTH_LISTENER_H

#include <berth/error.h>
#include <stdbool.h>

struct bth_socket {
    int fd;            /* -1: none */
    bool local;        /* a Unix socket */
    bool loopback;     /* or an address of this machine alone */
    char address[128]; /* with the port that it got; "unix:PATH" */
    char *path;        /* to be removed in the end, or NULL */
    bool shared;       /* somebody else has it open, and goes on listening */
};

/* EINVAL (not understood), EBUSY (somebody listens there), EIO, ENOMEM. */
int bth_socket_open(const char *where, struct bth_socket *out, struct berth_error *err);
/* One that is open and listens already; `fd` is the socket's from now on, after a failure too. */
int bth_socket_adopt(int fd, struct bth_socket *out, struct berth_error *err);
/* Nobody can connect any more, but for a shared one; the descriptor stays, as a thread may look at
 * it still. */
void bth_socket_stop(struct bth_socket *s);
/* What describes it stays. */
void bth_socket_close(struct bth_socket *s);

#endif

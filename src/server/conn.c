#define _GNU_SOURCE /* struct ucred, POLLRDHUP */
#include "server/conn.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "server/desk.h"
#include "server/server_private.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* ---- life ------------------------------------------------------------------------------------*/

static void ask_peer(struct bth_conn *c) {
    struct ucred peer;
    socklen_t n = sizeof(peer);
    if (c->door->socket.local && getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0) {
        c->peer_known = true;
        c->uid = peer.uid;
        c->pid = peer.pid;
    }
}

struct bth_conn *bth_conn_open(struct bth_door *door, int fd) {
    struct bth_server *s = door->server;
    struct bth_conn *c = bth_calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->door = door;
    c->fd = fd;
    c->since = bth_now();
    ask_peer(c);
    server_lock(s);
    c->id = ++s->last_conn;
    s->n_conns++;
    bth_list_append(&s->conns, &c->link);
    server_unlock(s);
    return c;
}

void bth_conn_close(struct bth_conn *c) {
    struct bth_server *s = c->door->server;
    server_lock(s);
    s->n_conns--;
    bth_list_remove(&c->link);
    server_unlock(s);
    bth_free(c);
}

/* ---- phases ----------------------------------------------------------------------------------*/

void bth_conn_phase(struct bth_conn *c, enum bth_phase phase, uint64_t bytes) {
    struct bth_server *s = c->door->server;
    int64_t now = bth_now();
    server_lock(s);
    c->phase = phase;
    c->since = now;
    c->bytes = bytes;
    server_unlock(s);
}

void bth_conn_moved(struct bth_conn *c, uint64_t n) {
    struct bth_server *s = c->door->server;
    server_lock(s);
    c->bytes += n;
    server_unlock(s);
}

/* ---- the check -------------------------------------------------------------------------------*/

static int64_t limit_ns(const struct bth_server_limits *l, const struct bth_conn *c) {
    switch (c->phase) {
    case BTH_PHASE_NEW:
        return l->head_ms * BTH_NS_PER_MS;
    case BTH_PHASE_IDLE:
        return l->idle_ms * BTH_NS_PER_MS;
    case BTH_PHASE_BODY:
    case BTH_PHASE_SEND:
        return l->stall_ms * BTH_NS_PER_MS +
               (int64_t)((double)c->bytes / (double)l->rate * (double)BTH_NS_PER_S);
    case BTH_PHASE_WORK:
        break;
    }
    return BTH_FOREVER;
}

static bool has_left(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Half a request, and its sender has gone: libmicrohttpd may not notice when both came at once.
 * Seen twice, so that what it is reading just now has had its time. */
static bool is_orphan(struct bth_conn *c) {
    bool receives = c->phase != BTH_PHASE_WORK && c->phase != BTH_PHASE_SEND;
    int unread = 0;
    bool left = receives && has_left(c->fd) && ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0;
    bool twice = left && c->left;
    c->left = left;
    return twice;
}

static void cut_locked(struct bth_conn *c) {
    if (!c->cut) {
        c->cut = true;
        shutdown(c->fd, SHUT_RDWR);
    }
}

void bth_conns_check(struct bth_server *s, int64_t now) {
    struct bth_conn *c;
    server_lock(s);
    BTH_LIST_EACH(c, &s->conns, struct bth_conn, link) {
        bool late = now - c->since > limit_ns(&s->limits, c);
        if (late && !c->cut) {
            atomic_fetch_add_explicit(&s->metrics.slow, 1, memory_order_relaxed);
            cut_locked(c);
        }
        if (is_orphan(c)) {
            cut_locked(c);
        }
        if (c->exchange && (c->cut || has_left(c->fd))) {
            bth_desk_note(c->exchange, BTH_DESK_LEFT);
            c->exchange = NULL;
        }
    }
    server_unlock(s);
}

void bth_conns_cut(struct bth_server *s, bool all) {
    struct bth_conn *c;
    server_lock(s);
    BTH_LIST_EACH(c, &s->conns, struct bth_conn, link) {
        if (all || c->phase == BTH_PHASE_IDLE || c->phase == BTH_PHASE_NEW) {
            cut_locked(c);
        }
    }
    server_unlock(s);
}

#include "server/server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/desk.h"
#include "server/exchange.h"
#include "server/http.h"
#include "server/server_private.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LIVE (5 * BTH_NS_PER_S)

/* ---- create ----------------------------------------------------------------------------------*/

static void init(struct bth_server *s, const struct bth_server_config *c)
    BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_server *s, const struct bth_server_config *c) {
    const char *dir = getenv("TMPDIR");
    bth_mutex_init(&s->lock, BTH_RANK_server);
    bth_mutex_init(&s->inbox_lock, BTH_RANK_stats);
    bth_cond_init(&s->inbox_wake);
    bth_list_init(&s->conns);
    bth_list_init(&s->exchanges);
    bth_list_init(&s->inbox);
    bth_list_init(&s->sessions);
    bth_list_init(&s->loans);
    s->berth = c->berth;
    s->limits = c->limits;
    s->body_limits = (struct bth_body_limits){.most = c->limits.body_bytes,
                                              .memory = c->limits.memory_bytes,
                                              .dir = dir && *dir ? dir : "/var/tmp"};
    s->log = c->log;
    s->stop = c->stop;
    s->stop_arg = c->arg;
    s->started = bth_now();
    s->started_unix = (int64_t)time(NULL);
}

static int add_door(struct bth_server *s, int fd, const char *where, struct berth_error *err) {
    if (s->n_doors == BTH_MAX_SOCKETS) {
        if (!where) {
            close(fd);
        }
        return bth_error(err, BERTH_EINVAL, "at most %d sockets", BTH_MAX_SOCKETS);
    }
    struct bth_door *d = &s->doors[s->n_doors];
    int rc =
        where ? bth_socket_open(where, &d->socket, err) : bth_socket_adopt(fd, &d->socket, err);
    if (rc < 0) {
        return rc;
    }
    d->server = s;
    s->n_doors++;
    if (!d->socket.local && !d->socket.loopback && s->auth.n_keys == 0) {
        return bth_error(err, BERTH_EINVAL,
                         "%s can be reached from other machines: that needs --api-key-file",
                         d->socket.address);
    }
    return 0;
}

/* All sockets, then all threads: nobody is served by half a server. The passed ones are ours in any
 * case, also after an error `rc` before this. */
static int open_doors(struct bth_server *s, const struct bth_server_config *c, int rc,
                      struct berth_error *err) {
    for (size_t i = 0; i < c->n_sockets; i++) {
        if (rc < 0) {
            close(c->sockets[i]);
        } else {
            rc = add_door(s, c->sockets[i], NULL, err);
        }
    }
    for (size_t i = 0; rc == 0 && i < c->n_listen; i++) {
        rc = add_door(s, -1, c->listen[i], err);
    }
    struct berth_error why;
    if (rc == 0 && c->listen_too && add_door(s, -1, c->listen_too, &why) < 0) {
        bth_log_write(&s->log, BTH_LOG_WARNING, NULL, "not listening on %s", why.message);
    }
    if (rc == 0 && s->n_doors == 0) {
        rc = bth_error(err, BERTH_EINVAL, "there is no address to listen on");
    }
    rc = rc < 0 ? rc : bth_desk_start(s, err);
    for (size_t i = 0; rc == 0 && i < s->n_doors; i++) {
        rc = bth_http_start(&s->doors[i], err);
    }
    return rc;
}

int bth_server_create(const struct bth_server_config *config, struct bth_server **out,
                      struct berth_error *err) {
    struct bth_server *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        for (size_t i = 0; i < config->n_sockets; i++) {
            close(config->sockets[i]);
        }
        return bth_error_nomem(err);
    }
    init(s, config);
    int rc = bth_auth_init(&s->auth, config->key_file, err);
    s->auth.hosts = config->hosts;
    s->auth.n_hosts = config->n_hosts;
    s->auth.origins = config->origins;
    s->auth.n_origins = config->n_origins;
    rc = open_doors(s, config, rc, err);
    if (rc < 0) {
        bth_server_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

const char *bth_server_address(const struct bth_server *s, size_t i) {
    return i < s->n_doors ? s->doors[i].socket.address : NULL;
}

/* ---- health ----------------------------------------------------------------------------------*/

bool bth_server_live(struct bth_server *s) {
    int64_t now = bth_now();
    bool live = now - atomic_load_explicit(&s->desk_at, memory_order_relaxed) < LIVE;
    for (size_t i = 0; i < s->berth->n_devices; i++) {
        live &= bth_manager_is_lost(s->berth->manager, i) ||
                now - bth_sched_stepped_at(s->berth->scheds[i]) < LIVE;
    }
    return live;
}

bool bth_server_has_device(const struct bth_server *s) {
    size_t lost = 0;
    for (size_t i = 0; i < s->berth->n_devices; i++) {
        lost += bth_manager_is_lost(s->berth->manager, i);
    }
    return lost < s->berth->n_devices;
}

size_t bth_server_busy(struct bth_server *s) {
    server_lock(s);
    size_t n = s->n_busy;
    server_unlock(s);
    return n;
}

size_t bth_server_connections(struct bth_server *s) {
    server_lock(s);
    size_t n = s->n_conns;
    server_unlock(s);
    return n + s->n_loans;
}

/* ---- the end ---------------------------------------------------------------------------------*/

static void stop_listening(struct bth_server *s) {
    for (size_t i = 0; i < s->n_doors; i++) {
        if (s->doors[i].daemon) {
            MHD_quiesce_daemon(s->doors[i].daemon); /* its thread may still be about to accept */
        }
        bth_socket_stop(&s->doors[i].socket);
    }
    bth_conns_cut(s, false);
}

void bth_server_drain(struct bth_server *s) {
    if (!s->draining) {
        s->draining = true;
        stop_listening(s);
    }
}

bool bth_server_retire(struct bth_server *s) {
    server_lock(s);
    const bool alone = s->n_conns + s->n_loans == 0 && !s->draining;
    s->draining |= alone;
    server_unlock(s);
    if (alone) {
        stop_listening(s);
    }
    return alone;
}

void bth_server_cancel(struct bth_server *s) {
    bth_desk_cancel_all(s);
}

static bool empty(struct bth_server *s) {
    server_lock(s);
    bool none = !bth_list_linked(&s->exchanges);
    server_unlock(s);
    return none;
}

static void wait_until_empty(struct bth_server *s, int64_t ms) {
    int64_t until = bth_deadline(bth_now(), ms);
    while (!empty(s) && bth_now() < until) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

uint64_t bth_server_destroy(struct bth_server *s) {
    if (!s) {
        return 0;
    }
    bth_server_drain(s);
    bth_server_cancel(s);
    wait_until_empty(s, 1000);
    bth_conns_cut(s,
                  true); /* who does not read its answer is told to leave; suspended ones resume */
    wait_until_empty(s, -1);
    for (size_t i = 0; i < s->n_doors; i++) {
        if (s->doors[i].daemon) {
            MHD_stop_daemon(s->doors[i].daemon);
        }
        bth_socket_close(&s->doors[i].socket);
    }
    bth_desk_stop(s);
    bth_loans_finish(s);
    bth_auth_finish(&s->auth);
    bth_cond_finish(&s->inbox_wake);
    bth_mutex_finish(&s->inbox_lock);
    bth_mutex_finish(&s->lock);
    const uint64_t logged = s->logged;
    bth_free(s);
    return logged;
}

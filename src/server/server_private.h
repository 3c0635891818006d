/*
 * server/server_private.h - what the server's files share.
 *
 * Three kinds of threads: libmicrohttpd's, one a socket, run http.c and the routes; the desk runs
 * desk.c and work.c; Berth's own call back into bth_desk_note and nothing else.
 *
 * Two locks. `server` guards connections and the answers of exchanges; libmicrohttpd's suspend is
 * called under it, so that a resume cannot come first. `inbox`, of the lowest rank because Berth
 * calls with its locks held, guards the notes for the desk and the references of exchanges.
 */
#ifndef BTH_SERVER_PRIVATE_H
#define BTH_SERVER_PRIVATE_H

#include "api/handle.h"
#include "base/list.h"
#include "base/sync.h"
#include "server/auth.h"
#include "server/body.h"
#include "server/listener.h"
#include "server/metrics.h"
#include "server/server.h"
#include <microhttpd.h>

enum { BTH_MAX_SOCKETS = 8 };

struct bth_door { /* one listening socket */
    struct bth_server *server;
    struct bth_socket socket;
    struct MHD_Daemon *daemon;
};

struct bth_server {
    struct berth *berth;
    struct bth_server_limits limits;
    struct bth_body_limits body_limits;
    struct bth_log log;
    struct bth_auth auth;
    void (*stop)(void *arg, int64_t timeout_ms);
    void *stop_arg;
    struct bth_door doors[BTH_MAX_SOCKETS]; /* [n_doors], constant */
    size_t n_doors;
    int64_t started; /* bth_now */
    int64_t started_unix;
    struct bth_metrics metrics;
    _Atomic bool draining;       /* set once; a reader who misses it serves one request more */
    _Atomic uint64_t body_bytes; /* of all bodies under way: a sum, in no order with anything */
    _Atomic int64_t desk_at;     /* when the desk last moved; a time alone */

    struct bth_mutex lock;
    struct bth_list conns GUARDED_BY(server);
    struct bth_list exchanges GUARDED_BY(server);
    size_t n_conns GUARDED_BY(server);
    size_t n_busy GUARDED_BY(server); /* exchanges that take a place in the queue */
    uint64_t last_conn GUARDED_BY(server), last_exchange GUARDED_BY(server);

    struct bth_list sessions; /* the desk's, as is their number */
    size_t n_sessions;
    struct bth_list loans;  /* the desk's */
    _Atomic size_t n_loans; /* a number by itself */
    uint64_t logged;        /* the last event that is in the log; the desk's too */

    struct bth_mutex inbox_lock;
    struct bth_cond inbox_wake;
    struct bth_list inbox GUARDED_BY(stats); /* exchanges with notes */
    bool cancel_all GUARDED_BY(stats), desk_stop GUARDED_BY(stats);
    struct bth_thread desk;
};
BTH_LOCK(server, struct bth_server, lock, server)
BTH_LOCK(inbox, struct bth_server, inbox_lock, stats)

#endif

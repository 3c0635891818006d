/*
 * server/server.h - HTTP over one manager: what berthd is.
 *
 * Layer server: libmicrohttpd on a thread per listening socket, and one thread, the desk, that
 * starts requests and takes their results. No thread waits for a request: connections are suspended
 * while Berth works and resumed by what its callbacks report. Devices' threads never touch a
 * socket. It knows engines by their options and results only.
 *
 *   server.c server_private.h   life: sockets, threads, drain; what the files share
 *   listener.c notify.c         sockets that listen, systemd
 *   http.c vet.c auth.c         libmicrohttpd's callbacks, what a head decides, keys and hosts
 *   conn.c exchange.c answer.c  connections and their time-outs, one request and its answer
 *   body.c multipart.c form.c   what it brings
 *   desk.c work.c work_many.c   from request to lease to jobs to answer
 *   session.c loan.c            leases of client processes, and of shells
 *   reply_*.c json_text.c       results as text
 *   routes.c routes_<group>.c   the table; its groups: a new route is a line and a function
 *   daemon.c log.c metrics.c    the process: signals, watchdog; what it tells
 */
#ifndef BTH_SERVER_H
#define BTH_SERVER_H

#include "server/log.h"
#include <berth/berth.h>

struct bth_server;

/* Everything that a client could make grow has a limit here. */
struct bth_server_limits {
    unsigned connections; /* at once, on each socket */
    size_t queue;         /* requests being sent, waiting or at work; beyond them 429 */
    size_t per_caller;    /* of them one caller's */
    uint64_t body_bytes;  /* of one request; beyond it 413 */
    uint64_t total_bytes; /* of the bodies of all requests under way; beyond them 429 */
    size_t memory_bytes;  /* of a body kept in memory, the rest is in an unlinked file */
    int64_t head_ms;      /* until a new connection's first head is complete */
    int64_t idle_ms;      /* the same for later ones */
    int64_t stall_ms;     /* a body or answer takes at most this and a second a `rate` bytes */
    uint64_t rate;
};
#define BTH_SERVER_LIMITS                                                                          \
    {                                                                                              \
        .connections = 1024, .queue = 512, .per_caller = 512, .body_bytes = UINT64_C(256) << 20,   \
        .total_bytes = UINT64_C(2) << 30, .memory_bytes = 1 << 20, .head_ms = 10000,               \
        .idle_ms = 75000, .stall_ms = 30000, .rate = 16384                                         \
    }

/* What it points to must outlive the server. */
struct bth_server_config {
    struct berth *berth;
    const char *const *listen; /* [n_listen], see listener.h */
    size_t n_listen;
    const char
        *listen_too;    /* one more, or NULL; if that fails, the log says so and it goes without */
    const int *sockets; /* [n_sockets] listen already; the server's from bth_server_create on */
    size_t n_sockets;
    const char *key_file;     /* of API keys, or NULL; wanted to listen beyond this machine */
    const char *const *hosts; /* [n_hosts] names by which it may be called */
    size_t n_hosts;
    const char *const *origins; /* [n_origins] web pages that may use it */
    size_t n_origins;
    struct bth_server_limits limits;
    struct bth_log log;
    /* POST /v1/stop was allowed; called on a server's thread. NULL: there is no such route */
    void (*stop)(void *arg, int64_t timeout_ms);
    void *arg;
};

/* Listens and answers. EINVAL, EBUSY, EIO, ENOTFOUND (the key file), ENOMEM. */
int bth_server_create(const struct bth_server_config *config, struct bth_server **out,
                      struct berth_error *err);

/* The address of socket i with the port it got ("127.0.0.1:43210", "unix:/PATH"), or NULL beyond
 * the last. Lasts as long as the server. */
const char *bth_server_address(const struct bth_server *s, size_t i);

/* Health: the threads of all devices that are not lost, and the desk, have moved in the last five
 * seconds. */
bool bth_server_live(struct bth_server *s);
bool bth_server_has_device(const struct bth_server *s); /* not all of them are lost */
/* Requests being sent, waiting or at work. */
size_t bth_server_busy(struct bth_server *s);

/* Open connections, which are clients and their sessions, and leases without a session. */
size_t bth_server_connections(struct bth_server *s);
/* Stops listening and refuses new requests with 503; requests under way go on. Does not wait. */
void bth_server_drain(struct bth_server *s);
/* The same if nobody is connected and nobody holds a lease, else nothing: false. Whoever connects
 * after that is told by /health that it drains; whoever was told that it is ready, while his
 * connection lasts, is not left. */
bool bth_server_retire(struct bth_server *s);
/* Cancels what is under way, after bth_server_drain. Does not wait. */
void bth_server_cancel(struct bth_server *s);
/* Closes all connections and frees the server. NULL is allowed. May wait for a second. Returns the
 * number of the last event that is in the log: the models go later. */
uint64_t bth_server_destroy(struct bth_server *s);

#endif

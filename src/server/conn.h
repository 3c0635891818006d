/*
 * server/conn.h - connections: whose they are, and that none stays in one phase for too long.
 *
 * libmicrohttpd's own time-out counts from the last byte, so a byte a second would keep a
 * connection for ever, and one that is suspended is not looked at: the desk looks at all of them a
 * few times a second (bth_conns_check). It ends a connection by shutting its socket down under the
 * server's lock, which a closing connection needs too: so the descriptor is still this
 * connection's.
 */
#ifndef BTH_CONN_H
#define BTH_CONN_H

#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bth_server;
struct bth_door;
struct bth_exchange;

enum bth_phase {
    BTH_PHASE_NEW,  /* no request yet */
    BTH_PHASE_IDLE, /* between two */
    BTH_PHASE_BODY, /* receives one */
    BTH_PHASE_WORK, /* suspended */
    BTH_PHASE_SEND
};

/* All but the first group under the server's lock. */
struct bth_conn {
    struct bth_door *door;
    uint64_t id;
    int fd;
    bool peer_known; /* a Unix socket's: */
    uid_t uid;
    pid_t pid;

    struct bth_list link; /* bth_server.conns */
    enum bth_phase phase;
    int64_t since;  /* the phase began, or its stream last moved */
    uint64_t bytes; /* to move, or moved, in it */
    bool cut;       /* shut down already */
    bool left;      /* at the last check the peer had gone and all that he sent was read */
    struct bth_exchange *
        exchange; /* in WORK and SEND of one that the desk works for: told when the client leaves */
};

/* For libmicrohttpd's notifications. NULL: out of memory, the connection must be refused. */
struct bth_conn *bth_conn_open(struct bth_door *door, int fd);
void bth_conn_close(struct bth_conn *c);

void bth_conn_phase(struct bth_conn *c, enum bth_phase phase, uint64_t bytes);
/* The phase goes on and n bytes have moved. */
void bth_conn_moved(struct bth_conn *c, uint64_t n);

/* Ends what is over its time and tells exchanges whose clients have left. Desk only. */
void bth_conns_check(struct bth_server *s, int64_t now);
/* Ends connections that wait for a request; `all` of them. */
void bth_conns_cut(struct bth_server *s, bool all);

#endif

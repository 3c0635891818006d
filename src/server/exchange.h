/*
 * server/exchange.h - one request and its answer.
 *
 * Made when the head is there, freed when libmicrohttpd is through with it and the desk too. Until
 * it is given to the desk (bth_work_begin) it belongs to its connection's thread; from then on the
 * desk writes the answer, and the connection's thread, suspended meanwhile, only sends it.
 *
 * An answer is whole (bth_answer) or a stream: bth_stream_begin, bth_stream_write, bth_stream_end.
 */
#ifndef BTH_EXCHANGE_H
#define BTH_EXCHANGE_H

#include "server/form.h"
#include "server/route.h"
#include "server/server_private.h"
#include "server/work.h"

enum { BTH_ID_BYTES = 65, BTH_CALLER_BYTES = 160, BTH_PATH_BYTES = 160 };

struct bth_exchange {
    /* constant once the head has been read */
    struct bth_server *server;
    struct bth_conn *conn;
    struct MHD_Connection *mhd;
    const struct bth_route *route;
    const char *rest; /* of the path, behind a route that takes one: libmicrohttpd's, for `run` */
    char id[BTH_ID_BYTES];
    char caller[BTH_CALLER_BYTES];
    char path[BTH_PATH_BYTES];
    char method[8];
    const char *origin; /* that needs CORS headers: one of bth_auth.origins, or NULL */
    uint64_t number;
    int64_t began;
    bool close;     /* the connection, after the answer */
    bool chunked;   /* the body's length is not known before its end */
    char allow[32]; /* what a path has instead of the method asked for */
    bool trusted; /* may stop the server: the peer of a Unix socket with our uid, or has shown a key
                   */

    /* the connection's thread */
    struct bth_body body;
    struct bth_multipart *multipart;
    struct bth_form form;
    struct berth_error body_error; /* what is wrong with it; the rest of it is thrown away */
    uint64_t received, thrown_away;
    bool begun;  /* the route has been called */
    size_t sent; /* of `out`, a stream */

    /* the server's lock */
    struct bth_list link; /* bth_server.exchanges */
    uint64_t charged;     /* of bth_server.body_bytes */
    bool listed, busy;    /* it takes a place in the queue */
    bool suspended;
    bool ready; /* there is a status to send */
    bool streaming, complete;
    bool closed;        /* libmicrohttpd is through */
    bool abandoned;     /* the client has left: no answer */
    double done, total; /* of its job, as of late */
    int status;
    int retry_after_s; /* 0: no such header */
    bool never_retry;
    const char *type;
    struct bth_str out;

    /* the inbox's lock */
    struct bth_list inbox;
    unsigned notes;
    int refs;

    struct bth_work work; /* the desk's */
};

/* One reference. NULL: out of memory. */
struct bth_exchange *bth_exchange_create(struct bth_conn *conn, struct MHD_Connection *mhd,
                                         const char *method, const char *path);
void bth_exchange_ref(struct bth_exchange *x);
void bth_exchange_unref(struct bth_exchange *x);
/* A place in the queue, or EOVERLOADED. Given back by bth_exchange_leave. */
int bth_exchange_enter(struct bth_exchange *x, struct berth_error *err);
void bth_exchange_leave(struct bth_exchange *x);
/* Room for n more bytes of its body among all bodies, until it leaves; or EOVERLOADED. */
int bth_exchange_charge(struct bth_exchange *x, size_t n, struct berth_error *err);

/* ---- the answer: its own thread before the desk has it, then the desk ---- */

/* The whole answer; `text`, which may be NULL for an empty one, is taken over and left empty. */
void bth_answer(struct bth_exchange *x, int status, const char *type, struct bth_str *text);
/* JSON with status 200; 503 if text->failed. */
void bth_answer_json(struct bth_exchange *x, struct bth_str *text);
/* An error of Berth in OpenAI's shape; `param` is the field it is about, or NULL. */
void bth_answer_error(struct bth_exchange *x, const struct berth_error *err, const char *param);
/* An error of HTTP's. */
void bth_answer_refusal(struct bth_exchange *x, int status, const char *code, const char *message);
/* 403: who asks is not `trusted`, and only who is may do it ("stop it"). */
void bth_answer_untrusted(struct bth_exchange *x, const char *code, const char *what);

/* The HTTP status for an error of Berth. */
int bth_error_status(int code);
/* {"error":{...}}, as in a body of its own. */
void bth_error_json(struct bth_str *out, const struct berth_error *err, const char *code,
                    const char *param);

void bth_stream_begin(struct bth_exchange *x, const char *type);
/* Appends; `text` is left empty. */
void bth_stream_write(struct bth_exchange *x, struct bth_str *text);
void bth_stream_end(struct bth_exchange *x);
/* Bytes that the client has not taken yet. */
size_t bth_stream_pending(struct bth_exchange *x);
/* No answer: the connection is closed. */
void bth_answer_abandon(struct bth_exchange *x);

#endif

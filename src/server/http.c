#include "server/http.h"

#include "base/clock.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/desk.h"
#include "server/exchange.h"
#include "server/json_body.h"
#include "server/values.h"
#include "server/vet.h"
#include <stdio.h>
#include <string.h>

enum { STREAM_BLOCK = 16384, POOL_BYTES = 32768, IDLE_S = 300, JSON_BODY_BYTES = 65536 };

/* What is read of a refused body that does not say how long it is. */
enum { CHUNKS_REST = 1 << 20 };

/* ---- sending ---------------------------------------------------------------------------------*/

/* The next bytes of a stream; with none there, the connection sleeps until the desk has some. */
static ssize_t read_stream(void *cls, uint64_t at, char *buf, size_t max) {
    struct bth_exchange *x = cls;
    struct bth_server *s = x->server;
    ssize_t n = 0;
    bool room = false;
    (void)at;
    server_lock(s);
    if (x->abandoned) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (x->sent < x->out.size) {
        n = (ssize_t)BTH_MIN(max, x->out.size - x->sent);
        memcpy(buf, x->out.data + x->sent, (size_t)n);
        x->sent += (size_t)n;
        x->conn->since = bth_now();
        if (x->sent == x->out.size) {
            bth_str_clear(&x->out);
            x->sent = 0;
            room = !x->complete;
        }
    } else if (x->complete) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        x->conn->phase = BTH_PHASE_WORK;
        MHD_suspend_connection(x->mhd);
    }
    server_unlock(s);
    if (room) {
        bth_desk_note(x, BTH_DESK_ROOM);
    }
    return n;
}

static void add(struct MHD_Response *r, const char *name, const char *value) {
    MHD_add_response_header(r, name, value);
}

static void add_headers(struct bth_exchange *x, struct MHD_Response *r) {
    char number[16];
    if (x->type) {
        add(r, "Content-Type", x->type);
    }
    add(r, "X-Request-Id", x->id);
    add(r, "Cache-Control", "no-store");
    add(r, "X-Content-Type-Options", "nosniff");
    if (x->type && strncmp(x->type, "text/html", 9) == 0) {
        add(r, "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    }
    if (x->retry_after_s) {
        snprintf(number, sizeof(number), "%d", x->retry_after_s);
        add(r, "Retry-After", number);
    }
    if (x->never_retry) {
        add(r, "X-Should-Retry", "false");
    }
    if (x->status == MHD_HTTP_UNAUTHORIZED) {
        add(r, "WWW-Authenticate", "Bearer");
    }
    if (x->allow[0]) {
        add(r, "Allow", x->allow);
    }
    if (x->close || x->server->draining) {
        add(r, "Connection", "close");
    }
    bth_vet_add_cors(x, r);
}

static enum MHD_Result send_answer(struct bth_exchange *x) {
    struct MHD_Response *r;
    /* what is sent lies in the exchange, which outlives the response */
    if (x->streaming) {
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, NULL);
    } else {
        bth_body_finish(&x->body);
        bth_exchange_leave(x); /* who has the answer finds the place free */
        r = MHD_create_response_from_buffer(x->out.size, (void *)bth_str_text(&x->out),
                                            MHD_RESPMEM_PERSISTENT);
    }
    if (!r) {
        return MHD_NO;
    }
    add_headers(x, r);
    bth_conn_phase(x->conn, BTH_PHASE_SEND, x->streaming ? 0 : x->out.size);
    enum MHD_Result queued = MHD_queue_response(x->mhd, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return queued;
}

/* Sends what is ready, or sleeps until something is. */
static enum MHD_Result send_or_sleep(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    server_lock(s);
    bool abandoned = x->abandoned, ready = x->ready;
    if (x->listed) { /* until it is over; a stream may have begun already */
        x->conn->exchange = x;
    }
    if (!ready && !abandoned) {
        x->suspended = true;
        x->conn->phase = BTH_PHASE_WORK;
        MHD_suspend_connection(x->mhd);
    }
    server_unlock(s);
    if (abandoned) {
        return MHD_NO;
    }
    return ready ? send_answer(x) : MHD_YES;
}

/* ---- receiving -------------------------------------------------------------------------------*/

static int keep(struct bth_exchange *x, const char *data, size_t n, struct berth_error *err) {
    const uint64_t most = x->server->limits.body_bytes;
    if (x->received > most) { /* whatever it is made of */
        return bth_error(err, BERTH_ETOOLARGE, "the body is larger than %llu bytes",
                         (unsigned long long)most);
    }
    int rc = bth_exchange_charge(x, n, err);
    if (rc < 0) {
        return rc;
    }
    if (x->multipart) {
        return bth_multipart_feed(x->multipart, data, n, err);
    }
    struct bth_body_limits limits = x->server->body_limits;
    if (x->route->body == BTH_BODY_JSON) {
        limits.most = limits.memory = JSON_BODY_BYTES;
    } else if (x->route->libre) { /* its key, if one is wanted, comes in the body */
        limits.most = BTH_MIN(limits.most, BTH_VALUES_BYTES);
    }
    return bth_body_append(&x->body, &limits, data, n, err);
}

/* The rest of a body that has been refused is read too, so that the client reads the answer: but
 * not for ever. */
static enum MHD_Result receive(struct bth_exchange *x, const char *data, size_t n) {
    struct bth_server *s = x->server;
    bth_conn_moved(x->conn, n);
    x->received += n;
    atomic_fetch_add_explicit(&s->metrics.body_bytes, n, memory_order_relaxed);
    if (x->ready || x->body_error.code) {
        x->thrown_away += n;
        uint64_t most = x->chunked ? CHUNKS_REST : s->limits.body_bytes;
        return x->thrown_away > most ? MHD_NO : MHD_YES;
    }
    keep(x, data, n, &x->body_error);
    return MHD_YES;
}

/* The body is there: the form is complete, the JSON read. */
static int complete_body(struct bth_exchange *x, struct berth_error *err) {
    if (x->body_error.code) {
        return bth_error_copy(err, &x->body_error);
    }
    if (x->multipart) {
        return bth_multipart_finish(x->multipart, err);
    }
    if (x->route->body == BTH_BODY_JSON) {
        return bth_json_body(&x->form, bth_str_text(&x->body.memory), x->body.memory.size, err);
    }
    return x->route->query ? bth_http_query(x, err) : 0;
}

static void run(struct bth_exchange *x) {
    struct berth_error err = {0};
    if (complete_body(x, &err) < 0) {
        bth_answer_error(x, &err, NULL);
    } else {
        x->route->run(x);
    }
}

static struct bth_exchange *open_exchange(struct MHD_Connection *mhd, const char *url,
                                          const char *method) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct bth_conn *conn = info ? info->socket_context : NULL;
    if (!conn) {
        return NULL;
    }
    bth_conn_phase(conn, BTH_PHASE_BODY, 0);
    return bth_exchange_create(conn, mhd, method, url);
}

/* Called for the head, then for each piece of the body, at its end, and after a resume. */
static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *n_data, void **con_cls) {
    struct bth_exchange *x = *con_cls;
    (void)cls;
    if (!x) {
        x = *con_cls = open_exchange(mhd, url, method);
        if (!x) {
            return MHD_NO;
        }
        return bth_vet(x, url, version) ? MHD_YES : send_answer(x);
    }
    if (*n_data > 0) {
        enum MHD_Result go_on = receive(x, data, *n_data);
        *n_data = 0;
        return go_on;
    }
    if (!x->begun && !x->ready) {
        x->begun = true;
        run(x);
    }
    return send_or_sleep(x);
}

/* ---- ends ------------------------------------------------------------------------------------*/

/* What is asked for all the time, and went well, is for those who want to see everything. */
static void log_end(const struct bth_exchange *x, int status, bool sent) {
    bool quiet = x->route && !x->route->queued && sent && status < 400;
    const struct bth_log_request r = {.id = x->id,
                                      .method = x->method,
                                      .path = x->path,
                                      .caller = x->caller,
                                      .model = x->work.model,
                                      .status = status,
                                      .sent = sent,
                                      .ms = (double)(bth_now() - x->began) / 1e6,
                                      .bytes = x->received};
    bth_log_request(&x->server->log, quiet ? BTH_LOG_DEBUG : BTH_LOG_INFO, &r);
}

static void completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                      enum MHD_RequestTerminationCode why) {
    struct bth_exchange *x = *con_cls;
    (void)cls, (void)mhd;
    if (!x) {
        return;
    }
    struct bth_server *s = x->server;
    *con_cls = NULL;
    server_lock(s);
    x->closed = true;
    x->conn->exchange = NULL;
    x->conn->phase = BTH_PHASE_IDLE;
    x->conn->since = bth_now();
    bool at_work = x->listed;
    int status = x->status;
    server_unlock(s);
    if (at_work) {
        bth_desk_note(x, BTH_DESK_LEFT);
    } else {
        bth_exchange_leave(x);
    }
    bool sent = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (sent && status >= 100 && status < 600) {
        bth_count(&s->metrics.responses[status / 100]);
    }
    log_end(x, status, sent);
    bth_exchange_unref(x);
}

static void connection(void *cls, struct MHD_Connection *mhd, void **context,
                       enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? bth_conn_open(cls, info->connect_fd) : NULL;
    } else if (*context) {
        bth_conn_close(*context);
        *context = NULL;
    }
}

/* %00 would end a C string early, so that what is checked is not what was sent: it becomes a byte
 * that is in no path and no UTF-8. */
static size_t unescape(void *cls, struct MHD_Connection *mhd, char *text) {
    (void)cls, (void)mhd;
    size_t n = MHD_http_unescape(text);
    for (size_t i = 0; i < n; i++) {
        text[i] = text[i] ? text[i] : (char)0xFF;
    }
    return n;
}

int bth_http_start(struct bth_door *door, struct berth_error *err) {
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    door->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, door, MHD_OPTION_LISTEN_SOCKET, door->socket.fd,
        MHD_OPTION_CONNECTION_LIMIT, door->server->limits.connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_NOTIFY_COMPLETED, completed, door,
        MHD_OPTION_NOTIFY_CONNECTION, connection, door, MHD_OPTION_UNESCAPE_CALLBACK, unescape,
        door, MHD_OPTION_END);
    return door->daemon ? 0
                        : bth_error(err, BERTH_EIO, "%s: libmicrohttpd does not start",
                                    door->socket.address);
}

/* ---- heads -----------------------------------------------------------------------------------*/

const char *bth_http_header(const struct bth_exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

struct query {
    struct bth_exchange *x;
    struct berth_error *err;
    int rc;
};

static enum MHD_Result add_argument(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
    struct query *q = cls;
    (void)kind;
    value = value ? value : "";
    if (!bth_utf8_valid(name, strlen(name))) {
        q->rc = bth_error(q->err, BERTH_EINVAL, "a name in the query is not text in UTF-8");
    } else {
        q->rc = bth_form_add(&q->x->form, name, value, strlen(value), q->err);
    }
    return q->rc < 0 ? MHD_NO : MHD_YES;
}

int bth_http_query(struct bth_exchange *x, struct berth_error *err) {
    struct query q = {.x = x, .err = err};
    MHD_get_connection_values(x->mhd, MHD_GET_ARGUMENT_KIND, add_argument, &q);
    return q.rc;
}

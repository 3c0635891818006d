#include "server/exchange.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/desk.h"
#include <stdio.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------*/

struct bth_exchange *bth_exchange_create(struct bth_conn *conn, struct MHD_Connection *mhd,
                                         const char *method, const char *path) {
    struct bth_server *s = conn->door->server;
    struct bth_exchange *x = bth_calloc(1, sizeof(*x));
    if (!x) {
        return NULL;
    }
    x->server = s;
    x->conn = conn;
    x->mhd = mhd;
    x->refs = 1;
    x->began = bth_now();
    bth_list_init(&x->inbox);
    bth_body_init(&x->body);
    bth_form_init(&x->form, &x->body, &s->body_limits);
    snprintf(x->method, sizeof(x->method), "%s", method);
    snprintf(x->path, sizeof(x->path), "%s", path);
    server_lock(s);
    x->number = ++s->last_exchange;
    bth_list_append(&s->exchanges, &x->link);
    server_unlock(s);
    return x;
}

static void destroy(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    server_lock(s);
    bth_list_remove(&x->link);
    server_unlock(s);
    bth_work_finish(&x->work);
    bth_multipart_destroy(x->multipart);
    bth_form_finish(&x->form);
    bth_body_finish(&x->body);
    bth_str_finish(&x->out);
    bth_free(x);
}

void bth_exchange_ref(struct bth_exchange *x) {
    inbox_lock(x->server);
    x->refs++;
    inbox_unlock(x->server);
}

void bth_exchange_unref(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    inbox_lock(s);
    bool last = --x->refs == 0;
    inbox_unlock(s);
    if (last) {
        destroy(x);
    }
}

static size_t callers_locked(const struct bth_exchange *x) REQUIRES(server);
static size_t callers_locked(const struct bth_exchange *x) {
    size_t n = 0;
    const struct bth_exchange *other;
    BTH_LIST_EACH(other, &x->server->exchanges, struct bth_exchange, link) {
        n += other->busy && strcmp(other->caller, x->caller) == 0;
    }
    return n;
}

int bth_exchange_enter(struct bth_exchange *x, struct berth_error *err) {
    struct bth_server *s = x->server;
    int rc = 0;
    server_lock(s);
    if (s->n_busy >= s->limits.queue) {
        rc = bth_error(err, BERTH_EOVERLOADED,
                       "%zu requests are queued and running, which is the most: try again later",
                       s->n_busy);
    } else if (s->limits.per_caller < s->limits.queue &&
               callers_locked(x) >= s->limits.per_caller) {
        rc = bth_error(err, BERTH_EOVERLOADED,
                       "%zu requests of yours are queued and running, which is the most of one "
                       "caller: try again later",
                       s->limits.per_caller);
    } else {
        x->busy = true;
        s->n_busy++;
    }
    server_unlock(s);
    return rc;
}

void bth_exchange_leave(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    server_lock(s);
    s->n_busy -= x->busy;
    x->busy = false;
    atomic_fetch_sub_explicit(&s->body_bytes, x->charged, memory_order_relaxed);
    x->charged = 0;
    server_unlock(s);
}

int bth_exchange_charge(struct bth_exchange *x, size_t n, struct berth_error *err) {
    struct bth_server *s = x->server;
    uint64_t before = atomic_fetch_add_explicit(&s->body_bytes, n, memory_order_relaxed);
    if (before + n > s->limits.total_bytes) {
        atomic_fetch_sub_explicit(&s->body_bytes, n, memory_order_relaxed);
        return bth_error(
            err, BERTH_EOVERLOADED,
            "the bodies of all requests are %llu bytes, and no more fit: try again later",
            (unsigned long long)before);
    }
    server_lock(s);
    x->charged += n;
    server_unlock(s);
    return 0;
}

/* ---- publishing ------------------------------------------------------------------------------*/

/* Wakes the connection up if it sleeps. Its thread cannot end it before: it is suspended. */
static void resume(struct bth_exchange *x, bool suspended) {
    if (suspended) {
        MHD_resume_connection(x->mhd);
    }
}

/* Takes the mark away, as the caller will resume; what there is to send must be sent in time. */
static bool wake_locked(struct bth_exchange *x) REQUIRES(server);
static bool wake_locked(struct bth_exchange *x) {
    bool suspended = x->suspended;
    x->suspended = false;
    if (suspended) {
        x->conn->phase = BTH_PHASE_SEND;
        x->conn->since = bth_now();
        x->conn->bytes = x->out.size;
    }
    return suspended;
}

void bth_answer(struct bth_exchange *x, int status, const char *type, struct bth_str *text) {
    struct bth_server *s = x->server;
    server_lock(s);
    x->status = status;
    x->type = type;
    if (text) {
        struct bth_str old = x->out;
        x->out = *text;
        *text = old;
    }
    x->ready = x->complete = true;
    bool suspended = wake_locked(x);
    server_unlock(s);
    if (text) {
        bth_str_finish(text);
    }
    resume(x, suspended);
}

void bth_stream_begin(struct bth_exchange *x, const char *type) {
    server_lock(x->server);
    x->status = MHD_HTTP_OK;
    x->type = type;
    x->streaming = x->ready = true;
    server_unlock(x->server);
}

void bth_stream_write(struct bth_exchange *x, struct bth_str *text) {
    server_lock(x->server);
    bth_str_append(&x->out, bth_str_text(text), text->size);
    if (text->failed || x->out.failed) {
        x->abandoned = true; /* a stream with a hole in it must not look whole */
    }
    bool suspended = wake_locked(x);
    server_unlock(x->server);
    bth_str_clear(text);
    resume(x, suspended);
}

void bth_stream_end(struct bth_exchange *x) {
    server_lock(x->server);
    x->complete = true;
    bool suspended = wake_locked(x);
    server_unlock(x->server);
    resume(x, suspended);
}

size_t bth_stream_pending(struct bth_exchange *x) {
    server_lock(x->server);
    size_t n = x->streaming ? x->out.size : 0;
    server_unlock(x->server);
    return n;
}

void bth_answer_abandon(struct bth_exchange *x) {
    server_lock(x->server);
    x->abandoned = true;
    bool suspended = wake_locked(x);
    server_unlock(x->server);
    resume(x, suspended);
}

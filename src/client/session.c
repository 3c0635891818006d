/*
 * Leases at a daemon. One stream a client, POST /v1/sessions, tells it that this process lives and
 * tells us what became of our leases; PUT and DELETE ask for them and give them back.
 *
 * The stream is opened with the first lease. Its end loses all leases (ELOST); the next one opens
 * another stream. `turn` counts streams, so that a lease of an old one is known as such.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/client_private.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The daemon says something every five seconds. */
enum { TOLD_MS = 5000, GIVE_BACK_MS = 2000, GRACE_MS = 2000, SILENCE_S = 30, MAX_MS = 86400000 };

/* ---- the stream, on the loop's thread --------------------------------------------------------*/

static struct bth_client_lease *find_locked(struct bth_client *c, uint64_t id) REQUIRES(core);
static struct bth_client_lease *find_locked(struct bth_client *c, uint64_t id) {
    struct bth_client_lease *l;
    BTH_LIST_EACH(l, &c->leases, struct bth_client_lease, link) {
        if (l->turn == c->session.turn && l->id == id) {
            return l;
        }
    }
    return NULL;
}

/* What a lease's event says of it. */
static void tell_locked(struct bth_client_lease *l, const struct bth_session_event *e)
    REQUIRES(core) {
    if (e->kind == BTH_SESSION_GRANTED) {
        l->state = BTH_REMOTE_HELD;
        memcpy(l->model, e->model, sizeof(l->model));
    } else if (e->kind == BTH_SESSION_REVOKED) {
        l->state = BTH_REMOTE_REVOKED;
    } else {
        l->state = BTH_REMOTE_REFUSED;
        l->error = e->error;
    }
}

static int take_line(void *arg, const char *line, size_t n, struct berth_error *err) {
    struct bth_client *c = arg;
    struct bth_session_event e;
    int rc = bth_session_event_parse(line, n, &e, err);
    if (rc < 0) {
        return rc;
    }
    client_lock(c);
    if (e.kind == BTH_SESSION_HELLO) {
        memcpy(c->session.id, e.session, sizeof(c->session.id));
        c->session.open = true;
    } else if (e.kind != BTH_SESSION_ALIVE) {
        struct bth_client_lease *l = find_locked(c, e.lease);
        if (l) { /* else it was given back meanwhile */
            tell_locked(l, &e);
        }
    }
    bth_cond_broadcast(&c->changed);
    client_unlock(c);
    return 0;
}

static int take_data(struct bth_transfer *t, const char *bytes, size_t n) {
    struct bth_client *c = BTH_CONTAINER(t, struct bth_client, session.transfer);
    struct bth_session_stream *s = &c->session;
    if (bth_transfer_status(t) != 200) {
        bth_str_append(&s->refusal, bytes, n < 4096 ? n : 4096);
        return s->refusal.size < 65536 ? 0 : BERTH_EIO;
    }
    return bth_lines_feed(&s->lines, bytes, n, take_line, c, &s->broken);
}

static void outcome(struct bth_client *c, CURLcode rc, struct berth_error *err) {
    struct bth_session_stream *s = &c->session;
    int status = bth_transfer_status(&s->transfer);
    if (s->broken.code) {
        *err = s->broken;
    } else if (rc == CURLE_ABORTED_BY_CALLBACK) {
        bth_error(err, BERTH_ESHUTDOWN, "the manager is closing");
    } else if (rc != CURLE_OK) {
        bth_transfer_error(c, &s->transfer, rc, err);
    } else if (status != 200) {
        bth_event_refusal(status, bth_str_text(&s->refusal), s->refusal.size, err);
    } else {
        bth_error(err, BERTH_ELOST, "the daemon at %.100s has ended the session: acquire again",
                  c->address);
    }
}

static void take_end(struct bth_transfer *t, CURLcode rc) {
    struct bth_client *c = BTH_CONTAINER(t, struct bth_client, session.transfer);
    struct bth_session_stream *s = &c->session;
    struct berth_error why;
    outcome(c, rc, &why);
    bth_transfer_finish(t);
    bth_upload_finish(&s->upload);
    bth_lines_finish(&s->lines);
    bth_str_finish(&s->refusal);
    client_lock(c);
    struct bth_client_lease *l;
    BTH_LIST_EACH(l, &c->leases, struct bth_client_lease, link) {
        if (l->turn == s->turn && l->state != BTH_REMOTE_REFUSED) {
            l->state = BTH_REMOTE_LOST;
            l->error = why;
        }
    }
    s->error = why;
    s->open = s->started = false;
    bth_cond_broadcast(&c->changed);
    client_unlock(c);
}

static const struct bth_transfer_ops stream_ops = {.data = take_data, .ended = take_end};

/* ---- opening ---------------------------------------------------------------------------------*/

/* The stream's objects are ours until it starts: `started` keeps others away. */
static int start_stream(struct bth_client *c, struct berth_error *err) {
    struct bth_session_stream *s = &c->session;
    s->lines = (struct bth_lines){0};
    s->refusal = (struct bth_str){0};
    s->broken = (struct berth_error){0};
    s->upload = (struct bth_upload){.fd = -1};
    s->transfer = (struct bth_transfer){.ops = &stream_ops};
    int rc = bth_upload_json(&s->upload, "{}", err);
    rc = rc < 0 ? rc : bth_transfer_create(c, "/v1/sessions", &s->upload, &s->transfer, err);
    if (rc < 0) {
        bth_upload_finish(&s->upload);
        return rc;
    }
    curl_easy_setopt(s->transfer.easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(s->transfer.easy, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    bth_loop_note(&c->loop, &s->transfer, BTH_TRANSFER_START);
    return 0;
}

/* Until the session is open, or not to be had. */
static int open_session(struct bth_client *c, struct berth_error *err) {
    struct bth_session_stream *s = &c->session;
    int64_t deadline = bth_deadline(bth_now(), TOLD_MS);
    int rc = 0;
    client_lock(c);
    if (!s->started) {
        s->started = true;
        s->turn++;
        client_unlock(c);
        struct berth_error why;
        rc = start_stream(c, &why);
        client_lock(c);
        if (rc < 0) { /* those who wait for it are told too */
            s->started = false;
            s->error = why;
            bth_cond_broadcast(&c->changed);
            bth_error_copy(err, &why);
        }
    }
    while (rc == 0 && s->started && !s->open && bth_cond_wait(&c->changed, &c->lock, deadline)) {
    }
    if (rc == 0 && !s->started) {
        rc = bth_error_copy(err, &s->error);
    } else if (rc == 0 && !s->open) {
        rc = bth_error(err, BERTH_ELOST, "the daemon at %.100s opens no session: try again later",
                       c->address);
    }
    client_unlock(c);
    return rc;
}

void bth_client_greet(struct bth_client *c) {
    open_session(c, NULL);
}

/* ---- leases ----------------------------------------------------------------------------------*/

static void path_of(const struct bth_client_lease *l, char out[96]) {
    snprintf(out, 96, "/v1/leases/%s/%" PRIu64, l->session, l->id);
}

static int put(struct bth_client_lease *l, const struct berth_acquire_options *o,
               struct berth_error *err) {
    struct bth_str body = {0};
    char path[96];
    path_of(l, path);
    bth_str_puts(&body, "{\"model\":");
    bth_client_quote(&body, l->model);
    if (o->tag && *o->tag) {
        bth_str_puts(&body, ",\"tag\":");
        bth_client_quote(&body, o->tag);
    }
    bth_str_printf(&body, ",\"mode\":\"%s\",\"max_concurrent\":%" PRIu32,
                   o->mode == BERTH_EXCLUSIVE ? "exclusive" : "shared", o->max_concurrent);
    if (o->priority != 5) {
        bth_str_printf(&body, ",\"priority\":%d", o->priority);
    }
    bth_str_printf(&body, ",\"owner\":%" PRId64 ",\"wait_ms\":%" PRId64 ",\"tid\":%" PRId64 "}",
                   (int64_t)o->owner, o->wait_ms < 0 || o->wait_ms > MAX_MS ? -1 : o->wait_ms,
                   bth_thread_id());
    int rc = body.failed
                 ? bth_error_nomem(err)
                 : bth_client_send(l->client, "PUT", path, bth_str_text(&body), TOLD_MS, NULL, err);
    bth_str_finish(&body);
    return rc;
}

/* Joins the client's leases under a number of its own. ESHUTDOWN, ELOST. */
static int enlist(struct bth_client_lease *l, struct berth_error *err) {
    struct bth_client *c = l->client;
    int rc = 0;
    client_lock(c);
    if (c->closing) {
        rc = bth_error(err, BERTH_ESHUTDOWN, "%s: closing, no new leases are given", l->model);
    } else if (!c->session.open) {
        rc = bth_error_copy(err, &c->session.error);
    } else {
        l->turn = c->session.turn;
        l->id = ++c->last_lease;
        memcpy(l->session, c->session.id, sizeof(l->session));
        bth_list_append(&c->leases, &l->link);
        c->n_leases++;
        c->refs++;
    }
    client_unlock(c);
    return rc;
}

void bth_client_lease_ref(struct bth_client_lease *l) {
    client_lock(l->client);
    l->refs++;
    client_unlock(l->client);
}

void bth_client_lease_unref(struct bth_client_lease *l) {
    struct bth_client *c = l->client;
    client_lock(c);
    bool last = --l->refs == 0;
    client_unlock(c);
    if (last) {
        bth_free(l);
        bth_client_unref(c);
    }
}

static void delist(struct bth_client_lease *l) {
    struct bth_client *c = l->client;
    client_lock(c);
    bth_list_remove(&l->link);
    c->n_leases--;
    bth_cond_broadcast(&c->changed);
    client_unlock(c);
}

/* Whether the daemon still has it: its own session is there, and it was not refused. */
static bool is_there(struct bth_client_lease *l) {
    struct bth_client *c = l->client;
    client_lock(c);
    bool there = l->turn == c->session.turn && c->session.open && l->state != BTH_REMOTE_REFUSED;
    client_unlock(c);
    return there;
}

static int give_back(struct bth_client_lease *l) {
    char path[96];
    path_of(l, path);
    return is_there(l) ? bth_client_send(l->client, "DELETE", path, NULL, GIVE_BACK_MS, NULL, NULL)
                       : 0;
}

/* One of those that could not be given back when they should have been; NULL: none. */
static struct bth_client_lease *take_unreturned(struct bth_client *c) {
    client_lock(c);
    struct bth_list *first = bth_list_first(&c->unreturned);
    if (first) {
        bth_list_remove(first);
    }
    client_unlock(c);
    return first ? BTH_CONTAINER(first, struct bth_client_lease, link) : NULL;
}

/* Out of memory, or the daemon did not answer: again with the next call, or the session's end. */
static void keep_unreturned(struct bth_client_lease *l) {
    client_lock(l->client);
    bth_list_append(&l->client->unreturned, &l->link);
    client_unlock(l->client);
}

static void return_rest(struct bth_client *c) {
    struct bth_client_lease *l;
    while ((l = take_unreturned(c))) {
        if (give_back(l) < 0) {
            keep_unreturned(l);
            return;
        }
        bth_client_lease_unref(l);
    }
}

void bth_client_release(struct bth_client_lease *l) {
    struct bth_client *c = l->client;
    bth_client_cancel(c, l);
    int rc = give_back(l);
    delist(l);
    if (rc < 0 && is_there(l)) {
        keep_unreturned(l);
    } else {
        bth_client_lease_unref(l);
    }
}

int bth_client_acquire_start(struct bth_client *c, const char *model,
                             const struct berth_acquire_options *o, struct bth_client_lease **out,
                             struct berth_error *err) {
    int rc = bth_client_refuse_path(c, model, err);
    return_rest(c);
    rc = rc < 0 ? rc : open_session(c, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_client_lease *l = bth_calloc(1, sizeof(*l));
    if (!l) {
        return bth_error_nomem(err);
    }
    l->client = c;
    l->refs = 1;
    l->exclusive = o->mode == BERTH_EXCLUSIVE;
    bth_list_init(&l->link);
    if (strlen(model) < sizeof(l->model)) {
        memcpy(l->model, model, strlen(model) + 1);
    } else { /* longer than any name: it will not be found, and the answer says what there is */
        snprintf(l->model, sizeof(l->model), "%.60s...", model);
    }
    rc = enlist(l, err);
    if (rc < 0) {
        bth_free(l);
        return rc;
    }
    rc = put(l, o, err);
    if (rc < 0) {
        bth_client_release(l); /* it may have been heard all the same */
        return rc;
    }
    *out = l;
    return 0;
}

int bth_client_lease_wait(struct bth_client_lease *l, int64_t deadline, struct berth_error *err) {
    struct bth_client *c = l->client;
    int rc = 0;
    client_lock(c);
    while (l->state == BTH_REMOTE_ASKED && bth_cond_wait(&c->changed, &c->lock, deadline)) {
    }
    if (l->state == BTH_REMOTE_ASKED) {
        rc = bth_error(err, BERTH_ETIMEDOUT, "the lease has not been granted yet");
    } else if (l->state == BTH_REMOTE_REFUSED || l->state == BTH_REMOTE_LOST) {
        rc = bth_error_copy(err, &l->error);
    }
    client_unlock(c);
    return rc;
}

int bth_client_acquire(struct bth_client *c, const char *model,
                       const struct berth_acquire_options *o, struct bth_client_lease **out,
                       struct berth_error *err) {
    struct bth_client_lease *l;
    const bool limited = o->wait_ms >= 0 && o->wait_ms <= MAX_MS;
    int rc = bth_client_acquire_start(c, model, o, &l, err);
    if (rc < 0) {
        return rc;
    }
    /* the daemon watches the time, and says who holds what; we do too, a little later */
    int64_t ms = limited ? o->wait_ms + GRACE_MS : -1;
    rc = bth_client_lease_wait(l, bth_deadline(bth_now(), ms), err);
    if (rc < 0) {
        bth_client_release(l);
        return rc;
    }
    *out = l;
    return 0;
}

const char *bth_client_lease_model(const struct bth_client_lease *l) {
    return l->model;
}

void bth_client_drop_unreturned(struct bth_client *c) {
    struct bth_client_lease *l;
    while ((l = take_unreturned(c))) {
        bth_client_lease_unref(l);
    }
}

bool bth_client_lease_revoked(const struct bth_client_lease *l) {
    struct bth_client *c = l->client;
    client_lock(c);
    bool revoked = l->state == BTH_REMOTE_REVOKED;
    client_unlock(c);
    return revoked;
}

int bth_client_lease_use(const struct bth_client_lease *l, char out[64], struct berth_error *err) {
    struct bth_client *c = l->client;
    int rc = 0;
    client_lock(c);
    if (l->state == BTH_REMOTE_REVOKED) {
        rc = bth_error(err, BERTH_EREVOKED, "%s: the lease was revoked, acquire a new one",
                       l->model);
    } else if (l->state == BTH_REMOTE_LOST) {
        rc = bth_error_copy(err, &l->error);
        bth_error_prefix(err, "%s: the lease is gone: ", l->model);
    } else if (l->exclusive) {
        rc = bth_error(err, BERTH_ESTATE,
                       "%s: an exclusive lease keeps others away and runs nothing; acquire a "
                       "shared one of the same owner for requests",
                       l->model);
    }
    client_unlock(c);
    if (rc == 0) {
        snprintf(out, 64, "%s/%" PRIu64, l->session, l->id);
    }
    return rc;
}

/* ---- pins ------------------------------------------------------------------------------------*/

int bth_client_pin(struct bth_client *c, const char *model, const char *tag, bool pin,
                   struct berth_error *err) {
    struct bth_str body = {0};
    char session[BTH_SESSION_TEXT];
    int rc = bth_client_refuse_path(c, model, err);
    rc = rc < 0 ? rc : open_session(c, err);
    if (rc < 0) {
        return rc;
    }
    bth_client_session(c, session);
    bth_str_puts(&body, "{\"model\":");
    bth_client_quote(&body, model);
    if (tag && *tag) {
        bth_str_puts(&body, ",\"tag\":");
        bth_client_quote(&body, tag);
    }
    bth_str_printf(&body, ",\"session\":\"%s\",\"pin\":%s}", session, pin ? "true" : "false");
    rc = body.failed ? bth_error_nomem(err)
                     : bth_client_ask(c, "/v1/pins", bth_str_text(&body), TOLD_MS, NULL, err);
    bth_str_finish(&body);
    return rc;
}

bool bth_client_alive(struct bth_client *c) {
    client_lock(c);
    bool open = c->session.open;
    client_unlock(c);
    return open;
}

uint64_t bth_client_owner(struct bth_client *c) {
    client_lock(c);
    uint64_t owner = ++c->last_owner;
    client_unlock(c);
    return owner;
}

void bth_client_session(struct bth_client *c, char out[BTH_SESSION_TEXT]) {
    client_lock(c);
    snprintf(out, BTH_SESSION_TEXT, "%s", c->session.open ? c->session.id : "");
    client_unlock(c);
}

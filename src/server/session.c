#define _GNU_SOURCE /* pidfd_open */
#include "server/session.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/desk.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BEAT (5 * BTH_NS_PER_S)

/* A client that does not read what it is told has forgotten us. */
enum { MAX_UNREAD = 1 << 20 };

struct bth_session {
    struct bth_list link;   /* bth_server.sessions */
    struct bth_exchange *x; /* its stream; the desk has a reference as long as this lives */
    char id[BTH_SESSION_ID_BYTES];
    uint64_t seed; /* of its owners */
    int pidfd;     /* or -1 */
    int64_t beat_at;
    struct bth_list leases, pins;
    size_t n_leases, n_pins;
};

struct bth_pin {
    struct bth_list link;
    char model[64], tag[64];
};

struct bth_session_lease {
    struct bth_list link;
    struct bth_session *session;
    uint64_t id; /* the client's */
    char model[64];
    int64_t deadline; /* of the wait */
    bool told, told_revoked;
    struct bth_lease *lease; /* once the grant has been told */
    struct bth_sched *sched; /* a reference; NULL: exclusive */
    struct bth_acquire acquire;
    /* core's callback, before its note */
    int rc;
    struct berth_error error;
    _Atomic bool answered; /* publishes the two above */
};

/* ---- the stream ------------------------------------------------------------------------------*/

static void say(struct bth_session *s, struct bth_str *line) {
    bth_str_puts(line, "}\n");
    bth_stream_write(s->x, line);
    bth_str_finish(line);
    s->beat_at = bth_now() + BEAT;
}

static struct bth_str event(const char *name, const struct bth_session_lease *l) {
    struct bth_str line = {0};
    bth_str_putc(&line, '{');
    bth_json_put_string(&line, "event", name);
    if (l) {
        bth_json_put_uint(&line, "lease", l->id);
    }
    return line;
}

/* ---- sessions --------------------------------------------------------------------------------*/

static int watch_process(pid_t pid) {
#ifdef SYS_pidfd_open
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
#else
    (void)pid;
    return -1;
#endif
}

static int identify(struct bth_session *s, struct berth_error *err) {
    uint64_t random[3];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return bth_error(err, BERTH_EIO, "the system has no random numbers");
    }
    snprintf(s->id, sizeof(s->id), "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    s->seed = random[2];
    return 0;
}

int bth_session_open(struct bth_exchange *x, struct bth_session **out, struct berth_error *err) {
    struct bth_server *server = x->server;
    if (server->n_sessions >= BTH_SESSIONS) {
        return bth_error(err, BERTH_EOVERLOADED, "%d processes hold sessions: try again later",
                         BTH_SESSIONS);
    }
    struct bth_session *s = bth_calloc(1, sizeof(*s));
    int rc = s ? identify(s, err) : bth_error_nomem(err);
    if (rc < 0) {
        bth_free(s);
        return rc;
    }
    s->x = x;
    s->pidfd = watch_process(x->work.ask.pid);
    bth_list_init(&s->link);
    bth_list_init(&s->leases);
    bth_list_init(&s->pins);
    bth_list_append(&server->sessions, &s->link);
    server->n_sessions++;
    struct bth_str hello = event("hello", NULL);
    bth_json_put_string(&hello, "session", s->id);
    bth_json_put_int(&hello, "epoch", server->started_unix);
    bth_stream_begin(x, "application/x-ndjson");
    say(s, &hello);
    *out = s;
    return 0;
}

struct bth_session *bth_session_find(struct bth_server *server, const char *id) {
    struct bth_session *s;
    BTH_LIST_EACH(s, &server->sessions, struct bth_session, link) {
        if (strcmp(s->id, id) == 0) {
            return s;
        }
    }
    return NULL;
}

int bth_session_unknown(struct berth_error *err) {
    return bth_error(err, BERTH_ELOST,
                     "the session has ended, and its leases with it: acquire again");
}

/* Spread by the session's own random number, so that two sessions' owners do not meet. 0 is nobody
 * everywhere. */
uint64_t bth_session_owner(const struct bth_session *s, uint64_t owner) {
    uint64_t z = owner * UINT64_C(0x9E3779B97F4A7C15) + s->seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return owner == 0 ? 0 : z == 0 ? 1 : z;
}

/* ---- leases ----------------------------------------------------------------------------------*/

static struct bth_session_lease *find_lease(struct bth_session *s, uint64_t id) {
    struct bth_session_lease *l;
    BTH_LIST_EACH(l, &s->leases, struct bth_session_lease, link) {
        if (l->id == id) {
            return l;
        }
    }
    return NULL;
}

/* Any thread, with core's lock held. */
static void answered(struct bth_acquire *acquire, int rc, const struct berth_error *err) {
    struct bth_session_lease *l = BTH_CONTAINER(acquire, struct bth_session_lease, acquire);
    struct bth_exchange *x = l->session->x;
    l->rc = rc;
    if (rc < 0) {
        l->error = *err;
    }
    atomic_store_explicit(&l->answered, true, memory_order_release);
    bth_desk_note(x, BTH_DESK_GRANT);
}

static void forget(struct bth_session_lease *l) {
    bth_list_remove(&l->link);
    l->session->n_leases--;
    bth_free(l);
}

int bth_session_acquire(struct bth_session *s, uint64_t id, const char *model,
                        const struct bth_ask *ask, struct berth_error *err) {
    struct bth_server *server = s->x->server;
    if (find_lease(s, id)) {
        return 0;
    }
    if (s->n_leases >= BTH_SESSION_LEASES) {
        return bth_error(err, BERTH_EOVERLOADED,
                         "this process has %d leases, which is the most: release some",
                         BTH_SESSION_LEASES);
    }
    struct bth_session_lease *l = bth_calloc(1, sizeof(*l));
    if (!l) {
        return bth_error_nomem(err);
    }
    l->session = s;
    l->id = id;
    l->deadline = ask->deadline;
    l->acquire.answered = answered;
    bth_list_append(&s->leases, &l->link);
    s->n_leases++;
    int rc = bth_acquire_start(server->berth->manager, model, ask, &l->acquire, err);
    if (rc < 0) {
        forget(l);
    }
    return rc;
}

/* Whatever state it is in; its requests are cancelled. */
static void give_back(struct bth_session_lease *l) {
    bth_acquire_cancel(&l->acquire);
    struct bth_lease *lease = l->told ? l->lease : l->rc == 0 ? l->acquire.lease : NULL;
    if (l->sched) {
        bth_sched_cancel(l->sched, lease);
        bth_sched_unref(l->sched);
    }
    bth_lease_release(lease);
    forget(l);
}

bool bth_session_release(struct bth_session *s, uint64_t id) {
    struct bth_session_lease *l = find_lease(s, id);
    if (l) {
        give_back(l);
    }
    return l != NULL;
}

/* ---- pins ------------------------------------------------------------------------------------*/

static struct bth_pin *find_pin(const struct bth_session *s, const char *model) {
    struct bth_pin *p;
    BTH_LIST_EACH(p, &s->pins, struct bth_pin, link) {
        if (strcmp(p->model, model) == 0) {
            return p;
        }
    }
    return NULL;
}

static void unpin(struct bth_session *s, struct bth_pin *p) {
    bth_manager_pin(s->x->server->berth->manager, p->model, false, NULL);
    bth_list_remove(&p->link);
    s->n_pins--;
    bth_free(p);
}

int bth_session_pin(struct bth_session *s, const char *model, const char *tag, bool pin,
                    struct berth_error *err) {
    struct bth_pin *p = find_pin(s, model);
    if (p && !pin) {
        unpin(s, p);
    }
    if (p || !pin) {
        return 0;
    }
    if (s->n_pins >= BTH_SESSION_PINS) {
        return bth_error(err, BERTH_EOVERLOADED, "this process has %d pins, which is the most",
                         BTH_SESSION_PINS);
    }
    p = bth_calloc(1, sizeof(*p));
    int rc =
        p ? bth_manager_pin(s->x->server->berth->manager, model, true, err) : bth_error_nomem(err);
    if (rc < 0) {
        bth_free(p);
        return rc;
    }
    snprintf(p->model, sizeof(p->model), "%s", model);
    snprintf(p->tag, sizeof(p->tag), "%s", tag);
    bth_list_append(&s->pins, &p->link);
    s->n_pins++;
    return 0;
}

bool bth_pins_of_others(const struct bth_server *server, const struct bth_session *own,
                        const char *model, char out_who[160]) {
    size_t n = 0;
    const struct bth_session *s;
    BTH_LIST_EACH(s, &server->sessions, struct bth_session, link) {
        const struct bth_pin *p = s == own ? NULL : find_pin(s, model);
        if (p) {
            n += (size_t)snprintf(out_who + n, 160 - n, "%s%.60s%s%.40s", n ? "; " : "",
                                  s->x->caller, *p->tag ? ", " : "", p->tag);
        }
        if (n >= 60) { /* they may be many */
            break;
        }
    }
    return n > 0;
}

static void put_pins(const struct bth_session *s, struct bth_str *out) {
    const struct bth_pin *p;
    BTH_LIST_EACH(p, &s->pins, struct bth_pin, link) {
        bth_json_comma(out);
        bth_str_putc(out, '{');
        bth_json_put_string(out, "model", p->model);
        bth_json_put_string(out, "holder", s->x->caller);
        bth_json_put_string(out, "tag", *p->tag ? p->tag : NULL);
        bth_str_putc(out, '}');
    }
}

void bth_pins_list(const struct bth_server *server, struct bth_str *out) {
    const struct bth_session *s;
    BTH_LIST_EACH(s, &server->sessions, struct bth_session, link) {
        put_pins(s, out);
    }
}

void bth_session_close(struct bth_session *s) {
    struct bth_pin *p;
    BTH_LIST_EACH(p, &s->pins, struct bth_pin, link) {
        unpin(s, p);
    }
    struct bth_session_lease *l;
    BTH_LIST_EACH(l, &s->leases, struct bth_session_lease, link) {
        give_back(l);
    }
    bth_list_remove(&s->link);
    s->x->server->n_sessions--;
    if (s->pidfd >= 0) {
        close(s->pidfd);
    }
    bth_free(s);
}

int bth_session_use(struct bth_session *s, uint64_t id, const char *model,
                    struct bth_lease **out_lease, struct bth_sched **out_sched,
                    struct berth_error *err) {
    struct bth_session_lease *l = find_lease(s, id);
    if (!l) {
        return bth_error(err, BERTH_ELOST, "the lease was given back, acquire a new one");
    }
    if (!l->lease) {
        return bth_error(err, BERTH_ESTATE, "the lease has not been granted");
    }
    if (!l->sched) {
        return bth_error(err, BERTH_ESTATE, "an exclusive lease runs nothing");
    }
    if (strcmp(bth_lease_name(l->lease), model) != 0) {
        return bth_error(err, BERTH_EINVAL, "the lease is on %s, not on %.60s",
                         bth_lease_name(l->lease), model);
    }
    *out_lease = l->lease;
    *out_sched = l->sched;
    return 0;
}

/* ---- news ------------------------------------------------------------------------------------*/

static void tell_grant(struct bth_session_lease *l) {
    struct berth *b = l->session->x->server->berth;
    l->lease = l->acquire.lease;
    const int device = bth_lease_device(l->lease);
    if (device >= 0) {
        l->sched = b->scheds[device];
        bth_sched_ref(l->sched);
    }
    struct bth_str line = event("granted", l);
    bth_json_put_string(&line, "model", bth_lease_name(l->lease));
    say(l->session, &line);
}

static void tell_refusal(struct bth_session_lease *l) {
    struct bth_str line = event("refused", l);
    bth_json_put_string(&line, "code", berth_error_name(l->error.code));
    bth_json_put_string(&line, "message", l->error.message);
    say(l->session, &line);
    forget(l);
}

void bth_session_look(struct bth_session *s) {
    struct bth_session_lease *l;
    BTH_LIST_EACH(l, &s->leases, struct bth_session_lease, link) {
        if (!l->told && atomic_load_explicit(&l->answered, memory_order_acquire)) {
            l->told = true;
            if (l->rc < 0) {
                tell_refusal(l);
            } else {
                tell_grant(l);
            }
        }
    }
}

static bool process_ended(const struct bth_session *s) {
    struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
    return s->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

bool bth_session_tick(struct bth_session *s, int64_t now) {
    struct bth_session_lease *l;
    BTH_LIST_EACH(l, &s->leases, struct bth_session_lease, link) {
        if (!l->told && now >= l->deadline) {
            bth_acquire_tick(&l->acquire); /* answered now, or before */
        }
        if (l->lease && !l->told_revoked && bth_lease_is_revoked(l->lease)) {
            l->told_revoked = true;
            struct bth_str line = event("revoked", l);
            say(s, &line);
        }
    }
    if (now >= s->beat_at) {
        struct bth_str line = event("beat", NULL);
        say(s, &line);
    }
    return !process_ended(s) && bth_stream_pending(s->x) < MAX_UNREAD;
}

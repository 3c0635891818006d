/* What the desk does for sessions and leases. */
#include "base/clock.h"
#include "base/error.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include <stdlib.h>
#include <string.h>

int bth_work_read_lease(const char *text, struct bth_work_ask *out, struct berth_error *err) {
    const char *slash = strchr(text, '/'), *number = slash ? slash + 1 : "";
    size_t n = slash ? (size_t)(slash - text) : 0, digits = strspn(number, "0123456789");
    if (n == 0 || n >= sizeof(out->session) || digits == 0 || digits > 18 || number[digits]) {
        return bth_error(err, BERTH_EINVAL, "a lease is SESSION/NUMBER");
    }
    memcpy(out->session, text, n);
    out->session[n] = '\0';
    out->lease = strtoull(number, NULL, 10);
    return 0;
}

/* The session that the request names, if any. */
static struct bth_session *session_of(struct bth_exchange *x) {
    const char *id = x->work.ask.session;
    return *id ? bth_session_find(x->server, id) : NULL;
}

/* Core's name for the owner that the client names: without a session he is nobody's. */
static uint64_t owner_of(struct bth_exchange *x) {
    const struct bth_session *s = session_of(x);
    return s ? bth_session_owner(s, x->work.ask.owner) : 0;
}

int bth_work_lease_use(struct bth_exchange *x, struct berth_error *err) {
    struct bth_work *w = &x->work;
    struct bth_session *s = session_of(x);
    return s ? bth_session_use(s, w->ask.lease, w->model, &w->lease, &w->sched, err)
             : bth_session_unknown(err);
}

/* ---- leases ----------------------------------------------------------------------------------*/

static int acquire(struct bth_exchange *x, struct berth_error *err) {
    struct bth_work *w = &x->work;
    struct bth_session *s = session_of(x);
    const struct bth_ask ask = {.tag = w->ask.tag,
                                .holder = x->caller,
                                .pid = w->ask.pid,
                                .tid = w->ask.tid,
                                .deadline = w->deadline,
                                .exclusive = w->ask.exclusive,
                                .max_concurrent = w->ask.max_concurrent,
                                .priority = w->ask.priority,
                                .owner = owner_of(x)};
    return s ? bth_session_acquire(s, w->ask.lease, w->model, &ask, err) : bth_session_unknown(err);
}

static void answer_word(struct bth_exchange *x, const char *word, bool yes) {
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_bool(&text, word, yes);
    bth_str_putc(&text, '}');
    bth_work_answer(x, &text);
}

static bool is_loan(const struct bth_exchange *x) {
    return *x->work.ask.loan;
}

/* A lease without a session: held, or why not; else it is looked at again. */
static void look_loan(struct bth_exchange *x) {
    struct berth_error err = {0};
    int64_t left_ms;
    int rc = bth_loan_look(x, bth_now(), &left_ms, &err);
    if (rc < 0) {
        bth_work_fail(x, &err);
    } else if (rc > 0) {
        struct bth_str text = {0};
        bth_str_putc(&text, '{');
        bth_json_put_string(&text, "model", x->work.model);
        bth_json_put_string(&text, "state", "held");
        bth_json_put_int(&text, "left_ms", left_ms);
        bth_str_putc(&text, '}');
        bth_work_answer(x, &text);
    }
}

void bth_work_lease_leave(struct bth_exchange *x) {
    if (x->work.kind == BTH_WORK_ACQUIRE && is_loan(x) && x->work.state == BTH_WORK_WATCHING) {
        bth_loan_leave(x);
    }
}

/* ---- pins ------------------------------------------------------------------------------------*/

static int pin(struct bth_exchange *x, struct berth_error *err) {
    const struct bth_work *w = &x->work;
    struct bth_session *s = session_of(x);
    return s ? bth_session_pin(s, w->model, w->ask.tag, w->ask.pin, err) : bth_session_unknown(err);
}

static void answer_pins(struct bth_exchange *x) {
    struct bth_str text = {0};
    bth_str_puts(&text, "{\"pins\":[");
    bth_pins_list(x->server, &text);
    bth_str_puts(&text, "]}");
    bth_work_answer(x, &text);
}

int bth_work_check_pins(struct bth_exchange *x, struct berth_error *err) {
    char who[160];
    if (x->work.ask.force || !bth_pins_of_others(x->server, session_of(x), x->work.model, who)) {
        return 0;
    }
    return bth_error(err, BERTH_EBUSY, "%s is pinned by %s: an administrator may force it",
                     x->work.model, who);
}

/* ---- waiting ---------------------------------------------------------------------------------*/

/* Looks now; a tenth of a second later, again. */
static void look_available(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    const struct bth_ask ask = {.max_concurrent = w->ask.max_concurrent, .owner = owner_of(x)};
    struct berth_error err = {0};
    int rc = bth_manager_wait_available(x->server->berth->manager, w->model, &ask, &err);
    if (rc == 0) {
        answer_word(x, "available", true);
    } else if (rc != BERTH_ETIMEDOUT || bth_now() >= w->deadline) {
        bth_work_fail(x, &err);
    }
}

static void look_cleanup(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    const struct berth_cleanup_report *r = &w->cleanup.report;
    if (!bth_manager_cleanup_ended(x->server->berth->manager, &w->cleanup)) {
        return;
    }
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_uint(&text, "models_unloaded", r->models_unloaded);
    bth_json_put_uint(&text, "leases_waited_for", r->leases_waited_for);
    bth_json_put_uint(&text, "leases_revoked", r->leases_revoked);
    bth_json_put_uint(&text, "bytes_before", r->bytes_before);
    bth_json_put_uint(&text, "bytes_after", r->bytes_after);
    bth_json_put_bool(&text, "forced", r->forced);
    bth_str_putc(&text, '}');
    bth_work_answer(x, &text);
}

/* As soon as the model's size is known, or the time is up. */
static void look_plan(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_plan_info p;
    struct berth_error err;
    if (bth_manager_plan(x->server->berth->manager, w->model, &p, &err) < 0) {
        bth_work_fail(x, &err);
        return;
    }
    if (strcmp(p.kind, "unknown") == 0 && bth_now() < w->deadline) {
        return;
    }
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_string(&text, "model", p.model);
    bth_json_put_string(&text, "plan", p.kind);
    bth_json_put_string(&text, "device", p.device);
    bth_json_put_uint(&text, "need_bytes", p.need);
    bth_json_put_uint(&text, "room_bytes", p.room);
    if (p.learnt_ms >= 0) {
        bth_json_put_int(&text, "learnt_ms", p.learnt_ms);
    }
    bth_json_key(&text, "evicts");
    bth_str_putc(&text, '[');
    for (size_t i = 0; i < BTH_MIN(p.n_evicts, BTH_COUNT(p.evicts)); i++) {
        bth_json_comma(&text);
        bth_json_string(&text, p.evicts[i]);
    }
    bth_str_putc(&text, ']');
    bth_json_put_string(&text, "cause", *p.cause ? p.cause : NULL);
    bth_str_putc(&text, '}');
    bth_work_answer(x, &text);
}

/* ---- from the desk ---------------------------------------------------------------------------*/

static int begin(struct bth_exchange *x, struct berth_error *err) {
    struct bth_work *w = &x->work;
    switch (w->kind) {
    case BTH_WORK_OPEN_SESSION:
        w->state = BTH_WORK_SESSION;
        return bth_session_open(x, &w->session, err);
    case BTH_WORK_ACQUIRE:
        w->state = is_loan(x) ? BTH_WORK_WATCHING : w->state;
        return is_loan(x) ? bth_loan_ask(x, err) : acquire(x, err);
    case BTH_WORK_PIN:
        return pin(x, err);
    case BTH_WORK_CLEANUP:
        w->state = BTH_WORK_WATCHING;
        return bth_manager_cleanup_start(x->server->berth->manager, owner_of(x), w->deadline,
                                         &w->cleanup, err);
    case BTH_WORK_EVENTS:
        bth_stream_begin(x, "text/event-stream");
        w->beat_at = 0; /* the first look says that it has begun */
        w->state = BTH_WORK_WATCHING;
        break;
    case BTH_WORK_AVAILABLE:
    case BTH_WORK_PLAN:
        w->state = BTH_WORK_WATCHING;
        break;
    case BTH_WORK_PINS:
    case BTH_WORK_RELEASE:
    case BTH_WORK_RUN:
    case BTH_WORK_LOAD:
    case BTH_WORK_UNLOAD:
        break;
    }
    return 0;
}

void bth_work_lease_begin(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct berth_error err = {0};
    if (begin(x, &err) < 0) {
        bth_work_fail(x, &err);
    } else if (w->kind == BTH_WORK_ACQUIRE && is_loan(x)) {
        look_loan(x);
    } else if (w->kind == BTH_WORK_ACQUIRE) {
        answer_word(x, "asked", true);
    } else if (w->kind == BTH_WORK_RELEASE) {
        struct bth_session *s = session_of(x);
        answer_word(x, "released",
                    is_loan(x) ? bth_loan_release(x->server, w->ask.loan)
                               : s && bth_session_release(s, w->ask.lease));
    } else if (w->kind == BTH_WORK_PIN) {
        answer_word(x, "pinned", w->ask.pin);
    } else if (w->kind == BTH_WORK_PINS) {
        answer_pins(x);
    } else if (w->kind == BTH_WORK_AVAILABLE) {
        look_available(x);
    } else if (w->kind == BTH_WORK_EVENTS) {
        bth_events_look(x, bth_now());
    } else if (w->kind == BTH_WORK_PLAN) {
        look_plan(x);
    }
}

void bth_work_lease_tick(struct bth_exchange *x, int64_t now) {
    struct bth_work *w = &x->work;
    if (w->kind == BTH_WORK_CLEANUP) {
        look_cleanup(x);
    } else if (w->kind == BTH_WORK_AVAILABLE) {
        look_available(x);
    } else if (w->kind == BTH_WORK_EVENTS) {
        bth_events_look(x, now);
    } else if (w->kind == BTH_WORK_PLAN) {
        look_plan(x);
    } else if (w->kind == BTH_WORK_ACQUIRE) {
        look_loan(x);
    } else if (!bth_session_tick(w->session, now)) {
        bth_work_drop(x);
    }
}

void bth_work_lease_cancel(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    if (w->state == BTH_WORK_SESSION || w->kind == BTH_WORK_EVENTS) {
        bth_work_end_stream(x);
    } else if (w->state == BTH_WORK_WATCHING) {
        struct berth_error err;
        bth_error(&err, BERTH_ESHUTDOWN, "the server is shutting down: try again later");
        bth_work_fail(x, &err);
    }
}

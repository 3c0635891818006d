/* Sessions of client processes and their leases; who holds and who waits. */
#include "base/alloc.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MS = 86400000, MAX_LEASES = 100000 };

/* ---- what is asked ---------------------------------------------------------------------------*/

/* Everything that begins anew is refused while the daemon ends. */
static bool draining(struct bth_exchange *x) {
    struct berth_error err;
    if (!x->server->draining) {
        return false;
    }
    bth_count(&x->server->metrics.refused_draining);
    bth_error(&err, BERTH_ESHUTDOWN, "the server is shutting down: try again later");
    bth_answer_error(x, &err, NULL);
    return true;
}

static void start(struct bth_exchange *x, enum bth_work_kind kind, int rc,
                  const struct berth_error *err) {
    x->work.kind = kind;
    if (rc < 0) {
        bth_answer_error(x, err, NULL);
    } else {
        bth_work_begin(x);
    }
}

static int take_owner(struct bth_exchange *x, struct berth_error *err) {
    static const int64_t all[2] = {INT64_MIN, INT64_MAX};
    int64_t owner = 0;
    int rc = bth_form_take_int(&x->form, "owner", all, 0, &owner, err);
    x->work.ask.owner = (uint64_t)owner;
    return rc;
}

static int take_session(struct bth_exchange *x, struct berth_error *err) {
    struct bth_work_ask *ask = &x->work.ask;
    const char *session = NULL;
    int rc = bth_form_take(&x->form, "session", &session, err);
    snprintf(ask->session, sizeof(ask->session), "%s", session ? session : "");
    return rc < 0 ? rc : take_owner(x, err);
}

/* "SESSION/NUMBER" of the path, or a UUID. */
static int read_path(struct bth_exchange *x, struct berth_error *err) {
    return bth_loan_read_id(x->rest, x->work.ask.loan)
               ? 0
               : bth_work_read_lease(x->rest, &x->work.ask, err);
}

/* A model's full name, or the name of a family: the desk finds out. */
static int take_what(struct bth_exchange *x, bool families, struct berth_error *err) {
    const struct berth_engine_ops *engine;
    const char *what;
    int rc = bth_form_take(&x->form, "model", &what, err);
    if (rc < 0) {
        return rc;
    }
    if (!what) {
        return bth_error(err, BERTH_EINVAL, "the model is missing: {\"model\": NAME}");
    }
    struct berth_error why;
    rc = bth_work_model(x, what, &engine, &why);
    if (rc == BERTH_ENOTFOUND && families && !strchr(what, '/') &&
        strlen(what) < sizeof(x->work.model)) {
        snprintf(x->work.model, sizeof(x->work.model), "%s", what);
        return 0;
    }
    return rc < 0 ? bth_error_copy(err, &why) : 0;
}

static int take_mode(struct bth_exchange *x, struct berth_error *err) {
    const char *mode;
    int rc = bth_form_take(&x->form, "mode", &mode, err);
    if (rc == 0 && mode && strcmp(mode, "shared") != 0 && strcmp(mode, "exclusive") != 0) {
        return bth_error(err, BERTH_EINVAL, "mode is shared or exclusive, not '%.40s'", mode);
    }
    x->work.ask.exclusive = rc == 0 && mode && strcmp(mode, "exclusive") == 0;
    return rc;
}

static int take_limit(struct bth_exchange *x, int64_t least, struct berth_error *err) {
    const int64_t range[2] = {least, UINT32_MAX};
    int64_t limit;
    int rc = bth_form_take_int(&x->form, "max_concurrent", range, least, &limit, err);
    if (rc == 0) {
        x->work.ask.max_concurrent = (uint32_t)limit;
    }
    return rc;
}

static int take_priority(struct bth_exchange *x, struct berth_error *err) {
    static const int64_t range[2] = {0, 9};
    int64_t priority = 5;
    int rc = bth_form_take_int(&x->form, "priority", range, 5, &priority, err);
    x->work.ask.priority = (int)priority - 5;
    return rc;
}

static int take_ms(struct bth_exchange *x, const char *name, int64_t fallback,
                   struct berth_error *err) {
    static const int64_t range[2] = {-1, MAX_MS};
    return bth_form_take_int(&x->form, name, range, fallback, &x->work.wait_ms, err);
}

/* ---- sessions and leases ---------------------------------------------------------------------*/

static void open_session(struct bth_exchange *x) {
    struct berth_error err;
    if (draining(x)) {
        return;
    }
    x->work.wait_ms = -1;
    start(x, BTH_WORK_OPEN_SESSION, bth_form_done(&x->form, &err), &err);
}

/* What only a lease in a session has, or only one without. */
static int take_kind(struct bth_exchange *x, struct berth_error *err) {
    static const int64_t ttl[2] = {1, BTH_LOAN_MS}, wait[2] = {0, MAX_MS}, tid[2] = {0, INT64_MAX};
    struct bth_work_ask *ask = &x->work.ask;
    if (!*ask->loan) {
        int rc = take_owner(x, err);
        rc = rc < 0 ? rc : bth_form_take_int(&x->form, "tid", tid, 0, &ask->tid, err);
        return rc < 0 ? rc : take_ms(x, "wait_ms", -1, err);
    }
    int rc = bth_form_take_int(&x->form, "ttl_ms", ttl, -1, &ask->ttl_ms, err);
    if (rc == 0 && ask->ttl_ms < 0) {
        return bth_error(err, BERTH_EINVAL,
                         "a lease without a session needs ttl_ms, 1 to %d: it is renewed by the "
                         "same PUT",
                         BTH_LOAN_MS);
    }
    rc = rc < 0 ? rc : bth_form_take_bool(&x->form, "renew", false, &ask->renew, err);
    return rc < 0 ? rc : bth_form_take_int(&x->form, "wait_ms", wait, 0, &x->work.wait_ms, err);
}

static void acquire(struct bth_exchange *x) {
    struct berth_error err;
    const char *tag = NULL;
    if (draining(x)) {
        return;
    }
    int rc = read_path(x, &err);
    rc = rc < 0 ? rc : take_kind(x, &err);
    rc = rc < 0 ? rc : take_mode(x, &err);
    rc = rc < 0 ? rc : take_what(x, x->work.ask.exclusive, &err);
    rc = rc < 0 ? rc : take_limit(x, 0, &err);
    rc = rc < 0 ? rc : take_priority(x, &err);
    rc = rc < 0 ? rc : bth_form_take(&x->form, "tag", &tag, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    snprintf(x->work.ask.tag, sizeof(x->work.ask.tag), "%s", tag ? tag : "");
    if (rc == 0 && x->work.ask.priority > 0 && !x->trusted) {
        /* anybody may give way; to be let past is not everybody's */
        bth_answer_untrusted(x, "EUNSUPPORTED", "have a priority above 5");
        return;
    }
    start(x, BTH_WORK_ACQUIRE, rc, &err);
}

/* Somebody's lease, by the id that lists have: an administrator's. */
static void revoke(struct bth_exchange *x) {
    struct berth_error err;
    struct bth_str text = {0};
    if (!x->trusted) {
        bth_answer_untrusted(x, "EUNSUPPORTED", "take others' leases away");
    } else if (bth_manager_revoke(x->server->berth->manager, strtoull(x->rest, NULL, 16), &err) <
               0) {
        bth_answer_error(x, &err, NULL);
    } else {
        bth_str_puts(&text, "{\"revoked\":true}");
        bth_answer_json(x, &text);
    }
}

static void release(struct bth_exchange *x) {
    struct berth_error err;
    const size_t digits = strspn(x->rest, "0123456789abcdef");
    x->work.wait_ms = -1;
    if (digits > 0 && digits <= 16 && !x->rest[digits]) {
        revoke(x);
        return;
    }
    start(x, BTH_WORK_RELEASE, read_path(x, &err), &err);
}

static void available(struct bth_exchange *x) {
    struct berth_error err;
    if (draining(x)) {
        return;
    }
    int rc = take_what(x, true, &err);
    rc = rc < 0 ? rc : take_session(x, &err);
    rc = rc < 0 ? rc : take_limit(x, 1, &err);
    rc = rc < 0 ? rc : take_ms(x, "wait_ms", 0, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    start(x, BTH_WORK_AVAILABLE, rc, &err);
}

static void cleanup(struct bth_exchange *x) {
    struct berth_error err;
    if (!x->trusted) {
        bth_answer_untrusted(x, "EUNSUPPORTED", "unload what others use");
        return;
    }
    if (draining(x)) {
        return;
    }
    int rc = take_session(x, &err);
    rc = rc < 0 ? rc : take_ms(x, "timeout_ms", 30000, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    start(x, BTH_WORK_CLEANUP, rc, &err);
}

static void plan(struct bth_exchange *x) {
    enum { SIZE_MS = 10000 };
    const struct berth_engine_ops *engine;
    struct berth_error err;
    const char *model = NULL;
    int rc = bth_form_take(&x->form, "load", &model, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    if (rc == 0 && !model) {
        rc = bth_error(&err, BERTH_EINVAL, "what is to be planned is missing: ?load=MODEL");
    }
    rc = rc < 0 ? rc : bth_work_model(x, model, &engine, &err);
    x->work.wait_ms = SIZE_MS;
    start(x, BTH_WORK_PLAN, rc, &err);
}

/* ---- who holds, who waits --------------------------------------------------------------------*/

/* null below `least`: it is not known. */
static void put_known(struct bth_str *out, const char *key, int64_t value, int64_t least) {
    if (value >= least) {
        bth_json_put_int(out, key, value);
    } else {
        bth_json_put_string(out, key, NULL);
    }
}

static void put_lease(struct bth_str *out, const struct bth_lease_info *l) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    if (l->id) {
        char id[24];
        snprintf(id, sizeof(id), "%" PRIx64, l->id);
        bth_json_put_string(out, "id", id);
    }
    bth_json_put_string(out, "model", l->what);
    bth_json_put_string(out, "state", l->waiting ? "waiting" : l->revoked ? "revoked" : "held");
    bth_json_put_string(out, "mode", l->exclusive ? "exclusive" : "shared");
    bth_json_put_string(out, "holder", *l->holder ? l->holder : NULL);
    bth_json_put_string(out, "tag", *l->tag ? l->tag : NULL);
    put_known(out, "pid", l->pid, 1);
    put_known(out, "tid", l->tid, 1);
    bth_json_put_int(out, "since_ms", l->since_ms);
    if (l->left_ms >= 0) {
        bth_json_put_int(out, "left_ms", l->left_ms);
    }
    if (l->waiting) {
        bth_json_put_uint(out, "position", l->position);
        bth_json_put_uint(out, "max_concurrent", l->max_concurrent);
        bth_json_put_int(out, "priority", l->priority);
        bth_json_put_string(out, "waits_for", l->why);
        put_known(out, "expected_ms", l->expected_ms, 0);
    } else {
        bth_json_put_bool(out, "overdue", l->overdue);
    }
    bth_str_putc(out, '}');
}

static void pin(struct bth_exchange *x) {
    struct berth_error err;
    const char *tag = NULL;
    if (draining(x)) {
        return;
    }
    int rc = take_what(x, false, &err);
    rc = rc < 0 ? rc : take_session(x, &err);
    rc = rc < 0 ? rc : bth_form_take_bool(&x->form, "pin", true, &x->work.ask.pin, &err);
    rc = rc < 0 ? rc : bth_form_take(&x->form, "tag", &tag, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    snprintf(x->work.ask.tag, sizeof(x->work.ask.tag), "%s", tag ? tag : "");
    start(x, BTH_WORK_PIN, rc, &err);
}

static void pins(struct bth_exchange *x) {
    start(x, BTH_WORK_PINS, 0, NULL);
}

static void list(struct bth_exchange *x) {
    struct bth_manager *m = x->server->berth->manager;
    struct berth_error err;
    struct bth_str text = {0};
    size_t room = bth_manager_leases(m, NULL, 0) + 16;
    room = BTH_MIN(room, (size_t)MAX_LEASES);
    struct bth_lease_info *all = bth_calloc(room, sizeof(*all));
    if (!all) {
        bth_error_nomem(&err);
        bth_answer_error(x, &err, NULL);
        return;
    }
    size_t there = bth_manager_leases(m, all, room);
    bth_str_puts(&text, "{\"leases\":[");
    for (size_t i = 0; i < BTH_MIN(there, room); i++) {
        put_lease(&text, &all[i]);
    }
    bth_str_puts(&text, "],\"total\":");
    bth_str_printf(&text, "%zu}", there);
    bth_free(all);
    bth_answer_json(x, &text);
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/sessions",
     .run = open_session,
     .body = BTH_BODY_JSON,
     .native = true},
    {.method = "GET", .path = "/v1/leases", .run = list, .native = true},
    {.method = "PUT", .path = "/v1/leases/", .run = acquire, .body = BTH_BODY_JSON, .native = true},
    {.method = "DELETE", .path = "/v1/leases/", .run = release, .native = true},
    {.method = "GET", .path = "/v1/pins", .run = pins, .native = true},
    {.method = "POST", .path = "/v1/pins", .run = pin, .body = BTH_BODY_JSON, .native = true},
    {.method = "GET", .path = "/v1/plan", .run = plan, .native = true, .query = true},
    {.method = "POST",
     .path = "/v1/available",
     .run = available,
     .body = BTH_BODY_JSON,
     .native = true},
    {.method = "POST",
     .path = "/v1/cleanup",
     .run = cleanup,
     .body = BTH_BODY_JSON,
     .native = true},
};
const struct bth_routes bth_routes_leases = BTH_ROUTES(table);

/* Loading, unloading, stopping. */
#include "base/error.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"
#include <stdio.h>
#include <string.h>

enum { MAX_MS = 86400000 };

/* {"model": NAME, <ms_name>: N} into x->work. */
static int read_wish(struct bth_exchange *x, const char *ms_name, struct berth_error *err) {
    static const int64_t range[2] = {-1, MAX_MS};
    const struct berth_engine_ops *engine;
    const char *model;
    int rc = bth_form_take(&x->form, "model", &model, err);
    rc = rc < 0 ? rc : bth_form_take_int(&x->form, ms_name, range, -1, &x->work.wait_ms, err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, err);
    if (rc == 0 && !model) {
        return bth_error(err, BERTH_EINVAL, "the model is missing: {\"model\": NAME}");
    }
    return rc < 0 ? rc : bth_work_model(x, model, &engine, err);
}

static void run(struct bth_exchange *x, enum bth_work_kind kind, const char *ms_name) {
    struct berth_error err;
    x->work.kind = kind;
    if (read_wish(x, ms_name, &err) < 0) {
        bth_answer_error(x, &err, NULL);
    } else {
        bth_work_begin(x);
    }
}

static void load(struct bth_exchange *x) {
    run(x, BTH_WORK_LOAD, "wait_ms");
}

static void unload(struct bth_exchange *x) {
    struct bth_work_ask *ask = &x->work.ask;
    struct berth_error err;
    const char *session = NULL;
    if (bth_form_take_bool(&x->form, "force", false, &ask->force, &err) < 0 ||
        bth_form_take(&x->form, "session", &session, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    if (ask->force && !x->trusted) {
        bth_answer_untrusted(x, "EUNSUPPORTED", "unload what others have pinned");
        return;
    }
    snprintf(ask->session, sizeof(ask->session), "%s", session ? session : "");
    run(x, BTH_WORK_UNLOAD, "timeout_ms");
}

static void set_enabled(struct bth_exchange *x, bool on) {
    const struct berth_engine_ops *engine;
    const char *model, *full;
    struct berth_error err;
    if (!x->trusted) {
        bth_answer_untrusted(x, "EUNSUPPORTED", "take models out of use");
        return;
    }
    int rc = bth_form_take(&x->form, "model", &model, &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    if (rc == 0 && !model) {
        rc = bth_error(&err, BERTH_EINVAL, "the model is missing: {\"model\": NAME}");
    }
    rc = rc < 0 ? rc : bth_work_model(x, model, &engine, &err);
    rc =
        rc < 0 ? rc : bth_manager_enable(x->server->berth->manager, x->work.model, on, &full, &err);
    if (rc < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_string(&text, "model", full);
    bth_json_put_bool(&text, "disabled", !on);
    bth_str_putc(&text, '}');
    bth_answer_json(x, &text);
}

static void disable(struct bth_exchange *x) {
    set_enabled(x, false);
}

static void enable(struct bth_exchange *x) {
    set_enabled(x, true);
}

static void stop(struct bth_exchange *x) {
    static const int64_t range[2] = {0, MAX_MS};
    struct bth_server *s = x->server;
    struct berth_error err;
    struct bth_str text = {0};
    int64_t timeout_ms;
    if (!x->trusted || !s->stop) {
        bth_answer_untrusted(x, "forbidden", "stop it");
        return;
    }
    if (bth_form_take_int(&x->form, "timeout_ms", range, 30000, &timeout_ms, &err) < 0 ||
        bth_form_done(&x->form, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    bth_str_puts(&text, "{\"stopping\":true}\n");
    bth_answer(x, 202, "application/json", &text);
    s->stop(s->stop_arg, timeout_ms);
}

/* An array of the lines of a text. */
static void put_lines(struct bth_str *out, const char *key, const struct bth_str *lines) {
    const char *at = bth_str_text(lines);
    bth_json_key(out, key);
    bth_str_putc(out, '[');
    for (const char *end; (end = strchr(at, '\n')); at = end + 1) {
        char line[160];
        snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
        bth_json_comma(out);
        bth_json_string(out, line);
    }
    bth_str_putc(out, ']');
}

static void reload(struct bth_exchange *x) {
    struct berth_error err;
    struct bth_reload r;
    bool dry;
    if (!x->trusted) {
        bth_answer_untrusted(x, "forbidden", "have it read its configuration");
        return;
    }
    if (bth_form_take_bool(&x->form, "dry_run", false, &dry, &err) < 0 ||
        bth_form_done(&x->form, &err) < 0 ||
        bth_local_reload(x->server->berth, dry, &r, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_bool(&text, "dry_run", dry);
    put_lines(&text, "added", &r.added);
    put_lines(&text, "changed", &r.changed);
    put_lines(&text, "removed", &r.removed);
    put_lines(&text, "restart", &r.restart);
    bth_str_putc(&text, '}');
    bth_reload_finish(&r);
    bth_answer_json(x, &text);
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/models/load",
     .run = load,
     .body = BTH_BODY_JSON,
     .queued = true,
     .native = true},
    {.method = "POST",
     .path = "/v1/models/unload",
     .run = unload,
     .body = BTH_BODY_JSON,
     .queued = true,
     .native = true},
    {.method = "POST",
     .path = "/v1/models/disable",
     .run = disable,
     .body = BTH_BODY_JSON,
     .native = true},
    {.method = "POST",
     .path = "/v1/models/enable",
     .run = enable,
     .body = BTH_BODY_JSON,
     .native = true},
    {.method = "POST", .path = "/v1/reload", .run = reload, .body = BTH_BODY_JSON, .native = true},
    {.method = "POST", .path = "/v1/stop", .run = stop, .body = BTH_BODY_JSON, .native = true},
};
const struct bth_routes bth_routes_control = BTH_ROUTES(table);

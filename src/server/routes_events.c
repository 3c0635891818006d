/*
 * GET /v1/events: what happens to models, leases and devices, as server-sent events.
 *
 *     id: 7
 *     event: load
 *     data: {"at_ms":..., "model":"whisper/base", "bytes":..., "ms":...}
 *
 * `since` (or the header Last-Event-ID) is the number of the last event already known: those after
 * it come first, as far as they are kept. Without it only what happens from now on; `follow=false`
 * ends after what there is.
 */
#include "base/clock.h"
#include "base/error.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/http.h"
#include "server/json_text.h"
#include "server/route.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BEAT (5 * BTH_NS_PER_S)

/* At a time; and what a client may leave unread. */
enum { AT_ONCE = 32, MAX_UNREAD = 1 << 20 };

const char *bth_event_name(enum bth_happening_kind kind) {
    static const char *const names[BTH_N_HAPPENINGS] = {
        [BTH_HAPPENED_LOAD] = "load",     [BTH_HAPPENED_FAIL] = "fail",
        [BTH_HAPPENED_UNLOAD] = "unload", [BTH_HAPPENED_EVICT] = "evict",
        [BTH_HAPPENED_GRANT] = "grant",   [BTH_HAPPENED_REFUSE] = "refuse",
        [BTH_HAPPENED_REVOKE] = "revoke", [BTH_HAPPENED_LOST] = "device_lost"};
    return names[kind];
}

static const char *unload_reason(const struct bth_happening *h) {
    return h->kind == BTH_HAPPENED_EVICT ? "bytes" : h->idle ? "idle" : "asked";
}

static void put_event(struct bth_str *out, const struct bth_happening *h) {
    const bool model = h->kind <= BTH_HAPPENED_EVICT, lost = h->kind == BTH_HAPPENED_LOST;
    const bool unload = h->kind == BTH_HAPPENED_UNLOAD || h->kind == BTH_HAPPENED_EVICT;
    bth_str_printf(out, "id: %" PRIu64 "\nevent: %s\ndata: {", h->number, bth_event_name(h->kind));
    bth_json_put_int(out, "at_ms", h->at_ms);
    bth_json_put_string(out, lost ? "device" : "model", h->what);
    if (!model && !lost) {
        bth_json_put_string(out, "holder", *h->who ? h->who : NULL);
    }
    if (h->code) {
        bth_json_put_string(out, "code", berth_error_name(h->code));
        bth_json_put_string(out, "cause", h->cause);
    }
    if (model) {
        bth_json_put_string(out, "device", *h->device ? h->device : NULL);
        bth_json_put_uint(out, "bytes", h->bytes);
    }
    if (unload) {
        bth_json_put_string(out, "reason", unload_reason(h));
        bth_json_put_uint(out, "residual_bytes", h->residual);
    }
    if (model || h->kind == BTH_HAPPENED_GRANT) {
        bth_json_put_int(out, "ms", h->ms);
    }
    bth_str_puts(out, "}\n\n");
}

static size_t send_some(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_happening some[AT_ONCE];
    struct bth_str text = {0};
    const size_t n =
        bth_manager_happenings(x->server->berth->manager, w->mark, some, BTH_COUNT(some));
    for (size_t i = 0; i < n; i++) {
        put_event(&text, &some[i]);
        w->mark = some[i].number;
    }
    if (n > 0) {
        bth_stream_write(x, &text);
        w->beat_at = bth_now() + BEAT;
    }
    bth_str_finish(&text);
    return n;
}

void bth_events_look(struct bth_exchange *x, int64_t now) {
    struct bth_work *w = &x->work;
    if (bth_stream_pending(x) > MAX_UNREAD) { /* goes on from its last number, if it cares */
        bth_work_drop(x);
        return;
    }
    while (send_some(x) == AT_ONCE && bth_stream_pending(x) <= MAX_UNREAD) {
    }
    if (w->to_the_end) {
        bth_work_end_stream(x);
    } else if (now >= w->beat_at) {
        struct bth_str text = {0};
        bth_str_puts(&text, ":\n\n");
        bth_stream_write(x, &text);
        bth_str_finish(&text);
        w->beat_at = now + BEAT;
    }
}

static void log_event(const struct bth_log *log, const struct bth_happening *h) {
    switch (h->kind) {
    case BTH_HAPPENED_LOAD:
    case BTH_HAPPENED_UNLOAD:
    case BTH_HAPPENED_EVICT:
        bth_log_write(log, BTH_LOG_INFO, NULL, "%s: %s, %.1f MB, %lld ms", h->what,
                      h->kind == BTH_HAPPENED_LOAD    ? "loaded"
                      : h->kind == BTH_HAPPENED_EVICT ? "evicted"
                      : h->idle                       ? "unloaded, it was idle"
                                                      : "unloaded",
                      (double)h->bytes / 1e6, (long long)h->ms);
        if (h->residual) {
            bth_log_write(log, BTH_LOG_WARNING, NULL, "%s: %.1f MB of it were not given back",
                          h->what, (double)h->residual / 1e6);
        }
        break;
    case BTH_HAPPENED_LOST:
        bth_log_write(log, BTH_LOG_ERROR, NULL,
                      "%s: nothing runs on this device until the daemon is started anew: %s",
                      h->what, h->cause);
        break;
    case BTH_HAPPENED_FAIL:
        bth_log_write(log, BTH_LOG_WARNING, NULL, "%s: not loaded: %s", h->what, h->cause);
        break;
    case BTH_HAPPENED_REVOKE:
        bth_log_write(log, BTH_LOG_WARNING, NULL, "%s: a lease was revoked (%s)", h->what, h->who);
        break;
    case BTH_HAPPENED_GRANT:
    case BTH_HAPPENED_REFUSE: /* too many, and whoever asked was told */
        break;
    }
}

uint64_t bth_events_log(const struct bth_log *log, struct bth_manager *m, uint64_t after) {
    struct bth_happening some[AT_ONCE];
    size_t n;
    do {
        n = bth_manager_happenings(m, after, some, BTH_COUNT(some));
        for (size_t i = 0; i < n; i++) {
            log_event(log, &some[i]);
            after = some[i].number;
        }
    } while (n == BTH_COUNT(some));
    return after;
}

static int64_t last_event_id(const struct bth_exchange *x) {
    const char *text = bth_http_header(x, "Last-Event-ID");
    char *end;
    long long n = text ? strtoll(text, &end, 10) : -1;
    return text && end != text && !*end && n >= 0 ? n : -1;
}

static void events(struct bth_exchange *x) {
    static const int64_t range[2] = {0, INT64_MAX};
    struct bth_manager *m = x->server->berth->manager;
    struct bth_work *w = &x->work;
    struct berth_error err;
    bool follow = true;
    int64_t since = -1;
    int rc = bth_form_take_bool(&x->form, "follow", true, &follow, &err);
    rc = rc < 0 ? rc
                : bth_form_take_int(&x->form, "since", range, follow ? last_event_id(x) : 0, &since,
                                    &err);
    rc = rc < 0 ? rc : bth_form_done(&x->form, &err);
    if (rc < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    w->kind = BTH_WORK_EVENTS;
    w->wait_ms = -1;
    w->to_the_end = !follow;
    const uint64_t last = bth_manager_last_happening(m);
    w->mark = since < 0                 ? last
              : (uint64_t)since <= last ? (uint64_t)since
                                        : 0; /* an earlier daemon's number: all of ours is new */
    bth_work_begin(x);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/v1/events", .run = events, .native = true, .query = true},
};
const struct bth_routes bth_routes_events = BTH_ROUTES(table);

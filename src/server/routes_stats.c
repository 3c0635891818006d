/* Statistics as JSON. */
#include "base/clock.h"
#include "client/stats_fields.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"
#include "server/snapshot.h"
#include <string.h>

static bool take(struct bth_exchange *x, struct bth_snapshot *out) {
    struct berth_error err;
    if (bth_snapshot_take(x->server->berth, out, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return false;
    }
    return true;
}

/* ---- /api/model-stats: what older clients know -----------------------------------------------*/

static const struct {
    const char *key, *family;
} kinds[] = {{"whisper", "whisper"}, {"translation", "marian"}, {"spacy", "spacy"}};

static void put_usage(struct bth_str *out, const struct bth_snapshot *s) {
    bth_json_key(out, "current_usage");
    bth_str_putc(out, '{');
    for (size_t k = 0; k < BTH_COUNT(kinds); k++) {
        uint64_t n = 0;
        for (size_t i = 0; i < s->n_models; i++) {
            n += strcmp(s->models[i].family, kinds[k].family) == 0 ? s->models[i].leases : 0;
        }
        bth_json_put_uint(out, kinds[k].key, n);
    }
    bth_str_putc(out, '}');
}

static void put_loaded(struct bth_str *out, const struct bth_snapshot *s) {
    bth_json_key(out, "models_loaded");
    bth_str_putc(out, '{');
    for (size_t k = 0; k < BTH_COUNT(kinds); k++) {
        bool loaded = false;
        for (size_t i = 0; i < s->n_models; i++) {
            loaded |= strcmp(s->models[i].family, kinds[k].family) == 0 &&
                      s->models[i].state == BERTH_MODEL_READY;
        }
        bth_json_put_bool(out, kinds[k].key, loaded);
    }
    bth_str_putc(out, '}');
}

static void put_instances(struct bth_str *out, const struct bth_snapshot *s) {
    bth_json_key(out, "instances");
    bth_str_putc(out, '{');
    for (size_t i = 0; i < s->n_models; i++) {
        if (s->models[i].instances) {
            bth_json_put_string(out, s->models[i].name, s->models[i].devices);
        }
    }
    bth_str_putc(out, '}');
}

static void model_stats(struct bth_exchange *x) {
    struct bth_snapshot s;
    if (!bth_server_live(x->server)) { /* core's lock may be what hangs */
        bth_answer_refusal(x, 503, "EINTERNAL", "the daemon is stuck");
        return;
    }
    if (!take(x, &s)) {
        return;
    }
    struct bth_str text = {0};
    bth_str_puts(&text, "{\"success\":true,\"stats\":{");
    put_usage(&text, &s);
    bth_json_put_string(&text, "device", s.n_devices ? s.devices[0].name : "none");
    put_loaded(&text, &s);
    put_instances(&text, &s);
    bth_str_puts(&text, "}}");
    bth_snapshot_finish(&s);
    bth_answer_json(x, &text);
}

/* ---- /v1/stats: all there is -----------------------------------------------------------------*/

/* The keys of an object that is open. */
static void put_fields(struct bth_str *out, const struct bth_stat_fields *f, const void *from) {
    for (size_t i = 0; i < f->n; i++) {
        const char *at = (const char *)from + f->fields[i].offset;
        uint64_t n;
        switch (f->fields[i].kind) {
        case BTH_STAT_TEXT:
            bth_json_put_string(out, f->fields[i].name, at);
            break;
        case BTH_STAT_COUNT:
            memcpy(&n, at, sizeof(n));
            bth_json_put_uint(out, f->fields[i].name, n);
            break;
        case BTH_STAT_SPAN:
            memcpy(&n, at, sizeof(n));
            bth_json_put_int(out, f->fields[i].name, (int64_t)n);
            break;
        }
    }
}

static void put_model(struct bth_str *out, const struct berth_model_stats *m) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    put_fields(out, &bth_model_fields, m);
    bth_json_put_string(out, "state", bth_state_text(m->state));
    bth_str_putc(out, '}');
}

static void put_device(struct bth_str *out, const struct berth_device_stats *d) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    put_fields(out, &bth_device_fields, d);
    bth_str_putc(out, '}');
}

static void put_usage_of(struct bth_str *out, struct bth_manager *m) {
    struct berth_usage usage;
    bth_manager_usage(m, &usage);
    bth_json_key(out, "usage");
    bth_str_putc(out, '{');
    bth_json_put_string(out, "device", usage.device);
    bth_json_key(out, "families");
    bth_str_putc(out, '[');
    for (uint32_t i = 0; i < usage.n_families; i++) {
        bth_json_comma(out);
        bth_str_putc(out, '{');
        bth_json_put_string(out, "family", usage.families[i].family);
        bth_json_put_uint(out, "leases", usage.families[i].leases);
        bth_json_put_bool(out, "ready", usage.families[i].ready);
        bth_str_putc(out, '}');
    }
    bth_str_puts(out, "]}");
}

static void put_server(struct bth_str *out, struct bth_server *s) {
    server_lock(s);
    size_t conns = s->n_conns, busy = s->n_busy;
    server_unlock(s);
    bth_json_key(out, "server");
    bth_str_putc(out, '{');
    bth_json_put_string(out, "version", berth_version());
    bth_json_put_int(out, "uptime_ms", (bth_now() - s->started) / BTH_NS_PER_MS);
    bth_json_put_bool(out, "draining", s->draining);
    bth_json_put_uint(out, "connections", conns);
    bth_json_put_uint(out, "requests", busy);
    bth_json_put_uint(out, "queue_limit", s->limits.queue);
    bth_json_put_uint(out, "body_limit_bytes", s->limits.body_bytes);
    bth_str_putc(out, '}');
}

static void stats(struct bth_exchange *x) {
    struct bth_snapshot s;
    if (!take(x, &s)) {
        return;
    }
    struct bth_str text = {0};
    bth_str_puts(&text, "{\"models\":[");
    for (size_t i = 0; i < s.n_models; i++) {
        put_model(&text, &s.models[i]);
    }
    bth_str_puts(&text, "],\"devices\":[");
    for (size_t i = 0; i < s.n_devices; i++) {
        put_device(&text, &s.devices[i]);
    }
    bth_str_putc(&text, ']');
    put_usage_of(&text, x->server->berth->manager);
    put_server(&text, x->server);
    bth_str_putc(&text, '}');
    bth_snapshot_finish(&s);
    bth_answer_json(x, &text);
}

/* ---- /v1/requests ----------------------------------------------------------------------------*/

static void put_request_locked(struct bth_str *out, const struct bth_exchange *r) REQUIRES(server);
static void put_request_locked(struct bth_str *out, const struct bth_exchange *r) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "id", r->id);
    bth_json_put_string(out, "path", r->path);
    bth_json_put_string(out, "model", r->listed ? r->work.model : NULL);
    bth_json_put_string(out, "caller", r->caller);
    bth_json_put_int(out, "since_ms", (bth_now() - r->began) / BTH_NS_PER_MS);
    bth_json_put_number(out, "done", r->done);
    bth_json_put_number(out, "total", r->total);
    bth_json_put_string(out, "state",
                        !r->listed     ? "receiving"
                        : r->total > 0 ? "running"
                                       : "queued");
    bth_str_putc(out, '}');
}

static void requests(struct bth_exchange *x) {
    struct bth_str text = {0};
    const struct bth_exchange *r;
    bth_str_puts(&text, "{\"requests\":[");
    server_lock(x->server);
    BTH_LIST_EACH(r, &x->server->exchanges, struct bth_exchange, link) {
        if (r->busy) {
            put_request_locked(&text, r);
        }
    }
    server_unlock(x->server);
    bth_str_puts(&text, "]}");
    bth_answer_json(x, &text);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/api/model-stats", .run = model_stats},
    {.method = "GET", .path = "/v1/stats", .run = stats, .native = true},
    {.method = "GET", .path = "/v1/requests", .run = requests, .native = true},
};
const struct bth_routes bth_routes_stats = BTH_ROUTES(table);

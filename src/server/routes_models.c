/* The models that there are, in OpenAI's shape with further keys. */
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"
#include "server/snapshot.h"

static void put_model(struct bth_str *out, const struct bth_exchange *x, const char *id,
                      const struct berth_model_stats *m) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "id", id);
    bth_json_put_string(out, "object", "model");
    bth_json_put_int(out, "created", x->server->started_unix);
    bth_json_put_string(out, "owned_by", "berth");
    bth_json_put_string(out, "name", m->name);
    bth_json_put_string(out, "alias", m->alias[0] ? m->alias : NULL);
    bth_json_put_string(out, "family", m->family);
    bth_json_put_string(out, "path", m->path);
    bth_json_put_string(out, "state", bth_state_text(m->state));
    bth_json_put_string(out, "devices", m->devices);
    bth_str_putc(out, '}');
}

static void list(struct bth_exchange *x) {
    struct bth_snapshot s;
    struct berth_error err;
    if (bth_snapshot_take(x->server->berth, &s, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    struct bth_str text = {0};
    bth_str_puts(&text, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < s.n_models; i++) {
        put_model(&text, x, s.models[i].name, &s.models[i]);
    }
    bth_str_puts(&text, "]}");
    bth_snapshot_finish(&s);
    bth_answer_json(x, &text);
}

/* By name or alias; what was asked for is the id. */
static void one(struct bth_exchange *x) {
    const struct berth_engine_ops *engine;
    struct berth_model_stats stats;
    struct berth_error err;
    if (bth_work_model(x, x->rest, &engine, &err) < 0 ||
        bth_manager_find(x->server->berth->manager, x->work.model, &stats, &err) < 0) {
        bth_answer_error(x, &err, "model");
        return;
    }
    struct bth_str text = {0};
    put_model(&text, x, x->rest, &stats);
    bth_answer_json(x, &text);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/v1/models", .run = list},
    {.method = "GET", .path = "/v1/models/", .run = one},
};
const struct bth_routes bth_routes_models = BTH_ROUTES(table);

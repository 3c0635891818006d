/* Is it alive, does it take work? Open to all: these say nothing else. */
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"

static void answer(struct bth_exchange *x, bool live, bool ready, bool good) {
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_string(&text, "status", good ? "ok" : live ? "draining" : "stuck");
    bth_json_put_bool(&text, "live", live);
    bth_json_put_bool(&text, "ready", ready);
    bth_str_puts(&text, "}\n");
    bth_answer(x, good && !text.failed ? 200 : 503, "application/json", &text);
}

static void health(struct bth_exchange *x) {
    bool live = bth_server_live(x->server), ready = live && !x->server->draining;
    answer(x, live, ready, ready);
}

static void live(struct bth_exchange *x) {
    bool is_live = bth_server_live(x->server);
    answer(x, is_live, is_live && !x->server->draining, is_live);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/health", .run = health, .open = true},
    {.method = "GET", .path = "/health/ready", .run = health, .open = true},
    {.method = "GET", .path = "/health/live", .run = live, .open = true},
};
const struct bth_routes bth_routes_health = BTH_ROUTES(table);

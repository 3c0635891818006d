/* Is it alive, does it take work? Open to all: these say nothing else. */
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"

/* The names of the devices that have failed, if there are any. */
static void put_lost(struct bth_str *out, const struct berth *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n_devices; i++) {
        if (!bth_manager_is_lost(b->manager, i)) {
            continue;
        }
        if (n++ == 0) {
            bth_json_key(out, "lost_devices");
            bth_str_putc(out, '[');
        }
        bth_json_comma(out);
        bth_json_string(out, bth_manager_device_name(b->manager, i));
    }
    if (n) {
        bth_str_putc(out, ']');
    }
}

static void answer(struct bth_exchange *x, bool live, bool ready, bool good) {
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_string(&text, "status",
                        good                               ? "ok"
                        : !live                            ? "stuck"
                        : bth_server_has_device(x->server) ? "draining"
                                                           : "no device");
    bth_json_put_bool(&text, "live", live);
    bth_json_put_bool(&text, "ready", ready);
    put_lost(&text, x->server->berth);
    bth_str_puts(&text, "}\n");
    bth_answer(x, good && !text.failed ? 200 : 503, "application/json", &text);
}

static bool is_ready(struct bth_exchange *x) {
    return !x->server->draining && bth_server_has_device(x->server);
}

static void health(struct bth_exchange *x) {
    bool live = bth_server_live(x->server), ready = live && is_ready(x);
    answer(x, live, ready, ready);
}

static void live(struct bth_exchange *x) {
    bool is_live = bth_server_live(x->server);
    answer(x, is_live, is_live && is_ready(x), is_live);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/health", .run = health, .open = true},
    {.method = "GET", .path = "/health/ready", .run = health, .open = true},
    {.method = "GET", .path = "/health/live", .run = live, .open = true},
};
const struct bth_routes bth_routes_health = BTH_ROUTES(table);

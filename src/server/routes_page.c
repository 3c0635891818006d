/* What the program carries within it: a page that shows what it does, and the description of its
 * routes. */
#include "server/embedded.h"
#include "server/exchange.h"
#include "server/route.h"

static void answer_file(struct bth_exchange *x, const unsigned char *data, size_t n,
                        const char *type) {
    struct bth_str text = {0};
    bth_str_append(&text, data, n);
    bth_answer(x, text.failed ? 503 : 200, type, &text);
}

static void openapi(struct bth_exchange *x) {
    answer_file(x, bth_openapi, bth_openapi_size, "application/json");
}

static void dashboard(struct bth_exchange *x) {
    answer_file(x, bth_dashboard, bth_dashboard_size, "text/html; charset=utf-8");
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/", .run = dashboard},
    {.method = "GET", .path = "/openapi.json", .run = openapi},
};
const struct bth_routes bth_routes_page = BTH_ROUTES(table);

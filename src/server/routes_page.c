/* What the program carries within it: the description of its own routes. */
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

static const struct bth_route table[] = {
    {.method = "GET", .path = "/openapi.json", .run = openapi},
};
const struct bth_routes bth_routes_page = BTH_ROUTES(table);

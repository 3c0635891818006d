/*
 * server/route.h - the table of routes.
 *
 * A group of routes is a file routes_<group>.c with its table, and a line in routes.c. A route's
 * `run` is called once, on the connection's thread, when its body is there; it answers (exchange.h)
 * or hands the exchange to the desk (bth_work_begin), and never waits.
 */
#ifndef BTH_ROUTE_H
#define BTH_ROUTE_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct bth_exchange;

enum bth_body_kind {
    BTH_BODY_NONE, /* 400 when there is one */
    BTH_BODY_JSON, /* a small object, in memory */
    BTH_BODY_FORM, /* multipart/form-data: x->form, its file in x->body */
    BTH_BODY_RAW   /* x->body */
};

struct bth_route {
    const char *method; /* GET stands for HEAD too */
    const char *path;   /* one that ends in '/' takes the rest of the path */
    void (*run)(struct bth_exchange *x);
    enum bth_body_kind body;
    bool open;   /* wants no API key */
    bool queued; /* takes a place in the queue */
    bool native; /* Berth's own: its error codes are Berth's names */
    bool libre;  /* LibreTranslate's: errors are {"error":"text"}, and a key may be in the body */
    bool query;  /* knows what to do with a query; others refuse one, but for GET, where it says
                    nothing */
};

struct bth_routes {
    const struct bth_route *routes;
    size_t n;
};
#define BTH_ROUTES(table)                                                                          \
    { .routes = (table), .n = BTH_COUNT(table) }

extern const struct bth_routes bth_routes_health, bth_routes_stats, bth_routes_metrics,
    bth_routes_models, bth_routes_control, bth_routes_audio, bth_routes_run, bth_routes_leases,
    bth_routes_events, bth_routes_nlp, bth_routes_libre, bth_routes_translate, bth_routes_page;
/* All of them, for those who want to see the whole table. */
extern const struct bth_routes *const bth_route_groups[];
extern const size_t bth_n_route_groups;

/* The route for a request. NULL: none; *out_allowed then lists the methods that the path has ("GET,
 * POST"), or is empty. `rest` is set for a route that takes one. */
const struct bth_route *bth_route_find(const char *method, const char *path, const char **out_rest,
                                       char out_allowed[32]);

#endif

#include "server/route.h"

#include <stdio.h>
#include <string.h>

const struct bth_routes *const bth_route_groups[] = {
    &bth_routes_health,  &bth_routes_stats, &bth_routes_metrics, &bth_routes_models,
    &bth_routes_control, &bth_routes_audio, &bth_routes_run,     &bth_routes_leases,
    &bth_routes_events,  &bth_routes_nlp,   &bth_routes_libre,   &bth_routes_translate,
    &bth_routes_page,
};
const size_t bth_n_route_groups = BTH_COUNT(bth_route_groups);

static bool matches(const struct bth_route *r, const char *path, const char **out_rest) {
    size_t n = strlen(r->path);
    if (n > 1 && r->path[n - 1] == '/') {
        *out_rest = path + n;
        return strncmp(path, r->path, n) == 0 && path[n];
    }
    *out_rest = "";
    return strcmp(path, r->path) == 0;
}

const struct bth_route *bth_route_find(const char *method, const char *path, const char **out_rest,
                                       char out_allowed[32]) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    out_allowed[0] = '\0';
    for (size_t g = 0; g < bth_n_route_groups; g++) {
        for (size_t i = 0; i < bth_route_groups[g]->n; i++) {
            const struct bth_route *r = &bth_route_groups[g]->routes[i];
            const char *rest;
            if (!matches(r, path, &rest)) {
                continue;
            }
            if (strcmp(r->method, wanted) == 0) {
                *out_rest = rest;
                return r;
            }
            size_t used = strlen(out_allowed);
            snprintf(out_allowed + used, 32 - used, "%s%s", used ? ", " : "", r->method);
        }
    }
    return NULL;
}

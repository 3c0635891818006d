#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <jansson.h>
#include <stdio.h>

enum { ANSWER_MS = 5000 };

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
    {"leases", 'l', NULL, "who holds and who waits for which model instead"},
};

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value && *value ? value : "-";
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void print_request(const json_t *r) {
    char progress[48] = "-";
    if (number(r, "total") > 0) {
        snprintf(progress, sizeof(progress), "%.0f of %.0f", number(r, "done"), number(r, "total"));
    }
    printf("%-20s %-24s %-10s %8.1f %-16s %s\n", text(r, "id"), text(r, "model"), text(r, "state"),
           number(r, "since_ms") / 1e3, progress, text(r, "caller"));
}

/* "uid 0 pid 7, import" */
static void print_lease(const json_t *l) {
    char place[24] = "-", left[24] = "-", expected[24] = "-", thread[24] = "-";
    const json_t *ms = json_object_get(l, "left_ms"), *wait = json_object_get(l, "expected_ms");
    const bool overdue = json_is_true(json_object_get(l, "overdue"));
    if (json_object_get(l, "position")) {
        snprintf(place, sizeof(place), "%.0f, %.12s", number(l, "position"), text(l, "waits_for"));
    }
    if (ms) {
        snprintf(left, sizeof(left), "%.1f", json_number_value(ms) / 1e3);
    }
    if (json_is_integer(wait)) {
        snprintf(expected, sizeof(expected), "%.1f", json_number_value(wait) / 1e3);
    }
    if (number(l, "tid") > 0) {
        snprintf(thread, sizeof(thread), "%.0f", number(l, "tid"));
    }
    printf("%-8s %-24s %-8s %-10s %8.1f %8s %-12s %8s %7s %-16s %s\n", text(l, "id"),
           text(l, "model"), overdue ? "overdue" : text(l, "state"), text(l, "mode"),
           number(l, "since_ms") / 1e3, left, place, expected, thread, text(l, "tag"),
           text(l, "holder"));
}

struct view {
    const char *path, *array;
    void (*head)(void);
    void (*print)(const json_t *entry);
};

static void request_head(void) {
    printf("%-20s %-24s %-10s %8s %-16s %s\n", "REQUEST", "MODEL", "STATE", "SECONDS", "PROGRESS",
           "CALLER");
}

static void lease_head(void) {
    printf("%-8s %-24s %-8s %-10s %8s %8s %-12s %8s %7s %-16s %s\n", "LEASE", "MODEL", "STATE",
           "MODE", "SECONDS", "LEFT", "PLACE", "EXPECTED", "THREAD", "TAG", "HOLDER");
}

static int show(struct bth_client *c, const struct view *v, struct berth_error *err) {
    struct bth_str answer = {0};
    int rc = bth_client_ask(c, v->path, NULL, ANSWER_MS, &answer, err);
    if (rc == 0) {
        json_t *all = json_loadb(bth_str_text(&answer), answer.size, 0, NULL);
        const json_t *entries = json_object_get(all, v->array);
        if (json_is_array(entries)) {
            v->head();
        } else {
            rc = bth_error(err, BERTH_EIO, "the daemon's answer is damaged: no %s", v->array);
        }
        for (size_t i = 0; i < json_array_size(entries); i++) {
            v->print(json_array_get(entries, i));
        }
        json_decref(all);
    }
    bth_str_finish(&answer);
    return rc;
}

static int ps(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    static const struct view requests = {"/v1/requests", "requests", request_head, print_request},
                             leases = {"/v1/leases", "leases", lease_head, print_lease};
    return show(c, args->values[1] ? &leases : &requests, err);
}

int bth_cmd_ps(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "ps",
        .usage = "Usage: berth ps [OPTION]...\n\nLists the requests that the daemon is receiving, "
                 "holds in its queue or works on; or leases.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .run = ps};
    return bth_daemon_verb(&verb, argc, argv);
}

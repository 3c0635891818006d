#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <jansson.h>
#include <stdio.h>

enum { ANSWER_MS = 5000 };

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
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

static int ps(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    struct bth_str answer = {0};
    (void)args;
    int rc = bth_client_ask(c, "/v1/requests", NULL, ANSWER_MS, &answer, err);
    if (rc == 0) {
        json_t *all = json_loadb(bth_str_text(&answer), answer.size, 0, NULL);
        const json_t *requests = json_object_get(all, "requests");
        if (json_is_array(requests)) {
            printf("%-20s %-24s %-10s %8s %-16s %s\n", "REQUEST", "MODEL", "STATE", "SECONDS",
                   "PROGRESS", "CALLER");
        } else {
            rc = bth_error(err, BERTH_EIO, "the daemon's answer is damaged: no requests");
        }
        for (size_t i = 0; i < json_array_size(requests); i++) {
            print_request(json_array_get(requests, i));
        }
        json_decref(all);
    }
    bth_str_finish(&answer);
    return rc;
}

int bth_cmd_ps(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "ps",
        .usage = "Usage: berth ps [OPTION]...\n\nLists the requests that the daemon is receiving, "
                 "holds in its queue or works on.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .run = ps};
    return bth_daemon_verb(&verb, argc, argv);
}

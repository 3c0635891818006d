#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 15000 };

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
};

static const struct {
    const char *plan, *text;
} texts[] = {{"ready", "is loaded"},
             {"loading", "is being loaded"},
             {"fits", "fits"},
             {"evicts", "would evict"},
             {"waits", "must wait for memory that is in use"},
             {"impossible", "cannot be loaded"},
             {"disabled", "is not given out"},
             {"failed", "could not be loaded lately"},
             {"unknown", "has a size that could not be found out in time"}};

static void print_plan(const json_t *p) {
    const char *plan = json_string_value(json_object_get(p, "plan"));
    const char *cause = json_string_value(json_object_get(p, "cause")), *text = plan;
    const json_t *evicts = json_object_get(p, "evicts");
    for (size_t i = 0; i < BTH_COUNT(texts); i++) {
        text = strcmp(texts[i].plan, plan) == 0 ? texts[i].text : text;
    }
    printf("%s %s", json_string_value(json_object_get(p, "model")), text);
    for (size_t i = 0; i < json_array_size(evicts); i++) {
        printf("%s %s", i ? "," : "", json_string_value(json_array_get(evicts, i)));
    }
    if (cause) {
        printf(": %s\n", cause);
    } else {
        const json_t *learnt = json_object_get(p, "learnt_ms");
        char age[48] = "";
        if (learnt) {
            snprintf(age, sizeof(age), " as of %.1f s ago", json_number_value(learnt) / 1e3);
        }
        printf(" (%s: %.1f MB needed%s, %.1f MB free)\n",
               json_string_value(json_object_get(p, "device")),
               json_number_value(json_object_get(p, "need_bytes")) / 1e6, age,
               json_number_value(json_object_get(p, "room_bytes")) / 1e6);
    }
}

static int plan(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    struct bth_str path = {0}, answer = {0};
    bth_str_puts(&path, "/v1/plan?load=");
    bth_client_encode(&path, args->rest[1]);
    int rc = path.failed ? bth_error_nomem(err)
                         : bth_client_ask(c, bth_str_text(&path), NULL, ANSWER_MS, &answer, err);
    if (rc == 0) {
        json_t *p = json_loadb(bth_str_text(&answer), answer.size, 0, NULL);
        if (json_string_value(json_object_get(p, "plan")) &&
            json_string_value(json_object_get(p, "model"))) {
            print_plan(p);
        } else {
            rc = bth_error(err, BERTH_EIO, "the daemon's answer is damaged: no plan");
        }
        json_decref(p);
    }
    bth_str_finish(&path);
    bth_str_finish(&answer);
    return rc;
}

int bth_cmd_plan(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "plan",
        .usage =
            "Usage: berth plan [OPTION]... load MODEL\n\nSays what a load of a model would come "
            "to now, without loading it: whether it fits, which idle\nmodels it would evict, "
            "whether it must wait, or why it cannot be.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .first = "load",
        .operand = "'load' and a MODEL",
        .run = plan};
    return bth_daemon_verb(&verb, argc, argv);
}

#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include "server/daemon.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 15000 };

enum option { SERVER, AGAINST_RUNNING };

static const struct bth_arg table[] = {
    [SERVER] = BTH_SERVER_ARG,
    [AGAINST_RUNNING] = {"against_running", 'r', NULL,
                         "check what a reload would do to the running daemon"},
};

static void print_list(const json_t *answer, const char *key, const char *what) {
    const json_t *names = json_object_get(answer, key);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        printf("%-18s %s\n", what, name ? name : "-");
    }
}

static int ask(const char *server, bool dry, struct berth_error *err) {
    struct bth_client *c = NULL;
    struct bth_str answer = {0};
    int rc = bth_client_find(server, false, &c, err);
    if (rc == 0 && !c) {
        return bth_error(err, BERTH_ENOTFOUND,
                         "no daemon is running: start berthd, or name one with --server");
    }
    rc = rc < 0 ? rc
                : bth_client_ask(c, "/v1/reload", dry ? "{\"dry_run\":true}" : "{}", ANSWER_MS,
                                 &answer, err);
    if (rc == 0) {
        json_t *a = json_loadb(bth_str_text(&answer), answer.size, 0, NULL);
        print_list(a, "added", "new");
        print_list(a, "changed", "changed");
        print_list(a, "removed", "removed");
        print_list(a, "restart", "takes a new start");
        json_decref(a);
    }
    bth_str_finish(&answer);
    if (c) {
        bth_client_close(c, 0, NULL);
    }
    return rc;
}

static int run(const struct bth_args *args) {
    const char *what = args->rest[0], *file = args->n_rest > 1 ? args->rest[1] : NULL;
    struct berth_error err = {0};
    size_t models = 0;
    int rc;
    if (strcmp(what, "reload") == 0 || args->values[AGAINST_RUNNING]) {
        rc = ask(args->values[SERVER], strcmp(what, "check") == 0, &err);
    } else {
        rc = bth_daemon_check_config(file, &models, &err);
        if (rc == 0) {
            printf("well formed, %zu models\n", models);
        }
    }
    return rc < 0 ? bth_cli_fail("config", &err) : CLI_OK;
}

/* "check [FILE]" or "reload"; a file cannot be one that runs. */
static bool understood(const struct bth_args *args) {
    bool check = args->n_rest > 0 && strcmp(args->rest[0], "check") == 0;
    bool reload = args->n_rest == 1 && strcmp(args->rest[0], "reload") == 0;
    return (check && args->n_rest == (args->values[AGAINST_RUNNING] ? 1 : args->n_rest) &&
            args->n_rest <= 2) ||
           (reload && !args->values[AGAINST_RUNNING]);
}

int bth_cmd_config(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts(
            "Usage: berth config check [FILE]\n"
            "       berth config check --against-running\n"
            "       berth config reload\n\n"
            "Says what is wrong with a configuration, or what the daemon would make of its own if "
            "it read it\nagain, or has it do so: new models are known then, those that it names no "
            "more are unloaded\nand forgotten, pins and keep-alives are as it says; what takes a "
            "new start is listed.\nSo does SIGHUP.\n");
        bth_args_help(table, BTH_COUNT(table));
    } else if (!understood(&args)) {
        fputs("berth config: give 'check' or 'reload'\nTry 'berth config --help'.\n", stderr);
        rc = CLI_USAGE;
    } else {
        rc = run(&args);
    }
    bth_args_finish(&args);
    return rc;
}

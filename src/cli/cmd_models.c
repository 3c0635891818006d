#include "base/alloc.h"
#include "base/compiler.h"
#include "cli/args.h"
#include "cli/cli.h"
#include <stdio.h>

static const struct bth_arg table[] = {
    {"config", 0, "FILE", "the YAML file that names the models"},
    {"server", 's', "ADDRESS",
     "of the daemon at unix:PATH or http://HOST:PORT (default\nBERTH_SERVER, else the usual "
     "socket, "
     "else in process)"},
    {"local", 0, NULL, "of this process, even if there is a daemon"},
};

static int list(struct berth *b) {
    size_t n = berth_models(b, NULL, 0, 0);
    struct berth_model_stats *models = bth_calloc(n, sizeof(*models));
    if (!models) {
        fputs("berth: out of memory\n", stderr);
        return CLI_FAILED;
    }
    size_t have = berth_models(b, models, sizeof(*models), n);
    if (have == 0) {
        fputs("No models are configured. See 'berth --help'.\n", stderr);
    } else {
        printf("%-24s %-16s %-12s %s\n", "MODEL", "ALIAS", "STATE", "PATH");
    }
    for (size_t i = 0; i < BTH_MIN(n, have); i++) {
        printf("%-24s %-16s %-12s %s\n", models[i].name, models[i].alias[0] ? models[i].alias : "-",
               bth_cli_state(models[i].state), models[i].path);
    }
    bth_free(models);
    return CLI_OK;
}

int bth_cmd_models(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts("Usage: berth models [OPTION]...\n\nLists the models that could be used.\n");
        bth_args_help(table, BTH_COUNT(table));
        bth_args_finish(&args);
        return CLI_OK;
    }
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = bth_args_value(table, BTH_COUNT(table), &args, "config");
    config.server = bth_cli_server(bth_args_value(table, BTH_COUNT(table), &args, "server"),
                                   bth_args_value(table, BTH_COUNT(table), &args, "local"), NULL);
    struct berth *b;
    struct berth_error err;
    if (berth_open(&config, &b, &err) < 0) {
        rc = bth_cli_fail("models", &err);
    } else {
        rc = list(b);
        berth_close(b, 0, NULL);
    }
    bth_args_finish(&args);
    return rc;
}

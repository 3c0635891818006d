#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <stdio.h>

static const struct bth_arg table[] = {BTH_SERVER_ARG};

static int set(struct bth_client *c, const struct bth_args *args, bool on,
               struct berth_error *err) {
    char name[64];
    int rc = bth_client_enable(c, args->rest[0], on, name, err);
    if (rc == 0) {
        printf("%s is %s\n", name, on ? "enabled" : "disabled");
    }
    return rc;
}

static int disable(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    return set(c, args, false, err);
}

static int enable(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    return set(c, args, true, err);
}

int bth_cmd_disable(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "disable",
        .usage =
            "Usage: berth disable [OPTION]... MODEL\n\nHas the daemon refuse all who ask for a "
            "model, and unload it when its requests have ended.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .operand = "MODEL",
        .run = disable};
    return bth_daemon_verb(&verb, argc, argv);
}

int bth_cmd_enable(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "enable",
        .usage = "Usage: berth enable [OPTION]... MODEL\n\nHas the daemon give a model out again "
                 "that was disabled. The next request loads it.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .operand = "MODEL",
        .run = enable};
    return bth_daemon_verb(&verb, argc, argv);
}

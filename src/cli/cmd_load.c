#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <stdio.h>

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
    {"timeout", 't', "S", "seconds to wait for it (default: as long as it takes)"},
};

static int load(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    int64_t ms;
    char name[64];
    int rc = bth_daemon_seconds(args->values[1], -1, &ms, err);
    rc = rc < 0 ? rc : bth_client_load(c, args->rest[0], ms, name, err);
    if (rc == 0) {
        printf("%s is loaded\n", name);
    }
    return rc;
}

int bth_cmd_load(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "load",
        .usage = "Usage: berth load [OPTION]... MODEL\n\nHas the daemon load a model, so that the "
                 "first request need not wait.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .operand = "MODEL",
        .run = load};
    return bth_daemon_verb(&verb, argc, argv);
}

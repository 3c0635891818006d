#include "base/compiler.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <stdio.h>

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
    {"timeout", 't', "S",
     "seconds to wait for its requests to end (default: as\nlong as it takes); it goes on after "
     "that"},
    {"force", 'f', NULL, "although others have pinned it, as an administrator may"},
};

static int unload(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    int64_t ms;
    int rc = bth_daemon_seconds(args->values[1], -1, &ms, err);
    rc = rc < 0 ? rc : bth_client_unload(c, args->rest[0], ms, args->values[2] != NULL, err);
    if (rc == 0) {
        printf("%s is not loaded\n", args->rest[0]);
    }
    return rc;
}

int bth_cmd_unload(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "unload",
        .usage = "Usage: berth unload [OPTION]... MODEL\n\nHas the daemon unload a model once its "
                 "requests have ended. The next request loads it again.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .operand = "MODEL",
        .run = unload};
    return bth_daemon_verb(&verb, argc, argv);
}

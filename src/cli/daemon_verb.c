#include "cli/daemon_verb.h"

#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int connect_and_run(const struct bth_daemon_verb *v, const struct bth_args *args) {
    struct berth_error err = {0};
    struct bth_client *c = NULL;
    int rc = bth_client_find(args->values[0], false, &c, &err);
    if (rc == 0 && !c) {
        rc = bth_error(&err, BERTH_ENOTFOUND,
                       "no daemon is running: start berthd, or name one with --server");
    }
    if (rc == 0) {
        rc = v->run(c, args, &err);
    }
    if (c) {
        bth_client_close(c, bth_now(), NULL);
    }
    const char *what = v->operand ? args->rest[v->first ? 1 : 0] : v->name;
    return rc < 0 ? bth_cli_fail(what, &err) : CLI_OK;
}

int bth_daemon_verb(const struct bth_daemon_verb *v, int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(v->table, v->n_args, argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts(v->usage);
        bth_args_help(v->table, v->n_args);
    } else if (args.n_rest != (v->operand ? 1 : 0) + (v->first ? 1 : 0) ||
               (v->first && strcmp(args.rest[0], v->first) != 0)) {
        fprintf(stderr, "berth %s: %s%s\nTry 'berth %s --help'.\n", v->name,
                v->operand ? "give one " : "takes no operand", v->operand ? v->operand : "",
                v->name);
        rc = CLI_USAGE;
    } else {
        rc = connect_and_run(v, &args);
    }
    bth_args_finish(&args);
    return rc;
}

int bth_daemon_seconds(const char *text, int64_t fallback_ms, int64_t *out_ms,
                       struct berth_error *err) {
    char *end;
    *out_ms = fallback_ms;
    if (!text) {
        return 0;
    }
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < 0 || v > 86400) {
        return bth_error(err, BERTH_EINVAL,
                         "--timeout is a number of seconds from 0 to 86400, not "
                         "'%.40s'",
                         text);
    }
    *out_ms = v * 1000;
    return 0;
}

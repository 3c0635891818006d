#include "base/clock.h"
#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <stdio.h>
#include <time.h>

enum { POLL_MS = 50, GRACE_MS = 10000, ANSWER_MS = 5000 };

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
    {"timeout", 't', "S", "seconds that requests get to finish (default 30)"},
};

/* It answers as long as it works on requests; when nobody does, it is gone. */
static int wait_for_end(struct bth_client *c, int64_t deadline, struct berth_error *err) {
    while (bth_client_ask(c, "/health", NULL, ANSWER_MS, NULL, NULL) != BERTH_ELOST) {
        if (bth_now() >= deadline) {
            return bth_error(err, BERTH_ETIMEDOUT, "the daemon has been told, but is still there");
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * BTH_NS_PER_MS}, NULL);
    }
    return 0;
}

static int stop(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    int64_t ms;
    char body[64];
    int rc = bth_daemon_seconds(args->values[1], 30000, &ms, err);
    if (rc < 0) {
        return rc;
    }
    snprintf(body, sizeof(body), "{\"timeout_ms\":%lld}", (long long)ms);
    rc = bth_client_ask(c, "/v1/stop", body, ANSWER_MS, NULL, err);
    return rc < 0 ? rc : wait_for_end(c, bth_deadline(bth_now(), ms + GRACE_MS), err);
}

int bth_cmd_stop(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "stop",
        .usage = "Usage: berth stop [OPTION]...\n\nStops the daemon: it takes no more requests and "
                 "finishes those under way. Returns when it is gone.\nOver TCP this takes an API "
                 "key (BERTH_API_KEY), over the Unix socket the daemon's user.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .run = stop};
    return bth_daemon_verb(&verb, argc, argv);
}

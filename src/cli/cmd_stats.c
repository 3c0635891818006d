#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <stdio.h>

enum { ANSWER_MS = 5000, SOME = 16 };

static const struct bth_arg table[] = {
    BTH_SERVER_ARG,
    {"json", 'j', NULL, "all that the daemon says, as JSON"},
};

static int print_json(struct bth_client *c, struct berth_error *err) {
    struct bth_str answer = {0};
    int rc = bth_client_ask(c, "/v1/stats", NULL, ANSWER_MS, &answer, err);
    if (rc == 0 && fwrite(bth_str_text(&answer), 1, answer.size, stdout) != answer.size) {
        rc = bth_error(err, BERTH_EIO, "standard output cannot be written");
    }
    bth_str_finish(&answer);
    return rc;
}

static void print_model(const struct berth_model_stats *m) {
    printf("%-24s %-10s %6llu %7llu %7llu %8llu %7llu %9.1f %9.1f  %s\n", m->name,
           bth_cli_state(m->state), (unsigned long long)m->leases, (unsigned long long)m->waiting,
           (unsigned long long)m->running, (unsigned long long)m->served,
           (unsigned long long)m->failed, (double)m->weights_bytes / 1e6,
           (double)m->session_bytes / 1e6, m->instances ? m->devices : "-");
}

static void print_device(const struct berth_device_stats *d) {
    printf("%-24s %s%s: %.1f of %.1f MB committed, %llu turns of %.2f rows, the longest %.1f ms\n",
           d->name, d->lost ? "LOST, runs nothing until the daemon is started anew; " : "",
           d->description, (double)d->committed_bytes / 1e6, (double)d->budget_bytes / 1e6,
           (unsigned long long)d->turns, d->turns ? (double)d->rows / (double)d->turns : 0.0,
           (double)d->longest_turn_us / 1e3);
    if (d->residual_bytes) {
        printf("%-24s %.1f MB of that were not given back by what is gone\n", "",
               (double)d->residual_bytes / 1e6);
    }
}

static int print_tables(struct bth_client *c, struct berth_error *err) {
    size_t n = bth_client_models(c, NULL, 0, 0);
    struct berth_model_stats *models = bth_calloc(n, sizeof(*models));
    struct berth_device_stats devices[SOME];
    if (!models) {
        return bth_error_nomem(err);
    }
    size_t have = bth_client_models(c, models, sizeof(*models), n);
    size_t n_devices = bth_client_devices(c, devices, sizeof(devices[0]), SOME);
    printf("%-24s %-10s %6s %7s %7s %8s %7s %9s %9s  %s\n", "MODEL", "STATE", "LEASES", "WAITING",
           "RUNNING", "SERVED", "FAILED", "WEIGHTS", "SESSIONS", "DEVICES");
    for (size_t i = 0; i < BTH_MIN(n, have); i++) {
        print_model(&models[i]);
    }
    for (size_t i = 0; i < BTH_MIN(n_devices, (size_t)SOME); i++) {
        print_device(&devices[i]);
    }
    bth_free(models);
    return n_devices ? 0 : bth_error(err, BERTH_ELOST, "the daemon does not answer: try again");
}

static int stats(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    return args->values[1] ? print_json(c, err) : print_tables(c, err);
}

int bth_cmd_stats(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "stats",
        .usage = "Usage: berth stats [OPTION]...\n\nThe daemon's models and devices in numbers; "
                 "weights and sessions in MB.\n",
        .table = table,
        .n_args = BTH_COUNT(table),
        .run = stats};
    return bth_daemon_verb(&verb, argc, argv);
}

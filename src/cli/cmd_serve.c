/* berth serve, also called berthd: the options of the daemon. */
#include "base/compiler.h"
#include "base/error.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "server/daemon.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_REPEATED = 8 };

enum option {
    LISTEN,
    NO_SOCKET,
    CONFIG,
    THREADS,
    DEVICE,
    PRECISION,
    KEY_FILE,
    ALLOW_HOST,
    ALLOW_ORIGIN,
    MAX_BODY,
    MAX_QUEUE,
    MAX_PER_CALLER,
    MAX_CONNECTIONS,
    STOP_TIMEOUT,
    IDLE_EXIT,
    ADDRESS_FILE,
    LOG_FORMAT,
    VERBOSE
};

static const struct bth_arg table[] = {
    [LISTEN] = {"listen", 'l', "ADDRESS",
                "127.0.0.1:8000, [::1]:8000 or unix:/PATH; port 0: any;\nmay be repeated (default "
                "127.0.0.1:8000)"},
    [NO_SOCKET] = {"no_socket", 0, NULL,
                   "not on $XDG_RUNTIME_DIR/berth/berthd.sock too\n(root: /run/berth/berthd.sock)"},
    [CONFIG] = {"config", 0, "FILE", "the YAML file that names the models"},
    [THREADS] = {"threads", 0, "N", "compute threads (default: every core allowed)"},
    [DEVICE] = {"device", 0, "NAME",
                "cpu, cuda, cuda:N, a GPU's UUID, auto, or several with commas\n(default cpu); "
                "'berth devices' lists them"},
    [PRECISION] = {"precision", 0, "exact|fast",
                   "exact f32, or faster products where there are such: of\n16 bits on a GPU, of 8 "
                   "bits for marian on a CPU (default\nexact on a CPU, fast on a GPU)"},
    [KEY_FILE] = {"api_key_file", 0, "FILE",
                  "a key a line, or NAME KEY; clients send Authorization:\nBearer KEY. Wanted "
                  "beyond loopback"},
    [ALLOW_HOST] = {"allow_host", 0, "NAME",
                    "a host name that clients may call it by, besides IP\naddresses and localhost; "
                    "may be repeated"},
    [ALLOW_ORIGIN] =
        {"allow_origin", 0, "ORIGIN",
         "web pages that may use it, as https://example.org;\nmay be repeated (default none)"},
    [MAX_BODY] = {"max_body", 0, "SIZE", "of a request, as 256MiB, which is the default"},
    [MAX_QUEUE] = {"max_queue", 0, "N", "requests received, queued and running (default 512)"},
    [MAX_PER_CALLER] = {"max_per_caller", 0, "N", "of them of one caller (default: as many)"},
    [MAX_CONNECTIONS] = {"max_connections", 0, "N", "of each address (default 1024)"},
    [STOP_TIMEOUT] = {"stop_timeout", 0, "S",
                      "seconds that requests get to finish after SIGTERM\n(default 30)"},
    [IDLE_EXIT] = {"idle_exit", 0, "S", "ends when nobody has been connected for S seconds"},
    [ADDRESS_FILE] = {"address_file", 0, "FILE", "gets the addresses, a line each, once it serves"},
    [LOG_FORMAT] = {"log_format", 0, "text|json", "(default: text on a terminal, else json)"},
    [VERBOSE] = {"verbose", 'v', NULL, "every request is logged, not only those for a model"},
};

static const char *const usage_text =
    "Usage: berth serve [OPTION]...\n"
    "       berthd [OPTION]...\n\n"
    "Serves the models to all programs of this machine over HTTP: OpenAI's audio endpoints, "
    "Berth's\n"
    "own for the berth command and libberth, statistics, health, Prometheus metrics. SIGTERM or\n"
    "SIGINT: takes no more, finishes what is under way, exits 0.\n";

/* A whole number in [1, most], with one of the `units`, or `fallback`. */
static int number(const struct bth_args *args, enum option which, uint64_t most, bool size,
                  uint64_t *out, struct berth_error *err) {
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
                 {"KB", 1000},     {"MB", 1000000},  {"GB", 1000000000}};
    const char *text = args->values[which];
    if (!text) {
        return 0;
    }
    char *end;
    uint64_t scale = *text >= '0' && *text <= '9' ? 1 : 0;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    for (size_t i = 0; size && *end && i < BTH_COUNT(units); i++) {
        if (strcasecmp(end, units[i].unit) == 0) {
            scale *= units[i].bytes;
            end += strlen(end);
        }
    }
    if (errno || scale == 0 || *end || v < 1 || v > most / scale) {
        return bth_error(err, BERTH_EINVAL, "--%s wants a %s from 1 to %llu, not '%s'",
                         table[which].name, size ? "size" : "number", (unsigned long long)most,
                         text);
    }
    *out = v * scale;
    return 0;
}

static int numbers(const struct bth_args *args, struct bth_daemon_options *o,
                   struct berth_error *err) {
    struct bth_server_limits *l = &o->server.limits;
    uint64_t threads = 0, queue = l->queue, connections = l->connections;
    uint64_t stop_s = (uint64_t)o->stop_ms / 1000, idle_s = 0;
    int rc = number(args, THREADS, 1024, false, &threads, err);
    rc = rc < 0 ? rc : number(args, MAX_BODY, UINT64_C(1) << 40, true, &l->body_bytes, err);
    /* the scheduler of a device takes 1,024 */
    rc = rc < 0 ? rc : number(args, MAX_QUEUE, 1000, false, &queue, err);
    uint64_t per_caller = queue;
    rc = rc < 0 ? rc : number(args, MAX_PER_CALLER, 1000, false, &per_caller, err);
    rc = rc < 0 ? rc : number(args, MAX_CONNECTIONS, 100000, false, &connections, err);
    rc = rc < 0 ? rc : number(args, STOP_TIMEOUT, 86400, false, &stop_s, err);
    rc = rc < 0 ? rc : number(args, IDLE_EXIT, 86400, false, &idle_s, err);
    o->threads = (int)threads;
    l->queue = (size_t)queue;
    l->per_caller = (size_t)per_caller;
    l->connections = (unsigned)connections;
    l->total_bytes = BTH_MAX(l->total_bytes, l->body_bytes); /* room for one of them */
    o->stop_ms = (int64_t)stop_s * 1000;
    o->idle_ms = (int64_t)idle_s * 1000;
    return rc;
}

static int repeated(const struct bth_args *args, enum option which, const char *out[MAX_REPEATED],
                    size_t *out_n, struct berth_error *err) {
    *out_n = bth_args_all(args, which, out, MAX_REPEATED);
    return *out_n <= MAX_REPEATED
               ? 0
               : bth_error(err, BERTH_EINVAL, "--%s: at most %d", table[which].name, MAX_REPEATED);
}

static int log_options(const struct bth_args *args, struct bth_log *log, struct berth_error *err) {
    const char *format = args->values[LOG_FORMAT];
    *log = bth_log_default();
    if (args->values[VERBOSE]) {
        log->level = BTH_LOG_DEBUG;
    }
    if (format) {
        log->json = strcmp(format, "json") == 0;
        if (!log->json && strcmp(format, "text") != 0) {
            return bth_error(err, BERTH_EINVAL, "--log_format is text or json, not '%s'", format);
        }
    }
    return 0;
}

static int serve(const struct bth_args *args) {
    struct bth_daemon_options o = {
        .config_file = args->values[CONFIG],
        .device = args->values[DEVICE],
        .precision = args->values[PRECISION],
        .no_socket = args->values[NO_SOCKET] != NULL,
        .stop_ms = 30000,
        .address_file = args->values[ADDRESS_FILE],
        .server = {.key_file = args->values[KEY_FILE], .limits = BTH_SERVER_LIMITS}};
    const char *listen[MAX_REPEATED], *hosts[MAX_REPEATED], *origins[MAX_REPEATED];
    struct berth_error err = {0};
    o.server.listen = listen;
    o.server.hosts = hosts;
    o.server.origins = origins;
    int rc = repeated(args, LISTEN, listen, &o.server.n_listen, &err);
    rc = rc < 0 ? rc : repeated(args, ALLOW_HOST, hosts, &o.server.n_hosts, &err);
    rc = rc < 0 ? rc : repeated(args, ALLOW_ORIGIN, origins, &o.server.n_origins, &err);
    rc = rc < 0 ? rc : log_options(args, &o.server.log, &err);
    rc = rc < 0 ? rc : numbers(args, &o, &err);
    if (rc < 0) {
        bth_cli_fail("serve", &err);
        return CLI_USAGE;
    }
    return bth_daemon_run(&o, &err) < 0 ? bth_cli_fail("serve", &err) : CLI_OK;
}

int bth_cmd_serve(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts(usage_text);
        bth_args_help(table, BTH_COUNT(table));
    } else if (args.n_rest > 0) {
        fprintf(stderr, "berth serve: '%s' is not understood\nTry 'berth serve --help'.\n",
                args.rest[0]);
        rc = CLI_USAGE;
    } else {
        rc = serve(&args);
    }
    bth_args_finish(&args);
    return rc;
}

/* berth lease: a lease of the daemon's for as long as a command runs. */
#define _GNU_SOURCE /* SI_USER with sigtimedwait */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/daemon_verb.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* As env(1) and timeout(1) have them. */
enum { NO_LEASE = 125, CANNOT_RUN = 126, NO_COMMAND = 127, BY_SIGNAL = 128 };

enum { LOOK_S = 1, ANSWER_MS = 5000 };

enum option { SERVER, EXCLUSIVE, MAX_CONCURRENT, TIMEOUT, PRIORITY, TAG, PIN };

static const struct bth_arg table[] = {
    [SERVER] = BTH_SERVER_ARG,
    [EXCLUSIVE] = {"exclusive", 'x', NULL, "nobody else gets a lease on it; MODEL may be a family"},
    [TIMEOUT] = {"timeout", 't', "S", "seconds to wait for it (default: as long as it takes)"},
    [MAX_CONCURRENT] = {"max_concurrent", 'n', "N",
                        "wait until fewer than N leases are held on it"},
    [PRIORITY] = {"priority", 'p', "N",
                  "0 to 9, each as good as having come 10 s earlier (default:\n5; above it: the "
                  "daemon's own user, or with an API key)"},
    [PIN] = {"pin", 0, NULL,
             "pin it instead: it stays loaded, and anybody may lease it, for\nhimself too"},
    [TAG] = {"tag", 0, "TEXT", "shown to those who wait (default: the command's name)"},
};

/* ---- the command -----------------------------------------------------------------------------*/

static pid_t start(char *const *argv, const sigset_t *mask) {
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, mask, NULL);
        execvp(argv[0], argv);
        fprintf(stderr, "berth: lease: %s: %s\n", argv[0], strerror(errno));
        _exit(errno == ENOENT ? NO_COMMAND : CANNOT_RUN);
    }
    return pid;
}

/* A terminal's Ctrl-C reaches the command by itself; what was sent to us alone is handed on. */
static void hand_on(pid_t pid, const siginfo_t *signal) {
    if (signal->si_signo != SIGINT || signal->si_code == SI_USER) {
        kill(pid, signal->si_signo);
    }
}

/* What is held: a lease, or a pin. */
struct held {
    struct bth_client *client;
    struct bth_client_lease *lease; /* NULL: a pin */
};

static void warn_once(const struct held *held, bool *warned) {
    struct berth_error err;
    struct bth_client_lease *lease = held->lease;
    if (*warned) {
        return;
    }
    *warned = true;
    if (!lease && !bth_client_alive(held->client)) {
        fprintf(stderr, "berth: lease: the pin was lost, the command goes on\n");
    } else if (lease && bth_client_lease_wait(lease, 0, &err) < 0) {
        fprintf(stderr, "berth: lease: %s: the lease was lost, the command goes on\n", err.message);
    } else if (lease && bth_client_lease_revoked(lease)) {
        fprintf(stderr, "berth: lease: the lease was taken away, the command goes on\n");
    } else {
        *warned = false;
    }
}

/* Waits for its end; an exit status. */
static int wait_for(pid_t pid, const sigset_t *signals, const struct held *held) {
    const struct timespec look = {.tv_sec = LOOK_S};
    bool warned = false;
    int status;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        siginfo_t signal;
        if (sigtimedwait(signals, &signal, &look) > 0 && signal.si_signo != SIGCHLD) {
            hand_on(pid, &signal);
        }
        warn_once(held, &warned);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : BY_SIGNAL + WTERMSIG(status);
}

/* The signals are kept from here on, so that none is lost between two looks. */
static int run(char *const *argv, const sigset_t *signals, const sigset_t *before,
               const struct held *held) {
    pid_t pid = start(argv, before);
    if (pid < 0) {
        fprintf(stderr, "berth: lease: %s: %s\n", argv[0], strerror(errno));
        return CANNOT_RUN;
    }
    return wait_for(pid, signals, held);
}

/* ---- the lease -------------------------------------------------------------------------------*/

static int read_options(const struct bth_args *args, struct berth_acquire_options *o,
                        struct berth_error *err) {
    static const int priorities[2] = {0, 9};
    int most = 0;
    int rc = bth_daemon_seconds(args->values[TIMEOUT], -1, &o->wait_ms, err);
    rc = rc < 0 ? rc : bth_args_count(table, args, MAX_CONCURRENT, 1000000, &most, err);
    rc = rc < 0 ? rc : bth_args_number(table, args, PRIORITY, priorities, &o->priority, err);
    const char *slash = strrchr(args->rest[1], '/');
    o->max_concurrent = (uint32_t)most;
    o->mode = args->values[EXCLUSIVE] ? BERTH_EXCLUSIVE : BERTH_SHARED;
    o->tag = args->values[TAG] ? args->values[TAG] : slash ? slash + 1 : args->rest[1];
    return rc;
}

/* Pinned first, so that nothing puts it out between. */
static int pin(const struct bth_args *args, const struct berth_acquire_options *o,
               struct bth_client *c, struct berth_error *err) {
    char name[64];
    int rc = bth_client_pin(c, args->rest[0], o->tag, true, err);
    return rc < 0 ? rc : bth_client_load(c, args->rest[0], o->wait_ms, name, err);
}

static int acquire(const struct bth_args *args, struct held *out, struct berth_error *err) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    int rc = read_options(args, &o, err);
    rc = rc < 0 ? rc : bth_client_find(args->values[SERVER], false, &out->client, err);
    if (rc == 0 && !out->client) {
        return bth_error(err, BERTH_ENOTFOUND,
                         "no daemon is running: start berthd, or name one with --server");
    }
    if (rc == 0 && args->values[PIN]) {
        return pin(args, &o, out->client, err);
    }
    return rc < 0 ? rc : bth_client_acquire(out->client, args->rest[0], &o, &out->lease, err);
}

static int lease(const struct bth_args *args) {
    struct berth_error err = {0};
    struct held held = {0};
    int status = NO_LEASE;
    if (acquire(args, &held, &err) < 0) {
        bth_cli_fail("lease", &err);
    } else {
        sigset_t signals, before;
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_BLOCK, &signals, &before);
        status = run((char *const *)&args->rest[1], &signals, &before, &held);
        if (held.lease) {
            bth_client_release(held.lease);
        }
    }
    if (held.client) {
        bth_client_close(held.client, bth_now(), NULL);
    }
    return status;
}

/* ---- taking one away ------------------------------------------------------------------------*/

static int take_away(struct bth_client *c, const struct bth_args *args, struct berth_error *err) {
    struct bth_str path = {0};
    bth_str_puts(&path, "/v1/leases/");
    bth_client_encode(&path, args->rest[1]);
    int rc = path.failed || strchr(args->rest[1], '-')
                 ? bth_error(err, BERTH_EINVAL, "a lease has an id as 'berth ps --leases' shows it")
                 : bth_client_delete(c, bth_str_text(&path), ANSWER_MS, err);
    bth_str_finish(&path);
    if (rc == 0) {
        printf("%s is taken away\n", args->rest[1]);
    }
    return rc;
}

static int revoke_one(int argc, char **argv) {
    static const struct bth_daemon_verb verb = {
        .name = "lease",
        .usage =
            "Usage: berth lease revoke [OPTION]... ID\n\nTakes a lease away from its holder, as "
            "an administrator may: its requests are cancelled,\nand he is told. 'berth ps "
            "--leases' shows the IDs.\n",
        .table = table,
        .n_args = 1,
        .first = "revoke",
        .operand = "'revoke' and an ID",
        .run = take_away};
    return bth_daemon_verb(&verb, argc, argv);
}

int bth_cmd_lease(int argc, char **argv) {
    struct bth_args args;
    if (argc > 1 && strcmp(argv[1], "revoke") == 0) {
        return revoke_one(argc, argv);
    }
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts("Usage: berth lease [OPTION]... MODEL -- COMMAND [ARGUMENT]...\n       berth lease "
             "revoke [OPTION]... ID\n\nRuns a command while "
             "a lease on the daemon's model is held: it stays loaded, or, with\n--exclusive, is "
             "nobody else's. Exits as the command does, with 128 and the signal's\nnumber if it "
             "was killed; 125: there was no lease, 126 and 127: the command cannot be run.\n");
        bth_args_help(table, BTH_COUNT(table));
    } else if (args.n_rest < 2) {
        fputs("berth lease: give a MODEL, -- and a COMMAND\nTry 'berth lease --help'.\n", stderr);
        rc = CLI_USAGE;
    } else {
        rc = lease(&args);
    }
    bth_args_finish(&args);
    return rc;
}

#include "server/daemon.h"

#include "api/config.h"
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "core/limits.h"
#include "core/manager.h"
#include "core/trace.h"
#include "server/events.h"
#include "server/notify.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SOCKETS = 8, TICK_MS = 250, MAX_DESCRIPTORS = 65536 };

struct process {
    struct berth *berth;
    struct bth_server *server;
    struct bth_log log;
    sigset_t signals;
    _Atomic int64_t stop_ms; /* set by POST /v1/stop before its signal */
    int64_t watchdog_ms, fed_at;
    int64_t idle_ms, used_at;
    struct bth_log_writer *trace_writer; /* or NULL */
    struct bth_trace_sink trace;
    int trace_fd;
};

/* ---- start -----------------------------------------------------------------------------------*/

/* "unix:/run/berth/berthd.sock" for root, else below XDG_RUNTIME_DIR. Heap; NULL: there is no place
 * for it. */
static char *usual_socket(void) {
    const char *run = getuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    return run && *run == '/' ? bth_printf("unix:%s/berth/berthd.sock", run) : NULL;
}

/* The folder of the usual socket. An error shows when the socket is opened. */
static void make_folder(const char *socket) {
    char *folder = socket ? bth_strdup(socket + strlen("unix:")) : NULL;
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) {
        *slash = '\0';
        mkdir(folder, 0755);
    }
    bth_free(folder);
}

/* Signals wait for wait_signal; in no thread do they interrupt anything. */
static void block_signals(struct process *p) {
    sigemptyset(&p->signals);
    sigaddset(&p->signals, SIGTERM);
    sigaddset(&p->signals, SIGINT);
    sigaddset(&p->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &p->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Connections and bodies in files take descriptors; the usual soft limit is for programs that use
 * select. */
static void raise_descriptors(void) {
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max < MAX_DESCRIPTORS ? l.rlim_max : MAX_DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* POST /v1/stop, on a server's thread. */
static void stop_wanted(void *arg, int64_t timeout_ms) {
    struct process *p = arg;
    atomic_store(&p->stop_ms, timeout_ms);
    kill(getpid(), SIGTERM);
}

static int write_addresses(const struct process *p, const char *path, struct berth_error *err) {
    char *temporary = bth_printf("%s.%ld", path, (long)getpid());
    FILE *f = temporary ? fopen(temporary, "we") : NULL;
    bool ok = f != NULL;
    const char *address;
    for (size_t i = 0; ok && (address = bth_server_address(p->server, i)); i++) {
        ok = fprintf(f, "%s\n", address) > 0;
    }
    ok = f && fclose(f) == 0 && ok && rename(temporary, path) == 0;
    int rc = ok ? 0 : bth_error(err, BERTH_EIO, "%s: %s", path, strerror(errno));
    bth_free(temporary);
    return rc;
}

static void say_ready(const struct process *p) {
    const char *address;
    for (size_t i = 0; (address = bth_server_address(p->server, i)); i++) {
        bth_log_write(&p->log, BTH_LOG_INFO, NULL, "listening on %s%s",
                      strncmp(address, "unix:", 5) == 0 ? "" : "http://", address);
    }
    bth_notify("READY=1\nSTATUS=serving");
}

/* What the models will run on, and, where a GPU was looked for in vain, why. */
static void say_devices(const struct process *p) {
    struct berth_device_stats devices[BTH_MAX_DEVICES];
    size_t n = berth_devices(p->berth, devices, sizeof(devices[0]), BTH_MAX_DEVICES);
    for (size_t i = 0; i < n; i++) {
        bth_log_write(&p->log, BTH_LOG_INFO, NULL, "device %s: %s", devices[i].name,
                      devices[i].description);
    }
}

static int start_server(struct process *p, const struct bth_daemon_options *o,
                        struct berth_error *err) {
    static const char *const usual[] = {"127.0.0.1:8000"};
    struct bth_server_config c = o->server;
    int sockets[MAX_SOCKETS];
    char *socket = o->no_socket ? NULL : usual_socket();
    c.n_sockets = bth_notify_sockets(sockets, MAX_SOCKETS);
    c.sockets = sockets;
    c.log = p->log;
    c.berth = p->berth;
    c.stop = stop_wanted;
    c.arg = p;
    if (c.n_sockets == 0) {
        make_folder(socket);
        c.listen_too = socket;
    }
    if (c.n_sockets + c.n_listen == 0) {
        c.listen = usual;
        c.n_listen = BTH_COUNT(usual);
    }
    int rc = bth_server_create(&c, &p->server, err);
    bth_free(socket);
    return rc;
}

static void trace_line(void *arg, const char *line, size_t n) {
    bth_log_writer_put(arg, line, n);
}

/* What a slow disk makes it lose is seen by the numbers of the lines. */
static int open_trace(struct process *p, const char *path, struct berth_error *err) {
    p->trace_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (p->trace_fd < 0) {
        return bth_error(err, BERTH_EIO, "%s: %s", path, strerror(errno));
    }
    int rc = bth_log_writer_create(p->trace_fd, &p->trace_writer, err);
    p->trace = (struct bth_trace_sink){.line = trace_line, .arg = p->trace_writer};
    return rc;
}

static int start(struct process *p, const struct bth_daemon_options *o, struct berth_error *err) {
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = o->config_file;
    config.threads = o->threads;
    config.device = o->device;
    config.precision = o->precision;
    config.server = "none";
    int rc = o->trace_file ? open_trace(p, o->trace_file, err) : 0;
    rc = rc < 0 ? rc : bth_open_traced(&config, o->trace_file ? &p->trace : NULL, &p->berth, err);
    rc = rc < 0 ? rc : start_server(p, o, err);
    if (rc == 0 && o->address_file) {
        rc = write_addresses(p, o->address_file, err);
    }
    return rc;
}

/* ---- run and stop ----------------------------------------------------------------------------*/

/* SIGHUP: the file once more; what is wrong with it changes nothing. */
static void reload(struct process *p) {
    struct bth_reload r;
    struct berth_error err;
    if (bth_local_reload(p->berth, false, &r, &err) < 0) {
        bth_log_write(&p->log, BTH_LOG_ERROR, NULL, "the configuration is not taken: %s",
                      err.message);
        return;
    }
    const struct {
        const char *what;
        const struct bth_str *names;
    } news[] = {{"new", &r.added},
                {"changed", &r.changed},
                {"removed", &r.removed},
                {"takes a new start", &r.restart}};
    for (size_t i = 0; i < BTH_COUNT(news); i++) {
        if (news[i].names->size) {
            bth_log_write(&p->log, BTH_LOG_INFO, NULL, "configuration, %s: %.*s", news[i].what,
                          (int)news[i].names->size - 1, bth_str_text(news[i].names));
        }
    }
    bth_log_write(&p->log, BTH_LOG_INFO, NULL, "the configuration has been read again");
    bth_reload_finish(&r);
}

/* Sleeps for a tick at most; true: told to stop. Keeps systemd's watchdog content while all threads
 * move. */
static bool wait_signal(struct process *p) {
    int64_t ms = p->watchdog_ms && p->watchdog_ms < TICK_MS ? p->watchdog_ms : TICK_MS;
    struct timespec timeout = {.tv_nsec = ms * BTH_NS_PER_MS};
    int signal = sigtimedwait(&p->signals, NULL, &timeout);
    int64_t now = bth_now();
    if (p->watchdog_ms && now - p->fed_at >= p->watchdog_ms * BTH_NS_PER_MS &&
        bth_server_live(p->server)) {
        bth_notify("WATCHDOG=1");
        p->fed_at = now;
    }
    if (signal == SIGHUP) {
        reload(p);
    }
    return signal == SIGTERM || signal == SIGINT;
}

/* Nobody has been connected for as long as that: nobody can from now on. */
static bool is_idle(struct process *p) {
    int64_t now = bth_now();
    if (bth_server_connections(p->server) > 0) {
        p->used_at = now;
    }
    return p->idle_ms && now - p->used_at >= p->idle_ms * BTH_NS_PER_MS &&
           bth_server_retire(p->server);
}

static void run(struct process *p) {
    p->watchdog_ms = bth_notify_watchdog_ms();
    p->used_at = bth_now();
    while (!wait_signal(p) && !is_idle(p)) {
    }
}

static void drain(struct process *p) {
    int64_t ms = atomic_load(&p->stop_ms), deadline = bth_deadline(bth_now(), ms);
    bth_notify("STOPPING=1\nSTATUS=finishing what is under way");
    bth_log_write(&p->log, BTH_LOG_INFO, NULL, "stopping: %zu requests have %lld ms to finish",
                  bth_server_busy(p->server), (long long)ms);
    bth_server_drain(p->server);
    while (bth_server_busy(p->server) > 0 && bth_now() < deadline && !wait_signal(p)) {
    }
    size_t left = bth_server_busy(p->server);
    if (left > 0) {
        bth_log_write(&p->log, BTH_LOG_WARNING, NULL, "%zu requests are cancelled", left);
    }
    bth_server_cancel(p->server);
}

int bth_daemon_check_config(const char *file, size_t *out_models, struct berth_error *err) {
    char *found = file ? bth_strdup(file) : bth_config_find();
    struct bth_config c;
    int rc = found  ? bth_config_load(found, &c, err)
             : file ? bth_error_nomem(err)
                    : bth_error(err, BERTH_ENOTFOUND, "there is no configuration file");
    bth_free(found);
    if (rc == 0) {
        *out_models = c.n_models;
        bth_config_finish(&c);
    }
    return rc;
}

/* Unloading is told too, although the server has gone by then. */
static void end(struct process *p) {
    const uint64_t logged = bth_server_destroy(p->server);
    if (p->berth) {
        struct bth_manager *m = p->berth->manager;
        bth_manager_ref(m);
        berth_close(p->berth, 0, NULL);
        bth_events_log(&p->log, m, logged);
        bth_manager_unref(m);
    }
}

int bth_daemon_run(const struct bth_daemon_options *o, struct berth_error *err) {
    struct process p = {
        .log = o->server.log, .stop_ms = o->stop_ms, .idle_ms = o->idle_ms, .trace_fd = -1};
    block_signals(&p);
    raise_descriptors();
    int rc = bth_log_writer_create(p.log.fd, &p.log.writer, err);
    rc = rc < 0 ? rc : start(&p, o, err);
    if (rc == 0) {
        say_devices(&p);
        say_ready(&p);
        run(&p);
        drain(&p);
    }
    end(&p);
    bth_log_writer_destroy(p.trace_writer);
    if (p.trace_fd >= 0) {
        close(p.trace_fd);
    }
    if (rc == 0) {
        bth_log_write(&p.log, BTH_LOG_INFO, NULL, "stopped");
    }
    bth_log_writer_destroy(p.log.writer);
    return rc;
}

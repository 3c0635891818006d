/*
 * server/daemon.h - the process berthd: a manager, a server, signals, systemd.
 *
 * SIGTERM or SIGINT: no new connections or requests, those under way get stop_ms to finish, then
 * are cancelled. A second one: at once. SIGHUP: reads its configuration again.
 */
#ifndef BTH_DAEMON_H
#define BTH_DAEMON_H

#include "server/server.h"

struct bth_daemon_options {
    const char *config_file;        /* as in struct berth_config */
    const char *device, *precision; /* likewise */
    int threads;
    struct bth_server_config
        server;     /* all but berth, sockets, stop and arg, which are the daemon's;
                       without listen: sockets of systemd, else 127.0.0.1:8000 */
    bool no_socket; /* not on the usual Unix socket too */
    int64_t stop_ms;
    int64_t idle_ms;          /* ends when nobody has been connected for so long; 0: never */
    const char *trace_file;   /* gets a trace of core's decisions (core/trace.h); or NULL */
    const char *address_file; /* gets the addresses, a line each, when it is ready; or NULL */
};

/* Until it is told to stop; 0, or an error that kept it from starting. Once in a process, from the
 * main thread, before any other thread is there. */
int bth_daemon_run(const struct bth_daemon_options *options, struct berth_error *err);

/* Whether a configuration is well formed (NULL: the one that applies), and how many models it
 * names. As bth_config_load. */
int bth_daemon_check_config(const char *file, size_t *out_models, struct berth_error *err);

#endif

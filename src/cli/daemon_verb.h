/*
 * cli/daemon_verb.h - verbs that ask a running daemon: ps, stats, load, unload, plan, stop.
 *
 * They differ in their table and their question. The first option of each table is
 * BTH_SERVER_ARG.
 */
#ifndef BTH_DAEMON_VERB_H
#define BTH_DAEMON_VERB_H

#include "cli/args.h"
#include "client/client.h"

#define BTH_SERVER_ARG                                                                             \
    {                                                                                              \
        "server", 's', "ADDRESS",                                                                  \
            "the daemon at unix:PATH or http://HOST:PORT (default\nBERTH_SERVER, else the usual "  \
            "socket)"                                                                              \
    }

struct bth_daemon_verb {
    const char *name;
    const char *usage;
    const struct bth_arg *table; /* [n_args] */
    size_t n_args;
    const char *first;   /* a word that stands before the operand, or NULL */
    const char *operand; /* what the one operand is called; NULL: there is none */
    int (*run)(struct bth_client *c, const struct bth_args *args, struct berth_error *err);
};

/* Parses, helps, connects, runs; an exit status. */
int bth_daemon_verb(const struct bth_daemon_verb *v, int argc, char **argv);

/* Of --timeout: whole seconds, at most a day, as milliseconds. EINVAL. */
int bth_daemon_seconds(const char *text, int64_t fallback_ms, int64_t *out_ms,
                       struct berth_error *err);

#endif

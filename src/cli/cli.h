/*
 * cli/cli.h - the berth command: a table of verbs, one file per verb.
 *
 * Layer cli: a user of the public API like any other (berth.h), plus base helpers; `serve` starts
 * the server layer's daemon, verbs about a daemon (daemon_verb.h) ask it by the client layer.
 * Called by the name berthd it is that verb. A new verb is a cmd_<verb>.c and a line in main.c.
 * Single-threaded; the only layer that prints and exits.
 *
 * Exit status: 0 all is done, 1 something failed (said on standard error), 2 wrong usage; `lease`
 * has its command's.
 */
#ifndef BTH_CLI_H
#define BTH_CLI_H

#include <berth/berth.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct bth_verb {
    const char *name;
    const char *summary;               /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

int bth_cmd_transcribe(int argc, char **argv);
int bth_cmd_translate(int argc, char **argv);
int bth_cmd_nlp(int argc, char **argv);
int bth_cmd_serve(int argc, char **argv);
int bth_cmd_models(int argc, char **argv);
int bth_cmd_devices(int argc, char **argv);
int bth_cmd_decode(int argc, char **argv);
int bth_cmd_ps(int argc, char **argv);
int bth_cmd_stats(int argc, char **argv);
int bth_cmd_load(int argc, char **argv);
int bth_cmd_unload(int argc, char **argv);
int bth_cmd_disable(int argc, char **argv);
int bth_cmd_enable(int argc, char **argv);
int bth_cmd_plan(int argc, char **argv);
int bth_cmd_lease(int argc, char **argv);
int bth_cmd_config(int argc, char **argv);
int bth_cmd_stop(int argc, char **argv);
int bth_cmd_version(int argc, char **argv);

/* "berth: <verb or file>: message" on standard error; returns CLI_FAILED. */
int bth_cli_fail(const char *what, const struct berth_error *err);

/* What a model's state is called. */
const char *bth_cli_state(enum berth_model_state state);
/* berth_config.server for --server and --local: NULL, an address or "none". `model` given as a path
 * is "none" unless there is a server; it may be NULL. */
const char *bth_cli_server(const char *server, const char *local, const char *model);

#endif

/*
 * cli/args.h - options of a verb from a table; the same table prints its help.
 *
 * --name VALUE, --name=VALUE, -n VALUE; dashes and underscores in names are alike; "--" ends
 * options.
 */
#ifndef BTH_ARGS_H
#define BTH_ARGS_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct bth_arg {
    const char *name;    /* canonical, with underscores */
    char letter;         /* 0: none */
    const char *metavar; /* NULL: a flag, its value is "true" */
    const char *help;
};

#define BTH_MAX_ARGS 64

struct bth_args {
    const char *values[BTH_MAX_ARGS]; /* by table index, the last one given; NULL: not given */
    struct bth_given {
        size_t which;
        const char *value;
    } * given; /* [n_given], all of them in their order */
    size_t n_given;
    const char **rest; /* [n_rest], operands; bth_free */
    int n_rest;
    bool help; /* --help was given */
};

/* 0, or CLI_USAGE after saying on standard error what is wrong. */
int bth_args_parse(const struct bth_arg *table, size_t n, int argc, char **argv,
                   struct bth_args *out);
void bth_args_finish(struct bth_args *args);
/* All values of an option that may be repeated, at most n into out. Returns how many there are. */
size_t bth_args_all(const struct bth_args *args, size_t which, const char **out, size_t n);
const char *bth_args_value(const struct bth_arg *table, size_t n, const struct bth_args *args,
                           const char *name);
/* A whole number of a range, or from 1 to `limit`; *out is untouched if the option is not given.
 * EINVAL. */
int bth_args_number(const struct bth_arg *table, const struct bth_args *args, size_t which,
                    const int range[2], int *out, struct berth_error *err);
int bth_args_count(const struct bth_arg *table, const struct bth_args *args, size_t which,
                   int limit, int *out, struct berth_error *err);
/* Prints the table's help to standard output. */
void bth_args_help(const struct bth_arg *table, size_t n);

#endif

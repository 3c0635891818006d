#include "cli/args.h"

#include "base/alloc.h"
#include "base/error.h"
#include "cli/cli.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether `given` (of n bytes) is `name`, dashes and underscores being alike. */
static bool same_name(const char *name, const char *given, size_t n) {
    if (strlen(name) != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        char c = given[i] == '-' ? '_' : given[i];
        if (c != name[i]) {
            return false;
        }
    }
    return true;
}

static const struct bth_arg *find_long(const struct bth_arg *table, size_t n, const char *given,
                                       size_t length) {
    for (size_t i = 0; i < n; i++) {
        if (same_name(table[i].name, given, length)) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct bth_arg *find_letter(const struct bth_arg *table, size_t n, char letter) {
    for (size_t i = 0; i < n; i++) {
        if (table[i].letter && table[i].letter == letter) {
            return &table[i];
        }
    }
    return NULL;
}

static int usage(const char *verb, const char *fmt, const char *what) {
    fprintf(stderr, "berth %s: ", verb);
    fprintf(stderr, fmt, what);
    fprintf(stderr, "\nTry 'berth %s --help'.\n", verb);
    return CLI_USAGE;
}

/* One option at argv[*i]; moves *i to its value if that is the next word. */
static int parse_option(const struct bth_arg *table, size_t n, int argc, char **argv, int *i,
                        struct bth_args *out) {
    const char *word = argv[*i];
    const struct bth_arg *a;
    const char *value = NULL;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
        a = find_long(table, n, word + 2, length);
        value = equals ? equals + 1 : NULL;
    } else {
        a = find_letter(table, n, word[1]);
        value = word[1] && word[2] ? word + 2 : NULL;
    }
    if (!a) {
        return usage(argv[0], "unknown option '%s'", word);
    }
    if (!a->metavar) {
        if (value) {
            return usage(argv[0], "option '%s' takes no value", word);
        }
        value = "true";
    } else if (!value) {
        if (*i + 1 >= argc) {
            return usage(argv[0], "option '%s' needs a value", word);
        }
        value = argv[++*i];
    }
    out->values[a - table] = value;
    out->given[out->n_given++] = (struct bth_given){(size_t)(a - table), value};
    return 0;
}

int bth_args_parse(const struct bth_arg *table, size_t n, int argc, char **argv,
                   struct bth_args *out) {
    assert(n <= BTH_MAX_ARGS);
    *out = (struct bth_args){.rest = bth_calloc((size_t)argc, sizeof(*out->rest)),
                             .given = bth_calloc((size_t)argc, sizeof(*out->given))};
    if (!out->rest || !out->given) {
        bth_args_finish(out);
        fputs("berth: out of memory\n", stderr);
        return CLI_FAILED;
    }
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            out->help = true;
        } else if (options && word[0] == '-' && word[1]) {
            int rc = parse_option(table, n, argc, argv, &i, out);
            if (rc != 0) {
                bth_args_finish(out);
                return rc;
            }
        } else {
            out->rest[out->n_rest++] = word;
        }
    }
    return 0;
}

void bth_args_finish(struct bth_args *args) {
    bth_free(args->rest);
    bth_free(args->given);
    args->rest = NULL;
    args->given = NULL;
}

size_t bth_args_all(const struct bth_args *args, size_t which, const char **out, size_t n) {
    size_t found = 0;
    for (size_t i = 0; i < args->n_given; i++) {
        if (args->given[i].which == which) {
            if (found < n) {
                out[found] = args->given[i].value;
            }
            found++;
        }
    }
    return found;
}

const char *bth_args_value(const struct bth_arg *table, size_t n, const struct bth_args *args,
                           const char *name) {
    const struct bth_arg *a = find_long(table, n, name, strlen(name));
    assert(a && "asked for an option that its table does not have");
    return args->values[a - table];
}

int bth_args_number(const struct bth_arg *table, const struct bth_args *args, size_t which,
                    const int range[2], int *out, struct berth_error *err) {
    const char *text = args->values[which];
    if (!text) {
        return 0;
    }
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < range[0] || v > range[1]) {
        return bth_error(err, BERTH_EINVAL, "--%s wants a number from %d to %d, not '%s'",
                         table[which].name, range[0], range[1], text);
    }
    *out = (int)v;
    return 0;
}

int bth_args_count(const struct bth_arg *table, const struct bth_args *args, size_t which,
                   int limit, int *out, struct berth_error *err) {
    return bth_args_number(table, args, which, (const int[2]){1, limit}, out, err);
}

void bth_args_help(const struct bth_arg *table, size_t n) {
    enum { COLUMN = 34 };
    for (size_t i = 0; i < n; i++) {
        char left[96];
        snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", table[i].letter ? '-' : ' ',
                 table[i].letter ? table[i].letter : ' ', table[i].letter ? "," : " ",
                 table[i].name, table[i].metavar ? " " : "",
                 table[i].metavar ? table[i].metavar : "");
        /* a continuation line per newline in the help text */
        const char *text = table[i].help;
        if (strlen(left) >= COLUMN) {
            printf("%s\n", left);
            left[0] = '\0';
        }
        while (text) {
            const char *end = strchr(text, '\n');
            printf("%-*s%.*s\n", COLUMN, left, end ? (int)(end - text) : (int)strlen(text), text);
            left[0] = '\0';
            text = end ? end + 1 : NULL;
        }
    }
}

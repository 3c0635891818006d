#include "marian/marian_options.h"

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { BOOLEAN, NUMBER, INTEGER, TEXT, TASK, STOPPING };

struct spec {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high;
};

#define AT(field) offsetof(struct marian_options, field)

static const struct spec specs[] = {
    {"task", TASK, 0, 0, 0},
    {"beams", INTEGER, AT(beams), 1, MARIAN_MAX_BEAMS},
    {"max_length", INTEGER, AT(max_length), 2, MARIAN_MOST},
    {"max_length_factor", NUMBER, AT(max_length_factor), 0.1, 100},
    {"length_penalty", NUMBER, AT(length_penalty), -10, 10},
    {"early_stopping", STOPPING, 0, 0, 0},
    {"alternatives", INTEGER, AT(alternatives), 0, MARIAN_MAX_BEAMS - 1},
    {"token_scores", BOOLEAN, AT(token_scores), 0, 0},
    {"alignment", BOOLEAN, AT(alignment), 0, 0},
    {"html", BOOLEAN, AT(html), 0, 0},
    {"split", BOOLEAN, AT(split), 0, 0},
    {"target_lang", TEXT, AT(target_lang), 0, 0},
    {"glossary", TEXT, AT(glossary), 0, 0},
    {"glossary_keep", BOOLEAN, AT(glossary_keep), 0, 0},
    {"special_tokens", BOOLEAN, AT(special_tokens), 0, 0},
    {"repetition_guard", BOOLEAN, AT(repetition_guard), 0, 0},
    {"cache", BOOLEAN, AT(cache), 0, 0},
};

static const struct marian_options defaults = {
    .max_length_factor = NAN, .length_penalty = NAN, .early_stopping = -1, .split = true};

static bool parse_bool(const char *text, bool *out) {
    const bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    const bool no = strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0;
    *out = yes;
    return yes || no;
}

static bool parse_number(const char *text, double low, double high, double *out) {
    char *end;
    errno = 0;
    const double v = strtod(text, &end);
    *out = v;
    return end != text && !*end && errno != ERANGE && v >= low && v <= high;
}

static int bad(const struct berth_option *o, const char *wants, struct berth_error *err) {
    return bth_error(err, BERTH_EINVAL, "option %s wants %s, not '%.60s'", o->name, wants,
                     o->value);
}

static int parse_task(const struct berth_option *o, struct marian_options *out,
                      struct berth_error *err) {
    static const char *const names[] = {"translate", "tokenize", "generate", "detokenize"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(o->value, names[i]) == 0) {
            out->task = (enum marian_task)i;
            return 0;
        }
    }
    return bad(o, "translate, tokenize, generate or detokenize", err);
}

static int parse_stopping(const struct berth_option *o, struct marian_options *out,
                          struct berth_error *err) {
    bool stop = false;
    if (strcasecmp(o->value, "never") == 0) {
        out->early_stopping = MARIAN_STOP_NEVER;
    } else if (parse_bool(o->value, &stop)) {
        out->early_stopping = stop ? MARIAN_STOP_TRUE : MARIAN_STOP_FALSE;
    } else {
        return bad(o, "true, false or never", err);
    }
    return 0;
}

static int parse_plain(const struct spec *s, const struct berth_option *o,
                       struct marian_options *out, struct berth_error *err) {
    void *field = (char *)out + s->offset;
    double v;
    switch (s->kind) {
    case BOOLEAN:
        return parse_bool(o->value, field) ? 0 : bad(o, "true or false", err);
    case NUMBER:
    case INTEGER:
        if (!parse_number(o->value, s->low, s->high, &v) || (s->kind == INTEGER && v != floor(v))) {
            return bth_error(err, BERTH_EINVAL,
                             "option %s wants a %snumber from %g to %g, not '%.60s'", o->name,
                             s->kind == INTEGER ? "whole " : "", s->low, s->high, o->value);
        }
        if (s->kind == INTEGER) {
            *(int *)field = (int)v;
        } else {
            *(double *)field = v;
        }
        return 0;
    case TEXT:
        *(const char **)field = *o->value ? o->value : NULL;
        return 0;
    case TASK:
        return parse_task(o, out, err);
    case STOPPING:
        break;
    }
    return parse_stopping(o, out, err);
}

static int parse_one(const struct berth_option *o, struct marian_options *out,
                     struct berth_error *err) {
    if (!o->name || !o->value) {
        return bth_error(err, BERTH_EINVAL, "an option without a name or a value");
    }
    for (size_t i = 0; i < BTH_COUNT(specs); i++) {
        if (strcmp(specs[i].name, o->name) == 0) {
            return parse_plain(&specs[i], o, out, err);
        }
    }
    return bth_error(err, BERTH_EINVAL,
                     "marian has no option '%.60s' (src/engine/marian/MODEL.md lists them)",
                     o->name);
}

int marian_options_parse(const struct berth_request *request, struct marian_options *out,
                         struct berth_error *err) {
    struct marian_options o = defaults;
    for (size_t i = 0; i < request->n_options; i++) {
        int rc = parse_one(&request->options[i], &o, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (o.beams && o.alternatives >= o.beams) {
        return bth_error(err, BERTH_EINVAL,
                         "%d alternatives need %d beams: leave beams out or give more",
                         o.alternatives, o.alternatives + 1);
    }
    if (o.html && (o.task != MARIAN_TRANSLATE || !o.split)) {
        return bth_error(err, BERTH_EINVAL, "html is translated sentence by sentence: leave %s out",
                         o.split ? "task" : "split");
    }
    if (o.glossary && o.task != MARIAN_TRANSLATE) {
        return bth_error(err, BERTH_EINVAL,
                         "a glossary is for texts that are translated: leave "
                         "task out");
    }
    *out = o;
    return 0;
}

/* ---- models ---------------------------------------------------------------------------------- */

static bool is_language(const char *text) {
    const size_t n = strlen(text);
    return n >= 2 && n < 32 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_+"
                        "0123456789") == n;
}

static int load_language(const struct berth_option *o, const char **out, struct berth_error *err) {
    *out = o->value;
    return is_language(o->value) ? 0 : bad(o, "a language such as en or pt", err);
}

static int load_one(const struct berth_option *o, struct marian_load_options *out,
                    struct berth_error *err) {
    double v;
    if (!o->name || !o->value) {
        return bth_error(err, BERTH_EINVAL, "an option without a name or a value");
    }
    if (strcmp(o->name, "source") == 0) {
        return load_language(o, &out->source, err);
    }
    if (strcmp(o->name, "target") == 0) {
        return load_language(o, &out->target, err);
    }
    if (strcmp(o->name, "precision") == 0) {
        out->eights = strcmp(o->value, "fast") == 0;
        return out->eights || strcmp(o->value, "exact") == 0 ? 0 : bad(o, "exact or fast", err);
    }
    if (strcmp(o->name, "shortlist") == 0) {
        return parse_bool(o->value, &out->shortlist) ? 0 : bad(o, "true or false", err);
    }
    if (strcmp(o->name, "cache_mib") == 0) {
        if (!parse_number(o->value, 0, 4096, &v)) {
            return bad(o, "a number of MiB, at most 4096", err);
        }
        out->cache_bytes = (size_t)(v * 1048576);
        return 0;
    }
    return bth_error(err, BERTH_EINVAL,
                     "marian models have no option '%.60s' (source, target, precision, shortlist "
                     "and cache_mib are known)",
                     o->name);
}

int marian_load_options_parse(const struct berth_load *load, struct marian_load_options *out,
                              struct berth_error *err) {
    struct marian_load_options o = {.eights = -1, .shortlist = true, .cache_bytes = 16 << 20};
    for (size_t i = 0; i < load->n_options; i++) {
        int rc = load_one(&load->options[i], &o, err);
        if (rc < 0) {
            return rc;
        }
    }
    *out = o;
    return 0;
}

/* A code as names have it: two or three letters, maybe more behind a "_". */
static bool is_code(const char *s, size_t n) {
    const char *end = memchr(s, '_', n);
    const size_t letters = end ? (size_t)(end - s) : n;
    for (size_t i = 0; i < n; i++) {
        if (!isalpha((unsigned char)s[i]) && s[i] != '_') {
            return false;
        }
    }
    return letters >= 2 && letters <= 3 && n < 32;
}

static void set_language(char out[32], const char *s, size_t n) {
    snprintf(out, 32, "%.*s", (int)n, s);
}

void marian_languages_of(const char *path, char source[32], char target[32]) {
    const char *end = path + strlen(path), *name;
    source[0] = target[0] = '\0';
    while (end > path && end[-1] == '/') {
        end--;
    }
    for (name = end; name > path && name[-1] != '/'; name--) {
    }
    const size_t pair = strspn(name, "abcdefghijklmnopqrstuvwxyz");
    if (pair == 4 && (name + 4 == end || (name[4] == '-' && isdigit((unsigned char)name[5])))) {
        set_language(source, name, 2);
        set_language(target, name + 2, 2);
        return;
    }
    const char *last = end, *before;
    while (last > name && last[-1] != '-') {
        last--;
    }
    if (last == name) {
        return;
    }
    for (before = last - 1; before > name && before[-1] != '-'; before--) {
    }
    if (is_code(last, (size_t)(end - last)) && is_code(before, (size_t)(last - 1 - before))) {
        set_language(source, before, (size_t)(last - 1 - before));
        set_language(target, last, (size_t)(end - last));
    }
}

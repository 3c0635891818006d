#include "whisper/whisper_options.h"

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "whisper/whisper_vocab.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind {
    BOOLEAN,
    NUMBER,   /* double */
    OPTIONAL, /* double, or None: NaN */
    INTEGER,  /* int */
    TEXT,     /* const char *, valid UTF-8 */
    ONLY,     /* must have the one value `only`: what else it could be is not built */
    SPECIAL   /* parsed by name below */
};

struct spec {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high;
    const char *only;
};

#define AT(field) offsetof(struct whisper_options, field)

static const struct spec specs[] = {
    {"language", SPECIAL, 0, 0, 0, NULL},
    {"task", SPECIAL, 0, 0, 0, NULL},
    {"temperature", SPECIAL, 0, 0, 0, NULL},
    {"temperature_increment_on_fallback", SPECIAL, 0, 0, 0, NULL},
    {"clip_timestamps", SPECIAL, 0, 0, 0, NULL},
    {"seed", SPECIAL, 0, 0, 0, NULL},
    {"suppress_tokens", SPECIAL, 0, 0, 0, NULL},
    {"best_of", INTEGER, AT(best_of), 1, WHISPER_MAX_BEST_OF, NULL},
    {"compression_ratio_threshold", OPTIONAL, AT(compression_ratio_threshold), 0, 1e6, NULL},
    {"logprob_threshold", OPTIONAL, AT(logprob_threshold), -1e6, 1e6, NULL},
    {"no_speech_threshold", OPTIONAL, AT(no_speech_threshold), 0, 1e6, NULL},
    {"condition_on_previous_text", BOOLEAN, AT(condition_on_previous_text), 0, 0, NULL},
    {"initial_prompt", TEXT, AT(initial_prompt), 0, 0, NULL},
    {"carry_initial_prompt", BOOLEAN, AT(carry_initial_prompt), 0, 0, NULL},
    {"prefix", TEXT, AT(prefix), 0, 0, NULL},
    {"suppress_blank", BOOLEAN, AT(suppress_blank), 0, 0, NULL},
    {"without_timestamps", BOOLEAN, AT(without_timestamps), 0, 0, NULL},
    {"max_initial_timestamp", OPTIONAL, AT(max_initial_timestamp), 0, 30, NULL},
    {"sample_len", INTEGER, AT(sample_len), 1, 224, NULL},
    {"length_penalty", OPTIONAL, AT(length_penalty), 0, 1, NULL},
    {"trace", BOOLEAN, AT(trace), 0, 0, NULL},
    {"max_seconds", NUMBER, AT(max_seconds), 0.001, 360000, NULL},
    {"beam_size", ONLY, 0, 0, 0, "None"},
    {"patience", ONLY, 0, 0, 0, "None"},
    {"word_timestamps", ONLY, 0, 0, 0, "False"},
    {"hallucination_silence_threshold", ONLY, 0, 0, 0, "None"},
};

static const struct whisper_options defaults = {
    .language = -1,
    .temperatures = {0, 0.2, 0.4, 0.6, 0.8, 1.0},
    .n_temperatures = 6,
    .best_of = 1,
    .compression_ratio_threshold = 2.4,
    .logprob_threshold = -1,
    .no_speech_threshold = 0.6,
    .condition_on_previous_text = true,
    .suppress_tokens = "-1",
    .suppress_blank = true,
    .max_initial_timestamp = 1,
    .sample_len = 224,
    .length_penalty = NAN,
    .max_seconds = 24 * 3600,
};

static bool is_none(const char *text) {
    return strcasecmp(text, "none") == 0;
}

static bool parse_bool(const char *text, bool *out) {
    bool yes = strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
    bool no = strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0;
    *out = yes;
    return yes || no;
}

/* One number in [low, high] that ends at `stop` or the text's end; *text moves behind it. */
static bool parse_number(const char **text, char stop, double low, double high, double *out) {
    char *end;
    errno = 0;
    double v = strtod(*text, &end);
    if (end == *text || errno == ERANGE || !(v >= low && v <= high) || (*end && *end != stop)) {
        return false;
    }
    *text = *end ? end + 1 : end;
    *out = v;
    return true;
}

static int bad(const struct berth_option *o, const char *wants, struct berth_error *err) {
    return bth_error(err, BERTH_EINVAL, "option %s wants %s, not '%.60s'", o->name, wants,
                     o->value);
}

static int parse_language(const struct berth_option *o, struct whisper_options *out,
                          struct berth_error *err) {
    if (!*o->value || is_none(o->value) || strcasecmp(o->value, "auto") == 0) {
        out->language = -1;
        return 0;
    }
    int index = whisper_language_index(o->value);
    if (index < 0) {
        return bth_error(
            err, BERTH_EINVAL,
            "unknown language '%.40s': give a code (en, de, pt, ...) or an English name, "
            "or leave it out to have it detected",
            o->value);
    }
    out->language = index;
    return 0;
}

static int parse_list(const struct berth_option *o, double low, double high, int limit, double *out,
                      int *out_n, struct berth_error *err) {
    const char *text = o->value;
    int n = 0;
    while (*text) {
        if (n == limit || !parse_number(&text, ',', low, high, &out[n])) {
            return bad(o, "numbers with commas between them", err);
        }
        n++;
    }
    *out_n = n;
    return 0;
}

/* What numpy.arange(first, 1 + 1e-6, step) gives: first + i * step. */
static int make_ladder(const struct berth_option *o, struct whisper_options *out,
                       struct berth_error *err) {
    double step, first = out->temperatures[0];
    const char *text = o->value;
    if (is_none(text)) {
        out->n_temperatures = 1;
        return 0;
    }
    if (!parse_number(&text, 0, 1e-3, 100, &step)) {
        return bad(o, "a positive number or None", err);
    }
    int n = (int)ceil((1.0 + 1e-6 - first) / step);
    if (n > WHISPER_MAX_TEMPERATURES) {
        return bad(o, "a larger step: at most 32 temperatures are tried", err);
    }
    out->n_temperatures = n < 1 ? 1 : n;
    for (int i = 0; i < out->n_temperatures; i++) {
        out->temperatures[i] = first + i * step;
    }
    return 0;
}

static int check_suppress(const struct berth_option *o, struct whisper_options *out,
                          struct berth_error *err) {
    if (is_none(o->value)) {
        out->suppress_tokens = "";
        return 0;
    }
    for (const char *p = o->value; *p;) {
        double id;
        if (!parse_number(&p, ',', -1, 51865, &id) || id != floor(id)) {
            return bad(o, "token ids with commas between them, or -1", err);
        }
    }
    out->suppress_tokens = o->value;
    return 0;
}

static int parse_seed(const struct berth_option *o, struct whisper_options *out,
                      struct berth_error *err) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(o->value, &end, 10);
    if (errno || end == o->value || *end || *o->value == '-') {
        return bad(o, "a number from 0 to 2^64 - 1", err);
    }
    out->seed = v;
    return 0;
}

static int parse_special(const struct berth_option *o, struct whisper_options *out,
                         struct berth_error *err) {
    if (strcmp(o->name, "language") == 0) {
        return parse_language(o, out, err);
    }
    if (strcmp(o->name, "task") == 0) {
        out->translate = strcmp(o->value, "translate") == 0;
        return out->translate || strcmp(o->value, "transcribe") == 0
                   ? 0
                   : bad(o, "transcribe or translate", err);
    }
    if (strcmp(o->name, "temperature") == 0) {
        int rc = parse_list(o, 0, 100, WHISPER_MAX_TEMPERATURES, out->temperatures,
                            &out->n_temperatures, err);
        return rc == 0 && out->n_temperatures == 0 ? bad(o, "a number of at least 0", err) : rc;
    }
    if (strcmp(o->name, "clip_timestamps") == 0) {
        return parse_list(o, 0, 360000, WHISPER_MAX_CLIPS - 1, out->clips, &out->n_clips, err);
    }
    if (strcmp(o->name, "seed") == 0) {
        return parse_seed(o, out, err);
    }
    if (strcmp(o->name, "suppress_tokens") == 0) {
        return check_suppress(o, out, err);
    }
    return 0; /* temperature_increment_on_fallback: after all others, it builds on temperature */
}

static int parse_plain(const struct spec *s, const struct berth_option *o,
                       struct whisper_options *out, struct berth_error *err) {
    void *field = (char *)out + s->offset;
    const char *text = o->value;
    double v;
    switch (s->kind) {
    case BOOLEAN:
        return parse_bool(text, field) ? 0 : bad(o, "True or False", err);
    case OPTIONAL:
    case NUMBER:
        if (s->kind == OPTIONAL && is_none(text)) {
            *(double *)field = NAN;
            return 0;
        }
        if (!parse_number(&text, 0, s->low, s->high, field)) {
            return bth_error(err, BERTH_EINVAL,
                             "option %s wants a number from %g to %g%s, not '%.60s'", o->name,
                             s->low, s->high, s->kind == OPTIONAL ? " or None" : "", o->value);
        }
        return 0;
    case INTEGER:
        if (s->offset == AT(best_of) && is_none(text)) {
            text = "1";
        }
        if (!parse_number(&text, 0, s->low, s->high, &v) || v != floor(v)) {
            return bth_error(err, BERTH_EINVAL,
                             "option %s wants a whole number from %g to %g, not '%.60s'", o->name,
                             s->low, s->high, o->value);
        }
        *(int *)field = (int)v;
        return 0;
    case TEXT:
        if (!bth_utf8_valid(text, strlen(text))) {
            return bth_error(err, BERTH_EINVAL, "option %s is not valid UTF-8", o->name);
        }
        *(const char **)field = *text ? text : NULL;
        return 0;
    case ONLY:
        return strcasecmp(text, s->only) == 0
                   ? 0
                   : bth_error(err, BERTH_EUNSUPPORTED,
                               "option %s is not built yet: leave it out, or say %s", o->name,
                               s->only);
    case SPECIAL:
        break;
    }
    return parse_special(o, out, err);
}

/* The known name that shares the longest beginning with an unknown one. */
static const char *nearest(const char *name) {
    const char *best = specs[0].name;
    size_t best_n = 0;
    for (size_t i = 0; i < BTH_COUNT(specs); i++) {
        size_t n = 0;
        while (name[n] && name[n] == specs[i].name[n]) {
            n++;
        }
        if (n > best_n) {
            best_n = n;
            best = specs[i].name;
        }
    }
    return best;
}

static int parse_one(const struct berth_option *o, struct whisper_options *out,
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
                     "whisper has no option '%.60s' (did you mean %s? src/engine/whisper/MODEL.md "
                     "lists them)",
                     o->name, nearest(o->name));
}

int whisper_options_parse(const struct berth_request *request, struct whisper_options *out,
                          struct berth_error *err) {
    struct whisper_options options = defaults;
    const struct berth_option *ladder = NULL;
    bool temperature = false;
    for (size_t i = 0; i < request->n_options; i++) {
        const struct berth_option *o = &request->options[i];
        int rc = parse_one(o, &options, err);
        if (rc < 0) {
            return rc;
        }
        temperature |= strcmp(o->name, "temperature") == 0;
        if (strcmp(o->name, "temperature_increment_on_fallback") == 0) {
            ladder = o;
        }
    }
    if (ladder) {
        if (options.n_temperatures > 1 && temperature) {
            return bth_error(err, BERTH_EINVAL,
                             "give a list of temperatures or temperature_increment_on_fallback, "
                             "not both");
        }
        int rc = make_ladder(ladder, &options, err);
        if (rc < 0) {
            return rc;
        }
    }
    *out = options;
    return 0;
}

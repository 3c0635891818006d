#include "api/config.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "core/limits.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

enum { MAX_FILE = 1 << 20, MAX_MODELS = 1000, MAX_THREADS = 1024, MAX_SECONDS = 31536000 };
#define MAX_BYTES (UINT64_C(1) << 60)

struct parser {
    const char *name;
    yaml_parser_t yaml;
    yaml_event_t event; /* the newest; `have` says whether it is to be deleted */
    bool have;
    struct bth_config *config;
    struct berth_error *err; /* never NULL */
};

static int fail_at(struct parser *p, const yaml_mark_t *at, const char *what, const char *text) {
    return bth_error(p->err, BERTH_EINVAL, "%s:%zu:%zu: %s%.60s", p->name, at->line + 1,
                     at->column + 1, what, text);
}

static int fail(struct parser *p, const char *what, const char *text) {
    return fail_at(p, &p->event.start_mark, what, text);
}

/* The next event. Aliases and anchors are refused here, for all. */
static int next(struct parser *p) {
    if (p->have) {
        yaml_event_delete(&p->event);
        p->have = false;
    }
    if (!yaml_parser_parse(&p->yaml, &p->event)) {
        return p->yaml.error == YAML_MEMORY_ERROR
                   ? bth_error_nomem(p->err)
                   : fail_at(p, &p->yaml.problem_mark,
                             p->yaml.problem ? p->yaml.problem : "damaged", "");
    }
    p->have = true;
    const yaml_char_t *anchor =
        p->event.type == YAML_SCALAR_EVENT           ? p->event.data.scalar.anchor
        : p->event.type == YAML_MAPPING_START_EVENT  ? p->event.data.mapping_start.anchor
        : p->event.type == YAML_SEQUENCE_START_EVENT ? p->event.data.sequence_start.anchor
                                                     : NULL;
    if (anchor || p->event.type == YAML_ALIAS_EVENT) {
        return fail(p, "anchors and aliases are not read", "");
    }
    return 0;
}

static int expect(struct parser *p, yaml_event_type_t type, const char *what) {
    int rc = next(p);
    return rc == 0 && p->event.type != type ? fail(p, what, "") : rc;
}

/* The scalar in hand as a string that lives as long as the configuration. */
static char *scalar(struct parser *p) {
    const char *text = (const char *)p->event.data.scalar.value;
    size_t n = p->event.data.scalar.length;
    if (memchr(text, 0, n)) {
        fail(p, "a NUL in a value", "");
        return NULL;
    }
    char *copy = bth_arena_strndup(&p->config->arena, text, n);
    if (!copy) {
        bth_error_nomem(p->err);
    }
    return copy;
}

/* Reads one value of a mapping by its key. */
typedef int (*value_fn)(struct parser *p, const char *key, void *arg);

/* {key: value, ...}; the mapping's start is the next event. Keys must differ. */
static int mapping(struct parser *p, value_fn value, void *arg) {
    const char *seen[MAX_MODELS];
    size_t n = 0;
    int rc = expect(p, YAML_MAPPING_START_EVENT, "a mapping (key: value) is wanted here");
    while (rc == 0 && (rc = next(p)) == 0 && p->event.type != YAML_MAPPING_END_EVENT) {
        const char *key = p->event.type == YAML_SCALAR_EVENT ? scalar(p) : NULL;
        if (!key) {
            return p->event.type == YAML_SCALAR_EVENT ? p->err->code
                                                      : fail(p, "a key must be plain text", "");
        }
        for (size_t i = 0; i < n; i++) {
            if (strcmp(seen[i], key) == 0) {
                return fail(p, "this key is there twice: ", key);
            }
        }
        if (n == MAX_MODELS) {
            return fail(p, "too many keys; at most 1000 are read", "");
        }
        seen[n++] = key;
        rc = value(p, key, arg);
    }
    return rc;
}

static int text_value(struct parser *p, char **out) {
    int rc = expect(p, YAML_SCALAR_EVENT, "plain text is wanted here");
    if (rc == 0 && !(*out = scalar(p))) {
        rc = p->err->code;
    }
    return rc;
}

static int size_value(struct parser *p, uint64_t *out) {
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},          {"B", 1},           {"KB", 1000},
                 {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1 << 10},
                 {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *text;
    int rc = text_value(p, &text);
    if (rc < 0) {
        return rc;
    }
    const size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits + strspn(text + digits, " ");
    errno = 0;
    const uint64_t v = strtoull(text, NULL, 10);
    for (size_t i = 0; digits > 0 && v > 0 && !errno && i < BTH_COUNT(units); i++) {
        if (strcasecmp(unit, units[i].unit) == 0 && v <= MAX_BYTES / units[i].bytes) {
            *out = v * units[i].bytes;
            return 0;
        }
    }
    return fail(p, "a size like 4GiB is wanted, not ", text);
}

static int count_value(struct parser *p, int *out) {
    char *text, *end;
    int rc = text_value(p, &text);
    if (rc < 0) {
        return rc;
    }
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < 1 || v > MAX_THREADS) {
        return fail(p, "a number from 1 to 1024 is wanted, not ", text);
    }
    *out = (int)v;
    return 0;
}

static int seconds_value(struct parser *p, uint32_t *out) {
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *text, *end;
    int rc = text_value(p, &text);
    if (rc < 0) {
        return rc;
    }
    errno = 0;
    const unsigned long v = strtoul(text, &end, 10);
    for (size_t i = 0; *text >= '0' && *text <= '9' && !errno && i < BTH_COUNT(units); i++) {
        if (strcmp(end, units[i].unit) == 0 && v > 0 && v <= MAX_SECONDS / units[i].seconds) {
            *out = (uint32_t)v * units[i].seconds;
            return 0;
        }
    }
    return fail(p, "a time like 30s, 5m or 2h is wanted, not ", text);
}

/* A number, or "auto", which is 0: as many as there are devices. */
static int replicas_value(struct parser *p, uint16_t *out) {
    char *text;
    int rc = text_value(p, &text);
    if (rc < 0) {
        return rc;
    }
    char *end = text;
    const unsigned long v = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    if (strcmp(text, "auto") != 0 && (*end || v < 1 || v > BTH_MAX_DEVICES)) {
        return fail(p, "a number from 1 to 16, or auto, is wanted, not ", text);
    }
    *out = (uint16_t)v;
    return 0;
}

static int bool_value(struct parser *p, bool *out) {
    char *text;
    int rc = text_value(p, &text);
    const bool yes = rc == 0 && strcmp(text, "true") == 0;
    if (rc == 0 && !yes && strcmp(text, "false") != 0) {
        return fail(p, "true or false is wanted, not ", text);
    }
    if (rc == 0) {
        *out = yes;
    }
    return rc;
}

/* A path as written, or below the configuration's folder if it is relative. */
static int path_value(struct parser *p, const char **out) {
    char *text;
    int rc = text_value(p, &text);
    if (rc < 0) {
        return rc;
    }
    if (!*text) {
        return fail(p, "a path is wanted", "");
    }
    const char *slash = strrchr(p->name, '/');
    if (*text == '/' || !slash) {
        *out = text;
        return 0;
    }
    char *joined = bth_printf("%.*s/%s", (int)(slash - p->name), p->name, text);
    char *copy = joined ? bth_arena_strndup(&p->config->arena, joined, strlen(joined)) : NULL;
    bth_free(joined);
    *out = copy;
    return copy ? 0 : bth_error_nomem(p->err);
}

/* A scalar kept as it is; whoever uses it says what is wrong with it. */
static int word_value(struct parser *p, const char **out) {
    char *text;
    const int rc = text_value(p, &text);
    if (rc == 0) {
        *out = text;
    }
    return rc;
}

static int model_key(struct parser *p, const char *key, void *arg) {
    struct berth_model_spec *m = arg;
    if (strcmp(key, "path") == 0) {
        return path_value(p, &m->path);
    }
    if (strcmp(key, "alias") == 0) {
        char *alias;
        int rc = text_value(p, &alias);
        m->alias = rc == 0 ? alias : NULL;
        return rc;
    }
    if (strcmp(key, "keep_alive") == 0) {
        return seconds_value(p, &m->keep_alive_s);
    }
    if (strcmp(key, "pin") == 0) {
        return bool_value(p, &m->pin);
    }
    if (strcmp(key, "preload") == 0) {
        return bool_value(p, &m->preload);
    }
    if (strcmp(key, "disabled") == 0) {
        return bool_value(p, &m->disabled);
    }
    if (strcmp(key, "replicas") == 0) {
        return replicas_value(p, &m->replicas);
    }
    return strcmp(key, "engine") == 0
               ? word_value(p, &m->engine)
               : fail(p,
                      "a model has path, alias, engine, keep_alive, pin, preload, replicas and "
                      "disabled, not ",
                      key);
}

static bool good_name(const char *name) {
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t family = strspn(name, allowed);
    if (family == 0 || name[family] != '/') {
        return false;
    }
    size_t rest = strspn(name + family + 1, allowed);
    return rest > 0 && !name[family + 1 + rest] && strlen(name) < 64;
}

static int models_key(struct parser *p, const char *key, void *arg) {
    struct bth_config *c = arg;
    if (!good_name(key)) {
        return fail(p, "a model's name is family/name, of letters, digits, '.', '_' and '-', not ",
                    key);
    }
    struct berth_model_spec *m = &c->models[c->n_models++];
    *m = (struct berth_model_spec){.name = key};
    yaml_mark_t at = p->event.start_mark;
    int rc = mapping(p, model_key, m);
    return rc == 0 && !m->path ? fail_at(p, &at, "this model has no path: ", key) : rc;
}

static int cpu_key(struct parser *p, const char *key, void *arg) {
    struct bth_config *c = arg;
    if (strcmp(key, "memory") == 0) {
        return size_value(p, &c->cpu_memory_bytes);
    }
    if (strcmp(key, "threads") == 0) {
        return count_value(p, &c->threads);
    }
    return fail(p, "the CPU has memory and threads, not ", key);
}

static int cuda_key(struct parser *p, const char *key, void *arg) {
    struct bth_config *c = arg;
    return strcmp(key, "memory") == 0 ? size_value(p, &c->gpu_memory_bytes)
                                      : fail(p, "a GPU has memory, not ", key);
}

static int devices_key(struct parser *p, const char *key, void *arg) {
    if (strcmp(key, "cpu") == 0) {
        return mapping(p, cpu_key, arg);
    }
    return strcmp(key, "cuda") == 0 ? mapping(p, cuda_key, arg)
                                    : fail(p, "no such device (cpu and cuda are known): ", key);
}

static int top_key(struct parser *p, const char *key, void *arg) {
    struct bth_config *c = arg;
    if (strcmp(key, "models") == 0) {
        c->models = bth_arena_alloc(&c->arena, MAX_MODELS * sizeof(*c->models));
        return c->models ? mapping(p, models_key, c) : bth_error_nomem(p->err);
    }
    if (strcmp(key, "devices") == 0) {
        return mapping(p, devices_key, c);
    }
    if (strcmp(key, "device") == 0) {
        return word_value(p, &c->device);
    }
    if (strcmp(key, "precision") == 0) {
        return word_value(p, &c->precision);
    }
    return fail(p, "unknown key (models, device, precision and devices are known): ", key);
}

static int document(struct parser *p) {
    int rc = expect(p, YAML_STREAM_START_EVENT, "damaged");
    rc = rc < 0 ? rc : next(p);
    if (rc < 0 || p->event.type == YAML_STREAM_END_EVENT) {
        return rc; /* an empty file is an empty configuration */
    }
    rc = mapping(p, top_key, p->config);
    rc = rc < 0 ? rc : expect(p, YAML_DOCUMENT_END_EVENT, "damaged");
    return rc < 0 ? rc : expect(p, YAML_STREAM_END_EVENT, "one document is wanted, not several");
}

int bth_config_parse(const char *name, const char *text, size_t n, struct bth_config *out,
                     struct berth_error *err) {
    struct bth_config config = {0};
    struct berth_error own; /* the parser looks at it */
    struct parser p = {.name = name, .config = &config, .err = err ? err : &own};
    if (!yaml_parser_initialize(&p.yaml)) {
        return bth_error_nomem(err);
    }
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, n);
    int rc = document(&p);
    if (p.have) {
        yaml_event_delete(&p.event);
    }
    yaml_parser_delete(&p.yaml);
    if (rc < 0) {
        bth_config_finish(&config);
        return rc;
    }
    *out = config;
    return 0;
}

int bth_config_load(const char *path, struct bth_config *out, struct berth_error *err) {
    char *text;
    size_t n;
    int rc = bth_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_config_parse(path, text, n, out, err);
    bth_free(text);
    return rc;
}

void bth_config_finish(struct bth_config *c) {
    bth_arena_finish(&c->arena);
    *c = (struct bth_config){0};
}

static char *existing(char *path) {
    if (path && !bth_is_file(path)) {
        bth_free(path);
        return NULL;
    }
    return path;
}

char *bth_config_find(void) {
    const char *named = getenv("BERTH_CONFIG");
    if (named && *named) {
        return bth_strdup(named); /* a wrong one is an error, not passed over */
    }
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *found = NULL;
    if (config && *config) {
        found = existing(bth_printf("%s/berth/berth.yaml", config));
    } else if (home && *home) {
        found = existing(bth_printf("%s/.config/berth/berth.yaml", home));
    }
    return found ? found : existing(bth_strdup("/etc/berth/berth.yaml"));
}

#include "core/registry.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bth_registry_init(struct bth_registry *r, const struct berth_engine_ops *const *engines,
                      size_t n_engines, struct berth_error *err) {
    for (size_t i = 0; i < n_engines; i++) {
        if (engines[i]->api_version != BERTH_ENGINE_API) {
            return bth_error(err, BERTH_EINVAL, "engine %s: made for API %u, this is %u",
                             engines[i]->family, engines[i]->api_version, BERTH_ENGINE_API);
        }
    }
    if (n_engines > BTH_MAX_FAMILIES) {
        return bth_error(err, BERTH_EINVAL, "%zu engines: at most %d are possible", n_engines,
                         BTH_MAX_FAMILIES);
    }
    *r = (struct bth_registry){.engines = engines, .n_engines = n_engines};
    for (size_t i = 0; i < n_engines; i++) {
        snprintf(r->families[r->n_families++], sizeof(r->families[0]), "%s", engines[i]->family);
    }
    return 0;
}

static void entry_destroy(struct bth_entry *e) {
    if (e) {
        bth_free(e->alias);
        bth_free(e->path);
        bth_free(e->real);
        bth_free(e);
    }
}

void bth_registry_finish(struct bth_registry *r) {
    while (r->n > 0) {
        bth_registry_pop(r);
    }
    bth_free(r->entries);
    *r = (struct bth_registry){0};
}

void bth_registry_pop(struct bth_registry *r) {
    entry_destroy(r->entries[--r->n]);
}

int bth_registry_real(const char *path, char **out, struct berth_error *err) {
    char *real = realpath(path, NULL);
    if (!real) {
        *out = NULL;
        return errno == ENOMEM ? bth_error_nomem(err) : 0;
    }
    *out = bth_strdup(real); /* to be counted with the rest */
    free(real);
    return *out ? 0 : bth_error_nomem(err);
}

int bth_registry_probe(const struct bth_registry *r, const char *path, char **out_real,
                       const struct berth_engine_ops **out_ops, struct berth_error *err) {
    char *real;
    int rc = bth_registry_real(path, &real, err);
    if (rc < 0) {
        return rc;
    }
    if (!real) {
        return bth_error(err, BERTH_ENOTFOUND, "%s: %s", path, strerror(errno));
    }
    /* One family may take for a damaged model of its own what is a good one of another: the first
     * complaint counts only if nobody knows the path. */
    struct berth_error first = {0};
    for (size_t i = 0; i < r->n_engines; i++) {
        struct berth_model_info info;
        struct berth_error why = {0};
        rc = r->engines[i]->probe(real, &info, &why);
        if (rc == 0) {
            *out_real = real;
            *out_ops = r->engines[i];
            return 0;
        }
        if (rc != BERTH_ENOTFOUND && first.code == 0) {
            first = why;
            first.code = rc;
        }
    }
    bth_free(real);
    return first.code
               ? bth_error_copy(err, &first)
               : bth_error(err, BERTH_ENOTFOUND, "%s: holds no model that Berth knows", path);
}

int64_t bth_registry_find(const struct bth_registry *r, const char *name) {
    for (size_t i = 0; i < r->n; i++) {
        const struct bth_entry *e = r->entries[i];
        if (e->removed) {
            continue;
        }
        if (strcmp(e->name, name) == 0 || (e->alias && strcmp(e->alias, name) == 0) ||
            strcmp(e->path, name) == 0) {
            return (int64_t)i;
        }
    }
    return -1;
}

int64_t bth_registry_find_real(const struct bth_registry *r, const char *real) {
    for (size_t i = 0; i < r->n; i++) {
        if (!r->entries[i]->removed && r->entries[i]->real &&
            strcmp(r->entries[i]->real, real) == 0) {
            return (int64_t)i;
        }
    }
    return -1;
}

static int make_room(struct bth_registry *r, struct berth_error *err) {
    if (r->n >= BTH_MAX_MODELS) {
        return bth_error(err, BERTH_ETOOLARGE, "at most %d models can be known", BTH_MAX_MODELS);
    }
    if (r->n < r->capacity) {
        return 0;
    }
    size_t capacity = r->capacity ? 2 * r->capacity : 8;
    struct bth_entry **entries = bth_realloc_array(r->entries, capacity, sizeof(*entries));
    if (!entries) {
        return bth_error_nomem(err);
    }
    r->entries = entries;
    r->capacity = capacity;
    return 0;
}

/* Bytes of a name before its slash; 0 when that is no family. */
static size_t family_size(const char *name) {
    const char *slash = strchr(name, '/');
    const size_t n = slash && slash[1] ? (size_t)(slash - name) : 0;
    return n < sizeof(((struct bth_registry *)0)->families[0]) ? n : 0;
}

static int64_t find_family(const struct bth_registry *r, const char *name, size_t size) {
    for (uint32_t i = 0; i < r->n_families; i++) {
        if (strlen(r->families[i]) == size && memcmp(r->families[i], name, size) == 0) {
            return i;
        }
    }
    return -1;
}

int64_t bth_registry_find_family(const struct bth_registry *r, const char *name) {
    return find_family(r, name, strlen(name));
}

/* The family of a name, a new one if it must be. */
static int add_family(struct bth_registry *r, const char *name, uint32_t *out,
                      struct berth_error *err) {
    const size_t size = family_size(name);
    int64_t known = find_family(r, name, size);
    if (known < 0 && r->n_families == BTH_MAX_FAMILIES) {
        return bth_error(err, BERTH_ETOOLARGE, "model %s: at most %d families can be known", name,
                         BTH_MAX_FAMILIES);
    }
    if (known < 0) {
        known = r->n_families++;
        memcpy(r->families[known], name, size);
    }
    *out = (uint32_t)known;
    return 0;
}

static int add(struct bth_registry *r, const struct berth_model_spec *spec, const char *real,
               const struct berth_engine_ops *ops, struct berth_error *err) {
    uint32_t family = 0;
    int rc = make_room(r, err);
    rc = rc < 0 ? rc : add_family(r, spec->name, &family, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_entry *e = bth_calloc(1, sizeof(*e));
    if (!e) {
        return bth_error_nomem(err);
    }
    memcpy(e->name, spec->name, strlen(spec->name));
    e->family = family;
    e->ops = ops;
    e->path = bth_strdup(spec->path);
    e->alias = bth_strdup(spec->alias);
    e->real = bth_strdup(real);
    if (!e->path || (spec->alias && !e->alias) || (real && !e->real)) {
        entry_destroy(e);
        return bth_error_nomem(err);
    }
    r->entries[r->n++] = e;
    return 0;
}

/* The engine that a specification asks for, else the one called as its family. */
static const struct berth_engine_ops *engine_of(const struct bth_registry *r,
                                                const struct berth_model_spec *spec) {
    const char *engine = spec->engine ? spec->engine : spec->name;
    const size_t family = family_size(spec->name);
    const size_t n = spec->engine ? strlen(engine) : family;
    for (size_t i = 0; family > 0 && i < r->n_engines; i++) {
        const char *known = r->engines[i]->family;
        if (strlen(known) == n && memcmp(known, engine, n) == 0) {
            return r->engines[i];
        }
    }
    return NULL;
}

static int bad_family(const struct bth_registry *r, const struct berth_model_spec *spec,
                      struct berth_error *err) {
    struct bth_str s = {0};
    const bool engine = spec->engine && family_size(spec->name) > 0;
    for (size_t i = 0; i < r->n_engines; i++) {
        bth_str_printf(&s, "%s%s%s", i ? ", " : "", r->engines[i]->family, engine ? "" : "/...");
    }
    int rc = s.failed ? bth_error_nomem(err)
             : engine ? bth_error(err, BERTH_EINVAL, "model %s: no engine %.40s; there is %s",
                                  spec->name, spec->engine, bth_str_text(&s))
                      : bth_error(err, BERTH_EINVAL, "model %s: a name begins with its family: %s",
                                  spec->name, bth_str_text(&s));
    bth_str_finish(&s);
    return rc;
}

int bth_registry_add(struct bth_registry *r, const struct berth_model_spec *spec, const char *real,
                     struct berth_error *err) {
    if (!spec->name || !spec->path || !*spec->path) {
        return bth_error(err, BERTH_EINVAL, "model %s: needs a name and a path",
                         spec->name ? spec->name : "(no name)");
    }
    if (strlen(spec->name) >= sizeof(((struct bth_entry *)0)->name)) {
        return bth_error(err, BERTH_EINVAL, "model %s: a name has at most 63 bytes", spec->name);
    }
    if (bth_registry_find(r, spec->name) >= 0 ||
        (spec->alias && bth_registry_find(r, spec->alias) >= 0)) {
        return bth_error(err, BERTH_EINVAL, "model %s: its name or alias is taken", spec->name);
    }
    const struct berth_engine_ops *ops = engine_of(r, spec);
    if (!ops) {
        return bad_family(r, spec, err);
    }
    return add(r, spec, real, ops, err);
}

int bth_registry_add_path(struct bth_registry *r, const char *path, const char *real,
                          const struct berth_engine_ops *ops, struct berth_error *err) {
    const char *slash = strrchr(real, '/');
    const char *base = slash && slash[1] ? slash + 1 : "model";
    for (unsigned i = 1; i <= BTH_MAX_MODELS + 1; i++) {
        char *name = i == 1 ? bth_printf("%s/%.40s", ops->family, base)
                            : bth_printf("%s/%.40s-%u", ops->family, base, i);
        if (!name) {
            return bth_error_nomem(err);
        }
        int rc = 1;
        if (bth_registry_find(r, name) < 0) {
            const struct berth_model_spec spec = {.name = name, .path = path};
            rc = add(r, &spec, real, ops, err);
        }
        bth_free(name);
        if (rc <= 0) {
            return rc;
        }
    }
    return bth_error(err, BERTH_ETOOLARGE, "%s: no name is left for it", path);
}

int bth_registry_unknown(const struct bth_registry *r, const char *name, struct berth_error *err) {
    struct bth_str s = {0};
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct bth_entry *e = r->entries[i];
        if (e->removed || n++ >= 8) {
            continue;
        }
        bth_str_printf(&s, "%s%s", n > 1 ? ", " : "", e->name);
        if (e->alias) {
            bth_str_printf(&s, " (%s)", e->alias);
        }
    }
    if (n > 8) {
        bth_str_printf(&s, " and %zu more", n - 8);
    }
    int rc = s.failed ? bth_error_nomem(err)
                      : bth_error(err, BERTH_ENOTFOUND, "%.80s: no such model or path; there is %s",
                                  name, n ? bth_str_text(&s) : "none");
    bth_str_finish(&s);
    return rc;
}

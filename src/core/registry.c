#include "core/registry.h"

#include "base/alloc.h"
#include "base/error.h"
#include <stdio.h>
#include <string.h>

struct bth_model_entry *bth_registry_find(struct bth_state *s, const char *name) {
    struct bth_model_entry *m;
    BTH_LIST_EACH(m, &s->models, struct bth_model_entry, link) {
        if (strcmp(m->name, name) == 0 || (m->alias[0] && strcmp(m->alias, name) == 0)) {
            return m;
        }
    }
    return NULL;
}

struct bth_model_entry *bth_registry_find_path(struct bth_state *s, const char *path) {
    struct bth_model_entry *m;
    BTH_LIST_EACH(m, &s->models, struct bth_model_entry, link) {
        if (strcmp(m->path, path) == 0) {
            return m;
        }
    }
    return NULL;
}

static bool good_name(const char *name) {
    const char *slash = strchr(name, '/');
    return slash && slash != name && slash[1] && strlen(name) < sizeof(((struct bth_model_entry *)0)->name);
}

int bth_registry_add(struct bth_state *s, const struct berth_engine_ops *engine,
                     const struct berth_model_spec *spec, struct bth_model_entry **out,
                     struct berth_error *err) {
    struct bth_model_entry *m;
    const char *alias = spec->alias ? spec->alias : "";
    if (!good_name(spec->name)) {
        return bth_error(err, BERTH_EINVAL,
                         "'%.80s' is no model name: write family/name, at most 63 bytes",
                         spec->name);
    }
    if (!spec->path || strlen(spec->path) >= sizeof(m->path) || strlen(alias) >= sizeof(m->alias)) {
        return bth_error(err, BERTH_EINVAL, "%s: the path or alias is missing or too long",
                         spec->name);
    }
    if (bth_registry_find(s, spec->name) || (*alias && bth_registry_find(s, alias))) {
        return bth_error(err, BERTH_EINVAL, "%s: the name or its alias is taken already",
                         spec->name);
    }
    m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    m->engine = engine;
    snprintf(m->name, sizeof(m->name), "%s", spec->name);
    snprintf(m->alias, sizeof(m->alias), "%s", alias);
    snprintf(m->path, sizeof(m->path), "%s", spec->path);
    bth_list_append(&s->models, &m->link);
    *out = m;
    return 0;
}

void bth_registry_name_for(struct bth_state *s, const char *family, const char *path, char *out) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    const size_t size = sizeof(((struct bth_model_entry *)0)->name);
    snprintf(out, size, "%s/%.*s", family, (int)(end - start < 32 ? end - start : 32),
             path + start);
    for (int i = 2; bth_registry_find(s, out); i++) {
        snprintf(out, size, "%s/%.*s-%d", family, (int)(end - start < 32 ? end - start : 32),
                 path + start, i);
    }
}

int bth_registry_unknown(struct bth_state *s, const char *name, struct berth_error *err) {
    char names[160] = "";
    size_t n = 0;
    struct bth_model_entry *m;
    BTH_LIST_EACH(m, &s->models, struct bth_model_entry, link) {
        if (n + strlen(m->name) + 6 < sizeof(names)) {
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", m->name);
        }
    }
    if (n == 0) {
        return bth_error(err, BERTH_ENOTFOUND,
                         "no model '%.60s': none is configured; give a path, or name it in "
                         "berth.yaml",
                         name);
    }
    return bth_error(err, BERTH_ENOTFOUND, "no model '%.40s'; there are: %s", name, names);
}

/*
 * core/registry.h - the models that could be loaded, by name, alias or path.
 *
 * Entries stay and never change but for their marks, so a pointer to one may be used without the
 * lock. One that is `removed` is found no more.
 * Lookups and additions need the core lock of whoever owns the registry; probing a path reads files
 * and must not hold it.
 */
#ifndef BTH_REGISTRY_H
#define BTH_REGISTRY_H

#include "core/history.h"
#include "core/limits.h"
#include <berth/berth.h>
#include <berth/engine.h>

struct bth_entry {
    char name[64];   /* "family/name" */
    uint32_t family; /* index of what stands before the slash */
    char *alias;     /* or NULL */
    char *path;
    char *real; /* absolute and without links; NULL when that file does not exist */
    const struct berth_engine_ops *ops;
    struct bth_history holds; /* of its leases; core's lock */
    /* marks, under the lock */
    bool removed;    /* by a configuration that names it no more */
    bool configured; /* by the configuration, not in code and not as a path */
    bool disabled;   /* so the configuration says */
};

struct bth_registry {
    struct bth_entry **entries; /* [n] */
    size_t n, capacity;
    const struct berth_engine_ops *const *engines; /* [n_engines] */
    size_t n_engines;
    char families[BTH_MAX_FAMILIES][16]; /* [n_families]: the engines' first */
    uint32_t n_families;
};

int bth_registry_init(struct bth_registry *r, const struct berth_engine_ops *const *engines,
                      size_t n_engines, struct berth_error *err);
void bth_registry_finish(struct bth_registry *r);

/* What is found in a path: its absolute form (freed by the caller) and the engine for it.
 * Reads files. ENOTFOUND, EFORMAT, ENOMEM. */
int bth_registry_probe(const struct bth_registry *r, const char *path, char **out_real,
                       const struct berth_engine_ops **out_ops, struct berth_error *err);

/* Index of a name, an alias or a path as registered; -1. */
int64_t bth_registry_find(const struct bth_registry *r, const char *name);
int64_t bth_registry_find_family(const struct bth_registry *r, const char *name);
int64_t bth_registry_find_real(const struct bth_registry *r, const char *real);

/* A path in its absolute form, heap; *out NULL: there is no such file. Looks at files. ENOMEM. */
int bth_registry_real(const char *path, char **out, struct berth_error *err);
/* `real` is that of its path. EINVAL (bad or double name, unknown family), ETOOLARGE, ENOMEM. Entry
 * n-1 is the new one. */
int bth_registry_add(struct bth_registry *r, const struct berth_model_spec *spec, const char *real,
                     struct berth_error *err);
/* A probed path as family/last-component, made unique. */
int bth_registry_add_path(struct bth_registry *r, const char *path, const char *real,
                          const struct berth_engine_ops *ops, struct berth_error *err);
/* Undoes the last addition. */
void bth_registry_pop(struct bth_registry *r);

/* ENOTFOUND with what there is. */
int bth_registry_unknown(const struct bth_registry *r, const char *name, struct berth_error *err);

#endif

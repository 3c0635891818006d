/*
 * core/registry.h - names, aliases and paths of models.
 *
 * Entries are only ever added while a manager lives. Guarded by the manager's lock; probing a path is
 * done outside it.
 */
#ifndef BTH_REGISTRY_H
#define BTH_REGISTRY_H

#include "core/manager.h"

/* By name or alias, NULL if there is none. */
struct bth_model_entry *bth_registry_find(struct bth_state *s, const char *name);
struct bth_model_entry *bth_registry_find_path(struct bth_state *s, const char *path);

/* A new entry, linked in. EINVAL (bad or taken name, unknown family), ENOMEM. */
int bth_registry_add(struct bth_state *s, const struct berth_engine_ops *engine,
                     const struct berth_model_spec *spec, struct bth_model_entry **out,
                     struct berth_error *err);

/* "family/<last component of the path>", made unique; into out[64]. */
void bth_registry_name_for(struct bth_state *s, const char *family, const char *path, char *out);

/* ENOTFOUND, with the names there are. */
int bth_registry_unknown(struct bth_state *s, const char *name, struct berth_error *err);

#endif

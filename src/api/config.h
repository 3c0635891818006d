/*
 * api/config.h - the YAML configuration.
 *
 *     models:
 *       whisper/base: {path: /srv/models/whisper-base, alias: whisper-1, pin: true, preload: true}
 *       whisper/large: {path: large-v3, keep_alive: 5m}
 *     device: auto
 *     precision: exact
 *     devices:
 *       cpu: {memory: 4GiB, threads: 2}
 *       cuda: {memory: 20GiB}
 *
 * Every scalar is text, turned into what its key wants. Unknown and repeated keys, anchors and
 * aliases, wrong kinds are errors that say file:line:column. Relative paths are relative to the
 * file. Sizes take KB, MB, GB, KiB, MiB, GiB or nothing. Files are limited to 1 MiB and 1,000
 * models.
 */
#ifndef BTH_CONFIG_H
#define BTH_CONFIG_H

#include "base/arena.h"
#include <berth/berth.h>

struct bth_config {
    struct bth_arena arena;          /* holds all strings and arrays */
    struct berth_model_spec *models; /* [n_models] */
    size_t n_models;
    uint64_t cpu_memory_bytes; /* 0: not said */
    uint64_t gpu_memory_bytes; /* 0: not said */
    int threads;               /* 0: not said */
    const char *device;        /* NULL: not said */
    const char *precision;     /* NULL: not said */
};

/* EINVAL (with file:line:column), ENOTFOUND, EIO, ETOOLARGE, ENOMEM. Any thread. */
int bth_config_load(const char *path, struct bth_config *out, struct berth_error *err);
/* The same from memory; `name` is for messages, relative paths are relative to its folder. */
int bth_config_parse(const char *name, const char *text, size_t n, struct bth_config *out,
                     struct berth_error *err);
void bth_config_finish(struct bth_config *c);

/* The file that applies when none is named: BERTH_CONFIG, else berth/berth.yaml in XDG_CONFIG_HOME
 * or
 * ~/.config, else /etc/berth/berth.yaml. Heap; NULL: there is none. */
char *bth_config_find(void);

#endif

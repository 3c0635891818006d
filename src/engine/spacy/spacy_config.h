/*
 * spacy_config.h - config.cfg as a JSON tree.
 *
 * The dialect of confection: [a.b] sections nest, each value is JSON or else the text itself,
 * ${section.key} stands for another value. Sections that matter to training only are read and kept
 * too. Pure; the trees are the caller's.
 */
#ifndef SPACY_CONFIG_H
#define SPACY_CONFIG_H

#include <berth/error.h>
#include <jansson.h>
#include <stdbool.h>

/* EFORMAT with the line, ENOMEM. */
int spacy_config_parse(const char *text, size_t size, json_t **out, struct berth_error *err);

/* The value at a path of dots ("components.tagger.model"); NULL: not there. */
json_t *spacy_config_at(const json_t *config, const char *path);
/* With a default for what is absent or of another type. */
const char *spacy_config_text(const json_t *config, const char *path, const char *otherwise);
int64_t spacy_config_int(const json_t *config, const char *path, int64_t otherwise);

#endif

/*
 * spacy_package.h - the files of a pipeline, wherever they lie.
 *
 * A path is one of: a pipeline folder (what nlp.to_disk writes: config.cfg, vocab/, tagger/ ...);
 * an installed package's folder, which holds meta.json and the pipeline's folder
 * <lang>_<name>-<version>; a wheel (.whl), a zip file with such a package.
 *
 * Files are named by their path below the pipeline folder ("tagger/model"). One thread at a time.
 */
#ifndef SPACY_PACKAGE_H
#define SPACY_PACKAGE_H

#include "base/fs.h"
#include <jansson.h>

struct spacy_package;

/* The bytes of one file: mapped, or unpacked to the heap. Valid until closed, without the package.
 */
struct spacy_file {
    const unsigned char *data; /* a NUL follows what was unpacked, not what is mapped */
    size_t size;
    struct bth_map map;
    void *heap;
};

/* ENOTFOUND, EFORMAT (no pipeline there, a damaged zip), EIO, ENOMEM. */
int spacy_package_open(const char *path, struct spacy_package **out, struct berth_error *err);
void spacy_package_close(struct spacy_package *p); /* NULL is allowed */

/* Whether path looks like a pipeline that spacy_package_open would take; opens little. */
bool spacy_package_is(const char *path);

/* ENOTFOUND: no such file; EFORMAT; ETOOLARGE: an unpacked file beyond what its zip may hold; EIO,
 * ENOMEM. The path of the file is in the error's text. */
int spacy_package_read(struct spacy_package *p, const char *name, struct spacy_file *out,
                       struct berth_error *err);
void spacy_file_close(struct spacy_file *f); /* zeroed ones are allowed */
bool spacy_package_has(const struct spacy_package *p, const char *name);

/* A file as a JSON tree (the caller's reference). As spacy_package_read. */
int spacy_package_read_json(struct spacy_package *p, const char *name, json_t **out,
                            struct berth_error *err);

/* config.cfg as a JSON tree (the caller's reference). As spacy_package_read. */
int spacy_package_config(struct spacy_package *p, json_t **out, struct berth_error *err);

/* meta.json; NULL if there is none. The package's. */
const json_t *spacy_package_meta(const struct spacy_package *p);

#endif

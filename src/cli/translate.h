/* cli/translate.h - texts through one model or two, several at once: the work of berth translate.
 */
#ifndef BTH_CLI_TRANSLATE_H
#define BTH_CLI_TRANSLATE_H

#include "base/str.h"
#include "cli/progress.h"
#include "render/pairs.h"
#include <berth/berth.h>

struct bth_translate_text {
    const char *name; /* of a file; NULL: standard input or an operand */
    bool operand;
    char *data; /* [size], then the result of the first of two models */
    size_t size;
    struct berth_job *job;
    struct berth_item *item; /* the result */
    bool failed;             /* and said so */
};

struct bth_translate_run {
    struct berth *berth;
    struct bth_translate_text *texts; /* [n] */
    size_t n, n_done, n_failed;
    const struct berth_option *options;
    size_t n_options;
    struct bth_pairs pairs;
    const char *models[2];
    size_t n_models;
    char source[BTH_LANGUAGE_BYTES], target[BTH_LANGUAGE_BYTES];
    const char *pivot; /* NULL: one model */
    bool html, json;
    char *glossary; /* JSON, malloc's; NULL: none */
    const char *output_dir;
    struct bth_progress progress;
    /* Called for each text in its order, when its last model is through. */
    int (*write)(struct bth_translate_run *r, struct bth_translate_text *t,
                 struct berth_error *err);
};

/* Runs all texts through all models and writes them. Texts that fail are said on standard error and
 * counted; an error is one of all. */
int bth_translate_all(struct bth_translate_run *r, struct berth_error *err);
/* A file of lines "term TAB translation" as the engine's option; empty lines and those that begin
 * with # are left out. *out is malloc's. EINVAL: another line, with its number; as bth_read_file.
 */
int bth_cli_glossary(const char *path, char **out, struct berth_error *err);
void bth_translate_run_finish(struct bth_translate_run *r);

#endif

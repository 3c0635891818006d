/* What a path holds and what loading it would take, without loading it. */
#include "spacy/spacy_model.h"

#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_config.h"
#include <stdio.h>

int spacy_probe(const char *path, struct berth_model_info *out, struct berth_error *err) {
    struct spacy_package *package = NULL;
    if (!spacy_package_is(path)) {
        return bth_error(err, BERTH_ENOTFOUND, "%s is no spaCy pipeline", path);
    }
    int rc = spacy_package_open(path, &package, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *meta = spacy_package_meta(package);
    struct berth_model_info info = {.family = "spacy", .format = "spacy"};
    snprintf(info.description, sizeof(info.description), "%.16s_%.60s %.20s",
             spacy_config_text(meta, "lang", "xx"), spacy_config_text(meta, "name", "pipeline"),
             spacy_config_text(meta, "version", ""));
    spacy_package_close(package);
    *out = info;
    return 0;
}

/* A sum that overflows is more than any reservation holds. */
static void add(size_t *sum, size_t n) {
    if (!bth_add(*sum, n, sum)) {
        *sum = SIZE_MAX;
    }
}

/* Adds what a component's model takes: weights about as much as its file, and the caches of its
 * network. */
static int add_estimate(struct spacy_package *package, const char *pipe, struct berth_estimate *e,
                        struct berth_error *err) {
    char name[256];
    struct spacy_file file = {0};
    struct bth_thinc *thinc = NULL;
    snprintf(name, sizeof(name), "%.200s/model", pipe);
    if (!spacy_package_has(package, name)) {
        return 0;
    }
    int rc = spacy_package_read(package, name, &file, err);
    if (rc == 0) {
        rc = bth_thinc_parse(file.data, file.size, &thinc, err);
    }
    if (rc == 0) {
        add(&e->weights_bytes, file.size);
        add(&e->weights_bytes, file.size / 8 + (1 << 16));
        add(&e->workspace_bytes, spacy_tok2vec_estimate(thinc));
    } else if (rc != BERTH_ENOMEM) {
        rc = 0; /* it may be excluded; if not, loading says what is wrong */
    }
    bth_thinc_close(thinc);
    spacy_file_close(&file);
    return rc;
}

static int add_vectors(struct spacy_package *package, struct berth_estimate *e,
                       struct berth_error *err) {
    struct spacy_file file = {0};
    int rc = spacy_package_has(package, "vocab/vectors")
                 ? spacy_package_read(package, "vocab/vectors", &file, err)
                 : 0;
    add(&e->weights_bytes, file.size);
    spacy_file_close(&file);
    return rc;
}

int spacy_estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                   struct berth_error *err) {
    struct spacy_package *package = NULL;
    json_t *config = NULL;
    struct berth_estimate e = {.workspace_bytes = 12 << 20, .session_bytes = 1 << 20};
    if (!device->ops->runs(device, BERTH_OP_EMBED_SUM)) {
        return bth_error(err, BERTH_EUNSUPPORTED, "%s cannot run spaCy's networks yet, a CPU can",
                         device->name);
    }
    int rc = spacy_package_open(path, &package, err);
    if (rc == 0) {
        rc = spacy_package_config(package, &config, err);
    }
    if (rc == 0) {
        rc = add_vectors(package, &e, err);
    }
    const json_t *pipeline = spacy_config_at(config, "nlp.pipeline");
    for (size_t i = 0; rc == 0 && i < json_array_size(pipeline); i++) {
        const char *pipe = json_string_value(json_array_get(pipeline, i));
        rc = pipe ? add_estimate(package, pipe, &e, err) : 0;
    }
    json_decref(config);
    spacy_package_close(package);
    if (rc == 0) {
        *out = e;
    }
    return rc;
}

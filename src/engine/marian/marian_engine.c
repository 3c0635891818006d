/* The MarianMT engine's row in the contract: stages, checking, loading. */
#include "marian/marian.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "format/shortlist.h"
#include "marian/marian_cache.h"
#include "marian/marian_session.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Planned costs are for opus-mt base on two cores; the scheduler learns the real ones. */
static const struct berth_stage stages[MARIAN_N_STAGES] = {
    [MARIAN_STAGE_TOKENIZE] = {"TOKENIZE", BERTH_LANE_HOST, 1, 2000000, 0},
    [MARIAN_STAGE_ENCODE] = {"ENCODE", BERTH_LANE_DEVICE, MARIAN_MOST, 2000000, 150000},
    [MARIAN_STAGE_STEP] = {"STEP", BERTH_LANE_DEVICE, MARIAN_MAX_ROWS, 6000000, 300000},
    [MARIAN_STAGE_DETOKENIZE] = {"DETOKENIZE", BERTH_LANE_HOST, 1, 1000000, 0},
};

static int check(const struct berth_request *request, struct berth_error *err) {
    const struct berth_input *in = &request->input;
    struct marian_options options;
    size_t size = in->size;
    int rc = marian_options_parse(request, &options, err);
    if (rc < 0) {
        return rc;
    }
    if (in->kind == BERTH_INPUT_FILE) {
        int fd;
        rc = bth_open_regular(in->path, &fd, &size, err);
        if (rc < 0) {
            return rc;
        }
        close(fd);
    } else if (in->kind != BERTH_INPUT_TEXT && in->kind != BERTH_INPUT_BYTES) {
        return bth_error(err, BERTH_EINVAL, "marian translates text: give a text or a text file");
    }
    if (size > MARIAN_MAX_TEXT) {
        return bth_error(err, BERTH_ETOOLARGE, "a text of %zu bytes: at most %d are taken", size,
                         (int)MARIAN_MAX_TEXT);
    }
    return 0;
}

static int probe(const char *path, struct berth_model_info *out, struct berth_error *err) {
    struct marian_files files;
    int rc = marian_files_open(&files, path, err);
    if (rc < 0) {
        return rc;
    }
    struct berth_model_info info = {.family = "marian", .parameters = files.parameters};
    marian_files_describe(&files, info.description, sizeof(info.description));
    snprintf(info.format, sizeof(info.format), "%s", marian_files_format(&files));
    marian_files_close(&files);
    *out = info;
    return 0;
}

static int estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                    struct berth_error *err) {
    if (!device->ops->runs(device, BERTH_OP_TOP)) {
        return bth_error(err, BERTH_EUNSUPPORTED, "%s cannot run Marian models, a CPU can",
                         device->name);
    }
    struct marian_files files;
    int rc = marian_files_open(&files, path, err);
    if (rc < 0) {
        return rc;
    }
    const struct marian_room room = marian_room_of(&files.config, device);
    *out = (struct berth_estimate){
        .weights_bytes = marian_weights_bytes(
            &files, device, marian_takes_eights(&files.config, device, device->fast)),
        .workspace_bytes = marian_workspace_bytes(&files.config, &room, files.paths[2]),
        .session_bytes = 32 * marian_slot_bytes(&files.config)};
    marian_files_close(&files);
    return 0;
}

static void unload(struct berth_model *model) {
    struct marian_model *m = (struct marian_model *)model;
    marian_programs_destroy(m);
    marian_memory_destroy(m);
    marian_weights_unload(m);
    bth_shortlist_close(m->shortlist);
    marian_vocab_close(m->vocab);
    marian_cache_destroy(m->cache);
    bth_free(m);
}

/* What of a model's configuration is not built. */
static int check_config(const struct marian_config *c, struct berth_error *err) {
    if (c->activation == MARIAN_ACT_GELU_TANH || c->activation == MARIAN_ACT_GELU_SIGMOID) {
        return bth_error(err, BERTH_EUNSUPPORTED,
                         "the feed-forward activation is an approximation of gelu: not built");
    }
    if (c->no_repeat_ngram > 0 || (c->repetition_penalty > 0 && c->repetition_penalty != 1)) {
        return bth_error(err, BERTH_EUNSUPPORTED,
                         "no_repeat_ngram_size and repetition_penalty are not built");
    }
    for (int32_t i = 0; i < c->n_bad_words; i++) {
        if (c->bad_lengths[i] != 1) {
            return bth_error(err, BERTH_EUNSUPPORTED,
                             "bad_words_ids with sequences of several ids are not built");
        }
    }
    if (c->n_bad_words + 1 > BERTH_TOP_FORBID) {
        return bth_error(err, BERTH_EUNSUPPORTED, "more than %d bad words are not built",
                         BERTH_TOP_FORBID - 1);
    }
    if (c->eos < 0 || c->eos >= c->target_vocab) {
        return bth_error(err, BERTH_EFORMAT, "the end token %d is not in the vocabulary",
                         (int)c->eos);
    }
    if (!c->start_from_zero && (c->start < 0 || c->start >= c->target_vocab)) {
        return bth_error(err, BERTH_EFORMAT, "the start token %d is not in the vocabulary",
                         (int)c->start);
    }
    return 0;
}

static int load_parts(struct marian_model *m, struct marian_files *files, bool shortlist,
                      const struct berth_load *load, struct berth_error *err) {
    const struct marian_config *c = &m->config;
    int rc = marian_vocab_open(files, &m->vocab, err);
    m->config = files->config; /* with the ids that only the vocabulary knows */
    if (rc == 0) {
        rc = check_config(c, err);
    }
    if (rc == 0 && (marian_vocab_source_size(m->vocab) > c->source_vocab ||
                    marian_vocab_target_size(m->vocab) > c->target_vocab)) {
        rc = bth_error(
            err, BERTH_EFORMAT, "the vocabulary has %d and %d tokens, the weights %lld and %lld",
            (int)marian_vocab_source_size(m->vocab), (int)marian_vocab_target_size(m->vocab),
            (long long)c->source_vocab, (long long)c->target_vocab);
    }
    if (rc == 0 && shortlist && files->paths[2] && c->tied_output) {
        rc = bth_shortlist_open(files->paths[2], c->source_vocab, c->target_vocab, &m->shortlist,
                                err);
    }
    if (rc == 0) {
        rc = marian_weights_load(m, files, load->weights, err);
    }
    if (rc == 0) {
        rc = marian_memory_create(m, err);
    }
    if (rc == 0) {
        rc = marian_encode_build(m, err);
    }
    return rc < 0 ? rc : marian_decode_build(m, err);
}

static void name_languages(struct marian_model *m, const struct marian_load_options *o,
                           const char *path) {
    marian_languages_of(path, m->source, m->target);
    if (o->source) {
        snprintf(m->source, sizeof(m->source), "%s", o->source);
    }
    if (o->target) {
        snprintf(m->target, sizeof(m->target), "%s", o->target);
    }
}

static int load(const struct berth_load *load, struct berth_model **out, struct berth_error *err) {
    struct marian_load_options options;
    struct marian_files files;
    int rc = marian_load_options_parse(load, &options, err);
    if (rc < 0) {
        return rc;
    }
    if (options.eights == 0 && load->device->narrow != BERTH_F32) {
        return bth_error(
            err, BERTH_EUNSUPPORTED,
            "%s multiplies in 16 bits: a model is exact where the device is (--precision)",
            load->device->name);
    }
    rc = marian_files_open(&files, load->path, err);
    if (rc < 0) {
        return rc;
    }
    struct marian_model *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        marian_files_close(&files);
        return bth_error_nomem(err);
    }
    m->base.ops = &bth_marian_engine;
    m->base.device = load->device;
    m->config = files.config;
    m->workspace = load->workspace;
    m->eights = marian_takes_eights(&files.config, load->device,
                                    options.eights < 0 ? load->device->fast : options.eights > 0);
    marian_limits(&m->config, &m->source_most, &m->target_most);
    name_languages(m, &options, load->path);
    m->cache = marian_cache_create(options.cache_bytes);
    rc = m->cache ? load_parts(m, &files, options.shortlist, load, err) : bth_error_nomem(err);
    marian_files_close(&files);
    if (rc < 0) {
        unload(&m->base);
        bth_error_of_file(err, load->path);
        return rc;
    }
    *out = &m->base;
    return 0;
}

const struct berth_engine_ops bth_marian_engine = {
    .api_version = BERTH_ENGINE_API,
    .struct_size = sizeof(struct berth_engine_ops),
    .family = "marian",
    .stages = stages,
    .n_stages = MARIAN_N_STAGES,
    .check = check,
    .probe = probe,
    .estimate = estimate,
    .load = load,
    .unload = unload,
    .begin = marian_begin,
    .next = marian_next,
    .enqueue = marian_enqueue,
    .settle = marian_settle,
    .cancel = marian_cancel,
    .end = marian_end,
};

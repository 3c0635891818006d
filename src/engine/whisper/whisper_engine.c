/* The Whisper engine's row in the contract: stages, checking, loading. */
#include "whisper/whisper.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "whisper/whisper_session.h"
#include <stdio.h>
#include <string.h>

/* Planned costs are for base on two cores; the scheduler learns the real ones. */
static const struct berth_stage stages[WHISPER_N_STAGES] = {
    [WHISPER_DECODE] = {"DECODE", BERTH_LANE_HOST, 1, 4000000, 0},
    [WHISPER_MEL] = {"MEL", BERTH_LANE_HOST, 1, 4000000, 0},
    [WHISPER_ENCODE] = {"ENCODE", BERTH_LANE_DEVICE, WHISPER_MAX_ROWS, 20000000, 0},
    [WHISPER_DETECT] = {"DETECT", BERTH_LANE_DEVICE, WHISPER_DETECTS, 4000000, 1000000},
    [WHISPER_PREFILL] = {"PREFILL", BERTH_LANE_DEVICE, WHISPER_MAX_ROWS, 4000000, 300000},
    [WHISPER_STEP] = {"STEP", BERTH_LANE_DEVICE, WHISPER_MAX_ROWS, 4000000, 1000000},
};

static int check(const struct berth_request *request, struct berth_error *err) {
    struct whisper_options options;
    int rc = whisper_options_parse(request, &options, err);
    if (rc < 0) {
        return rc;
    }
    const struct bth_pcm_limits limits = {.max_seconds = options.max_seconds};
    struct bth_pcm *pcm;
    rc = bth_pcm_open(&request->input, &limits, &pcm, err);
    if (rc == 0) {
        bth_pcm_close(pcm);
    }
    return rc;
}

static int probe(const char *path, struct berth_model_info *out, struct berth_error *err) {
    struct whisper_files files;
    int rc = whisper_files_open(&files, path, err);
    if (rc < 0) {
        return rc;
    }
    struct berth_model_info info = {.family = "whisper"};
    whisper_dims_describe(&files.dims, info.description, sizeof(info.description));
    snprintf(info.format, sizeof(info.format), "%s",
             files.format == WHISPER_CT2 ? "ctranslate2" : "safetensors");
    for (size_t i = 0; i < bth_source_count(files.source); i++) {
        const struct bth_source_tensor *t = bth_source_at(files.source, i);
        uint64_t n = 1;
        for (int j = 0; j < t->rank; j++) {
            n *= (uint64_t)t->dims[j];
        }
        info.parameters += t->rank ? n : 0;
    }
    whisper_files_close(&files);
    *out = info;
    return 0;
}

static int estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                    struct berth_error *err) {
    struct whisper_files files;
    int rc = whisper_files_open(&files, path, err);
    if (rc < 0) {
        return rc;
    }
    const struct whisper_dims *d = &files.dims;
    size_t cross = 2 * WHISPER_POSITIONS * (size_t)(d->d * d->decoder_layers) *
                   bth_dtype_bytes(device->narrow);
    *out = (struct berth_estimate){.weights_bytes = whisper_weights_bytes(d, &files, device),
                                   .workspace_bytes = whisper_workspace_bytes(d, device),
                                   .session_bytes = cross + cross / 2};
    whisper_files_close(&files);
    return 0;
}

static void unload(struct berth_model *model) {
    struct whisper_model *m = (struct whisper_model *)model;
    whisper_programs_destroy(m);
    whisper_memory_destroy(m);
    whisper_weights_unload(m);
    bth_mel_tables_destroy(m->mel_tables);
    whisper_vocab_close(&m->vocab);
    bth_free(m);
}

static int load_parts(struct whisper_model *m, const struct whisper_files *files,
                      const struct berth_load *load, struct berth_error *err) {
    int rc = whisper_vocab_open(&m->vocab, files->dir, (int32_t)files->dims.vocab, err);
    if (rc == 0) {
        rc = bth_mel_tables_create((int)files->dims.mels, &m->mel_tables, err);
    }
    if (rc == 0) {
        rc = whisper_weights_load(m, files, load->weights, err);
    }
    if (rc == 0) {
        rc = whisper_memory_create(m, err);
    }
    if (rc == 0) {
        rc = whisper_encode_build(m, err);
    }
    return rc < 0 ? rc : whisper_decode_build(m, err);
}

static int load(const struct berth_load *load, struct berth_model **out, struct berth_error *err) {
    struct whisper_files files;
    if (load->n_options > 0) {
        return bth_error(err, BERTH_EINVAL, "whisper models have no option '%s'",
                         load->options[0].name);
    }
    int rc = whisper_files_open(&files, load->path, err);
    if (rc < 0) {
        return rc;
    }
    struct whisper_model *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        whisper_files_close(&files);
        return bth_error_nomem(err);
    }
    m->base.ops = &bth_whisper_engine;
    m->base.device = load->device;
    m->dims = files.dims;
    m->workspace = load->workspace;
    rc = load_parts(m, &files, load, err);
    whisper_files_close(&files);
    if (rc < 0) {
        unload(&m->base);
        bth_error_of_file(err, load->path);
        return rc;
    }
    *out = &m->base;
    return 0;
}

const struct berth_engine_ops bth_whisper_engine = {
    .api_version = BERTH_ENGINE_API,
    .struct_size = sizeof(struct berth_engine_ops),
    .family = "whisper",
    .stages = stages,
    .n_stages = WHISPER_N_STAGES,
    .check = check,
    .probe = probe,
    .estimate = estimate,
    .load = load,
    .unload = unload,
    .begin = whisper_begin,
    .next = whisper_next,
    .enqueue = whisper_enqueue,
    .settle = whisper_settle,
    .cancel = whisper_cancel,
    .end = whisper_end,
};

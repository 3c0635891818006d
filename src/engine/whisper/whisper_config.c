/*
 * What a path holds: a CTranslate2 directory (model.bin, tokenizer.json) or a Hugging Face one
 * (config.json with model_type whisper, safetensors, tokenizer.json). The dimensions come from
 * shapes where they can; config.json is believed for nothing that a tensor contradicts.
 */
#include "whisper/whisper_model.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const struct bth_source_tensor *need(const struct whisper_files *f, const char *ct2,
                                            const char *hf, int rank, struct berth_error *err) {
    const char *name = f->format == WHISPER_CT2 ? ct2 : hf;
    const struct bth_source_tensor *t = bth_source_find(f->source, name);
    if (!t) {
        bth_error(err, BERTH_EFORMAT, "tensor %s is missing", name);
    } else if (t->rank != rank) {
        bth_error(err, BERTH_EFORMAT, "tensor %s has %d dimensions, not %d", name, t->rank, rank);
        t = NULL;
    }
    return t;
}

/* A layer is there if any tensor of it is, so that one that lacks some is found out. */
static int64_t count_layers(const struct whisper_files *f, const char *part) {
    for (int layer = 0; layer <= WHISPER_MAX_LAYERS; layer++) {
        char name[96];
        bool found = false;
        snprintf(name, sizeof(name),
                 f->format == WHISPER_CT2 ? "%s/layer_%d/" : "model.%s.layers.%d.", part, layer);
        for (size_t i = 0; !found && i < bth_source_count(f->source); i++) {
            const char *other = bth_source_at(f->source, i)->name;
            found = strncmp(other, name, strlen(name)) == 0;
        }
        if (!found) {
            return layer;
        }
    }
    return WHISPER_MAX_LAYERS + 1;
}

static int read_dims(struct whisper_files *f, struct berth_error *err) {
    const struct bth_source_tensor *conv, *embedding, *positions, *up;
    if (!(conv = need(f, "encoder/conv1/weight", "model.encoder.conv1.weight", 3, err)) ||
        !(embedding =
              need(f, "decoder/embeddings/weight", "model.decoder.embed_tokens.weight", 2, err)) ||
        !(positions = need(f, "encoder/position_encodings/encodings",
                           "model.encoder.embed_positions.weight", 2, err)) ||
        !(up = need(f, "decoder/layer_0/ffn/linear_0/weight", "model.decoder.layers.0.fc1.weight",
                    2, err))) {
        return BERTH_EFORMAT;
    }
    struct whisper_dims d = {.mels = conv->dims[1],
                             .d = conv->dims[0],
                             .heads = conv->dims[0] / WHISPER_HEAD,
                             .encoder_layers = count_layers(f, "encoder"),
                             .decoder_layers = count_layers(f, "decoder"),
                             .ffn = up->dims[0],
                             .vocab = embedding->dims[0]};
    if ((d.mels != 80 && d.mels != 128) || d.d < WHISPER_HEAD || d.d % WHISPER_HEAD != 0 ||
        d.d > 8192 || d.ffn < 1 || d.ffn > 65536 || conv->dims[2] != 3) {
        return bth_error(err, BERTH_EFORMAT, "a model of %lld mels and width %lld is not Whisper's",
                         (long long)d.mels, (long long)d.d);
    }
    if (d.encoder_layers < 1 || d.encoder_layers > WHISPER_MAX_LAYERS || d.decoder_layers < 1 ||
        d.decoder_layers > WHISPER_MAX_LAYERS) {
        return bth_error(
            err, BERTH_EFORMAT, "%lld encoder and %lld decoder layers: 1 to %d are read",
            (long long)d.encoder_layers, (long long)d.decoder_layers, WHISPER_MAX_LAYERS);
    }
    if (positions->dims[0] != WHISPER_POSITIONS) {
        return bth_error(err, BERTH_EFORMAT, "%lld encoder positions, not %d",
                         (long long)positions->dims[0], WHISPER_POSITIONS);
    }
    struct whisper_vocab layout;
    int rc =
        d.vocab > INT32_MAX ? BERTH_EFORMAT : whisper_vocab_layout(&layout, (int32_t)d.vocab, err);
    if (rc == 0) {
        f->dims = d;
    }
    return rc;
}

/* Is it the config.json of a Whisper? */
static bool is_hf_whisper(const char *dir) {
    char *path = bth_path_join(dir, "config.json");
    char *text = NULL;
    size_t n;
    bool yes = false;
    if (path && bth_read_file(path, 1 << 20, &text, &n, NULL) == 0) {
        json_t *config = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        const char *type = json_string_value(json_object_get(config, "model_type"));
        yes = type && strcmp(type, "whisper") == 0;
        json_decref(config);
    }
    bth_free(text);
    bth_free(path);
    return yes;
}

static int open_ct2(struct whisper_files *f, const char *model, struct berth_error *err) {
    int rc = bth_ct2_open(model, &f->source, err);
    if (rc < 0) {
        return rc;
    }
    uint32_t revision;
    const char *spec = bth_ct2_spec(f->source, &revision);
    if (strcmp(spec, "WhisperSpec") != 0) {
        return bth_error(err, BERTH_ENOTFOUND, "%s holds a %.40s, not a WhisperSpec", model, spec);
    }
    f->format = WHISPER_CT2;
    return 0;
}

/* `path` without its last component, or "." */
static char *parent(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? bth_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : bth_strdup(".");
}

int whisper_files_open(struct whisper_files *f, const char *path, struct berth_error *err) {
    *f = (struct whisper_files){0};
    bool file = bth_is_file(path);
    f->dir = file ? parent(path) : bth_strdup(path);
    char *model = file ? bth_strdup(path) : bth_path_join(path, "model.bin");
    int rc;
    if (!f->dir || !model) {
        rc = bth_error_nomem(err);
    } else if (bth_is_file(model)) {
        rc = open_ct2(f, model, err);
    } else if (bth_is_dir(path) && is_hf_whisper(path)) {
        f->format = WHISPER_HF;
        rc = bth_safetensors_open(path, &f->source, err);
    } else {
        rc = bth_error(
            err, BERTH_ENOTFOUND,
            "%s is no Whisper model: give a CTranslate2 directory (model.bin) or a Hugging "
            "Face one (config.json, safetensors)",
            path);
    }
    if (rc == 0) {
        rc = read_dims(f, err);
    }
    if (rc < 0) {
        if (rc == BERTH_EFORMAT) {
            bth_error_of_file(err, path);
        }
        whisper_files_close(f);
    }
    bth_free(model);
    return rc;
}

void whisper_files_close(struct whisper_files *f) {
    bth_source_close(f->source);
    bth_free(f->dir);
    *f = (struct whisper_files){0};
}

void whisper_dims_describe(const struct whisper_dims *d, char *out, size_t size) {
    static const struct {
        int64_t d, layers;
        const char *name;
    } sizes[] = {{384, 4, "tiny"},
                 {512, 6, "base"},
                 {768, 12, "small"},
                 {1024, 24, "medium"},
                 {1280, 32, "large"},
                 {1280, 4, "large turbo"},
                 {1280, 2, "large distilled"}};
    const char *name = "of its own size";
    for (size_t i = 0; i < BTH_COUNT(sizes); i++) {
        if (sizes[i].d == d->d && sizes[i].layers == d->decoder_layers) {
            name = sizes[i].name;
        }
    }
    snprintf(out, size, "whisper %s, %s, %lld mels", name,
             d->vocab == 51864 ? "English only" : "multilingual", (long long)d->mels);
}

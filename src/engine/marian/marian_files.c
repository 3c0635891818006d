#include "marian/marian_files.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/fs.h"
#include "marian/marian_json.h"
#include "marian/marian_layout.h"
#include "marian/marian_native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int marian_count_layers(const struct bth_source *s, const char *part, const char *before,
                        int first) {
    for (int layer = 0; layer <= MARIAN_MAX_LAYERS; layer++) {
        char name[96];
        bool found = false;
        snprintf(name, sizeof(name), "%s%s%d", part, before, layer + first);
        size_t n = strlen(name);
        for (size_t i = 0; !found && i < bth_source_count(s); i++) {
            const char *other = bth_source_at(s, i)->name;
            found = strncmp(other, name, n) == 0 && (other[n] < '0' || other[n] > '9');
        }
        if (!found) {
            return layer;
        }
    }
    return MARIAN_MAX_LAYERS + 1;
}

int marian_path_if_file(const struct marian_files *f, const char *name, char **out,
                        struct berth_error *err) {
    char *path = bth_path_join(f->dir, name);
    if (!path) {
        return bth_error_nomem(err);
    }
    if (bth_is_file(path)) {
        *out = path;
    } else {
        bth_free(path);
    }
    return 0;
}

/* `path` without its last component, or "." */
static char *parent(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? bth_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : bth_strdup(".");
}

/* Is it the config.json of a MarianMT? One that cannot be read is none. ENOMEM. */
static int is_hf_marian(const char *dir, bool *out, struct berth_error *err) {
    json_t *o = NULL;
    struct berth_error why;
    int rc = marian_json_load(dir, "config.json", &o, &why);
    const char *type = json_string_value(json_object_get(o, "model_type"));
    *out = rc == 0 && type && strcmp(type, "marian") == 0;
    json_decref(o);
    return rc == BERTH_ENOMEM ? bth_error_copy(err, &why) : 0;
}

static int open_hf(struct marian_files *f, struct berth_error *err) {
    f->format = MARIAN_HF;
    char *torch = NULL;
    struct berth_error why;
    int rc = bth_safetensors_open(f->dir, &f->source, &why);
    if (rc == BERTH_ENOTFOUND) {
        rc = marian_path_if_file(f, "pytorch_model.bin", &torch, err);
        if (rc == 0 && torch) {
            f->torch = true;
            rc = bth_torch_open(torch, &f->source, err);
        } else if (rc == 0) {
            rc = bth_error(err, BERTH_ENOTFOUND,
                           "%s holds neither model.safetensors nor pytorch_model.bin", f->dir);
        }
        bth_free(torch);
    } else if (rc < 0) {
        bth_error_copy(err, &why);
    }
    return rc < 0 ? rc : marian_hf_config(f, err);
}

static int open_ct2(struct marian_files *f, const char *model, struct berth_error *err) {
    int rc = bth_ct2_open(model, &f->source, err);
    if (rc < 0) {
        return rc;
    }
    const char *spec = bth_ct2_spec(f->source, &f->ct2_revision);
    if (strncmp(spec, "Transformer", 11) != 0 && *spec) {
        return bth_error(err, BERTH_ENOTFOUND, "%s holds a %.40s, not a Transformer", model, spec);
    }
    f->format = MARIAN_CT2;
    return marian_ct2_config(f, err);
}

static int open_native(struct marian_files *f, const char *weights, struct berth_error *err) {
    size_t n = strlen(weights);
    bool npz = n > 4 && strcmp(weights + n - 4, ".bin") != 0;
    f->format = npz ? MARIAN_NPZ : MARIAN_BIN;
    char *path = bth_path_join(f->dir, weights);
    int rc = path ? (npz ? bth_npz_open : bth_marian_bin_open)(path, &f->source, err)
                  : bth_error_nomem(err);
    bth_free(path);
    return rc < 0 ? rc : marian_native_config(f, weights, err);
}

/* Marian's .bin begins with a u64 version 1, CTranslate2's with a u32 version and then more. */
static bool is_marian_bin(const char *path) {
    struct bth_map map;
    if (bth_map_open(&map, path, NULL) < 0) {
        return false;
    }
    bool yes = map.size >= 8 && memcmp(map.data, "\1\0\0\0\0\0\0\0", 8) == 0;
    bth_map_close(&map);
    return yes;
}

static int open_folder(struct marian_files *f, const char *path, struct berth_error *err) {
    char *model = NULL;
    int rc = marian_path_if_file(f, "model.bin", &model, err);
    if (rc < 0 || (model && !is_marian_bin(model))) {
        rc = rc < 0 ? rc : open_ct2(f, model, err);
        bth_free(model);
        return rc;
    }
    bth_free(model);
    struct marian_folder folder;
    rc = marian_folder_open(&folder, f->dir, NULL, err);
    if (rc < 0) {
        return rc;
    }
    const char *weights = marian_folder_weights(&folder);
    rc = weights ? open_native(f, weights, err)
                 : bth_error(err, BERTH_ENOTFOUND,
                             "%s is no Marian model: give a Hugging Face directory (config.json of "
                             "a MarianMT), a CTranslate2 one (model.bin), or a folder with one "
                             ".npz or .bin of Marian",
                             path);
    marian_folder_close(&folder);
    return rc;
}

static int open_file(struct marian_files *f, const char *path, struct berth_error *err) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    if ((n > 4 && strcmp(name + n - 4, ".npz") == 0) || is_marian_bin(path)) {
        return open_native(f, name, err);
    }
    return open_ct2(f, path, err);
}

static int check_dims(const struct marian_files *f, struct berth_error *err) {
    const struct marian_config *c = &f->config;
    if (c->d < 2 || c->d > 16384 || c->d % 2 != 0 || c->encoder_heads < 1 || c->decoder_heads < 1 ||
        c->d % c->encoder_heads != 0 || c->d % c->decoder_heads != 0) {
        return bth_error(err, BERTH_EFORMAT, "width %lld in %lld and %lld heads is not possible",
                         (long long)c->d, (long long)c->encoder_heads, (long long)c->decoder_heads);
    }
    if (c->encoder_layers < 1 || c->encoder_layers > MARIAN_MAX_LAYERS || c->decoder_layers < 1 ||
        c->decoder_layers > MARIAN_MAX_LAYERS) {
        return bth_error(err, BERTH_EFORMAT, "%d encoder and %d decoder layers: 1 to %d are read",
                         c->encoder_layers, c->decoder_layers, MARIAN_MAX_LAYERS);
    }
    if (c->source_vocab < 1 || c->source_vocab > 1 << 24 || c->target_vocab < 1 ||
        c->target_vocab > 1 << 24 || c->max_positions < 0 || c->max_positions > 1 << 20) {
        return bth_error(err, BERTH_EFORMAT, "vocabularies of %lld and %lld, %lld positions",
                         (long long)c->source_vocab, (long long)c->target_vocab,
                         (long long)c->max_positions);
    }
    const int32_t ids[] = {c->eos, c->unk, c->start, c->forced_eos, c->forced_bos};
    for (size_t i = 0; i < BTH_COUNT(ids); i++) {
        if (ids[i] >= c->target_vocab) {
            return bth_error(err, BERTH_EFORMAT, "token %d is not in the vocabulary of %lld",
                             ids[i], (long long)c->target_vocab);
        }
    }
    int64_t most = c->source_vocab > c->target_vocab ? c->source_vocab : c->target_vocab;
    if (c->pad >= most) { /* of whichever is larger: padding is no token */
        return bth_error(err, BERTH_EFORMAT, "padding %d is not in the vocabulary of %lld", c->pad,
                         (long long)most);
    }
    return 0;
}

/* One tensor of shape [n, k]; an optional one may be missing. */
static int check_one(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                     bool optional, struct berth_error *err) {
    struct marian_tensor t;
    struct berth_error why = {0};
    int rc = marian_files_look(f, name, n, k, &t, &why);
    if (rc == BERTH_ENOTFOUND && optional) {
        return 0;
    }
    return rc < 0 ? bth_error(err, rc == BERTH_ENOTFOUND ? BERTH_EFORMAT : rc, "%s", why.message)
                  : 0;
}

/* A layer's matrices and norms. */
struct part {
    const char *name;
    int64_t n, k; /* of the weight; 0: d, and -1: ffn */
    bool norm;
};

static int check_layer(const struct marian_files *f, bool decoder, int layer, const struct part *p,
                       struct berth_error *err) {
    const struct marian_config *c = &f->config;
    int64_t ffn = decoder ? c->decoder_ffn : c->encoder_ffn;
    int64_t n = p->n < 0 ? ffn : c->d, k = p->k < 0 ? ffn : c->d;
    char name[96];
    const char *part = decoder ? "decoder" : "encoder";
    snprintf(name, sizeof(name), "model.%s.layers.%d.%s.weight", part, layer, p->name);
    int rc = check_one(f, name, p->norm ? 1 : n, k, false, err);
    if (rc == 0) {
        snprintf(name, sizeof(name), "model.%s.layers.%d.%s.bias", part, layer, p->name);
        rc = check_one(f, name, 1, n, !p->norm, err);
    }
    return rc;
}

static int check_layers(const struct marian_files *f, bool decoder, struct berth_error *err) {
    static const struct part attention[] = {{"self_attn.q_proj", 0, 0, false},
                                            {"self_attn.k_proj", 0, 0, false},
                                            {"self_attn.v_proj", 0, 0, false},
                                            {"self_attn.out_proj", 0, 0, false},
                                            {"self_attn_layer_norm", 0, 0, true}};
    static const struct part ssru[] = {
        {"ssru", 0, 0, false}, {"ssru.gate", 0, 0, false}, {"ssru_layer_norm", 0, 0, true}};
    static const struct part cross[] = {{"encoder_attn.q_proj", 0, 0, false},
                                        {"encoder_attn.k_proj", 0, 0, false},
                                        {"encoder_attn.v_proj", 0, 0, false},
                                        {"encoder_attn.out_proj", 0, 0, false},
                                        {"encoder_attn_layer_norm", 0, 0, true}};
    static const struct part ffn[] = {
        {"fc1", -1, 0, false}, {"fc2", 0, -1, false}, {"final_layer_norm", 0, 0, true}};
    const struct marian_config *c = &f->config;
    bool cell = decoder && c->decoder == MARIAN_DECODER_SSRU;
    const struct {
        const struct part *parts;
        size_t n;
    } blocks[] = {{cell ? ssru : attention, cell ? BTH_COUNT(ssru) : BTH_COUNT(attention)},
                  {ffn, BTH_COUNT(ffn)},
                  {cross, decoder ? BTH_COUNT(cross) : 0}};
    int layers = decoder ? c->decoder_layers : c->encoder_layers, rc = 0;
    for (int layer = 0; rc == 0 && layer < layers; layer++) {
        for (size_t b = 0; b < BTH_COUNT(blocks); b++) {
            for (size_t i = 0; rc == 0 && i < blocks[b].n; i++) {
                rc = check_layer(f, decoder, layer, &blocks[b].parts[i], err);
            }
        }
    }
    return rc;
}

/* Every tensor that the configuration promises, in its shape. */
static int check_tensors(const struct marian_files *f, struct berth_error *err) {
    const struct marian_config *c = &f->config;
    const struct {
        const char *name;
        int64_t n, k;
        bool wanted, optional;
    } outer[] = {
        {"model.encoder.embed_tokens.weight", c->source_vocab, c->d, true, false},
        {"model.decoder.embed_tokens.weight", c->target_vocab, c->d, true, false},
        {"lm_head.weight", c->target_vocab, c->d, true, false},
        {"final_logits_bias", 1, c->target_vocab, true, true},
        {"model.encoder.embed_positions.weight", c->max_positions, c->d,
         c->pos_kind == MARIAN_POS_STORED, false},
        {"model.decoder.embed_positions.weight", c->max_positions, c->d,
         c->pos_kind == MARIAN_POS_STORED, false},
        {"model.encoder.layer_norm.weight", 1, c->d, c->final_norm, false},
        {"model.encoder.layer_norm.bias", 1, c->d, c->final_norm, false},
        {"model.decoder.layer_norm.weight", 1, c->d, c->final_norm, false},
        {"model.decoder.layer_norm.bias", 1, c->d, c->final_norm, false},
        {"model.encoder.layernorm_embedding.weight", 1, c->d, c->normalize_embedding, false},
        {"model.encoder.layernorm_embedding.bias", 1, c->d, c->normalize_embedding, false},
        {"model.decoder.layernorm_embedding.weight", 1, c->d, c->normalize_embedding, false},
        {"model.decoder.layernorm_embedding.bias", 1, c->d, c->normalize_embedding, false}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(outer); i++) {
        if (outer[i].wanted) {
            rc = check_one(f, outer[i].name, outer[i].n, outer[i].k, outer[i].optional, err);
        }
    }
    if (rc == 0) {
        rc = check_layers(f, false, err);
    }
    return rc < 0 ? rc : check_layers(f, true, err);
}

static int by_place(const void *a, const void *b) {
    const struct bth_source_tensor *x = *(const struct bth_source_tensor *const *)a,
                                   *y = *(const struct bth_source_tensor *const *)b;
    return (x->data > y->data) - (x->data < y->data);
}

/* Weights proper: no scales, no texts, shared ones once. */
static int count_parameters(struct marian_files *f, struct berth_error *err) {
    size_t n = bth_source_count(f->source), have = 0;
    const struct bth_source_tensor **all = bth_calloc(n, sizeof(struct bth_source_tensor *));
    if (!all) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct bth_source_tensor *t = bth_source_at(f->source, i);
        if (t->rank > 0 && t->bytes && strncmp(t->name, "special:", 8) != 0 &&
            !strstr(t->name, "_QuantMultA") && !strstr(t->name, "_scale")) {
            all[have++] = t;
        }
    }
    if (have) {
        qsort(all, have, sizeof(*all), by_place);
    }
    for (size_t i = 0; i < have; i++) {
        if (i == 0 || all[i]->data != all[i - 1]->data) {
            f->parameters += all[i]->bytes / bth_dtype_bytes(all[i]->dtype);
        }
    }
    bth_free(all);
    return 0;
}

int marian_files_open(struct marian_files *f, const char *path, struct berth_error *err) {
    *f = (struct marian_files){0};
    bool file = bth_is_file(path), hf = false;
    f->dir = file ? parent(path) : bth_strdup(path);
    int rc = f->dir ? 0 : bth_error_nomem(err);
    if (rc == 0 && !file) {
        rc = is_hf_marian(path, &hf, err);
    }
    if (rc == 0) {
        rc = file ? open_file(f, path, err) : hf ? open_hf(f, err) : open_folder(f, path, err);
    }
    if (rc == 0) {
        rc = check_dims(f, err);
    }
    if (rc == 0) {
        rc = check_tensors(f, err);
    }
    if (rc == 0) {
        rc = count_parameters(f, err);
    }
    if (rc < 0) {
        if (rc == BERTH_EFORMAT) {
            bth_error_of_file(err, path);
        }
        marian_files_close(f);
    }
    return rc;
}

void marian_files_close(struct marian_files *f) {
    bth_source_close(f->source);
    bth_free(f->dir);
    for (size_t i = 0; i < BTH_COUNT(f->paths); i++) {
        bth_free(f->paths[i]);
    }
    *f = (struct marian_files){0};
}

const char *marian_files_format(const struct marian_files *f) {
    switch (f->format) {
    case MARIAN_HF:
        return f->torch ? "pytorch" : "safetensors";
    case MARIAN_NPZ:
        return "npz";
    case MARIAN_BIN:
        return f->config.int8 == MARIAN_INT8_NONE ? "marian" : "bergamot";
    case MARIAN_CT2:
        return "ctranslate2";
    }
    return "";
}

void marian_files_describe(const struct marian_files *f, char *out, size_t size) {
    static const char *const names[] = {"f32", "f16", "bf16", "i8", "i16", "i32", "u32"};
    const struct marian_config *c = &f->config;
    struct marian_tensor t;
    bool ok = marian_files_look(f, "model.encoder.layers.0.fc1.weight", 0, 0, &t, NULL) == 0;
    snprintf(out, size, "marian %d+%d layers%s, width %lld, %s", c->encoder_layers,
             c->decoder_layers, c->decoder == MARIAN_DECODER_SSRU ? " (SSRU)" : "", (long long)c->d,
             ok ? names[t.dtype] : "?");
}

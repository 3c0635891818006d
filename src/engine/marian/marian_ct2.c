/*
 * A CTranslate2 directory: model.bin (TransformerSpec, revisions to 7), config.json, vocabularies.
 * Binary version 1 has no spec; its names are OpenNMT-tf's and are translated.
 */
#include "marian/marian_layout.h"

#include "base/alloc.h"
#include "base/error.h"
#include "marian/marian_json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_OLD = 1000 }; /* names of version 1 are translated at every look */

/* ---- names ----------------------------------------------------------------------------------*/

/* One component of an old name in today's words; `decoder`: where attention is called otherwise. */
static void component(const char *old, bool decoder, char out[64]) {
    static const char *const words[][2] = {{"w_embs", "embeddings/weight"},
                                           {"kernel", "weight"},
                                           {"kernel_scale", "weight_scale"},
                                           {"LayerNorm", "layer_norm"},
                                           {"dense", "projection"},
                                           {"conv1d", "linear_0"},
                                           {"masked_multi_head", "self_attention"}};
    for (size_t i = 0; i < BTH_COUNT(words); i++) {
        if (strcmp(old, words[i][0]) == 0) {
            snprintf(out, 64, "%s", words[i][1]);
            return;
        }
    }
    if (strncmp(old, "conv1d_", 7) == 0) {
        snprintf(out, 64, "linear_%.40s", old + 7);
    } else if (strcmp(old, "multi_head") == 0) {
        snprintf(out, 64, "%s", decoder ? "attention" : "self_attention");
    } else {
        snprintf(out, 64, "%.60s", old);
    }
}

/* An OpenNMT-tf name ("transformer/encoder/layer_0/ffn/conv1d/kernel:0") in today's. */
static void modern_name(const char *old, char out[256]) {
    static const char scope[] = "transformer/";
    old += strncmp(old, scope, strlen(scope)) == 0 ? strlen(scope) : 0;
    bool decoder = strncmp(old, "decoder/", 8) == 0;
    size_t at = 0;
    out[0] = '\0';
    while (*old && at < 160) {
        char part[64], word[64];
        size_t n = strcspn(old, "/");
        snprintf(part, sizeof(part), "%.*s", (int)(n < 63 ? n : 63), old);
        char *end = strstr(part, ":0");
        if (end) {
            memmove(end, end + 2, strlen(end + 2) + 1);
        }
        component(part, decoder, word);
        at += (size_t)snprintf(out + at, 256 - at, "%s%s", at ? "/" : "", word);
        old += n + (old[n] == '/');
    }
}

static const struct bth_source_tensor *find(const struct marian_files *f, const char *name) {
    const struct bth_source_tensor *t = bth_source_find(f->source, name);
    const char *spec = bth_ct2_spec(f->source, &(uint32_t){0});
    for (size_t i = 0; !t && !*spec && i < bth_source_count(f->source); i++) {
        char modern[256];
        modern_name(bth_source_at(f->source, i)->name, modern);
        t = strcmp(modern, name) == 0 ? bth_source_at(f->source, i) : NULL;
    }
    return t;
}

/* part of a fused matrix: 0 whole, else 1 / of of it, the index-th */
static const struct {
    const char *what, *ct2;
    int index, of;
} layer_names[] = {{"self_attn.q_proj", "self_attention/linear_0", 0, 3},
                   {"self_attn.k_proj", "self_attention/linear_0", 1, 3},
                   {"self_attn.v_proj", "self_attention/linear_0", 2, 3},
                   {"self_attn.out_proj", "self_attention/linear_1", 0, 0},
                   {"self_attn_layer_norm", "self_attention/layer_norm", 0, 0},
                   {"encoder_attn.q_proj", "attention/linear_0", 0, 0},
                   {"encoder_attn.k_proj", "attention/linear_1", 0, 2},
                   {"encoder_attn.v_proj", "attention/linear_1", 1, 2},
                   {"encoder_attn.out_proj", "attention/linear_2", 0, 0},
                   {"encoder_attn_layer_norm", "attention/layer_norm", 0, 0},
                   {"fc1", "ffn/linear_0", 0, 0},
                   {"fc2", "ffn/linear_1", 0, 0},
                   {"final_layer_norm", "ffn/layer_norm", 0, 0}};

static bool found(const struct marian_files *f, const char *name, struct marian_place *out) {
    char scale[224];
    snprintf(scale, sizeof(scale), "%s_scale", name);
    out->t = find(f, name);
    out->scale = out->t ? find(f, scale) : NULL;
    return out->t != NULL;
}

static bool find_in_layer(const struct marian_files *f, const struct marian_name *m,
                          struct marian_place *out) {
    for (size_t i = 0; i < BTH_COUNT(layer_names); i++) {
        size_t n = strlen(layer_names[i].what);
        if (strncmp(m->what, layer_names[i].what, n) != 0 || m->what[n] != '.') {
            continue;
        }
        bool weight = strcmp(m->what + n, ".weight") == 0;
        bool norm = strstr(layer_names[i].ct2, "layer_norm") != NULL;
        char name[192];
        snprintf(name, sizeof(name), "%s/layer_%d/%s/%s", m->decoder ? "decoder" : "encoder",
                 m->layer, layer_names[i].ct2,
                 norm ? (weight ? "gamma" : "beta") : (weight ? "weight" : "bias"));
        if (!found(f, name, out)) {
            return false;
        }
        if (layer_names[i].of) {
            out->rows = f->config.d;
            out->row = layer_names[i].index * f->config.d;
        }
        return true;
    }
    return false;
}

bool marian_ct2_find(const struct marian_files *f, const char *name, struct marian_place *out) {
    static const char *const outer[][2] = {
        {"embed_tokens.weight", "embeddings/weight"},
        {"embed_tokens.weight", "embeddings_0/weight"},
        {"embed_positions.weight", "position_encodings/encodings"},
        {"layer_norm.weight", "layer_norm/gamma"},
        {"layer_norm.bias", "layer_norm/beta"},
        {"layernorm_embedding.weight", "layernorm_embedding/gamma"},
        {"layernorm_embedding.bias", "layernorm_embedding/beta"}};
    struct marian_name m = marian_name_split(name);
    if (m.layer >= 0) {
        return find_in_layer(f, &m, out);
    }
    if (strcmp(name, "lm_head.weight") == 0) {
        return found(f, "decoder/projection/weight", out) ||
               found(f, "decoder/embeddings/weight", out);
    }
    if (strcmp(name, "final_logits_bias") == 0) {
        return found(f, "decoder/projection/bias", out);
    }
    for (size_t i = 0; i < BTH_COUNT(outer); i++) {
        char full[64];
        snprintf(full, sizeof(full), "%s/%s", m.decoder ? "decoder" : "encoder", outer[i][1]);
        if (strcmp(m.what, outer[i][0]) == 0 && found(f, full, out)) {
            return true;
        }
    }
    return false;
}

/* ---- configuration --------------------------------------------------------------------------*/

/* A scalar in the encoder's scope or, in old files, in none. */
static const struct bth_source_tensor *scalar(const struct marian_files *f, const char *part,
                                              const char *name) {
    char full[64];
    snprintf(full, sizeof(full), "%s/%s", part, name);
    const struct bth_source_tensor *t = find(f, full);
    return t ? t : find(f, name);
}

static int64_t integer(const struct bth_source_tensor *t, int64_t otherwise) {
    int8_t i8;
    int16_t i16;
    int32_t i32;
    if (t && t->dtype == BERTH_I8 && t->bytes == 1) {
        memcpy(&i8, t->data, 1);
        return i8;
    }
    if (t && t->dtype == BERTH_I16 && t->bytes == 2) {
        memcpy(&i16, t->data, 2);
        return i16;
    }
    if (t && t->dtype == BERTH_I32 && t->bytes == 4) {
        memcpy(&i32, t->data, 4);
        return i32;
    }
    return otherwise;
}

static int read_activation(struct marian_files *f, struct berth_error *err) {
    static const enum marian_activation codes[] = {MARIAN_ACT_RELU, MARIAN_ACT_GELU_TANH,
                                                   MARIAN_ACT_SWISH, MARIAN_ACT_GELU,
                                                   MARIAN_ACT_GELU_SIGMOID};
    int64_t code = integer(scalar(f, "encoder", "activation"), 0);
    if (code < 0 || code >= (int64_t)BTH_COUNT(codes) ||
        code != integer(scalar(f, "decoder", "activation"), 0)) {
        return bth_error(err, BERTH_EFORMAT, "activation %lld is not known", (long long)code);
    }
    f->config.activation = codes[code];
    return 0;
}

/* A flag, or a number to multiply with; old files mean the root of the width by silence. */
static float embedding_scale(const struct marian_files *f, const char *part) {
    const struct bth_source_tensor *t = scalar(f, part, "scale_embeddings");
    if (!t) {
        t = scalar(f, part, "embeddings/multiply_by_sqrt_depth");
    }
    if (t && t->dtype == BERTH_F32 && t->bytes == sizeof(float)) {
        return marian_scalar(t);
    }
    return integer(t, 1) ? (float)sqrt((double)f->config.d) : 1;
}

/* A switch that is off. */
static bool is_off(const struct bth_source_tensor *t) {
    return t->rank == 0 && integer(t, 1) == 0;
}

/* Blocks that other architectures have: the names give them away. */
static int check_kind(const struct marian_files *f, struct berth_error *err) {
    static const char *const foreign[] = {"/relative_", "/linear_0_noact/", "/rotary_",
                                          "/alibi",     "/embeddings_1/",   "/project_in/",
                                          "/gate_",     "/multi_query_"};
    if (!*bth_ct2_spec(f->source, &(uint32_t){0}) && bth_source_count(f->source) > MAX_OLD) {
        return bth_error(err, BERTH_EFORMAT, "%zu tensors in a file of version 1, at most %d",
                         bth_source_count(f->source), MAX_OLD);
    }
    for (size_t i = 0; i < bth_source_count(f->source); i++) {
        const struct bth_source_tensor *t = bth_source_at(f->source, i);
        for (size_t j = 0; j < BTH_COUNT(foreign); j++) {
            if (strstr(t->name, foreign[j]) && !is_off(t)) {
                return bth_error(err, BERTH_EFORMAT, "%.100s belongs to no plain Transformer",
                                 t->name);
            }
        }
    }
    return 0;
}

static int count_layers(const struct marian_files *f, const char *part) {
    int n = marian_count_layers(f->source, part, "/layer_", 0);
    char old[64];
    snprintf(old, sizeof(old), "transformer/%s", part);
    return n ? n : marian_count_layers(f->source, old, "/layer_", 0);
}

static int read_sizes(struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    struct marian_place source, target, head, up;
    if (!marian_ct2_find(f, "model.encoder.embed_tokens.weight", &source) ||
        !marian_ct2_find(f, "model.decoder.embed_tokens.weight", &target) ||
        !marian_ct2_find(f, "lm_head.weight", &head)) {
        return bth_error(err, BERTH_EFORMAT, "the embeddings are missing");
    }
    c->d = source.t->rank == 2 ? source.t->dims[1] : 0;
    c->source_vocab = source.t->dims[0];
    c->target_vocab = target.t->dims[0];
    c->tied_embeddings = source.t->data == target.t->data;
    c->tied_output = target.t->data == head.t->data;
    c->encoder_layers = count_layers(f, "encoder");
    c->decoder_layers = count_layers(f, "decoder");
    if (marian_ct2_find(f, "model.encoder.layers.0.fc1.weight", &up) && up.t->rank == 2) {
        c->encoder_ffn = up.t->dims[0];
    }
    if (marian_ct2_find(f, "model.decoder.layers.0.fc1.weight", &up) && up.t->rank == 2) {
        c->decoder_ffn = up.t->dims[0];
        c->int8 = up.t->dtype == BERTH_I8 ? MARIAN_INT8_ROWS : MARIAN_INT8_NONE;
    }
    bool big = strcmp(bth_ct2_spec(f->source, &(uint32_t){0}), "TransformerBig") == 0;
    c->encoder_heads = integer(scalar(f, "encoder", "num_heads"), big ? 16 : 8);
    c->decoder_heads = integer(scalar(f, "decoder", "num_heads"), big ? 16 : 8);
    return 0;
}

static int read_network(struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    struct marian_place p;
    c->pre_norm = integer(scalar(f, "encoder", "pre_norm"), 1) != 0;
    c->final_norm = marian_ct2_find(f, "model.encoder.layer_norm.weight", &p);
    c->normalize_embedding = marian_ct2_find(f, "model.encoder.layernorm_embedding.weight", &p);
    c->embedding_scale = embedding_scale(f, "encoder");
    if (embedding_scale(f, "decoder") != c->embedding_scale) {
        return bth_error(err, BERTH_EFORMAT, "two scales of embeddings are not read");
    }
    c->pos_kind = MARIAN_POS_ONMT_TF;
    if (marian_ct2_find(f, "model.encoder.embed_positions.weight", &p)) {
        c->pos_kind = MARIAN_POS_STORED;
        c->max_positions = p.t->rank == 2 ? p.t->dims[0] : 0;
    }
    c->start_from_zero = integer(find(f, "decoder/start_from_zero_embedding"), 0) != 0;
    c->alignment_layer = (int32_t)integer(scalar(f, "decoder", "alignment_layer"), -1);
    if (c->alignment_layer < -1 || c->alignment_layer >= c->decoder_layers) {
        c->alignment_layer = -1;
    }
    int64_t heads = integer(scalar(f, "decoder", "alignment_heads"), 1);
    c->alignment_head = heads == 1 ? 0 : -1;
    return read_activation(f, err);
}

static void copy_token(const json_t *o, const char *key, const char *otherwise,
                       char out[MARIAN_TOKEN_BYTES]) {
    const json_t *v = json_object_get(o, key);
    const char *text = json_is_string(v) ? json_string_value(v) : json_is_null(v) ? "" : otherwise;
    snprintf(out, MARIAN_TOKEN_BYTES, "%s", text);
}

static int read_json(struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    json_t *o = NULL;
    int rc = marian_json_load(f->dir, "config.json", &o, err);
    if (rc < 0) {
        return rc;
    }
    copy_token(o, "unk_token", "<unk>", f->tokens.unk);
    copy_token(o, "bos_token", "<s>", f->tokens.bos);
    copy_token(o, "eos_token", "</s>", f->tokens.eos);
    copy_token(o, "decoder_start_token", f->tokens.bos, f->tokens.start);
    c->ln_eps = marian_json_float(o, "layer_norm_epsilon", 1e-5F);
    bool eos = marian_json_bool(o, "add_source_eos", false);
    bool bos = marian_json_bool(o, "add_source_bos", false);
    json_decref(o);
    c->eos = c->unk = c->bos = c->start = MARIAN_ID_OF_VOCAB;
    c->source_eos = eos ? MARIAN_ID_OF_VOCAB : -1;
    c->source_bos = bos ? MARIAN_ID_OF_VOCAB : -1;
    c->pad = c->forced_eos = c->forced_bos = -1;
    c->num_beams = 2;
    c->max_length = 257; /* 256 tokens and the start */
    c->length_penalty = c->repetition_penalty = 1;
    c->max_source = 1024;
    return 0;
}

static int read_paths(struct marian_files *f, struct berth_error *err) {
    static const struct {
        const char *name;
        int path;
    } names[] = {{"shared_vocabulary.json", 0}, {"shared_vocabulary.txt", 0},
                 {"source_vocabulary.json", 0}, {"source_vocabulary.txt", 0},
                 {"target_vocabulary.json", 1}, {"target_vocabulary.txt", 1}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(names); i++) {
        if (!f->paths[names[i].path]) {
            rc = marian_path_if_file(f, names[i].name, &f->paths[names[i].path], err);
        }
    }
    f->config.shared_vocab = f->paths[1] == NULL;
    return rc;
}

int marian_ct2_config(struct marian_files *f, struct berth_error *err) {
    int rc = check_kind(f, err);
    if (rc == 0) {
        rc = read_sizes(f, err);
    }
    if (rc == 0) {
        rc = read_network(f, err);
    }
    if (rc == 0) {
        rc = read_json(f, err);
    }
    return rc < 0 ? rc : read_paths(f, err);
}

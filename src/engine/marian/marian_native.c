/*
 * Marian's own models: .npz and .bin, Bergamot's folders among them. The network is described in
 * the weights (special:model.yml), the search in a .yml beside them (decoder.yml, config*.yml).
 */
#include "marian/marian_layout.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "marian/marian_json.h"
#include "marian/marian_native.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const struct marian_yaml *y, const char *key, const char *otherwise) {
    const char *text = marian_yaml_at(y, key, 0);
    return text ? text : otherwise;
}

static int unsupported(const char *key, const char *value, struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "model.yml: %s %.60s is not read", key, value);
}

/* What the network may not have, because nothing here computes it. */
static int check_kind(const struct marian_yaml *y, struct berth_error *err) {
    static const struct {
        const char *key, *only;
    } only[] = {{"type", "transformer"},       {"transformer-no-projection", "false"},
                {"transformer-pool", "false"}, {"ulr", "false"},
                {"lemma-dim-emb", "0"},        {"transformer-ffn-depth", "2"},
                {"input-types", NULL},         {"transformer-tied-layers", NULL},
                {"right-left", "false"}};
    for (size_t i = 0; i < BTH_COUNT(only); i++) {
        const char *value = marian_yaml_at(y, only[i].key, 0);
        if (value && (!only[i].only || strcmp(value, only[i].only) != 0)) {
            return unsupported(only[i].key, value, err);
        }
    }
    return 0;
}

/* Marian spells a block's frame as letters: d dropout, a add, n norm. */
static int read_norms(struct marian_config *c, const struct marian_yaml *y,
                      struct berth_error *err) {
    const char *pre = text_of(y, "transformer-preprocess", "");
    const char *post = text_of(y, "transformer-postprocess", "dan");
    bool add = strchr(post, 'a') != NULL, after = strchr(post, 'n') != NULL;
    c->pre_norm = strchr(pre, 'n') != NULL;
    if (!add || c->pre_norm == after || strpbrk(pre, "ahg") || strpbrk(post, "hg")) {
        return unsupported("transformer-postprocess", post, err);
    }
    c->normalize_embedding = strchr(text_of(y, "transformer-postprocess-emb", "d"), 'n') != NULL;
    c->final_norm = strchr(text_of(y, "transformer-postprocess-top", ""), 'n') != NULL;
    return 0;
}

static int read_parts(struct marian_config *c, const struct marian_yaml *y,
                      struct berth_error *err) {
    const char *act = text_of(y, "transformer-ffn-activation", "swish");
    const char *decoder = text_of(y, "transformer-decoder-autoreg", "self-attention");
    if (strcmp(act, "relu") == 0) {
        c->activation = MARIAN_ACT_RELU;
    } else if (strcmp(act, "swish") == 0) {
        c->activation = MARIAN_ACT_SWISH;
    } else if (strcmp(act, "gelu") == 0) {
        c->activation = MARIAN_ACT_GELU_SIGMOID;
    } else {
        return unsupported("transformer-ffn-activation", act, err);
    }
    if (strcmp(decoder, "rnn") == 0) {
        const char *cell = text_of(y, "dec-cell", "ssru");
        if (strcmp(cell, "ssru") != 0 || marian_yaml_bool(y, "transformer-rnn-projection", false)) {
            return unsupported("dec-cell", cell, err);
        }
        c->decoder = MARIAN_DECODER_SSRU;
    } else if (strcmp(decoder, "self-attention") == 0) {
        c->decoder = MARIAN_DECODER_ATTENTION;
    } else {
        return unsupported("transformer-decoder-autoreg", decoder, err);
    }
    return read_norms(c, y, err);
}

static int64_t rows_of(const struct marian_files *f, const char *name, int64_t *cols) {
    const struct bth_source_tensor *t = bth_source_find(f->source, name);
    *cols = t && t->rank == 2 ? t->dims[1] : 0;
    return t && t->rank == 2 ? t->dims[0] : 0;
}

static int read_sizes(struct marian_files *f, const struct marian_yaml *y,
                      struct berth_error *err) {
    struct marian_config *c = &f->config;
    c->tied_embeddings = bth_source_find(f->source, "Wemb") != NULL;
    int64_t target_d;
    c->source_vocab = rows_of(f, c->tied_embeddings ? "Wemb" : "encoder_Wemb", &c->d);
    c->target_vocab = rows_of(f, c->tied_embeddings ? "Wemb" : "decoder_Wemb", &target_d);
    c->tied_output = !bth_source_find(f->source, "decoder_ff_logit_out_W") &&
                     !bth_source_find(f->source, "decoder_ff_logit_out_Wt");
    c->encoder_heads = c->decoder_heads = marian_yaml_int(y, "transformer-heads", 8);
    c->encoder_layers = marian_count_layers(f->source, "encoder", "_l", 1);
    c->decoder_layers = marian_count_layers(f->source, "decoder", "_l", 1);
    struct marian_place up;
    if (marian_native_find(f, "model.encoder.layers.0.fc1.weight", &up)) {
        c->encoder_ffn = up.t->dims[up.transposed ? 1 : 0];
    }
    if (marian_native_find(f, "model.decoder.layers.0.fc1.weight", &up)) {
        c->decoder_ffn = up.t->dims[up.transposed ? 1 : 0];
    }
    if (c->d < 2) {
        return bth_error(err, BERTH_EFORMAT, "tensor %s is missing",
                         c->tied_embeddings ? "Wemb" : "encoder_Wemb");
    }
    c->embedding_scale = (float)sqrt((double)c->d);
    c->ln_eps = 1e-6F;
    bool learned = marian_yaml_bool(y, "transformer-train-position-embeddings", false);
    c->pos_kind = learned ? MARIAN_POS_STORED : MARIAN_POS_MARIAN;
    if (learned) {
        c->max_positions = rows_of(f, "Wpos", &target_d);
    }
    return 0;
}

static int32_t alignment_layer(const struct marian_config *c, const struct marian_yaml *y) {
    int64_t layer = marian_yaml_int(y, "transformer-guided-alignment-layer", 0); /* or "last" */
    return layer >= 1 && layer <= c->decoder_layers ? (int32_t)layer - 1 : -1;
}

/* special:model.yml, bytes with a NUL */
static int read_model_yml(struct marian_files *f, struct berth_error *err) {
    const struct bth_source_tensor *t = bth_source_find(f->source, "special:model.yml");
    if (!t || t->dtype != BERTH_I8) {
        return bth_error(err, BERTH_EFORMAT, "the weights hold no special:model.yml");
    }
    const char *end = t->bytes ? memchr(t->data, 0, t->bytes) : NULL;
    struct marian_yaml y;
    int rc =
        marian_yaml_parse(&y, t->data, end ? (size_t)(end - (const char *)t->data) : t->bytes, err);
    if (rc < 0) {
        bth_error_prefix(err, "special:model.yml: ");
        return rc;
    }
    rc = check_kind(&y, err);
    if (rc == 0) {
        rc = read_parts(&f->config, &y, err);
    }
    if (rc == 0) {
        rc = read_sizes(f, &y, err);
    }
    if (rc == 0) {
        f->config.alignment_layer = alignment_layer(&f->config, &y);
        f->config.alignment_head = 0; /* the one that training guides */
    }
    marian_yaml_finish(&y);
    return rc;
}

/* How int8 products are meant: the yml says it, or the file by what it holds. */
static enum marian_int8 int8_kind(const struct marian_files *f, const char *precision) {
    struct marian_place p;
    if (!marian_native_find(f, "model.encoder.layers.0.fc1.weight", &p) || p.t->dtype != BERTH_I8) {
        return MARIAN_INT8_NONE;
    }
    bool alphas = p.alpha != NULL;
    if (precision && strstr(precision, "Alpha") == NULL) {
        alphas = false;
    }
    return alphas ? MARIAN_INT8_SHIFT_ALPHA : MARIAN_INT8_DYNAMIC;
}

static int read_search(struct marian_files *f, const struct marian_yaml *y,
                       struct berth_error *err) {
    struct marian_config *c = &f->config;
    bool student = c->decoder == MARIAN_DECODER_SSRU;
    int64_t beams = marian_yaml_int(y, "beam-size", student ? 1 : 12);
    int64_t length = marian_yaml_int(y, "max-length", 1000);
    c->max_length_factor = marian_yaml_float(y, "max-length-factor", student ? 2 : 3);
    if (beams < 1 || beams > 1024 || length < 1 || length > 1 << 20 ||
        !(c->max_length_factor > 0 && c->max_length_factor <= 100)) {
        return bth_error(err, BERTH_EFORMAT, "beam-size %lld, max-length-factor %g: not possible",
                         (long long)beams, (double)c->max_length_factor);
    }
    c->num_beams = (int32_t)beams;
    c->length_penalty = marian_yaml_float(y, "normalize", 0);
    c->word_penalty = marian_yaml_float(y, "word-penalty", 0);
    c->skip_cost = marian_yaml_bool(y, "skip-cost", false);
    c->suppress_unk = !marian_yaml_bool(y, "allow-unk", false);
    c->repetition_penalty = 1;
    c->max_source = (int32_t)length;
    c->int8 = int8_kind(f, marian_yaml_at(y, "gemm-precision", 0));
    c->eos = c->unk = c->source_eos = MARIAN_ID_OF_VOCAB;
    c->pad = c->bos = c->start = c->source_bos = c->forced_eos = c->forced_bos = -1;
    c->start_from_zero = true;
    f->tokens = (struct marian_tokens){.unk = "<unk>", .eos = "</s>"};
    return 0;
}

int marian_native_config(struct marian_files *f, const char *weights, struct berth_error *err) {
    struct marian_folder folder;
    int rc = read_model_yml(f, err);
    if (rc < 0) {
        return rc;
    }
    rc = marian_folder_open(&folder, f->dir, weights, err);
    if (rc < 0) {
        return rc;
    }
    rc = read_search(f, &folder.yml, err);
    if (rc == 0) {
        rc = marian_folder_paths(&folder, f, err);
    }
    if (rc == 0) {
        struct marian_config *c = &f->config;
        c->shared_vocab = c->tied_embeddings;
        if (f->paths[0] && f->paths[1] && strcmp(f->paths[0], f->paths[1]) != 0) {
            c->shared_vocab = false;
        }
    }
    marian_folder_close(&folder);
    return rc;
}

/* The native name of a matrix is GROUP_W and its suffix, of its bias GROUP_b and its suffix. */
static const struct {
    const char *what, *group, *suffix;
} layer_names[] = {{"self_attn.q_proj", "self", "q"},
                   {"self_attn.k_proj", "self", "k"},
                   {"self_attn.v_proj", "self", "v"},
                   {"self_attn.out_proj", "self", "o"},
                   {"encoder_attn.q_proj", "context", "q"},
                   {"encoder_attn.k_proj", "context", "k"},
                   {"encoder_attn.v_proj", "context", "v"},
                   {"encoder_attn.out_proj", "context", "o"},
                   {"fc1", "ffn", "1"},
                   {"fc2", "ffn", "2"},
                   {"ssru.gate", "rnn", "f"},
                   {"ssru", "rnn", ""}};
static const struct {
    const char *what, *native;
} norm_names[] = {{"self_attn_layer_norm", "self_Wo"},
                  {"encoder_attn_layer_norm", "context_Wo"},
                  {"final_layer_norm", "ffn_ffn"},
                  {"ssru_layer_norm", "rnn_ffn"}};

/* "fc1.weight" is "fc1" and its weight. */
static bool named(const char *what, const char *name, bool *weight) {
    size_t n = strlen(name);
    if (strncmp(what, name, n) != 0) {
        return false;
    }
    *weight = strcmp(what + n, ".weight") == 0;
    return *weight || strcmp(what + n, ".bias") == 0;
}

static bool layer_name(const struct marian_files *f, const struct marian_name *m, char out[64],
                       bool *matrix) {
    const char *part = m->decoder ? "decoder" : "encoder";
    for (size_t i = 0; i < BTH_COUNT(layer_names); i++) {
        if (named(m->what, layer_names[i].what, matrix)) {
            snprintf(out, 64, "%s_l%d_%s_%c%s", part, m->layer + 1, layer_names[i].group,
                     *matrix ? 'W' : 'b', layer_names[i].suffix);
            return true;
        }
    }
    bool weight;
    for (size_t i = 0; i < BTH_COUNT(norm_names); i++) {
        if (named(m->what, norm_names[i].what, &weight)) {
            *matrix = false;
            snprintf(out, 64, "%s_l%d_%s_ln_%s%s", part, m->layer + 1, norm_names[i].native,
                     weight ? "scale" : "bias", f->config.pre_norm ? "_pre" : "");
            return true;
        }
    }
    return false;
}

/* What lies outside of layers: names to be tried in order. */
struct candidates {
    char name[3][64];
};

static bool outer_names(const struct marian_name *m, struct candidates *c) {
    const char *part = m->decoder ? "decoder" : "encoder";
    if (strcmp(m->what, "embed_tokens.weight") == 0) {
        snprintf(c->name[0], 64, "Wemb");
        snprintf(c->name[1], 64, "%s_Wemb", part);
    } else if (strcmp(m->what, "embed_positions.weight") == 0) {
        snprintf(c->name[0], 64, "Wpos");
    } else if (strcmp(m->what, "lm_head.weight") == 0) {
        snprintf(c->name[0], 64, "decoder_ff_logit_out_Wt");
        snprintf(c->name[1], 64, "Wemb");
        snprintf(c->name[2], 64, "decoder_Wemb");
    } else if (strcmp(m->what, "final_logits_bias") == 0) {
        snprintf(c->name[0], 64, "decoder_ff_logit_out_b");
    } else if (strcmp(m->what, "layer_norm.weight") == 0) {
        snprintf(c->name[0], 64, "%s_top_ln_scale", part);
    } else if (strcmp(m->what, "layer_norm.bias") == 0) {
        snprintf(c->name[0], 64, "%s_top_ln_bias", part);
    } else if (strcmp(m->what, "layernorm_embedding.weight") == 0) {
        snprintf(c->name[0], 64, "%s_emb_ln_scale", part);
    } else if (strcmp(m->what, "layernorm_embedding.bias") == 0) {
        snprintf(c->name[0], 64, "%s_emb_ln_bias", part);
    } else {
        return false;
    }
    return true;
}

static const struct bth_source_tensor *beside(const struct marian_files *f, const char *name,
                                              const char *suffix) {
    char full[128];
    snprintf(full, sizeof(full), "%s%s", name, suffix);
    return bth_source_find(f->source, full);
}

static bool found(const struct marian_files *f, const char *name, bool matrix,
                  struct marian_place *out) {
    out->t = bth_source_find(f->source, name);
    if (out->t) {
        out->scale = beside(f, name, BTH_MARIAN_SCALE);
        out->alpha = beside(f, name, "_QuantMultA");
        out->transposed = matrix && !out->scale; /* intgemm matrices are [n, k] already */
    }
    return out->t != NULL;
}

bool marian_native_find(const struct marian_files *f, const char *name, struct marian_place *out) {
    struct marian_name m = marian_name_split(name);
    if (m.layer >= 0) {
        char native[64];
        bool matrix;
        return layer_name(f, &m, native, &matrix) && found(f, native, matrix, out);
    }
    bool head = strcmp(m.what, "lm_head.weight") == 0;
    if (head && found(f, "decoder_ff_logit_out_W", true, out)) {
        return true;
    }
    struct candidates c = {{{0}}};
    bool yes = false;
    if (outer_names(&m, &c)) {
        for (size_t i = 0; !yes && i < BTH_COUNT(c.name); i++) {
            yes = c.name[i][0] && found(f, c.name[i], false, out);
        }
    }
    if (yes && head) { /* the product of selected rows, which has no name of its own */
        const struct bth_source_tensor *alpha = bth_source_find(f->source, "none_QuantMultA");
        out->alpha = alpha ? alpha : out->alpha;
    }
    return yes;
}

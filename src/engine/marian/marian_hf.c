/* A Hugging Face directory: config.json, generation_config.json, tokenizer_config.json, and the
 * weights under the names that are canonical here. */
#include "marian/marian_layout.h"

#include "base/alloc.h"
#include "base/error.h"
#include "marian/marian_json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int read_activation(struct marian_config *c, const json_t *o, struct berth_error *err) {
    static const struct {
        const char *name;
        enum marian_activation act;
    } names[] = {{"swish", MARIAN_ACT_SWISH},
                 {"silu", MARIAN_ACT_SWISH},
                 {"relu", MARIAN_ACT_RELU},
                 {"gelu", MARIAN_ACT_GELU},
                 {"gelu_new", MARIAN_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", MARIAN_ACT_GELU_TANH},
                 {"quick_gelu", MARIAN_ACT_GELU_SIGMOID}};
    const char *name = json_string_value(json_object_get(o, "activation_function"));
    name = name ? name : "gelu";
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            c->activation = names[i].act;
            return 0;
        }
    }
    return bth_error(err, BERTH_EFORMAT, "config.json: activation %.40s is not known", name);
}

/* The generation keeps ids in lists of lists; the list must fit. */
static int read_bad_words(struct marian_config *c, const json_t *o, struct berth_error *err) {
    const json_t *words = json_object_get(o, "bad_words_ids"), *word, *id;
    size_t i, j;
    int32_t n = 0;
    c->n_bad_words = 0;
    json_array_foreach(words, i, word) {
        if (i >= MARIAN_MAX_BAD_WORDS) {
            return bth_error(err, BERTH_EFORMAT, "more than %d bad_words_ids",
                             MARIAN_MAX_BAD_WORDS);
        }
        json_array_foreach(word, j, id) {
            json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
            if (n >= MARIAN_MAX_BAD_IDS || v < 0 || v > INT32_MAX) {
                return bth_error(err, BERTH_EFORMAT, "bad_words_ids hold too much or no ids");
            }
            c->bad_ids[n++] = (int32_t)v;
        }
        if (json_array_size(word) > 0) {
            c->bad_lengths[c->n_bad_words++] = (int32_t)json_array_size(word);
        }
    }
    return 0;
}

/* What generate() does: from generation_config.json if there is one, else from config.json; what
 * the one says is not completed by the other, but for ids. */
static int read_generation(struct marian_config *c, const json_t *o, int32_t forced_eos,
                           struct berth_error *err) {
    c->eos = marian_json_id(o, "eos_token_id", c->eos);
    c->pad = marian_json_id(o, "pad_token_id", c->pad);
    c->bos = marian_json_id(o, "bos_token_id", c->bos);
    c->start = marian_json_id(o, "decoder_start_token_id", c->start);
    c->forced_eos = marian_json_id(o, "forced_eos_token_id", forced_eos);
    c->forced_bos = marian_json_id(o, "forced_bos_token_id", -1);
    int64_t beams = marian_json_int(o, "num_beams", 1);
    int64_t length = marian_json_int(o, "max_length", 20);
    int64_t ngram = marian_json_int(o, "no_repeat_ngram_size", 0);
    if (beams < 1 || beams > 1024 || length < 2 || length > 1 << 20 || ngram < 0 || ngram > 1000) {
        return bth_error(err, BERTH_EFORMAT, "%lld beams, max_length %lld: not possible",
                         (long long)beams, (long long)length);
    }
    c->num_beams = (int32_t)beams;
    c->max_length = (int32_t)length;
    c->no_repeat_ngram = (int32_t)ngram;
    c->length_penalty = marian_json_float(o, "length_penalty", 1);
    c->repetition_penalty = marian_json_float(o, "repetition_penalty", 1);
    c->renormalize_logits = marian_json_bool(o, "renormalize_logits", false);
    const json_t *stop = json_object_get(o, "early_stopping");
    c->early_stopping = json_is_string(stop) && strcmp(json_string_value(stop), "never") == 0
                            ? MARIAN_STOP_NEVER
                        : json_is_true(stop) ? MARIAN_STOP_TRUE
                                             : MARIAN_STOP_FALSE;
    return read_bad_words(c, o, err);
}

static int read_network(struct marian_config *c, const json_t *o, struct berth_error *err) {
    c->source_vocab = marian_json_int(o, "vocab_size", 0);
    c->target_vocab = marian_json_int(o, "decoder_vocab_size", c->source_vocab);
    c->shared_vocab = c->tied_embeddings =
        marian_json_bool(o, "share_encoder_decoder_embeddings", true);
    c->tied_output = marian_json_bool(o, "tie_word_embeddings", true);
    c->d = marian_json_int(o, "d_model", 1024);
    c->encoder_heads = marian_json_int(o, "encoder_attention_heads", 16);
    c->decoder_heads = marian_json_int(o, "decoder_attention_heads", 16);
    c->encoder_ffn = marian_json_int(o, "encoder_ffn_dim", 4096);
    c->decoder_ffn = marian_json_int(o, "decoder_ffn_dim", 4096);
    c->max_positions = marian_json_int(o, "max_position_embeddings", 1024);
    c->ln_eps = 1e-5F;
    bool scale = marian_json_bool(o, "scale_embedding", false);
    c->embedding_scale = scale && c->d > 0 ? (float)sqrt((double)c->d) : 1;
    int64_t encoder = marian_json_int(o, "encoder_layers", 12);
    int64_t decoder = marian_json_int(o, "decoder_layers", 12);
    if (encoder < 1 || encoder > MARIAN_MAX_LAYERS || decoder < 1 || decoder > MARIAN_MAX_LAYERS) {
        return bth_error(err, BERTH_EFORMAT,
                         "config.json: %lld encoder and %lld decoder layers: 1 to %d are read",
                         (long long)encoder, (long long)decoder, MARIAN_MAX_LAYERS);
    }
    c->encoder_layers = (int)encoder;
    c->decoder_layers = (int)decoder;
    return read_activation(c, o, err);
}

/* A token is a string, or an object that says more of it. */
static void copy_token(const json_t *o, const char *key, const char *otherwise,
                       char out[MARIAN_TOKEN_BYTES]) {
    const json_t *v = json_object_get(o, key);
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    snprintf(out, MARIAN_TOKEN_BYTES, "%s", text ? text : otherwise);
}

static int read_tokenizer(struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    json_t *o = NULL;
    int rc = marian_json_load(f->dir, "tokenizer_config.json", &o, err);
    if (rc < 0) {
        return rc;
    }
    c->clean_up_spaces = marian_json_bool(o, "clean_up_tokenization_spaces", false);
    int64_t length = marian_json_int(o, "model_max_length", 512);
    c->max_source = length > 0 && length <= 1 << 20 ? (int32_t)length : 0;
    copy_token(o, "unk_token", "<unk>", f->tokens.unk);
    copy_token(o, "eos_token", "</s>", f->tokens.eos);
    copy_token(o, "pad_token", "<pad>", f->tokens.pad);
    bool separate = marian_json_bool(o, "separate_vocabs", false);
    json_decref(o);
    rc = marian_path_if_file(f, "vocab.json", &f->paths[0], err);
    if (rc == 0 && separate) {
        c->shared_vocab = false;
        rc = marian_path_if_file(f, "target_vocab.json", &f->paths[1], err);
    }
    return rc;
}

int marian_hf_config(struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    json_t *o = NULL, *generation = NULL;
    int rc = marian_json_load(f->dir, "config.json", &o, err);
    if (rc == 0) {
        rc = read_network(c, o, err);
    }
    if (rc == 0) {
        rc = marian_json_load(f->dir, "generation_config.json", &generation, err);
    }
    if (rc == 0) {
        /* ids of config.json first; the class has eos 0, pad and start 58100 */
        c->eos = marian_json_id(o, "eos_token_id", 0);
        c->pad = marian_json_id(o, "pad_token_id", 58100);
        c->bos = marian_json_id(o, "bos_token_id", -1);
        c->start = marian_json_id(o, "decoder_start_token_id", c->pad);
        c->unk = MARIAN_ID_OF_VOCAB;
        rc = read_generation(c, generation ? generation : o, generation ? -1 : 0, err);
    }
    if (rc == 0) {
        c->source_eos = c->eos;
        c->source_bos = -1;
        c->alignment_layer = c->alignment_head = -1;
        c->pos_kind = bth_source_find(f->source, "model.encoder.embed_positions.weight") &&
                              bth_source_find(f->source, "model.decoder.embed_positions.weight")
                          ? MARIAN_POS_STORED
                          : MARIAN_POS_HF;
        rc = read_tokenizer(f, err);
    }
    json_decref(generation);
    json_decref(o);
    return rc;
}

/* Checkpoints hold a shared matrix once or several times, under any of its names. */
static const struct bth_source_tensor *first_of(const struct marian_files *f, const char *a,
                                                const char *b, const char *c) {
    const char *names[] = {a, b, c};
    const struct bth_source_tensor *t = NULL;
    for (size_t i = 0; !t && i < BTH_COUNT(names); i++) {
        t = names[i] ? bth_source_find(f->source, names[i]) : NULL;
    }
    return t;
}

bool marian_hf_find(const struct marian_files *f, const char *name, struct marian_place *out) {
    static const char shared[] = "model.shared.weight", head[] = "lm_head.weight",
                      encoder[] = "model.encoder.embed_tokens.weight",
                      decoder[] = "model.decoder.embed_tokens.weight";
    const struct marian_config *c = &f->config;
    const char *want = strcmp(name, head) == 0 && c->tied_output ? decoder : name;
    bool embedding = strcmp(want, encoder) == 0 || strcmp(want, decoder) == 0;
    if (embedding && c->tied_embeddings) {
        out->t = first_of(f, shared, encoder, decoder);
        out->t = out->t ? out->t : c->tied_output ? first_of(f, head, NULL, NULL) : NULL;
    } else if (strcmp(want, decoder) == 0) {
        out->t = first_of(f, decoder, c->tied_output ? head : NULL, NULL);
    } else if (strcmp(want, encoder) == 0) {
        out->t = first_of(f, encoder, shared, NULL);
    } else {
        out->t = first_of(f, want, NULL, NULL);
    }
    return out->t != NULL;
}

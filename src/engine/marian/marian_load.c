/* Weights: from the one naming of marian_files.h into one struct, packed on the device. */
#include "marian/marian_weights.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <math.h>
#include <stdio.h>

enum { NAME = 128 };

/* ---- layers ---------------------------------------------------------------------------------- */

static int load_block(struct marian_loader *l, const char *prefix, struct marian_linear *in,
                      const char *parts, struct marian_linear *out_proj, const char *attn) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    snprintf(name, sizeof(name), "%s%s.", prefix, attn);
    int rc = marian_load_linear(l, name, parts, d, d, in);
    return rc < 0 ? rc : marian_load_linear(l, name, "out_proj", d, d, out_proj);
}

static int load_self(struct marian_loader *l, const char *prefix, bool ssru,
                     struct marian_layer *out) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    int rc;
    if (ssru) {
        rc = marian_load_linear(l, prefix, "ssru", d, d, &out->ssru);
        rc = rc < 0 ? rc : marian_load_linear(l, prefix, "ssru.gate", d, d, &out->gate);
    } else {
        rc = load_block(l, prefix, &out->qkv, "q_proj,k_proj,v_proj", &out->self_out, "self_attn");
    }
    snprintf(name, sizeof(name), "%s%s", prefix, ssru ? "ssru_layer_norm" : "self_attn_layer_norm");
    return rc < 0 ? rc : marian_load_norm(l, name, &out->self_norm);
}

static int load_cross(struct marian_loader *l, const char *prefix, struct marian_layer *out) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    int rc = load_block(l, prefix, &out->cross_q, "q_proj", &out->cross_out, "encoder_attn");
    snprintf(name, sizeof(name), "%sencoder_attn.", prefix);
    rc = rc < 0 ? rc : marian_load_linear(l, name, "k_proj,v_proj", d, d, &out->cross_kv);
    snprintf(name, sizeof(name), "%sencoder_attn_layer_norm", prefix);
    return rc < 0 ? rc : marian_load_norm(l, name, &out->cross_norm);
}

static int load_layer(struct marian_loader *l, bool decoder, int i, struct marian_layer *out) {
    const struct marian_config *c = &l->m->config;
    const int64_t ffn = decoder ? c->decoder_ffn : c->encoder_ffn;
    char prefix[NAME / 2], name[NAME];
    snprintf(prefix, sizeof(prefix), "model.%s.layers.%d.", decoder ? "decoder" : "encoder", i);
    int rc = load_self(l, prefix, decoder && c->decoder == MARIAN_DECODER_SSRU, out);
    if (rc == 0 && decoder) {
        rc = load_cross(l, prefix, out);
    }
    if (rc == 0) {
        rc = marian_load_linear(l, prefix, "fc1", ffn, c->d, &out->ffn_up);
    }
    if (rc == 0) {
        rc = marian_load_linear(l, prefix, "fc2", c->d, ffn, &out->ffn_down);
    }
    snprintf(name, sizeof(name), "%sfinal_layer_norm", prefix);
    return rc < 0 ? rc : marian_load_norm(l, name, &out->ffn_norm);
}

static int load_side(struct marian_loader *l, bool decoder) {
    struct marian_model *m = l->m;
    const int n = decoder ? m->config.decoder_layers : m->config.encoder_layers;
    int rc = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        rc = load_layer(l, decoder, i, decoder ? &m->decoder[i] : &m->encoder[i]);
    }
    if (rc == 0 && m->config.final_norm) {
        rc = marian_load_norm(l, decoder ? "model.decoder.layer_norm" : "model.encoder.layer_norm",
                              decoder ? &m->decoder_norm : &m->encoder_norm);
    }
    if (rc == 0 && m->config.normalize_embedding) {
        rc = marian_load_norm(
            l, decoder ? "model.decoder.layernorm_embedding" : "model.encoder.layernorm_embedding",
            decoder ? &m->decoder_first : &m->encoder_first);
    }
    return rc;
}

/* ---- embeddings and output ------------------------------------------------------------------- */

/* A dense tensor of rows in the precision that it is kept in: i8 where that is one scale. */
static int load_rows(struct marian_loader *l, const char *name, int64_t n,
                     struct berth_buffer **buffer, struct marian_table *out) {
    struct berth_device *device = l->m->base.device;
    const int64_t d = l->m->config.d;
    struct marian_tensor t;
    float *wide = NULL;
    int rc = marian_find_matrix(l, name, n, d, &t);
    if (rc < 0) {
        return rc;
    }
    const bool bytes = l->m->eights && t.dtype == BERTH_I8 && t.quant == MARIAN_SCALE_ONE;
    const bool kept = bytes || (marian_is_plain(&t) && !l->m->shortlist);
    const enum berth_dtype dtype = kept ? t.dtype : BERTH_F32;
    const size_t size = (size_t)(n * d) * bth_dtype_bytes(dtype);
    if (!kept) {
        wide = bth_alloc(size);
        rc = wide ? 0 : bth_error_nomem(l->err);
    }
    if (rc == 0) {
        rc = device->ops->buffer_create(device, l->weights, size, buffer, l->err);
    }
    if (rc == 0) {
        if (wide) {
            marian_tensor_to_f32(&t, wide);
        }
        rc = device->ops->write(*buffer, 0, wide ? (const void *)wide : t.data, size);
        if (rc < 0) {
            bth_error(l->err, rc, "writing weights to %s failed", device->name);
        }
    }
    if (rc == 0) {
        *out = (struct marian_table){.rows = bth_tensor(*buffer, dtype, 0, n, d),
                                     .unit = bytes ? 1 / marian_tensor_scale(&t, 0) : 1};
    }
    marian_tensor_release(&t);
    bth_free(wide);
    return rc;
}

/* The units and biases of an output matrix that stays as rows. */
static int load_selected(struct marian_loader *l, int64_t vocab) {
    struct marian_model *m = l->m;
    struct marian_tensor t;
    struct marian_eights e = {.unit = bth_calloc((size_t)vocab, sizeof(float)),
                              .bias = bth_calloc((size_t)vocab, sizeof(float))};
    int rc = e.unit && e.bias ? 0 : bth_error_nomem(l->err);
    if (rc == 0) {
        rc = marian_read_values(l, "final_logits_bias", 1, vocab, e.bias);
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && m->output_rows.dtype == BERTH_I8) {
        rc = marian_find_matrix(l, "lm_head.weight", vocab, m->config.d, &t);
        if (rc == 0) {
            rc = marian_make_eights(l, &t, &e);
            marian_tensor_release(&t);
        }
        if (rc == 0) {
            m->output_eights.alpha = e.alpha;
            rc = marian_put_vector(l, e.unit, 1, vocab, &m->output_eights.unit);
        }
    }
    if (rc == 0) {
        rc = marian_put_vector(l, e.bias, 1, vocab, &m->output_bias);
    }
    marian_finish_eights(&e);
    return rc;
}

static int load_output(struct marian_loader *l, int64_t vocab) {
    struct marian_model *m = l->m;
    struct marian_matrix out = {0};
    struct marian_tensor t;
    int rc = marian_find_matrix(l, "lm_head.weight", vocab, m->config.d, &t);
    if (rc < 0) {
        return rc;
    }
    if (m->eights) {
        rc = marian_load_eights(l, &t, "final_logits_bias", &out);
    } else {
        rc = marian_join(l, &t, 1, &out.w);
        rc = rc < 0 ? rc : marian_load_vector(l, "final_logits_bias", 1, vocab, true, &out.bias);
    }
    marian_tensor_release(&t);
    m->output = out.w;
    m->output_bias = out.bias;
    m->output_eights = out.eights;
    return rc;
}

/* What is both embedding and output is kept once. */
static int load_target(struct marian_loader *l) {
    struct marian_model *m = l->m;
    const struct marian_config *c = &m->config;
    if (m->shortlist && c->tied_output) {
        int rc = load_rows(l, "model.decoder.embed_tokens.weight", c->target_vocab, &m->tables[1],
                           &m->target_table);
        m->output_rows = m->target_table.rows;
        return rc < 0 ? rc : load_selected(l, c->target_vocab);
    }
    int rc = load_output(l, c->target_vocab);
    if (rc < 0) {
        return rc;
    }
    if (c->tied_output && !m->eights) {
        m->target_table = (struct marian_table){.w = m->output, .unit = 1};
        return 0;
    }
    return load_rows(l, "model.decoder.embed_tokens.weight", c->target_vocab, &m->tables[1],
                     &m->target_table);
}

static int load_embeddings(struct marian_loader *l) {
    struct marian_model *m = l->m;
    int rc = load_target(l);
    if (rc == 0 && m->config.tied_embeddings) {
        m->source_table = m->target_table;
        return 0;
    }
    return rc < 0 ? rc
                  : load_rows(l, "model.encoder.embed_tokens.weight", m->config.source_vocab,
                              &m->tables[0], &m->source_table);
}

/* ---- positions ------------------------------------------------------------------------------- */

/* The first half of a row is sines, the second cosines; in f64, rounded once, as numpy does. */
static void make_positions(const struct marian_config *c, int64_t rows, float *out) {
    const int64_t half = c->d / 2;
    const bool hf = c->pos_kind == MARIAN_POS_HF;
    const int64_t first = c->pos_kind == MARIAN_POS_ONMT_TF ? 1 : 0;
    for (int64_t p = 0; p < rows; p++) {
        for (int64_t j = 0; j < half; j++) {
            const double angle =
                hf ? (double)p / pow(10000, 2 * (double)j / (double)c->d)
                   : (double)(p + first) * exp(-(double)j * log(10000) / ((double)half - 1));
            out[p * c->d + j] = (float)sin(angle);
            out[p * c->d + half + j] = (float)cos(angle);
        }
    }
}

/* The first `rows` of a stored table, which may have more. */
static int read_positions(struct marian_loader *l, const char *name, int64_t rows, float *values,
                          struct berth_tensor *out) {
    const struct marian_config *c = &l->m->config;
    struct marian_tensor t;
    int rc = marian_find_matrix(l, name, c->max_positions, c->d, &t);
    if (rc < 0) {
        return rc;
    }
    marian_tensor_rows_to_f32(&t, 0, rows, values);
    marian_tensor_release(&t);
    return marian_put_vector(l, values, rows, c->d, out);
}

static int load_positions(struct marian_loader *l) {
    struct marian_model *m = l->m;
    const struct marian_config *c = &m->config;
    const int64_t rows = m->target_most;
    float *values = bth_calloc((size_t)(rows * c->d), sizeof(*values));
    if (!values) {
        return bth_error_nomem(l->err);
    }
    int rc;
    if (c->pos_kind == MARIAN_POS_STORED) {
        rc = read_positions(l, "model.encoder.embed_positions.weight", rows, values,
                            &m->source_positions);
        rc = rc < 0 ? rc
                    : read_positions(l, "model.decoder.embed_positions.weight", rows, values,
                                     &m->target_positions);
    } else {
        make_positions(c, rows, values);
        rc = marian_put_vector(l, values, rows, c->d, &m->source_positions);
        m->target_positions = m->source_positions;
    }
    bth_free(values);
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* At most: biases and units of all products, norms, positions. */
static size_t vector_elements(const struct marian_config *c) {
    int64_t source, target;
    marian_limits(c, &source, &target);
    const int64_t encoder = 2 * (4 * c->d + c->encoder_ffn + c->d) + 4 * c->d;
    const int64_t decoder = 2 * (8 * c->d + c->decoder_ffn + c->d) + 6 * c->d;
    return (size_t)(c->encoder_layers * encoder + c->decoder_layers * decoder + 8 * c->d +
                    2 * target * c->d + 2 * c->target_vocab);
}

bool marian_takes_eights(const struct marian_config *c, const struct berth_device *device,
                         bool fast) {
    return fast && (c->int8 != MARIAN_INT8_NONE || device->narrow == BERTH_F32);
}

size_t marian_weights_bytes(const struct marian_files *f, struct berth_device *device,
                            bool eights) {
    const struct marian_config *c = &f->config;
    size_t (*bytes)(struct berth_device *, enum berth_dtype, int64_t, int64_t) =
        device->ops->weight_bytes;
    const enum berth_dtype dtype = eights ? BERTH_I8 : BERTH_F32;
    const size_t square = bytes(device, dtype, c->d, c->d);
    const size_t encoder = 4 * square + bytes(device, dtype, c->encoder_ffn, c->d) +
                           bytes(device, dtype, c->d, c->encoder_ffn);
    const size_t decoder = 8 * square + bytes(device, dtype, c->decoder_ffn, c->d) +
                           bytes(device, dtype, c->d, c->decoder_ffn);
    size_t tables = bytes(device, dtype, c->target_vocab, c->d);
    if (eights || !c->tied_output) {
        tables += (size_t)(c->target_vocab * c->d) * sizeof(float);
    }
    if (!c->tied_embeddings) {
        tables += (size_t)(c->source_vocab * c->d) * sizeof(float);
    }
    return (size_t)c->encoder_layers * encoder + (size_t)c->decoder_layers * decoder + tables +
           vector_elements(c) * sizeof(float);
}

int marian_weights_load(struct marian_model *m, const struct marian_files *f,
                        struct berth_reservation *weights, struct berth_error *err) {
    struct marian_loader l = {.m = m, .files = f, .weights = weights, .err = err};
    struct berth_device *device = m->base.device;
    int rc = device->ops->buffer_create(
        device, weights, vector_elements(&m->config) * sizeof(float), &m->vectors, err);
    if (rc == 0) {
        rc = load_side(&l, false);
    }
    if (rc == 0) {
        rc = load_side(&l, true);
    }
    if (rc == 0) {
        rc = load_embeddings(&l);
    }
    return rc < 0 ? rc : load_positions(&l);
}

static void unload_linear(struct marian_linear *l) {
    for (int i = 0; i < MARIAN_MAX_PARTS; i++) {
        bth_weight_destroy(l->part[i].w);
    }
}

static void unload_layer(struct marian_layer *l) {
    struct marian_linear *all[] = {&l->qkv,       &l->self_out, &l->ssru,
                                   &l->gate,      &l->cross_q,  &l->cross_kv,
                                   &l->cross_out, &l->ffn_up,   &l->ffn_down};
    for (size_t i = 0; i < BTH_COUNT(all); i++) {
        unload_linear(all[i]);
    }
}

void marian_weights_unload(struct marian_model *m) {
    for (int i = 0; i < MARIAN_MAX_LAYERS; i++) {
        unload_layer(&m->encoder[i]);
        unload_layer(&m->decoder[i]);
    }
    bth_weight_destroy(m->output);
    bth_buffer_destroy(m->tables[0]);
    bth_buffer_destroy(m->tables[1]);
    bth_buffer_destroy(m->vectors);
}

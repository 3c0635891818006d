/*
 * Weights: from the one naming of marian_files.h into one struct, packed on the device.
 *
 * Exact: every matrix in the precision of the file, what is quantised there de-quantised to f32.
 * Fast (model->eights): products of i8. What the file has in i8 is kept with its scales, what it
 * has otherwise gets a scale for each row. Vectors become f32 in one buffer.
 */
#include "marian/marian_model.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 128 };

struct loader {
    struct marian_model *m;
    const struct marian_files *files;
    struct berth_reservation *weights;
    struct berth_error *err;
};

/* ---- vectors --------------------------------------------------------------------------------- */

/* Values into model->vectors, as [rows, cols]. */
static int put_vector(struct loader *l, const float *values, int64_t rows, int64_t cols,
                      struct berth_tensor *out) {
    struct marian_model *m = l->m;
    const size_t n = (size_t)(rows * cols);
    int rc = m->base.device->ops->write(m->vectors, m->vectors_used * sizeof(float), values,
                                        n * sizeof(float));
    if (rc < 0) {
        return bth_error(l->err, rc, "writing weights to %s failed", m->base.device->name);
    }
    *out = bth_tensor(m->vectors, BERTH_F32, m->vectors_used, rows, cols);
    m->vectors_used += n;
    return 0;
}

/* The tensor `name` as f32 into `out` [rows * cols]. */
static int read_values(struct loader *l, const char *name, int64_t rows, int64_t cols, float *out) {
    struct marian_tensor t;
    int rc = marian_files_tensor(l->files, name, rows, cols, &t, l->err);
    if (rc == 0) {
        marian_tensor_to_f32(&t, out);
        marian_tensor_release(&t);
    }
    return rc;
}

/* `optional`: what is not in the file is left out. */
static int load_vector(struct loader *l, const char *name, int64_t rows, int64_t cols,
                       bool optional, struct berth_tensor *out) {
    float *values = bth_calloc((size_t)(rows * cols), sizeof(*values));
    if (!values) {
        return bth_error_nomem(l->err);
    }
    int rc = read_values(l, name, rows, cols, values);
    if (rc == 0) {
        rc = put_vector(l, values, rows, cols, out);
    } else if (rc == BERTH_ENOTFOUND && optional) {
        rc = 0;
    }
    bth_free(values);
    return rc == BERTH_ENOTFOUND ? bth_error(l->err, BERTH_EFORMAT, "tensor %s is missing", name)
                                 : rc;
}

static int load_norm(struct loader *l, const char *prefix, struct marian_norm *out) {
    char name[NAME];
    snprintf(name, sizeof(name), "%.100s.weight", prefix);
    int rc = load_vector(l, name, 1, l->m->config.d, false, &out->gamma);
    snprintf(name, sizeof(name), "%.100s.bias", prefix);
    return rc < 0 ? rc : load_vector(l, name, 1, l->m->config.d, false, &out->beta);
}

/* ---- matrices -------------------------------------------------------------------------------- */

static int find_matrix(struct loader *l, const char *name, int64_t n, int64_t k,
                       struct marian_tensor *out) {
    const int rc = marian_files_tensor(l->files, name, n, k, out, l->err);
    return rc == BERTH_ENOTFOUND ? bth_error(l->err, BERTH_EFORMAT, "tensor %s is missing", name)
                                 : rc;
}

static int pack(struct loader *l, enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                struct berth_weight **out) {
    struct berth_device *device = l->m->base.device;
    return device->ops->weight_create(device, l->weights, dtype, n, k, rows, out, l->err);
}

/* A matrix as i8 with what a product needs beside it. */
struct eights {
    int8_t *owned; /* where the file has no bytes */
    const int8_t *rows;
    float *unit, *bias; /* [n] */
    float alpha;
    bool biased;
};

static void finish_eights(struct eights *e) {
    bth_free(e->owned);
    bth_free(e->unit);
    bth_free(e->bias);
}

/* A scale for each row of a matrix that is not of bytes. */
static int quantise_rows(struct loader *l, const struct marian_tensor *t, struct eights *e) {
    float *row = bth_alloc((size_t)t->k * sizeof(*row));
    e->owned = bth_alloc((size_t)(t->n * t->k));
    if (!row || !e->owned) {
        bth_free(row);
        return bth_error_nomem(l->err);
    }
    for (int64_t n = 0; n < t->n; n++) {
        float most = 0;
        marian_tensor_rows_to_f32(t, n, 1, row);
        for (int64_t k = 0; k < t->k; k++) {
            most = fmaxf(most, fabsf(row[k]));
        }
        const float scale = most > 0 ? 127 / most : 1;
        for (int64_t k = 0; k < t->k; k++) {
            e->owned[n * t->k + k] = (int8_t)fminf(fmaxf(rintf(row[k] * scale), -127), 127);
        }
        e->unit[n] = 1 / scale;
    }
    e->rows = e->owned;
    bth_free(row);
    return 0;
}

/* Bergamot's products have a shift of 127, which a part of the bias takes off again. The order of
 * roundings is that of its definition. */
static void shift_bias(const struct marian_tensor *t, struct eights *e) {
    const float qa = e->alpha, qb = marian_tensor_scale(t, 0);
    const float c = -((127 / qa) * (127 / qb)) / 127;
    for (int64_t n = 0; n < t->n; n++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < t->k; k++) {
            sum += e->rows[n * t->k + k];
        }
        const float shift = (float)sum * c;
        e->bias[n] = shift + e->bias[n];
        e->unit[n] = 1 / (qa * qb);
    }
    e->biased = true;
}

/* Fills all but the bias, which is changed where the kind of product asks for it. */
static int make_eights(struct loader *l, const struct marian_tensor *t, struct eights *e) {
    if (t->dtype != BERTH_I8) {
        return quantise_rows(l, t, e);
    }
    e->rows = t->data;
    for (int64_t n = 0; n < t->n; n++) {
        e->unit[n] = 1 / marian_tensor_scale(t, t->quant == MARIAN_SCALE_PER_ROW ? n : 0);
    }
    if (l->files->config.int8 == MARIAN_INT8_SHIFT_ALPHA && t->alpha > 0 &&
        t->quant == MARIAN_SCALE_ONE) {
        e->alpha = t->alpha;
        shift_bias(t, e);
    }
    return 0;
}

static int load_eights(struct loader *l, const struct marian_tensor *t, const char *bias_name,
                       struct marian_matrix *out) {
    struct eights e = {.unit = bth_calloc((size_t)t->n, sizeof(float)),
                       .bias = bth_calloc((size_t)t->n, sizeof(float))};
    int rc = e.unit && e.bias ? 0 : bth_error_nomem(l->err);
    if (rc == 0) {
        rc = read_values(l, bias_name, 1, t->n, e.bias);
        e.biased = rc == 0;
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0) {
        rc = make_eights(l, t, &e);
    }
    if (rc == 0) {
        rc = pack(l, BERTH_I8, t->n, t->k, e.rows, &out->w);
    }
    if (rc == 0) {
        rc = put_vector(l, e.unit, 1, t->n, &out->eights.unit);
        out->eights.alpha = e.alpha;
    }
    if (rc == 0 && e.biased) {
        rc = put_vector(l, e.bias, 1, t->n, &out->bias);
    }
    finish_eights(&e);
    return rc;
}

static bool is_plain(const struct marian_tensor *t) {
    return t->quant == MARIAN_PLAIN;
}

/* Parts of one shape, one below the other: kept as they are stored if they are alike. */
static int join(struct loader *l, const struct marian_tensor *t, int n_parts,
                struct berth_weight **out) {
    const int64_t n = t[0].n, k = t[0].k;
    bool alike = true;
    for (int i = 0; i < n_parts; i++) {
        alike = alike && is_plain(&t[i]) && t[i].dtype == t[0].dtype;
    }
    if (alike && n_parts == 1) {
        return pack(l, t[0].dtype, n, k, t[0].data, out);
    }
    const size_t each = (size_t)(n * k) * (alike ? bth_dtype_bytes(t[0].dtype) : sizeof(float));
    char *joined = bth_calloc((size_t)n_parts, each);
    if (!joined) {
        return bth_error_nomem(l->err);
    }
    for (int i = 0; i < n_parts; i++) {
        char *to = joined + (size_t)i * each;
        if (alike) {
            memcpy(to, t[i].data, each);
        } else {
            marian_tensor_to_f32(&t[i], (float *)(void *)to);
        }
    }
    int rc = pack(l, alike ? t[0].dtype : BERTH_F32, n * n_parts, k, joined, out);
    bth_free(joined);
    return rc;
}

/* The biases of parts side by side, zeros where one has none. */
static int join_biases(struct loader *l, char names[][NAME], int n_parts, int64_t n,
                       struct berth_tensor *out) {
    float *values = bth_calloc((size_t)(n * n_parts), sizeof(*values));
    int rc = values ? 0 : bth_error_nomem(l->err);
    bool any = false;
    for (int i = 0; rc == 0 && i < n_parts; i++) {
        rc = read_values(l, names[i], 1, n, values + i * n);
        any = any || rc == 0;
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && any) {
        rc = put_vector(l, values, 1, n * n_parts, out);
    }
    bth_free(values);
    return rc;
}

/* "<prefix><part>.weight" for each of the comma-separated parts, [n, k] each. */
static int load_linear(struct loader *l, const char *prefix, const char *parts, int64_t n,
                       int64_t k, struct marian_linear *out) {
    struct marian_tensor t[MARIAN_MAX_PARTS] = {{0}};
    char biases[MARIAN_MAX_PARTS][NAME];
    int found = 0, rc = 0;
    while (rc == 0 && *parts && found < MARIAN_MAX_PARTS) {
        char name[NAME];
        const size_t length = strcspn(parts, ",");
        snprintf(name, sizeof(name), "%s%.*s.weight", prefix, (int)length, parts);
        snprintf(biases[found], NAME, "%s%.*s.bias", prefix, (int)length, parts);
        parts += length + (parts[length] == ',');
        rc = find_matrix(l, name, n, k, &t[found]);
        found += rc == 0;
    }
    out->n = l->m->eights ? n : n * found;
    out->n_parts = l->m->eights ? found : 1;
    if (rc == 0 && !l->m->eights) {
        rc = join(l, t, found, &out->part[0].w);
        rc = rc < 0 ? rc : join_biases(l, biases, found, n, &out->part[0].bias);
    }
    for (int i = 0; rc == 0 && l->m->eights && i < found; i++) {
        rc = load_eights(l, &t[i], biases[i], &out->part[i]);
    }
    for (int i = 0; i < found; i++) {
        marian_tensor_release(&t[i]);
    }
    return rc;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static int load_block(struct loader *l, const char *prefix, struct marian_linear *in,
                      const char *parts, struct marian_linear *out_proj, const char *attn) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    snprintf(name, sizeof(name), "%s%s.", prefix, attn);
    int rc = load_linear(l, name, parts, d, d, in);
    return rc < 0 ? rc : load_linear(l, name, "out_proj", d, d, out_proj);
}

static int load_self(struct loader *l, const char *prefix, bool ssru, struct marian_layer *out) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    int rc;
    if (ssru) {
        rc = load_linear(l, prefix, "ssru", d, d, &out->ssru);
        rc = rc < 0 ? rc : load_linear(l, prefix, "ssru.gate", d, d, &out->gate);
    } else {
        rc = load_block(l, prefix, &out->qkv, "q_proj,k_proj,v_proj", &out->self_out, "self_attn");
    }
    snprintf(name, sizeof(name), "%s%s", prefix, ssru ? "ssru_layer_norm" : "self_attn_layer_norm");
    return rc < 0 ? rc : load_norm(l, name, &out->self_norm);
}

static int load_cross(struct loader *l, const char *prefix, struct marian_layer *out) {
    const int64_t d = l->m->config.d;
    char name[NAME];
    int rc = load_block(l, prefix, &out->cross_q, "q_proj", &out->cross_out, "encoder_attn");
    snprintf(name, sizeof(name), "%sencoder_attn.", prefix);
    rc = rc < 0 ? rc : load_linear(l, name, "k_proj,v_proj", d, d, &out->cross_kv);
    snprintf(name, sizeof(name), "%sencoder_attn_layer_norm", prefix);
    return rc < 0 ? rc : load_norm(l, name, &out->cross_norm);
}

static int load_layer(struct loader *l, bool decoder, int i, struct marian_layer *out) {
    const struct marian_config *c = &l->m->config;
    const int64_t ffn = decoder ? c->decoder_ffn : c->encoder_ffn;
    char prefix[NAME / 2], name[NAME];
    snprintf(prefix, sizeof(prefix), "model.%s.layers.%d.", decoder ? "decoder" : "encoder", i);
    int rc = load_self(l, prefix, decoder && c->decoder == MARIAN_DECODER_SSRU, out);
    if (rc == 0 && decoder) {
        rc = load_cross(l, prefix, out);
    }
    if (rc == 0) {
        rc = load_linear(l, prefix, "fc1", ffn, c->d, &out->ffn_up);
    }
    if (rc == 0) {
        rc = load_linear(l, prefix, "fc2", c->d, ffn, &out->ffn_down);
    }
    snprintf(name, sizeof(name), "%sfinal_layer_norm", prefix);
    return rc < 0 ? rc : load_norm(l, name, &out->ffn_norm);
}

static int load_side(struct loader *l, bool decoder) {
    struct marian_model *m = l->m;
    const int n = decoder ? m->config.decoder_layers : m->config.encoder_layers;
    int rc = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        rc = load_layer(l, decoder, i, decoder ? &m->decoder[i] : &m->encoder[i]);
    }
    if (rc == 0 && m->config.final_norm) {
        rc = load_norm(l, decoder ? "model.decoder.layer_norm" : "model.encoder.layer_norm",
                       decoder ? &m->decoder_norm : &m->encoder_norm);
    }
    if (rc == 0 && m->config.normalize_embedding) {
        rc = load_norm(
            l, decoder ? "model.decoder.layernorm_embedding" : "model.encoder.layernorm_embedding",
            decoder ? &m->decoder_first : &m->encoder_first);
    }
    return rc;
}

/* ---- embeddings and output ------------------------------------------------------------------- */

/* A dense tensor of rows in the precision that it is kept in: i8 where that is one scale. */
static int load_rows(struct loader *l, const char *name, int64_t n, struct berth_buffer **buffer,
                     struct marian_table *out) {
    struct berth_device *device = l->m->base.device;
    const int64_t d = l->m->config.d;
    struct marian_tensor t;
    float *wide = NULL;
    int rc = find_matrix(l, name, n, d, &t);
    if (rc < 0) {
        return rc;
    }
    const bool bytes = l->m->eights && t.dtype == BERTH_I8 && t.quant == MARIAN_SCALE_ONE;
    const bool kept = bytes || (is_plain(&t) && !l->m->shortlist);
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
static int load_selected(struct loader *l, int64_t vocab) {
    struct marian_model *m = l->m;
    struct marian_tensor t;
    struct eights e = {.unit = bth_calloc((size_t)vocab, sizeof(float)),
                       .bias = bth_calloc((size_t)vocab, sizeof(float))};
    int rc = e.unit && e.bias ? 0 : bth_error_nomem(l->err);
    if (rc == 0) {
        rc = read_values(l, "final_logits_bias", 1, vocab, e.bias);
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && m->output_rows.dtype == BERTH_I8) {
        rc = find_matrix(l, "lm_head.weight", vocab, m->config.d, &t);
        if (rc == 0) {
            rc = make_eights(l, &t, &e);
            marian_tensor_release(&t);
        }
        if (rc == 0) {
            m->output_eights.alpha = e.alpha;
            rc = put_vector(l, e.unit, 1, vocab, &m->output_eights.unit);
        }
    }
    if (rc == 0) {
        rc = put_vector(l, e.bias, 1, vocab, &m->output_bias);
    }
    finish_eights(&e);
    return rc;
}

static int load_output(struct loader *l, int64_t vocab) {
    struct marian_model *m = l->m;
    struct marian_matrix out = {0};
    struct marian_tensor t;
    int rc = find_matrix(l, "lm_head.weight", vocab, m->config.d, &t);
    if (rc < 0) {
        return rc;
    }
    if (m->eights) {
        rc = load_eights(l, &t, "final_logits_bias", &out);
    } else {
        rc = join(l, &t, 1, &out.w);
        rc = rc < 0 ? rc : load_vector(l, "final_logits_bias", 1, vocab, true, &out.bias);
    }
    marian_tensor_release(&t);
    m->output = out.w;
    m->output_bias = out.bias;
    m->output_eights = out.eights;
    return rc;
}

/* What is both embedding and output is kept once. */
static int load_target(struct loader *l) {
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

static int load_embeddings(struct loader *l) {
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
static int read_positions(struct loader *l, const char *name, int64_t rows, float *values,
                          struct berth_tensor *out) {
    const struct marian_config *c = &l->m->config;
    struct marian_tensor t;
    int rc = find_matrix(l, name, c->max_positions, c->d, &t);
    if (rc < 0) {
        return rc;
    }
    marian_tensor_rows_to_f32(&t, 0, rows, values);
    marian_tensor_release(&t);
    return put_vector(l, values, rows, c->d, out);
}

static int load_positions(struct loader *l) {
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
        rc = put_vector(l, values, rows, c->d, &m->source_positions);
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
    struct loader l = {.m = m, .files = f, .weights = weights, .err = err};
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

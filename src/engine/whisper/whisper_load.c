/*
 * Weights: from the names of either format into one struct, packed on the device.
 *
 * Matrices keep their stored precision (f16, bf16 or f32); vectors (biases, norms, positions)
 * become f32 in one buffer. Hugging Face keeps q, k and v apart and k has no bias: they are joined,
 * with zeros. Every tensor's shape is checked before it is read.
 */
#include "whisper/whisper_model.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct loader {
    struct whisper_model *m;
    const struct whisper_files *files;
    struct berth_reservation *weights;
    struct berth_error *err;
};

enum { MAX_PARTS = 3 };

/* Where a tensor comes from: one name in CTranslate2, up to three joined ones in Hugging Face. */
struct place {
    char ct2[112];
    char hf[MAX_PARTS][112];
    int n_hf;
};

static struct place place(const char *ct2, const char *hf) {
    struct place p = {.n_hf = 1};
    snprintf(p.ct2, sizeof(p.ct2), "%s", ct2);
    snprintf(p.hf[0], sizeof(p.hf[0]), "%s", hf);
    return p;
}

/* The names of a layer's part: "<part>/layer_<i>/<ct2>" and "model.<part>.layers.<i>.<hf>..." for
 * each of the comma-separated names in `hf`. */
static struct place layer_place(const char *part, int i, const char *ct2, const char *hf,
                                const char *suffix_ct2, const char *suffix_hf) {
    struct place p = {0};
    snprintf(p.ct2, sizeof(p.ct2), "%s/layer_%d/%s/%s", part, i, ct2, suffix_ct2);
    while (*hf && p.n_hf < MAX_PARTS) {
        size_t n = strcspn(hf, ",");
        snprintf(p.hf[p.n_hf++], sizeof(p.hf[0]), "model.%s.layers.%d.%.*s.%s", part, i, (int)n, hf,
                 suffix_hf);
        hf += n + (hf[n] == ',');
    }
    return p;
}

static int n_parts(const struct loader *l, const struct place *p) {
    return l->files->format == WHISPER_CT2 ? 1 : p->n_hf;
}

/* Part i of a place, checked to have the given shape; NULL (no error) if it is not there. */
static const struct bth_source_tensor *find(const struct loader *l, const struct place *p, int i) {
    return bth_source_find(l->files->source, l->files->format == WHISPER_CT2 ? p->ct2 : p->hf[i]);
}

static int check_shape(const struct loader *l, const struct bth_source_tensor *t, int rank,
                       const int64_t *dims) {
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++) {
        same = t->dims[i] == dims[i];
    }
    if (!same) {
        return bth_error(l->err, BERTH_EFORMAT,
                         "tensor %s has %d dimensions (%lld, %lld), not %lld x %lld", t->name,
                         t->rank, (long long)t->dims[0], (long long)t->dims[1], (long long)dims[0],
                         (long long)(rank > 1 ? dims[1] : 1));
    }
    if (t->dtype != BERTH_F32 && t->dtype != BERTH_F16 && t->dtype != BERTH_BF16) {
        return bth_error(l->err, BERTH_EUNSUPPORTED,
                         "tensor %s is quantised; the exact engine reads f32, f16 and bf16",
                         t->name);
    }
    return 0;
}

static int missing(const struct loader *l, const struct place *p, int i) {
    return bth_error(l->err, BERTH_EFORMAT, "tensor %s is missing",
                     l->files->format == WHISPER_CT2 ? p->ct2 : p->hf[i]);
}

/* Whisper's keys have no bias: Hugging Face stores none, CTranslate2 zeros. */
static bool is_key_bias(const struct loader *l, const struct place *p, int i) {
    return l->files->format == WHISPER_HF && strstr(p->hf[i], ".k_proj.bias");
}

/* A vector of n as f32 into model->vectors; a bias that Whisper does not have is zeros. */
static int load_vector(struct loader *l, const struct place *p, int64_t rows, int64_t cols,
                       struct berth_tensor *out) {
    struct whisper_model *m = l->m;
    int parts = n_parts(l, p);
    size_t n = (size_t)(rows * cols), each = n / (size_t)parts;
    float *values = bth_calloc(n, sizeof(*values));
    if (!values) {
        return bth_error_nomem(l->err);
    }
    int rc = 0;
    for (int i = 0; rc == 0 && i < parts; i++) {
        const struct bth_source_tensor *t = find(l, p, i);
        if (!t) {
            rc = is_key_bias(l, p, i) ? 0 : missing(l, p, i);
            continue;
        }
        const int64_t shape1[] = {(int64_t)each, 0}, shape2[] = {rows, cols};
        rc = rows == 1 ? check_shape(l, t, 1, shape1) : check_shape(l, t, 2, shape2);
        if (rc == 0) {
            rc = bth_source_to_f32(t, values + (size_t)i * each, l->err);
        }
    }
    if (rc == 0) {
        struct berth_tensor t = bth_tensor(m->vectors, BERTH_F32, m->vectors_used, rows, cols);
        rc = m->base.device->ops->write(m->vectors, m->vectors_used * sizeof(float), values,
                                        n * sizeof(float));
        rc = rc < 0 ? bth_error(l->err, rc, "writing weights to %s failed", m->base.device->name)
                    : 0;
        if (rc == 0) {
            m->vectors_used += n;
            *out = t;
        }
    }
    bth_free(values);
    return rc;
}

static int pack(struct loader *l, enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                struct berth_weight **out) {
    struct berth_device *device = l->m->base.device;
    return device->ops->weight_create(device, l->weights, dtype, n, k, rows, out, l->err);
}

/* [n, k] from its parts, one below the other. */
static int load_matrix(struct loader *l, const struct place *p, int64_t n, int64_t k,
                       struct berth_weight **out) {
    int parts = n_parts(l, p);
    const struct bth_source_tensor *t[MAX_PARTS];
    const int64_t shape[] = {n / parts, k};
    size_t bytes = 0;
    for (int i = 0; i < parts; i++) {
        t[i] = find(l, p, i);
        int rc = t[i] ? check_shape(l, t[i], 2, shape) : missing(l, p, i);
        if (rc == 0 && t[i]->dtype != t[0]->dtype) {
            rc = bth_error(l->err, BERTH_EFORMAT, "tensors %s and %s differ in type", t[0]->name,
                           t[i]->name);
        }
        if (rc < 0) {
            return rc;
        }
        bytes += t[i]->bytes;
    }
    if (parts == 1) {
        return pack(l, t[0]->dtype, n, k, t[0]->data, out);
    }
    char *joined = bth_alloc(bytes);
    if (!joined) {
        return bth_error_nomem(l->err);
    }
    for (int i = 0; i < parts; i++) {
        memcpy(joined + (size_t)i * t[i]->bytes, t[i]->data, t[i]->bytes);
    }
    int rc = pack(l, t[0]->dtype, n, k, joined, out);
    bth_free(joined);
    return rc;
}

/* A convolution [n, c, 3] as conv3 wants it: [n, 3 c], column j * c + channel. */
static int load_conv(struct loader *l, const char *ct2, const char *hf, int64_t n, int64_t c,
                     struct whisper_linear *out) {
    char name[2][96];
    snprintf(name[0], sizeof(name[0]), "%s/weight", ct2);
    snprintf(name[1], sizeof(name[1]), "%s.weight", hf);
    struct place p = place(name[0], name[1]);
    const struct bth_source_tensor *t = find(l, &p, 0);
    const int64_t shape[] = {n, c, 3};
    int rc = t ? check_shape(l, t, 3, shape) : missing(l, &p, 0);
    if (rc < 0) {
        return rc;
    }
    size_t size = bth_dtype_bytes(t->dtype);
    char *turned = bth_alloc(t->bytes);
    if (!turned) {
        return bth_error_nomem(l->err);
    }
    const char *data = t->data;
    for (int64_t i = 0; i < n * c; i++) {
        for (int64_t j = 0; j < 3; j++) {
            int64_t to = (i / c) * 3 * c + j * c + i % c;
            memcpy(turned + (size_t)to * size, data + (size_t)(i * 3 + j) * size, size);
        }
    }
    rc = pack(l, t->dtype, n, 3 * c, turned, &out->w);
    bth_free(turned);
    if (rc < 0) {
        return rc;
    }
    snprintf(name[0], sizeof(name[0]), "%s/bias", ct2);
    snprintf(name[1], sizeof(name[1]), "%s.bias", hf);
    p = place(name[0], name[1]);
    return load_vector(l, &p, 1, n, &out->b);
}

static int load_linear(struct loader *l, const char *part, int i, const char *ct2, const char *hf,
                       int64_t n, int64_t k, struct whisper_linear *out) {
    struct place w = layer_place(part, i, ct2, hf, "weight", "weight");
    struct place b = layer_place(part, i, ct2, hf, "bias", "bias");
    int rc = load_matrix(l, &w, n, k, &out->w);
    return rc < 0 ? rc : load_vector(l, &b, 1, n, &out->b);
}

static int load_norm(struct loader *l, const struct place *gamma, const struct place *beta,
                     struct whisper_norm *out) {
    int64_t d = l->m->dims.d;
    int rc = load_vector(l, gamma, 1, d, &out->gamma);
    return rc < 0 ? rc : load_vector(l, beta, 1, d, &out->beta);
}

static int load_layer_norm(struct loader *l, const char *part, int i, const char *ct2,
                           const char *hf, struct whisper_norm *out) {
    struct place gamma = layer_place(part, i, ct2, hf, "gamma", "weight");
    struct place beta = layer_place(part, i, ct2, hf, "beta", "bias");
    return load_norm(l, &gamma, &beta, out);
}

static int load_layer(struct loader *l, const char *part, int i, bool cross,
                      struct whisper_layer *out) {
    int64_t d = l->m->dims.d, ffn = l->m->dims.ffn;
    int rc = load_layer_norm(l, part, i, "self_attention/layer_norm", "self_attn_layer_norm",
                             &out->self_norm);
    if (rc == 0) {
        rc = load_linear(l, part, i, "self_attention/linear_0",
                         "self_attn.q_proj,self_attn.k_proj,self_attn.v_proj", 3 * d, d, &out->qkv);
    }
    if (rc == 0) {
        rc = load_linear(l, part, i, "self_attention/linear_1", "self_attn.out_proj", d, d,
                         &out->self_out);
    }
    if (rc == 0 && cross) {
        rc = load_layer_norm(l, part, i, "attention/layer_norm", "encoder_attn_layer_norm",
                             &out->cross_norm);
        if (rc == 0) {
            rc = load_linear(l, part, i, "attention/linear_0", "encoder_attn.q_proj", d, d,
                             &out->cross_q);
        }
        if (rc == 0) {
            rc = load_linear(l, part, i, "attention/linear_1",
                             "encoder_attn.k_proj,encoder_attn.v_proj", 2 * d, d, &out->cross_kv);
        }
        if (rc == 0) {
            rc = load_linear(l, part, i, "attention/linear_2", "encoder_attn.out_proj", d, d,
                             &out->cross_out);
        }
    }
    if (rc == 0) {
        rc = load_layer_norm(l, part, i, "ffn/layer_norm", "final_layer_norm", &out->ffn_norm);
    }
    if (rc == 0) {
        rc = load_linear(l, part, i, "ffn/linear_0", "fc1", ffn, d, &out->ffn_up);
    }
    return rc < 0 ? rc : load_linear(l, part, i, "ffn/linear_1", "fc2", d, ffn, &out->ffn_down);
}

static int load_final_norm(struct loader *l, const char *part, struct whisper_norm *out) {
    char names[4][96];
    snprintf(names[0], sizeof(names[0]), "%s/layer_norm/gamma", part);
    snprintf(names[1], sizeof(names[1]), "model.%s.layer_norm.weight", part);
    snprintf(names[2], sizeof(names[2]), "%s/layer_norm/beta", part);
    snprintf(names[3], sizeof(names[3]), "model.%s.layer_norm.bias", part);
    struct place gamma = place(names[0], names[1]), beta = place(names[2], names[3]);
    return load_norm(l, &gamma, &beta, out);
}

static int load_embedding(struct loader *l) {
    struct whisper_model *m = l->m;
    struct place p = place("decoder/embeddings/weight", "model.decoder.embed_tokens.weight");
    const struct bth_source_tensor *t = find(l, &p, 0);
    const int64_t shape[] = {m->dims.vocab, m->dims.d};
    int rc = t ? check_shape(l, t, 2, shape) : missing(l, &p, 0);
    return rc < 0 ? rc : pack(l, t->dtype, shape[0], shape[1], t->data, &m->embedding);
}

static size_t vector_elements(const struct whisper_dims *d) {
    size_t w = (size_t)d->d, ffn = (size_t)d->ffn;
    size_t encoder = 2 * w + 3 * w + w + 2 * w + ffn + w;
    size_t decoder = encoder + 2 * w + w + 2 * w + w;
    return (size_t)d->encoder_layers * encoder + (size_t)d->decoder_layers * decoder + 4 * w +
           2 * w + (WHISPER_POSITIONS + WHISPER_TEXT) * w;
}

/* An upper bound: the widest of the stored types that this file uses. */
size_t whisper_weights_bytes(const struct whisper_dims *d, const struct whisper_files *f,
                             struct berth_device *device) {
    const struct bth_source_tensor *t =
        bth_source_find(f->source, f->format == WHISPER_CT2 ? "decoder/embeddings/weight"
                                                            : "model.decoder.embed_tokens.weight");
    enum berth_dtype dtype = t ? t->dtype : BERTH_F32;
    size_t (*bytes)(struct berth_device *, enum berth_dtype, int64_t, int64_t) =
        device->ops->weight_bytes;
    size_t encoder = bytes(device, dtype, 3 * d->d, d->d) + bytes(device, dtype, d->d, d->d) +
                     bytes(device, dtype, d->ffn, d->d) + bytes(device, dtype, d->d, d->ffn);
    size_t decoder =
        encoder + 2 * bytes(device, dtype, d->d, d->d) + bytes(device, dtype, 2 * d->d, d->d);
    return (size_t)d->encoder_layers * encoder + (size_t)d->decoder_layers * decoder +
           bytes(device, dtype, d->d, 3 * d->mels) + bytes(device, dtype, d->d, 3 * d->d) +
           bytes(device, dtype, d->vocab, d->d) + vector_elements(d) * sizeof(float);
}

static int load_all(struct loader *l) {
    struct whisper_model *m = l->m;
    const struct whisper_dims *d = &m->dims;
    struct berth_device *device = m->base.device;
    int rc = device->ops->buffer_create(device, l->weights, vector_elements(d) * sizeof(float),
                                        &m->vectors, l->err);
    if (rc == 0) {
        rc = load_conv(l, "encoder/conv1", "model.encoder.conv1", d->d, d->mels, &m->conv1);
    }
    if (rc == 0) {
        rc = load_conv(l, "encoder/conv2", "model.encoder.conv2", d->d, d->d, &m->conv2);
    }
    for (int i = 0; rc == 0 && i < d->encoder_layers; i++) {
        rc = load_layer(l, "encoder", i, false, &m->encoder[i]);
    }
    for (int i = 0; rc == 0 && i < d->decoder_layers; i++) {
        rc = load_layer(l, "decoder", i, true, &m->decoder[i]);
    }
    if (rc == 0) {
        rc = load_final_norm(l, "encoder", &m->encoder_norm);
    }
    if (rc == 0) {
        rc = load_final_norm(l, "decoder", &m->decoder_norm);
    }
    struct place encoder_positions =
        place("encoder/position_encodings/encodings", "model.encoder.embed_positions.weight");
    struct place decoder_positions =
        place("decoder/position_encodings/encodings", "model.decoder.embed_positions.weight");
    if (rc == 0) {
        rc = load_vector(l, &encoder_positions, WHISPER_POSITIONS, d->d, &m->encoder_positions);
    }
    if (rc == 0) {
        rc = load_vector(l, &decoder_positions, WHISPER_TEXT, d->d, &m->decoder_positions);
    }
    return rc < 0 ? rc : load_embedding(l);
}

int whisper_weights_load(struct whisper_model *m, const struct whisper_files *f,
                         struct berth_reservation *weights, struct berth_error *err) {
    struct loader l = {.m = m, .files = f, .weights = weights, .err = err};
    return load_all(&l);
}

static void unload_layer(struct whisper_layer *l) {
    struct berth_weight *all[] = {l->qkv.w,       l->self_out.w, l->cross_q.w, l->cross_kv.w,
                                  l->cross_out.w, l->ffn_up.w,   l->ffn_down.w};
    for (size_t i = 0; i < BTH_COUNT(all); i++) {
        bth_weight_destroy(all[i]);
    }
}

void whisper_weights_unload(struct whisper_model *m) {
    for (int i = 0; i < WHISPER_MAX_LAYERS; i++) {
        unload_layer(&m->encoder[i]);
        unload_layer(&m->decoder[i]);
    }
    bth_weight_destroy(m->conv1.w);
    bth_weight_destroy(m->conv2.w);
    bth_weight_destroy(m->embedding);
    bth_buffer_destroy(m->vectors);
}

/* Tensors by their canonical names, whatever layout holds them. */
#include "marian/marian_files.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "marian/marian_layout.h"
#include <stdlib.h>
#include <string.h>

struct marian_name marian_name_split(const char *name) {
    struct marian_name out = {.layer = -1, .what = name};
    static const char encoder[] = "model.encoder.", decoder[] = "model.decoder.",
                      layers[] = "layers.";
    if (strncmp(name, encoder, strlen(encoder)) == 0) {
        out.what = name + strlen(encoder);
    } else if (strncmp(name, decoder, strlen(decoder)) == 0) {
        out.decoder = true;
        out.what = name + strlen(decoder);
    }
    if (out.what != name && strncmp(out.what, layers, strlen(layers)) == 0) {
        char *end;
        long layer = strtol(out.what + strlen(layers), &end, 10);
        if (*end == '.' && layer >= 0 && layer < MARIAN_MAX_LAYERS) {
            out.layer = (int)layer;
            out.what = end + 1;
        }
    }
    return out;
}

float marian_scalar(const struct bth_source_tensor *t) {
    float value = 0;
    if (t && t->dtype == BERTH_F32 && t->bytes == sizeof(value)) {
        memcpy(&value, t->data, sizeof(value));
    }
    return value;
}

static bool find(const struct marian_files *f, const char *name, struct marian_place *out) {
    *out = (struct marian_place){0};
    switch (f->format) {
    case MARIAN_HF:
        return marian_hf_find(f, name, out);
    case MARIAN_NPZ:
    case MARIAN_BIN:
        return marian_native_find(f, name, out);
    case MARIAN_CT2:
        return marian_ct2_find(f, name, out);
    }
    return false;
}

/* Leading dims of 1 are none; a vector is one row. */
static bool as_matrix(const struct bth_source_tensor *t, int64_t *rows, int64_t *cols) {
    int first = 0;
    while (t->rank - first > 2 && t->dims[first] == 1) {
        first++;
    }
    int rank = t->rank - first;
    *rows = rank == 2 ? t->dims[first] : 1;
    *cols = rank > 0 ? t->dims[t->rank - 1] : 1;
    return rank <= 2;
}

/* Checks the scales and how many there are. */
static int set_scale(struct marian_tensor *out, const struct marian_place *p,
                     struct berth_error *err) {
    bool integers = out->dtype == BERTH_I8 || out->dtype == BERTH_I16;
    if (!integers) {
        return out->dtype == BERTH_F32 || out->dtype == BERTH_F16 || out->dtype == BERTH_BF16
                   ? 0
                   : bth_error(err, BERTH_EFORMAT, "tensor %.100s is of a type that no weight has",
                               p->t->name);
    }
    const struct bth_source_tensor *scale = p->scale;
    if (!scale && out->dtype == BERTH_I16) { /* the first files of CTranslate2 do not write it */
        static const float usual = 1000;
        out->quant = MARIAN_SCALE_ONE;
        out->scale = &usual;
        return 0;
    }
    if (!scale || scale->dtype != BERTH_F32) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s has no scale", p->t->name);
    }
    size_t n = scale->bytes / sizeof(float);
    if (n == 1) {
        out->quant = MARIAN_SCALE_ONE;
        out->scale = scale->data;
    } else if (p->row + out->n <= (int64_t)n && (p->rows > 0 || (int64_t)n == out->n)) {
        out->quant = MARIAN_SCALE_PER_ROW;
        out->scale = (const unsigned char *)scale->data + (size_t)p->row * sizeof(float);
    } else {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s has %zu scales", p->t->name, n);
    }
    for (int64_t i = 0; i < (out->quant == MARIAN_SCALE_ONE ? 1 : out->n); i++) {
        float value = marian_tensor_scale(out, i);
        if (!(value > 0 && value <= 3e38F)) {
            return bth_error(err, BERTH_EFORMAT, "tensor %.100s has an impossible scale",
                             p->t->name);
        }
    }
    return 0;
}

/* [k, n] of f32 or f16 as [n, k]. */
static int turn(struct marian_tensor *out, struct berth_error *err) {
    size_t width = bth_dtype_bytes(out->dtype), n = (size_t)out->n, k = (size_t)out->k;
    unsigned char *to = bth_alloc(n * k * width);
    if (!to) {
        return bth_error_nomem(err);
    }
    const unsigned char *from = out->data;
    enum { TILE = 32 }; /* rows and columns at a time, for the cache */
    for (size_t i0 = 0; i0 < n; i0 += TILE) {
        for (size_t j0 = 0; j0 < k; j0 += TILE) {
            for (size_t i = i0; i < i0 + TILE && i < n; i++) {
                for (size_t j = j0; j < j0 + TILE && j < k; j++) {
                    memcpy(to + (i * k + j) * width, from + (j * n + i) * width, width);
                }
            }
        }
    }
    out->data = out->owned = to;
    return 0;
}

/* The rows of a fused matrix, or the columns of a fused bias. */
static int cut(struct marian_tensor *t, const struct marian_place *p, struct berth_error *err) {
    size_t width = bth_dtype_bytes(t->dtype);
    if (t->n == 1 && p->row + p->rows <= t->k) {
        t->data = (const unsigned char *)t->data + (size_t)p->row * width;
        t->k = p->rows;
    } else if (p->row + p->rows <= t->n) {
        t->data = (const unsigned char *)t->data + (size_t)(p->row * t->k) * width;
        t->n = p->rows;
    } else {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s is too short", p->t->name);
    }
    return 0;
}

static int look(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                struct marian_place *p, struct marian_tensor *out, struct berth_error *err) {
    if (!find(f, name, p)) {
        return bth_error(err, BERTH_ENOTFOUND, "tensor %s is missing", name);
    }
    struct marian_tensor t = {.dtype = p->t->dtype, .data = p->t->data};
    if (!as_matrix(p->t, &t.n, &t.k)) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s has %d dimensions", p->t->name,
                         p->t->rank);
    }
    int rc = p->rows > 0 ? cut(&t, p, err) : 0;
    if (rc == 0 && p->transposed) {
        int64_t rows = t.n;
        t.n = t.k;
        t.k = rows;
    }
    if (rc == 0 && ((n > 0 && t.n != n) || (k > 0 && t.k != k))) {
        rc = bth_error(err, BERTH_EFORMAT, "tensor %.100s is [%lld, %lld], not [%lld, %lld]",
                       p->t->name, (long long)t.n, (long long)t.k, (long long)n, (long long)k);
    }
    t.alpha = marian_scalar(p->alpha);
    rc = rc < 0 ? rc : set_scale(&t, p, err);
    if (rc == 0) {
        *out = t;
    }
    return rc;
}

int marian_files_look(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                      struct marian_tensor *out, struct berth_error *err) {
    struct marian_place p;
    return look(f, name, n, k, &p, out, err);
}

int marian_files_tensor(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                        struct marian_tensor *out, struct berth_error *err) {
    struct marian_place p;
    struct marian_tensor t;
    int rc = look(f, name, n, k, &p, &t, err);
    if (rc == 0 && p.transposed) {
        rc = turn(&t, err);
    }
    if (rc == 0) {
        *out = t;
    }
    return rc;
}

void marian_tensor_release(struct marian_tensor *t) {
    bth_free(t->owned);
    *t = (struct marian_tensor){0};
}

float marian_tensor_scale(const struct marian_tensor *t, int64_t row) {
    float value = 1;
    if (t->scale) {
        const unsigned char *at = t->scale;
        memcpy(&value, at + (t->quant == MARIAN_SCALE_PER_ROW ? (size_t)row : 0) * sizeof(float),
               sizeof(value));
    }
    return value;
}

static float element(const struct marian_tensor *t, size_t i) {
    const unsigned char *at = (const unsigned char *)t->data + i * bth_dtype_bytes(t->dtype);
    uint16_t h;
    if (t->dtype == BERTH_I8) {
        return (float)(int8_t)*at;
    }
    memcpy(&h, at, sizeof(h));
    return t->dtype == BERTH_F16    ? bth_f16_to_f32(h)
           : t->dtype == BERTH_BF16 ? bth_bf16_to_f32(h)
                                    : (float)(int16_t)h;
}

void marian_tensor_rows_to_f32(const struct marian_tensor *t, int64_t row, int64_t n, float *out) {
    size_t k = (size_t)t->k, begin = (size_t)row * k;
    if (t->dtype == BERTH_F32) {
        if (n * t->k > 0) {
            memcpy(out, (const unsigned char *)t->data + begin * sizeof(float),
                   (size_t)n * k * sizeof(float));
        }
        return;
    }
    for (int64_t r = row; r < row + n; r++, begin += k) {
        float unit = 1.0F / marian_tensor_scale(t, r); /* the reciprocal first, as the originals */
        for (size_t i = 0; i < k; i++) {
            *out++ = element(t, begin + i) * unit;
        }
    }
}

void marian_tensor_to_f32(const struct marian_tensor *t, float *out) {
    marian_tensor_rows_to_f32(t, 0, t->n, out);
}

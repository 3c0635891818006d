#include "marian/marian_weights.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 128 };

/* ---- vectors --------------------------------------------------------------------------------- */

int marian_put_vector(struct marian_loader *l, const float *values, int64_t rows, int64_t cols,
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

int marian_read_values(struct marian_loader *l, const char *name, int64_t rows, int64_t cols,
                       float *out) {
    struct marian_tensor t;
    int rc = marian_files_tensor(l->files, name, rows, cols, &t, l->err);
    if (rc == 0) {
        marian_tensor_to_f32(&t, out);
        marian_tensor_release(&t);
    }
    return rc;
}

int marian_load_vector(struct marian_loader *l, const char *name, int64_t rows, int64_t cols,
                       bool optional, struct berth_tensor *out) {
    float *values = bth_calloc((size_t)(rows * cols), sizeof(*values));
    if (!values) {
        return bth_error_nomem(l->err);
    }
    int rc = marian_read_values(l, name, rows, cols, values);
    if (rc == 0) {
        rc = marian_put_vector(l, values, rows, cols, out);
    } else if (rc == BERTH_ENOTFOUND && optional) {
        rc = 0;
    }
    bth_free(values);
    return rc == BERTH_ENOTFOUND ? bth_error(l->err, BERTH_EFORMAT, "tensor %s is missing", name)
                                 : rc;
}

int marian_load_norm(struct marian_loader *l, const char *prefix, struct marian_norm *out) {
    char name[NAME];
    snprintf(name, sizeof(name), "%.100s.weight", prefix);
    int rc = marian_load_vector(l, name, 1, l->m->config.d, false, &out->gamma);
    snprintf(name, sizeof(name), "%.100s.bias", prefix);
    return rc < 0 ? rc : marian_load_vector(l, name, 1, l->m->config.d, false, &out->beta);
}

/* ---- matrices -------------------------------------------------------------------------------- */

int marian_find_matrix(struct marian_loader *l, const char *name, int64_t n, int64_t k,
                       struct marian_tensor *out) {
    const int rc = marian_files_tensor(l->files, name, n, k, out, l->err);
    return rc == BERTH_ENOTFOUND ? bth_error(l->err, BERTH_EFORMAT, "tensor %s is missing", name)
                                 : rc;
}

static int pack(struct marian_loader *l, enum berth_dtype dtype, int64_t n, int64_t k,
                const void *rows, struct berth_weight **out) {
    struct berth_device *device = l->m->base.device;
    return device->ops->weight_create(device, l->weights, dtype, n, k, rows, out, l->err);
}

void marian_finish_eights(struct marian_eights *e) {
    bth_free(e->owned);
    bth_free(e->unit);
    bth_free(e->bias);
}

/* A scale for each row of a matrix that is not of bytes. */
static int quantise_rows(struct marian_loader *l, const struct marian_tensor *t,
                         struct marian_eights *e) {
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
static void shift_bias(const struct marian_tensor *t, struct marian_eights *e) {
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

int marian_make_eights(struct marian_loader *l, const struct marian_tensor *t,
                       struct marian_eights *e) {
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

int marian_load_eights(struct marian_loader *l, const struct marian_tensor *t,
                       const char *bias_name, struct marian_matrix *out) {
    struct marian_eights e = {.unit = bth_calloc((size_t)t->n, sizeof(float)),
                              .bias = bth_calloc((size_t)t->n, sizeof(float))};
    int rc = e.unit && e.bias ? 0 : bth_error_nomem(l->err);
    if (rc == 0) {
        rc = marian_read_values(l, bias_name, 1, t->n, e.bias);
        e.biased = rc == 0;
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0) {
        rc = marian_make_eights(l, t, &e);
    }
    if (rc == 0) {
        rc = pack(l, BERTH_I8, t->n, t->k, e.rows, &out->w);
    }
    if (rc == 0) {
        rc = marian_put_vector(l, e.unit, 1, t->n, &out->eights.unit);
        out->eights.alpha = e.alpha;
    }
    if (rc == 0 && e.biased) {
        rc = marian_put_vector(l, e.bias, 1, t->n, &out->bias);
    }
    marian_finish_eights(&e);
    return rc;
}

bool marian_is_plain(const struct marian_tensor *t) {
    return t->quant == MARIAN_PLAIN;
}

int marian_join(struct marian_loader *l, const struct marian_tensor *t, int n_parts,
                struct berth_weight **out) {
    const int64_t n = t[0].n, k = t[0].k;
    bool alike = true;
    for (int i = 0; i < n_parts; i++) {
        alike = alike && marian_is_plain(&t[i]) && t[i].dtype == t[0].dtype;
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
static int join_biases(struct marian_loader *l, char names[][NAME], int n_parts, int64_t n,
                       struct berth_tensor *out) {
    float *values = bth_calloc((size_t)(n * n_parts), sizeof(*values));
    int rc = values ? 0 : bth_error_nomem(l->err);
    bool any = false;
    for (int i = 0; rc == 0 && i < n_parts; i++) {
        rc = marian_read_values(l, names[i], 1, n, values + i * n);
        any = any || rc == 0;
        rc = rc == BERTH_ENOTFOUND ? 0 : rc;
    }
    if (rc == 0 && any) {
        rc = marian_put_vector(l, values, 1, n * n_parts, out);
    }
    bth_free(values);
    return rc;
}

int marian_load_linear(struct marian_loader *l, const char *prefix, const char *parts, int64_t n,
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
        rc = marian_find_matrix(l, name, n, k, &t[found]);
        found += rc == 0;
    }
    out->n = l->m->eights ? n : n * found;
    out->n_parts = l->m->eights ? found : 1;
    if (rc == 0 && !l->m->eights) {
        rc = marian_join(l, t, found, &out->part[0].w);
        rc = rc < 0 ? rc : join_biases(l, biases, found, n, &out->part[0].bias);
    }
    for (int i = 0; rc == 0 && l->m->eights && i < found; i++) {
        rc = marian_load_eights(l, &t[i], biases[i], &out->part[i]);
    }
    for (int i = 0; i < found; i++) {
        marian_tensor_release(&t[i]);
    }
    return rc;
}

/* softmax(q K) V in f64: scores, their maximum, weights, sums. */
#include "compute/ref/ref_ops.h"

#include <math.h>

enum { MAX_KEYS = 8192, MAX_DIM = 256 };

/* Keys and values of one head: element c of position t. */
struct memory {
    const float *(*at)(const void *of, int64_t t, bool value);
    const void *of;
    int64_t n, dim;
};

static void attend(const float *q, const struct memory *m, float *scores, float *out) {
    double weights[MAX_KEYS], most = -INFINITY, total = 0, sum[MAX_DIM] = {0};
    for (int64_t t = 0; t < m->n; t++) {
        const float *key = m->at(m->of, t, false);
        double dot = 0;
        for (int64_t c = 0; c < m->dim; c++) {
            dot += (double)q[c] * (double)key[c];
        }
        weights[t] = dot;
        most = fmax(most, dot);
        if (scores) {
            scores[t] = (float)dot;
        }
    }
    for (int64_t t = 0; t < m->n; t++) {
        double w = exp(weights[t] - most);
        const float *value = m->at(m->of, t, true);
        total += w;
        for (int64_t c = 0; c < m->dim; c++) {
            sum[c] += w * (double)value[c];
        }
    }
    for (int64_t c = 0; c < m->dim; c++) {
        out[c] = (float)(sum[c] / total);
    }
}

struct full {
    const struct berth_op_attend_full *op;
    int64_t group, head;
};

static const float *full_at(const void *of, int64_t t, bool value) {
    const struct full *f = of;
    return bth_ref_f32(value ? &f->op->v : &f->op->k, f->group * f->op->t + t,
                       f->head * f->op->head_dim);
}

void bth_ref_attend_full(const struct berth_op_attend_full *op, int64_t groups) {
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t h = 0; h < op->heads; h++) {
            const struct full f = {op, g, h};
            const struct memory m = {full_at, &f, op->t, op->head_dim};
            for (int64_t i = 0; i < op->nq; i++) {
                float out[MAX_DIM];
                attend(bth_ref_f32(&op->q, g * op->t + op->q0 + i, h * op->head_dim), &m, NULL,
                       out);
                for (int64_t c = 0; c < op->head_dim; c++) {
                    *bth_ref_f32(&op->y, g * op->nq + i, h * op->head_dim + c) = out[c];
                }
            }
        }
    }
}

struct paged {
    const struct berth_kv *kv;
    const int32_t *table;
    int64_t head;
};

static const float *paged_at(const void *of, int64_t t, bool value) {
    const struct paged *p = of;
    const struct berth_kv *kv = p->kv;
    int64_t at = p->table[t / kv->page_rows] * kv->page_stride +
                 p->head * kv->page_rows * kv->head_dim + t % kv->page_rows * kv->head_dim;
    return (const float *)kv->buffer->host + at + (value ? kv->value_offset : kv->key_offset);
}

void bth_ref_attend_paged(const struct berth_op_attend_paged *op, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t h = 0; h < op->kv.heads; h++) {
            const struct paged p = {&op->kv, bth_ref_i32(&op->table) + r * op->table.row_stride, h};
            const struct memory m = {paged_at, &p, bth_ref_i32(&op->len)[r], op->kv.head_dim};
            float *scores =
                op->scores.buffer ? bth_ref_f32(&op->scores, r * op->kv.heads + h, 0) : NULL;
            attend(bth_ref_f32(&op->q, r, h * m.dim), &m, scores,
                   bth_ref_f32(&op->y, r, h * m.dim));
        }
    }
}

/* Sums of table rows and largest pieces: the ops of hashed embeddings and maxout layers. */
#include "compute/ref/ref_ops.h"

#include <math.h>

void bth_ref_embed_sum(const struct berth_op_embed_sum *op, int64_t rows) {
    const int64_t d = op->table.cols;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < op->y.cols; c++) {
            const int32_t *ids = bth_ref_i32(&op->ids) + r * op->ids.row_stride + c / d * op->terms;
            float sum = 0;
            for (int64_t i = 0; i < op->terms; i++) {
                sum += *bth_ref_f32(&op->table, ids[i], c % d);
            }
            *bth_ref_f32(&op->y, r, c) = sum;
        }
    }
}

static float largest_piece(const struct berth_op_maxout *op, int64_t r, int64_t c) {
    float best = *bth_ref_f32(&op->x, r, c);
    for (int64_t p = 1; p < op->pieces; p++) {
        const float v = *bth_ref_f32(&op->x, r, p * op->y.cols + c);
        best = best > v ? best : v;
    }
    return best;
}

/* The norm of one row in double precision: its mean and 1 / deviation. */
static void norm_of(const struct berth_op_maxout *op, int64_t r, double *mean, double *scale) {
    const int64_t n = op->y.cols;
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < n; c++) {
        sum += (double)largest_piece(op, r, c);
    }
    *mean = sum / (double)n;
    for (int64_t c = 0; c < n; c++) {
        const double v = (double)largest_piece(op, r, c) - *mean;
        squares += v * v;
    }
    *scale = 1.0 / sqrt(squares / (double)n + (double)op->eps);
}

void bth_ref_maxout(const struct berth_op_maxout *op, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, scale = 1;
        if (op->gamma.buffer) {
            norm_of(op, r, &mean, &scale);
        }
        for (int64_t c = 0; c < op->y.cols; c++) {
            float v = largest_piece(op, r, c);
            if (op->gamma.buffer) {
                v = (float)(((double)v - mean) * scale * (double)*bth_ref_f32(&op->gamma, 0, c) +
                            (double)*bth_ref_f32(&op->beta, 0, c));
            }
            if (op->residual.buffer) {
                v += *bth_ref_f32(&op->residual, r, c);
            }
            *bth_ref_f32(&op->y, r, c) = v;
        }
    }
}

void bth_ref_gather_max(const struct berth_op_gather_max *op, int64_t rows) {
    const int64_t n = op->y.cols, width = op->pieces * n;
    for (int64_t r = 0; r < rows; r++) {
        const int32_t *ids = bth_ref_i32(&op->ids) + r * op->ids.row_stride;
        for (int64_t c = 0; c < n; c++) {
            float best = 0;
            for (int64_t p = 0; p < op->pieces; p++) {
                float sum = 0;
                for (int64_t i = 0; i < op->ids.cols; i++) {
                    sum += *bth_ref_f32(&op->x, ids[i], i * width + p * n + c);
                }
                sum += *bth_ref_f32(&op->bias, 0, p * n + c);
                best = p == 0 ? sum : best > sum ? best : sum;
            }
            *bth_ref_f32(&op->y, r, c) = best;
        }
    }
}

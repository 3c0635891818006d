#include "compute/ops_check.h"

#include "base/dtype.h"
#include "base/error.h"

void bth_check_fail(struct bth_check *c, const char *tensor, const char *what, int64_t have,
                    int64_t want) {
    if (c->ok) {
        c->b->rc = bth_error(&c->b->err, BERTH_EINTERNAL, "op %s: %s: %s is %lld, expected %lld",
                             c->op, tensor, what, (long long)have, (long long)want);
        c->ok = false;
    }
}

struct bth_check bth_check_begin(struct bth_builder *b, int live, const char *op) {
    struct bth_check c = {b, op, b->rc == 0};
    if (live < -1 || live >= BERTH_MAX_LIVE) {
        bth_check_fail(&c, "live", "its index", live, BERTH_MAX_LIVE - 1);
    }
    return c;
}

int64_t bth_check_product(int64_t a, int64_t b) {
    int64_t r;
    return a > 0 && b > 0 && !__builtin_mul_overflow(a, b, &r) ? r : 0;
}

/* *out: how far the last element of row `rows - 1` lies from the offset. false on overflow. */
static bool reach(const struct berth_tensor *t, int64_t rows, int64_t *out) {
    int64_t row, col = t->cols - 1;
    if (t->head_cols && (__builtin_mul_overflow(col / t->head_cols, t->head_stride, &col) ||
                         __builtin_add_overflow(col, t->head_cols - 1, &col))) {
        return false;
    }
    return !__builtin_mul_overflow(rows - 1, t->row_stride, &row) &&
           !__builtin_add_overflow(row, col, out);
}

static void check_shape(struct bth_check *c, const char *name, const struct berth_tensor *t,
                        enum berth_dtype dtype, int64_t rows, int64_t cols) {
    if (!t->buffer) {
        bth_check_fail(c, name, "its buffer", 0, 1);
        return;
    }
    if (t->buffer->device != c->b->device) {
        bth_check_fail(c, name, "on this device", 0, 1);
    }
    if (t->dtype != dtype) {
        bth_check_fail(c, name, "dtype", t->dtype, dtype);
    }
    if (t->rows != rows || rows < 1) {
        bth_check_fail(c, name, "rows", t->rows, rows < 1 ? 1 : rows);
    }
    if (t->cols != cols || cols < 1) {
        bth_check_fail(c, name, "cols", t->cols, cols < 1 ? 1 : cols);
    }
}

static void check_placing(struct bth_check *c, const char *name, const struct berth_tensor *t,
                          enum bth_placing placing) {
    if (t->row_stride < 0) {
        bth_check_fail(c, name, "row_stride", t->row_stride, 0);
    }
    if (t->head_cols < 0 || (t->head_cols && (t->cols % t->head_cols || t->head_stride < 0))) {
        bth_check_fail(c, name, "a part of its cols, head_cols", t->head_cols, t->cols);
    }
    if (t->head_cols && placing != BTH_PLACE_ANY) {
        bth_check_fail(c, name, "without heads here, head_cols", t->head_cols, 0);
    }
    if (!t->index) {
        return;
    }
    if (placing == BTH_PLACE_ROWS) {
        bth_check_fail(c, name, "without groups here, group_rows", t->group_rows, 0);
    }
    if (t->index->device != c->b->device) {
        bth_check_fail(c, name, "its index on this device", 0, 1);
    }
    if (t->group_rows < 1 || t->rows % t->group_rows != 0 || t->group_stride < 0) {
        bth_check_fail(c, name, "a part of its rows, group_rows", t->group_rows, t->rows);
        return;
    }
    const size_t groups = (size_t)(t->rows / t->group_rows), words = t->index->bytes / 4;
    if (t->index_offset > words || groups > words - t->index_offset) {
        bth_check_fail(c, name, "words of its index", (int64_t)words,
                       (int64_t)(t->index_offset + groups));
    }
}

void bth_check_tensor(struct bth_check *c, const char *name, const struct berth_tensor *t,
                      enum berth_dtype dtype, int64_t rows, int64_t cols,
                      enum bth_placing placing) {
    check_shape(c, name, t, dtype, rows, cols);
    if (c->ok) {
        check_placing(c, name, t, placing);
    }
    if (!c->ok) {
        return;
    }
    const size_t limit = t->buffer->bytes / bth_dtype_bytes(dtype);
    int64_t last;
    if (!reach(t, t->index ? t->group_rows : t->rows, &last)) {
        bth_check_fail(c, name, "row_stride", t->row_stride, (int64_t)limit);
    } else if (t->offset >= limit || (size_t)last >= limit - t->offset) {
        bth_check_fail(c, name, "its last element", (int64_t)t->offset + last, (int64_t)limit - 1);
    }
}

void bth_check_narrow(struct bth_check *c, const char *name, const struct berth_tensor *t,
                      int64_t rows, int64_t cols, enum bth_placing placing) {
    const enum berth_dtype narrow = c->b->device->narrow;
    bth_check_tensor(c, name, t, t->dtype == narrow ? narrow : BERTH_F32, rows, cols, placing);
}

void bth_check_optional(struct bth_check *c, const char *name, const struct berth_tensor *t,
                        int64_t rows, int64_t cols, enum bth_placing placing) {
    if (t->buffer) {
        bth_check_tensor(c, name, t, BERTH_F32, rows, cols, placing);
    }
}

/* Elements of a and b are equal where a's row ra and b's row rb, columns ca and cb, obey
 * b.offset - a.offset = (ra - rb) * stride + ca - cb. With columns inside the stride only two
 * values of ra - rb come near; three are tried since b may be a single row wider than that. */
static bool rows_meet(const struct berth_tensor *a, const struct berth_tensor *b, int64_t stride) {
    const int64_t delta = (int64_t)b->offset - (int64_t)a->offset;
    const int64_t near = stride ? delta / stride : 0;
    for (int64_t m = near - 1; m <= near + 1; m++) {
        const int64_t between = delta - m * stride;
        if (m > -b->rows && m < a->rows && between > -b->cols && between < a->cols) {
            return true;
        }
    }
    return false;
}

void bth_check_apart(struct bth_check *c, const char *name, const struct berth_tensor *in,
                     const struct berth_tensor *out) {
    if (!c->ok || !in->buffer || in->buffer != out->buffer || in->index || out->index ||
        in->head_cols || out->head_cols ||
        bth_dtype_bytes(in->dtype) != bth_dtype_bytes(out->dtype)) {
        return;
    }
    bool meet = false;
    if (in->row_stride == in->cols && out->row_stride == out->cols) {
        meet = in->offset < out->offset + (size_t)(out->rows * out->cols) &&
               out->offset < in->offset + (size_t)(in->rows * in->cols);
    } else if (in->row_stride == out->row_stride || in->rows == 1 || out->rows == 1) {
        meet = rows_meet(in, out, in->rows == 1 ? out->row_stride : in->row_stride);
    }
    if (meet) {
        bth_check_fail(c, name, "apart from the output, its offset", (int64_t)in->offset,
                       (int64_t)(out->offset + (size_t)out->cols));
    }
}

void bth_check_weight(struct bth_check *c, const struct berth_weight *w, int64_t n, int64_t k) {
    if (!w || w->device != c->b->device) {
        bth_check_fail(c, "w", "on this device", 0, 1);
        return;
    }
    if (w->n != n) {
        bth_check_fail(c, "w", "outputs", w->n, n);
    }
    if (w->k != k) {
        bth_check_fail(c, "w", "inputs", w->k, k);
    }
}

void bth_check_kv(struct bth_check *c, const struct berth_kv *kv) {
    if (!kv->buffer || kv->buffer->device != c->b->device) {
        bth_check_fail(c, "kv", "on this device", 0, 1);
        return;
    }
    const int64_t block =
        bth_check_product(bth_check_product(kv->page_rows, kv->heads), kv->head_dim);
    if (block == 0) {
        bth_check_fail(c, "kv", "elements of a page", 0, 1);
    }
    if (kv->dtype != BERTH_F32 && kv->dtype != c->b->device->narrow) {
        bth_check_fail(c, "kv", "dtype", kv->dtype, BERTH_F32);
        return;
    }
    const int64_t elements = (int64_t)(kv->buffer->bytes / bth_dtype_bytes(kv->dtype));
    if (kv->page_stride < block || kv->page_stride > elements) {
        bth_check_fail(c, "kv", "page_stride", kv->page_stride, elements);
        return;
    }
    if (kv->key_offset < 0 || kv->key_offset > kv->page_stride - block) {
        bth_check_fail(c, "kv", "key_offset", kv->key_offset, kv->page_stride - block);
    }
    if (kv->value_offset < 0 || kv->value_offset > kv->page_stride - block) {
        bth_check_fail(c, "kv", "value_offset", kv->value_offset, kv->page_stride - block);
    }
    if (c->ok && kv->value_offset < kv->key_offset + block &&
        kv->key_offset < kv->value_offset + block) {
        bth_check_fail(c, "kv", "apart from the keys, value_offset", kv->value_offset,
                       kv->key_offset + block);
    }
}

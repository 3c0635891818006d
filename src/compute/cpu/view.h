/*
 * compute/cpu/view.h - where the elements of a struct berth_tensor lie in host memory.
 */
#ifndef BTH_VIEW_H
#define BTH_VIEW_H

#include "base/compiler.h"
#include "kernels.h"
#include <berth/backend.h>

/* The first element of a dense tensor. */
BTH_UNUSED static inline const int32_t *ints_of(const struct berth_tensor *t) {
    return (const int32_t *)t->buffer->host + t->offset;
}

/* A f32 tensor with its addresses worked out. base NULL: absent. */
struct view {
    float *base;
    int64_t row_stride;
    const int32_t *index; /* [groups] or NULL */
    int64_t group_rows, group_stride;
    int64_t head_cols, head_stride; /* head_cols 0: columns are dense */
};

BTH_UNUSED static inline struct view view_of(const struct berth_tensor *t) {
    struct view v = {.base = NULL};
    if (t->buffer) {
        v.base = (float *)t->buffer->host + t->offset;
        v.row_stride = t->row_stride;
        v.head_cols = t->head_cols;
        v.head_stride = t->head_stride;
        if (t->index) {
            v.index = (const int32_t *)t->index->host + t->index_offset;
            v.group_rows = t->group_rows;
            v.group_stride = t->group_stride;
        }
    }
    return v;
}

BTH_UNUSED static inline float *view_row(const struct view *v, int64_t r) {
    if (v->index) {
        return v->base + v->index[r / v->group_rows] * v->group_stride +
               (r % v->group_rows) * v->row_stride;
    }
    return v->base + r * v->row_stride;
}

/* How far column c lies from the start of its row. */
BTH_UNUSED static inline int64_t view_col(const struct view *v, int64_t c) {
    return v->head_cols ? c / v->head_cols * v->head_stride + c % v->head_cols : c;
}

/* The columns from c on that lie side by side, at most n. */
BTH_UNUSED static inline int64_t view_run(const struct view *v, int64_t c, int64_t n) {
    const int64_t left = v->head_cols ? v->head_cols - c % v->head_cols : n;
    return left < n ? left : n;
}

/* [*first, *end): the share of `n` items that is part i of `parts`. */
BTH_UNUSED static inline void share_of(int64_t n, int i, int parts, int64_t *first, int64_t *end) {
    *first = n * i / parts;
    *end = n * (i + 1) / parts;
}

/* Which rows a member works on, and which part of the work on them is its own: all of it on its
 * share of the rows where members go apart, its share of it on all rows otherwise. */
struct row_share {
    int64_t first, end;
    int part, parts;
};

BTH_UNUSED static inline struct row_share row_share_of(const struct bth_cpu_turn *t) {
    struct row_share s = {0, t->rows, t->member, t->n_members};
    if (t->apart) {
        share_of(t->rows, t->member, t->n_members, &s.first, &s.end);
        s.part = 0;
        s.parts = 1;
    }
    return s;
}

#endif

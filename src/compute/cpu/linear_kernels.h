/*
 * compute/cpu/linear_kernels.h - linear and conv3: rows times a packed weight, then the epilogue.
 *
 * A member owns some rows and some panels (32 columns). It packs at most BTH_GROUP_ROWS of its rows
 * as blocks [k][R], then walks its panels. Up to two blocks of rows read the weight as it is
 * stored, widened in registers, at memory speed. More blocks share one widening of the panel into
 * a f32 buffer that stays in the second-level cache.
 *
 *   few rows:   each member has all rows and the same contiguous part of the panels every time,
 *               so weights stay in the caches they were in
 *   many rows:  each member has part of the rows and all panels
 */
#ifndef BTH_LINEAR_KERNELS_H
#define BTH_LINEAR_KERNELS_H

#include "math_kernels.h"
#include "micro_kernels.h"
#include "view.h"
#include <string.h>

/* Where a row of inputs comes from: `runs` pieces of `run` values, k = run * i + c. */
struct source {
    struct view x;
    int64_t k, run;
    bool conv; /* piece i of row (g, t) is x row (g, t * stride + i - 1), zeros outside */
    int64_t t_in, t_out, stride;
};

/* y = act(acc + bias) * scale + residual */
struct epilogue {
    struct view y, residual; /* residual base NULL: none */
    int64_t residual_rows;   /* row r adds residual row r % residual_rows */
    const float *bias;       /* [n] or NULL */
    enum berth_activation act;
    int64_t scale_cols;
    float scale;
};

struct product {
    struct source in;
    struct epilogue out;
    const char *w; /* [n / 32][k][32] dtype */
    enum berth_dtype dtype;
    int64_t n, k, panel_bytes;
};

static const float *source_piece(const struct source *s, int64_t row, int64_t piece) {
    if (!s->conv) {
        return view_row(&s->x, row) + view_col(&s->x, piece * s->run);
    }
    const int64_t t = row % s->t_out * s->stride + piece - 1;
    if (t < 0 || t >= s->t_in) {
        return NULL;
    }
    return view_row(&s->x, row / s->t_out * s->t_in + t);
}

/* Rows [row, row + R) as to[k][R]. */
static void pack_block(const struct source *s, int64_t row, int R, float *to) {
    for (int64_t piece = 0; piece * s->run < s->k; piece++) {
        const float *from[V_ROWS];
        for (int r = 0; r < R; r++) {
            from[r] = source_piece(s, row + r, piece);
        }
        float *at = to + piece * s->run * R;
        if (R == 1 && from[0]) {
            memcpy(at, from[0], (size_t)s->run * sizeof(float));
        } else {
            pack_rows(R, R, s->run, from, at);
        }
    }
}

/* The results v of columns [col, col + n), n <= 16, before the residual. */
V_INLINE v16 activated(const struct epilogue *e, v16 v, int64_t col, int n) {
    if (e->bias) {
        v = v_add(v, n == 16 ? v_load(e->bias + col) : v_load_n(e->bias + col, n));
    }
    if (e->act != BERTH_ACT_NONE) {
        v = v_activate(e->act, v);
    }
    if (col + 16 <= e->scale_cols) {
        v = v_mul(v, v_set1(e->scale));
    } else if (col < e->scale_cols) {
        const v16 inside = v_set1((float)(e->scale_cols - col));
        v = v_if_gt(inside, v_load(lane_number), v_mul(v, v_set1(e->scale)), v);
    }
    return v;
}

/* Up to 16 neighbouring columns of y that need not lie side by side. */
static void store_apart(const struct epilogue *e, v16 v, int64_t row, int64_t col, int n) {
    float *y = view_row(&e->y, row);
    float lane[16];
    v_store(lane, v);
    for (int i = 0; i < n; i++) {
        if (e->residual.base) {
            const float *residual = view_row(&e->residual, row % e->residual_rows);
            lane[i] += residual[view_col(&e->residual, col + i)];
        }
        y[view_col(&e->y, col + i)] = lane[i];
    }
}

/* Whether columns [col, col + cols) lie side by side where they are read and written. */
static bool side_by_side(const struct epilogue *e, int64_t col, int64_t cols) {
    return view_run(&e->y, col, cols) == cols &&
           (!e->residual.base || view_run(&e->residual, col, cols) == cols);
}

/* tile [R][cols] f32 of sums at (row, col); columns beyond n are padding. */
static void finish_tile(const struct product *p, const float *tile, int R, int cols, int64_t row,
                        int64_t col) {
    const struct epilogue *e = &p->out;
    const int live = p->n - col < cols ? (int)(p->n - col) : cols;
    const bool dense = side_by_side(e, col, live);
    for (int r = 0; r < R; r++) {
        float *y = view_row(&e->y, row + r) + view_col(&e->y, col);
        const float *residual = NULL;
        if (e->residual.base) {
            residual =
                view_row(&e->residual, (row + r) % e->residual_rows) + view_col(&e->residual, col);
        }
        for (int c = 0; c < live; c += 16) {
            const int n = live - c < 16 ? live - c : 16;
            v16 v = activated(e, v_load(tile + r * cols + c), col + c, n);
            if (!dense) {
                store_apart(e, v, row + r, col + c, n);
                continue;
            }
            if (residual) {
                v = v_add(v, n == 16 ? v_load(residual + c) : v_load_n(residual + c, n));
            }
            if (n == 16) {
                v_store(y + c, v);
            } else {
                v_store_n(y + c, v, n);
            }
        }
    }
}

/* finish_tile for a whole panel whose columns lie side by side; `act` is a constant. */
V_INLINE void finish_panel(const struct epilogue *e, const enum berth_activation act,
                           const float *tile, int R, int64_t row, int64_t col) {
    const bool scaled = col < e->scale_cols;
    const v16 b0 = e->bias ? v_load(e->bias + col) : v_zero();
    const v16 b1 = e->bias ? v_load(e->bias + col + 16) : v_zero();
    const v16 scale = v_set1(e->scale);
    const int64_t y_col = view_col(&e->y, col), residual_col = view_col(&e->residual, col);
    for (int r = 0; r < R; r++) {
        v16 v0 = v_load(tile + r * BTH_PANEL), v1 = v_load(tile + r * BTH_PANEL + 16);
        if (e->bias) {
            v0 = v_add(v0, b0);
            v1 = v_add(v1, b1);
        }
        v0 = v_activate(act, v0);
        v1 = v_activate(act, v1);
        if (scaled) {
            v0 = v_mul(v0, scale);
            v1 = v_mul(v1, scale);
        }
        if (e->residual.base) {
            int64_t from = row + r;
            from = from < e->residual_rows ? from : from % e->residual_rows;
            const float *residual = view_row(&e->residual, from) + residual_col;
            v0 = v_add(v0, v_load(residual));
            v1 = v_add(v1, v_load(residual + 16));
        }
        float *y = view_row(&e->y, row + r) + y_col;
        v_store(y, v0);
        v_store(y + 16, v1);
    }
}

/* Either way the same operations in the same order. */
static void finish(const struct product *p, const float *tile, int R, int cols, int64_t row,
                   int64_t col) {
    const struct epilogue *e = &p->out;
    const bool simple = cols == BTH_PANEL && col + cols <= p->n && side_by_side(e, col, cols) &&
                        (col >= e->scale_cols || col + cols <= e->scale_cols);
    if (simple && e->act == BERTH_ACT_NONE) {
        finish_panel(e, BERTH_ACT_NONE, tile, R, row, col);
    } else if (simple && e->act == BERTH_ACT_GELU) {
        finish_panel(e, BERTH_ACT_GELU, tile, R, row, col);
    } else if (simple && e->act == BERTH_ACT_RELU) {
        finish_panel(e, BERTH_ACT_RELU, tile, R, row, col);
    } else if (simple && e->act == BERTH_ACT_SWISH) {
        finish_panel(e, BERTH_ACT_SWISH, tile, R, row, col);
    } else {
        finish_tile(p, tile, R, cols, row, col);
    }
}

/* Asks for the lines that finish_tile will write, while the sums are being made. */
static void expect_tile(const struct product *p, int R, int64_t row, int64_t col) {
    for (int r = 0; r < R; r++) {
        const float *y = view_row(&p->out.y, row + r) + view_col(&p->out.y, col);
        __builtin_prefetch(y, 1);
        __builtin_prefetch(y + 16, 1);
    }
}

/* A block of R packed rows times `panels` panels at w. R and dtype are constants. */
V_INLINE void columns(const int R, const enum berth_dtype dtype, const int ahead,
                      const struct product *p, const float *a, const char *w, int64_t panels,
                      int64_t row, int64_t col) {
    enum { MAX_TILE = V_ROWS * 32 > 256 ? V_ROWS * 32 : 256 };
    const int Z = V_Z(R), es = dtype == BERTH_F32 ? 4 : 2;
    const int64_t panel_bytes = p->k * BTH_PANEL * es;
    float tile[MAX_TILE];
    int64_t z = 0;
    for (; z + Z <= 2 * panels; z += Z) {
        const char *at = w + z / 2 * panel_bytes + z % 2 * 16 * es;
        micro(R, Z, dtype, ahead, p->k, a, R, at, panel_bytes, tile, Z * 16);
        finish(p, tile, R, Z * 16, row, col + z * 16);
    }
    for (; z < 2 * panels; z += 2) { /* fewer panels than run together */
        const char *at = w + z / 2 * panel_bytes;
        micro(R, 2, dtype, ahead, p->k, a, R, at, panel_bytes, tile, 32);
        finish(p, tile, R, 32, row, col + z * 16);
    }
}

#define V_CASE(R)                                                                                  \
    case R:                                                                                        \
        columns(R, DTYPE, (R) <= 4 ? V_AHEAD : 2 * V_AHEAD, p, a, w, panels, row, col);            \
        break;
#define V_COLUMNS(name)                                                                            \
    static void name(const struct product *p, int R, const float *a, const char *w,                \
                     int64_t panels, int64_t row, int64_t col) {                                   \
        switch (R) { V_EACH_R(V_CASE) }                                                            \
    }
#define V_AHEAD 4096
#define DTYPE   BERTH_F16
V_COLUMNS(columns_f16)
#undef DTYPE
#define DTYPE BERTH_BF16
V_COLUMNS(columns_bf16)
#undef DTYPE
#define DTYPE BERTH_F32
V_COLUMNS(columns_f32)
#undef V_AHEAD
#define V_AHEAD 0
V_COLUMNS(columns_near) /* f32 in a near cache */
#undef V_AHEAD
#undef DTYPE
#undef V_COLUMNS
#undef V_CASE

static void columns_stored(const struct product *p, int R, const float *a, const char *w,
                           int64_t panels, int64_t row, int64_t col) {
    switch (p->dtype) {
    case BERTH_F16:
        columns_f16(p, R, a, w, panels, row, col);
        break;
    case BERTH_BF16:
        columns_bf16(p, R, a, w, panels, row, col);
        break;
    default:
        columns_f32(p, R, a, w, panels, row, col);
    }
}

/* One panel as f32: itself, or widened into `wide` [k][32]. */
static const float *widen_panel(const struct product *p, const char *w, float *wide) {
    if (p->dtype == BERTH_F32) {
        return (const float *)(const void *)w;
    }
    for (int64_t i = 0; i < p->k * BTH_PANEL; i += 16) {
        const char *at = w + i * 2;
        __builtin_prefetch(at + 4096);
        v_store(wide + i,
                p->dtype == BERTH_F16 ? v_weight(BERTH_F16, at) : v_weight(BERTH_BF16, at));
    }
    return wide;
}

/* Rows [row, row + rows), at most BTH_GROUP_ROWS, times panels [p0, p1). */
static void product_group(const struct product *p, int64_t row, int64_t rows, int64_t p0,
                          int64_t p1, float *scratch) {
    const int64_t blocks = (rows + V_ROWS - 1) / V_ROWS;
    const int R = (int)((rows + blocks - 1) / blocks);
    float *packed = scratch;
    float *wide = packed + (rows * p->k + 16 + 15) / 16 * 16;
    for (int64_t r = 0; r < rows; r += R) {
        pack_block(&p->in, row + r, rows - r < R ? (int)(rows - r) : R, packed + r * p->k);
    }
    if (blocks == 1) {
        columns_stored(p, R, packed, p->w + p0 * p->panel_bytes, p1 - p0, row, p0 * BTH_PANEL);
        return;
    }
    for (int64_t q = p0; q < p1; q++) {
        const char *w = p->w + q * p->panel_bytes;
        const float *near = blocks > 2 ? widen_panel(p, w, wide) : NULL;
        for (int64_t r = 0; r < rows; r += R) {
            const int n = rows - r < R ? (int)(rows - r) : R;
            if (near) {
                expect_tile(p, n, row + r, q * BTH_PANEL);
                columns_near(p, n, packed + r * p->k, (const char *)near, 1, row + r,
                             q * BTH_PANEL);
            } else {
                columns_stored(p, n, packed + r * p->k, w, 1, row + r, q * BTH_PANEL);
            }
        }
    }
}

/* Into how many parts the rows are split; the panels are split into the rest. */
static int row_parts(int64_t blocks, int members) {
    enum { FEWEST_BLOCKS = 4 }; /* of a part, so that widening a panel pays */
    for (int parts = members; parts > 1; parts--) {
        if (members % parts == 0 && blocks >= parts * FEWEST_BLOCKS) {
            return parts;
        }
    }
    return 1;
}

static void product_run(const struct product *p, const struct bth_cpu_turn *t, int64_t rows) {
    const int64_t blocks = (rows + V_ROWS - 1) / V_ROWS;
    const int64_t panels = (p->n + BTH_PANEL - 1) / BTH_PANEL;
    const int parts = t->apart ? t->n_members : row_parts(blocks, t->n_members);
    const int per_part = t->n_members / parts;
    int64_t first, end, p0, p1;
    share_of(rows, t->member / per_part, parts, &first, &end);
    share_of(panels, t->member % per_part, per_part, &p0, &p1);
    if (p0 == p1) {
        return;
    }
    for (int64_t r = first; r < end; r += BTH_GROUP_ROWS) {
        const int64_t n = end - r < BTH_GROUP_ROWS ? end - r : BTH_GROUP_ROWS;
        product_group(p, r, n, p0, p1, t->own);
    }
}

static struct product product_of(const struct bth_cpu_weight *w) {
    return (struct product){
        .w = w->buffer->host,
        .dtype = w->base.dtype,
        .n = w->base.n,
        .k = w->base.k,
        .panel_bytes = w->base.k * BTH_PANEL * (w->base.dtype == BERTH_F32 ? 4 : 2),
        .in.k = w->base.k,
    };
}

static struct product linear_product(const struct berth_op_linear *op) {
    struct product p = product_of((const struct bth_cpu_weight *)op->w);
    p.in.x = view_of(&op->x);
    p.in.run = op->x.head_cols ? op->x.head_cols : p.k;
    p.out = (struct epilogue){
        .y = view_of(&op->y),
        .residual = view_of(&op->residual),
        .residual_rows = INT64_MAX,
        .bias = view_of(&op->bias).base,
        .act = op->act,
        .scale_cols = op->scale_cols,
        .scale = op->scale,
    };
    return p;
}

static void op_conv3(const struct bth_cpu_turn *t) {
    const struct berth_op_conv3 *op = &t->op->u.conv3;
    struct product p = product_of((const struct bth_cpu_weight *)op->w);
    p.in.x = view_of(&op->x);
    p.in.run = p.k / 3;
    p.in.conv = true;
    p.in.t_in = op->t_in;
    p.in.t_out = op->t_out;
    p.in.stride = op->stride;
    p.out = (struct epilogue){
        .y = view_of(&op->y),
        .residual = view_of(&op->add),
        .residual_rows = op->t_out,
        .bias = view_of(&op->bias).base,
        .act = op->act,
    };
    product_run(&p, t, t->rows * op->t_out);
}

#endif

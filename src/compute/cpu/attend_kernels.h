/*
 * compute/cpu/attend_kernels.h - attention: of a whole window over itself, and of single rows over
 * pages of keys and values.
 *
 * attend_full keeps queries in the lanes. For 32 queries of one head:
 *
 *     Q [dh][32]                 packed as a panel
 *     S [T][32] = K Q            K packed as activations, once per head
 *     P = exp(S - max over T)    lane by lane: no sum across lanes
 *     O [dh][32] = V^T P         V as it lies: row t is dh activations side by side
 *
 * so both products are micro_panel, and what a query gets cannot depend on its neighbours.
 *
 * attend_paged reads each key and value once, at the speed of memory. Positions are summed in
 * chunks of BTH_CHUNK, each with its own maximum, and chunks are combined in order.
 */
#ifndef BTH_ATTEND_KERNELS_H
#define BTH_ATTEND_KERNELS_H

#include "math_kernels.h"
#include "micro_kernels.h"
#include "view.h"
#include <math.h>
#include <string.h>

/* ---- full ----------------------------------------------------------------------------------- */

struct full_scratch {
    float *keys;    /* [T / V_ROWS][dh][V_ROWS], the last block narrower; + 16 */
    float *queries; /* [dh][32] */
    float *scores;  /* [T][32] */
    float *out;     /* [dh][32] */
};

static struct full_scratch full_scratch_at(const struct berth_op_attend_full *op, void *own) {
    struct full_scratch s = {.keys = own};
    s.queries = s.keys + (op->t * op->head_dim + 31) / 16 * 16;
    s.scores = s.queries + op->head_dim * BTH_QUERIES;
    s.out = s.scores + op->t * BTH_QUERIES;
    return s;
}

static void pack_keys(const struct berth_op_attend_full *op, const float *k, float *to) {
    for (int64_t t = 0; t < op->t; t += V_ROWS) {
        const int R = op->t - t < V_ROWS ? (int)(op->t - t) : V_ROWS;
        const float *from[V_ROWS];
        for (int r = 0; r < R; r++) {
            from[r] = k + (t + r) * op->k.row_stride;
        }
        pack_rows(R, R, op->head_dim, from, to + t * op->head_dim);
    }
}

/* Queries [first, first + n) of group g as a panel; lanes beyond n are 0. */
static void pack_queries(const struct berth_op_attend_full *op, const float *q, int64_t n,
                         float *to) {
    for (int half = 0; half < 2; half++) {
        const float *from[16];
        for (int r = 0; r < 16; r++) {
            from[r] = half * 16 + r < n ? q + (half * 16 + r) * op->q.row_stride : NULL;
        }
        pack_rows(16, BTH_QUERIES, op->head_dim, from, to + half * 16);
    }
}

/* scores [T][32] = keys times queries; max[2]: the largest per lane. */
static void full_scores(const struct berth_op_attend_full *op, const struct full_scratch *s,
                        v16 max[2]) {
    max[0] = max[1] = v_set1(-INFINITY);
    for (int64_t t = 0; t < op->t; t += V_ROWS) {
        const int R = op->t - t < V_ROWS ? (int)(op->t - t) : V_ROWS;
        float *tile = s->scores + t * BTH_QUERIES;
        micro_panel(R, op->head_dim, s->keys + t * op->head_dim, R, s->queries, tile, BTH_QUERIES);
        for (int r = 0; r < R; r++) {
            max[0] = v_max(max[0], v_load(tile + r * BTH_QUERIES));
            max[1] = v_max(max[1], v_load(tile + r * BTH_QUERIES + 16));
        }
    }
}

/* scores = exp(scores - max); sum[2]: per lane, in blocks of 64 positions so that the error of the
 * sum stays near one rounding. */
static void full_softmax(int64_t T, float *scores, const v16 max[2], v16 sum[2]) {
    enum { BLOCK = 64 };
    sum[0] = sum[1] = v_zero();
    for (int64_t t0 = 0; t0 < T; t0 += BLOCK) {
        const int64_t end = t0 + BLOCK < T ? t0 + BLOCK : T;
        v16 part0 = v_zero(), part1 = v_zero();
        for (int64_t t = t0; t < end; t++) {
            float *p = scores + t * BTH_QUERIES;
            const v16 e0 = v_exp(v_sub(v_load(p), max[0]));
            const v16 e1 = v_exp(v_sub(v_load(p + 16), max[1]));
            v_store(p, e0);
            v_store(p + 16, e1);
            part0 = v_add(part0, e0);
            part1 = v_add(part1, e1);
        }
        sum[0] = v_add(sum[0], part0);
        sum[1] = v_add(sum[1], part1);
    }
}

/* out [dh][32] = values^T times scores, divided by the sums. */
static void full_values(const struct berth_op_attend_full *op, const struct full_scratch *s,
                        const float *v, const v16 sum[2]) {
    const int64_t blocks = (op->head_dim + V_ROWS - 1) / V_ROWS;
    const int64_t width = (op->head_dim + blocks - 1) / blocks;
    for (int64_t c = 0; c < op->head_dim; c += width) {
        const int R = (int)(op->head_dim - c < width ? op->head_dim - c : width);
        micro_panel(R, op->t, v + c, op->v.row_stride, s->scores, s->out + c * BTH_QUERIES,
                    BTH_QUERIES);
    }
    const v16 one = v_set1(1.0f);
    const v16 scale[2] = {v_div(one, sum[0]), v_div(one, sum[1])};
    for (int64_t c = 0; c < op->head_dim * 2; c++) {
        float *p = s->out + c * 16;
        v_store(p, v_mul(v_load(p), scale[c % 2]));
    }
}

static void op_attend_full(const struct bth_cpu_turn *t) {
    const struct berth_op_attend_full *op = &t->op->u.attend_full;
    const struct full_scratch s = full_scratch_at(op, t->own);
    const struct view q = view_of(&op->q), k = view_of(&op->k), v = view_of(&op->v);
    const struct view y = view_of(&op->y);
    const int64_t blocks = (op->nq + BTH_QUERIES - 1) / BTH_QUERIES;
    int64_t first, end, packed = -1;
    share_of(t->rows * op->heads * blocks, t->member, t->n_members, &first, &end);
    for (int64_t i = first; i < end; i++) {
        const int64_t head = i / blocks, g = head / op->heads, h = head % op->heads;
        const int64_t i0 = i % blocks * BTH_QUERIES, col = h * op->head_dim;
        const int64_t n = op->nq - i0 < BTH_QUERIES ? op->nq - i0 : BTH_QUERIES;
        if (packed != head) {
            pack_keys(op, view_row(&k, g * op->t) + view_col(&k, col), s.keys);
            packed = head;
        }
        pack_queries(op, view_row(&q, g * op->t + op->q0 + i0) + view_col(&q, col), n, s.queries);
        v16 max[2], sum[2];
        full_scores(op, &s, max);
        full_softmax(op->t, s.scores, max, sum);
        full_values(op, &s, view_row(&v, g * op->t) + view_col(&v, col), sum);
        for (int64_t r = 0; r < n; r++) {
            float *to = view_row(&y, g * op->nq + i0 + r);
            for (int64_t c = 0; c < op->head_dim; c++) {
                to[view_col(&y, col + c)] = s.out[c * BTH_QUERIES + r];
            }
        }
    }
}

/* ---- paged ---------------------------------------------------------------------------------- */

enum {
    AHEAD = 1024, /* floats that are asked for before they are needed */
    NEAR = 64,    /* positions for which nothing is asked for */
    TOGETHER = 8  /* short (row, head) that are worked on together */
};

/* What a chunk of positions gives one (row, head). */
struct partial {
    float max, sum;
    float out[]; /* [dh], padded to 16 */
};

struct paged {
    const struct berth_op_attend_paged *op;
    struct view q, y, scores;
    const int32_t *table, *len; /* [rows][max_pages], [rows] */
    const float *keys, *values; /* of page 0, head 0 */
    int64_t heads, dh, page_rows, page_stride, table_stride;
    int64_t chunks; /* the most of a row */
    char *partials; /* [rows][heads][chunks] */
    size_t partial_bytes;
};

static struct paged paged_of(const struct bth_cpu_turn *t) {
    const struct berth_op_attend_paged *op = &t->op->u.attend_paged;
    const float *base = op->kv.buffer->host;
    struct paged p = {
        .op = op,
        .q = view_of(&op->q),
        .y = view_of(&op->y),
        .scores = view_of(&op->scores),
        .table = ints_of(&op->table),
        .len = ints_of(&op->len),
        .keys = base + op->kv.key_offset,
        .values = base + op->kv.value_offset,
        .heads = op->kv.heads,
        .dh = op->kv.head_dim,
        .page_rows = op->kv.page_rows,
        .page_stride = op->kv.page_stride,
        .table_stride = op->table.row_stride,
        .chunks = (op->table.cols * op->kv.page_rows + BTH_CHUNK - 1) / BTH_CHUNK,
        .partials = t->shared,
    };
    p.partial_bytes = sizeof(struct partial) + (size_t)(p.dh + 15) / 16 * 64;
    return p;
}

static struct partial *partial_at(const struct paged *p, int64_t row, int64_t head, int64_t chunk) {
    const int64_t i = (row * p->heads + head) * p->chunks + chunk;
    return (struct partial *)(void *)(p->partials + (size_t)i * p->partial_bytes);
}

/* A walk over the positions [t, end) of a row, page by page: n of them lie at `at`. Dividing once
 * for a walk and not for a page: a page may be a single position. */
struct pages {
    const float *base; /* keys or values of the head on page 0 */
    const int32_t *next;
    int64_t t, end, n, in_page;
    const float *at;
};

static struct pages pages_of(const struct paged *p, const float *base, int64_t row, int64_t head,
                             int64_t t, int64_t end) {
    const int64_t page = t ? t / p->page_rows : 0;
    return (struct pages){.base = base + head * p->page_rows * p->dh,
                          .next = p->table + row * p->table_stride + page,
                          .t = t,
                          .end = end,
                          .in_page = t - page * p->page_rows};
}

/* false: that was all. */
V_INLINE bool next_page(const struct paged *p, struct pages *w) {
    w->t += w->n;
    if (w->t >= w->end) {
        return false;
    }
    const int64_t left = p->page_rows - w->in_page;
    w->n = left < w->end - w->t ? left : w->end - w->t;
    w->at = w->base + *w->next++ * p->page_stride + w->in_page * p->dh;
    w->in_page = 0;
    return true;
}

/* Lane sums of q . k: lane l holds columns l, l + 16 ... Of few rows (`ahead` false) nothing is
 * asked for: they are near, and what is to be done for them fits the processor's window. */
V_INLINE v16 dot_lanes(const float *q, const float *k, int64_t dh, const bool ahead) {
    v16 sum = v_zero();
    int64_t c = 0;
    for (; c + 16 <= dh; c += 16) {
        if (ahead) {
            __builtin_prefetch(k + c + AHEAD);
        }
        sum = v_fma(v_load(q + c), v_load(k + c), sum);
    }
    if (c < dh) {
        const int n = (int)(dh - c);
        sum = v_fma(v_load_n(q + c, n), v_load_n(k + c, n), sum);
    }
    return sum;
}

/* s[j] = q . k[j] for sixteen rows, n of them real; summed together in the tree of v_sum. */
V_INLINE v16 dot_sixteen(const float *q, const float *k, int64_t n, int64_t dh, const bool ahead) {
    v16 v[16];
    V_UNROLL
    for (int j = 0; j < 16; j++) {
        v[j] = dot_lanes(q, k + (j < n ? j : n - 1) * dh, dh, ahead);
    }
    return v_sums(v);
}

/* s[i] = q . k[i] for n rows. */
V_INLINE void dot_rows(const float *q, const float *k, int64_t n, int64_t dh, float *s) {
    enum { WORTH = 4 }; /* rows for which sixteen at once are faster than one by one */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v_store(s + i, dot_sixteen(q, k + i * dh, 16, dh, n > NEAR));
    }
    if (n - i >= WORTH) {
        v_store_n(s + i, dot_sixteen(q, k + i * dh, n - i, dh, n > NEAR), (int)(n - i));
        return;
    }
    for (; i < n; i++) {
        s[i] = v_sum(dot_lanes(q, k + i * dh, dh, n > NEAR));
    }
}

/* out[c] += p[i] * v[i][c] for n rows in order, Z vectors of columns at a time. */
V_INLINE void add_rows(const int Z, const bool ahead, const float *p, const float *v, int64_t n,
                       int64_t dh, float *out) {
    v16 sum[4];
    V_UNROLL
    for (int z = 0; z < Z; z++) {
        sum[z] = v_load(out + z * 16);
    }
    for (int64_t i = 0; i < n; i++) {
        const v16 w = v_set1(p[i]);
        V_UNROLL
        for (int z = 0; z < Z; z++) {
            const float *at = v + i * dh + z * 16;
            if (ahead) {
                __builtin_prefetch(at + AHEAD);
            }
            sum[z] = v_fma(w, v_load(at), sum[z]);
        }
    }
    V_UNROLL
    for (int z = 0; z < Z; z++) {
        v_store(out + z * 16, sum[z]);
    }
}

static void add_tail(const float *p, const float *v, int64_t n, int64_t dh, int cols, float *out) {
    v16 sum = v_load(out);
    for (int64_t i = 0; i < n; i++) {
        sum = v_fma(v_set1(p[i]), v_load_n(v + i * dh, cols), sum);
    }
    v_store(out, sum);
}

/* e[i] = exp(e[i] - max), their max and sum. Lanes beyond n are written too. */
static void chunk_softmax(float *e, int64_t n, float *out_max, float *out_sum) {
    v16 max = v_set1(-INFINITY), sum = v_zero();
    for (int64_t i = n; i % 16; i++) {
        e[i] = -INFINITY;
    }
    for (int64_t i = 0; i < n; i += 16) {
        max = v_max(max, v_load(e + i));
    }
    *out_max = v_max_lane(max);
    const v16 m = v_set1(*out_max);
    for (int64_t i = 0; i < n; i += 16) {
        const v16 x = v_exp(v_sub(v_load(e + i), m));
        v_store(e + i, x);
        sum = v_add(sum, x);
    }
    *out_sum = v_sum(sum);
}

static void paged_scores(const struct paged *p, int64_t row, int64_t head, int64_t t0, int64_t end,
                         float *s) {
    const float *q = view_row(&p->q, row) + view_col(&p->q, head * p->dh);
    struct pages w = pages_of(p, p->keys, row, head, t0, end);
    while (next_page(p, &w)) {
        float *to = s + w.t - t0;
        if (p->dh == 64) {
            dot_rows(q, w.at, w.n, 64, to);
        } else if (p->dh == 32) {
            dot_rows(q, w.at, w.n, 32, to);
        } else {
            dot_rows(q, w.at, w.n, p->dh, to);
        }
    }
    if (p->scores.base) {
        float *to = view_row(&p->scores, row * p->heads + head);
        memcpy(to + t0, s, (size_t)(end - t0) * sizeof(float));
    }
}

static void paged_values(const struct paged *p, int64_t row, int64_t head, int64_t t0, int64_t end,
                         const float *e, float *out) {
    memset(out, 0, (size_t)(p->dh + 15) / 16 * 64);
    struct pages w = pages_of(p, p->values, row, head, t0, end);
    while (next_page(p, &w)) {
        const float *weight = e + w.t - t0;
        int64_t c = 0;
        for (; c + 64 <= p->dh && w.n > NEAR; c += 64) {
            add_rows(4, true, weight, w.at + c, w.n, p->dh, out + c);
        }
        for (; c + 64 <= p->dh; c += 64) {
            add_rows(4, false, weight, w.at + c, w.n, p->dh, out + c);
        }
        for (; c + 32 <= p->dh; c += 32) {
            add_rows(2, false, weight, w.at + c, w.n, p->dh, out + c);
        }
        for (; c < p->dh; c += 16) {
            const int cols = p->dh - c < 16 ? (int)(p->dh - c) : 16;
            add_tail(weight, w.at + c, w.n, p->dh, cols, out + c);
        }
    }
}

/* Chunks that are worked on together, step by step, so that the long chains of roundings of one
 * (a sum, an exponential) run beside those of the others. */
struct together {
    struct {
        int64_t row, head, chunk, t0, end;
    } item[TOGETHER];
    int n;
    float e[TOGETHER][BTH_CHUNK];
};

static void together_run(const struct paged *p, struct together *w) {
    for (int i = 0; i < w->n; i++) {
        paged_scores(p, w->item[i].row, w->item[i].head, w->item[i].t0, w->item[i].end, w->e[i]);
    }
    for (int i = 0; i < w->n; i++) {
        struct partial *part = partial_at(p, w->item[i].row, w->item[i].head, w->item[i].chunk);
        chunk_softmax(w->e[i], w->item[i].end - w->item[i].t0, &part->max, &part->sum);
    }
    for (int i = 0; i < w->n; i++) {
        struct partial *part = partial_at(p, w->item[i].row, w->item[i].head, w->item[i].chunk);
        paged_values(p, w->item[i].row, w->item[i].head, w->item[i].t0, w->item[i].end, w->e[i],
                     part->out);
    }
    w->n = 0;
}

/* One more; a long one is done at once, while its positions are in a cache. */
static void together_add(const struct paged *p, struct together *w, int64_t row, int64_t head,
                         int64_t chunk) {
    const int64_t t0 = chunk * BTH_CHUNK, len = p->len[row];
    if (t0 >= len) {
        return;
    }
    const int64_t end = t0 + BTH_CHUNK < len ? t0 + BTH_CHUNK : len;
    w->item[w->n].row = row;
    w->item[w->n].head = head;
    w->item[w->n].chunk = chunk;
    w->item[w->n].t0 = t0;
    w->item[w->n].end = end;
    w->n++;
    if (w->n == TOGETHER || end - t0 > NEAR) {
        together_run(p, w);
    }
}

/* The chunks of one (row, head) in order: a running maximum, everything rescaled to it. */
static void paged_combine(const struct paged *p, int64_t row, int64_t head) {
    const int64_t chunks = (p->len[row] + BTH_CHUNK - 1) / BTH_CHUNK;
    struct partial *all = partial_at(p, row, head, 0);
    float *y = view_row(&p->y, row);
    for (int64_t i = 1; i < chunks; i++) {
        const struct partial *next = partial_at(p, row, head, i);
        const float max = next->max > all->max ? next->max : all->max;
        float scale[16];
        const float shift[16] = {all->max - max, next->max - max};
        v_store(scale, v_exp(v_load(shift)));
        const v16 a = v_set1(scale[0]), b = v_set1(scale[1]);
        all->max = max;
        all->sum = all->sum * scale[0] + next->sum * scale[1];
        for (int64_t c = 0; c < p->dh; c += 16) {
            v_store(all->out + c, v_fma(v_load(all->out + c), a, v_mul(v_load(next->out + c), b)));
        }
    }
    const v16 sum = v_set1(chunks ? all->sum : 1.0f);
    const int64_t dh = p->dh;
    for (int64_t c = 0; c < dh; c += 16) {
        const int n = dh - c < 16 ? (int)(dh - c) : 16;
        const v16 mean = chunks ? v_div(v_load(all->out + c), sum) : v_zero();
        if (view_run(&p->y, head * dh + c, n) == n) {
            v_store_n(y + view_col(&p->y, head * dh + c), mean, n);
            continue;
        }
        float lane[16];
        v_store(lane, mean);
        for (int i = 0; i < n; i++) {
            y[view_col(&p->y, head * dh + c + i)] = lane[i];
        }
    }
}

/* Whether two rows read the same pages as far as either reads. */
static bool same_pages(const struct paged *p, int64_t a, int64_t b) {
    const int64_t len = p->len[a] > p->len[b] ? p->len[a] : p->len[b];
    const int64_t pages = (len + p->page_rows - 1) / p->page_rows;
    return memcmp(p->table + a * p->table_stride, p->table + b * p->table_stride,
                  (size_t)pages * sizeof(int32_t)) == 0;
}

/* Work is cut into (rows that share pages, head, chunk); the rows of an item follow each other, so
 * the chunk is read from memory once. Then one barrier, then the chunks are combined. */
static void op_attend_paged(const struct bth_cpu_turn *t) {
    const struct paged p = paged_of(t);
    const struct row_share rows = row_share_of(t);
    struct together work;
    int64_t first, end, before = 0, runs = 0;
    work.n = 0;
    for (int64_t r = rows.first; r < rows.end; r++) {
        runs += r == rows.first || !same_pages(&p, r - 1, r);
    }
    share_of(runs * p.heads * p.chunks, rows.part, rows.parts, &first, &end);
    for (int64_t r = rows.first, r1; r < rows.end; r = r1) {
        for (r1 = r + 1; r1 < rows.end && same_pages(&p, r1 - 1, r1); r1++) {
        }
        const int64_t items = p.heads * p.chunks;
        const int64_t from = first > before ? first - before : 0;
        for (int64_t i = from; i < items && before + i < end; i++) {
            const int64_t head = p.chunks == 1 ? i : i / p.chunks;
            for (int64_t row = r; row < r1; row++) {
                together_add(&p, &work, row, head, i - head * p.chunks);
            }
        }
        before += items;
    }
    together_run(&p, &work);
    wait_for_all(t);
    share_of((rows.end - rows.first) * p.heads, rows.part, rows.parts, &first, &end);
    for (int64_t i = first; i < end; i++) {
        paged_combine(&p, rows.first + i / p.heads, i % p.heads);
    }
}

#endif

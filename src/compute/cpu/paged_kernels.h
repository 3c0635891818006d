/*
 * compute/cpu/paged_kernels.h - attention of single rows over pages of keys and values.
 *
 * Each key and value is read once, at the speed of memory. Positions are summed in chunks of
 * BTH_CHUNK, each with its own maximum, and chunks are combined in order. Short chunks are worked
 * on several at a time.
 */
#ifndef BTH_PAGED_KERNELS_H
#define BTH_PAGED_KERNELS_H

#include "positions_kernels.h"
#include "view.h"
#include <string.h>

enum { TOGETHER = 8 }; /* short (row, head) that are worked on together */

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

/* Of R rows (one, or TOGETHER_ROWS) that read the same: the first is `row`. */
V_INLINE void paged_values(const int R, const struct paged *p, int64_t row, int64_t head,
                           int64_t t0, int64_t end, const float *e, float *const *out) {
    struct pages w = pages_of(p, p->values, row, head, t0, end);
    for (int r = 0; r < R; r++) {
        for (int64_t c = 0; c < p->dh; c += 16) {
            v_store(out[r] + c, v_zero());
        }
    }
    while (next_page(p, &w)) {
        const float *weight = e + w.t - t0;
        int64_t c = 0;
        for (; c + 64 <= p->dh && R == 1 && w.n > NEAR; c += 64) {
            add_rows(R, 4, true, weight, w.at, w.n, p->dh, out, c);
        }
        for (; c + 64 <= p->dh && R == 1; c += 64) {
            add_rows(R, 4, false, weight, w.at, w.n, p->dh, out, c);
        }
        for (; c + 32 <= p->dh; c += 32) {
            add_rows(R, 2, false, weight, w.at, w.n, p->dh, out, c);
        }
        for (; c < p->dh; c += 16) {
            const int cols = p->dh - c < 16 ? (int)(p->dh - c) : 16;
            for (int r = 0; r < R; r++) {
                add_tail(weight + r * BTH_CHUNK, w.at + c, w.n, p->dh, cols, out[r] + c);
            }
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

/* Whether two rows read the same pages as far as either reads. */
static bool same_pages(const struct paged *p, int64_t a, int64_t b) {
    const int64_t len = p->len[a] > p->len[b] ? p->len[a] : p->len[b];
    const int64_t pages = (len + p->page_rows - 1) / p->page_rows;
    return memcmp(p->table + a * p->table_stride, p->table + b * p->table_stride,
                  (size_t)pages * sizeof(int32_t)) == 0;
}

/* Whether items i and j have the same head's values of the same positions. */
static bool same_values(const struct paged *p, const struct together *w, int i, int j) {
    return w->item[i].head == w->item[j].head && w->item[i].t0 == w->item[j].t0 &&
           w->item[i].end == w->item[j].end && same_pages(p, w->item[i].row, w->item[j].row);
}

static void together_values(const struct paged *p, const struct together *w) {
    float *out[TOGETHER];
    for (int i = 0; i < w->n; i++) {
        out[i] = partial_at(p, w->item[i].row, w->item[i].head, w->item[i].chunk)->out;
    }
    for (int i = 0, n; i < w->n; i += n) {
        const int64_t row = w->item[i].row, head = w->item[i].head;
        for (n = 1; i + n < w->n && n < TOGETHER_ROWS && same_values(p, w, i, i + n); n++) {
        }
        if (n == TOGETHER_ROWS) {
            paged_values(TOGETHER_ROWS, p, row, head, w->item[i].t0, w->item[i].end, w->e[i],
                         out + i);
        } else {
            n = 1;
            paged_values(1, p, row, head, w->item[i].t0, w->item[i].end, w->e[i], out + i);
        }
    }
}

static void together_run(const struct paged *p, struct together *w) {
    for (int i = 0; i < w->n; i++) {
        paged_scores(p, w->item[i].row, w->item[i].head, w->item[i].t0, w->item[i].end, w->e[i]);
    }
    for (int i = 0; i < w->n; i++) {
        struct partial *part = partial_at(p, w->item[i].row, w->item[i].head, w->item[i].chunk);
        chunk_softmax(w->e[i], w->item[i].end - w->item[i].t0, &part->max, &part->sum);
    }
    together_values(p, w);
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

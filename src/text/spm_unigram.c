/*
 * The best segmentation by a unigram model: from left to right, over the text as the library has
 * normalised it (its pieces, one behind the other), the best way to each place. Sums are f32 and
 * rounded before they are compared; the first of equals stays.
 */
#include "base/alloc.h"
#include "text/spm_internal.h"
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The best way to a place: its last piece begins at `from` and is `id`. */
struct place {
    float score;
    uint32_t from;
    int32_t id; /* -1: no way here yet */
};

struct search {
    const struct bth_spm *s;
    const struct bth_spm_text *before; /* the library's */
    struct bth_str norm;
    uint32_t *ends;       /* [before->n] where each of its pieces ends in norm */
    struct place *places; /* [norm.size + 1] */
    struct bth_spm_text out;
    size_t capacity;
};

/* Replacements may make a text longer; so much is too much. */
enum { MAX_NORM = 8 << 20, MAX_INSIDE = 4096 };

/* "<0x1F>" is a byte. */
static int byte_of(const struct bth_spm_entry *e) {
    char *end;
    long v = e->size == 6 && memcmp(e->text, "<0x", 3) == 0 ? strtol(e->text + 3, &end, 16) : -1;
    return v >= 0 && v < 256 ? (int)v : -1;
}

static int join(struct search *w) {
    const struct bth_spm_text *t = w->before;
    w->ends = bth_calloc(t->n, sizeof(*w->ends));
    if (!w->ends) {
        return BERTH_ENOMEM;
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct bth_spm_entry *e = &w->s->model.pieces[t->tokens[i].id];
        int byte = e->kind == BTH_SPM_BYTE ? byte_of(e) : -1;
        if (byte >= 0) {
            bth_str_putc(&w->norm, (char)byte);
        } else {
            bth_str_append(&w->norm, t->pieces.data + t->tokens[i].piece, t->tokens[i].piece_size);
        }
        w->ends[i] = (uint32_t)w->norm.size;
    }
    return w->norm.failed ? BERTH_ENOMEM : w->norm.size > MAX_NORM ? BERTH_ETOOLARGE : 0;
}

static const char blank[] = "\xe2\x96\x81";
enum { BLANK = 3 }; /* its bytes */

/* The first spelling from `at` on that is not below the n bytes of `prefix` and then c. */
static size_t first_not_below(const struct bth_spm *s, size_t at, const char *prefix, size_t n,
                              int c) {
    for (; at < s->model.n; at++) {
        const struct bth_spm_spelling *e = &s->spellings[at];
        const int order = memcmp(e->text, prefix, e->size < n ? e->size : n);
        const int next = e->size > n ? (unsigned char)e->text[n] : -1;
        if (order > 0 || (order == 0 && e->size >= n && next >= c)) {
            break;
        }
    }
    return at;
}

static void prepare_starts(struct bth_spm *s) {
    size_t first = 0, after = 0;
    for (int c = 0; c < 257; c++) {
        first = first_not_below(s, first, "", 0, c);
        after = first_not_below(s, after, blank, BLANK, c);
        s->first[c] = (uint32_t)first;
        s->blank[c] = (uint32_t)after;
    }
}

void bth_spm_unigram_prepare(struct bth_spm *s) {
    prepare_starts(s);
    float least = FLT_MAX, most = -FLT_MAX;
    for (size_t i = 0; i < s->model.n; i++) {
        const struct bth_spm_entry *e = &s->model.pieces[i];
        if (e->kind == BTH_SPM_NORMAL) {
            least = e->score < least ? e->score : least;
            most = e->score > most ? e->score : most;
        }
    }
    s->unknown = least - 10;
    s->most = most;
}

static size_t char_size(const char *p, size_t left) {
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n < left ? n : left;
}

static void offer(struct search *w, size_t at, size_t size, int32_t id, float piece) {
    struct place *to = &w->places[at + size];
    float score = w->places[at].score + piece;
    if (to->id < 0 || score > to->score) {
        *to = (struct place){score, (uint32_t)at, id};
    }
}

/* -1: it is over before. */
static int byte_at(const struct bth_spm_spelling *e, size_t depth) {
    return e->size <= depth       ? -1
           : depth < BTH_SPM_HEAD ? e->head[depth]
                                  : (unsigned char)e->text[depth];
}

/* Spellings [low, high), one at least, that go on with byte c after `depth` equal ones. */
static void narrow(const struct bth_spm_spelling *all, size_t depth, unsigned char c, size_t *low,
                   size_t *high) {
    size_t ends[2];
    if (byte_at(&all[*low], depth) == c && byte_at(&all[*high - 1], depth) == c) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        size_t a = *low, b = *high;
        while (a < b) {
            size_t m = a + (b - a) / 2;
            if (byte_at(&all[m], depth) < c + side) {
                a = m + 1;
            } else {
                b = m;
            }
        }
        ends[side] = a;
    }
    *low = ends[0];
    *high = ends[1];
}

/* All pieces that begin at a place, and the way over one unknown character. */
static void pieces_from(struct search *w, size_t at) {
    const struct bth_spm_spelling *all = w->s->spellings;
    size_t low = 0, high = w->s->model.n, left = w->norm.size - at;
    size_t one = char_size(w->norm.data + at, left);
    const bool after_blank = left > BLANK && memcmp(w->norm.data + at, blank, BLANK) == 0;
    bool single = false;
    for (size_t depth = 0; depth < left && low < high; depth++) {
        const unsigned char c = (unsigned char)w->norm.data[at + depth];
        if (depth == 0 || (depth == BLANK && after_blank)) {
            const uint32_t *start = depth == 0 ? w->s->first : w->s->blank;
            low = start[c];
            high = start[c + 1];
        } else {
            narrow(all, depth, c, &low, &high);
        }
        if (low == high || all[low].size != depth + 1) { /* the shortest sorts first */
            continue;
        }
        const struct bth_spm_entry *e = &w->s->model.pieces[all[low].id];
        if (e->kind == BTH_SPM_NORMAL || e->kind == BTH_SPM_USER) {
            float user = (float)((double)((float)e->size * w->s->most) - 0.1);
            offer(w, at, e->size, all[low].id, e->kind == BTH_SPM_USER ? user : e->score);
            single = single || e->size == one;
        }
    }
    if (!single) {
        offer(w, at, one, w->s->model.unk, w->s->unknown);
    }
}

static int find_ways(struct search *w) {
    size_t n = w->norm.size;
    w->places = bth_calloc(n + 1, sizeof(*w->places));
    if (!w->places) {
        return BERTH_ENOMEM;
    }
    for (size_t i = 1; i <= n; i++) {
        w->places[i].id = -1;
    }
    for (size_t at = 0; at < n; at += char_size(w->norm.data + at, n - at)) {
        if (w->places[at].id >= 0) {
            pieces_from(w, at);
        }
    }
    return w->places[n].id >= 0 ? 0 : BERTH_EFORMAT;
}

/* ---- where pieces lie in the text -------------------------------------------------------------*/

static size_t blanks(const char *p, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i + BLANK <= n; i++) {
        count += memcmp(p + i, blank, BLANK) == 0;
    }
    return count;
}

/* The place in the text of norm[at], which lies in the library's i-th piece. Exact at its ends, and
 * inside where normalisation changed no lengths (a blank is one byte of the text, the one put in
 * front none); else, and in very long ones, its end. */
static uint32_t inside(const struct search *w, size_t i, size_t at) {
    const struct bth_spm_token *t = &w->before->tokens[i];
    size_t begin = i ? w->ends[i - 1] : 0, size = w->ends[i] - begin;
    const char *p = w->norm.data + begin;
    if (size > MAX_INSIDE) {
        return t->end;
    }
    size_t plain = size - 2 * blanks(p, size), text = t->end - t->begin;
    size_t step = at - begin, passed = step - 2 * blanks(p, step);
    if (plain == text + 1) {
        passed -= passed > 0;
    } else if (plain != text) {
        passed = text;
    }
    return t->begin + (uint32_t)(passed < text ? passed : text);
}

/* Begin and end in the text of norm[from, to); *i is the piece to look from, and moves on. */
static void span(const struct search *w, size_t from, size_t to, size_t *i,
                 struct bth_spm_token *out) {
    while (w->ends[*i] <= from) {
        ++*i;
    }
    size_t begin = *i ? w->ends[*i - 1] : 0;
    out->begin = from == begin ? w->before->tokens[*i].begin : inside(w, *i, from);
    while (w->ends[*i] < to) {
        ++*i;
    }
    out->end = to == w->ends[*i] ? w->before->tokens[*i].end : inside(w, *i, to);
    out->end = out->end < out->begin ? out->begin : out->end;
}

static int put(struct search *w, struct bth_spm_token token, const char *piece) {
    if (w->out.n == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 32;
        struct bth_spm_token *p = bth_realloc_array(w->out.tokens, capacity, sizeof(*p));
        if (!p) {
            return BERTH_ENOMEM;
        }
        w->out.tokens = p;
        w->capacity = capacity;
    }
    token.piece = (uint32_t)w->out.pieces.size;
    bth_str_append(&w->out.pieces, piece, token.piece_size);
    w->out.tokens[w->out.n++] = token;
    return w->out.pieces.failed ? BERTH_ENOMEM : 0;
}

/* What is unknown, byte by byte; the last has its place in the text. */
static int put_bytes(struct search *w, struct bth_spm_token token, const char *piece) {
    int rc = 0;
    uint32_t n = token.piece_size;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        char name[8];
        snprintf(name, sizeof(name), "<0x%02X>", (unsigned)(unsigned char)piece[i]);
        struct bth_spm_token byte = token;
        byte.id = bth_spm_find(w->s, name, 6);
        byte.piece_size = 6;
        byte.end = i + 1 < n ? token.begin : token.end;
        byte.begin = token.begin;
        rc = byte.id < 0 ? BERTH_EFORMAT : put(w, byte, name);
    }
    return rc;
}

/* The way back from the end, turned round; unknown neighbours are one. */
static int write_pieces(struct search *w) {
    int32_t unk = w->s->model.unk;
    size_t n = w->norm.size, next = n;
    for (size_t at = n; at > 0;) { /* `from` becomes where the piece ends: the way forward */
        size_t from = w->places[at].from;
        w->places[at].from = (uint32_t)next;
        next = at;
        at = from;
    }
    size_t at = 0, i = 0;
    int rc = 0;
    for (size_t end = next; rc == 0 && at < n; at = end, end = w->places[end].from) {
        int32_t id = w->places[end].id;
        while (id == unk && !w->s->model.bytes && end < n &&
               w->places[w->places[end].from].id == unk) {
            end = w->places[end].from;
        }
        struct bth_spm_token token = {.id = id, .piece_size = (uint32_t)(end - at)};
        span(w, at, end, &i, &token);
        rc = id == unk && w->s->model.bytes ? put_bytes(w, token, w->norm.data + at)
                                            : put(w, token, w->norm.data + at);
    }
    return rc;
}

int bth_spm_unigram(const struct bth_spm *s, struct bth_spm_text *t) {
    struct search w = {.s = s, .before = t};
    int rc = join(&w);
    rc = rc < 0 ? rc : find_ways(&w);
    rc = rc < 0 ? rc : write_pieces(&w);
    if (rc == 0) {
        bth_spm_text_finish(t);
        *t = w.out;
    } else {
        bth_spm_text_finish(&w.out);
    }
    bth_str_finish(&w.norm);
    bth_free(w.ends);
    bth_free(w.places);
    return rc;
}

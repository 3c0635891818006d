/*
 * Byte-level BPE over a hash index of the vocabulary.
 *
 * A piece starts as single bytes in a linked list; the pair whose joined bytes have the lowest id
 * is merged first, found with a heap of candidates, so a piece of n bytes costs O(n log n).
 */
#include "text/bpe.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "text/bpe_internal.h"
#include <string.h>

enum { MAX_TEXT = 1 << 20, MAX_TOKEN = 1024 };

struct bth_bpe {
    struct bth_arena arena;
    struct bth_token *tokens; /* [size] */
    int32_t size;
    int32_t *index; /* [index_size] open addressing: id, or -1 */
    size_t index_size;
    size_t longest;
    struct bth_split *split;
};

struct bth_bpe *bth_bpe_create(int32_t size) {
    struct bth_bpe *b = bth_calloc(1, sizeof(*b));
    if (b) {
        b->size = size;
        b->tokens = bth_calloc((size_t)size, sizeof(*b->tokens));
    }
    if (b && !b->tokens) {
        bth_free(b);
        return NULL;
    }
    return b;
}

void bth_bpe_close(struct bth_bpe *b) {
    if (b) {
        bth_split_destroy(b->split);
        bth_arena_finish(&b->arena);
        bth_free(b->tokens);
        bth_free(b->index);
        bth_free(b);
    }
}

int bth_bpe_add(struct bth_bpe *b, int32_t id, const char *bytes, size_t n,
                struct berth_error *err) {
    if (id < 0 || id >= b->size || b->tokens[id].bytes) {
        return bth_error(err, BERTH_EFORMAT, "token id %d is out of range or there twice", id);
    }
    if (n > MAX_TOKEN) {
        return bth_error(err, BERTH_EFORMAT, "token %d has %zu bytes, at most %d are read", id, n,
                         MAX_TOKEN);
    }
    char *copy = bth_arena_strndup(&b->arena, bytes, n);
    if (!copy) {
        return bth_error_nomem(err);
    }
    b->tokens[id] = (struct bth_token){copy, (uint32_t)n};
    b->longest = n > b->longest ? n : b->longest;
    return 0;
}

/* FNV-1a: fair on short strings, and tokens are short. */
static size_t hash(const char *bytes, size_t n) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    }
    return (size_t)(h ^ h >> 32);
}

/* The place of these bytes in the index: of their id, or free. */
static size_t place(const struct bth_bpe *b, const char *bytes, size_t n) {
    size_t mask = b->index_size - 1, i = hash(bytes, n) & mask;
    for (; b->index[i] >= 0; i = (i + 1) & mask) {
        const struct bth_token *t = &b->tokens[b->index[i]];
        if (t->size == n && memcmp(t->bytes, bytes, n) == 0) {
            break;
        }
    }
    return i;
}

int bth_bpe_seal(struct bth_bpe *b, struct berth_error *err) {
    b->index_size = 64;
    while (b->index_size < 2 * (size_t)b->size) {
        b->index_size *= 2;
    }
    b->index = bth_alloc(b->index_size * sizeof(*b->index));
    if (!b->index) {
        return bth_error_nomem(err);
    }
    memset(b->index, -1, b->index_size * sizeof(*b->index));
    for (int32_t id = 0; id < b->size; id++) {
        const struct bth_token *t = &b->tokens[id];
        if (!t->bytes) {
            return bth_error(err, BERTH_EFORMAT, "token id %d is missing", id);
        }
        if (t->size == 0) {
            continue; /* the empty string of the multilingual vocabulary is never a merge */
        }
        size_t i = place(b, t->bytes, t->size);
        if (b->index[i] >= 0) {
            return bth_error(err, BERTH_EFORMAT, "tokens %d and %d are equal", b->index[i], id);
        }
        b->index[i] = id;
    }
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        if (b->index[place(b, &byte, 1)] < 0) {
            return bth_error(err, BERTH_EFORMAT, "there is no token for byte %d", c);
        }
    }
    return bth_split_create(&b->split, err);
}

int32_t bth_bpe_size(const struct bth_bpe *b) {
    return b->size;
}

const char *bth_bpe_token(const struct bth_bpe *b, int32_t id, size_t *out_n) {
    if (id < 0 || id >= b->size) {
        *out_n = 0;
        return NULL;
    }
    *out_n = b->tokens[id].size;
    return b->tokens[id].bytes;
}

/* ---- merging one piece ---- */

struct part {
    int32_t begin, size; /* bytes of the piece; size 0: merged into the one before */
    int32_t prev, next;  /* -1: none */
    int32_t id;
};

/* Merge part `left` with its next into `id`; stale if either has changed since (sizes tell). */
struct candidate {
    int32_t id, left, left_size, right_size;
};

struct merger {
    const struct bth_bpe *b;
    const char *piece;
    struct part *parts;
    struct candidate *heap; /* smallest id first, leftmost on ties */
    size_t n_heap;
};

static bool before(const struct candidate *a, const struct candidate *b) {
    return a->id != b->id ? a->id < b->id : a->left < b->left;
}

static void heap_push(struct merger *m, struct candidate c) {
    size_t i = m->n_heap++;
    for (; i > 0 && before(&c, &m->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        m->heap[i] = m->heap[(i - 1) / 2];
    }
    m->heap[i] = c;
}

static struct candidate heap_pop(struct merger *m) {
    struct candidate top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) {
            break;
        }
        if (child + 1 < m->n_heap && before(&m->heap[child + 1], &m->heap[child])) {
            child++;
        }
        if (!before(&m->heap[child], &last)) {
            break;
        }
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return top;
}

/* Offers the pair that starts at `left`, if its bytes are a token. */
static void offer(struct merger *m, int32_t left) {
    if (left < 0 || m->parts[left].next < 0) {
        return;
    }
    const struct part *l = &m->parts[left], *r = &m->parts[l->next];
    size_t n = (size_t)l->size + (size_t)r->size;
    if (n > m->b->longest) {
        return;
    }
    int32_t id = m->b->index[place(m->b, m->piece + l->begin, n)];
    if (id >= 0) {
        heap_push(m, (struct candidate){id, left, l->size, r->size});
    }
}

static void merge_all(struct merger *m) {
    while (m->n_heap > 0) {
        struct candidate c = heap_pop(m);
        struct part *l = &m->parts[c.left];
        if (l->size != c.left_size || l->next < 0 || m->parts[l->next].size != c.right_size) {
            continue;
        }
        struct part *r = &m->parts[l->next];
        l->size += r->size;
        l->id = c.id;
        l->next = r->next;
        r->size = 0;
        if (l->next >= 0) {
            m->parts[l->next].prev = c.left;
        }
        offer(m, l->prev);
        offer(m, c.left);
    }
}

/* Appends the ids of one piece to out (which has room for n); returns how many. */
static size_t encode_piece(struct merger *m, const char *piece, size_t n, int32_t *out) {
    int32_t whole = n <= m->b->longest ? m->b->index[place(m->b, piece, n)] : -1;
    if (whole >= 0) {
        out[0] = whole; /* as tiktoken; most words end here */
        return 1;
    }
    m->piece = piece;
    m->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        m->parts[i] = (struct part){.begin = (int32_t)i,
                                    .size = 1,
                                    .prev = (int32_t)i - 1,
                                    .next = i + 1 < n ? (int32_t)i + 1 : -1,
                                    .id = m->b->index[place(m->b, piece + i, 1)]};
    }
    for (size_t i = 0; i + 1 < n; i++) {
        offer(m, (int32_t)i);
    }
    merge_all(m);
    size_t n_out = 0;
    for (int32_t i = 0; i >= 0; i = m->parts[i].next) {
        out[n_out++] = m->parts[i].id;
    }
    return n_out;
}

int bth_bpe_encode(const struct bth_bpe *b, const char *text, size_t n, int32_t **out_ids,
                   size_t *out_n, struct berth_error *err) {
    if (n > MAX_TEXT) {
        return bth_error(err, BERTH_ETOOLARGE, "%zu bytes of text; at most %d are taken", n,
                         MAX_TEXT);
    }
    if (!bth_utf8_valid(text, n)) {
        return bth_error(err, BERTH_EINVAL, "the text is not valid UTF-8");
    }
    struct merger m = {.b = b};
    int32_t *ids = bth_calloc(n, sizeof(*ids));
    m.parts = bth_calloc(n, sizeof(*m.parts));
    m.heap = bth_calloc(2 * n, sizeof(*m.heap)); /* n - 1 at first; a merge takes one, adds two */
    int rc = ids && m.parts && m.heap ? 0 : bth_error_nomem(err);
    size_t n_ids = 0;
    for (size_t at = 0; rc == 0 && at < n;) {
        int64_t piece = bth_split_next(b->split, text, n, at, err);
        if (piece < 0) {
            rc = (int)piece;
            break;
        }
        n_ids += encode_piece(&m, text + at, (size_t)piece, ids + n_ids);
        at += (size_t)piece;
    }
    bth_free(m.parts);
    bth_free(m.heap);
    if (rc < 0) {
        bth_free(ids);
        return rc;
    }
    *out_ids = ids;
    *out_n = n_ids;
    return 0;
}

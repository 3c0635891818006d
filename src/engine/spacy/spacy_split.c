/* Chunks of text to pieces: exceptions, affixes, infixes. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/pystr.h"
#include "base/str.h"
#include "spacy/spacy_tokenizer_private.h"
#include <string.h>

/* A chunk in the cache, with its pieces and text behind it. */
struct cached_chunk {
    struct spacy_cache_entry entry;
    size_t n;
    struct spacy_piece pieces[];
};

const struct spacy_exception *spacy_find_exception(const struct spacy_tokenizer *t,
                                                   const char *text, size_t n) {
    const uint64_t hash = spacy_string_hash(text, n);
    for (size_t at = (size_t)hash;; at++) {
        const struct spacy_exception *e = &t->exceptions[at & (t->capacity - 1)];
        if (!e->text) {
            return NULL;
        }
        if (e->hash == hash && e->bytes == n && memcmp(e->text, text, n) == 0) {
            return e;
        }
    }
}

int spacy_split_init(struct spacy_split *s, const struct spacy_tokenizer *t,
                     struct bth_arena *arena, size_t budget, struct berth_error *err) {
    *s = (struct spacy_split){.t = t, .arena = arena, .exceptions = true, .err = err};
    s->matcher = spacy_matcher_create(budget);
    return s->matcher ? 0 : bth_error_nomem(err);
}

void spacy_split_finish(struct spacy_split *s) {
    spacy_matcher_destroy(s->matcher);
    bth_free(s->pieces);
    bth_free(s->suffixes);
}

/* Room for n more pieces. */
static int reserve(struct spacy_split *s, size_t n) {
    if (s->capacity - s->n < n) {
        size_t capacity = BTH_MAX(BTH_MAX((size_t)64, 2 * s->capacity), s->n + n);
        struct spacy_piece *p = bth_realloc_array(s->pieces, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(s->err);
        }
        s->pieces = p;
        s->capacity = capacity;
    }
    return 0;
}

static int emit_all(struct spacy_split *s, const struct spacy_piece *pieces, size_t n) {
    int rc = reserve(s, n);
    if (rc == 0 && n) {
        memcpy(s->pieces + s->n, pieces, n * sizeof(*pieces));
        s->n += n;
    }
    return rc;
}

static int emit(struct spacy_split *s, const char *text, size_t n) {
    struct spacy_piece piece;
    piece.lex = spacy_vocab_lexeme(s->t->vocab, s->arena, text, n, &piece.shared);
    if (!piece.lex) {
        return bth_error_nomem(s->err);
    }
    piece.norm = piece.lex->norm;
    return emit_all(s, &piece, 1);
}

static const struct spacy_exception *exception(const struct spacy_split *s, const char *text,
                                               size_t n) {
    return s->exceptions && n > 0 ? spacy_find_exception(s->t, text, n) : NULL;
}

static int push_suffix(struct spacy_split *s, size_t n) {
    if (s->n_suffixes == s->suffix_capacity) {
        size_t capacity = BTH_MAX((size_t)16, 2 * s->suffix_capacity);
        uint32_t *p = bth_realloc_array(s->suffixes, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(s->err);
        }
        s->suffixes = p;
        s->suffix_capacity = capacity;
    }
    s->suffixes[s->n_suffixes++] = (uint32_t)n;
    return 0;
}

/* 1, 0 or an error. */
static int matches(struct spacy_split *s, const struct spacy_pattern *p, const char *text,
                   size_t n) {
    size_t begin, end;
    return spacy_pattern_search(p, s->matcher, text, n, &begin, &end, s->err);
}

/* The bytes that the first match takes, 0 for none, or an error. */
static int64_t match_size(struct spacy_split *s, const struct spacy_pattern *p, const char *text,
                          size_t n) {
    size_t begin, end;
    int rc = spacy_pattern_search(p, s->matcher, text, n, &begin, &end, s->err);
    return rc > 0 ? (int64_t)(end - begin) : rc;
}

/* Cuts one prefix, one suffix or both off text[0, *n). 1: go on, 0: done, or an error. Prefixes are
 * emitted at once; a prefix's length is what matched, wherever it matched, as in spaCy. */
static int cut(struct spacy_split *s, const char **text, size_t *n) {
    const int64_t prefix = match_size(s, s->t->prefix, *text, *n);
    if (prefix < 0) {
        return (int)prefix;
    }
    const char *rest = *text + prefix;
    const size_t left = *n - (size_t)prefix;
    int rc = 0;
    if (prefix > 0 && exception(s, rest, left)) {
        rc = emit(s, *text, (size_t)prefix);
        *text = rest;
        *n = left;
        return rc;
    }
    const int64_t suffix = match_size(s, s->t->suffix, rest, left);
    if (suffix < 0) {
        return (int)suffix;
    }
    if (suffix > 0 && exception(s, *text, *n - (size_t)suffix)) {
        rc = push_suffix(s, (size_t)suffix);
        *n -= (size_t)suffix;
        return rc;
    }
    if (prefix > 0) {
        rc = emit(s, *text, (size_t)prefix);
        *text = rest;
        *n = left;
    }
    if (rc == 0 && suffix > 0) {
        rc = push_suffix(s, (size_t)suffix);
        *n -= (size_t)suffix;
    }
    return rc < 0 ? rc : prefix > 0 || suffix > 0;
}

static int cut_affixes(struct spacy_split *s, const char **text, size_t *n) {
    while (*n > 0) {
        int rc = matches(s, s->t->token_match, *text, *n);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
        if (exception(s, *text, *n)) {
            return 0;
        }
        rc = cut(s, text, n);
        if (rc <= 0) {
            return rc;
        }
    }
    return 0;
}

static int split_infixes(struct spacy_split *s, const char *text, size_t n) {
    size_t at = 0, start = 0, begin, end;
    int rc;
    while ((rc = spacy_pattern_next(s->t->infix, s->matcher, text, n, &at, &begin, &end, s->err)) >
           0) {
        if (begin == 0) {
            continue;
        }
        if (begin != start && (rc = emit(s, text + start, begin - start)) < 0) {
            return rc;
        }
        if (begin != end && (rc = emit(s, text + begin, end - begin)) < 0) {
            return rc;
        }
        start = end;
    }
    return rc == 0 && start < n ? emit(s, text + start, n - start) : rc;
}

static int split_middle(struct spacy_split *s, const char *text, size_t n) {
    const struct spacy_exception *e = exception(s, text, n);
    if (e) {
        return emit_all(s, e->pieces, e->n);
    }
    int rc = matches(s, s->t->token_match, text, n);
    if (rc == 0) {
        rc = matches(s, s->t->url_match, text, n);
    }
    if (rc != 0) {
        return rc < 0 ? rc : emit(s, text, n);
    }
    return split_infixes(s, text, n);
}

/* Without the cache. */
static int split_fresh(struct spacy_split *s, const char *text, size_t n) {
    const struct spacy_exception *e = exception(s, text, n);
    if (e) {
        return emit_all(s, e->pieces, e->n);
    }
    s->n_suffixes = 0;
    int rc = cut_affixes(s, &text, &n);
    if (rc == 0 && n > 0) {
        rc = split_middle(s, text, n);
    }
    text += n;
    while (rc == 0 && s->n_suffixes > 0) {
        const size_t suffix = s->suffixes[--s->n_suffixes];
        rc = emit(s, text, suffix);
        text += suffix;
    }
    return rc;
}

/* Keeps what a chunk became, if all of it lives on. No memory: it is not kept. */
static void keep_chunk(struct spacy_split *s, const char *text, size_t n, uint64_t hash,
                       size_t first) {
    const size_t n_pieces = s->n - first;
    for (size_t i = first; i < s->n; i++) {
        if (!s->pieces[i].shared) {
            return;
        }
    }
    if (!spacy_cache_wants(s->t->cache, n, hash)) {
        return;
    }
    struct cached_chunk *c = bth_alloc(sizeof(*c) + n_pieces * sizeof(c->pieces[0]) + n);
    if (!c) {
        return;
    }
    char *copy = (char *)(c->pieces + n_pieces);
    memcpy(copy, text, n);
    memcpy(c->pieces, s->pieces + first, n_pieces * sizeof(c->pieces[0]));
    c->entry = (struct spacy_cache_entry){.text = copy, .bytes = (uint32_t)n, .hash = hash};
    c->n = n_pieces;
    spacy_cache_add(s->t->cache, &c->entry);
}

int spacy_split_chunk(struct spacy_split *s, const char *text, size_t n) {
    if (!s->exceptions || n > SPACY_CACHE_MAX_TEXT) {
        return split_fresh(s, text, n);
    }
    const uint64_t hash = spacy_string_hash(text, n);
    const struct spacy_cache_entry *there = spacy_cache_find(s->t->cache, text, n, hash);
    if (there) {
        const struct cached_chunk *c = (const struct cached_chunk *)(const void *)there;
        return emit_all(s, c->pieces, c->n);
    }
    const size_t first = s->n;
    int rc = split_fresh(s, text, n);
    if (rc == 0) {
        keep_chunk(s, text, n, hash, first);
    }
    return rc;
}

/* White space of one or more bytes at text[at], n > at; 0: something else. */
static inline size_t space_at(const char *text, size_t n, size_t at) {
    const unsigned char c = (unsigned char)text[at];
    if (c < 0x80) {
        return (c <= 0x20 && (c >= 0x1C || (c >= 9 && c <= 13))) ? 1 : 0;
    }
    if (c != 0xC2 && (c < 0xE1 || c > 0xE3)) { /* no other byte begins one */
        return 0;
    }
    uint32_t code;
    size_t size = bth_utf8_decode(text + at, n - at, &code);
    return bth_py_isspace(code) ? size : 0;
}

bool spacy_next_chunk(const char *text, size_t n, size_t *at, size_t *out_begin, size_t *out_end,
                      bool *out_space) {
    if (*at >= n) {
        return false;
    }
    size_t end = *at;
    const bool white = space_at(text, n, end) > 0;
    for (; end < n; end++) {
        const size_t space = space_at(text, n, end);
        if ((space > 0) != white && !bth_utf8_goes_on(text[end])) {
            break;
        }
        end += space > 1 ? space - 1 : 0;
    }
    *out_begin = *at;
    *out_end = end;
    *out_space = end < n && text[end] == ' ';
    *at = end + (*out_space ? 1 : 0);
    return true;
}

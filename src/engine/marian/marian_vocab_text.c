/* Text to ids and ids to text, in the order of steps of transformers' MarianTokenizer. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/pystr.h"
#include "marian/marian_vocab_internal.h"
#include <string.h>

/* ---- text to ids ----------------------------------------------------------------------------*/

enum { MAX_TEXT = 1 << 20 };

struct encoder {
    const struct marian_vocab *v;
    const struct marian_side *side;
    int flags;
    const char *text;
    struct marian_token *tokens;
    size_t n, capacity;
    struct berth_error *err;
};

static int put(struct encoder *e, int32_t id, size_t begin, size_t end) {
    if (e->n == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 32;
        struct marian_token *p = bth_realloc_array(e->tokens, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(e->err);
        }
        e->tokens = p;
        e->capacity = capacity;
    }
    e->tokens[e->n++] = (struct marian_token){id, (uint32_t)begin, (uint32_t)end};
    return 0;
}

static int put_piece(struct encoder *e, const char *piece, size_t n, size_t begin, size_t end) {
    int32_t id = marian_side_find(e->side, piece, n);
    return put(e, id >= 0 ? id : e->side->unk, begin, end);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int put_words(struct encoder *e, size_t begin, size_t end) {
    int rc = 0;
    while (rc == 0 && begin < end) {
        size_t stop = begin;
        while (stop < end && !is_blank(e->text[stop])) {
            stop++;
        }
        rc = stop > begin ? put_piece(e, e->text + begin, stop - begin, begin, stop) : 0;
        begin = stop + 1;
    }
    return rc;
}

/* Text without tokens of special meaning. */
static int put_text(struct encoder *e, size_t begin, size_t end) {
    if (e->v->kind == MARIAN_VOCAB_WORDS) {
        return put_words(e, begin, end);
    }
    struct bth_spm_text pieces;
    int rc = bth_spm_encode(e->side->spm, e->text + begin, end - begin, &pieces, e->err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < pieces.n; i++) {
        const struct bth_spm_token *t = &pieces.tokens[i];
        size_t from = begin + t->begin, to = begin + t->end;
        rc = e->v->kind == MARIAN_VOCAB_IDS
                 ? put(e, t->id, from, to)
                 : put_piece(e, pieces.pieces.data + t->piece, t->piece_size, from, to);
    }
    bth_spm_text_finish(&pieces);
    return rc;
}

/* Where "<<" begins in [begin, end); end if nowhere. */
static size_t find_close(const struct encoder *e, size_t begin, size_t end) {
    for (size_t i = begin; i + 1 < end; i++) {
        if (e->text[i] == '<' && e->text[i + 1] == '<') {
            return i;
        }
    }
    return end;
}

/* A stretch between special tokens: it may begin with the code of a language. */
static int put_stretch(struct encoder *e, size_t begin, size_t end) {
    if ((e->flags & MARIAN_ENCODE_PREFIX) && end - begin >= 4 &&
        memcmp(e->text + begin, ">>", 2) == 0) {
        size_t close = find_close(e, begin, end);
        if (close < end) {
            int rc = put_piece(e, e->text + begin, close + 2 - begin, begin, close + 2);
            return rc < 0 ? rc : put_text(e, close + 2, end);
        }
    }
    return put_text(e, begin, end);
}

/* The special token at `at`, the longest; NULL: none. */
static const struct marian_special *special_at(const struct encoder *e, size_t at, size_t n) {
    const struct marian_special *best = NULL;
    for (size_t i = 0; i < MARIAN_N_SPECIALS; i++) {
        const struct marian_special *s = &e->v->specials[i];
        size_t size = s->text ? strlen(s->text) : 0;
        if (size > 0 && size <= n - at && memcmp(e->text + at, s->text, size) == 0 &&
            (!best || size > strlen(best->text))) {
            best = s;
        }
    }
    return best;
}

static int put_all(struct encoder *e, size_t n) {
    size_t begin = 0, at = 0;
    int rc = 0;
    while (rc == 0 && at < n) {
        const struct marian_special *s =
            e->flags & MARIAN_ENCODE_SPECIAL ? special_at(e, at, n) : NULL;
        if (!s) {
            at++;
            continue;
        }
        rc = at > begin ? put_stretch(e, begin, at) : 0;
        size_t size = strlen(s->text);
        int32_t id = e->side == &e->v->source ? s->source_id : s->target_id;
        rc = rc < 0 ? rc : put(e, id >= 0 ? id : e->side->unk, at, at + size);
        begin = at += size;
    }
    return rc < 0 || begin == n ? rc : put_stretch(e, begin, n);
}

static int encode(const struct marian_vocab *v, const struct marian_side *side, const char *text,
                  size_t n, int flags, struct marian_token **out, size_t *out_n,
                  struct berth_error *err) {
    bool source = side == &v->source;
    if (n > MAX_TEXT) {
        return bth_error(err, BERTH_ETOOLARGE, "a text of %zu bytes, at most %d are read", n,
                         MAX_TEXT);
    }
    struct encoder e = {.v = v, .side = side, .flags = flags, .text = text, .err = err};
    int32_t eos = source ? v->source_eos : side->eos;
    int rc = source && v->source_bos >= 0 ? put(&e, v->source_bos, 0, 0) : 0;
    rc = rc < 0 ? rc : put_all(&e, n);
    if (rc == 0 && eos >= 0 && !(flags & MARIAN_ENCODE_NO_EOS)) {
        rc = put(&e, eos, n, n);
    }
    if (rc == 0 && !e.tokens) {
        e.tokens = bth_alloc(0);
        rc = e.tokens ? 0 : bth_error_nomem(err);
    }
    if (rc < 0) {
        bth_free(e.tokens);
        return rc;
    }
    *out = e.tokens;
    *out_n = e.n;
    return 0;
}

int marian_vocab_encode(const struct marian_vocab *v, const char *text, size_t n, int flags,
                        struct marian_token **out, size_t *out_n, struct berth_error *err) {
    return encode(v, &v->source, text, n, flags, out, out_n, err);
}

int marian_vocab_encode_target(const struct marian_vocab *v, const char *text, size_t n, int flags,
                               struct marian_token **out, size_t *out_n, struct berth_error *err) {
    return encode(v, &v->target, text, n, flags, out, out_n, err);
}

/* ---- ids to text ----------------------------------------------------------------------------*/

static const uint32_t unset = UINT32_MAX;

/* Text as it grows, where each id's part ends in it, and ids that wait to be decoded together. */
struct decoder {
    const struct marian_vocab *v;
    struct bth_str text;
    uint32_t *ends;               /* [n ids]; unset: as the one before */
    struct bth_spm_piece *pieces; /* [n ids] room for the waiting ones */
    int32_t *ids;                 /* [n ids] the same for IDS */
    size_t *places;               /* [n ids] which ids they are */
    uint32_t *part_ends;          /* [n ids] */
    size_t waiting;
    struct berth_error *err;
};

static int flush(struct decoder *d) {
    const struct bth_spm *spm = d->v->target.spm;
    size_t base = d->text.size, n = d->waiting;
    for (size_t i = 0; i < n; i++) {
        d->part_ends[i] = 0; /* the library may be silent on the last */
    }
    int rc = d->v->kind == MARIAN_VOCAB_IDS
                 ? bth_spm_decode_ids(spm, d->ids, n, &d->text, d->part_ends, d->err)
                 : bth_spm_decode(spm, d->pieces, n, &d->text, d->part_ends, d->err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        d->ends[d->places[i]] = (uint32_t)base + d->part_ends[i];
    }
    d->waiting = 0;
    return rc;
}

/* The special token that `id` is; NULL: none. For IDS unk is a piece like others. */
static const char *special_text(const struct marian_vocab *v, int32_t id) {
    for (size_t i = 0; i < MARIAN_N_SPECIALS; i++) {
        const struct marian_special *s = &v->specials[i];
        if (s->text && s->target_id == id && (v->kind != MARIAN_VOCAB_IDS || id != v->target.unk)) {
            return s->text;
        }
    }
    return id == v->target.unk && v->kind != MARIAN_VOCAB_IDS ? v->tokens.unk : NULL;
}

static int take_id(struct decoder *d, int32_t id, size_t place, bool keep) {
    const struct marian_vocab *v = d->v;
    const char *piece = marian_vocab_target_piece(v, id);
    if (!piece) {
        id = v->target.unk;
        piece = marian_vocab_target_piece(v, id);
    }
    const char *special = special_text(v, id);
    if (special && !keep) {
        return 0;
    }
    if (special || v->kind == MARIAN_VOCAB_WORDS) {
        int rc = v->kind == MARIAN_VOCAB_WORDS ? 0 : flush(d);
        bth_str_puts(&d->text, special ? special : piece);
        bth_str_putc(&d->text, ' ');
        d->ends[place] = (uint32_t)d->text.size;
        return rc;
    }
    d->ids[d->waiting] = id;
    d->pieces[d->waiting] = (struct bth_spm_piece){piece, piece ? strlen(piece) : 0};
    d->places[d->waiting++] = place;
    return 0;
}

/* Replaces every `from` by the shorter `to`, and moves the ends with the text. */
static void replace(struct decoder *d, size_t n, const char *from, const char *to) {
    size_t size = strlen(from), with = strlen(to), read = 0, write = 0, end = 0;
    char *text = d->text.data;
    while (read < d->text.size) {
        bool hit = size <= d->text.size - read && memcmp(text + read, from, size) == 0;
        size_t step = hit ? size : 1, put = hit ? with : 1;
        for (; end < n && d->ends[end] < read + step; end++) {
            size_t in = d->ends[end] - read;
            in -= in > 0; /* what goes is in front */
            d->ends[end] = (uint32_t)(write + (in < put ? in : put));
        }
        memmove(text + write, hit ? to : text + read, put);
        read += step;
        write += put;
    }
    for (; end < n; end++) {
        d->ends[end] = (uint32_t)write;
    }
    d->text.size = write;
    if (text) {
        text[write] = '\0';
    }
}

/* What transformers does to the whole text. */
static void tidy(struct decoder *d, size_t n, bool clean) {
    static const char *const pairs[][2] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    if (d->v->kind != MARIAN_VOCAB_IDS) {
        replace(d, n, "\xe2\x96\x81", " ");
        size_t size;
        const char *begin = bth_py_strip(bth_str_text(&d->text), d->text.size, &size);
        size_t cut = d->text.size ? (size_t)(begin - d->text.data) : 0;
        if (d->text.size) {
            memmove(d->text.data, begin, size);
            d->text.data[size] = '\0';
        }
        d->text.size = size;
        for (size_t i = 0; i < n; i++) {
            size_t end = d->ends[i] > cut ? d->ends[i] - cut : 0;
            d->ends[i] = (uint32_t)(end < size ? end : size);
        }
    }
    for (size_t i = 0; clean && i < BTH_COUNT(pairs); i++) {
        replace(d, n, pairs[i][0], pairs[i][1]);
    }
}

static int decode(struct decoder *d, const int32_t *ids, size_t n, int flags) {
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        d->ends[i] = unset;
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = take_id(d, ids[i], i, (flags & MARIAN_DECODE_KEEP_SPECIAL) != 0);
    }
    rc = rc < 0 ? rc : flush(d);
    if (rc == 0 && d->text.failed) {
        rc = bth_error_nomem(d->err);
    }
    if (rc < 0) {
        return rc;
    }
    uint32_t last = 0;
    for (size_t i = 0; i < n; i++) {
        last = d->ends[i] == unset || d->ends[i] < last ? last : d->ends[i];
        d->ends[i] = last;
    }
    tidy(d, n, (flags & MARIAN_DECODE_CLEAN_UP) != 0);
    return 0;
}

int marian_vocab_decode(const struct marian_vocab *v, const int32_t *ids, size_t n, int flags,
                        struct bth_str *out, uint32_t *out_ends, struct berth_error *err) {
    struct bth_arena arena = {0};
    struct decoder d = {.v = v, .err = err};
    d.ends = bth_arena_alloc(&arena, (n + 1) * sizeof(*d.ends));
    d.part_ends = bth_arena_alloc(&arena, (n + 1) * sizeof(*d.part_ends));
    d.pieces = bth_arena_alloc(&arena, (n + 1) * sizeof(*d.pieces));
    d.ids = bth_arena_alloc(&arena, (n + 1) * sizeof(*d.ids));
    d.places = bth_arena_alloc(&arena, (n + 1) * sizeof(*d.places));
    int rc = d.ends && d.part_ends && d.pieces && d.ids && d.places ? decode(&d, ids, n, flags)
                                                                    : bth_error_nomem(err);
    if (rc == 0) {
        bth_str_append(out, bth_str_text(&d.text), d.text.size);
        rc = out->failed ? bth_error_nomem(err) : 0;
    }
    if (rc == 0 && out_ends && n) {
        memcpy(out_ends, d.ends, n * sizeof(*out_ends));
    }
    bth_str_finish(&d.text);
    bth_arena_finish(&arena);
    return rc;
}

#include "text/spm.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "text/spm_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 << 20 };

static int by_spelling(const void *a, const void *b) {
    const struct bth_spm_spelling *x = a, *y = b;
    size_t n = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, n);
    return order ? order : x->size < y->size ? -1 : x->size > y->size;
}

static int sort_spellings(struct bth_spm *s, struct berth_error *err) {
    size_t n = s->model.n;
    s->spellings = bth_calloc(n, sizeof(*s->spellings));
    if (!s->spellings) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct bth_spm_entry *e = &s->model.pieces[i];
        s->spellings[i] = (struct bth_spm_spelling){e->text, e->size, (int32_t)i, {0}};
        memcpy(s->spellings[i].head, e->text, BTH_MIN(e->size, (size_t)BTH_SPM_HEAD));
    }
    qsort(s->spellings, n, sizeof(*s->spellings), by_spelling);
    for (size_t i = 1; i < n; i++) {
        if (by_spelling(&s->spellings[i - 1], &s->spellings[i]) == 0) {
            return bth_error(err, BERTH_EFORMAT, "piece %.60s is there twice",
                             s->spellings[i].text);
        }
    }
    return 0;
}

static int load(struct bth_spm *s, struct berth_error *err) {
    char why[120];
    int rc = bth_spm_library_load(s->model.proto.data, s->model.proto.size, &s->library, why,
                                  sizeof(why));
    bth_str_finish(&s->model.proto);
    if (rc == BERTH_ENOMEM) {
        return bth_error_nomem(err);
    }
    return rc < 0 ? bth_error(err, rc, "no usable SentencePiece model: %s", why) : 0;
}

int bth_spm_parse(const unsigned char *data, size_t size, struct bth_spm **out,
                  struct berth_error *err) {
    struct bth_spm *s = bth_calloc(1, sizeof(*s));
    int rc = s ? bth_spm_model_parse(&s->model, data, size, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = sort_spellings(s, err);
    }
    if (rc == 0) {
        bth_spm_unigram_prepare(s);
        rc = load(s, err);
    }
    if (rc < 0) {
        bth_spm_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int bth_spm_open(const char *path, struct bth_spm **out, struct berth_error *err) {
    char *data;
    size_t size;
    int rc = bth_read_file(path, MAX_FILE, &data, &size, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_spm_parse((const unsigned char *)data, size, out, err);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", path);
    }
    bth_free(data);
    return rc;
}

void bth_spm_close(struct bth_spm *s) {
    if (s) {
        bth_spm_library_unload(s->library);
        bth_spm_model_finish(&s->model);
        bth_free(s->spellings);
        bth_free(s);
    }
}

int32_t bth_spm_size(const struct bth_spm *s) {
    return (int32_t)s->model.n;
}

int32_t bth_spm_unk(const struct bth_spm *s) {
    return s->model.unk;
}

int32_t bth_spm_find(const struct bth_spm *s, const char *piece, size_t n) {
    struct bth_spm_spelling key = {piece, n, 0, {0}};
    const struct bth_spm_spelling *at =
        n ? bsearch(&key, s->spellings, s->model.n, sizeof(key), by_spelling) : NULL;
    return at ? at->id : -1;
}

const char *bth_spm_piece(const struct bth_spm *s, int32_t id) {
    return id >= 0 && (size_t)id < s->model.n ? s->model.pieces[id].text : NULL;
}

/* ---- text to pieces -------------------------------------------------------------------------*/

struct encoding {
    const struct bth_spm *s;
    struct bth_spm_text *out;
    size_t capacity, text_size;
};

static int add_token(void *user, int32_t id, const char *piece, size_t piece_size, uint32_t begin,
                     uint32_t end) {
    struct encoding *e = user;
    struct bth_spm_text *t = e->out;
    if (t->n == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 32;
        struct bth_spm_token *p = bth_realloc_array(t->tokens, capacity, sizeof(*p));
        if (!p) {
            return BERTH_ENOMEM;
        }
        t->tokens = p;
        e->capacity = capacity;
    }
    if (id < 0 || (size_t)id >= e->s->model.n || begin > end || end > e->text_size) {
        return BERTH_EFORMAT;
    }
    t->tokens[t->n++] = (struct bth_spm_token){.id = id,
                                               .piece = (uint32_t)t->pieces.size,
                                               .piece_size = (uint32_t)piece_size,
                                               .begin = begin,
                                               .end = end};
    bth_str_append(&t->pieces, piece, piece_size);
    return t->pieces.failed ? BERTH_ENOMEM : 0;
}

static int failed(int rc, struct berth_error *err) {
    if (rc == BERTH_ENOMEM) {
        return bth_error_nomem(err);
    }
    return bth_error(err, rc,
                     rc == BERTH_ETOOLARGE ? "the text becomes too long when it is normalised"
                                           : "SentencePiece failed on this text");
}

int bth_spm_encode(const struct bth_spm *s, const char *text, size_t n, struct bth_spm_text *out,
                   struct berth_error *err) {
    if (n > BTH_SPM_MAX_TEXT) {
        return bth_error(err, BERTH_ETOOLARGE, "a text of %zu bytes, at most %d are read", n,
                         BTH_SPM_MAX_TEXT);
    }
    struct bth_spm_text t = {0};
    struct encoding e = {.s = s, .out = &t, .text_size = n};
    int rc = bth_spm_library_encode(s->library, text, n, add_token, &e);
    if (rc == 0 && s->model.unigram && t.n > 0) {
        rc = bth_spm_unigram(s, &t);
    }
    if (rc < 0) {
        bth_spm_text_finish(&t);
        return failed(rc, err);
    }
    *out = t;
    return 0;
}

void bth_spm_text_finish(struct bth_spm_text *t) {
    bth_free(t->tokens);
    bth_str_finish(&t->pieces);
    *t = (struct bth_spm_text){0};
}

/* ---- pieces to text -------------------------------------------------------------------------*/

struct decoding {
    struct bth_str *out;
    uint32_t *ends;
    size_t n, at, size;
};

static int take_text(void *user, const char *text, size_t n) {
    struct decoding *d = user;
    d->size = n;
    bth_str_append(d->out, text, n);
    return d->out->failed ? BERTH_ENOMEM : 0;
}

static int take_end(void *user, uint32_t end) {
    struct decoding *d = user;
    if (d->ends && d->at < d->n) {
        d->ends[d->at++] = end < d->size ? end : (uint32_t)d->size;
    }
    return 0;
}

static const struct bth_spm_decoded_ops decoded_ops = {take_text, take_end};

int bth_spm_decode(const struct bth_spm *s, const struct bth_spm_piece *pieces, size_t n,
                   struct bth_str *out, uint32_t *out_ends, struct berth_error *err) {
    struct decoding d = {.out = out, .ends = out_ends, .n = n};
    int rc = n ? bth_spm_library_decode(s->library, pieces, n, &decoded_ops, &d) : 0;
    return rc < 0 ? failed(rc, err) : 0;
}

int bth_spm_decode_ids(const struct bth_spm *s, const int32_t *ids, size_t n, struct bth_str *out,
                       uint32_t *out_ends, struct berth_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= s->model.n) {
            return bth_error(err, BERTH_EINVAL, "id %d is not in the vocabulary", ids[i]);
        }
    }
    struct decoding d = {.out = out, .ends = out_ends, .n = n};
    int rc = n ? bth_spm_library_decode_ids(s->library, ids, n, &decoded_ops, &d) : 0;
    return rc < 0 ? failed(rc, err) : 0;
}

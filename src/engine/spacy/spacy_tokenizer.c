#include "spacy/spacy_tokenizer.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "spacy/spacy_tokenizer_private.h"
#include <string.h>

enum {
    CACHED_CHUNKS = 30000,
    MAX_EXCEPTION = 1024 /* bytes */
};
enum { KEY_ORTH = 65, KEY_NORM = 67 };

/* ---- loading --------------------------------------------------------------------------------*/

static int load_pattern(const msgpack_object *root, const char *key, bool anchored,
                        struct spacy_pattern **out, struct berth_error *err) {
    const msgpack_object *o = bth_packed_get(root, key);
    size_t n;
    const char *text = bth_packed_text(o, &n);
    if (!text || n == 0) {
        return !o || o->type == MSGPACK_OBJECT_NIL || text
                   ? 0
                   : bth_error(err, BERTH_EFORMAT, "%s is no text", key);
    }
    int rc = spacy_pattern_compile(text, n, anchored, out, err);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", key);
    }
    return rc;
}

static int load_patterns(struct spacy_tokenizer *t, const msgpack_object *root,
                         struct berth_error *err) {
    struct spacy_pattern *url = NULL;
    int rc = load_pattern(root, "url_match", true, &url, err);
    if (rc == 0) {
        spacy_vocab_take_url(t->vocab, url);
        t->url_match = url;
    }
    rc = rc < 0 ? rc : load_pattern(root, "prefix_search", false, &t->prefix, err);
    rc = rc < 0 ? rc : load_pattern(root, "suffix_search", false, &t->suffix, err);
    rc = rc < 0 ? rc : load_pattern(root, "infix_finditer", false, &t->infix, err);
    return rc < 0 ? rc : load_pattern(root, "token_match", true, &t->token_match, err);
}

static const msgpack_object *find_int_key(const msgpack_object *map, uint64_t key) {
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object *k = &map->via.map.ptr[i].key;
        if (k->type == MSGPACK_OBJECT_POSITIVE_INTEGER && k->via.u64 == key) {
            return &map->via.map.ptr[i].val;
        }
    }
    return NULL;
}

/* The pieces of an exception tile its text. */
static int load_pieces(struct spacy_tokenizer *t, const char *text, size_t n,
                       const msgpack_object *list, struct spacy_piece *pieces,
                       struct berth_error *err) {
    size_t at = 0;
    for (uint32_t i = 0; i < list->via.array.size; i++) {
        size_t orth_n, norm_n;
        const char *orth =
            bth_packed_text(find_int_key(&list->via.array.ptr[i], KEY_ORTH), &orth_n);
        const char *norm =
            bth_packed_text(find_int_key(&list->via.array.ptr[i], KEY_NORM), &norm_n);
        if (!orth || orth_n == 0 || orth_n > n - at || memcmp(text + at, orth, orth_n) != 0) {
            return bth_error(err, BERTH_EFORMAT, "exception %.*s: its tokens are not its text",
                             (int)BTH_MIN(n, (size_t)60), text);
        }
        at += orth_n;
        pieces[i] =
            (struct spacy_piece){.lex = spacy_vocab_keep(t->vocab, orth, orth_n), .shared = true};
        if (!pieces[i].lex) {
            return bth_error_nomem(err);
        }
        pieces[i].norm = pieces[i].lex->norm;
        if (norm && norm_n && bth_utf8_valid(norm, norm_n) &&
            spacy_strings_add(spacy_vocab_strings(t->vocab), norm, norm_n, &pieces[i].norm) < 0) {
            return bth_error_nomem(err);
        }
    }
    return at == n ? 0
                   : bth_error(err, BERTH_EFORMAT, "exception %.*s: its tokens are not its text",
                               (int)BTH_MIN(n, (size_t)60), text);
}

static int load_exception(struct spacy_tokenizer *t, const msgpack_object_kv *kv,
                          struct berth_error *err) {
    size_t n;
    const char *text = bth_packed_text(&kv->key, &n);
    if (!text || n == 0 || n > MAX_EXCEPTION || !bth_utf8_valid(text, n) ||
        kv->val.type != MSGPACK_OBJECT_ARRAY || kv->val.via.array.size == 0) {
        return bth_error(err, BERTH_EFORMAT, "an exception is damaged");
    }
    struct spacy_piece *pieces =
        bth_arena_alloc(&t->arena, kv->val.via.array.size * sizeof(*pieces));
    char *copy = bth_arena_strndup(&t->arena, text, n);
    if (!pieces || !copy) {
        return bth_error_nomem(err);
    }
    int rc = load_pieces(t, copy, n, &kv->val, pieces, err);
    if (rc < 0 || spacy_find_exception(t, copy, n)) {
        return rc;
    }
    struct spacy_exception made = {.text = copy,
                                   .bytes = (uint32_t)n,
                                   .hash = spacy_string_hash(copy, n),
                                   .pieces = pieces,
                                   .n = kv->val.via.array.size};
    size_t at = (size_t)made.hash;
    while (t->exceptions[at & (t->capacity - 1)].text) {
        at++;
    }
    t->exceptions[at & (t->capacity - 1)] = made;
    t->n_exceptions++;
    return 0;
}

static int load_exceptions(struct spacy_tokenizer *t, const msgpack_object *map,
                           struct berth_error *err) {
    const size_t n = map && map->type == MSGPACK_OBJECT_MAP ? map->via.map.size : 0;
    t->capacity = 8;
    while (t->capacity < 2 * (n + 1)) {
        t->capacity *= 2;
    }
    t->exceptions = bth_calloc(t->capacity, sizeof(*t->exceptions));
    if (!t->exceptions) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = load_exception(t, &map->via.map.ptr[i], err);
    }
    return rc;
}

/* Whether the rules would take an exception apart where it stands inside a text. 1, 0, an error. */
static int has_affix(const struct spacy_tokenizer *t, struct spacy_matcher *m,
                     const struct spacy_exception *e, struct berth_error *err) {
    const struct spacy_pattern *const patterns[] = {t->prefix, t->infix, t->suffix};
    if (memchr(e->text, ' ', e->bytes)) {
        return 1;
    }
    for (size_t i = 0; i < BTH_COUNT(patterns); i++) {
        size_t begin, end;
        int rc = spacy_pattern_search(patterns[i], m, e->text, e->bytes, &begin, &end, err);
        /* an affix has a length, an infix need not */
        if (rc < 0 || (rc == 1 && (i == 1 || end > begin))) {
            return rc;
        }
    }
    return 0;
}

static int add_special(struct spacy_tokenizer *t, struct spacy_split *s,
                       const struct spacy_exception *e) {
    s->n = 0;
    size_t at = 0, begin, end;
    bool space;
    while (spacy_next_chunk(e->text, e->bytes, &at, &begin, &end, &space)) {
        int rc = spacy_split_chunk(s, e->text + begin, end - begin);
        if (rc < 0) {
            return rc;
        }
    }
    uint64_t *orths = bth_alloc(s->n * sizeof(*orths));
    if (!orths) {
        return bth_error_nomem(s->err);
    }
    for (size_t i = 0; i < s->n; i++) {
        orths[i] = s->pieces[i].lex->orth;
    }
    int rc = spacy_special_add(t->special, orths, s->n);
    bth_free(orths);
    return rc < 0 ? bth_error_nomem(s->err) : 0;
}

/* Rows of tokens that exceptions become when they do not apply. */
static int load_special(struct spacy_tokenizer *t, bool all, struct berth_error *err) {
    struct bth_arena arena = {0};
    struct spacy_split s;
    size_t bytes = 0;
    for (size_t i = 0; i < t->capacity; i++) {
        bytes += t->exceptions[i].bytes;
    }
    int rc = spacy_split_init(&s, t, &arena, spacy_matcher_budget(bytes), err);
    s.exceptions = false;
    for (size_t i = 0; i < t->capacity && rc == 0; i++) {
        const struct spacy_exception *e = &t->exceptions[i];
        if (!e->text) {
            continue;
        }
        rc = all ? 1 : has_affix(t, s.matcher, e, err);
        if (rc > 0) {
            rc = add_special(t, &s, e);
        }
    }
    spacy_split_finish(&s);
    bth_arena_finish(&arena);
    return rc;
}

static int load(struct spacy_tokenizer *t, const msgpack_object *root, struct berth_error *err) {
    if (root->type != MSGPACK_OBJECT_MAP) {
        return bth_error(err, BERTH_EFORMAT, "not a tokenizer");
    }
    const msgpack_object *fast = bth_packed_get(root, "faster_heuristics");
    const bool all = fast && fast->type == MSGPACK_OBJECT_BOOLEAN && !fast->via.boolean;
    t->special = spacy_special_create();
    t->cache = spacy_cache_create(CACHED_CHUNKS);
    if (!t->special || !t->cache) {
        return bth_error_nomem(err);
    }
    int rc = load_patterns(t, root, err);
    rc = rc < 0 ? rc : load_exceptions(t, bth_packed_get(root, "exceptions"), err);
    return rc < 0 ? rc : load_special(t, all, err);
}

int spacy_tokenizer_load(struct spacy_vocab *v, const void *bytes, size_t size,
                         struct spacy_tokenizer **out, struct berth_error *err) {
    struct bth_packed packed = {0};
    int rc = bth_packed_open(&packed, bytes, size, err);
    if (rc < 0) {
        return rc;
    }
    struct spacy_tokenizer *t = bth_calloc(1, sizeof(*t));
    if (t) {
        t->vocab = v;
    }
    rc = t ? load(t, &packed.root, err) : bth_error_nomem(err);
    bth_packed_close(&packed);
    if (rc < 0) {
        spacy_tokenizer_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void spacy_tokenizer_destroy(struct spacy_tokenizer *t) {
    if (!t) {
        return;
    }
    spacy_pattern_free(t->prefix);
    spacy_pattern_free(t->suffix);
    spacy_pattern_free(t->infix);
    spacy_pattern_free(t->token_match);
    spacy_special_destroy(t->special);
    spacy_cache_destroy(t->cache);
    bth_free(t->exceptions);
    bth_arena_finish(&t->arena);
    bth_free(t);
}

size_t spacy_tokenizer_cached(const struct spacy_tokenizer *t) {
    return spacy_cache_count(t->cache);
}

/* ---- documents ------------------------------------------------------------------------------*/

int spacy_doc_init(struct spacy_doc *doc, const struct spacy_vocab *v, const char *text, size_t n,
                   struct berth_error *err) {
    if (!bth_utf8_valid(text, n)) {
        return bth_error(err, BERTH_EINVAL, "the text is not UTF-8");
    }
    struct spacy_strings *strings = spacy_strings_create(spacy_vocab_strings(v));
    if (!strings) {
        return bth_error_nomem(err);
    }
    *doc = (struct spacy_doc){.strings = strings, .text = text, .bytes = n};
    return 0;
}

void spacy_doc_finish(struct spacy_doc *doc) {
    spacy_strings_destroy(doc->strings);
    bth_arena_finish(&doc->arena);
    *doc = (struct spacy_doc){0};
}

/* Tokens while they are made. */
struct tokens {
    struct spacy_token *data; /* [n] */
    size_t n, capacity;
    bool exception_first; /* the first one was put in as an exception, so it is not marked */
};

static int append_tokens(struct tokens *out, const struct spacy_piece *pieces, size_t n,
                         uint32_t begin, bool space, struct berth_error *err) {
    if (out->capacity - out->n < n) {
        size_t capacity = BTH_MAX(BTH_MAX((size_t)64, 2 * out->capacity), out->n + n);
        struct spacy_token *p = bth_realloc_array(out->data, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(err);
        }
        out->data = p;
        out->capacity = capacity;
    }
    for (size_t i = 0; i < n; i++) {
        struct spacy_token *token = &out->data[out->n++];
        *token = (struct spacy_token){.lex = pieces[i].lex,
                                      .begin = begin,
                                      .end = begin + pieces[i].lex->bytes,
                                      .space = space && i + 1 == n,
                                      .norm = pieces[i].norm};
        begin = token->end;
    }
    return 0;
}

static int tokenize_chunks(struct spacy_split *s, const struct spacy_doc *doc, struct tokens *out) {
    size_t at = 0, begin, end;
    bool space;
    while (spacy_next_chunk(doc->text, doc->bytes, &at, &begin, &end, &space)) {
        s->n = 0;
        int rc = spacy_split_chunk(s, doc->text + begin, end - begin);
        if (rc == 0) {
            rc = append_tokens(out, s->pieces, s->n, (uint32_t)begin, space, s->err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Puts exceptions that were taken apart together again, into *out. */
static int apply_special(const struct spacy_split *s, const struct spacy_doc *doc,
                         struct tokens *out) {
    struct spacy_special_span *spans = NULL;
    size_t n_spans;
    int rc = spacy_special_find(s->t->special, out->data, out->n, &spans, &n_spans);
    if (rc < 0) {
        return rc == BERTH_ENOMEM ? bth_error_nomem(s->err)
                                  : bth_error(s->err, rc, "the text has too many exceptions");
    }
    struct tokens made = {0};
    size_t done = 0;
    for (size_t i = 0; i < n_spans && rc == 0; i++) {
        const struct spacy_token *first = &out->data[spans[i].begin];
        const struct spacy_token *last = &out->data[spans[i].end - 1];
        const struct spacy_exception *e =
            spacy_find_exception(s->t, doc->text + first->begin, last->end - first->begin);
        if (!e) {
            continue;
        }
        for (; done < spans[i].begin && rc == 0; done++) {
            const struct spacy_token *t = &out->data[done];
            const struct spacy_piece piece = {.lex = t->lex, .norm = t->norm};
            rc = append_tokens(&made, &piece, 1, t->begin, t->space, s->err);
        }
        if (rc == 0) {
            made.exception_first |= made.n == 0;
            rc = append_tokens(&made, e->pieces, e->n, first->begin, last->space, s->err);
        }
        done = spans[i].end;
    }
    for (; done > 0 && done < out->n && rc == 0; done++) {
        const struct spacy_token *t = &out->data[done];
        const struct spacy_piece piece = {.lex = t->lex, .norm = t->norm};
        rc = append_tokens(&made, &piece, 1, t->begin, t->space, s->err);
    }
    bth_free(spans);
    if (rc == 0 && done > 0) {
        bth_free(out->data);
        *out = made;
    } else {
        bth_free(made.data);
    }
    return rc;
}

static int finish_tokens(struct spacy_doc *doc, const struct tokens *tokens,
                         struct berth_error *err) {
    if (tokens->n == 0) {
        return 0;
    }
    struct spacy_token *copy =
        bth_arena_memdup(&doc->arena, tokens->data, tokens->n * sizeof(*copy));
    if (!copy) {
        return bth_error_nomem(err);
    }
    uint32_t idx = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        copy[i].idx = idx;
        copy[i].head = (int32_t)i;
        idx += copy[i].lex->length + copy[i].space;
    }
    copy[0].sent_start = !tokens->exception_first; /* as in spaCy */
    doc->tokens = copy;
    doc->n = tokens->n;
    return 0;
}

static int check_length(const struct spacy_doc *doc, struct berth_error *err) {
    size_t length = 0;
    for (size_t i = 0; doc->bytes > SPACY_MAX_LENGTH && i < doc->bytes; i++) {
        length += !bth_utf8_goes_on(doc->text[i]);
    }
    return length <= SPACY_MAX_LENGTH
               ? 0
               : bth_error(err, BERTH_ETOOLARGE,
                           "the text has %zu characters, at most %d are read at once", length,
                           SPACY_MAX_LENGTH);
}

int spacy_tokenize(const struct spacy_tokenizer *t, struct spacy_doc *doc,
                   struct berth_error *err) {
    struct spacy_split s;
    struct tokens tokens = {0};
    int rc = check_length(doc, err);
    if (rc < 0) {
        return rc;
    }
    rc = spacy_split_init(&s, t, &doc->arena, spacy_matcher_budget(doc->bytes), err);
    if (rc == 0) {
        rc = tokenize_chunks(&s, doc, &tokens);
    }
    if (rc == 0) {
        rc = apply_special(&s, doc, &tokens);
    }
    if (rc == 0) {
        rc = finish_tokens(doc, &tokens, err);
    }
    spacy_split_finish(&s);
    bth_free(tokens.data);
    return rc;
}

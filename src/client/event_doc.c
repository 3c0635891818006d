#include "client/event_doc.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/error.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Where a document comes from, and the first thing that is wrong. Readers go on after it. */
struct reader {
    struct bth_arena *arena;
    const char *damaged; /* the key, or NULL */
    bool nomem;
    const char **strings; /* [n_strings] */
    size_t n_strings;
};

static void damage(struct reader *r, const char *key) {
    if (!r->damaged) {
        r->damaged = key;
    }
}

/* Zeroed; NULL: none are wanted, or no memory. */
static void *array(struct reader *r, size_t n, size_t size) {
    size_t bytes;
    void *p = n && bth_mul(n, size, &bytes) ? bth_arena_alloc(r->arena, bytes) : NULL;
    r->nomem |= n && !p;
    return p;
}

static const char *text(struct reader *r, const json_t *v, const char *key) {
    if (!json_is_string(v)) {
        damage(r, key);
        return "";
    }
    const char *copy = bth_arena_strndup(r->arena, json_string_value(v), json_string_length(v));
    r->nomem |= !copy;
    return copy ? copy : "";
}

static void read_strings(struct reader *r, const json_t *v) {
    size_t n = json_array_size(v);
    const char **list = array(r, n, sizeof(*list));
    for (size_t i = 0; list && i < n; i++) {
        list[i] = text(r, json_array_get(v, i), "strings");
    }
    r->strings = list;
    r->n_strings = list ? n : 0;
    if (!r->n_strings || *list[0]) {
        damage(r, "strings");
    }
}

/* ---- columns ---------------------------------------------------------------------------------*/

/* A column as it is read from its first cell to its last. */
struct column {
    const char *key;
    const char *p; /* NULL: all zeros */
};

static struct column open_column(struct reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    if (v && !json_is_string(v)) {
        damage(r, key);
    }
    return (struct column){.key = key, .p = json_string_value(v)};
}

/* The next cell, from low to high. */
static int64_t next(struct reader *r, struct column *c, int64_t low, int64_t high) {
    if (!c->p) {
        if (low > 0) {
            damage(r, c->key);
        }
        return 0;
    }
    bool minus = *c->p == '-';
    const char *p = c->p + minus, *first = p;
    int64_t v = 0;
    while (*p >= '0' && *p <= '9' && p - first < 11) {
        v = v * 10 + (*p++ - '0');
    }
    v = minus ? -v : v;
    if (p == first || (*p && *p != ' ') || v < low || v > high) {
        damage(r, c->key);
        c->p = ""; /* the rest is damaged too */
        return low;
    }
    c->p = p + (*p == ' ');
    return v;
}

static void close_column(struct reader *r, const struct column *c) {
    if (c->p && *c->p) {
        damage(r, c->key);
    }
}

/* Cells of the column "end", which is always there. */
static size_t rows(struct reader *r, const json_t *object) {
    const char *p = json_string_value(json_object_get(object, "end"));
    if (!p) {
        damage(r, "end");
        return 0;
    }
    size_t n = *p != '\0';
    for (; *p; p++) {
        n += *p == ' ';
    }
    return n;
}

struct string_column {
    const char *key;
    size_t where; /* of the string in its struct */
};

static void read_string_columns(struct reader *r, const json_t *object,
                                const struct string_column *columns, size_t n_columns, void *to,
                                size_t n, size_t size) {
    for (size_t k = 0; k < n_columns; k++) {
        struct column c = open_column(r, object, columns[k].key);
        for (size_t i = 0; i < n; i++) {
            size_t at = (size_t)next(r, &c, 0, (int64_t)r->n_strings - 1);
            const char *value = at < r->n_strings ? r->strings[at] : "";
            memcpy((char *)to + i * size + columns[k].where, &value, sizeof(value));
        }
        close_column(r, &c);
    }
}

/* ---- tokens ----------------------------------------------------------------------------------*/

/* Places in the text: each token ends at or behind its begin, and begins at or behind the end of
 * the token before. */
static void read_places(struct reader *r, const json_t *v, struct berth_token *t, size_t n,
                        size_t text_size) {
    struct column begin = open_column(r, v, "begin"), end = open_column(r, v, "end");
    struct column idx = open_column(r, v, "idx"), idx_end = open_column(r, v, "idx_end");
    int64_t at = 0, code_points = 0, most = (int64_t)BTH_MIN(text_size, UINT32_MAX);
    for (size_t i = 0; i < n; i++) {
        t[i].begin = (uint32_t)(at += next(r, &begin, 0, most - at));
        t[i].end = (uint32_t)(at += next(r, &end, 0, most - at));
        t[i].idx = (uint32_t)(code_points += next(r, &idx, 0, most - code_points));
        t[i].idx_end = (uint32_t)(code_points += next(r, &idx_end, 0, most - code_points));
    }
    close_column(r, &begin);
    close_column(r, &end);
    close_column(r, &idx);
    close_column(r, &idx_end);
}

static void read_numbers(struct reader *r, const json_t *v, struct berth_token *t, size_t n) {
    struct column space = open_column(r, v, "space"), flags = open_column(r, v, "flags");
    struct column head = open_column(r, v, "head"), start = open_column(r, v, "sent_start");
    struct column iob = open_column(r, v, "ent_iob");
    for (size_t i = 0; i < n; i++) {
        t[i].space = next(r, &space, 0, 1) != 0;
        t[i].flags = (uint32_t)next(r, &flags, 0, UINT32_MAX);
        t[i].head = (int32_t)((int64_t)i + next(r, &head, -(int64_t)i, (int64_t)(n - 1 - i)));
        t[i].sent_start = (int8_t)next(r, &start, -1, 1);
        t[i].ent_iob = (uint8_t)next(r, &iob, 0, 3);
    }
    close_column(r, &space);
    close_column(r, &flags);
    close_column(r, &head);
    close_column(r, &start);
    close_column(r, &iob);
}

static void read_tokens(struct reader *r, const json_t *v, struct berth_doc *doc) {
    static const struct string_column strings[] = {
#define COLUMN(name) {#name, offsetof(struct berth_token, name)}
        COLUMN(text),   COLUMN(norm),   COLUMN(lower),     COLUMN(shape),    COLUMN(prefix),
        COLUMN(suffix), COLUMN(tag),    COLUMN(pos),       COLUMN(morph),    COLUMN(lemma),
        COLUMN(dep),    COLUMN(ent_id), COLUMN(ent_kb_id), COLUMN(ent_type),
#undef COLUMN
    };
    size_t n = BTH_MIN(rows(r, v), INT32_MAX);
    struct berth_token *t = array(r, n, sizeof(*t));
    if (t) {
        read_places(r, v, t, n, strlen(doc->text));
        read_numbers(r, v, t, n);
        read_string_columns(r, v, strings, BTH_COUNT(strings), t, n, sizeof(*t));
        doc->n_tokens = n;
    }
    doc->tokens = t;
}

/* ---- spans and floats ------------------------------------------------------------------------*/

static const struct berth_span *read_spans(struct reader *r, const json_t *doc, const char *key,
                                           size_t n_tokens, size_t *out_n) {
    static const struct string_column strings[] = {{"label", offsetof(struct berth_span, label)},
                                                   {"id", offsetof(struct berth_span, id)},
                                                   {"kb_id", offsetof(struct berth_span, kb_id)}};
    const json_t *v = json_object_get(doc, key);
    size_t n = rows(r, v);
    struct berth_span *s = array(r, n, sizeof(*s));
    if (!s) {
        return NULL;
    }
    struct column begin = open_column(r, v, "begin"), end = open_column(r, v, "end");
    for (size_t i = 0; i < n; i++) {
        s[i].end = (uint32_t)next(r, &end, 0, (int64_t)n_tokens);
        s[i].begin = (uint32_t)next(r, &begin, 0, s[i].end);
    }
    close_column(r, &begin);
    close_column(r, &end);
    read_string_columns(r, v, strings, BTH_COUNT(strings), s, n, sizeof(*s));
    *out_n = n;
    return s;
}

static const float *read_floats(struct reader *r, const json_t *doc, const char *key,
                                const char *width_key, size_t n_tokens, size_t *out_width) {
    const json_t *v = json_object_get(doc, key);
    double width = json_number_value(json_object_get(doc, width_key));
    size_t cells, bytes;
    if (!v) {
        return NULL;
    }
    if (!json_is_string(v) || !(width >= 1 && width <= 1e6) || width != floor(width) ||
        !bth_mul(n_tokens, (size_t)width, &cells) || !bth_mul(cells, sizeof(float), &bytes) ||
        bytes > json_string_length(v)) {
        damage(r, key);
        return NULL;
    }
    float *f = bth_arena_alloc(r->arena, bytes ? bytes : 1);
    r->nomem |= !f;
    if (f && !bth_base64_decode(json_string_value(v), json_string_length(v), f, bytes)) {
        damage(r, key);
    }
    *out_width = (size_t)width;
    return f;
}

/* ---- the document ----------------------------------------------------------------------------*/

static void read_doc(struct reader *r, const json_t *v, struct berth_doc *d) {
    d->text = text(r, json_object_get(v, "text"), "text");
    d->language = text(r, json_object_get(v, "language"), "language");
    d->components = text(r, json_object_get(v, "components"), "components");
    read_strings(r, json_object_get(v, "strings"));
    if (r->damaged || r->nomem) {
        return;
    }
    read_tokens(r, json_object_get(v, "tokens"), d);
    d->ents = read_spans(r, v, "ents", d->n_tokens, &d->n_ents);
    d->sents = read_spans(r, v, "sents", d->n_tokens, &d->n_sents);
    d->noun_chunks = read_spans(r, v, "noun_chunks", d->n_tokens, &d->n_noun_chunks);
    d->tensor = read_floats(r, v, "tensor", "tensor_width", d->n_tokens, &d->tensor_width);
    d->vectors = read_floats(r, v, "vectors", "vector_width", d->n_tokens, &d->vector_width);
}

int bth_event_doc(const json_t *v, struct bth_arena *arena, const struct berth_doc **out,
                  struct berth_error *err) {
    struct reader r = {.arena = arena};
    struct berth_doc *d = bth_arena_alloc(arena, sizeof(*d));
    if (!d) {
        return bth_error_nomem(err);
    }
    read_doc(&r, v, d);
    if (r.nomem) {
        return bth_error_nomem(err);
    }
    if (r.damaged) {
        return bth_error(err, BERTH_EIO, "the daemon's answer is damaged: doc: %.60s", r.damaged);
    }
    *out = d;
    return 0;
}

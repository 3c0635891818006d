#include "server/reply_doc.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/compiler.h"
#include "server/json_text.h"
#include <stddef.h>
#include <string.h>

/* ---- strings ---------------------------------------------------------------------------------*/

/* Each string once, in the order of their first use. */
struct strings {
    const char **list;
    size_t n, capacity;
    uint32_t *slots; /* [n_slots], a power of two: 1 + place in the list, or 0 */
    size_t n_slots;
    bool failed;
};

static size_t slot_of(const struct strings *s, const char *text) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        hash = (hash ^ *p) * UINT64_C(1099511628211);
    }
    size_t i = (size_t)(hash ^ hash >> 32) & (s->n_slots - 1);
    while (s->slots[i] && strcmp(s->list[s->slots[i] - 1], text) != 0) {
        i = (i + 1) & (s->n_slots - 1);
    }
    return i;
}

static bool grow(struct strings *s) {
    size_t n = s->capacity ? s->capacity * 2 : 256;
    const char **list = bth_realloc_array(s->list, n, sizeof(*list));
    s->list = list ? list : s->list;
    uint32_t *slots = list ? bth_calloc(n * 2, sizeof(*slots)) : NULL;
    if (!slots) {
        s->failed = true;
        return false;
    }
    bth_free(s->slots);
    s->capacity = n;
    s->slots = slots;
    s->n_slots = n * 2;
    for (size_t i = 0; i < s->n; i++) {
        slots[slot_of(s, s->list[i])] = (uint32_t)i + 1;
    }
    return true;
}

static uint32_t place(struct strings *s, const char *text) {
    if (s->failed || (s->n == s->capacity && !grow(s))) {
        return 0;
    }
    size_t slot = slot_of(s, text);
    if (!s->slots[slot]) {
        s->list[s->n++] = text;
        s->slots[slot] = (uint32_t)s->n;
    }
    return s->slots[slot] - 1;
}

/* ---- columns ---------------------------------------------------------------------------------*/

struct column {
    const char *name;
    size_t where; /* of a string in its struct */
};

struct writer {
    struct bth_str *out;
    const struct berth_doc *doc;
    struct strings strings;
    struct bth_str cells;
    bool any; /* a cell is not zero */
};

static void cell(struct writer *w, int64_t value) {
    char digits[24], *p = digits + sizeof(digits);
    uint64_t v = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    if (value < 0) {
        *--p = '-';
    }
    if (w->cells.size) {
        *--p = ' ';
    }
    w->any |= value != 0;
    bth_str_append(&w->cells, p, (size_t)(digits + sizeof(digits) - p));
}

static void end_column(struct writer *w, const char *name) {
    if (w->any || strcmp(name, "end") == 0) {
        bth_json_put_string(w->out, name, bth_str_text(&w->cells));
    }
    w->out->failed |= w->cells.failed;
    bth_str_clear(&w->cells);
    w->any = false;
}

static void put_strings(struct writer *w, const struct column *c, const void *rows, size_t n,
                        size_t size) {
    for (size_t i = 0; i < n; i++) {
        const char *row = (const char *)rows + i * size;
        cell(w, place(&w->strings, *(const char *const *)(const void *)(row + c->where)));
    }
    end_column(w, c->name);
}

static void put_tokens(struct writer *w) {
    static const struct column strings[] = {
#define COLUMN(name) {#name, offsetof(struct berth_token, name)}
        COLUMN(text),   COLUMN(norm),   COLUMN(lower),     COLUMN(shape),    COLUMN(prefix),
        COLUMN(suffix), COLUMN(tag),    COLUMN(pos),       COLUMN(morph),    COLUMN(lemma),
        COLUMN(dep),    COLUMN(ent_id), COLUMN(ent_kb_id), COLUMN(ent_type),
#undef COLUMN
    };
    const struct berth_token *t = w->doc->tokens;
    size_t n = w->doc->n_tokens;
#define NUMBERS(name, value)                                                                       \
    for (size_t i = 0; i < n; i++) {                                                               \
        cell(w, (value));                                                                          \
    }                                                                                              \
    end_column(w, name)
    NUMBERS("end", (int64_t)t[i].end - t[i].begin);
    NUMBERS("begin", (int64_t)t[i].begin - (i ? t[i - 1].end : 0));
    NUMBERS("idx", (int64_t)t[i].idx - (i ? t[i - 1].idx_end : 0));
    NUMBERS("idx_end", (int64_t)t[i].idx_end - t[i].idx);
    NUMBERS("space", t[i].space);
    NUMBERS("flags", t[i].flags);
    NUMBERS("head", (int64_t)t[i].head - (int64_t)i);
    NUMBERS("sent_start", t[i].sent_start);
    NUMBERS("ent_iob", t[i].ent_iob);
#undef NUMBERS
    for (size_t c = 0; c < BTH_COUNT(strings); c++) {
        put_strings(w, &strings[c], t, n, sizeof(*t));
    }
}

static void put_spans(struct writer *w, const char *key, const struct berth_span *s, size_t n) {
    static const struct column strings[] = {{"label", offsetof(struct berth_span, label)},
                                            {"id", offsetof(struct berth_span, id)},
                                            {"kb_id", offsetof(struct berth_span, kb_id)}};
    bth_json_key(w->out, key);
    bth_str_putc(w->out, '{');
    for (size_t i = 0; i < n; i++) {
        cell(w, s[i].end);
    }
    end_column(w, "end");
    for (size_t i = 0; i < n; i++) {
        cell(w, s[i].begin);
    }
    end_column(w, "begin");
    for (size_t c = 0; c < BTH_COUNT(strings); c++) {
        put_strings(w, &strings[c], s, n, sizeof(*s));
    }
    bth_str_putc(w->out, '}');
}

static void put_floats(struct bth_str *out, const char *width_key, const char *key, const float *f,
                       size_t n, size_t width) {
    if (f) {
        bth_json_put_uint(out, width_key, width);
        bth_json_key(out, key);
        bth_str_putc(out, '"');
        bth_base64_append(out, f, n * width * sizeof(*f));
        bth_str_putc(out, '"');
    }
}

/* ---- the member ------------------------------------------------------------------------------*/

void bth_reply_doc(struct bth_str *out, const struct berth_doc *d) {
    struct writer w = {.out = out, .doc = d};
    place(&w.strings, "");
    bth_json_key(out, "doc");
    bth_str_putc(out, '{');
    bth_json_put_string(out, "text", d->text);
    bth_json_put_string(out, "language", d->language);
    bth_json_put_string(out, "components", d->components);
    bth_json_key(out, "tokens");
    bth_str_putc(out, '{');
    put_tokens(&w);
    bth_str_putc(out, '}');
    put_spans(&w, "ents", d->ents, d->n_ents);
    put_spans(&w, "sents", d->sents, d->n_sents);
    put_spans(&w, "noun_chunks", d->noun_chunks, d->n_noun_chunks);
    bth_json_key(out, "strings");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < w.strings.n; i++) {
        bth_json_comma(out);
        bth_json_string(out, w.strings.list[i]);
    }
    bth_str_putc(out, ']');
    put_floats(out, "tensor_width", "tensor", d->tensor, d->n_tokens, d->tensor_width);
    put_floats(out, "vector_width", "vectors", d->vectors, d->n_tokens, d->vector_width);
    bth_str_putc(out, '}');
    out->failed |= w.strings.failed || w.cells.failed;
    bth_free(w.strings.list);
    bth_free(w.strings.slots);
    bth_str_finish(&w.cells);
}

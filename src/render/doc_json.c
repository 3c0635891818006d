#include "render/doc_json.h"

#include "base/error.h"
#include "base/pystr.h"
#include "render/doc_has.h"
#include <stddef.h>
#include <string.h>

/* ---- names -----------------------------------------------------------------------------------*/

enum kind { LIST, STRING, SPACE, HEAD, IOB, SENT_START, FLAG };

/* Tokens' attributes come out in this order: spaCy's first. */
static const struct attribute {
    const char *name;
    enum kind kind;
    size_t where; /* STRING: in struct berth_token; FLAG: its number */
} attributes[] = {
    {"ents", LIST, 0},
    {"sents", LIST, 0},
    {"noun_chunks", LIST, 0},
#define STRING_(name)                                                                              \
    { #name, STRING, offsetof(struct berth_token, name) }
    STRING_(text),
    {"whitespace", SPACE, 0},
    STRING_(tag),
    STRING_(pos),
    STRING_(morph),
    STRING_(lemma),
    STRING_(dep),
    {"head", HEAD, 0},
    {"ent_iob", IOB, 0},
    STRING_(ent_type),
    STRING_(ent_id),
    STRING_(ent_kb_id),
    STRING_(norm),
    STRING_(lower),
    STRING_(shape),
    STRING_(prefix),
    STRING_(suffix),
#undef STRING_
    {"is_sent_start", SENT_START, 0},
    {"is_alpha", FLAG, 1},
    {"is_ascii", FLAG, 2},
    {"is_digit", FLAG, 3},
    {"is_lower", FLAG, 4},
    {"is_punct", FLAG, 5},
    {"is_space", FLAG, 6},
    {"is_title", FLAG, 7},
    {"is_upper", FLAG, 8},
    {"like_url", FLAG, 9},
    {"like_num", FLAG, 10},
    {"like_email", FLAG, 11},
    {"is_stop", FLAG, 12},
    {"is_bracket", FLAG, 14},
    {"is_quote", FLAG, 15},
    {"is_left_punct", FLAG, 16},
    {"is_right_punct", FLAG, 17},
    {"is_currency", FLAG, 18},
};
enum { ENTS, SENTS, NOUN_CHUNKS, N_LISTS, N_ATTRIBUTES = BTH_COUNT(attributes) };

#define BIT(i) (UINT64_C(1) << (i))

int bth_doc_json_offsets(const char *name, enum bth_doc_offsets *out, struct berth_error *err) {
    static const char *const names[] = {"codepoint", "utf8", "utf16"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum bth_doc_offsets)i;
            return 0;
        }
    }
    return bth_error(err, BERTH_EINVAL, "offsets are codepoint, utf8 or utf16, not '%.40s'", name);
}

/* The attribute of a name, or N_ATTRIBUTES. */
static size_t find(const char *name, size_t n) {
    n -= n > 0 && name[n - 1] == '_';
    for (size_t i = 0; i < N_ATTRIBUTES; i++) {
        if (strlen(attributes[i].name) == n && memcmp(attributes[i].name, name, n) == 0) {
            return i;
        }
    }
    return N_ATTRIBUTES;
}

int bth_doc_json_attributes(const char *list, uint64_t *set, struct berth_error *err) {
    uint64_t found = 0;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        size_t at = find(p, n);
        if (at == N_ATTRIBUTES) {
            return bth_error(err, BERTH_EINVAL, "there is no attribute '%.*s'", (int)BTH_MIN(n, 40),
                             p);
        }
        found |= BIT(at);
        p += n;
        if (!*p) {
            break;
        }
    }
    *set |= found;
    return 0;
}

void bth_doc_json_names(struct bth_str *out) {
    for (size_t i = 0; i < N_ATTRIBUTES; i++) {
        bth_str_printf(out, "%s%s", i ? ", " : "", attributes[i].name);
    }
}

/* What Doc.to_json() would have. */
static uint64_t annotated(const struct berth_doc *d) {
    uint64_t set = BIT(find("tag", 3)) * bth_doc_has(d, BTH_HAS_TAG) |
                   BIT(find("pos", 3)) * bth_doc_has(d, BTH_HAS_POS) |
                   BIT(find("morph", 5)) * bth_doc_has(d, BTH_HAS_MORPH) |
                   BIT(find("lemma", 5)) * bth_doc_has(d, BTH_HAS_LEMMA) |
                   BIT(ENTS) * bth_doc_has(d, BTH_HAS_ENTS) |
                   BIT(SENTS) * bth_doc_has(d, BTH_HAS_SENTS);
    return set | (BIT(find("dep", 3)) | BIT(find("head", 4))) * bth_doc_has(d, BTH_HAS_DEP);
}

/* ---- offsets ---------------------------------------------------------------------------------*/

struct writer {
    struct bth_str *out;
    const struct berth_doc *doc;
    enum bth_doc_offsets offsets;
    size_t byte, units; /* UTF-16 units before a byte of the text, as far as counted */
};

/* Units that begin with a byte: lead bytes begin one, from U+10000 on two. */
static size_t units_of(const struct writer *w, size_t byte) {
    unsigned char c = (unsigned char)w->doc->text[byte];
    return (size_t)((c & 0xC0) != 0x80) + (c >= 0xF0);
}

/* Counts on from the last place, or back: spans need not be in order. */
static size_t utf16(struct writer *w, size_t byte) {
    while (w->byte > byte) {
        w->units -= units_of(w, --w->byte);
    }
    while (w->byte < byte) {
        w->units += units_of(w, w->byte++);
    }
    return w->units;
}

static void put_offsets(struct writer *w, const struct berth_token *first,
                        const struct berth_token *last) {
    size_t start = first->idx, end = last->idx_end;
    if (w->offsets != BTH_OFFSETS_CODEPOINT) {
        start = first->begin;
        end = last->end;
    }
    if (w->offsets == BTH_OFFSETS_UTF16) {
        start = utf16(w, start);
        end = utf16(w, end);
    }
    bth_str_printf(w->out, "\"start\": %zu, \"end\": %zu", start, end);
}

/* ---- spans -----------------------------------------------------------------------------------*/

static void put_member(struct bth_str *out, const char *key, const char *text) {
    bth_str_printf(out, ", \"%s\": ", key);
    bth_py_json_string(out, text, strlen(text));
}

static void put_spans(struct writer *w, const char *key, const struct berth_span *s, size_t n) {
    bool labels = strcmp(key, "ents") == 0;
    bth_str_printf(w->out, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        static const struct berth_token empty;
        bool any = s[i].end > s[i].begin;
        bth_str_puts(w->out, i ? ", {" : "{");
        put_offsets(w, any ? &w->doc->tokens[s[i].begin] : &empty,
                    any ? &w->doc->tokens[s[i].end - 1] : &empty);
        if (labels) {
            put_member(w->out, "label", s[i].label);
        }
        bth_str_putc(w->out, '}');
    }
    bth_str_putc(w->out, ']');
}

/* ---- tokens ----------------------------------------------------------------------------------*/

static void put_attribute(struct bth_str *out, const struct berth_token *t,
                          const struct attribute *a) {
    static const char *const iobs[] = {"", "I", "O", "B"};
    switch (a->kind) {
    case LIST:
        break;
    case STRING:
        put_member(out, a->name, *(const char *const *)(const void *)((const char *)t + a->where));
        break;
    case SPACE:
        put_member(out, a->name, t->space ? " " : "");
        break;
    case HEAD:
        bth_str_printf(out, ", \"head\": %d", (int)t->head);
        break;
    case IOB:
        put_member(out, a->name, iobs[t->ent_iob & 3]);
        break;
    case SENT_START:
        bth_str_printf(out, ", \"%s\": %s", a->name,
                       t->sent_start == 0  ? "null"
                       : t->sent_start > 0 ? "true"
                                           : "false");
        break;
    case FLAG:
        bth_str_printf(out, ", \"%s\": %s", a->name, t->flags >> a->where & 1 ? "true" : "false");
        break;
    }
}

static void put_tokens(struct writer *w, uint64_t set) {
    bth_str_puts(w->out, ", \"tokens\": [");
    for (size_t i = 0; i < w->doc->n_tokens; i++) {
        const struct berth_token *t = &w->doc->tokens[i];
        bth_str_printf(w->out, "%s{\"id\": %zu, ", i ? ", " : "", i);
        put_offsets(w, t, t);
        for (size_t a = N_LISTS; a < N_ATTRIBUTES; a++) {
            if (set & BIT(a)) {
                put_attribute(w->out, t, &attributes[a]);
            }
        }
        bth_str_putc(w->out, '}');
    }
    bth_str_putc(w->out, ']');
}

void bth_doc_json_write(struct bth_str *out, const struct berth_doc *doc,
                        const struct bth_doc_json *how) {
    struct writer w = {.out = out, .doc = doc, .offsets = how->offsets};
    uint64_t set = how->attributes ? how->attributes : annotated(doc);
    bth_str_puts(out, "{\"text\": ");
    bth_py_json_string(out, doc->text, strlen(doc->text));
    if (set & BIT(ENTS)) {
        put_spans(&w, "ents", doc->ents, doc->n_ents);
    }
    if (set & BIT(SENTS)) {
        put_spans(&w, "sents", doc->sents, doc->n_sents);
    }
    if (set & BIT(NOUN_CHUNKS)) {
        put_spans(&w, "noun_chunks", doc->noun_chunks, doc->n_noun_chunks);
    }
    if (!how->attributes || set >> N_LISTS) {
        put_tokens(&w, set);
    }
    bth_str_putc(out, '}');
}

#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_lemma.h"
#include "spacy/spacy_unicode.h"
#include <stdlib.h>
#include <string.h>

struct spacy_word_entry {
    uint64_t head; /* of the word, so that most comparisons need no look at it */
    struct spacy_text word;
    const msgpack_object *value;
};

bool spacy_text_is(struct spacy_text a, struct spacy_text b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

bool spacy_text_ends(struct spacy_text s, struct spacy_text end) {
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

bool spacy_text_begins(struct spacy_text s, struct spacy_text begin) {
    return s.n >= begin.n && memcmp(s.p, begin.p, begin.n) == 0;
}

/* str.isalpha() */
static bool is_alpha(struct spacy_text s) {
    for (size_t at = 0; at < s.n;) {
        uint32_t c;
        at += bth_utf8_decode(s.p + at, s.n - at, &c);
        if (!(spacy_char_kind(c) & SPACY_CHAR_ALPHA)) {
            return false;
        }
    }
    return s.n > 0;
}

/* ---- maps of words --------------------------------------------------------------------------*/

static int compare(struct spacy_text a, struct spacy_text b) {
    int c = memcmp(a.p, b.p, BTH_MIN(a.n, b.n));
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* Its first eight bytes as a number that sorts as they do. */
static uint64_t head_of(struct spacy_text word) {
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) {
        head = head << 8 | (i < word.n ? (unsigned char)word.p[i] : 0);
    }
    return head;
}

static int by_word(const void *a, const void *b) {
    const struct spacy_word_entry *x = a, *y = b;
    return x->head != y->head ? (x->head < y->head ? -1 : 1) : compare(x->word, y->word);
}

static int read_text(const msgpack_object *o, struct spacy_text *out, struct berth_error *err) {
    out->p = bth_packed_text(o, &out->n);
    return out->p ? 0 : bth_error(err, BERTH_EFORMAT, "a word of a lemmatizer is no text");
}

int spacy_word_map_init(struct spacy_word_map *m, const msgpack_object *o,
                        struct berth_error *err) {
    if (!o || o->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    bool map = o->type == MSGPACK_OBJECT_MAP;
    if (!map && o->type != MSGPACK_OBJECT_ARRAY) {
        return bth_error(err, BERTH_EFORMAT, "words of a lemmatizer are neither list nor map");
    }
    size_t n = map ? o->via.map.size : o->via.array.size;
    m->entries = bth_calloc(BTH_MAX(n, 1), sizeof(*m->entries));
    if (!m->entries) {
        return bth_error_nomem(err);
    }
    bool sorted = true;
    for (; m->n < n; m->n++) {
        struct spacy_word_entry *e = &m->entries[m->n];
        const msgpack_object *key = map ? &o->via.map.ptr[m->n].key : &o->via.array.ptr[m->n];
        int rc = read_text(key, &e->word, err);
        if (rc < 0) {
            return rc;
        }
        e->head = head_of(e->word);
        e->value = map ? &o->via.map.ptr[m->n].val : key;
        sorted = sorted && (m->n == 0 || by_word(e - 1, e) <= 0);
    }
    if (!sorted) {
        qsort(m->entries, n, sizeof(*m->entries), by_word);
    }
    return 0;
}

void spacy_word_map_finish(struct spacy_word_map *m) {
    bth_free(m->entries);
    *m = (struct spacy_word_map){0};
}

const msgpack_object *spacy_word_map_get(const struct spacy_word_map *m, struct spacy_text word) {
    const struct spacy_word_entry key = {.head = head_of(word), .word = word};
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = by_word(&m->entries[middle], &key);
        if (c == 0) {
            return m->entries[middle].value;
        }
        if (c < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- rules ----------------------------------------------------------------------------------*/

int spacy_lemma_rules_init(struct spacy_lemma_rules *r, const msgpack_object *o,
                           struct berth_error *err) {
    if (!o || o->type == MSGPACK_OBJECT_NIL) {
        return 0;
    }
    if (o->type != MSGPACK_OBJECT_ARRAY) {
        return bth_error(err, BERTH_EFORMAT, "rules of a lemmatizer are no list");
    }
    const msgpack_object_array *list = &o->via.array;
    if (list->size > SPACY_LEMMA_MAX_RULES) {
        return bth_error(err, BERTH_ETOOLARGE, "%u rules of a lemmatizer in one list",
                         (unsigned)list->size);
    }
    r->items = bth_calloc(BTH_MAX(list->size, 1), sizeof(*r->items));
    if (!r->items) {
        return bth_error_nomem(err);
    }
    for (; r->n < list->size; r->n++) {
        const msgpack_object *pair = &list->ptr[r->n];
        if (pair->type != MSGPACK_OBJECT_ARRAY || pair->via.array.size != 2) {
            return bth_error(err, BERTH_EFORMAT, "a rule of a lemmatizer is no pair");
        }
        int rc = read_text(&pair->via.array.ptr[0], &r->items[r->n].old, err);
        if (rc == 0) {
            rc = read_text(&pair->via.array.ptr[1], &r->items[r->n].new, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void spacy_lemma_rules_finish(struct spacy_lemma_rules *r) {
    bth_free(r->items);
    *r = (struct spacy_lemma_rules){0};
}

const struct spacy_lemma_pos *spacy_lemma_of(const struct spacy_lemma_tables *t, unsigned pos) {
    return &t->pos[pos - SPACY_FIRST_POS];
}

void spacy_lemma_apply(const struct spacy_lemma_pos *pos, struct spacy_text word,
                       struct spacy_forms *forms, struct spacy_forms *unknown) {
    for (size_t i = 0; i < pos->rules.n; i++) {
        const struct spacy_lemma_rule *rule = &pos->rules.items[i];
        if (!spacy_text_ends(word, rule->old) || word.n - rule->old.n + rule->new.n == 0) {
            continue;
        }
        /* made in the first list, and moved if it does not belong there */
        size_t before = forms->n;
        spacy_forms_add(forms, (struct spacy_text){word.p, word.n - rule->old.n}, rule->new);
        if (forms->failed || forms->n == before) {
            continue;
        }
        struct spacy_text form = spacy_forms_at(forms, before);
        if (!spacy_word_map_get(&pos->index, form) && is_alpha(form)) {
            if (unknown) {
                spacy_forms_add(unknown, form, SPACY_TEXT(""));
            }
            forms->n = before;
        }
    }
}

/* ---- forms ----------------------------------------------------------------------------------*/

void spacy_forms_add(struct spacy_forms *f, struct spacy_text a, struct spacy_text b) {
    size_t at = f->text.size;
    bth_str_append(&f->text, a.p, a.n);
    bth_str_append(&f->text, b.p, b.n);
    if (f->n == f->room && !f->text.failed) {
        size_t room = BTH_MAX(8, 2 * f->room);
        struct spacy_form *items = bth_realloc_array(f->items, room, sizeof(*items));
        f->failed = f->failed || !items;
        f->items = items ? items : f->items;
        f->room = items ? room : f->room;
    }
    f->failed = f->failed || f->text.failed;
    if (!f->failed && !spacy_forms_has(f, (struct spacy_text){f->text.data + at, a.n + b.n})) {
        f->items[f->n++] = (struct spacy_form){at, a.n + b.n};
    }
}

struct spacy_text spacy_forms_at(const struct spacy_forms *f, size_t i) {
    return (struct spacy_text){bth_str_text(&f->text) + f->items[i].at, f->items[i].n};
}

bool spacy_forms_has(const struct spacy_forms *f, struct spacy_text s) {
    for (size_t i = 0; i < f->n; i++) {
        if (spacy_text_is(spacy_forms_at(f, i), s)) {
            return true;
        }
    }
    return false;
}

void spacy_forms_clear(struct spacy_forms *f) {
    bth_str_clear(&f->text);
    f->n = 0;
}

void spacy_forms_finish(struct spacy_forms *f) {
    bth_str_finish(&f->text);
    bth_free(f->items);
    *f = (struct spacy_forms){0};
}

/* ---- values ---------------------------------------------------------------------------------*/

bool spacy_lemma_first(const msgpack_object *o, struct spacy_text *out) {
    if (o && o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size > 0) {
        o = &o->via.array.ptr[0];
    }
    out->p = o ? bth_packed_text(o, &out->n) : NULL;
    return out->p != NULL;
}

bool spacy_lemma_exception(const msgpack_object *o, size_t i, struct spacy_text *out) {
    if (o && o->type == MSGPACK_OBJECT_ARRAY) {
        out->p = i < o->via.array.size ? bth_packed_text(&o->via.array.ptr[i], &out->n) : NULL;
        return out->p != NULL;
    }
    size_t n, at = 0;
    const char *text = o ? bth_packed_text(o, &n) : NULL;
    while (text && at < n) {
        uint32_t c;
        *out = (struct spacy_text){text + at, bth_utf8_decode(text + at, n - at, &c)};
        if (i-- == 0) {
            return true;
        }
        at += out->n;
    }
    return false;
}

struct spacy_text spacy_lemma_lookup(const struct spacy_table *t, struct spacy_text word,
                                     struct spacy_text otherwise) {
    struct spacy_text found;
    return spacy_lemma_first(spacy_table_get(t, spacy_string_id(word.p, word.n)), &found)
               ? found
               : otherwise;
}

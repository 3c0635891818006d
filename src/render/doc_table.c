#include "base/compiler.h"
#include "render/doc_has.h"
#include "render/doc_text.h"
#include <stdio.h>
#include <string.h>

enum column { INDEX, TEXT, LEMMA, POS, TAG, MORPH, DEP, HEAD, ENT, N_COLUMNS };
static const char *const titles[N_COLUMNS] = {"I",     "TEXT", "LEMMA", "POS",   "TAG",
                                              "MORPH", "DEP",  "HEAD",  "ENTITY"};

/* What a cell says; `number` holds what is no string of the token's. */
static const char *cell(const struct berth_doc *d, size_t i, enum column c, char number[64]) {
    const struct berth_token *t = &d->tokens[i];
    switch (c) {
    case INDEX:
        snprintf(number, 64, "%zu", i);
        return number;
    case HEAD:
        snprintf(number, 64, "%d", (int)t->head);
        return number;
    case ENT:
        if (t->ent_iob != 1 && t->ent_iob != 3) {
            return "";
        }
        snprintf(number, 64, "%s-%.60s", t->ent_iob == 1 ? "I" : "B", t->ent_type);
        return number;
    case TEXT:
        return t->text;
    case LEMMA:
        return t->lemma;
    case POS:
        return t->pos;
    case TAG:
        return t->tag;
    case MORPH:
        return t->morph;
    case DEP:
        return t->dep;
    case N_COLUMNS:
        break;
    }
    return "";
}

/* Appends a cell with its line ends made visible; returns its code points. */
static size_t put_cell(struct bth_str *out, const char *text) {
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        const char *known = strchr("\n\r\t", *p);
        if (known) {
            bth_str_puts(out, *p == '\n' ? "\\n" : *p == '\r' ? "\\r" : "\\t");
            n += 2;
        } else {
            bth_str_putc(out, *p);
            n += !bth_utf8_goes_on(*p);
        }
    }
    return n;
}

static void put_padding(struct bth_str *out, size_t n) {
    while (n-- > 0) {
        bth_str_putc(out, ' ');
    }
}

struct table {
    const struct berth_doc *doc;
    bool shown[N_COLUMNS];
    size_t width[N_COLUMNS];
    enum column last;
};

static void measure(struct table *t) {
    const struct berth_doc *d = t->doc;
    const bool has[N_COLUMNS] = {
        [INDEX] = true,
        [TEXT] = true,
        [LEMMA] = bth_doc_has(d, BTH_HAS_LEMMA),
        [POS] = bth_doc_has(d, BTH_HAS_POS),
        [TAG] = bth_doc_has(d, BTH_HAS_TAG),
        [MORPH] = bth_doc_has(d, BTH_HAS_MORPH),
        [DEP] = bth_doc_has(d, BTH_HAS_DEP),
        [HEAD] = bth_doc_has(d, BTH_HAS_DEP),
        [ENT] = bth_doc_has(d, BTH_HAS_ENTS),
    };
    struct bth_str text = {0};
    char number[64];
    for (int c = 0; c < N_COLUMNS; c++) {
        t->shown[c] = has[c];
        t->width[c] = strlen(titles[c]);
        t->last = has[c] ? (enum column)c : t->last;
        for (size_t i = 0; has[c] && i < d->n_tokens; i++) {
            bth_str_clear(&text);
            size_t n = put_cell(&text, cell(d, i, (enum column)c, number));
            t->width[c] = BTH_MAX(t->width[c], n);
        }
    }
    bth_str_finish(&text);
}

/* Row i; the titles for n_tokens. */
static void put_row(struct bth_str *out, const struct table *t, size_t i) {
    char number[64];
    for (int c = 0; c < N_COLUMNS; c++) {
        if (!t->shown[c]) {
            continue;
        }
        bool title = i == t->doc->n_tokens;
        size_t n = put_cell(out, title ? titles[c] : cell(t->doc, i, (enum column)c, number));
        if (c != (int)t->last) {
            put_padding(out, t->width[c] - n + 2);
        }
    }
    while (out->size > 0 && out->data[out->size - 1] == ' ') {
        out->data[--out->size] = '\0';
    }
    bth_str_putc(out, '\n');
}

void bth_doc_table_write(struct bth_str *out, const struct berth_doc *doc) {
    struct table t = {.doc = doc};
    size_t sent = 0;
    measure(&t);
    put_row(out, &t, doc->n_tokens);
    for (size_t i = 0; i < doc->n_tokens; i++) {
        while (sent < doc->n_sents && doc->sents[sent].end <= i) {
            sent++;
        }
        if (i > 0 && sent < doc->n_sents && doc->sents[sent].begin == i) {
            bth_str_putc(out, '\n');
        }
        put_row(out, &t, i);
    }
}

#include "base/alloc.h"
#include "render/doc_has.h"
#include "render/doc_text.h"
#include <string.h>

enum { IS_SPACE = 6 };

static bool is_space(const struct berth_token *t) {
    return t->flags >> IS_SPACE & 1;
}

/* ---- the sentence being written --------------------------------------------------------------*/

struct writer {
    struct bth_str *out;
    const struct berth_doc *doc;
    size_t begin, end; /* tokens of the sentence */
    uint32_t *number;  /* [n_tokens] of each word in its sentence, from 1 */
    bool parsed;
};

enum { MOST_STEPS = 64 }; /* white space depends on words, or on what does */

/* The word that token i depends on; i itself for a root. */
static size_t head_word(const struct writer *w, size_t i) {
    size_t h = (size_t)w->doc->tokens[i].head;
    for (int steps = 0; steps < MOST_STEPS; steps++) {
        if (h < w->begin || h >= w->end) {
            return i; /* another sentence's */
        }
        if (!is_space(&w->doc->tokens[h])) {
            return h;
        }
        size_t next = (size_t)w->doc->tokens[h].head;
        if (next == h) {
            return i;
        }
        h = next;
    }
    return i;
}

/* ---- columns ---------------------------------------------------------------------------------*/

/* A field has no tab and no end of line. */
static void put_field(struct bth_str *out, const char *text) {
    if (!*text) {
        bth_str_putc(out, '_');
    }
    for (const char *p = text; *p; p++) {
        bth_str_putc(out, strchr("\t\n\r", *p) ? ' ' : *p);
    }
    bth_str_putc(out, '\t');
}

static void put_spaces(struct bth_str *out, const char *text, size_t n) {
    static const char plain[] = " \t\n\r|\\", letter[] = "stnrp\\";
    for (size_t i = 0; i < n; i++) {
        const char *known = text[i] ? strchr(plain, text[i]) : NULL;
        if (known) {
            bth_str_putc(out, '\\');
            bth_str_putc(out, letter[known - plain]);
        } else {
            bth_str_putc(out, text[i]);
        }
    }
}

static void put_misc(struct bth_str *out, const char **before, const char *key) {
    bth_str_printf(out, "%s%s", *before, key);
    *before = "|";
}

/* What is between a word and the next: nothing, one space, or more. */
static void put_gaps(struct writer *w, size_t i, const char **before) {
    const struct berth_doc *d = w->doc;
    const struct berth_token *t = &d->tokens[i];
    size_t first = i, after = i + 1;
    while (first > w->begin && is_space(&d->tokens[first - 1])) {
        first--;
    }
    while (after < w->end && is_space(&d->tokens[after])) {
        after++;
    }
    if (first == w->begin && first < i) {
        put_misc(w->out, before, "SpacesBefore=");
        put_spaces(w->out, d->text + d->tokens[first].begin, t->begin - d->tokens[first].begin);
    }
    if (after > i + 1) {
        const struct berth_token *last = &d->tokens[after - 1];
        put_misc(w->out, before, "SpacesAfter=");
        put_spaces(w->out, d->text + t->end, last->end + last->space - t->end);
    } else if (!t->space && i + 1 < d->n_tokens) {
        put_misc(w->out, before, "SpaceAfter=No");
    }
}

static void put_word(struct writer *w, size_t i) {
    const struct berth_token *t = &w->doc->tokens[i];
    struct bth_str *out = w->out;
    const char *before = "";
    bth_str_printf(out, "%u\t", (unsigned)w->number[i]);
    put_field(out, t->text);
    put_field(out, t->lemma);
    put_field(out, t->pos);
    put_field(out, t->tag);
    put_field(out, t->morph);
    size_t head = head_word(w, i);
    if (!w->parsed) {
        bth_str_puts(out, "_\t_\t");
    } else if (head == i) {
        bth_str_puts(out, "0\troot\t");
    } else {
        bth_str_printf(out, "%u\t", (unsigned)w->number[head]);
        put_field(out, t->dep);
    }
    bth_str_puts(out, "_\t");
    put_gaps(w, i, &before);
    if (t->ent_iob == 1 || t->ent_iob == 3) {
        put_misc(out, &before, t->ent_iob == 1 ? "NER=I-" : "NER=B-");
        bth_str_puts(out, t->ent_type);
    }
    bth_str_puts(out, *before ? "\n" : "_\n");
}

static void put_comment(struct bth_str *out, const char *key, const char *text, size_t n) {
    bth_str_printf(out, "# %s = ", key);
    for (size_t i = 0; i < n; i++) {
        bth_str_putc(out, text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]);
    }
    bth_str_putc(out, '\n');
}

static void put_sentence(struct writer *w, size_t id) {
    const struct berth_token *tokens = w->doc->tokens;
    size_t first = w->begin, last = w->end;
    while (first < last && is_space(&tokens[first])) {
        first++;
    }
    while (last > first && is_space(&tokens[last - 1])) {
        last--;
    }
    if (first == last) {
        return; /* a sentence has words */
    }
    bth_str_printf(w->out, "# sent_id = %zu\n", id);
    put_comment(w->out, "text", w->doc->text + tokens[first].begin,
                tokens[last - 1].end - tokens[first].begin);
    uint32_t words = 0;
    for (size_t i = first; i < last; i++) {
        words += !is_space(&tokens[i]);
        w->number[i] = words;
    }
    for (size_t i = first; i < last; i++) {
        if (!is_space(&tokens[i])) {
            put_word(w, i);
        }
    }
    bth_str_putc(w->out, '\n');
}

void bth_doc_conllu_write(struct bth_str *out, const struct berth_doc *doc, const char *name) {
    struct writer w = {.out = out,
                       .doc = doc,
                       .end = doc->n_tokens,
                       .number = bth_calloc(doc->n_tokens, sizeof(uint32_t)),
                       .parsed = bth_doc_has(doc, BTH_HAS_DEP)};
    if (!w.number) {
        out->failed = true;
        return;
    }
    if (name) {
        put_comment(out, "newdoc id", name, strlen(name));
    } else {
        bth_str_puts(out, "# newdoc\n");
    }
    for (size_t i = 0; i < doc->n_sents; i++) {
        w.begin = doc->sents[i].begin;
        w.end = doc->sents[i].end;
        put_sentence(&w, i + 1);
    }
    if (doc->n_sents == 0) {
        put_sentence(&w, 1);
    }
    bth_free(w.number);
}

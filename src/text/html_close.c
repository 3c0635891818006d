/* The translation of the whole plain text back into its HTML, paragraph by paragraph. */
#include "text/html_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>

/* ---- places ----------------------------------------------------------------------------------*/

/* The last run that begins at or before a byte of the plain text. */
static const struct bth_html_run *run_at(const struct bth_html *h, size_t plain) {
    size_t low = 0, high = h->n_runs;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (h->runs[middle].plain <= plain) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return h->n_runs ? &h->runs[low] : NULL;
}

/* The HTML byte of a plain byte; of its end. */
static size_t of_plain(const struct bth_html *h, size_t plain) {
    const struct bth_html_run *r = run_at(h, plain);
    if (!r) {
        return 0;
    }
    return r->html + (r->size ? 0 : plain - r->plain);
}

static size_t of_plain_end(const struct bth_html *h, size_t plain_end) {
    const struct bth_html_run *r = plain_end > 0 ? run_at(h, plain_end - 1) : NULL;
    if (!r) {
        return 0;
    }
    return r->html + (r->size ? r->size : plain_end - r->plain);
}

/* ---- both texts ------------------------------------------------------------------------------*/

static int check(const struct bth_html *h, const char *text, size_t n,
                 const struct bth_html_sentence *s, size_t n_sentences, struct berth_error *err) {
    const char *plain = bth_str_text(&h->plain);
    size_t source = 0, target = 0;
    for (size_t i = 0; i <= n_sentences; i++) {
        size_t begin = i < n_sentences ? s[i].source_begin : h->plain.size;
        size_t to = i < n_sentences ? s[i].target_begin : n;
        if (begin < source || to < target || begin > h->plain.size || to > n ||
            begin - source != to - target || memcmp(plain + source, text + target, to - target)) {
            return bth_error(err, BERTH_EINVAL,
                             "before sentence %zu the texts differ, or it is out of order", i);
        }
        if (i < n_sentences) {
            source = s[i].source_end;
            target = s[i].target_end;
            if (source < begin || target < to || source > h->plain.size || target > n ||
                memchr(plain + begin, '\n', source - begin)) {
                return bth_error(err, BERTH_EINVAL,
                                 "sentence %zu is not one: out of order, or of two paragraphs", i);
            }
        }
    }
    return 0;
}

struct closer {
    const struct bth_html *h;
    const char *text;
    size_t n;
    struct bth_html_sentence *sentences;
    size_t n_sentences;
    size_t *begins, *ends; /* [n_sentences]: bytes of out */
    size_t sentence;       /* the next */
    size_t source, target; /* here both texts are together, before the next sentence */
    struct bth_str *out;
    struct berth_error *err;
};

/* The byte of the translation for one between sentences. Goes forward only. */
static size_t target_of(struct closer *c, size_t source) {
    while (c->sentence < c->n_sentences && c->sentences[c->sentence].source_end <= source) {
        c->source = c->sentences[c->sentence].source_end;
        c->target = c->sentences[c->sentence].target_end;
        c->sentence++;
    }
    return c->target + (source - c->source);
}

static int close_paragraph(struct closer *c, const struct bth_html_paragraph *p) {
    size_t target = target_of(c, p->plain);
    size_t first = c->sentence, last = first;
    while (last < c->n_sentences && c->sentences[last].source_begin < p->plain_end) {
        last++;
    }
    size_t target_end = target_of(c, p->plain_end);
    const char *plain = bth_str_text(&c->h->plain) + p->plain;
    size_t n = target_end - target;
    if (n == p->plain_end - p->plain && memcmp(plain, c->text + target, n) == 0) {
        for (size_t i = first; i < last; i++) {
            const struct bth_html_sentence *s = &c->sentences[i];
            size_t shift = c->out->size - p->begin;
            c->begins[i] = of_plain(c->h, s->source_begin) + shift;
            c->ends[i] = of_plain_end(c->h, s->source_end) + shift;
        }
        bth_str_append(c->out, c->h->html + p->begin, p->end - p->begin);
        return 0;
    }
    struct bth_html_woven w = {.h = c->h,
                               .paragraph = p,
                               .text = c->text,
                               .target = target,
                               .target_end = target_end,
                               .sentences = c->sentences + first,
                               .n = last - first,
                               .begins = c->begins + first,
                               .ends = c->ends + first};
    return bth_html_weave(&w, c->out, c->err);
}

static int close_all(struct closer *c) {
    const struct bth_html *h = c->h;
    size_t at = 0;
    int rc = 0;
    for (size_t i = 0; i < h->n_paragraphs && rc == 0; i++) {
        const struct bth_html_paragraph *p = &h->paragraphs[i];
        bth_str_append(c->out, h->html + at, p->begin - at);
        rc = close_paragraph(c, p);
        at = p->end;
    }
    bth_str_append(c->out, h->html + at, h->n - at);
    return rc < 0 ? rc : c->out->failed ? bth_error_nomem(c->err) : 0;
}

int bth_html_close_up(const struct bth_html *h, const char *text, size_t n,
                      struct bth_html_sentence *sentences, size_t n_sentences, struct bth_str *out,
                      struct berth_error *err) {
    int rc = check(h, text, n, sentences, n_sentences, err);
    if (rc < 0) {
        return rc;
    }
    size_t *places = bth_alloc(2 * n_sentences * sizeof(*places));
    if (!places) {
        return bth_error_nomem(err);
    }
    struct closer c = {.h = h,
                       .text = text,
                       .n = n,
                       .sentences = sentences,
                       .n_sentences = n_sentences,
                       .begins = places,
                       .ends = places + n_sentences,
                       .out = out,
                       .err = err};
    rc = close_all(&c);
    for (size_t i = 0; i < n_sentences && rc == 0; i++) {
        struct bth_html_sentence *s = &sentences[i];
        s->source_begin = of_plain(h, s->source_begin);
        s->source_end = of_plain_end(h, s->source_end);
        s->target_begin = c.begins[i];
        s->target_end = c.ends[i];
    }
    bth_free(places);
    return rc;
}

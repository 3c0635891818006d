#include "text/html_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>

/* Elements that are not translated become points. One that is never closed ends where the next
 * paragraph begins. */
static void fold_skipped(struct bth_html *h) {
    struct bth_html_token *all = h->tokens.all;
    size_t n = 0, i = 0;
    while (i < h->tokens.n) {
        struct bth_html_token t = all[i];
        size_t next = i + 1;
        if (t.kind == BTH_HTML_OPEN && t.skip) {
            bool paired = t.partner != UINT32_MAX;
            while (paired ? next <= t.partner : next < h->tokens.n && !all[next].hard) {
                if (!paired && all[next].partner != UINT32_MAX) {
                    all[all[next].partner].partner = UINT32_MAX; /* it may be outside */
                }
                next++;
            }
            t.kind = BTH_HTML_POINT;
            t.hard |= !paired;
            t.end = all[next - 1].end;
            t.partner = UINT32_MAX;
        } else if (t.kind == BTH_HTML_OPEN && t.partner != UINT32_MAX) {
            all[t.partner].partner = (uint32_t)n; /* its place from now on */
        } else if (t.kind == BTH_HTML_CLOSE && t.partner != UINT32_MAX) {
            all[t.partner].partner = (uint32_t)n;
        }
        all[n++] = t;
        i = next;
    }
    h->tokens.n = n;
}

/* Tags without a partner and elements that are nested too deep end a paragraph. */
static void find_hard(struct bth_html *h) {
    struct bth_html_token *all = h->tokens.all;
    size_t depth = 0;
    for (size_t i = 0; i < h->tokens.n; i++) {
        struct bth_html_token *t = &all[i];
        bool tag = t->kind == BTH_HTML_OPEN || t->kind == BTH_HTML_CLOSE;
        if (tag && t->partner == UINT32_MAX) {
            t->hard = true;
        } else if (t->kind == BTH_HTML_OPEN && !t->hard) {
            all[t->partner].counted = true;
            if (++depth > BTH_HTML_DEPTH) {
                t->hard = all[t->partner].hard = true;
            }
        } else if (t->counted) {
            depth--;
        }
    }
}

/* So does an element around such an end. */
static void spread_hard(struct bth_html *h) {
    struct bth_html_token *all = h->tokens.all;
    uint32_t n_hard = 0;
    for (size_t i = 0; i < h->tokens.n; i++) {
        struct bth_html_token *t = &all[i];
        t->before = n_hard;
        if (t->hard) {
            n_hard++;
        } else if (t->kind == BTH_HTML_CLOSE && all[t->partner].before < n_hard) {
            t->hard = all[t->partner].hard = true;
        }
    }
}

/* ---- the plain text --------------------------------------------------------------------------*/

struct writer {
    struct bth_html *h;
    size_t first_mark; /* of the paragraph */
    size_t fresh_mark; /* from here on no text has come behind them */
    size_t plain;      /* where the paragraph's text begins */
    size_t begin, end; /* of the HTML that it comes from; begin SIZE_MAX: nothing yet */
    bool space;        /* white space has come since the last character */
    bool separate;     /* another paragraph comes before */
    bool new_run;      /* the next character does not follow the last in the HTML */
    struct berth_error *err;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

/* Room for one more of an array. */
static int grow(void *array, size_t n, size_t *capacity, size_t size, struct berth_error *err) {
    void **p = array;
    if (n < *capacity) {
        return 0;
    }
    size_t more = *capacity ? *capacity * 2 : 16;
    void *q = bth_realloc_array(*p, more, size);
    if (!q) {
        return bth_error_nomem(err);
    }
    *p = q;
    *capacity = more;
    return 0;
}

static int add_mark(struct writer *w, size_t token) {
    struct bth_html *h = w->h;
    const struct bth_html_token *t = &h->tokens.all[token];
    int rc = grow(&h->marks, h->n_marks, &h->marks_capacity, sizeof(*h->marks), w->err);
    if (rc < 0) {
        return rc;
    }
    h->marks[h->n_marks++] = (struct bth_html_mark){
        .token = (uint32_t)token, .at = (uint32_t)h->plain.size, .space_before = w->space};
    w->begin = w->begin == SIZE_MAX ? t->begin : w->begin;
    w->end = t->end;
    w->new_run = true;
    return 0;
}

static int add_run(struct writer *w, size_t html, size_t size) {
    struct bth_html *h = w->h;
    int rc = grow(&h->runs, h->n_runs, &h->runs_capacity, sizeof(*h->runs), w->err);
    if (rc == 0) {
        h->runs[h->n_runs++] =
            (struct bth_html_run){(uint32_t)h->plain.size, (uint32_t)html, (uint32_t)size};
    }
    return rc;
}

static void add_name(struct bth_html *h, uint32_t code, size_t html, size_t size) {
    size_t i = 0;
    while (i < h->n_names && h->names[i].code != code) {
        i++;
    }
    if (i == h->n_names && i < BTH_HTML_NAMES) {
        h->names[h->n_names++] =
            (struct bth_html_name){.code = code, .html = (uint32_t)html, .size = (uint32_t)size};
        h->name_bits |= UINT64_C(1) << code % 64;
    }
    if (i < h->n_names) {
        h->names[i].count++;
    }
}

/* What is due before a character at html[at]. */
static int before_character(struct writer *w, size_t at) {
    struct bth_html *h = w->h;
    int rc = 0;
    bool first = h->plain.size == w->plain;
    if (first && w->separate && w->plain > 0) {
        rc = add_run(w, at, 0);
        bth_str_putc(&h->plain, '\n');
        w->plain = h->plain.size;
        for (size_t i = w->first_mark; i < h->n_marks; i++) {
            h->marks[i].at = (uint32_t)w->plain;
        }
        w->new_run = true;
    } else if (!first && w->space) {
        rc = add_run(w, at - 1, 1); /* only what is behind it matters */
        bth_str_putc(&h->plain, ' ');
        w->new_run = true;
    }
    w->space = false;
    w->fresh_mark = h->n_marks;
    w->begin = w->begin == SIZE_MAX ? at : w->begin;
    return rc;
}

/* A stretch without white space and references. */
static int add_stretch(struct writer *w, size_t from, size_t to) {
    int rc = before_character(w, from);
    if (rc == 0 && w->new_run) {
        rc = add_run(w, from, 0);
        w->new_run = false;
    }
    bth_str_append(&w->h->plain, w->h->html + from, to - from);
    w->end = to;
    return rc;
}

static int add_reference(struct writer *w, uint32_t code, size_t from, size_t size) {
    char bytes[4];
    int rc = before_character(w, from);
    rc = rc < 0 ? rc : add_run(w, from, size);
    bth_str_append(&w->h->plain, bytes, bth_utf8_encode(code, bytes));
    add_name(w->h, code, from, size);
    w->new_run = true;
    w->end = from + size;
    return rc;
}

static int add_text(struct writer *w, const struct bth_html_token *t) {
    struct bth_html *h = w->h;
    const char *p = h->html;
    int rc = 0;
    for (size_t i = t->begin, next; i < t->end && rc == 0; i = next) {
        size_t size = 0;
        next = i + 1;
        if (is_blank(p[i])) {
            for (; w->fresh_mark < h->n_marks; w->fresh_mark++) {
                h->marks[w->fresh_mark].space_after = true;
            }
            w->space = true;
            continue;
        }
        uint32_t code = p[i] == '&' ? bth_html_character(p + i, t->end - i, &size) : 0;
        if (code > 0) {
            rc = add_reference(w, code, i, size);
            next = i + size;
            continue;
        }
        while (next < t->end && !is_blank(p[next]) && p[next] != '&') {
            next++;
        }
        rc = add_stretch(w, i, next);
    }
    return rc;
}

/* Tokens [first, last) are a paragraph, or nothing but white space and tags. */
static int add_paragraph(struct bth_html *h, size_t first, size_t last, struct berth_error *err) {
    struct writer w = {.h = h,
                       .first_mark = h->n_marks,
                       .fresh_mark = h->n_marks,
                       .plain = h->plain.size,
                       .begin = SIZE_MAX,
                       .separate = h->n_paragraphs > 0,
                       .new_run = true,
                       .err = err};
    int rc = 0;
    for (size_t i = first; i < last && rc == 0; i++) {
        const struct bth_html_token *t = &h->tokens.all[i];
        rc = t->kind == BTH_HTML_TEXT ? add_text(&w, t) : add_mark(&w, i);
    }
    if (rc == 0 && h->plain.failed) {
        rc = bth_error_nomem(err);
    }
    if (rc < 0) {
        return rc;
    }
    if (h->plain.size == w.plain) {
        h->n_marks = w.first_mark;
        return 0;
    }
    rc =
        grow(&h->paragraphs, h->n_paragraphs, &h->paragraphs_capacity, sizeof(*h->paragraphs), err);
    if (rc == 0) {
        h->paragraphs[h->n_paragraphs++] =
            (struct bth_html_paragraph){.begin = (uint32_t)w.begin,
                                        .end = (uint32_t)w.end,
                                        .plain = (uint32_t)w.plain,
                                        .plain_end = (uint32_t)h->plain.size,
                                        .mark = (uint32_t)w.first_mark,
                                        .n_marks = (uint32_t)(h->n_marks - w.first_mark)};
    }
    return rc;
}

/* Those in the next `bytes`; h->token is beyond the last token behind the last. */
static int add_paragraphs(struct bth_html *h, size_t bytes, struct berth_error *err) {
    const struct bth_html_token *all = h->tokens.all;
    const size_t n = h->tokens.n, from = h->token < n ? all[h->token].begin : h->n;
    int rc = 0;
    for (size_t i = h->token; i <= n && rc == 0; i++) {
        if (i == n || all[i].hard) {
            rc = add_paragraph(h, h->token, i, err);
            h->token = i + 1;
            if (i < n && all[i].end - from >= bytes) {
                break;
            }
        }
    }
    return rc;
}

/* ---- names of characters ---------------------------------------------------------------------*/

/* Only characters that are always written by name are so in the result. */
static void choose_names(struct bth_html *h) {
    size_t total[BTH_HTML_NAMES] = {0}, n_and = 0, n_greater = 0;
    const char *p = bth_str_text(&h->plain);
    uint32_t code;
    for (size_t i = 0; i < h->plain.size; i += bth_utf8_decode(p + i, h->plain.size - i, &code)) {
        bth_utf8_decode(p + i, h->plain.size - i, &code);
        n_and += code == '&';
        n_greater += code == '>';
        for (size_t k = 0; (h->name_bits >> code % 64 & 1) && k < h->n_names; k++) {
            total[k] += h->names[k].code == code;
        }
    }
    size_t n = 0, named_and = 0, named_greater = 0;
    for (size_t k = 0; k < h->n_names; k++) {
        struct bth_html_name name = h->names[k];
        named_and += name.code == '&' ? name.count : 0;
        named_greater += name.code == '>' ? name.count : 0;
        if (total[k] == name.count || name.code == '&' || name.code == '<') {
            h->names[n++] = name;
        }
    }
    h->n_names = n;
    h->raw_and = n_and > named_and;
    h->raw_greater = n_greater > named_greater;
}

/* The end of p[0, n) up to which nothing is to be escaped. */
static size_t plain_stretch(const struct bth_html *h, const char *p, size_t n) {
    size_t i = 0, size;
    for (uint32_t code; i < n; i += size) {
        size = bth_utf8_decode(p + i, n - i, &code);
        if (code == '<' || code == '&' || code == '>' || (h->name_bits >> code % 64 & 1)) {
            break;
        }
    }
    return i;
}

static void escape_one(const struct bth_html *h, uint32_t code, const char *p, size_t size,
                       bool apart, struct bth_str *out) {
    bool raw = (code == '&' && h->raw_and && apart) || (code == '>' && h->raw_greater);
    for (size_t k = 0; k < h->n_names && !raw; k++) {
        if (h->names[k].code == code) {
            bth_str_append(out, h->html + h->names[k].html, h->names[k].size);
            return;
        }
    }
    if (code == '<' || (!raw && (code == '&' || code == '>'))) {
        bth_str_puts(out, code == '<' ? "&lt;" : code == '&' ? "&amp;" : "&gt;");
    } else {
        bth_str_append(out, p, size);
    }
}

void bth_html_escape(const struct bth_html *h, const char *text, size_t n, size_t more,
                     struct bth_str *out) {
    for (size_t i = 0; i < n;) {
        size_t size = plain_stretch(h, text + i, n - i);
        bth_str_append(out, text + i, size);
        i += size;
        if (i < n) {
            uint32_t code;
            size = bth_utf8_decode(text + i, n - i, &code);
            char next = i + size < n + more ? text[i + size] : '<';
            bool apart = !(((next | 32) >= 'a' && (next | 32) <= 'z') || next == '#');
            escape_one(h, code, text + i, size, apart, out);
            i += size;
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------*/

int bth_html_begin(const char *html, size_t n, struct bth_html **out, struct berth_error *err) {
    if (n > INT32_MAX) {
        return bth_error(err, BERTH_ETOOLARGE, "HTML of 2 GiB or more: send it in parts");
    }
    struct bth_html *h = bth_calloc(1, sizeof(*h));
    if (!h) {
        return bth_error_nomem(err);
    }
    h->html = html;
    h->n = n;
    bth_html_scan_begin(&h->scanner, html, n);
    *out = h;
    return 0;
}

static int scan(struct bth_html *h, size_t bytes, struct berth_error *err) {
    int rc = bth_html_scan(&h->scanner, bytes, err);
    if (rc == 0 && h->scanner.at >= h->n) {
        h->tokens = h->scanner.out;
        h->scanner.out = (struct bth_html_tokens){0};
        h->phase = BTH_HTML_PAIR;
    }
    return rc;
}

int bth_html_read(struct bth_html *h, size_t bytes, bool *out_done, struct berth_error *err) {
    int rc = 0;
    switch (h->phase) {
    case BTH_HTML_SCAN:
        rc = scan(h, bytes, err);
        break;
    case BTH_HTML_PAIR:
        rc = bth_html_pair(h, err);
        h->phase = BTH_HTML_FOLD;
        break;
    case BTH_HTML_FOLD:
        fold_skipped(h);
        find_hard(h);
        spread_hard(h);
        h->phase = BTH_HTML_READ;
        break;
    case BTH_HTML_READ:
        rc = add_paragraphs(h, bytes, err);
        h->phase = h->token > h->tokens.n ? BTH_HTML_CHOOSE : BTH_HTML_READ;
        break;
    case BTH_HTML_CHOOSE:
        choose_names(h);
        h->phase = BTH_HTML_OPENED;
        break;
    case BTH_HTML_OPENED:
        break;
    }
    *out_done = rc == 0 && h->phase == BTH_HTML_OPENED;
    return rc;
}

int bth_html_open(const char *html, size_t n, struct bth_html **out, struct berth_error *err) {
    struct bth_html *h = NULL;
    bool done = false;
    int rc = bth_html_begin(html, n, &h, err);
    if (rc < 0) {
        return rc;
    }
    while (rc == 0 && !done) {
        rc = bth_html_read(h, n, &done, err);
    }
    if (rc < 0) {
        bth_html_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

const char *bth_html_plain(const struct bth_html *h, size_t *out_n) {
    *out_n = h->plain.size;
    return bth_str_text(&h->plain);
}

void bth_html_free(struct bth_html *h) {
    if (h) {
        bth_free(h->scanner.out.all);
        bth_free(h->tokens.all);
        bth_str_finish(&h->plain);
        bth_free(h->paragraphs);
        bth_free(h->marks);
        bth_free(h->runs);
        bth_free(h);
    }
}

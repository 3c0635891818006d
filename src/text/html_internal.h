/*
 * Shared by the files of html_text.h.
 *
 * scan     bytes -> tokens (html_scan.c)
 * pair     tokens -> which belong together (html_pair.c)
 * read     tokens -> where paragraphs end, the plain text (html_text.c)
 * weave    a translated paragraph -> its HTML (html_weave.c)
 */
#ifndef BTH_HTML_INTERNAL_H
#define BTH_HTML_INTERNAL_H

#include "base/arena.h"
#include "text/html_text.h"
#include <stdbool.h>
#include <stdint.h>

/* Elements within a paragraph that are nested deeper end it: the work grows with the depth. */
enum { BTH_HTML_DEPTH = 32 };

enum bth_html_kind {
    BTH_HTML_TEXT,
    BTH_HTML_OPEN,
    BTH_HTML_CLOSE,
    BTH_HTML_POINT /* stands for itself: a comment, <img>, an element that is not translated */
};

struct bth_html_token {
    uint8_t kind;
    bool hard; /* ends a paragraph, and is copied */
    bool skip; /* OPEN: what is inside is not translated */
    uint32_t begin, end;
    uint32_t name, name_size; /* of a tag */
    uint32_t partner;         /* of a tag that has one, else UINT32_MAX */
    uint32_t before;          /* OPEN: hard tokens before it, once they are counted */
    bool counted;             /* CLOSE: of a pair within a paragraph, as far as its name says */
};

struct bth_html_tokens {
    struct bth_html_token *all; /* [n] */
    size_t n, capacity;
};

struct bth_html_scanner {
    const char *html;
    size_t n, at;
    size_t last; /* behind the last '>': no tag begins later */
    size_t text; /* where the text that has no token yet begins */
    struct bth_html_tokens out;
    struct berth_error *err;
};

void bth_html_scan_begin(struct bth_html_scanner *s, const char *html, size_t n);
/* The next `bytes`, and the rest of a tag that begins in them; s->at == n: every byte is in one
 * token. ENOMEM. */
int bth_html_scan(struct bth_html_scanner *s, size_t bytes, struct berth_error *err);

/* The character that p[0, n), which begins with '&', names; *out_size bytes with the ';'. 0: it is
 * no reference, and text. UINT32_MAX: one that has no place in a text. */
uint32_t bth_html_character(const char *p, size_t n, size_t *out_size);

/* A tag within a paragraph. */
struct bth_html_mark {
    uint32_t token;
    uint32_t at; /* byte of the plain text */
    bool space_before, space_after;
};

/* A paragraph: [begin, end) of the HTML, [plain, plain_end) of the plain text, its marks. */
struct bth_html_paragraph {
    uint32_t begin, end;
    uint32_t plain, plain_end;
    uint32_t mark, n_marks;
};

/* Plain text from `plain` on is HTML from `html` on; as it is, or one character of `size` bytes. */
struct bth_html_run {
    uint32_t plain, html;
    uint32_t size; /* 0: as it is */
};

/* A character that the input writes by name. */
struct bth_html_name {
    uint32_t code;
    uint32_t html, size;
    size_t count; /* so often */
};
enum { BTH_HTML_NAMES = 64 };

/* How far a text is read. */
enum bth_html_phase {
    BTH_HTML_SCAN,
    BTH_HTML_PAIR,
    BTH_HTML_FOLD,
    BTH_HTML_READ,
    BTH_HTML_CHOOSE,
    BTH_HTML_OPENED
};

struct bth_html {
    const char *html;
    size_t n;
    enum bth_html_phase phase;
    struct bth_html_scanner scanner; /* SCAN; its tokens are `tokens` then */
    size_t token;                    /* READ: the next paragraph begins there */
    struct bth_html_tokens tokens;
    struct bth_str plain;
    struct bth_html_paragraph *paragraphs; /* [n_paragraphs] */
    size_t n_paragraphs, paragraphs_capacity;
    struct bth_html_mark *marks; /* [n_marks] */
    size_t n_marks, marks_capacity;
    struct bth_html_run *runs; /* [n_runs] */
    size_t n_runs, runs_capacity;
    struct bth_html_name names[BTH_HTML_NAMES]; /* written in the result too */
    size_t n_names;
    uint64_t name_bits; /* of their codes, modulo 64 */
    bool raw_and, raw_greater;
};

/* Sets the partners of tags. ENOMEM. */
int bth_html_pair(struct bth_html *h, struct berth_error *err);

/* One paragraph's translation: [target, target_end) of `text`. */
struct bth_html_woven {
    const struct bth_html *h;
    const struct bth_html_paragraph *paragraph;
    const char *text;
    size_t target, target_end;
    struct bth_html_sentence *sentences; /* [n] those of this paragraph */
    size_t n;
    size_t *begins, *ends; /* [n] out: of the sentences, bytes of `out` */
};

/* Appends the paragraph's HTML. ENOMEM. */
int bth_html_weave(const struct bth_html_woven *w, struct bth_str *out, struct berth_error *err);
/* Appends text[0, n) as HTML; `more` bytes follow it. */
void bth_html_escape(const struct bth_html *h, const char *text, size_t n, size_t more,
                     struct bth_str *out);

#endif

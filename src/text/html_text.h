/*
 * text/html_text.h - HTML as the plain text that is to be translated, and back.
 *
 *     bth_html_open("<p>Hello <b>world</b>!</p>")   plain: "Hello world!"
 *     bth_html_close_up(h, "Ola mundo!", ...)       "<p>Ola <b>mundo</b>!</p>"
 *
 * It cannot fail on any input: what is not markup by HTML's rules is text, tags that have no
 * partner stay where they are, a tag or comment that never ends is copied with all behind it. The
 * result has the same tags as the input, each once and with the
 * same bytes, and what was nested properly stays so. Comments, scripts, styles, code, and whatever
 * says translate="no" or has the class notranslate is copied. Names of characters ("&eacute;") are
 * written in the result where the input wrote that character so.
 *
 * The plain text has a line for each paragraph (headings, cells, items, text around <br>, ...), so
 * it goes through sentences.h like any text. A paragraph whose text comes back unchanged is copied
 * byte for byte.
 *
 * Not here: titles and alternative texts in attributes, which stay as they are. Pure; an object has
 * one owner at a time.
 */
#ifndef BTH_HTML_TEXT_H
#define BTH_HTML_TEXT_H

#include "base/str.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct bth_html;

/* `html` is not copied: it must stay as long as *out. ETOOLARGE (2 GiB), ENOMEM. */
int bth_html_open(const char *html, size_t n, struct bth_html **out, struct berth_error *err);
/* The same in steps, for who has other things to do: begin, then read until it is done, about
 * `bytes` at a time where the work is in proportion to them. On failure h is to be freed. */
int bth_html_begin(const char *html, size_t n, struct bth_html **out, struct berth_error *err);
int bth_html_read(struct bth_html *h, size_t bytes, bool *out_done, struct berth_error *err);
/* NUL-terminated; it lives with h. Lines are separated by one "\n". */
const char *bth_html_plain(const struct bth_html *h, size_t *out_n);
void bth_html_free(struct bth_html *h); /* NULL is allowed */

/* A stretch of the translation and the place of the plain text it came from. */
struct bth_html_link {
    size_t target_begin, target_end; /* bytes of the translation */
    size_t source;                   /* a byte of the plain text */
};

/* A sentence in both texts: bytes of the plain text, bytes of the translation. */
struct bth_html_sentence {
    size_t source_begin, source_end;
    size_t target_begin, target_end;
    const struct bth_html_link *links; /* [n_links] in order of target; none: in proportion */
    size_t n_links;
};

/* Appends the HTML of the translation `text` of the plain text to `out` (out->failed: ENOMEM).
 * `sentences` are in order, and between them both texts are the same bytes; those that are not
 * (EINVAL) leave `out` untouched. Afterwards the spans of the sentences (not of their links) are
 * bytes of the HTML that was opened and of what `out` holds. May be called again with another
 * translation. EINVAL, ENOMEM. */
int bth_html_close_up(const struct bth_html *h, const char *text, size_t n,
                      struct bth_html_sentence *sentences, size_t n_sentences, struct bth_str *out,
                      struct berth_error *err);

#endif

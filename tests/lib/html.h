/* tests/lib/html.h - what must hold for any HTML and any translation of it. */
#ifndef BTH_TEST_HTML_H
#define BTH_TEST_HTML_H

#include "base/alloc.h"
#include "lib/test.h"
#include "text/html_internal.h"

static inline int html_compare_tags(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The tags of some HTML, sorted; references that stay as they are count too. */
static inline char **html_tags(const char *html, size_t n, size_t *out_n) {
    struct bth_html_scanner s;
    struct berth_error err;
    bth_html_scan_begin(&s, html, n);
    CHECK_OK(bth_html_scan(&s, n, &err), err);
    const struct bth_html_tokens t = s.out;
    char **tags = bth_alloc((t.n + 1) * sizeof(*tags));
    CHECK(tags);
    *out_n = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (t.all[i].kind != BTH_HTML_TEXT) {
            tags[*out_n] = bth_strndup(html + t.all[i].begin, t.all[i].end - t.all[i].begin);
            CHECK(tags[(*out_n)++]);
        }
    }
    bth_free(t.all);
    qsort(tags, *out_n, sizeof(*tags), html_compare_tags);
    return tags;
}

/* Both have the same tags, each as often. */
static inline void html_check_tags(const char *a, size_t a_n, const char *b, size_t b_n) {
    size_t n[2];
    char **tags[2] = {html_tags(a, a_n, &n[0]), html_tags(b, b_n, &n[1])};
    if (n[0] != n[1]) {
        TEST_FAIL("tags of \"%.*s\" and \"%.*s\"", (int)a_n, a, (int)b_n, b);
    }
    for (size_t i = 0; i < n[0]; i++) {
        CHECK_STR(tags[1][i], tags[0][i]);
    }
    for (int t = 0; t < 2; t++) {
        for (size_t i = 0; i < n[t]; i++) {
            bth_free(tags[t][i]);
        }
        bth_free(tags[t]);
    }
}

/* Pairs of tags by HTML's rules: what was nested properly must stay so. */
static inline size_t html_pairs(const char *html, size_t n) {
    struct bth_html *h;
    struct berth_error err;
    size_t pairs = 0;
    CHECK_OK(bth_html_open(html, n, &h, &err), err);
    for (size_t i = 0; i < h->tokens.n; i++) {
        pairs += h->tokens.all[i].kind == BTH_HTML_OPEN && h->tokens.all[i].partner != UINT32_MAX;
    }
    bth_html_free(h);
    return pairs;
}

/* Read a little at a time it is the same text. */
static inline void html_steps(const char *html, size_t n, const char *plain, size_t plain_n) {
    struct bth_html *h;
    struct berth_error err;
    size_t got;
    bool done = false;
    CHECK_OK(bth_html_begin(html, n, &h, &err), err);
    for (size_t bytes = 1; !done; bytes = bytes % 7 + 1) {
        CHECK_OK(bth_html_read(h, bytes, &done, &err), err);
    }
    const char *text = bth_html_plain(h, &got);
    CHECK(got == plain_n && memcmp(text, plain, got) == 0);
    bth_html_free(h);
}

/* Lines are sentences. Without a seed they stay as they are, and so does the HTML; with one they
 * are shuffled word by word, with links as random, and the tags stay. */
static inline void html_check(const char *html, size_t n, unsigned long long seed) {
    struct bth_html *h;
    struct berth_error err;
    struct bth_str text = {0}, out = {0};
    size_t plain_n, n_sentences = 0, n_links = 0, lines = 1;
    CHECK_OK(bth_html_open(html, n, &h, &err), err);
    const char *plain = bth_html_plain(h, &plain_n);
    html_steps(html, n, plain, plain_n);
    for (size_t i = 0; i < plain_n; i++) {
        lines += plain[i] == '\n';
    }
    struct bth_html_sentence *s = bth_calloc(lines, sizeof(*s));
    struct bth_html_link *links = bth_calloc(plain_n + lines, sizeof(*links));
    CHECK(s && links);
    for (size_t begin = 0, end; begin < plain_n; begin = end + 1) {
        const char *stop = memchr(plain + begin, '\n', plain_n - begin);
        end = stop ? (size_t)(stop - plain) : plain_n;
        struct bth_html_sentence *one = &s[n_sentences++];
        *one = (struct bth_html_sentence){begin, end, text.size, 0, links + n_links, 0};
        bth_str_append(&text, plain + begin, seed ? 0 : end - begin);
        for (size_t i = 0; seed && i < 1 + (end - begin) / 4; i++) {
            size_t at = text.size;
            bth_str_puts(&text, i ? " w" : "w");
            if (test_rand(&seed) % 2) {
                links[n_links++] = (struct bth_html_link){
                    at, text.size, begin + (size_t)(test_rand(&seed) % (end - begin + 2))};
                one->n_links++;
            }
        }
        one->target_end = text.size;
        bth_str_puts(&text, stop ? "\n" : "");
    }
    CHECK_OK(bth_html_close_up(h, bth_str_text(&text), text.size, s, n_sentences, &out, &err), err);
    if (seed) {
        html_check_tags(html, n, bth_str_text(&out), out.size);
        CHECK_INT(html_pairs(bth_str_text(&out), out.size), html_pairs(html, n));
    } else {
        CHECK(out.size == n && (n == 0 || memcmp(out.data, html, n) == 0));
    }
    bth_free(links);
    bth_free(s);
    bth_str_finish(&text);
    bth_str_finish(&out);
    bth_html_free(h);
}

#endif

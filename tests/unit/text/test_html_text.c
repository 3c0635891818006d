/* HTML: what is translated, where tags go, that none is lost, and markup that is none. */
#include "text/html_text.h"

#include "base/alloc.h"
#include "base/error.h"
#include "lib/html.h"
#include "lib/test.h"
#include <time.h>

static void plain_is(const char *html, const char *want) {
    struct bth_html *h;
    struct berth_error err;
    size_t n;
    CHECK_OK(bth_html_open(html, strlen(html), &h, &err), err);
    CHECK_STR(bth_html_plain(h, &n), want);
    CHECK_INT(n, strlen(want));
    bth_html_free(h);
}

/* The plain text is one sentence that becomes `translation`; `links` pairs of target and source
 * word numbers, counted from 0 by blanks, or NULL. */
static void becomes(const char *html, const char *translation, const int (*links)[2],
                    const char *want) {
    struct bth_html *h;
    struct berth_error err;
    struct bth_str out = {0};
    struct bth_html_link link[16];
    size_t n, words[2][17], n_links = 0;
    CHECK_OK(bth_html_open(html, strlen(html), &h, &err), err);
    const char *plain = bth_html_plain(h, &n);
    const char *texts[2] = {plain, translation};
    for (int t = 0; t < 2; t++) {
        size_t k = 0;
        words[t][k++] = 0;
        for (size_t i = 0; texts[t][i]; i++) {
            if (texts[t][i] == ' ') {
                words[t][k++] = i + 1;
            }
        }
        words[t][k] = strlen(texts[t]) + 1;
    }
    for (; links && links[n_links][0] >= 0; n_links++) {
        size_t k = (size_t)links[n_links][0];
        link[n_links] =
            (struct bth_html_link){words[1][k], words[1][k + 1] - 1, words[0][links[n_links][1]]};
    }
    struct bth_html_sentence s = {0, n, 0, strlen(translation), link, n_links};
    CHECK_OK(bth_html_close_up(h, translation, strlen(translation), &s, 1, &out, &err), err);
    CHECK_STR(bth_str_text(&out), want);
    html_check_tags(html, strlen(html), out.data, out.size);
    bth_str_finish(&out);
    bth_html_free(h);
}

static void plain(void) {
    plain_is("", "");
    plain_is("Hello", "Hello");
    plain_is("<p>Hello <b>world</b>!</p>", "Hello world!");
    plain_is("<p> One\n two</p><p>three<br>four</p>", "One two\nthree\nfour");
    plain_is("a<!-- x -->b <img src=x> c", "ab c");
    plain_is("caf&eacute; &lt;b&gt; &amp; &#233; &#x2014; &nosuch; &",
             "caf\xC3\xA9 <b> & \xC3\xA9 \xE2\x80\x94 &");
    plain_is("<script>if (a < b) x('</p>');</script>Text<style>p{}</style>", "Text");
    plain_is("Run <code>make <b>all</b></code> now", "Run now");
    plain_is("<p translate=\"no\">Berth</p><p class='a notranslate b'>Berth</p><p>x</p>", "x");
    plain_is("<p translate=no>Berth<p>x", "x");
    plain_is("1 < 2 and <3 and a<b", "1 < 2 and <3 and a<b");
    plain_is("a <b c='>'>d</b>", "a d");
    plain_is("a <b c='>d</b> e", "a"); /* a quote that is never closed */
    plain_is("<title>T</title><h1>H</h1><li>one<li>two", "T\nH\none\ntwo");
    plain_is("<b>one <i>two</b> three</i> four", "one\ntwo\nthree\nfour"); /* crossed */
    plain_is("<b>one <p>two</p> three</b>", "one\ntwo\nthree");
    plain_is("&#0; &#xD800; &#1114112; &#x; &#; &;", "&#x; &#; &;");
    plain_is("<script>never closed <p>x</p>", "");
    plain_is("a<!-- never closed <p>x</p>", "a");
}

static void woven(void) {
    becomes("<p>Hello <b>world</b>!</p>", "Ola mundo!", NULL, "<p>Ola <b>mundo</b>!</p>");
    becomes("The <b>red</b> <i>house</i>.", "A casa vermelha.",
            (const int[][2]){{0, 0}, {1, 2}, {2, 1}, {-1, 0}}, "A <i>casa</i> <b>vermelha.</b>");
    becomes("The <a href='x'><b>red</b> house</a> burns", "A casa vermelha arde",
            (const int[][2]){{0, 0}, {1, 2}, {2, 1}, {3, 3}, {-1, 0}},
            "A <a href='x'>casa <b>vermelha</b></a> arde");
    becomes("Run <code>make</code> now", "Execute agora", NULL, "Execute <code>make</code> agora");
    becomes("Run <code>make</code>.", "Execute .", NULL, "Execute <code>make</code>.");
    becomes("a<wbr>b c", "ab d", NULL, "ab<wbr> d");
    becomes("<b></b>x y", "z", NULL, "<b></b>z");
    becomes("one <b>two</b>", "um", (const int[][2]){{0, 0}, {-1, 0}}, "um <b></b>");
    becomes("caf&eacute; &amp; t", "ch\xC3\xA9 & <x>", NULL, "ch&eacute; &amp; &lt;x&gt;");
    becomes("caf\xC3\xA9 & t", "ch\xC3\xA9 & x&y", NULL, "ch\xC3\xA9 & x&amp;y");
    becomes("<p>\n  Hello\n  <i> you </i>\n</p>\n", "Ola tu", NULL, "<p>\n  Ola <i>tu</i>\n</p>\n");
    becomes("x <img> y", "", NULL, "<img>");
    becomes("<b>a</b> <i>b</i> c", "d", (const int[][2]){{0, 2}, {-1, 0}}, "<b></b><i></i> d");
}

/* Texts that come back as they were are the same bytes, spans included. */
static void unchanged(void) {
    const char *html =
        "<p>\n One &amp; <b>two</b>\t.</p><pre> x </pre><br><i>three&nbsp;</i> four<p>";
    struct bth_html *h;
    struct berth_error err;
    struct bth_str out = {0};
    size_t n;
    CHECK_OK(bth_html_open(html, strlen(html), &h, &err), err);
    const char *text = bth_html_plain(h, &n);
    CHECK_STR(text, "One & two .\nthree\xC2\xA0 four");
    struct bth_html_sentence s[2] = {
        {.source_end = 11, .target_end = 11},
        {.source_begin = 12, .source_end = n, .target_begin = 12, .target_end = n}};
    CHECK_OK(bth_html_close_up(h, text, n, s, 2, &out, &err), err);
    CHECK_STR(bth_str_text(&out), html);
    CHECK(strncmp(html + s[0].source_begin, "One", 3) == 0);
    CHECK(html[s[0].source_end - 1] == '.');
    CHECK_INT(s[0].target_begin, s[0].source_begin);
    CHECK(strncmp(html + s[1].source_begin, "three", 5) == 0);
    CHECK(strncmp(html + s[1].source_end, "<p>", 3) == 0);
    bth_str_finish(&out);
    bth_html_free(h);
}

static void spans(void) {
    const char *html = "<p>One <b>two</b>.</p><p>Three&amp;four</p>", *text = "Um dois.\nQuatro";
    struct bth_html *h;
    struct berth_error err;
    struct bth_str out = {0};
    size_t n;
    CHECK_OK(bth_html_open(html, strlen(html), &h, &err), err);
    bth_html_plain(h, &n);
    struct bth_html_sentence s[2] = {
        {.source_end = 8, .target_end = 8},
        {.source_begin = 9, .source_end = n, .target_begin = 9, .target_end = 15}};
    CHECK_OK(bth_html_close_up(h, text, 15, s, 2, &out, &err), err);
    CHECK_STR(bth_str_text(&out), "<p>Um <b>dois</b>.</p><p>Quatro</p>");
    CHECK(strncmp(out.data + s[0].target_begin, "Um", 2) == 0);
    CHECK(strncmp(out.data + s[0].target_end, "</p><p>Q", 8) == 0);
    CHECK(strncmp(out.data + s[1].target_begin, "Quatro</p>", 10) == 0);
    CHECK(strncmp(html + s[1].source_begin, "Three&amp;four</p>", 18) == 0);
    CHECK(strncmp(html + s[1].source_end, "</p>", 4) == 0);

    /* sentences that do not fit */
    struct bth_html_sentence bad[] = {{0, n, 0, 15, NULL, 0},
                                      {0, 8, 0, 99, NULL, 0},
                                      {8, 0, 0, 8, NULL, 0},
                                      {0, 7, 0, 7, NULL, 0}};
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        CHECK_INT(bth_html_close_up(h, text, 15, &bad[i], 1, &out, &err), BERTH_EINVAL);
    }
    bth_str_finish(&out);
    bth_html_free(h);
}

/* Repeated until it is long: the time must not grow with the square. */
static void bombs(void) {
    static const char *const parts[] = {
        "<b>",          "</b>",     "<b>x ",   "<a",       "<a x=\"",          "<a=\">\" ",
        "<!--",         "<!x",      "</",      "<code>",   "<b>x</b> ",        "&#",
        "<i><b>x</i> ", "&nosuch;", "<img>y ", "<script>", "<p><b>",           "<p>x</b>",
        "</x></y>",     "&amp;",    "<x y",    "<",        "<code>x</code> y "};
    for (size_t i = 0; i < BTH_COUNT(parts); i++) {
        struct bth_str s = {0};
        while (s.size < 1 << 16) {
            bth_str_puts(&s, parts[i]);
        }
        html_check(s.data, s.size, 7);
        bth_str_finish(&s);
    }
}

/* Seconds for closing tags that belong to none of those that are open. */
static double unmatched(int n_open) {
    enum { CLOSED = 300000 };
    struct bth_str s = {0};
    struct bth_html *h;
    struct berth_error err;
    for (int i = 0; i < n_open; i++) {
        bth_str_printf(&s, "<x%03d>", i);
    }
    for (int i = 0; i < CLOSED; i++) {
        bth_str_printf(&s, "</x%03d>", 500 + i % 400);
    }
    const clock_t begin = clock();
    CHECK_OK(bth_html_open(bth_str_text(&s), s.size, &h, &err), err);
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    bth_html_free(h);
    bth_str_finish(&s);
    return seconds;
}

static void random_markup(void) {
    static const char *const parts[] = {"<b>",
                                        "</b>",
                                        "<i>",
                                        "</i>",
                                        "<p>",
                                        "</p>",
                                        "one ",
                                        "two",
                                        " ",
                                        "<br>",
                                        "<a b=\"c>\">",
                                        "</a>",
                                        "&amp;",
                                        "&eacute;",
                                        "\xC3\xA9",
                                        "<img>",
                                        "<code>",
                                        "</code>",
                                        "<!-- x -->",
                                        "<",
                                        ">",
                                        "\"",
                                        "x.",
                                        "\n",
                                        "<q translate=no>",
                                        "</q>",
                                        "\xFF",
                                        "&nosuch;"};
    unsigned long long seed = 5;
    for (int round = 0; round < 4000; round++) {
        char text[512];
        size_t n = 0;
        for (int i = 0; i < 30; i++) {
            const char *p = parts[test_rand(&seed) % BTH_COUNT(parts)];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        html_check(text, n, test_rand(&seed));
    }
}

static void failures(void) {
    const char *html =
        "<p>One <b>two</b> three <i>four <u>five</u></i>.</p><p>Six &amp; <img> seven</p>";
    const char *text = "Um dois tres quatro cinco.\nSete & sete";
    int64_t before = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_html *h = NULL;
        struct berth_error err;
        struct bth_str out = {0};
        struct bth_html_sentence s[2] = {{0, 24, 0, 26, NULL, 0}, {25, 36, 27, 38, NULL, 0}};
        bth_alloc_fail_at(n);
        int rc = bth_html_open(html, strlen(html), &h, &err);
        if (rc == 0) {
            rc = bth_html_close_up(h, text, strlen(text), s, 2, &out, &err);
        }
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        bth_html_free(h);
        bth_str_finish(&out);
        CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
        if (!fired) {
            break;
        }
    }
    CHECK_INT(bth_alloc_live(), before);
}

int main(void) {
    plain();
    woven();
    unchanged();
    spans();
    bombs();
    /* not with how many are open */
    CHECK(unmatched(300) < 4 * unmatched(0) + 0.02);
    random_markup();
    failures();
    return 0;
}

/*
 * HTML tokens. Source: the WHATWG HTML standard, section 13.2.5, as far as the borders of tags go.
 * What it calls an end of file within a tag is text here.
 */
#include "text/html_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    V = 1, /* has no content */
    B = 2, /* ends a paragraph */
    S = 4, /* its content is not translated */
    R = 8  /* its content is no markup */
};

/* in the order of strcmp */
static const struct element {
    const char *name;
    int kind;
} elements[] = {{"address", B},
                {"applet", S},
                {"area", V},
                {"article", B},
                {"aside", B},
                {"audio", S},
                {"base", V | B},
                {"blockquote", B},
                {"body", B},
                {"br", V | B},
                {"button", B},
                {"canvas", S},
                {"caption", B},
                {"center", B},
                {"code", S},
                {"col", V | B},
                {"colgroup", B},
                {"dd", B},
                {"details", B},
                {"dialog", B},
                {"dir", B},
                {"div", B},
                {"dl", B},
                {"dt", B},
                {"embed", V},
                {"fieldset", B},
                {"figcaption", B},
                {"figure", B},
                {"footer", B},
                {"form", B},
                {"frame", V | B},
                {"frameset", B},
                {"h1", B},
                {"h2", B},
                {"h3", B},
                {"h4", B},
                {"h5", B},
                {"h6", B},
                {"head", B},
                {"header", B},
                {"hr", V | B},
                {"html", B},
                {"iframe", S | R},
                {"img", V},
                {"input", V},
                {"kbd", S},
                {"keygen", V},
                {"legend", B},
                {"li", B},
                {"link", V | B},
                {"main", B},
                {"math", S},
                {"menu", B},
                {"meta", V | B},
                {"nav", B},
                {"noembed", S | R},
                {"noframes", S | R},
                {"noscript", B},
                {"object", S},
                {"ol", B},
                {"optgroup", B},
                {"option", B},
                {"p", B},
                {"param", V},
                {"plaintext", B | S | R},
                {"pre", B | S},
                {"samp", S},
                {"script", S | R},
                {"search", B},
                {"section", B},
                {"select", B},
                {"source", V},
                {"style", S | R},
                {"summary", B},
                {"svg", S},
                {"table", B},
                {"tbody", B},
                {"td", B},
                {"template", B | S},
                {"textarea", B | S | R},
                {"tfoot", B},
                {"th", B},
                {"thead", B},
                {"title", B},
                {"tr", B},
                {"track", V},
                {"ul", B},
                {"var", S},
                {"video", S},
                {"wbr", V},
                {"xmp", B | S | R}};

static int compare(const void *key, const void *row) {
    return strcmp(key, ((const struct element *)row)->name);
}

static int kind_of(const char *name, size_t n) {
    char lower[16];
    if (n == 0 || n >= sizeof(lower)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 32) : name[i];
    }
    lower[n] = '\0';
    const struct element *found = bsearch(lower, elements, sizeof(elements) / sizeof(elements[0]),
                                          sizeof(elements[0]), compare);
    return found ? found->kind : 0;
}

static bool is_letter(char c) {
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static int add(struct bth_html_scanner *s, struct bth_html_token token) {
    if (s->out.n == s->out.capacity) {
        size_t more = s->out.capacity ? s->out.capacity * 2 : 16;
        struct bth_html_token *all = bth_realloc_array(s->out.all, more, sizeof(*all));
        if (!all) {
            return bth_error_nomem(s->err);
        }
        s->out.all = all;
        s->out.capacity = more;
    }
    token.partner = UINT32_MAX;
    s->out.all[s->out.n++] = token;
    return 0;
}

/* The text up to `at`. A reference to a character that has no place in a text stays as it is. */
static int add_text(struct bth_html_scanner *s, size_t at) {
    int rc = 0;
    for (size_t p = s->text, size; p < at && rc == 0; p++) {
        const char *and = memchr(s->html + p, '&', at - p);
        p = and? (size_t)(and-s->html) : at;
        if (and&&bth_html_character(and, at - p, &size) == UINT32_MAX) {
            if (p > s->text) {
                rc =
                    add(s, (struct bth_html_token){.begin = (uint32_t)s->text, .end = (uint32_t)p});
            }
            s->text = p + size;
            rc = rc < 0 ? rc
                        : add(s, (struct bth_html_token){.kind = BTH_HTML_POINT,
                                                         .begin = (uint32_t)p,
                                                         .end = (uint32_t)s->text});
            p = s->text - 1;
        }
    }
    if (rc == 0 && at > s->text) {
        rc = add(s, (struct bth_html_token){.begin = (uint32_t)s->text, .end = (uint32_t)at});
    }
    return rc;
}

/* The text before `at`, then `token`, behind which text begins again. */
static int add_markup(struct bth_html_scanner *s, size_t at, struct bth_html_token token) {
    int rc = add_text(s, at);
    s->text = token.end;
    return rc < 0 ? rc : add(s, token);
}

/* ---- tags ------------------------------------------------------------------------------------*/

static bool has_word(const char *p, size_t n, const char *word) {
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= n; i++) {
        if ((i == 0 || is_blank(p[i - 1])) && strncasecmp(p + i, word, size) == 0 &&
            (i + size == n || is_blank(p[i + size]))) {
            return true;
        }
    }
    return false;
}

/* Whether an attribute says that the element is not to be translated. */
static bool says_skip(const char *name, size_t name_size, const char *value, size_t size) {
    if (name_size == 9 && strncasecmp(name, "translate", 9) == 0) {
        return size == 2 && strncasecmp(value, "no", 2) == 0;
    }
    return name_size == 5 && strncasecmp(name, "class", 5) == 0 &&
           has_word(value, size, "notranslate");
}

/* A value at p: its end. *out, *out_size: without quotes. SIZE_MAX: its quote is not closed. */
static size_t value_end(const struct bth_html_scanner *s, size_t p, const char **out,
                        size_t *out_size) {
    const char *h = s->html;
    if (p < s->n && (h[p] == '"' || h[p] == '\'')) {
        const char *close = memchr(h + p + 1, h[p], s->n - p - 1);
        if (!close) {
            return SIZE_MAX;
        }
        *out = h + p + 1;
        *out_size = (size_t)(close - *out);
        return (size_t)(close - h) + 1;
    }
    size_t from = p;
    while (p < s->n && !is_blank(h[p]) && h[p] != '>') {
        p++;
    }
    *out = h + from;
    *out_size = p - from;
    return p;
}

/* Reads attributes from p on: behind the '>', or SIZE_MAX when there is none. */
static size_t tag_end(const struct bth_html_scanner *s, size_t p, bool *out_skip, bool *out_void) {
    const char *h = s->html;
    while (p < s->n) {
        if (h[p] == '>') {
            *out_void = h[p - 1] == '/';
            return p + 1;
        }
        if (is_blank(h[p]) || h[p] == '/') {
            p++;
            continue;
        }
        size_t name = p++, name_size; /* its first byte may be '=' */
        while (p < s->n && !is_blank(h[p]) && h[p] != '/' && h[p] != '>' && h[p] != '=') {
            p++;
        }
        name_size = p - name;
        size_t q = p;
        while (q < s->n && is_blank(h[q])) {
            q++;
        }
        if (q == s->n || h[q] != '=') {
            continue;
        }
        for (p = q + 1; p < s->n && is_blank(h[p]); p++) {
        }
        const char *value;
        size_t size;
        p = value_end(s, p, &value, &size);
        if (p == SIZE_MAX) {
            return SIZE_MAX;
        }
        *out_skip |= says_skip(h + name, name_size, value, size);
    }
    return SIZE_MAX;
}

/* Where the content of <script> and its like ends. */
static size_t raw_end(const struct bth_html_scanner *s, size_t p, const char *name, size_t size) {
    const char *h = s->html;
    for (; p < s->n; p++) {
        const char *less = memchr(h + p, '<', s->n - p);
        if (!less) {
            break;
        }
        p = (size_t)(less - h);
        if (s->n - p > size + 2 && h[p + 1] == '/' && strncasecmp(h + p + 2, name, size) == 0 &&
            !is_letter(h[p + 2 + size])) {
            return p;
        }
    }
    return s->n;
}

/* A tag whose name begins at p + 1 or, a closing one, at p + 2. *out: behind it. */
static int scan_tag(struct bth_html_scanner *s, size_t p, bool closing, size_t *out) {
    const char *h = s->html;
    size_t name = p + 1 + closing, q = name;
    while (q < s->n && !is_blank(h[q]) && h[q] != '/' && h[q] != '>') {
        q++;
    }
    size_t size = q - name, end;
    bool skip = false, single = false;
    end = tag_end(s, q, &skip, &single);
    if (end == SIZE_MAX) { /* what comes after is in it, for a browser too */
        *out = s->n;
        return add_markup(
            s, p,
            (struct bth_html_token){
                .kind = BTH_HTML_POINT, .hard = true, .begin = (uint32_t)p, .end = (uint32_t)s->n});
    }
    int kind = kind_of(h + name, size);
    bool point = !closing && (single || (kind & V));
    struct bth_html_token t = {.kind = closing ? BTH_HTML_CLOSE
                                       : point ? BTH_HTML_POINT
                                               : BTH_HTML_OPEN,
                               .hard = kind & B,
                               .skip = skip || (kind & S),
                               .begin = (uint32_t)p,
                               .end = (uint32_t)end,
                               .name = (uint32_t)name,
                               .name_size = (uint32_t)size};
    int rc = add_markup(s, p, t);
    *out = end;
    if (rc == 0 && t.kind == BTH_HTML_OPEN && (kind & R)) {
        *out = raw_end(s, end, h + name, size);
    }
    return rc;
}

/* A comment, a doctype or an instruction at p. *out: behind it, unchanged when it is none. */
static int scan_comment(struct bth_html_scanner *s, size_t p, size_t *out) {
    const char *h = s->html, *close = NULL;
    size_t end = 0;
    bool open = false;
    if (s->n - p >= 4 && memcmp(h + p, "<!--", 4) == 0) {
        size_t q = p + 4;
        end = s->n; /* one that is never closed goes on to the end, and must stay there */
        open = true;
        while (q < s->n && (close = memchr(h + q, '>', s->n - q))) {
            q = (size_t)(close - h) + 1;
            if ((q >= p + 6 && memcmp(close - 2, "--", 2) == 0) || q == p + 5) {
                end = q;
                open = false;
                break;
            }
        }
    } else if ((close = memchr(h + p, '>', s->n - p))) {
        end = (size_t)(close - h) + 1;
    } else {
        return 0;
    }
    *out = end;
    bool doctype = s->n - p > 9 && strncasecmp(h + p, "<!doctype", 9) == 0;
    return add_markup(s, p,
                      (struct bth_html_token){.kind = BTH_HTML_POINT,
                                              .hard = doctype || open,
                                              .begin = (uint32_t)p,
                                              .end = (uint32_t)end});
}

void bth_html_scan_begin(struct bth_html_scanner *s, const char *html, size_t n) {
    *s = (struct bth_html_scanner){.html = html, .n = n};
    for (size_t i = n; i > 0 && s->last == 0; i--) {
        s->last = html[i - 1] == '>' ? i : 0;
    }
}

/* What begins with the '<' at p. */
static int scan_markup(struct bth_html_scanner *s, size_t p, size_t *next) {
    const char *html = s->html;
    const size_t n = s->n;
    const char c = p + 1 < n ? html[p + 1] : ' ';
    if (c == '!' || c == '?' || (c == '/' && p + 2 < s->last && !is_letter(html[p + 2]))) {
        return p < s->last || (n - p >= 4 && memcmp(html + p, "<!--", 4) == 0)
                   ? scan_comment(s, p, next)
                   : 0;
    }
    if (p < s->last && (is_letter(c) || (c == '/' && p + 2 < n && is_letter(html[p + 2])))) {
        return scan_tag(s, p, c == '/', next);
    }
    return 0;
}

int bth_html_scan(struct bth_html_scanner *s, size_t bytes, struct berth_error *err) {
    const size_t end = s->n - s->at > bytes ? s->at + bytes : s->n;
    int rc = 0;
    s->err = err;
    while (s->at < end && rc == 0) {
        const char *less = memchr(s->html + s->at, '<', end - s->at);
        if (!less) {
            s->at = end;
            break;
        }
        const size_t p = (size_t)(less - s->html);
        size_t next = p + 1;
        rc = scan_markup(s, p, &next);
        s->at = next;
    }
    return rc == 0 && s->at >= s->n ? add_text(s, s->n) : rc;
}

#include "spacy/spacy_pattern_width.h"

#include "base/compiler.h"
#include <string.h>

enum { MAX_DEPTH = 50 };

struct reader {
    const char *at, *end;
    int depth;
};

static bool read_alternatives(struct reader *r, size_t *out);

static void skip_braces(struct reader *r) {
    const char *close =
        r->at < r->end && *r->at == '{' ? memchr(r->at, '}', (size_t)(r->end - r->at)) : NULL;
    r->at = close ? close + 1 : r->at;
}

/* Behind [ */
static bool skip_class(struct reader *r) {
    for (; r->at < r->end && *r->at != ']'; r->at++) {
        r->at += *r->at == '\\';
    }
    if (r->at >= r->end) {
        return false;
    }
    r->at++;
    return true;
}

static size_t read_escape(struct reader *r) {
    const char c = r->at < r->end ? *r->at++ : 'b';
    if (c == 'x' || c == 'p' || c == 'P') {
        skip_braces(r);
    }
    return strchr("bBAzZ", c) ? 0 : 1;
}

/* Behind ( */
static bool read_group(struct reader *r, size_t *out) {
    static const char *const looks[] = {"?=", "?!", "?<=", "?<!"};
    bool look = false;
    const size_t left = (size_t)(r->end - r->at);
    for (size_t i = 0; i < BTH_COUNT(looks) && !look; i++) {
        const size_t n = strlen(looks[i]);
        look = left >= n && memcmp(r->at, looks[i], n) == 0;
        r->at += look ? n : 0;
    }
    if (!look && left >= 2 && *r->at == '?') { /* ?: and ?> */
        r->at += 2;
    }
    if (++r->depth > MAX_DEPTH || !read_alternatives(r, out) || r->at == r->end) {
        return false;
    }
    r->depth--;
    r->at++;
    *out = look ? 0 : *out;
    return true;
}

static bool read_atom(struct reader *r, size_t *out) {
    const char c = *r->at++;
    *out = 1;
    if (c == '(') {
        return read_group(r, out);
    }
    if (c == '[') {
        return skip_class(r);
    }
    if (c == '\\') {
        *out = read_escape(r);
    } else if (c == '^' || c == '$') {
        *out = 0;
    }
    return true;
}

/* Up to the ) that is not its own, or the end. */
static bool read_alternatives(struct reader *r, size_t *out) {
    size_t widest = 0, width = 0;
    while (r->at < r->end && *r->at != ')') {
        if (*r->at == '|') {
            width = 0;
            r->at++;
            continue;
        }
        size_t atom;
        if (!read_atom(r, &atom)) {
            return false;
        }
        if (r->at < r->end && strchr("*+{", *r->at)) {
            return false;
        }
        while (r->at < r->end && *r->at == '?') {
            r->at++;
        }
        width += atom;
        widest = BTH_MAX(widest, width);
    }
    *out = widest;
    return true;
}

bool spacy_pattern_width(const char *s, size_t n, size_t *out_characters) {
    struct reader r = {.at = s, .end = s + n};
    return read_alternatives(&r, out_characters) && r.at == r.end;
}

const char *spacy_pattern_bar(const char *s, size_t n) {
    int depth = 0;
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\') {
            i++;
        } else if (in_class) {
            in_class = s[i] != ']';
        } else if (s[i] == '[') {
            in_class = true;
        } else if (s[i] == '(' || s[i] == ')') {
            depth += s[i] == '(' ? 1 : -1;
        } else if (s[i] == '|' && depth == 0) {
            return s + i;
        }
    }
    return s + n;
}

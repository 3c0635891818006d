#define PCRE2_CODE_UNIT_WIDTH 8
#include "spacy/spacy_pattern.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "spacy/spacy_pattern_width.h"
#include <pcre2.h>
#include <string.h>

enum {
    MAX_PATTERN = 16 << 20,
    MAX_PARTS = 1024,
    MAX_WIDTH = 64,
    TOO_LARGE = 120,    /* PCRE2's, without a name */
    FIRST_STEPS = 1000, /* at one place of a text; what the price of its bytes covers */
    MORE_STEPS = 4,     /* times as many at the next try */
    MOST_STEPS = FIRST_STEPS << 14,
    /* What patterns may look at for one document: long runs without a space are quadratic. */
    FREE_BYTES = 256 << 20,
    BYTES_PER_BYTE = 128,
    STEPS_PER_BYTE = 4,     /* what a byte of the budget is worth */
    STACK_FIRST = 64 << 10, /* bytes of the JIT's */
    STACK_MOST = 64 << 20,  /* bytes: an alternative at each of a million characters fits */
    HEAP_MOST = 256 << 20   /* bytes of the interpreter's, which takes several times as much */
};

/* str.isspace; PCRE2's \s differs. */
#define SPACES                                                                                     \
    "\\x{9}-\\x{D}\\x{1C}-\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}"     \
    "\\x{202F}\\x{205F}\\x{3000}"
#define WORDS "\\p{L}\\p{N}_"

struct part {
    pcre2_code *code;
    bool anchored;
    size_t tail; /* it matches in the last so many bytes only; 0: anywhere */
};

struct spacy_pattern {
    struct part parts[MAX_PARTS]; /* [n] alternatives, the first that matches leftmost wins */
    size_t n;
    uint32_t options;
};

struct spacy_matcher {
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* once a match has needed more than the thread's */
    size_t budget, spent;
};

/* ---- from Python's syntax to PCRE2's --------------------------------------------------------*/

struct translation {
    const char *at, *end;
    bool in_class;
    struct bth_str *out;
};

static bool take_hex(struct translation *t, size_t digits) {
    if ((size_t)(t->end - t->at) < digits) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        if (!t->at[i] || !strchr("0123456789abcdefABCDEF", t->at[i])) {
            return false;
        }
    }
    bth_str_printf(t->out, "\\x{%.*s}", (int)digits, t->at);
    t->at += digits;
    return true;
}

/* What stands behind a backslash; t->at is behind that. */
static bool take_escape(struct translation *t) {
    if (t->at == t->end) {
        return false;
    }
    const char c = *t->at++;
    switch (c) {
    case 'x':
        return take_hex(t, 2);
    case 'u':
        return take_hex(t, 4);
    case 'U':
        return take_hex(t, 8);
    case 's':
        bth_str_puts(t->out, t->in_class ? SPACES : "[" SPACES "]");
        return true;
    case 'S':
        bth_str_puts(t->out, t->in_class ? "\\S" : "[^" SPACES "]");
        return true;
    case 'w':
        bth_str_puts(t->out, t->in_class ? WORDS : "[" WORDS "]");
        return true;
    case 'W':
        bth_str_puts(t->out, t->in_class ? "\\W" : "[^" WORDS "]");
        return true;
    case 'Z':
        bth_str_puts(t->out, "\\z");
        return true;
    default:
        /* other letters and digits: those that mean the same, no references */
        if (((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) &&
            !strchr("0dDbBAntrfva", c)) {
            return false;
        }
        bth_str_putc(t->out, '\\');
        bth_str_putc(t->out, c);
        return true;
    }
}

/* Groups that capture nothing by name and call nothing. */
static bool group_is_plain(const struct translation *t) {
    static const char *const heads[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
    const size_t left = (size_t)(t->end - t->at);
    if (left == 0 || (*t->at != '?' && *t->at != '*')) {
        return true;
    }
    for (size_t i = 0; i < BTH_COUNT(heads); i++) {
        if (left >= strlen(heads[i]) && memcmp(t->at, heads[i], strlen(heads[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool translate(struct translation *t) {
    while (t->at < t->end) {
        const char c = *t->at++;
        if (c == '\\') {
            if (!take_escape(t)) {
                return false;
            }
            continue;
        }
        bool literal = false;
        if (t->in_class) {
            literal = c == '['; /* PCRE2 would look for [:name:] */
            t->in_class = c != ']';
        } else if (c == '[') {
            t->in_class = true;
            bth_str_putc(t->out, c);
            if (t->at < t->end && *t->at == '^') {
                bth_str_putc(t->out, *t->at++);
            }
            if (t->at < t->end && *t->at == ']') { /* the first one is itself */
                bth_str_puts(t->out, "\\]");
                t->at++;
            }
            continue;
        } else if (c == '(' && !group_is_plain(t)) {
            return false;
        }
        if (literal) {
            bth_str_putc(t->out, '\\');
        }
        bth_str_putc(t->out, c);
    }
    return !t->in_class;
}

/* Flags in front: (?u) means nothing here, (?iu) ignores case. */
static uint32_t take_flags(const char **text, const char *end) {
    uint32_t options = 0;
    const char *p = *text;
    if (end - p > 3 && p[0] == '(' && p[1] == '?') {
        p += 2;
        for (; p < end && (*p == 'u' || *p == 'i'); p++) {
            options |= *p == 'i' ? PCRE2_CASELESS : 0;
        }
        if (p < end && *p == ')') {
            *text = p + 1;
            return options;
        }
    }
    return 0;
}

/* ---- compiling ------------------------------------------------------------------------------*/

/* The | outside of groups and classes at which a list of alternatives is cut in about two; NULL:
 * there is none. */
static const char *middle_bar(const char *s, size_t n) {
    const char *best = NULL, *end = s + n;
    for (const char *at = spacy_pattern_bar(s, n); at < end;) {
        best = at;
        if ((size_t)(at - s) >= n / 2) {
            break;
        }
        at = spacy_pattern_bar(at + 1, (size_t)(end - at - 1));
    }
    return best;
}

/* tail > 0: a match takes no more than the last so many bytes. */
static int compile_part(struct spacy_pattern *p, const char *s, size_t n, size_t tail,
                        struct berth_error *err) {
    int why = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)s, n, p->options, &why, &at, NULL);
    if (code) {
        /* without a JIT for this machine PCRE2 interprets */
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
        uint32_t options = 0; /* as it was understood: ^ in front is anchored as well */
        (void)pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
        p->parts[p->n++] =
            (struct part){.code = code, .tail = tail, .anchored = options & PCRE2_ANCHORED};
        return 0;
    }
    const char *bar = why == TOO_LARGE ? middle_bar(s, n) : NULL;
    if (bar && p->n + 2 < MAX_PARTS) {
        int rc = compile_part(p, s, (size_t)(bar - s), tail, err);
        return rc < 0 ? rc : compile_part(p, bar + 1, (size_t)(s + n - bar - 1), tail, err);
    }
    PCRE2_UCHAR text[120] = "";
    pcre2_get_error_message(why, text, sizeof(text));
    return why == PCRE2_ERROR_NOMEMORY
               ? bth_error_nomem(err)
               : bth_error(err, BERTH_EFORMAT, "a pattern is not read: %.100s at %zu",
                           (const char *)text, (size_t)at);
}

/* Alternatives by whether their width is known, where that changes nothing: each ends in $, so
 * those that match at the same place are the same match. Whether it does not apply: *out_tail is 0.
 */
static void sort_alternatives(const struct bth_str *s, struct bth_str parts[2], size_t *out_tail) {
    const char *at = bth_str_text(s), *end = at + s->size;
    size_t widest = 0;
    *out_tail = 0;
    while (at < end) {
        const char *bar = spacy_pattern_bar(at, (size_t)(end - at));
        const size_t n = (size_t)(bar - at);
        if (n < 2 || bar[-1] != '$' || bar[-2] == '\\') {
            return;
        }
        size_t width = 0;
        const bool known = spacy_pattern_width(at, n, &width) && width <= MAX_WIDTH;
        struct bth_str *part = &parts[known ? 0 : 1];
        bth_str_puts(part, part->size ? "|" : "");
        bth_str_append(part, at, n);
        widest = known ? BTH_MAX(widest, width) : widest;
        at = bar + 1;
    }
    *out_tail = 4 * widest; /* bytes of UTF-8 */
}

static int compile_all(struct spacy_pattern *p, const struct bth_str *s, bool anchored,
                       struct berth_error *err) {
    struct bth_str parts[2] = {{0}, {0}};
    size_t tail = 0;
    int rc = 0;
    if (!anchored) {
        sort_alternatives(s, parts, &tail);
    }
    if (s->failed || parts[0].failed || parts[1].failed) {
        rc = bth_error_nomem(err);
    } else if (tail == 0) {
        rc = compile_part(p, bth_str_text(s), s->size, 0, err);
    } else {
        rc = compile_part(p, parts[0].data, parts[0].size, tail, err);
        if (rc == 0 && parts[1].size) {
            rc = compile_part(p, parts[1].data, parts[1].size, 0, err);
        }
    }
    bth_str_finish(&parts[0]);
    bth_str_finish(&parts[1]);
    return rc;
}

int spacy_pattern_compile(const char *text, size_t n, bool anchored, struct spacy_pattern **out,
                          struct berth_error *err) {
    if (n > MAX_PATTERN || !bth_utf8_valid(text, n)) {
        return bth_error(err, BERTH_EFORMAT, "a pattern is too long, or no UTF-8");
    }
    struct spacy_pattern *p = bth_calloc(1, sizeof(*p));
    if (!p) {
        return bth_error_nomem(err);
    }
    struct bth_str s = {0};
    const char *body = text;
    p->options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C |
                 (anchored ? PCRE2_ANCHORED : 0) | take_flags(&body, text + n);
    struct translation t = {.at = body, .end = text + n, .out = &s};
    int rc = translate(&t) ? 0
                           : bth_error(err, BERTH_EFORMAT, "a pattern is not read near byte %zu",
                                       (size_t)(t.at - text));
    if (rc == 0) {
        rc = compile_all(p, &s, anchored, err);
    }
    bth_str_finish(&s);
    if (rc < 0) {
        spacy_pattern_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void spacy_pattern_free(struct spacy_pattern *p) {
    for (size_t i = 0; p && i < p->n; i++) {
        pcre2_code_free(p->parts[i].code);
    }
    bth_free(p);
}

/* ---- matching -------------------------------------------------------------------------------*/

size_t spacy_matcher_budget(size_t bytes) {
    size_t more;
    return bth_mul(bytes, BYTES_PER_BYTE, &more) && bth_add(more, FREE_BYTES, &more) ? more
                                                                                     : SIZE_MAX;
}

struct spacy_matcher *spacy_matcher_create(size_t budget) {
    struct spacy_matcher *m = bth_calloc(1, sizeof(*m));
    if (m) {
        m->budget = budget;
        m->match = pcre2_match_data_create(1, NULL);
        m->limits = pcre2_match_context_create(NULL);
    }
    if (m && (!m->match || !m->limits)) {
        spacy_matcher_destroy(m);
        return NULL;
    }
    if (m) { /* the interpreter's, where there is no JIT */
        pcre2_set_heap_limit(m->limits, HEAP_MOST >> 10);
    }
    return m;
}

void spacy_matcher_destroy(struct spacy_matcher *m) {
    if (m) {
        pcre2_jit_stack_free(m->stack);
        pcre2_match_context_free(m->limits);
        pcre2_match_data_free(m->match);
        bth_free(m);
    }
}

static int spend(struct spacy_matcher *m, size_t n, struct berth_error *err) {
    if (!bth_add(m->spent, n, &m->spent)) {
        m->spent = SIZE_MAX;
    }
    if (m->budget && m->spent > m->budget) {
        return bth_error(err, BERTH_ETOOLARGE,
                         "the text takes too long to be split into tokens or searched: it has too "
                         "long a piece without a space, or a pattern of the model is too slow");
    }
    return 0;
}

/* PCRE2's result, with a stack of its own where the thread's is too small. The interpreter, which
 * would do without, takes several times the memory. */
static int match_once(const struct part *part, struct spacy_matcher *m, const char *s, size_t n,
                      size_t from, uint32_t steps) {
    pcre2_set_match_limit(m->limits, steps);
    int rc =
        pcre2_match(part->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, m->match, m->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !m->stack) {
        m->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
        if (!m->stack) {
            return PCRE2_ERROR_NOMEMORY;
        }
        pcre2_jit_stack_assign(m->limits, NULL, m->stack);
        rc = pcre2_match(part->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, m->match,
                         m->limits);
    }
    return rc;
}

/* 1 and the range, 0, or an error. PCRE2 does not tell how many steps a match took, and counts them
 * anew at each place: so a match gets few at first, and more for what all places could take. */
static int run(const struct part *part, struct spacy_matcher *m, const char *s, size_t n,
               size_t from, struct berth_error *err) {
    const size_t places = part->anchored ? 1 : n - from + 1;
    int rc = spend(m, n - from, err);
    for (uint32_t steps = FIRST_STEPS; rc == 0; steps *= MORE_STEPS) {
        int found = match_once(part, m, s, n, from, steps);
        if (found >= 0 || found == PCRE2_ERROR_NOMATCH) {
            return found >= 0;
        }
        if (found == PCRE2_ERROR_NOMEMORY) {
            return bth_error_nomem(err);
        }
        if (found != PCRE2_ERROR_MATCHLIMIT || steps == MOST_STEPS) {
            return bth_error(err, BERTH_ETOOLARGE, "a pattern takes too long on the text (code %d)",
                             found);
        }
        size_t price = steps * MORE_STEPS / STEPS_PER_BYTE;
        rc = spend(m, bth_mul(places, price, &price) ? price : SIZE_MAX, err);
    }
    return rc;
}

/* Where a search may begin that begins at byte `at`. A $ may also stand before a last line feed. */
static size_t first_place(const struct part *part, const char *s, size_t n, size_t at) {
    if (part->tail == 0 || n - at <= part->tail || s[n - 1] == '\n') {
        return at;
    }
    size_t from = n - part->tail;
    while (from > at && bth_utf8_goes_on(s[from])) {
        from--;
    }
    return from;
}

int spacy_pattern_next(const struct spacy_pattern *p, struct spacy_matcher *m, const char *s,
                       size_t n, size_t *at, size_t *out_begin, size_t *out_end,
                       struct berth_error *err) {
    bool found = false;
    size_t begin = 0, end = 0;
    for (size_t i = 0; p && i < p->n && *at <= n; i++) {
        const size_t from = first_place(&p->parts[i], s, n, *at);
        int rc = run(&p->parts[i], m, s, n, from, err);
        if (rc < 0) {
            return rc;
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(m->match);
        if (rc == 1 && (!found || span[0] < begin)) {
            found = true;
            begin = span[0];
            end = span[1];
        }
    }
    if (!found) {
        return 0;
    }
    uint32_t c;
    *at = end > begin || end == n ? end + (end == begin)
                                  : end + bth_utf8_decode(s + end, n - end, &c);
    *out_begin = begin;
    *out_end = end;
    return 1;
}

int spacy_pattern_search(const struct spacy_pattern *p, struct spacy_matcher *m, const char *s,
                         size_t n, size_t *out_begin, size_t *out_end, struct berth_error *err) {
    size_t at = 0;
    return spacy_pattern_next(p, m, s, n, &at, out_begin, out_end, err);
}

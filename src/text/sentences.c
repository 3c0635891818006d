#include "text/sentences.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "text/sentences_internal.h"
#include <string.h>
#include <utf8proc.h>

/* A grapheme of more bytes is not one that anybody wrote, and may be cut. */
enum { GRAPHEME_BYTES = 256 };
/* Longer stretches than this many bytes a unit are not measured as a whole: a text of one line
 * would be tokenized again and again. */
enum { BYTES_A_UNIT = 8, LEAST_WINDOW = 64 };

struct splitter {
    const char *text;
    const struct bth_sentences_options *options;
    struct bth_sentences *out;
    struct berth_error *err;
};

/* ---- characters ------------------------------------------------------------------------------*/

static uint32_t at(const char *text, size_t p, size_t end, size_t *out_next) {
    unsigned char c = (unsigned char)text[p];
    uint32_t code = c;
    *out_next = p + (c < 0x80 ? 1 : bth_utf8_decode(text + p, end - p, &code));
    return code;
}

static bool is_line_end(uint32_t c) {
    return (c >= '\n' && c <= '\r') || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static bool is_space(uint32_t c) {
    return c == ' ' || c == '\t' || is_line_end(c) || c == 0xFEFF ||
           (c >= 0x80 && utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ZS);
}

static bool is_letter(uint32_t c) {
    if (c < 0x80) {
        return (c | 32) >= 'a' && (c | 32) <= 'z';
    }
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || c == 0xFFFD;
}

static bool is_lower(uint32_t c) {
    return c < 0x80 ? c >= 'a' && c <= 'z'
                    : utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LL;
}

static bool is_upper(uint32_t c) {
    return c < 0x80 ? c >= 'A' && c <= 'Z'
                    : utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU;
}

static bool is_digit(uint32_t c) {
    return c < 0x80 ? c >= '0' && c <= '9'
                    : utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

static bool is_one_of(uint32_t c, const uint32_t *set, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (set[i] == c) {
            return true;
        }
    }
    return false;
}
#define IS_ONE_OF(c, set) is_one_of(c, set, sizeof(set) / sizeof((set)[0]))

/* Ends a sentence where white space follows. */
static bool is_stop(uint32_t c) {
    static const uint32_t set[] = {'.',
                                   '!',
                                   '?',
                                   0x2026,
                                   0x203C,
                                   0x203D,
                                   0x2047,
                                   0x2048,
                                   0x2049,
                                   0x61F /* Arabic question mark */,
                                   0x6D4 /* Urdu full stop */,
                                   0x589 /* Armenian full stop */};
    return IS_ONE_OF(c, set);
}

/* Ends a sentence wherever it is: scripts that write no blank after it. */
static bool is_hard_stop(uint32_t c) {
    static const uint32_t set[] = {0x3002 /* ideographic full stop */,
                                   0xFF01,
                                   0xFF1F,
                                   0xFF61,
                                   0x964 /* danda */,
                                   0x965,
                                   0x104A /* Myanmar */,
                                   0x104B,
                                   0x1362 /* Ethiopic */,
                                   0x17D4 /* Khmer */};
    return c >= 0x80 && IS_ONE_OF(c, set);
}

static bool is_closer(uint32_t c) {
    static const uint32_t set[] = {'"',    '\'',   ')',    ']',    '}',    0x2019, 0x201D, 0xBB,
                                   0x203A, 0x300D, 0x300F, 0xFF09, 0x3011, 0x300B, 0x3009};
    return IS_ONE_OF(c, set);
}

static bool is_opener(uint32_t c) {
    static const uint32_t set[] = {'"',    '\'',   '(',    '[',    '{',    '-',    '*',
                                   0xA1,   0xBF,   0xAB,   0x2018, 0x201C, 0x201E, 0x2039,
                                   0x2013, 0x2014, 0x2022, 0x300C, 0x300E, 0xFF08};
    return IS_ONE_OF(c, set);
}

/* Ends a clause: before white space, but for those of scripts without it. */
static bool is_clause_mark(uint32_t c) {
    static const uint32_t set[] = {',',    ';',    ':',    0x2013, 0x2014, 0x60C /* Arabic comma */,
                                   0x61B,  0x3001, 0xFF0C, 0xFF1B, 0xFF1A, 0x3002,
                                   0xFF01, 0xFF1F, 0x2026, '.',    '!',    '?',
                                   ')',    0xFF09};
    return IS_ONE_OF(c, set);
}

/* ---- is there anything to translate? ---------------------------------------------------------*/

/* [begin, end) has no white space: an address of the net or of mail? */
static bool is_address(const char *text, size_t begin, size_t end) {
    const char *p = text + begin;
    size_t n = end - begin;
    const char *mark = memchr(p, ':', n), *mail = memchr(p, '@', n);
    if (mark && (size_t)(p + n - mark) > 3 && memcmp(mark, "://", 3) == 0) {
        return true;
    }
    return (n > 4 && memcmp(p, "www.", 4) == 0) ||
           (mail && mail != p && memchr(mail, '.', (size_t)(p + n - mail)));
}

size_t bth_sentences_address(const char *text, size_t n, size_t begin) {
    size_t end = begin, next;
    if (begin > 0) {
        const size_t before = bth_utf8_before(text, begin);
        if (!is_space(at(text, before, n, &next))) {
            return begin;
        }
    }
    while (end < n && !is_space(at(text, end, n, &next))) {
        end = next;
    }
    return end > begin && is_address(text, begin, end) ? end : begin;
}

static bool has_words(const char *text, size_t begin, size_t end) {
    size_t word = begin;
    bool letters = false;
    for (size_t p = begin, next; p < end; p = next) {
        uint32_t c = at(text, p, end, &next);
        if (is_space(c)) {
            if (letters && !is_address(text, word, p)) {
                return true;
            }
            word = next;
            letters = false;
        } else {
            letters |= is_letter(c);
        }
    }
    return letters && !is_address(text, word, end);
}

/* ---- pieces ----------------------------------------------------------------------------------*/

static int push(struct splitter *s, size_t begin, size_t end) {
    struct bth_sentences *out = s->out;
    if (out->n == out->capacity) {
        size_t more = out->capacity ? out->capacity * 2 : 8;
        struct bth_piece *p = bth_realloc_array(out->pieces, more, sizeof(*p));
        if (!p) {
            return bth_error_nomem(s->err);
        }
        out->pieces = p;
        out->capacity = more;
    }
    out->pieces[out->n++] = (struct bth_piece){begin, end, has_words(s->text, begin, end)};
    return 0;
}

static size_t skip_space(const char *text, size_t p, size_t end) {
    for (size_t next; p < end && is_space(at(text, p, end, &next)); p = next) {
    }
    return p;
}

/* The end of [begin, end) without the white space there. Ill-formed bytes are no white space, so
 * that going back over continuation bytes finds the same characters as going forward. */
static size_t trim(const char *text, size_t begin, size_t end) {
    while (end > begin) {
        size_t p = end - 1, next;
        while (p > begin && end - p < 4 && bth_utf8_goes_on(text[p])) {
            p--;
        }
        if (!is_space(at(text, p, end, &next)) || next != end) {
            break;
        }
        end = p;
    }
    return end;
}

/* How much of p[0, n) to take when about `limit` bytes fit: to the last clause mark in the second
 * half, else to the last blank, else to the last character; at least one character. */
static size_t place_to_cut(const char *p, size_t n, size_t limit) {
    size_t clause = 0, blank = 0, any = 0, next, i = 0;
    utf8proc_int32_t state = 0;
    for (uint32_t c, after; i < n; i = next) {
        size_t behind;
        c = at(p, i, n, &next);
        after = next < n ? at(p, next, n, &behind) : ' ';
        bool whole =
            next == n || next - any > GRAPHEME_BYTES ||
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)after, &state);
        if (!whole) {
            continue;
        }
        if (next > limit && any > 0) {
            break;
        }
        any = next;
        if (is_clause_mark(c) && (c >= 0x3000 || is_space(after))) {
            clause = next;
        }
        if (is_space(after)) {
            blank = next;
        }
        if (next > limit) {
            break;
        }
    }
    if (clause > limit / 2 && clause <= limit) {
        return clause;
    }
    return blank > 0 && blank <= limit ? blank : any;
}

static int64_t measure(const struct splitter *s, size_t begin, size_t n) {
    const struct bth_sentences_options *o = s->options;
    return o->measure ? o->measure(o->arg, s->text + begin, n, s->err) : (int64_t)n;
}

/* The first bytes of [begin, end) that fit, or a BERTH_E code. */
static int64_t fitting(const struct splitter *s, size_t begin, size_t end) {
    size_t rest = end - begin, n = rest, most = (size_t)s->options->most;
    size_t window = most > SIZE_MAX / BYTES_A_UNIT ? SIZE_MAX : most * BYTES_A_UNIT;
    window = window < LEAST_WINDOW ? LEAST_WINDOW : window;
    if (n > window) {
        n = place_to_cut(s->text + begin, rest, window);
    }
    for (;;) {
        int64_t m = measure(s, begin, n);
        if (m < 0 || (size_t)m <= most) {
            return m < 0 ? m : (int64_t)n;
        }
        size_t less = (size_t)((double)n * (double)most / (double)m);
        less = less >= n ? n - 1 : less;
        size_t shorter = place_to_cut(s->text + begin, n, less);
        if (shorter >= n) {
            return (int64_t)n; /* one character */
        }
        n = shorter;
    }
}

/* ---- sentences in a line ---------------------------------------------------------------------*/

/* The word that ends before `stop`, with the stops inside it ("e.g"). */
static size_t word_before(const char *text, size_t begin, size_t stop) {
    size_t p = stop;
    while (p > begin) {
        unsigned char c = (unsigned char)text[p - 1];
        if (c < 0x80 && c != '.' && !is_letter(c) && !is_digit(c) && c != '-') {
            break;
        }
        if (c == 0xA0 && p - begin >= 2 && (unsigned char)text[p - 2] == 0xC2) {
            break; /* a no-break space */
        }
        if (stop - p > 32) {
            break;
        }
        p--;
    }
    return p;
}

/* Whether the stop behind the word [word, stop) may end a sentence before the character `next`. */
static bool stop_ends(const struct splitter *s, size_t line, size_t word, size_t stop,
                      uint32_t next) {
    const char *language = s->options->language, *p = s->text + word;
    size_t n = stop - word, after;
    bool digits = n > 0;
    for (size_t i = 0; i < n; i++) {
        digits &= p[i] >= '0' && p[i] <= '9';
    }
    if (digits) { /* the number of an item, or an ordinal */
        return word != line && !(is_letter(next) && bth_stop_makes_ordinals(language));
    }
    if (n == 0) {
        return true;
    }
    uint32_t first = at(s->text, word, stop, &after);
    if (after == stop && is_upper(first)) { /* an initial; the English "I" may stand at an end */
        return first == 'I' && language && strncmp(language, "en", 2) == 0;
    }
    enum bth_abbreviation a = bth_abbreviation(language, p, n);
    if (a == BTH_ABBREVIATION_ALWAYS || (a == BTH_ABBREVIATION_BEFORE_DIGIT && is_digit(next))) {
        return false;
    }
    return !(memchr(p, '.', n) && is_letter(first)); /* "U.S", "a.m" */
}

/* At a stop at p: the end of the sentence, or 0 when there is none. *out_next: where to look on. */
static size_t end_at(const struct splitter *s, size_t begin, size_t p, size_t end,
                     size_t *out_next) {
    size_t q = p, next;
    bool hard = false, single = s->text[p] == '.';
    uint32_t c = 0;
    for (size_t n = 0; q < end; q = next, n++) {
        c = at(s->text, q, end, &next);
        if (!is_stop(c) && !is_hard_stop(c)) {
            break;
        }
        hard |= is_hard_stop(c);
        single &= n == 0;
    }
    for (; q < end && is_closer(c = at(s->text, q, end, &next)); q = next) {
        single = false;
    }
    *out_next = q;
    if (hard || q == end) {
        return q;
    }
    if (!is_space(c)) {
        return 0;
    }
    size_t r = skip_space(s->text, q, end);
    while (r < end && is_opener(c = at(s->text, r, end, &next))) {
        r = skip_space(s->text, next, end);
    }
    c = r < end ? at(s->text, r, end, &next) : 'A';
    if (is_lower(c)) {
        return 0;
    }
    return !single || stop_ends(s, begin, word_before(s->text, begin, p), p, c) ? q : 0;
}

/* ---- the walk --------------------------------------------------------------------------------*/

enum { AT_LINE, IN_LINE, IN_SENTENCE };

/* Looks for the end of the line; what has been looked at is taken off *work. */
static void find_line(const struct splitter *s, size_t n, struct bth_sentences_cursor *c,
                      size_t *work) {
    size_t next = c->at;
    while (c->at<n && * work> 0) {
        if (is_line_end(at(s->text, c->at, n, &next))) {
            break;
        }
        *work -= *work < next - c->at ? *work : next - c->at;
        c->at = next;
    }
    if (c->at < n && next == c->at) {
        return; /* no more work for now */
    }
    c->line_end = c->at;
    c->next_line = next;
    c->at = c->begin = skip_space(s->text, c->begin, c->line_end);
    c->state = IN_LINE;
}

/* Looks for the end of a sentence. */
static void find_end(const struct splitter *s, struct bth_sentences_cursor *c, size_t *work) {
    const size_t end = c->line_end;
    size_t cut = 0, next;
    c->at = s->options->lines ? end : c->at;
    while (c->at < end && cut == 0 && *work > 0) {
        const uint32_t code = at(s->text, c->at, end, &next);
        if (is_stop(code) || is_hard_stop(code)) {
            cut = end_at(s, c->begin, c->at, end, &next);
        }
        *work -= *work < next - c->at ? *work : next - c->at;
        c->at = next;
    }
    if (cut == 0 && c->at < end) {
        return;
    }
    c->behind = cut > 0 ? cut : end;
    c->end = trim(s->text, c->begin, c->behind);
    c->begin = skip_space(s->text, c->begin, c->end);
    c->state = IN_SENTENCE;
}

/* The sentence that has been found, in pieces that fit. */
static int emit(struct splitter *s, size_t n, struct bth_sentences_cursor *c, size_t *work) {
    while (c->begin<c->end && * work> 0) {
        const size_t begin = c->begin;
        size_t size = c->end - begin;
        if (s->options->most > 0) {
            int64_t fits = fitting(s, begin, c->end);
            if (fits < 0) {
                return (int)fits;
            }
            size = (size_t)fits;
        }
        int rc = push(s, begin, trim(s->text, begin, begin + size));
        if (rc < 0) {
            return rc;
        }
        *work -= *work < size ? *work : size;
        c->begin = skip_space(s->text, begin + size, c->end);
    }
    if (c->begin < c->end) {
        return 0;
    }
    c->at = c->begin = skip_space(s->text, c->behind, c->line_end);
    c->state = IN_LINE;
    if (c->behind == c->line_end) {
        c->done = c->line_end == n;
        c->at = c->begin = c->next_line;
        c->state = AT_LINE;
    }
    return 0;
}

int bth_sentences_next(const char *text, size_t n, const struct bth_sentences_options *options,
                       struct bth_sentences_cursor *cursor, size_t work, struct bth_sentences *out,
                       struct berth_error *err) {
    static const struct bth_sentences_options defaults;
    struct splitter s = {
        .text = text, .options = options ? options : &defaults, .out = out, .err = err};
    int rc = 0;
    work = work > 0 ? work : 1;
    while (rc == 0 && !cursor->done && work > 0) {
        if (cursor->state == AT_LINE) {
            find_line(&s, n, cursor, &work);
        } else if (cursor->state == IN_LINE) {
            find_end(&s, cursor, &work);
        } else {
            rc = emit(&s, n, cursor, &work);
        }
        work -= work > 0; /* an empty line is work too */
    }
    return rc;
}

int bth_sentences_split(const char *text, size_t n, const struct bth_sentences_options *options,
                        struct bth_sentences *out, struct berth_error *err) {
    struct bth_sentences_cursor cursor = {0};
    struct bth_sentences all = {0};
    int rc = 0;
    while (rc == 0 && !cursor.done) {
        rc = bth_sentences_next(text, n, options, &cursor, SIZE_MAX, &all, err);
    }
    if (rc < 0) {
        bth_sentences_finish(&all);
        return rc;
    }
    *out = all;
    return 0;
}

void bth_sentences_finish(struct bth_sentences *s) {
    bth_free(s->pieces);
    *s = (struct bth_sentences){0};
}

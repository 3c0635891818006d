#include "spacy/spacy_words.h"

#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_strings.h"
#include "spacy/spacy_unicode.h"
#include "spacy/spacy_words_data.h"
#include <string.h>

/* A set of words by their hash: the lists are fixed and hold no two of the same one. */
struct set {
    uint64_t *slots; /* [capacity], a power of two; 0: free */
    size_t capacity;
};

struct spacy_words {
    const struct spacy_words_data *data; /* NULL: a language without lists */
    struct set stop, numbers, currency;
};

static uint64_t *find_slot(const struct set *s, uint64_t hash) {
    size_t at = (size_t)hash & (s->capacity - 1);
    while (s->slots[at] && s->slots[at] != hash) {
        at = (at + 1) & (s->capacity - 1);
    }
    return &s->slots[at];
}

static bool contains(const struct set *s, const char *text, size_t n) {
    return n > 0 && s->capacity && *find_slot(s, spacy_string_hash(text, n)) != 0;
}

static int build(struct set *s, const char *list) {
    size_t n = 0;
    for (const char *p = list; *p; p++) {
        n += *p == '\n';
    }
    s->capacity = 8;
    while (s->capacity < 2 * n) {
        s->capacity *= 2;
    }
    s->slots = bth_calloc(s->capacity, sizeof(*s->slots));
    if (!s->slots) {
        return BERTH_ENOMEM;
    }
    for (const char *p = list; *p;) {
        size_t size = strcspn(p, "\n");
        uint64_t hash = spacy_string_hash(p, size);
        *find_slot(s, hash) = hash;
        p += size + 1;
    }
    return 0;
}

int spacy_words_open(const char *lang, struct spacy_words **out, struct berth_error *err) {
    struct spacy_words *w = bth_calloc(1, sizeof(*w));
    if (!w) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < spacy_n_words_data; i++) {
        if (strcmp(spacy_words_data[i].lang, lang) == 0) {
            w->data = &spacy_words_data[i];
        }
    }
    if (w->data &&
        (build(&w->stop, w->data->stop) < 0 || build(&w->numbers, w->data->numbers) < 0 ||
         build(&w->currency, w->data->currency) < 0)) {
        spacy_words_close(w);
        return bth_error_nomem(err);
    }
    *out = w;
    return 0;
}

void spacy_words_close(struct spacy_words *w) {
    if (w) {
        bth_free(w->stop.slots);
        bth_free(w->numbers.slots);
        bth_free(w->currency.slots);
        bth_free(w);
    }
}

bool spacy_words_stop(const struct spacy_words *w, const char *lower, size_t n) {
    return w && contains(&w->stop, lower, n);
}

bool spacy_words_currency(const struct spacy_words *w, const char *text, size_t n) {
    return w && contains(&w->currency, text, n);
}

/* str.isdigit */
static bool all_digits(const char *s, size_t n) {
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += bth_utf8_decode(s + at, n - at, &c);
        if (!(spacy_char_kind(c) & SPACY_CHAR_DIGIT)) {
            return false;
        }
    }
    return n > 0;
}

/* Digits on both sides of the only `sign`. */
static bool is_pair(const char *s, size_t n, char sign) {
    const char *at = memchr(s, sign, n);
    if (!at || memchr(at + 1, sign, (size_t)(s + n - at - 1))) {
        return false;
    }
    return all_digits(s, (size_t)(at - s)) && all_digits(at + 1, (size_t)(s + n - at - 1));
}

static bool ends_with(const char *s, size_t n, const char *end) {
    size_t size = strlen(end);
    return n >= size && memcmp(s + n - size, end, size) == 0;
}

static bool starts_with(const char *s, size_t n, const char *start) {
    size_t size = strlen(start);
    return n >= size && memcmp(s, start, size) == 0;
}

/* The text without its sign and what may stand between digits. */
static void strip(struct bth_str *out, unsigned rules, const char *s, size_t n) {
    static const char *const signs[] = {"+", "-", "\xC2\xB1", "~"};
    for (size_t i = 0; i < BTH_COUNT(signs) && !(rules & SPACY_NUMBER_UNSIGNED); i++) {
        if (starts_with(s, n, signs[i])) {
            n -= strlen(signs[i]);
            s += strlen(signs[i]);
            break;
        }
    }
    if ((rules & SPACY_NUMBER_PERCENT) && ends_with(s, n, "%")) {
        n--;
    }
    for (size_t at = 0; at < n;) {
        uint32_t c;
        size_t size = bth_utf8_decode(s + at, n - at, &c);
        bool skipped =
            c == ',' || c == '.' || ((rules & SPACY_NUMBER_MARKS) && (c == 0xBA || c == 0xAA));
        if (!skipped) {
            bth_str_append(out, s + at, size);
        }
        at += size;
    }
}

/* Macedonian number words take an article or an ordinal ending. */
static bool has_ending(const struct set *numbers, const char *s, size_t n) {
    static const char *const endings[] = {"а",   "о",   "и",   "ти",  "та",  "то",   "на",
                                          "ата", "иот", "ите", "ина", "чки", "мина", "тина"};
    for (size_t i = 0; i < BTH_COUNT(endings); i++) {
        if (ends_with(s, n, endings[i]) && contains(numbers, s, n - strlen(endings[i]))) {
            return true;
        }
    }
    return false;
}

static bool any_char(const struct set *numbers, const char *s, size_t n) {
    for (size_t at = 0, size; at < n; at += size) {
        uint32_t c;
        size = bth_utf8_decode(s + at, n - at, &c);
        if (contains(numbers, s + at, size)) {
            return true;
        }
    }
    return false;
}

/* s is stripped, lower is that in lower case. */
static bool is_word(const struct spacy_words *w, unsigned rules, const struct bth_str *s,
                    const struct bth_str *lower) {
    const struct bth_str *spelling = rules & SPACY_NUMBER_EXACT ? s : lower;
    const char *text = bth_str_text(spelling);
    const size_t n = spelling->size;
    if (rules & SPACY_NUMBER_CHARS) {
        return any_char(&w->numbers, text, n);
    }
    if (contains(&w->numbers, text, n)) {
        return true;
    }
    if ((rules & SPACY_NUMBER_CARET) && (contains(&w->numbers, bth_str_text(s), s->size) ||
                                         contains(&w->numbers, text, strcspn(text, " ")))) {
        return true;
    }
    if (rules & SPACY_NUMBER_ORDINAL) {
        return n > 2 && all_digits(text, n - 2) &&
               (ends_with(text, n, "st") || ends_with(text, n, "nd") || ends_with(text, n, "rd") ||
                ends_with(text, n, "th"));
    }
    return (rules & SPACY_NUMBER_ENDINGS) && has_ending(&w->numbers, text, n);
}

int spacy_words_number(const struct spacy_words *w, const char *text, size_t n) {
    const unsigned rules = w && w->data ? w->data->rules : 0;
    struct bth_str s = {0}, lower = {0};
    strip(&s, rules, text, n);
    const char *stripped = bth_str_text(&s);
    bool is = all_digits(stripped, s.size) || is_pair(stripped, s.size, '/') ||
              ((rules & SPACY_NUMBER_CARET) && is_pair(stripped, s.size, '^'));
    if (!is && w && w->data) {
        spacy_lower(&lower, stripped, s.size);
        is = is_word(w, rules, &s, &lower);
    }
    const bool failed = s.failed || lower.failed;
    bth_str_finish(&s);
    bth_str_finish(&lower);
    return failed ? BERTH_ENOMEM : is;
}

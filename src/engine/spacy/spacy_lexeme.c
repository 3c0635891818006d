#include "spacy/spacy_lexeme.h"

#include "base/pystr.h"
#include "spacy/spacy_pattern.h"
#include "spacy/spacy_unicode.h"
#include "spacy/spacy_vectors.h"
#include <string.h>

enum { LONG_SHAPE = 100, MAX_RUN = 4 };

/* A pattern that takes longer on a word says that it is no address. */
enum { URL_BUDGET = 1 << 14, URL_BUDGET_PER_BYTE = 8 };
enum { ATTR_ORTH = 65, ATTR_LOWER, ATTR_NORM, ATTR_SHAPE, ATTR_PREFIX, ATTR_SUFFIX };

/* What all characters of a text have in common, and its case. */
struct scan {
    uint32_t length;
    bool ascii;
    unsigned all, any; /* bits of enum spacy_char */
    bool title;        /* letters with case follow each other as in a title */
};

static struct scan scan_text(const char *s, size_t n) {
    struct scan r = {.ascii = true, .all = ~0u, .title = true};
    bool in_word = false;
    for (size_t at = 0; at < n; r.length++) {
        uint32_t c;
        at += bth_utf8_decode(s + at, n - at, &c);
        const unsigned kind = spacy_char_kind(c);
        r.ascii = r.ascii && c < 0x80;
        r.all &= kind;
        r.any |= kind;
        if (kind & (SPACY_CHAR_UPPER | SPACY_CHAR_TITLE)) {
            r.title = r.title && !in_word;
            in_word = true;
        } else if (kind & SPACY_CHAR_LOWER) {
            r.title = r.title && in_word;
            in_word = true;
        } else {
            in_word = false;
        }
    }
    return r;
}

static unsigned case_flags(const struct scan *r) {
    const unsigned big = SPACY_CHAR_UPPER | SPACY_CHAR_TITLE;
    unsigned flags = 0;
    if ((r->any & SPACY_CHAR_LOWER) && !(r->any & big)) {
        flags |= 1u << SPACY_IS_LOWER;
    }
    if ((r->any & SPACY_CHAR_UPPER) && !(r->any & (SPACY_CHAR_LOWER | SPACY_CHAR_TITLE))) {
        flags |= 1u << SPACY_IS_UPPER;
    }
    if (r->title && (r->any & (big | SPACY_CHAR_LOWER))) {
        flags |= 1u << SPACY_IS_TITLE;
    }
    return flags;
}

/* One of texts that are separated by spaces. */
static bool one_of(const char *list, const char *s, size_t n) {
    if (n > 4 || memchr(s, ' ', n)) {
        return false;
    }
    for (const char *p = list; *p; p += strspn(p, " ")) {
        size_t size = strcspn(p, " ");
        if (size == n && memcmp(p, s, n) == 0) {
            return true;
        }
        p += size;
    }
    return false;
}

static unsigned sign_flags(const char *s, size_t n) {
    unsigned flags = 0;
    if (one_of("( ) [ ] { } < >", s, n)) {
        flags |= 1u << SPACY_IS_BRACKET;
    }
    if (one_of("\" ' ` « » ‘ ’ ‚ ‛ “ ” „ ‟ ‹ › ❮ ❯ '' ``", s, n)) {
        flags |= 1u << SPACY_IS_QUOTE;
    }
    if (one_of("( [ { < \" ' « ‘ ‚ ‛ “ „ ‟ ‹ ❮ ``", s, n)) {
        flags |= 1u << SPACY_IS_LEFT_PUNCT;
    }
    if (one_of(") ] } > \" ' » ’ ” › ❯ ''", s, n)) {
        flags |= 1u << SPACY_IS_RIGHT_PUNCT;
    }
    return flags;
}

static bool ascii_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The bytes from `at` on that are letters, digits or in `more`. */
static size_t run_of(const char *s, size_t n, size_t at, const char *more) {
    size_t end = at;
    while (end < n && (ascii_alnum(s[end]) || (s[end] && strchr(more, s[end])))) {
        end++;
    }
    return end - at;
}

static bool like_email(const char *s, size_t n) {
    size_t at = run_of(s, n, 0, "_.+-");
    if (at == 0 || at == n || s[at] != '@') {
        return false;
    }
    size_t host = run_of(s, n, at + 1, "-");
    at += 1 + host;
    return host > 0 && at < n && s[at] == '.' && run_of(s, n, at + 1, "-.") > 0;
}

static bool known_domain(const char *s, size_t n) {
    static const char domains[] =
        " com org edu gov net mil aero asia biz cat coop info int jobs mobi museum name pro tel "
        "travel xyz icu xxx ac ad ae af ag ai al am an ao aq ar as at au aw ax az ba bb bd be bf "
        "bg bh bi bj bm bn bo br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cs cu "
        "cv cx cy cz dd de dj dk dm do dz ec ee eg eh er es et eu fi fj fk fm fo fr ga gb gd ge "
        "gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir "
        "is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma "
        "mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no "
        "np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd "
        "se sg sh si sj sk sl sm sn so sr ss st su sv sy sz tc td tf tg th tj tk tl tm tn to tp "
        "tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw ";
    char word[12];
    if (n < 2 || n + 3 > sizeof(word) || run_of(s, n, 0, "") != n) {
        return false;
    }
    word[0] = ' ';
    memcpy(word + 1, s, n);
    word[n + 1] = ' ';
    word[n + 2] = '\0';
    return strstr(domains, word) != NULL;
}

static bool starts_with(const char *s, size_t n, const char *start) {
    return n >= strlen(start) && memcmp(s, start, strlen(start)) == 0;
}

static bool like_url(const struct spacy_pattern *pattern, const char *s, size_t n,
                     uint32_t length) {
    if (starts_with(s, n, "http://") || starts_with(s, n, "https://") ||
        (starts_with(s, n, "www.") && length >= 5)) {
        return true;
    }
    const char *dot = s + n;
    while (dot > s && dot[-1] != '.') {
        dot--;
    }
    if (dot == s || s[0] == '.' || s[n - 1] == '.' || memchr(s, '@', n)) {
        return false;
    }
    size_t size = (size_t)(s + n - dot);
    const char *colon = memchr(dot, ':', size);
    size = colon ? (size_t)(colon - dot) : size;
    if ((size > 0 && dot[size - 1] == '/') || known_domain(dot, size)) {
        return true;
    }
    struct spacy_matcher *m =
        pattern ? spacy_matcher_create(URL_BUDGET + URL_BUDGET_PER_BYTE * n) : NULL;
    size_t begin, end;
    bool is = m && spacy_pattern_search(pattern, m, s, n, &begin, &end, NULL) == 1;
    spacy_matcher_destroy(m);
    return is;
}

static void write_shape(struct bth_str *out, const char *s, size_t n, uint32_t length) {
    if (length >= LONG_SHAPE) {
        bth_str_puts(out, "LONG");
        return;
    }
    uint32_t last = 0;
    int run = 0;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += bth_utf8_decode(s + at, n - at, &c);
        const unsigned kind = spacy_char_kind(c);
        if (kind & SPACY_CHAR_ALPHA) {
            c = kind & SPACY_CHAR_LU ? 'X' : 'x';
        } else if (kind & SPACY_CHAR_DIGIT) {
            c = 'd';
        }
        run = c == last ? run + 1 : 1;
        last = c;
        if (run <= MAX_RUN) {
            char bytes[4];
            bth_str_append(out, bytes, bth_utf8_encode(c, bytes));
        }
    }
}

/* spaCy's norms of signs, for words that no table knows. NULL: none. */
static const char *base_norm(const char *s, size_t n) {
    static const struct {
        const char *words, *norm;
    } norms[] = {{"'s 'S ’s ’S", "'s"},
                 {"’ ‘ ´ `", "'"},
                 {"” “ '' `` ´´ „ » « ‘‘ ’’", "\""},
                 {"？", "?"},
                 {"！", "!"},
                 {"，", ","},
                 {"；", ";"},
                 {"：", ":"},
                 {"。 ।", "."},
                 {"…", "..."},
                 {"— – -- --- ——", "-"},
                 {"€ £ ¥ ฿ US$ C$ A$ ₺ ₹ ৳ ₩ Mex$ ₣ E£", "$"}};
    for (size_t i = 0; n <= 6 && i < BTH_COUNT(norms); i++) {
        const char *p = norms[i].words;
        while (*p) {
            size_t size = strcspn(p, " ");
            if (size == n && memcmp(p, s, n) == 0) {
                return norms[i].norm;
            }
            p += size + (p[size] == ' ');
        }
    }
    return NULL;
}

static const char *find_norm(const struct spacy_lexeme_rules *rules, const struct spacy_lexeme *lex,
                             size_t *out_n) {
    const char *text = bth_packed_text(spacy_table_get(rules->norms, lex->orth), out_n);
    if (text && bth_utf8_valid(text, *out_n)) {
        return text;
    }
    text = base_norm(lex->text, lex->bytes);
    text = text ? text : lex->lower_text;
    *out_n = strlen(text);
    return text;
}

static const char *suffix_of(const char *s, size_t n) {
    for (int i = 0; i < 3 && n > 0; i++) {
        n = bth_utf8_before(s, n);
    }
    return s + n;
}

static size_t prefix_size(const char *s, size_t n) {
    uint32_t c;
    return bth_utf8_decode(s, n, &c);
}

static int set_flags(const struct spacy_lexeme_rules *rules, struct spacy_lexeme *lex,
                     const struct scan *r) {
    static const struct {
        unsigned kind;
        int flag;
    } whole[] = {{SPACY_CHAR_ALPHA, SPACY_IS_ALPHA},
                 {SPACY_CHAR_DIGIT, SPACY_IS_DIGIT},
                 {SPACY_CHAR_PUNCT, SPACY_IS_PUNCT},
                 {SPACY_CHAR_SPACE, SPACY_IS_SPACE},
                 {SPACY_CHAR_CURRENCY, SPACY_IS_CURRENCY}};
    unsigned flags = case_flags(r) | sign_flags(lex->text, lex->bytes);
    for (size_t i = 0; i < BTH_COUNT(whole); i++) {
        flags |= r->all & whole[i].kind ? 1u << whole[i].flag : 0;
    }
    const int number = spacy_words_number(rules->words, lex->text, lex->bytes);
    if (number < 0) {
        return number;
    }
    flags |= r->ascii ? 1u << SPACY_IS_ASCII : 0;
    flags |= number ? 1u << SPACY_LIKE_NUM : 0;
    flags |= like_url(rules->url, lex->text, lex->bytes, lex->length) ? 1u << SPACY_LIKE_URL : 0;
    flags |= like_email(lex->text, lex->bytes) ? 1u << SPACY_LIKE_EMAIL : 0;
    if (spacy_words_stop(rules->words, lex->lower_text, strlen(lex->lower_text))) {
        flags |= 1u << SPACY_IS_STOP;
    }
    if (spacy_words_currency(rules->words, lex->text, lex->bytes)) {
        flags |= 1u << SPACY_IS_CURRENCY;
    }
    lex->flags = flags;
    return 0;
}

/* Text attributes but the norm, copied into the arena. */
static bool set_texts(struct spacy_lexeme *lex, struct bth_arena *arena) {
    struct bth_str lower = {0}, shape = {0};
    spacy_lower(&lower, lex->text, lex->bytes);
    write_shape(&shape, lex->text, lex->bytes, lex->length);
    lex->lower = spacy_string_id(bth_str_text(&lower), lower.size);
    lex->shape = spacy_string_id(bth_str_text(&shape), shape.size);
    lex->lower_text = bth_arena_strndup(arena, bth_str_text(&lower), lower.size);
    lex->shape_text = bth_arena_strndup(arena, bth_str_text(&shape), shape.size);
    const bool good = !lower.failed && !shape.failed && lex->lower_text && lex->shape_text;
    bth_str_finish(&lower);
    bth_str_finish(&shape);
    return good;
}

struct spacy_lexeme *spacy_lexeme_make(const struct spacy_lexeme_rules *rules,
                                       struct bth_arena *arena, const char *text, size_t n) {
    struct spacy_lexeme *lex = bth_arena_alloc(arena, sizeof(*lex));
    if (!lex || !(lex->text = bth_arena_strndup(arena, text, n))) {
        return NULL;
    }
    const struct scan r = scan_text(text, n);
    lex->bytes = (uint32_t)n;
    lex->length = r.length;
    lex->orth = spacy_string_id(text, n);
    if (!set_texts(lex, arena)) {
        return NULL;
    }
    size_t norm_n;
    const char *norm = find_norm(rules, lex, &norm_n);
    /* the whole lower-cased text, even if it holds a NUL */
    lex->norm = norm == lex->lower_text ? lex->lower : spacy_string_id(norm, norm_n);
    lex->norm_text = bth_arena_strndup(arena, norm, norm_n);
    lex->prefix = spacy_string_id(text, prefix_size(text, n));
    const char *suffix = suffix_of(text, n);
    lex->suffix = spacy_string_id(suffix, (size_t)(text + n - suffix));
    lex->vector = spacy_vectors_row(rules->vectors, lex->orth);
    return lex->norm_text && set_flags(rules, lex, &r) == 0 ? lex : NULL;
}

size_t spacy_lexeme_size(const struct spacy_lexeme *lex) {
    return sizeof(*lex) + lex->bytes + strlen(lex->lower_text) + strlen(lex->norm_text) +
           strlen(lex->shape_text) + 4;
}

static const char *put(char **at, const char *text, size_t n) {
    char *to = *at;
    memcpy(to, text, n);
    to[n] = '\0';
    *at = to + n + 1;
    return to;
}

void spacy_lexeme_copy(void *to, const struct spacy_lexeme *lex) {
    struct spacy_lexeme *copy = to;
    char *at = (char *)(copy + 1);
    *copy = *lex;
    copy->text = put(&at, lex->text, lex->bytes);
    copy->lower_text = put(&at, lex->lower_text, strlen(lex->lower_text));
    copy->norm_text = put(&at, lex->norm_text, strlen(lex->norm_text));
    copy->shape_text = put(&at, lex->shape_text, strlen(lex->shape_text));
}

const char *spacy_lexeme_text(const struct spacy_lexeme *lex, int attribute, size_t *out_n) {
    const char *text = NULL;
    switch (attribute) {
    case ATTR_ORTH:
        *out_n = lex->bytes;
        return lex->text;
    case ATTR_LOWER:
        text = lex->lower_text;
        break;
    case ATTR_NORM:
        text = lex->norm_text;
        break;
    case ATTR_SHAPE:
        text = lex->shape_text;
        break;
    case ATTR_PREFIX:
        *out_n = prefix_size(lex->text, lex->bytes);
        return lex->text;
    case ATTR_SUFFIX:
        text = suffix_of(lex->text, lex->bytes);
        *out_n = (size_t)(lex->text + lex->bytes - text);
        return text;
    default:
        return NULL;
    }
    *out_n = strlen(text);
    return text;
}

const char *spacy_token_norm(const struct spacy_doc *doc, const struct spacy_token *token) {
    const char *text =
        token->norm == token->lex->norm ? NULL : spacy_strings_get(doc->strings, token->norm);
    return text ? text : token->lex->norm_text;
}

/* Sentences: where they end, what lies between them, what is cut, and that no byte is lost. */
#include "text/sentences.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "lib/test.h"

/* The pieces with '|' between them, those without words in <>. */
static void splits(const char *language, const char *text, const char *want) {
    struct bth_sentences_options o = {.language = language};
    struct bth_sentences s;
    struct berth_error err;
    struct bth_str got = {0};
    CHECK_OK(bth_sentences_split(text, strlen(text), &o, &s, &err), err);
    for (size_t i = 0; i < s.n; i++) {
        bth_str_puts(&got, i ? "|" : "");
        bth_str_puts(&got, s.pieces[i].words ? "" : "<");
        bth_str_append(&got, text + s.pieces[i].begin, s.pieces[i].end - s.pieces[i].begin);
        bth_str_puts(&got, s.pieces[i].words ? "" : ">");
    }
    CHECK_STR(bth_str_text(&got), want);
    bth_str_finish(&got);
    bth_sentences_finish(&s);
}

static void ends(void) {
    splits("en", "", "");
    splits("en", " \t\r\n\n ", "");
    splits("en", "One. Two! Three? Four", "One.|Two!|Three?|Four");
    splits("en", "Dr. Smith met Mr. Jones at 5 p.m. on Main St. in town. He left.",
           "Dr. Smith met Mr. Jones at 5 p.m. on Main St. in town.|He left.");
    splits("en", "See No. 5. No. Never!", "See No. 5.|No.|Never!");
    splits("en", "J. R. R. Tolkien wrote. So did I. Then he left.",
           "J. R. R. Tolkien wrote.|So did I.|Then he left.");
    splits("en", "\"Hello!\" he said. \"Go.\" She went... and came back. ... Well.",
           "\"Hello!\" he said.|\"Go.\"|She went... and came back.|<...>|Well.");
    splits("en", "It cost 3.50. Cheap? (Yes.) 1. First item",
           "It cost 3.50.|Cheap?|(Yes.)|1. First item");
    splits("en", "1. First item\n2. Second", "1. First item|2. Second");
    splits("pt", "O Sr. Silva e a Dra. Sousa chegaram. \xC2\xBFQu\xC3\xA9? \xC2\xA1No!",
           "O Sr. Silva e a Dra. Sousa chegaram.|\xC2\xBFQu\xC3\xA9?|\xC2\xA1No!");
    splits("de", "Am 3. Oktober war z.B. Ruhe. Dann nicht.",
           "Am 3. Oktober war z.B. Ruhe.|Dann nicht.");
    splits("fr", "M. Dupont est parti. Il reviendra.", "M. Dupont est parti.|Il reviendra.");
    splits("zh", "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x86\x8D\xE8\xA7\x81\xEF\xBC\x81",
           "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82|\xE5\x86\x8D\xE8\xA7\x81\xEF\xBC\x81");
    splits("hi",
           "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA5\xA4 \xE0\xA4\xB9\xE0\xA4\xBE\xE0\xA4\x81\xE0\xA5\xA4",
           "\xE0\xA4\xA8\xE0\xA4\xAE\xE0\xA5\xA4|\xE0\xA4\xB9\xE0\xA4\xBE\xE0\xA4\x81\xE0\xA5\xA4");
    splits("en", "a line\nanother\r\n\r\nlast\xE2\x80\xA8one", "a line|another|last|one");
    splits(NULL, "Dr. Smith", "Dr.|Smith");
}

static void words(void) {
    splits("en", "12345\n+55 (11) 9999\n\xF0\x9F\x98\x80 \xF0\x9F\x98\x80\n---",
           "<12345>|<+55 (11) 9999>|<\xF0\x9F\x98\x80 \xF0\x9F\x98\x80>|<--->");
    splits("en", "https://example.org/a?b=c\nwww.example.org me@example.org\nsee www.example.org",
           "<https://example.org/a?b=c>|<www.example.org me@example.org>|see www.example.org");
    splits("en", "\xFF\xFE broken \xC3", "\xFF\xFE broken \xC3");
    splits("en", "@ :// @. ://x", "<@ :// @.>|<://x>");
}

static void lines(void) {
    struct bth_sentences_options o = {.lines = true};
    struct bth_sentences s;
    struct berth_error err;
    CHECK_OK(bth_sentences_split("One. Two.\n Three. ", 18, &o, &s, &err), err);
    CHECK_INT(s.n, 2);
    CHECK_INT(s.pieces[0].end, 9);
    CHECK_INT(s.pieces[1].begin, 11);
    CHECK_INT(s.pieces[1].end, 17);
    bth_sentences_finish(&s);
}

static int64_t count_words(void *arg, const char *text, size_t n, struct berth_error *err) {
    int64_t *left = arg;
    int64_t words = 1;
    for (size_t i = 0; i < n; i++) {
        words += text[i] == ' ';
    }
    return left && (*left)-- == 0 ? bth_error(err, BERTH_ENOMEM, "as the test wants") : words;
}

static void check_cut(const char *text, size_t n, int64_t most, bool by_words) {
    struct bth_sentences_options o = {.most = most, .measure = by_words ? count_words : NULL};
    struct bth_sentences s;
    struct berth_error err;
    CHECK_OK(bth_sentences_split(text, n, &o, &s, &err), err);
    size_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        const struct bth_piece *p = &s.pieces[i];
        CHECK(p->begin >= at && p->end > p->begin && p->end <= n);
        int64_t m = by_words ? count_words(NULL, text + p->begin, p->end - p->begin, NULL)
                             : (int64_t)(p->end - p->begin);
        uint32_t c;
        CHECK(m <= most || bth_utf8_decode(text + p->begin, n - p->begin, &c) <= 4);
        CHECK(((unsigned char)text[p->begin] & 0xC0) != 0x80);
        at = p->end;
    }
    bth_sentences_finish(&s);
}

static void cuts(void) {
    struct bth_sentences_options o = {.most = 30};
    struct bth_sentences s;
    struct berth_error err;
    const char *text = "first part of it, second part, and a third one without marks";
    CHECK_OK(bth_sentences_split(text, strlen(text), &o, &s, &err), err);
    CHECK_INT(s.n, 2);
    CHECK(strncmp(text + s.pieces[0].begin, "first part of it, second part,", s.pieces[0].end) ==
          0);
    CHECK_INT(s.pieces[1].begin, 31);
    bth_sentences_finish(&s);

    static char big[1 << 20];
    memset(big, 'x', sizeof(big));
    check_cut(big, sizeof(big), 100, false);
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = "words of five and a few, then more "[i % 35];
    }
    check_cut(big, sizeof(big), 100, true);
    check_cut(big, sizeof(big), 1, true);
    for (size_t i = 0; i + 3 <= sizeof(big); i += 3) {
        memcpy(big + i, "\xE4\xBD\xA0", 3);
    }
    check_cut(big, sizeof(big) / 3 * 3, 100, false);
    check_cut(big, 9, 1, false);
    for (size_t i = 0; i + 2 <= sizeof(big); i += 2) { /* one letter with half a million accents */
        memcpy(big + i, "\xCC\x81", 2);
    }
    big[0] = 'e', big[1] = 'e';
    check_cut(big, sizeof(big), 400, false);
}

/* A family of four is one character to a reader, and not cut. */
static void graphemes(void) {
    const char *family = "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7";
    char text[256] = "";
    for (int i = 0; i < 5; i++) {
        strcat(text, family);
    }
    struct bth_sentences_options o = {.most = 20};
    struct bth_sentences s;
    struct berth_error err;
    CHECK_OK(bth_sentences_split(text, strlen(text), &o, &s, &err), err);
    CHECK_INT(s.n, 5);
    for (size_t i = 0; i < s.n; i++) {
        CHECK_INT(s.pieces[i].begin, i * strlen(family));
    }
    bth_sentences_finish(&s);
}

/* Bit by bit the same pieces come as at once. */
static void check_bits(const char *text, size_t n, const struct bth_sentences_options *o,
                       size_t work) {
    struct bth_sentences whole, bits = {0};
    struct bth_sentences_cursor c = {0};
    struct berth_error err;
    CHECK_OK(bth_sentences_split(text, n, o, &whole, &err), err);
    while (!c.done) {
        CHECK_OK(bth_sentences_next(text, n, o, &c, work, &bits, &err), err);
    }
    CHECK_INT(bits.n, whole.n);
    for (size_t i = 0; i < whole.n; i++) {
        CHECK(bits.pieces[i].begin == whole.pieces[i].begin);
        CHECK(bits.pieces[i].end == whole.pieces[i].end);
        CHECK(bits.pieces[i].words == whole.pieces[i].words);
    }
    bth_sentences_finish(&whole);
    bth_sentences_finish(&bits);
}

static int64_t count_bytes(void *arg, const char *text, size_t n, struct berth_error *err) {
    (void)text, (void)err;
    *(size_t *)arg += n;
    return (int64_t)n;
}

/* A call does little, whatever the text is like. */
static void bounded(void) {
    enum { SIZE = 1 << 20, WORK = 4096, MOST = 100 };
    static const char *const fill[] = {"x",      "word ",        "One two. ", "1\n",
                                       "a. b! ", "\xE3\x80\x82", " "};
    char *text = malloc(SIZE);
    for (size_t f = 0; f < BTH_COUNT(fill); f++) {
        const size_t n = SIZE / strlen(fill[f]) * strlen(fill[f]);
        for (size_t i = 0; i < n; i += strlen(fill[f])) {
            memcpy(text + i, fill[f], strlen(fill[f]));
        }
        size_t measured = 0, calls = 0;
        const struct bth_sentences_options o = {
            .measure = count_bytes, .arg = &measured, .most = MOST};
        struct bth_sentences bits = {0};
        struct bth_sentences_cursor c = {0};
        struct berth_error err;
        for (; !c.done; calls++) {
            const size_t pieces = bits.n;
            measured = 0;
            CHECK_OK(bth_sentences_next(text, n, &o, &c, WORK, &bits, &err), err);
            CHECK(bits.n - pieces <= WORK);
            CHECK(measured <= (size_t)20 * WORK); /* stretches of up to 8 times the most */
        }
        CHECK(calls >= n / WORK);
        bth_sentences_finish(&bits);
    }
    free(text);
}

static void random_bytes(void) {
    unsigned long long seed = 11;
    static const char *const parts[] = {"A",  "b",    ".", " ",    "\n", "Dr. ",         "\xC3\xA9",
                                        "\t", "\xFF", "?", "\r\n", "1",  "\xE3\x80\x82", "\""};
    for (int round = 0; round < 3000; round++) {
        char text[128];
        size_t n = 0;
        for (int i = 0; i < 24; i++) {
            const char *p = parts[test_rand(&seed) % BTH_COUNT(parts)];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        struct bth_sentences_options o = {.language = "en",
                                          .most = (int64_t)(test_rand(&seed) % 16)};
        struct bth_sentences s;
        struct berth_error err;
        CHECK_OK(bth_sentences_split(text, n, &o, &s, &err), err);
        size_t at = 0;
        for (size_t i = 0; i <= s.n; i++) {
            size_t begin = i < s.n ? s.pieces[i].begin : n;
            CHECK(begin >= at);
            for (; at < begin; at++) {
                CHECK(strchr(" \t\r\n", text[at])); /* nothing but white space is left out */
            }
            at = i < s.n ? s.pieces[i].end : n;
        }
        bth_sentences_finish(&s);
        o.lines = round % 5 == 0;
        check_bits(text, n, &o, 1 + round % 9);
    }
}

static void failures(void) {
    const char *text = "One. Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten.";
    int64_t before = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_sentences s;
        struct berth_error err;
        bth_alloc_fail_at(n);
        int rc = bth_sentences_split(text, strlen(text), NULL, &s, &err);
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (!fired) {
            CHECK_OK(rc, err);
            CHECK_INT(s.n, 10);
            bth_sentences_finish(&s);
            break;
        }
        CHECK_INT(rc, BERTH_ENOMEM);
    }
    for (int64_t left = 0; left < 10; left++) {
        int64_t count = left;
        struct bth_sentences_options o = {.most = 3, .measure = count_words, .arg = &count};
        struct bth_sentences s;
        struct berth_error err;
        CHECK_INT(bth_sentences_split(text, strlen(text), &o, &s, &err), BERTH_ENOMEM);
    }
    CHECK_INT(bth_alloc_live(), before);
}

int main(void) {
    ends();
    words();
    lines();
    cuts();
    graphemes();
    random_bytes();
    bounded();
    failures();
    return 0;
}

/* The tokenizer: small rules, limits, failing memory, threads, a cache that stays bounded. */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/sync.h"
#include "lib/test.h"
#include "spacy/spacy_pattern.h"
#include "spacy/spacy_tokenizer.h"
#include <stdlib.h>

static struct spacy_vocab *vocab;
static struct spacy_tokenizer *english;

/* The tokens of a text joined by |, and a ~ where a space belongs to one. */
static const char *tokens(const struct spacy_tokenizer *t, const char *text, char out[512]) {
    struct berth_error err;
    struct spacy_doc doc;
    size_t at = 0;
    CHECK_OK(spacy_doc_init(&doc, vocab, text, strlen(text), &err), err);
    CHECK_OK(spacy_tokenize(t, &doc, &err), err);
    for (size_t i = 0; i < doc.n; i++) {
        const struct spacy_token *token = &doc.tokens[i];
        at += (size_t)snprintf(out + at, 512 - at, "%s%.*s%s", i ? "|" : "",
                               (int)(token->end - token->begin), text + token->begin,
                               token->space ? "~" : "");
        CHECK_INT(token->head, i);
        CHECK_INT(token->sent_start, i == 0);
        CHECK(token->lex->bytes == token->end - token->begin);
    }
    if (doc.n == 0) {
        out[0] = '\0';
    }
    spacy_doc_finish(&doc);
    return out;
}

static void test_english(void) {
    char out[512];
    CHECK_STR(tokens(english, "", out), "");
    CHECK_STR(tokens(english, "Hello world.", out), "Hello~|world|.");
    CHECK_STR(tokens(english, "  a  b ", out), "  |a~| |b~");
    CHECK_STR(tokens(english, "a\n b", out), "a|\n |b");
    CHECK_STR(tokens(english, "I can't (see) it!", out), "I~|ca|n't~|(|see|)~|it|!");
    CHECK_STR(tokens(english, "U.S. 10km :) C++", out), "U.S.~|10|km~|:)~|C++");
    CHECK_STR(tokens(english, "mother-in-law www.a.com/b", out), "mother|-|in|-|law~|www.a.com/b");
    CHECK_STR(tokens(english, "x\xC2\xA0y", out), "x|\xC2\xA0|y");
}

static void test_positions(void) {
    struct berth_error err;
    struct spacy_doc doc;
    const char text[] = "\xC3\xA9t\xC3\xA9 \xE6\x9D\xB1 x";
    CHECK_OK(spacy_doc_init(&doc, vocab, text, strlen(text), &err), err);
    CHECK_OK(spacy_tokenize(english, &doc, &err), err);
    CHECK_INT(doc.n, 3);
    CHECK(doc.tokens[1].idx == 4 && doc.tokens[1].begin == 6 && doc.tokens[2].idx == 6);
    spacy_doc_finish(&doc);
    CHECK_INT(spacy_doc_init(&doc, vocab, "a\xFF", 2, &err), BERTH_EINVAL);
}

/* A long run without a space ends in a refusal, not in an hour. */
static void test_limits(void) {
    struct berth_error err;
    struct spacy_doc doc;
    const size_t n = SPACY_MAX_LENGTH + 1;
    char *text = malloc(n);
    CHECK(text);
    memset(text, ' ', n);
    CHECK_OK(spacy_doc_init(&doc, vocab, text, n, &err), err);
    CHECK_INT(spacy_tokenize(english, &doc, &err), BERTH_ETOOLARGE);
    spacy_doc_finish(&doc);
    memset(text, '(', n);
    CHECK_OK(spacy_doc_init(&doc, vocab, text, 60000, &err), err);
    CHECK_INT(spacy_tokenize(english, &doc, &err), BERTH_ETOOLARGE);
    CHECK_INT(doc.n, 0);
    spacy_doc_finish(&doc);
    free(text);
}

/* New words for ever: what is kept has a bound. */
static void test_bound(void) {
    struct berth_error err;
    char text[64];
    unsigned long long state = 3;
    size_t before = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 20000; i++) {
            struct spacy_doc doc;
            int n = snprintf(text, sizeof(text), "w%llx-%d w%llx-%d", test_rand(&state) % 60000,
                             i % 7, test_rand(&state) % 60000, i % 5);
            CHECK_OK(spacy_doc_init(&doc, vocab, text, (size_t)n, &err), err);
            CHECK_OK(spacy_tokenize(english, &doc, &err), err);
            spacy_doc_finish(&doc);
        }
        CHECK(spacy_vocab_cached(vocab) <= 40000 && spacy_tokenizer_cached(english) <= 30000);
        before = round == 2 ? spacy_vocab_cached(vocab) : before;
    }
    CHECK(before > 1000);
}

static void *tokenize_some(void *arg) {
    char out[512], text[128];
    unsigned long long state = 11; /* all the same words, at once */
    for (int i = 0; i < 400; i++) {
        snprintf(text, sizeof(text), "t%llx, can't t%llx.", test_rand(&state) % 90,
                 test_rand(&state) % 90);
        tokens(english, text, out);
        CHECK(strstr(out, "|ca|n't~|"));
    }
    return arg;
}

static void test_threads(void) {
    struct bth_thread threads[4] = {0};
    for (int i = 0; i < 4; i++) {
        CHECK_INT(bth_thread_start(&threads[i], "tokens", tokenize_some, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        bth_thread_join(&threads[i]);
    }
}

/* A tokenizer of two exceptions, packed. */
static size_t pack(msgpack_sbuffer *buf, const char *first, const char *prefix) {
    msgpack_packer pk;
    msgpack_sbuffer_clear(buf);
    msgpack_packer_init(&pk, buf, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 2);
    msgpack_pack_str_with_body(&pk, "prefix_search", 13);
    msgpack_pack_str_with_body(&pk, prefix, strlen(prefix));
    msgpack_pack_str_with_body(&pk, "exceptions", 10);
    msgpack_pack_map(&pk, 1);
    msgpack_pack_str_with_body(&pk, "(ab c", 5);
    msgpack_pack_array(&pk, 2);
    msgpack_pack_map(&pk, 2);
    msgpack_pack_int(&pk, 65);
    msgpack_pack_str_with_body(&pk, first, strlen(first));
    msgpack_pack_int(&pk, 67);
    msgpack_pack_str_with_body(&pk, "norm", 4);
    msgpack_pack_map(&pk, 1);
    msgpack_pack_int(&pk, 65);
    msgpack_pack_str_with_body(&pk, " c", 2);
    return buf->size;
}

static void test_small(void) {
    struct berth_error err;
    struct spacy_tokenizer *t = NULL;
    struct spacy_vocab *v;
    msgpack_sbuffer buf;
    char out[512];
    msgpack_sbuffer_init(&buf);
    CHECK_OK(spacy_vocab_load(NULL, "en", &v, &err), err);
    size_t n = pack(&buf, "(ab", "^\\(");
    CHECK_OK(spacy_tokenizer_load(v, buf.data, n, &t, &err), err);
    vocab = v;
    CHECK_STR(tokens(t, "x (ab c y (ab", out), "x~|(ab| c~|y~|(|ab");
    spacy_tokenizer_destroy(t);
    t = NULL;
    for (size_t cut = 0; cut < n; cut++) {
        CHECK_INT(spacy_tokenizer_load(v, buf.data, cut, &t, &err), BERTH_EFORMAT);
    }
    n = pack(&buf, "(abX", "^\\("); /* tokens that are not the text */
    CHECK_INT(spacy_tokenizer_load(v, buf.data, n, &t, &err), BERTH_EFORMAT);
    n = pack(&buf, "(ab", "(?P<x>a)"); /* not a pattern that is read */
    CHECK_INT(spacy_tokenizer_load(v, buf.data, n, &t, &err), BERTH_EFORMAT);
    n = pack(&buf, "(ab", "(");
    CHECK_INT(spacy_tokenizer_load(v, buf.data, n, &t, &err), BERTH_EFORMAT);
    CHECK(!t);
    spacy_vocab_destroy(v);
    msgpack_sbuffer_destroy(&buf);
}

static int load_and_run(const void *bytes, size_t n) {
    struct berth_error err;
    struct spacy_vocab *v;
    struct spacy_tokenizer *t;
    struct spacy_doc doc = {0};
    int rc = spacy_vocab_load(NULL, "en", &v, &err);
    if (rc < 0) {
        return rc;
    }
    rc = spacy_tokenizer_load(v, bytes, n, &t, &err);
    if (rc == 0) {
        rc = spacy_doc_init(&doc, v, "x (ab c (y ab", 13, &err);
        rc = rc < 0 ? rc : spacy_tokenize(t, &doc, &err);
        spacy_doc_finish(&doc);
        spacy_tokenizer_destroy(t);
    }
    spacy_vocab_destroy(v);
    return rc;
}

static void test_memory(void) {
    msgpack_sbuffer buf;
    msgpack_sbuffer_init(&buf);
    size_t n = pack(&buf, "(ab", "^\\(");
    const int64_t before = bth_alloc_live();
    for (int64_t k = 1;; k++) {
        bth_alloc_fail_at(k);
        int rc = load_and_run(buf.data, n);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(bth_alloc_live(), before);
        CHECK(rc == 0 || (failed && rc == BERTH_ENOMEM));
        if (!failed) {
            break;
        }
    }
    msgpack_sbuffer_destroy(&buf);
}

static void test_patterns(void) {
    static const struct {
        const char *pattern, *text;
        int begin, end; /* -1: no match */
    } cases[] = {{"(?u)\\u00e9+", "x\xC3\xA9\xC3\xA9", 1, 5},
                 {"(?iu)ABC", "xabc", 1, 4},
                 {"[[:]", "a:", 1, 2},
                 {"[]a]+", "x]a", 1, 3},
                 {"\\s", "a\x1C", 1, 2},
                 {"[^\\s]", "\xE2\x80\x8B", 0, 3},
                 {"\\w+", "-\xE6\x9D\xB1_1", 1, 6},
                 {"a$", "ba\n", 1, 2},
                 {"(?<=b)a", "aba", 2, 3},
                 {"\\S+", "\xE3\x80\x80z", 3, 4},
                 {"q", "abc", -1, -1}};
    struct berth_error err;
    struct spacy_matcher *m = spacy_matcher_create(0);
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        struct spacy_pattern *p;
        size_t begin, end;
        CHECK_OK(spacy_pattern_compile(cases[i].pattern, strlen(cases[i].pattern), false, &p, &err),
                 err);
        int rc =
            spacy_pattern_search(p, m, cases[i].text, strlen(cases[i].text), &begin, &end, &err);
        CHECK_INT(rc, cases[i].begin >= 0);
        if (rc == 1) {
            CHECK_INT(begin, cases[i].begin);
            CHECK_INT(end, cases[i].end);
        }
        spacy_pattern_free(p);
    }
    static const char *const bad[] = {"(?R)", "(*FAIL)", "(?C1)", "\\1", "\\p{L}", "[a",
                                      "a)",   "\\u12",   "\\",    "\\C", "(?P=x)", "\\Qa\\E"};
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        struct spacy_pattern *p = NULL;
        CHECK_INT(spacy_pattern_compile(bad[i], strlen(bad[i]), false, &p, &err), BERTH_EFORMAT);
        CHECK(!p);
    }
    spacy_matcher_destroy(m);
}

/* A model's pattern that backtracks on and on holds no thread for long, on many words either; one
 * that only needs much room gets it. */
static void test_slow_patterns(void) {
    static const char slow[] = "(?:a+)+$", deep[] = "(?:a|b)+$", word[] = "aaaaaaaaaaaaaaaaaa!";
    struct berth_error err;
    struct spacy_pattern *p;
    struct spacy_matcher *m = spacy_matcher_create(spacy_matcher_budget(1000000));
    size_t begin, end;
    int rc, searches = 0;
    CHECK_OK(spacy_pattern_compile(slow, strlen(slow), false, &p, &err), err);
    do { /* each of these is allowed, but not as many as a text could have */
        rc = spacy_pattern_search(p, m, word, strlen(word), &begin, &end, &err);
    } while (rc == 0 && ++searches < 2000);
    CHECK_INT(rc, BERTH_ETOOLARGE);
    CHECK(searches > 5);
    spacy_pattern_free(p);
    spacy_matcher_destroy(m);

    const size_t n = 1000000;
    char *text = malloc(n);
    CHECK(text);
    memset(text, 'a', n);
    m = spacy_matcher_create(spacy_matcher_budget(n));
    CHECK_OK(spacy_pattern_compile(deep, strlen(deep), true, &p, &err), err);
    CHECK_INT(spacy_pattern_search(p, m, text, n, &begin, &end, &err), 1);
    CHECK(begin == 0 && end == n);
    spacy_pattern_free(p);
    spacy_matcher_destroy(m);
    free(text);
}

int main(void) {
    struct berth_error err;
    char *bytes;
    size_t n;
    CHECK_OK(bth_read_file(BTH_TEST_DATA "/data/spacy/tokenizers/en.tokenizer", 1 << 20, &bytes, &n,
                           &err),
             err);
    CHECK_OK(spacy_vocab_load(NULL, "en", &vocab, &err), err);
    CHECK_OK(spacy_tokenizer_load(vocab, bytes, n, &english, &err), err);
    bth_free(bytes);
    test_patterns();
    test_slow_patterns();
    test_english();
    test_positions();
    test_threads();
    test_limits();
    test_bound();
    spacy_tokenizer_destroy(english);
    spacy_vocab_destroy(vocab);
    test_small();
    test_memory();
    return 0;
}

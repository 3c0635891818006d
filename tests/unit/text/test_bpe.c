/* Encoding against tiktoken's ids (tests/data/bpe.json, made by tools/check_bpe.py), and bad files.
 */
#include "base/alloc.h"
#include "base/str.h"
#include "lib/files.h"
#include "text/bpe_internal.h"
#include <jansson.h>

static struct bth_bpe *open_tiktoken(const char *name) {
    char path[512];
    struct bth_bpe *b;
    struct berth_error err;
    snprintf(path, sizeof(path), "%s/data/%s.tiktoken", BTH_TEST_DATA, name);
    CHECK_OK(bth_bpe_open_tiktoken(path, &b, &err), err);
    return b;
}

static void encodes(const struct bth_bpe *b, const char *text, size_t n, json_t *want) {
    int32_t *ids;
    size_t n_ids;
    struct berth_error err;
    CHECK_OK(bth_bpe_encode(b, text, n, &ids, &n_ids, &err), err);
    struct bth_str back = {0};
    for (size_t i = 0; i < n_ids; i++) {
        size_t size;
        const char *bytes = bth_bpe_token(b, ids[i], &size);
        bth_str_append(&back, bytes, size);
        if (i >= json_array_size(want) || json_integer_value(json_array_get(want, i)) != ids[i]) {
            TEST_FAIL("\"%.*s\": id %zu is %d", (int)n, text, i, ids[i]);
        }
    }
    CHECK_INT(n_ids, json_array_size(want));
    CHECK(back.size == n && (n == 0 || memcmp(back.data, text, n) == 0));
    bth_str_finish(&back);
    bth_free(ids);
}

static void golden(const struct bth_bpe *multilingual, const struct bth_bpe *gpt2,
                   const struct bth_bpe *sample) {
    json_error_t why;
    json_t *root = json_load_file(BTH_TEST_DATA "/data/bpe.json", JSON_ALLOW_NUL, &why);
    json_t *cases = json_object_get(root, "cases");
    CHECK(json_array_size(cases) >= 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = json_array_get(cases, i), *text = json_array_get(c, 0);
        const char *s = json_string_value(text);
        size_t n = json_string_length(text);
        encodes(multilingual, s, n, json_array_get(c, 1));
        encodes(gpt2, s, n, json_array_get(c, 2));
        if (sample) {
            encodes(sample, s, n, json_array_get(c, 1));
        }
    }
    json_decref(root);
}

/* tokenizer.json of a real model, where there is one: BERTH_SAMPLE names its folder. */
static struct bth_bpe *open_sample(const struct bth_bpe *multilingual) {
    const char *folder = getenv("BERTH_SAMPLE");
    if (!folder) {
        return NULL;
    }
    char path[512];
    struct bth_bpe *b;
    struct berth_error err;
    int32_t size = bth_bpe_size(multilingual);
    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    CHECK_OK(bth_bpe_open_json(path, size, &b, &err), err);
    CHECK_INT(bth_bpe_size(b), size);
    for (int32_t id = 0; id < size; id++) {
        size_t n, want_n;
        const char *bytes = bth_bpe_token(b, id, &n);
        const char *want = bth_bpe_token(multilingual, id, &want_n);
        CHECK(n == want_n && memcmp(bytes, want, n) == 0);
    }
    return b;
}

/* A word of a whole text's size must not take quadratic time: the test's own limit would tell. */
static void long_words(const struct bth_bpe *b) {
    enum { SIZE = 1 << 20 };
    static const char *const patterns[] = {"a", " ", "ab", "!-", "\xE6\x97\xA5\xE6\x9C\xAC", "'s"};
    char *text = malloc(SIZE);
    CHECK(text);
    for (size_t k = 0; k < BTH_COUNT(patterns); k++) {
        size_t period = strlen(patterns[k]), n = SIZE / period * period, n_ids = 0;
        for (size_t i = 0; i < n; i++) {
            text[i] = patterns[k][i % period];
        }
        int32_t *ids;
        struct berth_error err;
        CHECK_OK(bth_bpe_encode(b, text, n, &ids, &n_ids, &err), err);
        size_t bytes = 0, size;
        for (size_t i = 0; i < n_ids; i++) {
            CHECK(bth_bpe_token(b, ids[i], &size));
            bytes += size;
        }
        CHECK_INT(bytes, n);
        bth_free(ids);
    }
    free(text);
}

static void refusals(const struct bth_bpe *b) {
    static char big[(1 << 20) + 1];
    int32_t *ids = NULL;
    size_t n = 7;
    struct berth_error err;
    CHECK_INT(bth_bpe_encode(b, "\xFF", 1, &ids, &n, &err), BERTH_EINVAL);
    CHECK_INT(bth_bpe_encode(b, "a\xED\xA0\x80", 4, &ids, &n, &err), BERTH_EINVAL);
    CHECK_INT(bth_bpe_encode(b, "a\xE2\x82", 3, &ids, &n, &err), BERTH_EINVAL);
    memset(big, 'a', sizeof(big));
    CHECK_INT(bth_bpe_encode(b, big, sizeof(big), &ids, &n, &err), BERTH_ETOOLARGE);
    CHECK(!ids && n == 7);
    CHECK(!bth_bpe_token(b, -1, &n) && n == 0);
    CHECK(!bth_bpe_token(b, bth_bpe_size(b), &n) && n == 0);
}

/* The 256 bytes as a tiktoken file of base64, then `more`. */
static struct bth_str small_tiktoken(const char *more) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct bth_str s = {0};
    for (int c = 0; c < 256; c++) {
        bth_str_printf(&s, "%c%c== %d\n", digits[c >> 2], digits[(c & 3) << 4], c);
    }
    bth_str_puts(&s, more);
    return s;
}

static int parse_tiktoken(const char *text, size_t n, struct bth_bpe **out,
                          struct berth_error *err) {
    char *copy = malloc(n ? n : 1);
    CHECK(copy);
    memcpy(copy, text, n);
    int rc = bth_bpe_parse_tiktoken(copy, n, out, err);
    free(copy);
    return rc;
}

static void tiktoken_files(void) {
    static const char *const bad[] = {
        "YWI= 257\n",         "YWI= 255\n", "YWI= -1\n",    "YWI= 256x\n", "YWI=  256\n",
        "YWI=\n256\n",        "YWI=256\n",  "Y*I= 256\n",   "Y 256\n",     "YQ== 256\n",
        "YWI= 256\nYWI= 257", " 256",       "YWI= 256\n\n", "YWI= 256 \n", "YWI= 0256"};
    struct berth_error err;
    struct bth_bpe *b = NULL;
    struct bth_str s;
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        s = small_tiktoken(bad[i]);
        int rc = parse_tiktoken(s.data, s.size, &b, &err);
        if (rc != BERTH_EFORMAT || b) {
            TEST_FAIL("\"%s\" gave %d", bad[i], rc);
        }
        bth_str_finish(&s);
    }
    /* ranks decide, not length; the empty string is no merge; no newline at the end */
    s = small_tiktoken("YmM= 256\r\nYWI= 257\nYWJj 258\n= 259");
    CHECK_OK(parse_tiktoken(s.data, s.size, &b, &err), err);
    json_t *want = json_pack("[i,i,i,i,i]", 258, '!', 'x', 256, 257);
    encodes(b, "abc!xbcab", 9, want);
    json_decref(want);
    CHECK_INT(bth_bpe_size(b), 260);
    bth_bpe_close(b);
    b = NULL;
    for (size_t n = 0; n < s.size; n++) {
        int rc = parse_tiktoken(s.data, n, &b, NULL);
        CHECK(rc == 0 ? b != NULL : rc == BERTH_EFORMAT && !b);
        bth_bpe_close(b);
        b = NULL;
    }
    bth_str_finish(&s);
}

/* {"model": {"vocab": {...}}} with the 256 bytes in GPT-2's spelling, then `more`. */
static struct bth_str small_json(const char *more) {
    struct bth_str s = {0};
    uint32_t next = 0x100;
    bth_str_puts(&s, "{\"model\": {\"vocab\": {");
    for (uint32_t c = 0; c < 256; c++) {
        bool plain = (c > 32 && c < 127) || (c > 160 && c != 173);
        bth_str_printf(&s, "\"\\u%04x\": %u,\n", plain ? c : next, c);
        next += !plain;
    }
    bth_str_puts(&s, more);
    bth_str_puts(&s, "}}}");
    return s;
}

static void refuse_json(const char *text, size_t n, int32_t limit) {
    struct berth_error err = {0};
    struct bth_bpe *b = NULL;
    int rc = bth_bpe_parse_json(text, n, limit, &b, &err);
    if (rc != BERTH_EFORMAT || b || !err.message[0]) {
        TEST_FAIL("%.60s gave %d: %s", text, rc, err.message);
    }
}

static void json_files(void) {
    static const char *const bad[] = {
        "\"ab\": 255",              /* taken */
        "\"ab\": 257",              /* 256 is missing */
        "\"ab\": \"256\"",          /* no number */
        "\"ab\": -1",               /* no id */
        "\"ab\": 99999999999",      /* no id */
        "\"a b\": 256",             /* a blank is not spelled so */
        "\"\\u65e5\": 256",         /* nor is this a byte */
        "\"ab\": 256, \"ab\": 257", /* twice */
        "\"a\\u0000\": 256",
    };
    struct berth_error err;
    struct bth_bpe *b = NULL;
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        struct bth_str s = small_json(bad[i]);
        refuse_json(s.data, s.size, 257);
        bth_str_finish(&s);
    }
    static const char *const no_vocab[] = {
        "", "{", "[]", "{}", "{\"model\":1}", "{\"model\":{\"vocab\":[]}}"};
    for (size_t i = 0; i < BTH_COUNT(no_vocab); i++) {
        refuse_json(no_vocab[i], strlen(no_vocab[i]), 257);
    }
    struct bth_str s = small_json("\"\\u0120a\": 256, \"\": 257, \"<|special|>\": 258");
    CHECK_OK(bth_bpe_parse_json(s.data, s.size, 258, &b, &err), err);
    json_t *want = json_pack("[i,i]", 256, 'b');
    encodes(b, " ab", 3, want);
    json_decref(want);
    CHECK_INT(bth_bpe_size(b), 258);
    bth_bpe_close(b);
    for (size_t n = 0; n < s.size; n++) {
        refuse_json(s.data, n, 258);
    }
    bth_str_finish(&s);
}

/* Every allocation of opening one of the files fails in turn, and of encoding. */
static void failing_allocations(const char *path, bool json) {
    int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_bpe *b = NULL;
        int32_t *ids = NULL;
        size_t n_ids;
        bth_alloc_fail_at(n);
        int rc =
            json ? bth_bpe_open_json(path, 257, &b, NULL) : bth_bpe_open_tiktoken(path, &b, NULL);
        rc = rc < 0 ? rc : bth_bpe_encode(b, "abc", 3, &ids, &n_ids, NULL);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        bth_free(ids);
        bth_bpe_close(b);
        CHECK_INT(bth_alloc_live(), live);
        if (!failed) {
            CHECK(n > 6);
            return;
        }
    }
}

int main(void) {
    struct test_dir dir;
    struct berth_error err;
    struct bth_bpe *none;
    char path[512];
    struct bth_bpe *multilingual = open_tiktoken("multilingual"), *gpt2 = open_tiktoken("gpt2");
    CHECK_INT(bth_bpe_size(multilingual), 50257);
    CHECK_INT(bth_bpe_size(gpt2), 50256);
    struct bth_bpe *sample = open_sample(multilingual);
    golden(multilingual, gpt2, sample);
    long_words(multilingual);
    refusals(multilingual);
    bth_bpe_close(sample);
    bth_bpe_close(gpt2);
    bth_bpe_close(multilingual);
    tiktoken_files();
    json_files();
    test_dir_open(&dir);
    struct bth_str s = small_tiktoken("YmM= 256\n");
    test_dir_write(&dir, "small", s.data, s.size);
    failing_allocations(test_dir_path(&dir, "small", path), false);
    bth_str_finish(&s);
    s = small_json("\"bc\": 256");
    test_dir_write(&dir, "small", s.data, s.size);
    failing_allocations(path, true);
    bth_str_finish(&s);
    test_dir_path(&dir, "nowhere", path);
    CHECK_INT(bth_bpe_open_tiktoken(path, &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(bth_bpe_open_json(path, 10, &none, &err), BERTH_ENOTFOUND);
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

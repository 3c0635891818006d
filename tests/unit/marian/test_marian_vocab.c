/* Vocabularies of each kind: what is text and what is a token, where tokens lie in the text, and
 * lists that do not fit their model. */
#include "base/alloc.h"
#include "lib/files.h"
#include "marian/marian_pieces.h"
#include "marian/marian_vocab.h"
#include <pthread.h>

#define TOKENIZER BTH_TEST_DATA "/data/marian_tokenizer"
enum { ROWS = 774 };
static char vocab_json[] = TOKENIZER "/vocab.json", source_spm[] = TOKENIZER "/source.spm";

/* Only what a vocabulary needs of a model. */
static struct marian_files files_of(enum marian_format format, const char *dir, char *source,
                                    char *target, int64_t rows) {
    return (struct marian_files){.format = format,
                                 .dir = (char *)dir,
                                 .paths = {source, target},
                                 .tokens = {.unk = "<unk>", .eos = "</s>", .pad = "<pad>"},
                                 .config = {.source_vocab = rows,
                                            .target_vocab = rows,
                                            .eos = MARIAN_ID_OF_VOCAB,
                                            .unk = MARIAN_ID_OF_VOCAB,
                                            .source_eos = MARIAN_ID_OF_VOCAB,
                                            .source_bos = -1,
                                            .start = -1}};
}

static struct marian_files hf_files(int64_t rows) {
    return files_of(MARIAN_HF, TOKENIZER, vocab_json, NULL, rows);
}

static struct marian_vocab *open_vocab(struct marian_files *f) {
    struct marian_vocab *v;
    struct berth_error err;
    CHECK_OK(marian_vocab_open(f, &v, &err), err);
    return v;
}

/* "piece[begin,end) ..." of the source */
static void check_encode(const struct marian_vocab *v, const char *text, int flags,
                         const char *want) {
    struct marian_token *t;
    struct berth_error err;
    size_t n;
    char have[1024] = "";
    CHECK_OK(marian_vocab_encode(v, text, strlen(text), flags, &t, &n, &err), err);
    for (size_t i = 0; i < n; i++) {
        snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s[%u,%u)", i ? " " : "",
                 marian_vocab_source_piece(v, t[i].id), t[i].begin, t[i].end);
    }
    CHECK_STR(have, want);
    bth_free(t);
}

static void check_decode(const struct marian_vocab *v, const char *const *pieces, size_t n,
                         int flags, const char *want, const char *want_ends) {
    int32_t ids[16];
    uint32_t ends[16];
    struct bth_str out = {0};
    struct berth_error err;
    char have[128] = "";
    for (size_t i = 0; i < n; i++) {
        ids[i] = marian_vocab_target_id(v, pieces[i]);
        CHECK(ids[i] >= 0);
    }
    bth_str_puts(&out, "before:");
    CHECK_OK(marian_vocab_decode(v, ids, n, flags, &out, ends, &err), err);
    CHECK_STR(bth_str_text(&out) + 7, want);
    for (size_t i = 0; i < n; i++) {
        snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%u", i ? " " : "", ends[i]);
    }
    CHECK_STR(have, want_ends);
    bth_str_finish(&out);
}

static void test_special(void) {
    struct marian_files f = hf_files(ROWS);
    struct marian_vocab *v = open_vocab(&f);
    CHECK_INT(f.config.eos, 0);
    CHECK_INT(f.config.unk, 1);
    check_encode(v, "", 0, "</s>[0,0)");
    check_encode(v, "", MARIAN_ENCODE_NO_EOS, "");
    check_encode(v, "<pad>", MARIAN_ENCODE_SPECIAL, "<pad>[0,5) </s>[5,5)");
    check_encode(v, "<pad><unk>", MARIAN_ENCODE_SPECIAL | MARIAN_ENCODE_NO_EOS,
                 "<pad>[0,5) <unk>[5,10)");
    check_encode(v, ">>fr<<", MARIAN_ENCODE_PREFIX, ">>fr<<[0,6) </s>[6,6)");
    check_encode(v, ">>xx<<", MARIAN_ENCODE_PREFIX, "<unk>[0,6) </s>[6,6)");
    struct marian_token *t;
    struct berth_error err;
    size_t n;
    static const char *const plain[] = {"<pad>", ">>fr<<", "</s>"};
    for (int i = 0; i < 3; i++) { /* without the flags it is text */
        CHECK_OK(
            marian_vocab_encode(v, plain[i], strlen(plain[i]), MARIAN_ENCODE_NO_EOS, &t, &n, &err),
            err);
        for (size_t j = 0; j < n; j++) {
            CHECK(t[j].id != 0 && t[j].id != 2 && t[j].id != ROWS - 1);
        }
        bth_free(t);
    }
    CHECK_INT(marian_vocab_encode(v, "", (1 << 20) + 1, 0, &t, &n, &err), BERTH_ETOOLARGE);
    marian_vocab_close(v);
}

static void test_languages(void) {
    struct marian_files f = hf_files(ROWS);
    struct marian_vocab *v = open_vocab(&f);
    CHECK_INT(marian_vocab_n_languages(v), 2);
    CHECK_STR(marian_vocab_language(v, 0), "fr");
    CHECK_STR(marian_vocab_language(v, 1), "pt_BR");
    CHECK(!marian_vocab_language(v, 2));
    CHECK_INT(marian_vocab_language_id(v, "fr"), 2);
    CHECK_INT(marian_vocab_language_id(v, "pt_BR"), 3);
    CHECK_INT(marian_vocab_language_id(v, "xx"), -1);
    CHECK_INT(marian_vocab_language_id(v, ""), -1);
    CHECK(!marian_vocab_source_piece(v, -1) && !marian_vocab_target_piece(v, ROWS));
    marian_vocab_close(v);
}

static void test_ends(void) {
    struct marian_files f = hf_files(ROWS);
    struct marian_vocab *v = open_vocab(&f);
    static const char *const a[] = {"\xe2\x96\x81the", "s", "</s>", "\xe2\x96\x81of"};
    check_decode(v, a, 4, 0, "thes of", "3 4 4 7");
    check_decode(v, a, 4, MARIAN_DECODE_KEEP_SPECIAL, "thes</s> of", "3 4 9 11");
    static const char *const b[] = {"\xe2\x96\x81the", "\xe2\x96\x81", ",", "\xe2\x96\x81of"};
    check_decode(v, b, 4, 0, "the , of", "3 4 5 8");
    check_decode(v, b, 4, MARIAN_DECODE_CLEAN_UP, "the, of", "3 3 4 7");
    check_decode(v, a, 0, 0, "", "");
    struct bth_str out = {0};
    struct berth_error err;
    CHECK_OK(marian_vocab_decode(v, (int32_t[]){-5, INT32_MAX, 1}, 3, 0, &out, NULL, &err), err);
    CHECK_INT(out.size, 0); /* all of them unk */
    bth_str_finish(&out);
    marian_vocab_close(v);
}

/* Bergamot: the model's own ids, eos behind, unk shown as the model shows it. */
static void test_ids(void) {
    struct marian_files f = files_of(MARIAN_BIN, TOKENIZER, source_spm, NULL, 700);
    struct marian_vocab *v = open_vocab(&f);
    CHECK_INT(f.config.eos, 2);
    CHECK_INT(f.config.unk, 0);
    CHECK_INT(f.config.source_eos, 2);
    CHECK(f.config.start_from_zero);
    CHECK_INT(marian_vocab_n_languages(v), 0);
    check_encode(v, "\xe2\x98\x83", 0, "\xe2\x96\x81[0,0) <unk>[0,3) </s>[3,3)");
    static const char *const a[] = {"\xe2\x96\x81the", "</s>"};
    check_decode(v, a, 2, 0, "the", "3 3");
    marian_vocab_close(v);
    f.config.source_vocab = 699;
    struct berth_error err;
    CHECK_INT(marian_vocab_open(&f, &v, &err), BERTH_EFORMAT);
}

/* CTranslate2's lists alone: what blanks part are tokens; the last row, unk, is not in the list. */
static void test_words(void) {
    struct marian_files f;
    struct berth_error err;
    CHECK_OK(marian_files_open(&f, BTH_TEST_DATA "/data/ct2/aren-transliteration-i8", &err), err);
    struct marian_vocab *v = open_vocab(&f);
    CHECK_INT(f.config.unk, 42);
    CHECK_INT(f.config.start, 1);
    CHECK_INT(f.config.eos, 2);
    CHECK_INT(f.config.source_eos, -1);
    check_encode(v, " \xd8\xa7  z\n", 0,
                 "\xd8\xa7[1,3) <unk>[5,6)"); /* no eos: this model wants none */
    static const char *const a[] = {"a", "</s>", "m"};
    check_decode(v, a, 3, 0, "a m", "2 2 3");
    marian_vocab_close(v);
    marian_files_close(&f);
}

static void test_misfits(void) {
    struct marian_files f = hf_files(ROWS - 1); /* fewer rows than ids */
    struct marian_vocab *v;
    struct berth_error err;
    CHECK_INT(marian_vocab_open(&f, &v, &err), BERTH_EFORMAT);
    CHECK(strstr(err.message, "do not belong together") || strstr(err.message, "do not belong"));
    f = hf_files(ROWS);
    snprintf(f.tokens.unk, sizeof(f.tokens.unk), "<nothing>");
    CHECK_INT(marian_vocab_open(&f, &v, &err), BERTH_EFORMAT);
    f = files_of(MARIAN_HF, "/nonexistent", vocab_json, NULL, ROWS);
    CHECK_INT(marian_vocab_open(&f, &v, &err), BERTH_ENOTFOUND);
    f.paths[0] = NULL;
    CHECK_INT(marian_vocab_open(&f, &v, &err), BERTH_ENOTFOUND);
}

static void test_pieces(void) {
    struct marian_pieces p;
    struct berth_error err;
    CHECK_OK(marian_pieces_parse(&p, "v.yml", "a: 1\n\"\\u2581b\": 0\n? c d\n: 2\n", 28, 5, &err),
             err);
    CHECK_INT(marian_pieces_find(&p,
                                 "\xe2\x96\x81"
                                 "bxx",
                                 4),
              0);
    CHECK_INT(marian_pieces_find(&p, "c d", 3), 2);
    CHECK_INT(marian_pieces_find(&p, "c", 1), -1);
    CHECK_INT(marian_pieces_find(&p, "a\0b", 3), -1);
    marian_pieces_finish(&p);
    CHECK_INT(marian_pieces_parse(&p, "v.yml", "a: x\n", 5, 5, &err), BERTH_EFORMAT);
    CHECK_INT(marian_pieces_parse(&p, "v.json", "{\"a\": 5}", 8, 5, &err), BERTH_EFORMAT);
    CHECK_INT(marian_pieces_parse(&p, "v.json", "{\"a\":0,\"b\":0}", 13, 5, &err), BERTH_EFORMAT);
    CHECK_INT(marian_pieces_parse(&p, "v.json", "[1]", 3, 5, &err), BERTH_EFORMAT);
    CHECK_INT(marian_pieces_parse(&p, "v.txt", "", 0, 5, &err), BERTH_EFORMAT);
    CHECK_INT(marian_pieces_parse(&p, "v.txt", "a\n\xff\n", 4, 5, &err), BERTH_EFORMAT);
    CHECK_OK(marian_pieces_parse(&p, "v.txt", "a\r\n\na", 5, 5, &err), err);
    CHECK_INT(p.n, 3);
    CHECK_INT(marian_pieces_find(&p, "a", 1), 0); /* the first of equals */
    marian_pieces_finish(&p);
}

static void test_no_memory(void) {
    for (int64_t n = 1;; n += n < 40 ? 1 : 97) { /* some thousands in all */
        struct marian_files f = hf_files(ROWS);
        struct marian_vocab *v = NULL;
        struct marian_token *t = NULL;
        struct bth_str out = {0};
        struct berth_error err;
        size_t n_tokens;
        bth_alloc_fail_at(n);
        int rc = marian_vocab_open(&f, &v, &err);
        if (rc == 0) {
            rc = marian_vocab_encode(v, ">>fr<< the of", 13, MARIAN_ENCODE_PREFIX, &t, &n_tokens,
                                     &err);
        }
        if (rc == 0) {
            rc = marian_vocab_decode(v, (int32_t[]){5, 6, 0}, 3, 0, &out, NULL, &err);
        }
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
        bth_str_finish(&out);
        bth_free(t);
        marian_vocab_close(v);
        if (!fired) {
            break;
        }
    }
}

static void *use(void *user) {
    static const char *const a[] = {"\xe2\x96\x81the", "s", "</s>", "\xe2\x96\x81of"};
    for (int i = 0; i < 100; i++) {
        check_encode(user, ">>fr<<", MARIAN_ENCODE_PREFIX, ">>fr<<[0,6) </s>[6,6)");
        check_decode(user, a, 4, 0, "thes of", "3 4 4 7");
    }
    return NULL;
}

static void test_threads(void) {
    struct marian_files f = hf_files(ROWS);
    struct marian_vocab *v = open_vocab(&f);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, use, v) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    marian_vocab_close(v);
}

int main(void) {
    test_special();
    test_languages();
    test_ends();
    test_ids();
    test_words();
    test_misfits();
    test_pieces();
    test_no_memory();
    test_threads();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

/* SentencePiece models made here and the small real ones of the tree: pieces, places in the text,
 * and files that are refused before the library sees them. */
#include "base/alloc.h"
#include "lib/bytes.h"
#include "text/spm_internal.h"
#include <pthread.h>

/* ---- a model, field by field ------------------------------------------------------------------*/

static void put_bytes(struct bth_str *s, int number, const void *bytes, size_t n) {
    put_int(s, (uint64_t)(number << 3 | 2), 1);
    size_t left = n;
    for (; left >= 128; left >>= 7) {
        put_int(s, (left & 127) | 128, 1);
    }
    put_int(s, left, 1);
    bth_str_append(s, bytes, n);
}

static void put_piece(struct bth_str *s, const char *text, float score, int kind) {
    struct bth_str piece = {0};
    put_bytes(&piece, 1, text, strlen(text));
    put_int(&piece, 2 << 3 | 5, 1);
    bth_str_append(&piece, &score, sizeof(score));
    put_int(&piece, 3 << 3, 1);
    put_int(&piece, (uint64_t)kind, 1);
    put_bytes(s, 1, piece.data, piece.size);
    bth_str_finish(&piece);
}

/* The trainer's part: algorithm, and pieces of bytes for what is unknown. */
static void put_trainer(struct bth_str *s, int algorithm, bool bytes) {
    char trainer[] = {3 << 3, (char)algorithm, (char)(35 << 3 & 0x7f) | (char)0x80, 35 << 3 >> 7,
                      (char)bytes};
    put_bytes(s, 2, trainer, sizeof(trainer));
}

static void put_basics(struct bth_str *s) {
    put_piece(s, "<unk>", 0, BTH_SPM_UNKNOWN);
    put_piece(s, "</s>", 0, BTH_SPM_CONTROL);
    put_piece(s, "\xe2\x96\x81", -2, BTH_SPM_NORMAL);
    put_piece(s, "a", -3, BTH_SPM_NORMAL);
    put_piece(s, "ab", -4, BTH_SPM_NORMAL);
    put_piece(s, "b", -3, BTH_SPM_NORMAL);
    put_piece(s, "<x>", 0, BTH_SPM_USER);
}

static int parse(const unsigned char *data, size_t n, void *user) {
    struct bth_spm *s;
    int rc = bth_spm_parse(data, n, &s, user);
    if (rc == 0) {
        struct bth_spm_text t;
        struct berth_error err;
        if (bth_spm_encode(s, "ab ba\xff \xe2\x96\x81 <x>", 15, &t, &err) == 0) {
            bth_spm_text_finish(&t);
        }
        bth_spm_close(s);
    }
    return rc;
}

static void refuse(struct bth_str *s, const char *words) {
    struct berth_error err = {0};
    CHECK_INT(with_copy(s, s->size, parse, &err), BERTH_EFORMAT);
    if (!strstr(err.message, words)) {
        TEST_FAIL("%s does not say %s", err.message, words);
    }
    bth_str_finish(s);
}

static struct bth_spm *open_model(struct bth_str *s) {
    struct bth_spm *m;
    struct berth_error err;
    CHECK_OK(bth_spm_parse((unsigned char *)s->data, s->size, &m, &err), err);
    bth_str_finish(s);
    return m;
}

/* "piece[begin,end) ..." */
static void check_encode(const struct bth_spm *m, const char *text, const char *want) {
    struct bth_spm_text t;
    struct berth_error err;
    char have[1024] = "";
    CHECK_OK(bth_spm_encode(m, text, strlen(text), &t, &err), err);
    for (size_t i = 0; i < t.n; i++) {
        const struct bth_spm_token *k = &t.tokens[i];
        snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%.*s[%u,%u)", i ? " " : "",
                 (int)k->piece_size, t.pieces.data + k->piece, k->begin, k->end);
    }
    CHECK_STR(have, want);
    bth_spm_text_finish(&t);
}

static void test_pieces(void) {
    struct bth_str s = {0};
    put_basics(&s);
    put_trainer(&s, 1, false);
    struct bth_spm *m = open_model(&s);
    CHECK_INT(bth_spm_size(m), 7);
    CHECK_INT(bth_spm_unk(m), 0);
    CHECK_INT(bth_spm_find(m, "ab", 2), 4);
    CHECK_INT(bth_spm_find(m, "abc", 3), -1);
    CHECK_STR(bth_spm_piece(m, 4), "ab");
    CHECK(!bth_spm_piece(m, 7) && !bth_spm_piece(m, -1));
    CHECK_NEAR(m->unknown, -14, 0); /* known from the start: an encode looks at its text alone */
    CHECK_NEAR(m->most, -2, 0);
    check_encode(m, "ab", "\xe2\x96\x81[0,0) ab[0,2)");
    check_encode(m, "  ab  b ", "\xe2\x96\x81[2,2) ab[2,4) \xe2\x96\x81[4,6) b[6,7)");
    check_encode(m, "xyz", "\xe2\x96\x81[0,0) xyz[0,3)"); /* unknown neighbours are one */
    check_encode(m, "a<x>b", "\xe2\x96\x81[0,0) a[0,1) <x>[1,4) b[4,5)");
    check_encode(m, "</s>", "\xe2\x96\x81[0,0) </s>[0,4)"); /* text */
    check_encode(m, "", "");
    check_encode(m, "  ", "");
    bth_spm_close(m);
}

static void test_bytes(void) {
    struct bth_str s = {0};
    put_basics(&s);
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof(name), "<0x%02X>", i);
        put_piece(&s, name, 0, BTH_SPM_BYTE);
    }
    put_trainer(&s, 1, true);
    struct bth_spm *m = open_model(&s);
    check_encode(m, "a\xc3\xa9", "\xe2\x96\x81[0,0) a[0,1) <0xC3>[1,1) <0xA9>[1,3)");
    int32_t ids[] = {2, 3, 7 + 0xC3, 7 + 0xA9, 7 + 0xFF, 3};
    struct bth_str out = {0};
    struct berth_error err;
    uint32_t ends[6];
    CHECK_OK(bth_spm_decode_ids(m, ids, 6, &out, ends, &err), err);
    CHECK_STR(bth_str_text(&out), "a\xc3\xa9\xef\xbf\xbd"
                                  "a");
    CHECK_INT(ends[5], out.size);
    ids[0] = 7 + 256;
    CHECK_INT(bth_spm_decode_ids(m, ids, 6, &out, NULL, &err), BERTH_EINVAL);
    bth_str_finish(&out);
    bth_spm_close(m);
}

static void test_refusals(void) {
    struct bth_str s = {0};
    put_basics(&s);
    refuse(&s, "no SentencePiece model"); /* no trainer */
    put_piece(&s, "a", 0, BTH_SPM_NORMAL);
    put_trainer(&s, 1, false);
    refuse(&s, "no SentencePiece model"); /* no unk */
    put_basics(&s);
    put_piece(&s, "ab", -1, BTH_SPM_NORMAL);
    put_trainer(&s, 1, false);
    refuse(&s, "twice");
    put_basics(&s);
    put_piece(&s, "nan", NAN, BTH_SPM_NORMAL);
    refuse(&s, "impossible score");
    put_basics(&s);
    put_piece(&s, "k", 0, 9);
    refuse(&s, "impossible score or kind");
    put_basics(&s);
    put_piece(&s, "\xff", 0, BTH_SPM_NORMAL);
    refuse(&s, "no UTF-8");
    put_basics(&s);
    put_piece(&s, "", 0, BTH_SPM_NORMAL);
    refuse(&s, "empty");
    put_basics(&s);
    put_trainer(&s, 4, false);
    refuse(&s, "neither a unigram nor a BPE");
    put_basics(&s);
    put_trainer(&s, 1, false);
    put_trainer(&s, 1, false);
    refuse(&s, "there twice");
    bth_str_puts(&s, "not a model at all");
    refuse(&s, "");
}

/* A normaliser whose table is a trie of one block, with units set as given. */
static void put_table(struct bth_str *s, const uint32_t units[256], const char *texts, size_t n) {
    struct bth_str table = {0}, spec = {0};
    put_int(&table, 1024, 4);
    for (int i = 0; i < 256; i++) {
        put_int(&table, units[i], 4);
    }
    bth_str_append(&table, texts, n);
    put_bytes(&spec, 2, table.data, table.size);
    put_basics(s);
    put_trainer(s, 1, false);
    put_bytes(s, 3, spec.data, spec.size);
    bth_str_finish(&table);
    bth_str_finish(&spec);
}

static void test_tables(void) {
    struct bth_str s = {0};
    uint32_t units[256];
    for (int i = 0; i < 256; i++) {
        units[i] = 0x80000000U; /* a value: no label fits */
    }
    /* root: offset 1; 'c' at 1 ^ 'c', offset 2, with a value */
    units[0] = 1U << 10;
    unsigned at = 1 ^ 'c';
    units[at] = 2U << 10 | 0x100U | 'c';
    units[at ^ 2] = 0x80000000U;
    put_table(&s, units, "ab", 3);
    struct bth_spm *m = open_model(&s);
    check_encode(m, "cb", "\xe2\x96\x81[0,0) ab[0,1) b[1,2)"); /* c becomes ab */
    bth_spm_close(m);
    put_table(&s, units, "ab", 2); /* no end */
    refuse(&s, "replacement");
    units[at ^ 2] = 0x80000003U;
    put_table(&s, units, "ab", 3);
    refuse(&s, "replacement is not inside");
    units[at ^ 2] = 0x80000000U;
    units[at] = (at ^ 1U) << 10 | 'c'; /* leads back to where 'c' is itself */
    put_table(&s, units, "ab", 3);
    refuse(&s, "a cycle");
    units[at] = 0x3ffU << 10 | 0x200U | 'c';
    put_table(&s, units, "ab", 3);
    refuse(&s, "leads outside");
}

/* ---- the real ones ----------------------------------------------------------------------------*/

static void read_real(struct bth_str *out) {
    read_whole(BTH_TEST_DATA "/data/marian_tokenizer/source.spm", out);
}

static void test_damage(void) {
    struct bth_str s = {0};
    struct berth_error err;
    put_basics(&s);
    put_trainer(&s, 1, false);
    damage_all(&s, parse, &err);
    bth_str_finish(&s);
    read_real(&s);
    unsigned long long state = 7;
    for (int i = 0; i < 60; i++) { /* a real file is too large for every byte */
        size_t place = (size_t)(test_rand(&state) % s.size);
        char old = s.data[place];
        s.data[place] = (char)test_rand(&state);
        with_copy(&s, s.size, parse, &err);
        s.data[place] = old;
    }
    bth_str_finish(&s);
}

static void test_sizes(void) {
    struct bth_spm *m;
    struct berth_error err;
    CHECK_OK(bth_spm_open(BTH_TEST_DATA "/data/marian_tokenizer/source.spm", &m, &err), err);
    size_t n = BTH_SPM_MAX_TEXT + 1;
    char *text = malloc(n);
    CHECK(text);
    memset(text, 'a', n);
    struct bth_spm_text t;
    CHECK_INT(bth_spm_encode(m, text, n, &t, &err), BERTH_ETOOLARGE);
    CHECK_OK(bth_spm_encode(m, text, n - 1, &t, &err), err);
    CHECK(t.n > 1000 && t.tokens[t.n - 1].end == n - 1);
    bth_spm_text_finish(&t);
    for (size_t i = 0; i + 3 <= n; i += 3) {
        memcpy(text + i, "\xef\xb7\xba", 3); /* eleven times as long when normalised */
    }
    CHECK_INT(bth_spm_encode(m, text, n - 1, &t, &err), BERTH_ETOOLARGE);
    CHECK_OK(bth_spm_encode(m, text, 3000, &t, &err), err);
    bth_spm_text_finish(&t);
    free(text);
    bth_spm_close(m);
    CHECK_INT(bth_spm_open("/nonexistent.spm", &m, &err), BERTH_ENOTFOUND);
}

static void test_no_memory(void) {
    struct bth_str s = {0};
    put_basics(&s);
    put_trainer(&s, 1, false);
    for (int64_t n = 1;; n++) {
        struct bth_spm *m;
        struct berth_error err;
        bth_alloc_fail_at(n);
        int rc = bth_spm_parse((unsigned char *)s.data, s.size, &m, &err);
        struct bth_spm_text t = {0};
        int encoded = rc == 0 ? bth_spm_encode(m, "ab xy", 5, &t, &err) : rc;
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(encoded, fired ? BERTH_ENOMEM : 0);
        bth_spm_text_finish(&t);
        if (rc == 0) {
            bth_spm_close(m);
        }
        if (!fired) {
            break;
        }
    }
    bth_str_finish(&s);
}

static void *encode_much(void *user) {
    for (int i = 0; i < 200; i++) {
        check_encode(user, "ab xyz", "\xe2\x96\x81[0,0) ab[0,2) \xe2\x96\x81[2,3) xyz[3,6)");
    }
    return NULL;
}

static void test_threads(void) {
    struct bth_str s = {0};
    put_basics(&s);
    put_trainer(&s, 1, false);
    struct bth_spm *m = open_model(&s);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, encode_much, m) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    bth_spm_close(m);
}

int main(void) {
    if (TEST_THREADS_ONLY) {
        test_threads();
        return 0;
    }
    test_pieces();
    test_bytes();
    test_refusals();
    test_tables();
    test_damage();
    test_sizes();
    test_no_memory();
    test_threads();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

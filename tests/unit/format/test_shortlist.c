/* Shortlists made here: what they give for a sentence, and files that are refused. */
#include "base/alloc.h"
#include "format/shortlist_internal.h"
#include "lib/marian_bytes.h"

enum { SOURCE = 4, TARGET = 100 };
static const uint64_t offsets[SOURCE + 1] = {0, 0, 2, 5, 6}; /* id 0 has no list */
static const uint32_t ids[6] = {40, 41, 3, 41, 90, 99};

static int parse(const unsigned char *data, size_t n, void *user) {
    struct bth_shortlist s = {.source_vocab = SOURCE, .target_vocab = TARGET};
    return bth_shortlist_parse(&s, data, n, user);
}

static void check_select(const struct bth_shortlist *s, const int32_t *source, size_t n,
                         bool shared, const char *want) {
    int32_t *out;
    size_t out_n;
    struct berth_error err;
    char text[512] = "";
    CHECK_OK(bth_shortlist_select(s, source, n, shared, &out, &out_n, &err), err);
    for (size_t i = 0; i < out_n; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", i ? " " : "", out[i]);
    }
    CHECK_STR(text, want);
    bth_free(out);
}

static void test_select(void) {
    struct bth_str file = {0};
    shortlist_file(&file, 3, offsets, SOURCE + 1, ids, 6);
    struct bth_shortlist s = {.source_vocab = SOURCE, .target_vocab = TARGET};
    struct berth_error err;
    CHECK_OK(bth_shortlist_parse(&s, (unsigned char *)file.data, file.size, &err), err);
    check_select(&s, NULL, 0, true, "0 1 2 3 4 5 6 7");
    check_select(&s, (int32_t[]){1, 2}, 2, false, "0 1 2 3 4 40 41 90");
    check_select(&s, (int32_t[]){1, 2, 3, 0}, 4, true, "0 1 2 3 40 41 90 99");
    check_select(&s, (int32_t[]){3, -7, 4, INT32_MAX, INT32_MIN}, 5, false, "0 1 2 3 4 5 6 99");
    check_select(&s, (int32_t[]){2, 2, 1, 2, 3}, 5, false, "0 1 2 3 40 41 90 99");
    bth_str_finish(&file);
}

/* All of a vocabulary that is no multiple of 8. */
static void test_small_vocabulary(void) {
    struct bth_str file = {0};
    shortlist_file(&file, 50, (uint64_t[]){0, 0}, 2, ids, 0);
    struct bth_shortlist s = {.source_vocab = 1, .target_vocab = 5};
    struct berth_error err;
    CHECK_OK(bth_shortlist_parse(&s, (unsigned char *)file.data, file.size, &err), err);
    check_select(&s, (int32_t[]){0}, 1, true, "0 1 2 3 4");
    bth_str_finish(&file);
}

static void refuse(struct bth_str *file, const char *words) {
    struct berth_error err = {0};
    CHECK_INT(with_copy(file, file->size, parse, &err), BERTH_EFORMAT);
    if (!strstr(err.message, words)) {
        TEST_FAIL("%s does not say %s", err.message, words);
    }
    bth_str_finish(file);
}

static void test_refusals(void) {
    struct bth_str file = {0};
    shortlist_file(&file, 3, offsets, SOURCE + 1, (uint32_t[]){1, 2, 3, 4, 5, TARGET}, 6);
    refuse(&file, "not in the vocabulary of 100");
    shortlist_file(&file, 3, offsets, SOURCE, ids, 6);
    refuse(&file, "lists of 3 source ids");
    shortlist_file(&file, 3, (uint64_t[]){0, 3, 2, 5, 6}, SOURCE + 1, ids, 6);
    refuse(&file, "not inside");
    shortlist_file(&file, 3, (uint64_t[]){0, 1, 2, 5, 7}, SOURCE + 1, ids, 6);
    refuse(&file, "not inside");
    shortlist_file(&file, 3, offsets, SOURCE + 1, ids, 6);
    file.data[60] ^= 1;
    refuse(&file, "checksum");
    shortlist_file(&file, 3, offsets, SOURCE + 1, ids, 6);
    file.size--;
    refuse(&file, "cut short");
    bth_str_puts(&file, "no shortlist at all, but long enough for one's header");
    refuse(&file, "not a shortlist");
    shortlist_file(&file, 3, offsets, SOURCE + 1, ids, 6);
    struct berth_error err;
    damage_all(&file, parse, &err);
    bth_str_finish(&file);
}

static void test_no_memory(void) {
    struct bth_str file = {0};
    shortlist_file(&file, 3, offsets, SOURCE + 1, ids, 6);
    struct bth_shortlist s = {.source_vocab = SOURCE, .target_vocab = TARGET};
    struct berth_error err;
    CHECK_OK(bth_shortlist_parse(&s, (unsigned char *)file.data, file.size, &err), err);
    for (int64_t n = 1; n <= 2; n++) {
        int32_t *out;
        size_t out_n;
        bth_alloc_fail_at(n);
        CHECK_INT(bth_shortlist_select(&s, (int32_t[]){1}, 1, true, &out, &out_n, &err),
                  BERTH_ENOMEM);
        CHECK(bth_alloc_failed());
        bth_alloc_fail_at(0);
    }
    bth_str_finish(&file);
}

int main(void) {
    test_select();
    test_small_vocabulary();
    test_refusals();
    test_no_memory();
    struct bth_shortlist *s;
    struct berth_error err;
    CHECK_INT(bth_shortlist_open("/nonexistent/lex", 1, 1, &s, &err), BERTH_ENOTFOUND);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

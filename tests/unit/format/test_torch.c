/* PyTorch state dicts: files that torch wrote (fuzz/corpus/torch), and pickles made here. */
#include "base/alloc.h"
#include "format/pickle.h"
#include "lib/bytes.h"
#include "lib/parsed.h"

static void check_values(const struct bth_source *s, const char *name, int rank, const float *want,
                         size_t n) {
    const struct bth_source_tensor *t = bth_source_find(s, name);
    float have[16];
    struct berth_error err;
    if (!t || t->rank != rank || t->bytes / (t->dtype == BERTH_F32 ? 4 : 2) != n) {
        TEST_FAIL("tensor %s is not as expected", name);
    }
    CHECK_OK(bth_source_to_f32(t, have, &err), err);
    CHECK(memcmp(have, want, n * sizeof(float)) == 0);
}

/* Both containers hold a, h, i, shared (a again) and row (the second of a). */
static void test_containers(void) {
    static const char *const files[] = {"zip", "old"};
    static const float a[] = {0, 1, 2, 3, 4, 5}, ones[] = {1, 1};
    for (int i = 0; i < 2; i++) {
        char path[512];
        struct parsed o = {.reader = bth_torch_parse, .keep = true};
        struct bth_str file = {0};
        snprintf(path, sizeof(path), BTH_TEST_DATA "/fuzz/corpus/torch/%s", files[i]);
        read_whole(path, &file);
        CHECK_OK(parsed_read((unsigned char *)file.data, file.size, &o), o.err);
        CHECK_INT(bth_source_count(o.source), 4); /* i is of a type that no weight has */
        check_values(o.source, "a", 2, a, 6);
        check_values(o.source, "shared", 2, a, 6);
        check_values(o.source, "row", 1, a + 3, 3);
        check_values(o.source, "h", 1, ones, 2);
        CHECK(bth_source_find(o.source, "a")->data == bth_source_find(o.source, "shared")->data);
        bth_source_close(o.source);
        o.keep = false;
        damage_all(&file, parsed_read, &o);
        for (int64_t n = 1;; n++) {
            bth_alloc_fail_at(n);
            int rc = parsed_read((unsigned char *)file.data, file.size, &o);
            bool fired = bth_alloc_failed();
            bth_alloc_fail_at(0);
            CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
            if (!fired) {
                break;
            }
        }
        bth_str_finish(&file);
    }
}

static void test_refused_files(void) {
    static const char *const cases[][2] = {{"strided", "does not lie in rows"},
                                           {"evil", "which no weights need"}};
    for (int i = 0; i < 2; i++) {
        char path[512];
        struct parsed o = {.reader = bth_torch_parse};
        struct bth_str file = {0};
        snprintf(path, sizeof(path), BTH_TEST_DATA "/fuzz/corpus/torch/%s", cases[i][0]);
        read_whole(path, &file);
        CHECK_INT(with_copy(&file, file.size, parsed_read, &o), BERTH_EFORMAT);
        if (!strstr(o.err.message, cases[i][1])) {
            TEST_FAIL("%s: %s", cases[i][0], o.err.message);
        }
        bth_str_finish(&file);
    }
}

static int read_pickle(const char *bytes, size_t n, struct bth_arena *arena,
                       struct bth_pickle **out, struct berth_error *err) {
    static const char *const globals[] = {"a.B", NULL};
    size_t at = 0;
    return bth_pickle_read((const unsigned char *)bytes, n, &at, globals, arena, out, err);
}

#define READ(bytes) read_pickle(bytes, sizeof(bytes) - 1, &arena, &v, &err)

static void test_pickles(void) {
    struct bth_arena arena = {0};
    struct bth_pickle *v;
    struct berth_error err;
    CHECK_OK(READ("\x80\x02}(X\x01\0\0\0kK\x07X\x01\0\0\0jM\x01\x02u."), err);
    CHECK(v->kind == BTH_PICKLE_DICT && bth_pickle_get(v, "k")->integer == 7);
    CHECK_INT(bth_pickle_get(v, "j")->integer, 513);
    CHECK(!bth_pickle_get(v, "x"));
    CHECK_OK(READ("\x80\x02J\xff\xff\xff\xff."), err);
    CHECK_INT(v->integer, -1);
    CHECK_OK(READ("\x80\x02\x8a\x02\x00\xff."), err);
    CHECK_INT(v->integer, -256);
    CHECK_OK(READ("\x80\x04\x8c\x01"
                  "a\x8c\x01"
                  "B\x93)R."),
             err);
    CHECK(v->kind == BTH_PICKLE_CALL && strcmp(v->items[0]->text, "a.B") == 0);
    CHECK_OK(READ("ca\nB\n)R."), err);
    CHECK_OK(READ("]q\0h\0a."), err); /* a list that holds itself */
    CHECK(v->items[0] == v);
    bth_arena_finish(&arena);
}

static void test_bad_pickles(void) {
    struct bth_arena arena = {0};
    struct bth_pickle *v;
    struct berth_error err;
    CHECK_INT(READ("cposix\nsystem\n."), BERTH_EFORMAT);
    CHECK(strstr(err.message, "posix.system"));
    CHECK_INT(READ("ca\nB\nX\x01\0\0\0xR."), BERTH_EFORMAT); /* no tuple */
    CHECK_INT(READ("(i."), BERTH_EFORMAT);                   /* INST */
    CHECK_INT(READ("."), BERTH_EFORMAT);
    CHECK_INT(READ("NN."), BERTH_EFORMAT);
    CHECK_INT(READ("(."), BERTH_EFORMAT);
    CHECK_INT(READ("t."), BERTH_EFORMAT);
    CHECK_INT(READ("h\0."), BERTH_EFORMAT);
    CHECK_INT(READ("Nr\xff\xff\xff\x7f."), BERTH_EFORMAT); /* a memo that would be huge */
    CHECK_INT(READ("X\xff\xff\xff\xffx."), BERTH_EFORMAT);
    CHECK_INT(READ("N(Nu."), BERTH_EFORMAT);
    CHECK_INT(READ("}(N(Nu."), BERTH_EFORMAT);
    CHECK_INT(READ("}NNs"), BERTH_EFORMAT);
    CHECK_INT(READ("N(Kb."), BERTH_EFORMAT);
    bth_arena_finish(&arena);
}

int main(void) {
    test_containers();
    test_refused_files();
    test_pickles();
    test_bad_pickles();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

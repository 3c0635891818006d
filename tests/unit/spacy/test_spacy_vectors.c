/* Vectors: rows by key, floret's n-grams, files that lie. */
#include "base/alloc.h"
#include "lib/test.h"
#include "spacy/spacy_vectors.h"
#include <sys/stat.h>
#include <unistd.h>

static char root[256];

static void write_file(const char *name, const void *data, size_t n) {
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

/* [rows, 2] f32: row r is (r, -r). */
static void write_table(int rows) {
    unsigned char file[1024] = "\x93NUMPY\x01";
    int n = snprintf((char *)file + 10, 200,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2)}", rows);
    file[8] = (unsigned char)n;
    for (int r = 0; r < rows; r++) {
        const float row[2] = {(float)r, (float)-r};
        memcpy(file + 10 + n + 8 * r, row, sizeof(row));
    }
    write_file("vocab/vectors", file, (size_t)(10 + n + 8 * rows));
}

static int load(struct spacy_vectors **out) {
    struct berth_error err;
    struct spacy_package *p;
    CHECK_OK(spacy_package_open(root, &p, &err), err);
    int rc = spacy_vectors_load(p, out, &err);
    spacy_package_close(p);
    return rc;
}

/* "hello" is row 2. */
static const unsigned char keys[11] = {0x81, 0xCF};

static void write_keys(unsigned char row) {
    unsigned char file[sizeof(keys)];
    const uint64_t id = spacy_string_id("hello", 5);
    memcpy(file, keys, sizeof(keys));
    for (int i = 0; i < 8; i++) {
        file[2 + i] = (unsigned char)(id >> (56 - 8 * i));
    }
    file[10] = row;
    write_file("vocab/key2row", file, sizeof(file));
}

static void test_rows(void) {
    struct spacy_vectors *v;
    float x[2];
    write_table(4);
    write_keys(2);
    CHECK_INT(load(&v), 0);
    CHECK(spacy_vectors_rows(v) == 4 && spacy_vectors_width(v) == 2 && !spacy_vectors_floret(v));
    const uint64_t id = spacy_string_id("hello", 5);
    CHECK_INT(spacy_vectors_row(v, id), 2);
    CHECK_INT(spacy_vectors_row(v, id + 1), -1);
    CHECK_INT(spacy_vectors_row(NULL, id), -1);
    spacy_vectors_word(v, id, "hello", 5, x);
    CHECK(x[0] == 2 && x[1] == -2);
    spacy_vectors_word(v, id + 1, "other", 5, x);
    CHECK(x[0] == 0 && x[1] == 0);
    spacy_vectors_destroy(v);
    spacy_vectors_destroy(NULL);
}

/* Ids that all belong in one place: looking them up would take time by their square. */
static void write_crowd(uint32_t n) {
    unsigned char *file = bth_calloc(n, 10);
    CHECK(file && n > 0xffff);
    unsigned char *p = bth_realloc_array(file, n + 1, 10);
    CHECK(p);
    file = p;
    *p++ = 0xdf;
    for (int i = 24; i >= 0; i -= 8) {
        *p++ = (unsigned char)(n >> i);
    }
    for (uint32_t k = 0; k < n; k++, p += 10) {
        memset(p, 0, 10);
        p[0] = 0xCF;
        for (int i = 0; i < 4; i++) {
            p[1 + i] = (unsigned char)(k >> (24 - 8 * i));
        }
    }
    write_file("vocab/key2row", file, (size_t)(p - file));
    bth_free(file);
}

static void test_refuses(void) {
    struct spacy_vectors *v = NULL;
    write_crowd(300000);
    CHECK_INT(load(&v), BERTH_EFORMAT);
    write_keys(4); /* a row that is not there */
    CHECK_INT(load(&v), BERTH_EFORMAT);
    write_file("vocab/key2row", "\xdf\xff\xff\xff\xff", 5);
    CHECK_INT(load(&v), BERTH_EFORMAT);
    write_file("vocab/vectors", "\x93NUMPY\x01", 7);
    CHECK_INT(load(&v), BERTH_EFORMAT);
    CHECK(!v);
    write_table(0); /* no vectors at all */
    CHECK_INT(load(&v), 0);
    CHECK(!v);
}

/* All rows of "<a>": the word itself, and its n-grams of two characters, "<a" and "a>". */
static void test_floret(void) {
    struct spacy_vectors *v;
    float all[2], again[2];
    const char config[] = "{\"mode\":\"floret\",\"minn\":2,\"maxn\":2,\"hash_count\":1,"
                          "\"hash_seed\":0,\"bow\":\"<\",\"eow\":\">\"}";
    write_table(1);
    write_file("vocab/vectors.cfg", config, strlen(config));
    CHECK_INT(load(&v), 0);
    CHECK(spacy_vectors_floret(v) && spacy_vectors_row(v, 1) == -1);
    spacy_vectors_word(v, 1, "a", 1, all);
    CHECK(all[0] == 0); /* the mean of row 0 */
    spacy_vectors_destroy(v);
    write_table(50);
    CHECK_INT(load(&v), 0);
    spacy_vectors_word(v, 1, "\xC3\xA9t\xC3\xA9", 5, all);
    spacy_vectors_word(v, 1, "\xC3\xA9t\xC3\xA9", 5, again);
    CHECK(all[0] == again[0] && all[0] == -all[1] && all[0] > 0 && all[0] < 50);
    /* the mean of five rows: a whole number of fifths */
    CHECK_NEAR(5 * all[0], roundf(5 * all[0]), 1e-4);
    spacy_vectors_destroy(v);
    const char empty[] = "{\"mode\":\"floret\",\"minn\":0,\"maxn\":2,\"hash_count\":1,"
                         "\"hash_seed\":0}";
    write_file("vocab/vectors.cfg", empty, strlen(empty));
    CHECK_INT(load(&v), 0);
    CHECK_INT(spacy_vectors_word(v, 1, "ab", 2, all), 0);
    CHECK_NEAR(all[0], 198.0 / 13, 1e-5); /* what spaCy 3.8.7 gives */
    spacy_vectors_destroy(v);
    const char most[] = "{\"mode\":\"floret\",\"minn\":1,\"maxn\":32,\"hash_count\":4,"
                        "\"hash_seed\":0}";
    write_file("vocab/vectors.cfg", most, strlen(most));
    CHECK_INT(load(&v), 0);
    CHECK(spacy_vectors_fits(v, 1000) && !spacy_vectors_fits(v, 2000000));
    CHECK(!spacy_vectors_fits(v, SIZE_MAX) && spacy_vectors_fits(NULL, SIZE_MAX));
    const int64_t live = bth_alloc_live(); /* no memory is no word without a vector */
    bth_alloc_fail_at(1);
    CHECK_INT(spacy_vectors_word(v, 1, "word", 4, all), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
    CHECK_INT(bth_alloc_live(), live);
    CHECK_INT(spacy_vectors_word(v, 1, "word", 4, all), 0);
    spacy_vectors_destroy(v);
    v = NULL;
    const char wide[] = "{\"mode\":\"floret\",\"minn\":2,\"maxn\":33,\"hash_count\":1,"
                        "\"hash_seed\":0}";
    write_file("vocab/vectors.cfg", wide, strlen(wide));
    CHECK_INT(load(&v), BERTH_EFORMAT);
    write_file("vocab/vectors.cfg", "{\"mode\":\"other\"}", 16);
    CHECK_INT(load(&v), BERTH_EUNSUPPORTED);
    CHECK(!v);
}

static void test_memory(void) {
    write_file("vocab/vectors.cfg", "{}", 2);
    write_table(4);
    write_keys(1);
    const int64_t before = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct berth_error err;
        struct spacy_package *p;
        struct spacy_vectors *v = NULL;
        CHECK_OK(spacy_package_open(root, &p, &err), err);
        bth_alloc_fail_at(n);
        int rc = spacy_vectors_load(p, &v, &err);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        spacy_vectors_destroy(v);
        spacy_package_close(p);
        CHECK_INT(bth_alloc_live(), before);
        if (!failed) {
            break;
        }
    }
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char path[400];
    snprintf(root, sizeof(root), "%s/berth-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/vocab", root);
    CHECK(mkdir(path, 0700) == 0);
    write_file("config.cfg", "[nlp]\n", 6);
    test_rows();
    test_refuses();
    test_floret();
    test_memory();
    snprintf(path, sizeof(path), "rm -r '%s'", root);
    CHECK_INT(system(path), 0);
    return 0;
}

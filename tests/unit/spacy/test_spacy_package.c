/* Pipelines as a folder, an installed package and a wheel; damaged and lying ones. */
#include "base/alloc.h"
#include "lib/test.h"
#include "spacy/spacy_package.h"
#include "spacy/spacy_vocab.h"
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

static char root[256];

static void write_file(const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char meta[] = "{\"lang\":\"en\",\"name\":\"tiny\",\"version\":\"1.0\"}";

static void write_folders(void) {
    write_file("pipe/config.cfg", "[nlp]\nlang = \"en\"\n");
    write_file("pipe/meta.json", meta);
    write_file("pipe/tagger/model", "weights");
    write_file("pack/meta.json", meta);
    write_file("pack/en_tiny-1.0/config.cfg", "[nlp]\nlang = \"en\"\n");
    write_file("pack/en_tiny-1.0/tagger/model", "weights");
    write_file("empty/x", "");
    write_file("odd/meta.json", "{\"lang\":\"..\",\"name\":\"/\",\"version\":\"1.0\"}");
    write_file("cut/meta.json", "{\"lang\":");
}

static void add(zip_t *zip, const char *name, const void *data, size_t n) {
    zip_source_t *source = zip_source_buffer(zip, data, n, 0);
    CHECK(source && zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8) >= 0);
}

static const char *wheel_path(char out[300]) {
    snprintf(out, 300, "%s/en_tiny-1.0-py3-none-any.whl", root);
    return out;
}

enum { BOMB = 64 << 20 };

static void write_wheel(void) {
    char path[300];
    char *zeros = calloc(1, BOMB);
    zip_t *zip = zip_open(wheel_path(path), ZIP_CREATE | ZIP_TRUNCATE, NULL);
    CHECK(zip && zeros);
    add(zip, "en_tiny/meta.json", meta, strlen(meta));
    add(zip, "en_tiny/en_tiny-1.0/meta.json", meta, strlen(meta));
    add(zip, "en_tiny/en_tiny-1.0/config.cfg", "[nlp]\n", 6);
    add(zip, "en_tiny/en_tiny-1.0/tagger/model", "weights", 7);
    add(zip, "en_tiny/en_tiny-1.0/big", zeros, BOMB);
    add(zip, "en_tiny-1.0.dist-info/METADATA", "x", 1);
    CHECK(zip_close(zip) == 0);
    free(zeros);
}

static void check_pipeline(const char *path) {
    struct berth_error err;
    struct spacy_package *p;
    struct spacy_file f;
    CHECK(spacy_package_is(path));
    CHECK_OK(spacy_package_open(path, &p, &err), err);
    CHECK_OK(spacy_package_read(p, "tagger/model", &f, &err), err);
    CHECK(f.size == 7 && memcmp(f.data, "weights", 7) == 0);
    CHECK(spacy_package_has(p, "config.cfg") && !spacy_package_has(p, "ner/model"));
    struct spacy_file none = {0};
    CHECK_INT(spacy_package_read(p, "ner/model", &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(spacy_package_read(p, "../pipe/config.cfg", &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(spacy_package_read(p, "tagger/../../x", &none, &err), BERTH_ENOTFOUND);
    spacy_package_close(p);
    CHECK(memcmp(f.data, "weights", 7) == 0); /* longer than the package */
    spacy_file_close(&f);
    spacy_file_close(&none);
}

static void test_kinds(void) {
    char path[300];
    snprintf(path, sizeof(path), "%s/pipe", root);
    check_pipeline(path);
    snprintf(path, sizeof(path), "%s/pack", root);
    check_pipeline(path);
    check_pipeline(wheel_path(path));
}

static void refuse(const char *name, int code) {
    char path[300];
    struct berth_error err;
    struct spacy_package *p = NULL;
    snprintf(path, sizeof(path), "%s/%s", root, name);
    CHECK_INT(spacy_package_open(path, &p, &err), code);
    CHECK(!p);
}

static void test_refuses(void) {
    refuse("none", BERTH_ENOTFOUND);
    refuse("empty", BERTH_EFORMAT);
    refuse("odd", BERTH_EFORMAT);
    refuse("cut", BERTH_EFORMAT);
    refuse("pipe/config.cfg", BERTH_EFORMAT); /* a file that is no wheel */
}

static int try_read(const char *path, const char *name) {
    struct berth_error err;
    struct spacy_package *p;
    struct spacy_file f = {0};
    int rc = spacy_package_open(path, &p, &err);
    if (rc == 0) {
        rc = spacy_package_read(p, name, &f, &err);
        spacy_file_close(&f);
        spacy_package_close(p);
    }
    return rc;
}

/* A file of 64 MiB in 64 KiB unpacks as far as deflate goes; a zip that claims more does not. Any
 * byte of the wheel may be another. */
static void test_damage(void) {
    char path[300], other[300];
    struct berth_error err;
    char *bytes;
    size_t n;
    CHECK_OK(bth_read_file(wheel_path(path), 1 << 20, &bytes, &n, &err), err);
    snprintf(other, sizeof(other), "%s/other.whl", root);
    unsigned long long state = 5;
    for (int i = 0; i < 300; i++) {
        size_t at = test_rand(&state) % (i % 2 ? n : 600);
        at = i % 3 ? at : n - 1 - at % 600; /* headers at both ends most of the time */
        const char old = bytes[at];
        bytes[at] = (char)test_rand(&state);
        write_file("other.whl", "");
        FILE *f = fopen(other, "wb");
        CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
        bytes[at] = old;
        int rc = try_read(other, "tagger/model");
        CHECK(rc == 0 || rc == BERTH_EFORMAT || rc == BERTH_ENOTFOUND || rc == BERTH_ETOOLARGE ||
              rc == BERTH_EIO || rc == BERTH_ENOMEM);
    }
    /* the size in the central directory, of the file that is mostly nothing */
    const unsigned char claim[4] = {0, 0, 0, 4}, lie[4] = {0, 0, 0, 0xF0};
    int found = 0;
    for (size_t i = 0; i + 4 <= n; i++) {
        if (memcmp(bytes + i, claim, 4) == 0) {
            memcpy(bytes + i, lie, 4);
            found++;
        }
    }
    CHECK(found > 0);
    FILE *f = fopen(other, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
    int rc = try_read(other, "big");
    CHECK(rc == BERTH_ETOOLARGE || rc == BERTH_EFORMAT);
    bth_free(bytes);
}

static void test_memory(void) {
    char path[300];
    for (int kind = 0; kind < 2; kind++) {
        snprintf(path, sizeof(path), "%s/%s", root, kind ? "en_tiny-1.0-py3-none-any.whl" : "pack");
        const int64_t before = bth_alloc_live();
        for (int64_t n = 1;; n++) {
            bth_alloc_fail_at(n);
            int rc = try_read(path, "tagger/model");
            const bool failed = bth_alloc_failed();
            bth_alloc_fail_at(0);
            CHECK_INT(bth_alloc_live(), before);
            CHECK(rc == 0 || failed);
            if (!failed) {
                break;
            }
        }
    }
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof(root), "%s/berth-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(root));
    write_folders();
    write_wheel();
    test_kinds();
    test_refuses();
    test_damage();
    test_memory();
    char command[300];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    CHECK_INT(system(command), 0);
    return 0;
}

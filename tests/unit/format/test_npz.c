/* NumPy archives: files that NumPy wrote (fuzz/corpus/npz), and zips made here. */
#include "base/alloc.h"
#include "format/zip.h"
#include "lib/parsed.h"
#include "lib/zip_bytes.h"

static void corpus_file(const char *name, struct bth_str *out) {
    char path[512];
    snprintf(path, sizeof(path), BTH_TEST_DATA "/fuzz/corpus/npz/%s", name);
    read_whole(path, out);
}

static void test_numpy(void) {
    struct bth_str file = {0};
    struct parsed o = {.reader = bth_npz_parse, .keep = true};
    corpus_file("stored", &file);
    CHECK_OK(parsed_read((unsigned char *)file.data, file.size, &o), o.err);
    const struct bth_source_tensor *w = bth_source_find(o.source, "W");
    static const float want[] = {0, 1, 2, 3, 4, 5};
    CHECK(w && w->rank == 2 && w->dims[0] == 2 && w->dims[1] == 3);
    CHECK(memcmp(w->data, want, sizeof(want)) == 0);
    CHECK((const char *)w->data > file.data &&
          (const char *)w->data < file.data + file.size); /* where it lies */
    const struct bth_source_tensor *yml = bth_source_find(o.source, "special:model.yml");
    CHECK(yml && yml->dtype == BERTH_I8 && strcmp(yml->data, "type: transformer") == 0);
    bth_source_close(o.source);
    o.keep = false;
    damage_all(&file, parsed_read, &o);
    bth_str_finish(&file);

    corpus_file("deflated", &file);
    o.keep = true;
    CHECK_OK(parsed_read((unsigned char *)file.data, file.size, &o), o.err);
    const struct bth_source_tensor *z = bth_source_find(o.source, "z");
    CHECK(z && z->bytes == 6400 && *(const char *)z->data == 0);
    const struct bth_source_tensor *s = bth_source_find(o.source, "s");
    float two;
    CHECK(s && s->rank == 0 && s->bytes == sizeof(two));
    memcpy(&two, s->data, sizeof(two));
    CHECK(two == 2);
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

static void refuse(struct zip *z, const char *words) {
    struct parsed o = {.reader = bth_npz_parse};
    zip_finish(z);
    CHECK_INT(with_copy(&z->out, z->out.size, parsed_read, &o), BERTH_EFORMAT);
    if (!strstr(o.err.message, words)) {
        TEST_FAIL("%s does not say %s", o.err.message, words);
    }
    bth_str_finish(&z->out);
    *z = (struct zip){0};
}

static void test_refusals(void) {
    static const float one[1] = {1};
    struct zip z = {0};
    zip_array(&z, "x", "<f4", "(2,)", one, sizeof(one));
    refuse(&z, "do not hold");
    zip_array(&z, "x", ">f4", "(1,)", one, sizeof(one));
    refuse(&z, "a type that is not read");
    zip_array(&z, "x", "<f4", "(99999999999,)", one, sizeof(one));
    refuse(&z, "damaged");
    zip_array(&z, "x", "<f4", "(1", one, sizeof(one));
    refuse(&z, "damaged");
    zip_array(&z, "x", "<f4", "(1,)", one, sizeof(one));
    zip_array(&z, "x", "<f4", "(1,)", one, sizeof(one));
    refuse(&z, "twice");
    zip_member(&z, "x.npy", 8, "abc", 3, 1 << 20); /* more than deflate can give */
    refuse(&z, "damaged");
    zip_member(&z, "x.npy", 8, "\xff\xff\xff", 3, 100); /* no deflate */
    refuse(&z, "damaged");
    zip_member(&z, "x.npy", 12, "abc", 3, 3);
    refuse(&z, "packed unusually");
    zip_member(&z, "x.npy", 0, "abc", 3, 4);
    refuse(&z, "damaged");
    zip_member(&z, "x.npy", 0, "abc", 3, 3);
    refuse(&z, "array x is damaged");
    struct parsed o = {.reader = bth_npz_parse};
    struct bth_str file = {0};
    corpus_file("fortran", &file);
    CHECK_INT(parsed_read((unsigned char *)file.data, file.size, &o), BERTH_EFORMAT);
    bth_str_finish(&file);
}

/* Members that share bytes would multiply them. */
static void test_overlap(void) {
    struct zip z = {0};
    static const char block[1000];
    zip_member(&z, "a", 0, block, sizeof(block), sizeof(block));
    struct bth_str entry = {0};
    bth_str_append(&entry, z.directory.data, z.directory.size);
    for (int i = 0; i < 20; i++) {
        bth_str_append(&z.directory, entry.data, entry.size);
        z.n++;
    }
    zip_finish(&z);
    struct bth_zip zip;
    struct bth_zip_member m;
    struct berth_error err;
    CHECK_OK(bth_zip_open(&zip, (unsigned char *)z.out.data, z.out.size, &err), err);
    int rc;
    while ((rc = bth_zip_next(&zip, &m, &err)) == 1) {
        CHECK(m.data > (unsigned char *)z.out.data);
    }
    CHECK_INT(rc, BERTH_EFORMAT);
    bth_str_finish(&entry);
    bth_str_finish(&z.out);
}

int main(void) {
    test_numpy();
    test_refusals();
    test_overlap();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

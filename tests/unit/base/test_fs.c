#include "base/alloc.h"
#include "base/fs.h"
#include "lib/files.h"
#include <sys/stat.h>

static void mapping(const struct test_dir *d) {
    struct bth_map m;
    struct berth_error err;
    char path[512];
    test_dir_write(d, "f", "hello", 5);
    CHECK_OK(bth_map_open(&m, test_dir_path(d, "f", path), &err), err);
    CHECK(m.size == 5 && memcmp(m.data, "hello", 5) == 0);
    bth_map_close(&m);
    bth_map_close(&m);
    test_dir_write(d, "f", "", 0);
    CHECK_OK(bth_map_open(&m, path, &err), err);
    CHECK(m.size == 0 && m.data);
    bth_map_close(&m);
    CHECK_INT(bth_map_open(&m, test_dir_path(d, "none", path), &err), BERTH_ENOTFOUND);
    CHECK(strstr(err.message, "none"));
    CHECK_INT(bth_map_open(&m, d->path, &err), BERTH_EIO);
    CHECK_INT(bth_map_open(&m, "/dev/null", NULL), BERTH_EIO);
    CHECK_INT(mkfifo(test_dir_path(d, "pipe", path), 0600), 0);
    CHECK_INT(bth_map_open(&m, path, &err), BERTH_EIO); /* and does not wait for a writer */
}

static void reading(const struct test_dir *d) {
    char path[512], *text = NULL;
    size_t n = 99;
    struct berth_error err;
    test_dir_write(d, "f", "ab\0cd", 5);
    CHECK_OK(bth_read_file(test_dir_path(d, "f", path), 5, &text, &n, &err), err);
    CHECK(n == 5 && memcmp(text, "ab\0cd", 6) == 0);
    bth_free(text);
    text = NULL;
    n = 99;
    CHECK_INT(bth_read_file(path, 4, &text, &n, &err), BERTH_ETOOLARGE);
    bth_alloc_fail_at(1);
    CHECK_INT(bth_read_file(path, 5, &text, &n, &err), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
    CHECK(!text && n == 99);
    CHECK(bth_is_file(path) && !bth_is_dir(path));
    CHECK(bth_is_dir(d->path) && !bth_is_file(d->path));
    CHECK(!bth_is_file("") && !bth_is_dir("/nowhere/at/all"));
}

static void joined(const char *dir, const char *name, const char *expected) {
    char *p = bth_path_join(dir, name);
    CHECK_STR(p, expected);
    bth_free(p);
}

int main(void) {
    struct test_dir d;
    test_dir_open(&d);
    mapping(&d);
    reading(&d);
    joined("/a", "b", "/a/b");
    joined("/a/", "b", "/a/b");
    joined("/", "b", "/b");
    test_dir_close(&d);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

/* tests/lib/files.h - files of a test: a folder of its own under TMPDIR, removed at the end. */
#ifndef BTH_TEST_FILES_H
#define BTH_TEST_FILES_H

#include "lib/test.h"
#include <dirent.h>
#include <unistd.h>

struct test_dir {
    char path[256];
};

static inline void test_dir_open(struct test_dir *d) {
    const char *tmp = getenv("TMPDIR");
    snprintf(d->path, sizeof(d->path), "%s/berth-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(d->path));
}

/* The path of a file in it; `out` is 512 bytes. Returns out. */
static inline const char *test_dir_path(const struct test_dir *d, const char *name, char out[512]) {
    snprintf(out, 512, "%s/%s", d->path, name);
    return out;
}

static inline void test_dir_write(const struct test_dir *d, const char *name, const void *data,
                                  size_t n) {
    char path[512];
    FILE *f = fopen(test_dir_path(d, name, path), "wb");
    CHECK(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static inline void test_dir_close(struct test_dir *d) {
    DIR *dir = opendir(d->path);
    CHECK(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%.200s", d->path, e->d_name);
            remove(path);
        }
    }
    closedir(dir);
    CHECK(rmdir(d->path) == 0);
}

#endif

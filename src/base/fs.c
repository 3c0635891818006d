#include "base/fs.h"

#include "base/alloc.h"
#include "base/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int bth_open_regular(const char *path, int *out_fd, size_t *out_size, struct berth_error *err) {
    /* O_NONBLOCK: a FIFO would hold us until somebody writes */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int code = errno == ENOENT || errno == ENOTDIR ? BERTH_ENOTFOUND : BERTH_EIO;
        return bth_error(err, code, "%s: %s", path, strerror(errno));
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return bth_error(err, BERTH_EIO, "%s: not a regular file", path);
    }
    *out_fd = fd;
    *out_size = (size_t)st.st_size;
    return 0;
}

int bth_map_open(struct bth_map *m, const char *path, struct berth_error *err) {
    int fd;
    size_t size;
    int rc = bth_open_regular(path, &fd, &size, err);
    if (rc < 0) {
        return rc;
    }
    if (size == 0) {
        close(fd);
        *m = (struct bth_map){.data = (const unsigned char *)"", .size = 0};
        return 0;
    }
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED) {
        return bth_error(err, BERTH_ENOMEM, "%s: cannot map %zu bytes: %s", path, size,
                         strerror(errno));
    }
    *m = (struct bth_map){.data = p, .size = size};
    return 0;
}

void bth_map_close(struct bth_map *m) {
    if (m->size) {
        munmap((void *)m->data, m->size);
    }
    *m = (struct bth_map){0};
}

static int read_all(int fd, char *buf, size_t size, size_t *out_n) {
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, buf + n, size - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    *out_n = n;
    return 0;
}

int bth_read_file(const char *path, size_t limit, char **out, size_t *out_size,
                  struct berth_error *err) {
    int fd;
    size_t size;
    int rc = bth_open_regular(path, &fd, &size, err);
    if (rc < 0) {
        return rc;
    }
    char *buf = NULL;
    if (size > limit) {
        rc = bth_error(err, BERTH_ETOOLARGE, "%s: %zu bytes, at most %zu are read", path, size,
                       limit);
        goto out;
    }
    buf = bth_alloc(size + 1);
    if (!buf) {
        rc = bth_error_nomem(err);
        goto out;
    }
    if (read_all(fd, buf, size, &size) < 0) {
        rc = bth_error(err, BERTH_EIO, "%s: %s", path, strerror(errno));
        goto out;
    }
    buf[size] = '\0';
    *out = buf;
    *out_size = size;
    buf = NULL;
out:
    bth_free(buf);
    close(fd);
    return rc;
}

bool bth_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool bth_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *bth_path_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    return bth_printf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(1099511628211);
    return h ^ h >> 29;
}

static uint64_t entry_stamp(const char *name, const struct stat *st) {
    uint64_t h = mix(UINT64_C(14695981039346656037), st->st_ino);
    for (const char *c = name; *c; c++) {
        h = mix(h, (unsigned char)*c);
    }
    h = mix(h, (uint64_t)st->st_size);
    h = mix(h, (uint64_t)st->st_mtim.tv_sec);
    return mix(h, (uint64_t)st->st_mtim.tv_nsec);
}

uint64_t bth_path_stamp(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0) {
        return 0;
    }
    uint64_t sum = entry_stamp("", &st); /* a sum: a folder has no order */
    DIR *dir = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, "..") != 0 && fstatat(dirfd(dir), e->d_name, &st, 0) == 0) {
            sum += entry_stamp(e->d_name, &st);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return sum ? sum : 1;
}

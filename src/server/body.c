#include "server/body.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void bth_body_init(struct bth_body *b) {
    *b = (struct bth_body){.fd = -1};
}

static int open_file(struct bth_body *b, const char *dir, struct berth_error *err) {
    char *path = bth_printf("%s/berth-body-XXXXXX", dir);
    if (!path) {
        return bth_error_nomem(err);
    }
    int fd = mkstemp(path), rc = 0;
    if (fd < 0) {
        rc = bth_error(err, BERTH_EIO, "cannot keep the request's body: %s", strerror(errno));
    } else {
        unlink(path);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        b->fd = fd;
    }
    bth_free(path);
    return rc;
}

static int write_all(int fd, const char *data, size_t n, struct berth_error *err) {
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return bth_error(err, BERTH_EIO, "cannot keep the request's body: %s", strerror(errno));
        }
        data += done;
        n -= (size_t)done;
    }
    return 0;
}

int bth_body_append(struct bth_body *b, const struct bth_body_limits *limits, const void *data,
                    size_t n, struct berth_error *err) {
    if (n > limits->most - b->size) {
        return bth_error(err, BERTH_ETOOLARGE, "the body is larger than %llu bytes",
                         (unsigned long long)limits->most);
    }
    b->size += n;
    if (b->fd < 0 && b->size <= limits->memory) {
        bth_str_append(&b->memory, data, n);
        return b->memory.failed ? bth_error_nomem(err) : 0;
    }
    int rc = 0;
    if (b->fd < 0) {
        rc = open_file(b, limits->dir, err);
        rc = rc < 0 ? rc : write_all(b->fd, bth_str_text(&b->memory), b->memory.size, err);
        bth_str_finish(&b->memory);
    }
    return rc < 0 ? rc : write_all(b->fd, data, n, err);
}

static int map(struct bth_body *b, struct berth_error *err) {
    void *p = b->map ? b->map : mmap(NULL, (size_t)b->size, PROT_READ, MAP_PRIVATE, b->fd, 0);
    if (p == MAP_FAILED) {
        return bth_error(err, BERTH_EIO, "cannot map the request's body: %s", strerror(errno));
    }
    b->map = p;
    return 0;
}

int bth_body_input(struct bth_body *b, enum berth_input_kind kind, struct berth_input *out,
                   struct berth_error *err) {
    bool file = kind == BERTH_INPUT_BYTES || kind == BERTH_INPUT_FD;
    if (file && b->fd >= 0) {
        *out = (struct berth_input){.kind = BERTH_INPUT_FD, .fd = b->fd};
        return 0;
    }
    int rc = b->fd >= 0 ? map(b, err) : 0;
    if (rc == 0) {
        *out = (struct berth_input){.kind = file ? BERTH_INPUT_BYTES : kind,
                                    .data = b->fd >= 0 ? b->map : bth_str_text(&b->memory),
                                    .size = (size_t)b->size};
    }
    return rc;
}

void bth_body_finish(struct bth_body *b) {
    if (b->map) {
        munmap(b->map, (size_t)b->size);
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    bth_str_finish(&b->memory);
    bth_body_init(b);
}

#include "audio/stream.h"

#include "base/compiler.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int64_t bth_stream_read_at(struct bth_stream *s, void *buf, uint64_t n, uint64_t at) {
    if (at >= s->size) {
        return 0;
    }
    n = BTH_MIN(n, s->size - at);
    at += s->start;
    if (s->fd < 0) {
        memcpy(buf, s->data + at, n);
        return (int64_t)n;
    }
    uint64_t done = 0;
    while (done < n) {
        ssize_t got = pread(s->fd, (char *)buf + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            s->failed = errno;
        }
        if (got <= 0) {
            break;
        }
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

int64_t bth_stream_read(struct bth_stream *s, void *buf, uint64_t n) {
    int64_t got = bth_stream_read_at(s, buf, n, s->pos);
    s->pos += (uint64_t)got;
    return got;
}

int64_t bth_stream_seek(struct bth_stream *s, int64_t offset, int whence) {
    int64_t base = whence == SEEK_SET ? 0 : (int64_t)(whence == SEEK_CUR ? s->pos : s->size), to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || (uint64_t)to > s->size) {
        return -1;
    }
    s->pos = (uint64_t)to;
    return to;
}

void bth_stream_narrow(struct bth_stream *s, uint64_t at, uint64_t size) {
    s->start += at;
    s->size = size;
    s->pos = 0;
}

#include "client/upload.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same words as in process. */
static int open_fd(struct bth_upload *u, int fd, struct berth_error *err) {
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return bth_error(err, BERTH_EIO, "the descriptor is not of a regular file");
    }
    u->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (u->fd < 0) {
        return bth_error(err, BERTH_EIO, "cannot duplicate the descriptor: %s", strerror(errno));
    }
    u->size = (uint64_t)st.st_size;
    return 0;
}

static int copy(struct bth_upload *u, const void *data, size_t n, struct berth_error *err) {
    u->data = bth_memdup(n ? data : "", n);
    if (!u->data) {
        return bth_error_nomem(err);
    }
    u->size = n;
    return 0;
}

static int take(struct bth_upload *u, const struct berth_input *in, struct berth_error *err) {
    size_t size = 0;
    int rc;
    switch (in->kind) {
    case BERTH_INPUT_FILE:
        rc = bth_open_regular(in->path, &u->fd, &size, err);
        u->size = size;
        return rc;
    case BERTH_INPUT_FD:
        return open_fd(u, in->fd, err);
    case BERTH_INPUT_TEXT:
        snprintf(u->type, sizeof(u->type), "text/plain");
        break;
    case BERTH_INPUT_PCM_F32:
    case BERTH_INPUT_PCM_S16:
        snprintf(u->type, sizeof(u->type), "audio/x-berth-%s;rate=%u;channels=%u",
                 in->kind == BERTH_INPUT_PCM_F32 ? "f32" : "s16", (unsigned)in->sample_rate_hz,
                 (unsigned)in->channels);
        break;
    default:
        break;
    }
    return copy(u, in->data, in->size, err);
}

int bth_upload_input(struct bth_upload *u, const struct berth_input *input,
                     struct berth_error *err) {
    *u = (struct bth_upload){.fd = -1, .type = "application/octet-stream"};
    return take(u, input, err);
}

int bth_upload_json(struct bth_upload *u, const char *text, struct berth_error *err) {
    *u = (struct bth_upload){.fd = -1, .type = "application/json"};
    return copy(u, text, strlen(text), err);
}

void bth_upload_finish(struct bth_upload *u) {
    bth_free(u->data);
    if (u->fd >= 0) {
        close(u->fd);
    }
    *u = (struct bth_upload){.fd = -1};
}

/* ---- libcurl's functions ---------------------------------------------------------------------*/

static size_t read_body(char *out, size_t size, size_t n, void *arg) {
    struct bth_upload *u = arg;
    uint64_t left = u->size - u->at, room = size * n;
    size_t wanted = (size_t)BTH_MIN(left, room);
    if (wanted == 0) {
        return 0;
    }
    if (u->fd < 0) {
        memcpy(out, (const char *)u->data + u->at, wanted);
        u->at += wanted;
        return wanted;
    }
    ssize_t got = pread(u->fd, out, wanted, (off_t)u->at);
    if (got <= 0) {
        u->failed = got < 0 ? errno : 0;
        u->shortened = got == 0;
        return CURL_READFUNC_ABORT;
    }
    u->at += (uint64_t)got;
    return (size_t)got;
}

/* A connection that the daemon had closed meanwhile: the body goes again over a new one. */
static int seek_body(void *arg, curl_off_t offset, int origin) {
    struct bth_upload *u = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > u->size) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    u->at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

void bth_upload_attach(struct bth_upload *u, CURL *easy) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)u->size);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, u);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, u);
}

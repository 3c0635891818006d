#include "audio/mp3.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include <mpg123.h>
#include <sys/types.h>

struct bth_mp3 {
    mpg123_handle *handle;
    size_t frame_bytes;
};

static ssize_t read_bytes(void *stream, void *buf, size_t n) {
    return (ssize_t)bth_stream_read(stream, buf, n);
}

static off_t seek_bytes(void *stream, off_t offset, int whence) {
    return (off_t)bth_stream_seek(stream, offset, whence);
}

static int damaged(const struct bth_mp3 *m, struct berth_error *err) {
    return bth_error(err, BERTH_EAUDIO, "damaged or unknown kind of sound file: mp3: %s",
                     mpg123_strerror(m->handle));
}

/* f32 at the file's own rate; the encoder's padding is cut off; a stream that changes its rate on
 * the way is an error and not a sound. */
static int set_up(struct bth_mp3 *m, struct berth_error *err) {
    const long flags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_NO_FRANKENSTEIN;
    if (mpg123_param(m->handle, MPG123_REMOVE_FLAGS, MPG123_AUTO_RESAMPLE, 0) != MPG123_OK ||
        mpg123_param(m->handle, MPG123_ADD_FLAGS, flags, 0) != MPG123_OK ||
        mpg123_replace_reader_handle(m->handle, read_bytes, seek_bytes, NULL) != MPG123_OK) {
        return bth_error(err, BERTH_EINTERNAL, "libmpg123: %s", mpg123_strerror(m->handle));
    }
    return 0;
}

static int read_header(struct bth_mp3 *m, struct bth_stream *stream, struct bth_pcm_format *format,
                       struct berth_error *err) {
    long rate;
    int channels, encoding;
    if (mpg123_open_handle(m->handle, stream) != MPG123_OK ||
        mpg123_getformat(m->handle, &rate, &channels, &encoding) != MPG123_OK) {
        return damaged(m, err);
    }
    int64_t frames = mpg123_length(m->handle);
    if (frames <= 0) {
        if (mpg123_scan(m->handle) != MPG123_OK) {
            return damaged(m, err);
        }
        frames = mpg123_length(m->handle);
    }
    if (encoding != MPG123_ENC_FLOAT_32 &&
        mpg123_format(m->handle, rate, channels, MPG123_ENC_FLOAT_32) != MPG123_OK) {
        return damaged(m, err);
    }
    m->frame_bytes = (size_t)channels * sizeof(float);
    format->rate_hz = (uint32_t)rate;
    format->channels = (uint32_t)channels;
    format->frames = frames < 0 ? BTH_PCM_UNKNOWN : (uint64_t)frames;
    return 0;
}

int bth_mp3_open(struct bth_stream *stream, struct bth_mp3 **out, struct bth_pcm_format *format,
                 struct berth_error *err) {
    struct bth_mp3 *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    m->handle = mpg123_new(NULL, NULL);
    int rc = m->handle ? set_up(m, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = read_header(m, stream, format, err);
    }
    if (rc < 0) {
        bth_mp3_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void bth_mp3_close(struct bth_mp3 *m) {
    if (m) {
        mpg123_delete(m->handle); /* NULL is allowed */
        bth_free(m);
    }
}

int64_t bth_mp3_read(struct bth_mp3 *m, float *out, size_t n, struct berth_error *err) {
    size_t done = 0;
    int rc = mpg123_read(m->handle, (void *)out, n * m->frame_bytes, &done);
    if (rc == MPG123_OK || rc == MPG123_DONE) {
        return (int64_t)(done / m->frame_bytes);
    }
    return bth_error(err, BERTH_EAUDIO, "damaged: mp3: %s",
                     rc == MPG123_NEW_FORMAT ? "its rate or channels change on the way"
                                             : mpg123_strerror(m->handle));
}

#include "audio/pcm_source.h"

#include "audio/mp3.h"
#include "audio/stream.h"
#include "audio/wav.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bth_pcm_source {
    struct bth_pcm_format format;
    struct bth_stream stream;
    /* one of: */
    SNDFILE *file;
    struct bth_mp3 *mp3; /* its length may be an estimate */
    /* or raw samples: */
    const unsigned char *raw;
    uint64_t raw_frames;
    bool raw_f32;
    uint64_t frames_read; /* so far */
};

/* ---- the stream -----------------------------------------------------------------------------*/

static sf_count_t vio_size(void *user) {
    return (sf_count_t)((struct bth_stream *)user)->size;
}

static sf_count_t vio_tell(void *user) {
    return (sf_count_t)((struct bth_stream *)user)->pos;
}

static sf_count_t vio_read(void *buf, sf_count_t n, void *user) {
    return n <= 0 ? 0 : bth_stream_read(user, buf, (uint64_t)n);
}

static sf_count_t vio_seek(sf_count_t offset, int whence, void *user) {
    return bth_stream_seek(user, offset, whence);
}

static SF_VIRTUAL_IO virtual_io = {
    .get_filelen = vio_size, .seek = vio_seek, .read = vio_read, .tell = vio_tell};

/* ---- what the first bytes say ---------------------------------------------------------------*/

enum kind { KIND_NONE, KIND_SNDFILE, KIND_MP3 };

/* libsndfile reads some twenty formats more that nobody uploads and that are so much more code open
 * to strangers' bytes; and mp3, but not in silence (mp3.h). */
static enum kind kind_of(const unsigned char *b) {
    static const char *const magic[] = {"RIFF", "RIFX", "RF64", "fLaC", "OggS"};
    for (size_t i = 0; i < BTH_COUNT(magic); i++) {
        if (memcmp(b, magic[i], strlen(magic[i])) == 0) {
            return KIND_SNDFILE;
        }
    }
    return b[0] == 0xFF && (b[1] & 0xE0) == 0xE0 ? KIND_MP3 : KIND_NONE; /* an MPEG frame */
}

/* ID3 tags come in front of mp3 and sometimes of flac and wav: nobody here wants to know what is in
 * them. Says whether there was one. */
static bool skip_tags(struct bth_stream *s) {
    unsigned char b[10];
    bool any = false;
    /* bounded: a file of empty tags must not keep us busy */
    for (int i = 0;
         i < 16 && bth_stream_read_at(s, b, sizeof(b), 0) == sizeof(b) && memcmp(b, "ID3", 3) == 0;
         i++) {
        uint64_t size = 10 + ((uint64_t)(b[6] & 127) << 21 | (uint64_t)(b[7] & 127) << 14 |
                              (uint64_t)(b[8] & 127) << 7 | (uint64_t)(b[9] & 127));
        size += b[5] & 16 ? 10 : 0; /* a footer */
        size = BTH_MIN(size, s->size);
        bth_stream_narrow(s, size, s->size - size);
        any = true;
    }
    return any;
}

static int sniff(struct bth_stream *s, enum kind *out, struct berth_error *err) {
    const bool tags = skip_tags(s);
    unsigned char b[12] = {0};
    int64_t n = bth_stream_read_at(s, b, sizeof(b), 0);
    if (s->failed) {
        return bth_error(err, BERTH_EIO, "cannot read: %s", strerror(s->failed));
    }
    if (n == 0) {
        return tags ? bth_error(err, BERTH_EAUDIO, "tags without sound: the file was cut off")
                    : bth_error(err, BERTH_EAUDIO, "the file is empty (0 bytes)");
    }
    *out = kind_of(b);
    if (*out == KIND_NONE && tags) {
        *out = KIND_MP3; /* frames may begin a little later */
    }
    if (*out != KIND_NONE) {
        return 0;
    }
    const char *what = "not a sound file that is read here";
    if (memcmp(b + 4, "ftyp", 4) == 0) {
        what = "m4a and mp4 are not read here";
    } else if (memcmp(b, "\x1A\x45\xDF\xA3", 4) == 0) {
        what = "webm and mkv are not read here";
    }
    return bth_error(err, BERTH_EAUDIO,
                     "%s; convert it to wav, flac, ogg, opus or mp3, for example with "
                     "ffmpeg -i FILE -ac 1 -ar 16000 out.wav",
                     what);
}

/* ---- opening --------------------------------------------------------------------------------*/

static int check_format(const struct bth_pcm_format *f, int code, struct berth_error *err) {
    if (f->rate_hz < 1000 || f->rate_hz > 768000) {
        return bth_error(err, code, "sample rate %u Hz, 1000 to 768000 are read",
                         (unsigned)f->rate_hz);
    }
    if (f->channels < 1 || f->channels > 64) {
        return bth_error(err, code, "%u channels, 1 to 64 are read", (unsigned)f->channels);
    }
    return 0;
}

static int open_sndfile(struct bth_pcm_source *s, struct berth_error *err) {
    SF_INFO info = {0};
    s->file = sf_open_virtual(&virtual_io, SFM_READ, &info, &s->stream);
    if (!s->file) {
        return bth_error(err, BERTH_EAUDIO, "damaged or unknown kind of sound file: %s",
                         sf_strerror(NULL));
    }
    s->format = (struct bth_pcm_format){
        .rate_hz = (uint32_t)BTH_MAX(info.samplerate, 0),
        .channels = (uint32_t)BTH_MAX(info.channels, 0),
        .frames = info.frames < 0 || info.frames == SF_COUNT_MAX ? BTH_PCM_UNKNOWN
                                                                 : (uint64_t)info.frames,
    };
    return 0;
}

/* A wav whose claim is checked; one of MPEG frames is an mp3 in a wrapping. */
static int unwrap(struct bth_stream *s, enum kind *kind, struct berth_error *err) {
    struct bth_wav w;
    if (!bth_wav_read(s, &w)) {
        return 0;
    }
    int rc = bth_wav_check(s, &w, err);
    if (rc == 0 && w.mp3) {
        const uint64_t rest = s->size - w.data_at;
        bth_stream_narrow(s, w.data_at, w.data_at ? BTH_MIN(w.data_bytes, rest) : 0);
        *kind = KIND_MP3;
    }
    return rc;
}

static int open_sound(struct bth_pcm_source *s, struct berth_error *err) {
    enum kind kind;
    int rc = sniff(&s->stream, &kind, err);
    rc = rc < 0 ? rc : unwrap(&s->stream, &kind, err);
    if (rc < 0) {
        return rc;
    }
    rc = kind == KIND_MP3 ? bth_mp3_open(&s->stream, &s->mp3, &s->format, err)
                          : open_sndfile(s, err);
    if (s->stream.failed) {
        return bth_error(err, BERTH_EIO, "cannot read: %s", strerror(s->stream.failed));
    }
    if (rc < 0) {
        return rc;
    }
    s->format.bytes = s->stream.size;
    return check_format(&s->format, BERTH_EAUDIO, err);
}

static int open_raw(struct bth_pcm_source *s, const struct berth_input *in,
                    struct berth_error *err) {
    s->raw_f32 = in->kind == BERTH_INPUT_PCM_F32;
    s->format = (struct bth_pcm_format){
        .rate_hz = in->sample_rate_hz, .channels = in->channels, .bytes = in->size};
    int rc = check_format(&s->format, BERTH_EINVAL, err);
    if (rc < 0) {
        return rc;
    }
    size_t frame = (s->raw_f32 ? 4U : 2U) * (size_t)in->channels;
    if (in->size % frame != 0) {
        return bth_error(err, BERTH_EINVAL, "%zu bytes are not a whole number of %zu-byte frames",
                         in->size, frame);
    }
    s->raw = in->data;
    s->raw_frames = s->format.frames = in->size / frame;
    return 0;
}

/* The caller's descriptor stays his; reading by position leaves its position alone. */
static int open_fd(struct bth_pcm_source *s, int fd, struct berth_error *err) {
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return bth_error(err, BERTH_EIO, "the descriptor is not of a regular file");
    }
    s->stream.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (s->stream.fd < 0) {
        return bth_error(err, BERTH_EIO, "cannot duplicate the descriptor: %s", strerror(errno));
    }
    s->stream.size = (uint64_t)st.st_size;
    return open_sound(s, err);
}

static int open_any(struct bth_pcm_source *s, const struct berth_input *in,
                    struct berth_error *err) {
    if (in->kind == BERTH_INPUT_FILE) {
        if (!in->path) {
            return bth_error(err, BERTH_EINVAL, "no path");
        }
        size_t size;
        int rc = bth_open_regular(in->path, &s->stream.fd, &size, err);
        if (rc < 0) {
            return rc;
        }
        s->stream.size = size;
        rc = open_sound(s, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", in->path);
        }
        return rc;
    }
    if (in->kind == BERTH_INPUT_FD) {
        return open_fd(s, in->fd, err);
    }
    if (!in->data && in->size) {
        return bth_error(err, BERTH_EINVAL, "no data");
    }
    switch (in->kind) {
    case BERTH_INPUT_BYTES:
        s->stream.data = in->data;
        s->stream.size = in->size;
        return open_sound(s, err);
    case BERTH_INPUT_PCM_F32:
    case BERTH_INPUT_PCM_S16:
        return open_raw(s, in, err);
    default:
        return bth_error(err, BERTH_EINVAL, "the input is not sound");
    }
}

int bth_pcm_source_open(const struct berth_input *input, struct bth_pcm_source **out,
                        struct berth_error *err) {
    struct bth_pcm_source *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    s->stream.fd = -1;
    int rc = open_any(s, input, err);
    if (rc < 0) {
        bth_pcm_source_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void bth_pcm_source_close(struct bth_pcm_source *s) {
    if (!s) {
        return;
    }
    if (s->file) {
        sf_close(s->file);
    }
    bth_mp3_close(s->mp3);
    if (s->stream.fd >= 0) {
        close(s->stream.fd);
    }
    bth_free(s);
}

const struct bth_pcm_format *bth_pcm_source_format(const struct bth_pcm_source *s) {
    return &s->format;
}

/* ---- reading --------------------------------------------------------------------------------*/

static size_t read_raw(struct bth_pcm_source *s, float *out, size_t n) {
    n = (size_t)BTH_MIN((uint64_t)n, s->raw_frames - s->frames_read);
    size_t values = n * s->format.channels, at = (size_t)s->frames_read * s->format.channels;
    if (n == 0) {
        return 0;
    }
    if (s->raw_f32) {
        memcpy(out, s->raw + at * 4, values * 4);
        return n;
    }
    for (size_t i = 0; i < values; i++) {
        int16_t v; /* the caller's bytes may lie at any address */
        memcpy(&v, s->raw + (at + i) * 2, 2);
        out[i] = (float)v / 32768.0F;
    }
    return n;
}

/* Called at the end of the sound: was what the header said about right? */
static int check_end(const struct bth_pcm_source *s, struct berth_error *err) {
    double seconds = (double)s->frames_read / s->format.rate_hz;
    if (s->stream.failed) {
        return bth_error(err, BERTH_EIO, "cannot read on after %.2f s: %s", seconds,
                         strerror(s->stream.failed));
    }
    if (s->file && sf_error(s->file) != SF_ERR_NO_ERROR) {
        return bth_error(err, BERTH_EAUDIO, "damaged or cut off after %.2f s: %s", seconds,
                         sf_strerror(s->file));
    }
    if (s->file && s->format.frames != BTH_PCM_UNKNOWN && s->frames_read < s->format.frames / 2) {
        return bth_error(err, BERTH_EAUDIO,
                         "the header promises %.2f s of sound but there are %.2f s: the file was "
                         "cut off or damaged",
                         (double)s->format.frames / s->format.rate_hz, seconds);
    }
    /* libsndfile stops where the header says. What follows the sound is at most tags, unless the
     * header lies, or the length of an mp3 without one was guessed too short. In a
     * wav any chunk may follow: half a file of them is no sound file that we know. */
    uint64_t left = s->stream.size - s->stream.pos;
    if (s->frames_read == s->format.frames && left > s->stream.size / 2 && left > 65536) {
        return bth_error(err, BERTH_EAUDIO,
                         "the header promises %.2f s of sound but %llu of %llu bytes follow: "
                         "repair it, for example with ffmpeg -i FILE out.wav",
                         seconds, (unsigned long long)left, (unsigned long long)s->stream.size);
    }
    return 0;
}

int64_t bth_pcm_source_read(struct bth_pcm_source *s, float *out, size_t n,
                            struct berth_error *err) {
    const bool sound = s->file || s->mp3;
    int64_t got = s->file  ? sf_readf_float(s->file, out, (sf_count_t)n)
                  : s->mp3 ? bth_mp3_read(s->mp3, out, n, err)
                           : (int64_t)read_raw(s, out, n);
    s->frames_read += got > 0 ? (uint64_t)got : 0;
    return got == 0 && sound ? check_end(s, err) : got;
}

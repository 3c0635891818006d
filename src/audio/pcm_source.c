#include "audio/pcm_source.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <errno.h>
#include <sndfile.h>
#include <string.h>
#include <unistd.h>

/* The bytes of a sound file, in a file or in memory. */
struct stream {
    int fd;                    /* -1: memory */
    const unsigned char *data; /* memory only */
    uint64_t size, pos;
    int failed; /* errno of a failed read */
};

struct bth_pcm_source {
    struct bth_pcm_format format;
    struct stream stream;
    SNDFILE *file;        /* NULL: raw samples */
    bool exact_end;       /* the container knows its length (not mp3, which estimates) */
    uint64_t frames_read; /* so far */
    /* raw samples */
    const unsigned char *raw;
    uint64_t raw_frames;
    bool raw_f32;
};

/* ---- the stream -----------------------------------------------------------------------------*/

static int64_t read_at(struct stream *s, void *buf, uint64_t n, uint64_t at) {
    if (at >= s->size) {
        return 0;
    }
    n = BTH_MIN(n, s->size - at);
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

static sf_count_t vio_size(void *user) {
    return (sf_count_t)((struct stream *)user)->size;
}

static sf_count_t vio_tell(void *user) {
    return (sf_count_t)((struct stream *)user)->pos;
}

static sf_count_t vio_read(void *buf, sf_count_t n, void *user) {
    struct stream *s = user;
    int64_t got = n <= 0 ? 0 : read_at(s, buf, (uint64_t)n, s->pos);
    s->pos += (uint64_t)got;
    return got;
}

static sf_count_t vio_seek(sf_count_t offset, int whence, void *user) {
    struct stream *s = user;
    int64_t base = whence == SEEK_SET ? 0 : (int64_t)(whence == SEEK_CUR ? s->pos : s->size), to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || (uint64_t)to > s->size) {
        return -1;
    }
    s->pos = (uint64_t)to;
    return to;
}

static SF_VIRTUAL_IO virtual_io = {
    .get_filelen = vio_size, .seek = vio_seek, .read = vio_read, .tell = vio_tell};

/* ---- what the first bytes say ---------------------------------------------------------------*/

static uint32_t le32(const unsigned char *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Only these reach libsndfile: it reads some twenty formats more that nobody uploads and that are
 * so much more code open to strangers' bytes. */
static bool is_known(const unsigned char *b) {
    static const char *const magic[] = {"RIFF", "RIFX", "RF64", "fLaC", "OggS", "ID3"};
    for (size_t i = 0; i < BTH_COUNT(magic); i++) {
        if (memcmp(b, magic[i], strlen(magic[i])) == 0) {
            return true;
        }
    }
    return b[0] == 0xFF && (b[1] & 0xE0) == 0xE0; /* an MPEG frame */
}

static int sniff(struct stream *s, struct berth_error *err) {
    unsigned char b[12] = {0};
    int64_t n = read_at(s, b, sizeof(b), 0);
    if (s->failed) {
        return bth_error(err, BERTH_EIO, "cannot read: %s", strerror(s->failed));
    }
    if (n == 0) {
        return bth_error(err, BERTH_EAUDIO, "the file is empty (0 bytes)");
    }
    if (is_known(b)) {
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

/* libsndfile silently cuts a wav header's claim to what the file holds, and believes a claim of
 * nothing. Programs that write to a pipe leave a size of about 2 or 4 GiB: these claim nothing. */
static int check_wav_claim(struct stream *s, struct berth_error *err) {
    unsigned char b[12] = {0};
    read_at(s, b, sizeof(b), 0);
    if (memcmp(b, "RIFF", 4) != 0 || memcmp(b + 8, "WAVE", 4) != 0) {
        return 0;
    }
    uint64_t at = 12;
    /* bounded: a file of empty chunks must not keep us busy */
    for (int i = 0; i < 1000 && read_at(s, b, 8, at) == 8; i++) {
        uint64_t size = le32(b + 4), rest = s->size - at - 8;
        if (memcmp(b, "data", 4) != 0) {
            at += 8 + size + (size & 1);
            continue;
        }
        if (size < 0x7FFFF000U && size / 2 > rest) {
            return bth_error(err, BERTH_EAUDIO,
                             "the header promises %llu bytes of sound but the file holds %llu: it "
                             "was cut off or damaged",
                             (unsigned long long)size, (unsigned long long)rest);
        }
        if (size == 0 && read_at(s, b, 8, at + 8) == 8 && le32(b + 4) > rest - 8) {
            return bth_error(err, BERTH_EAUDIO,
                             "the header says that there is no sound but %llu bytes follow: the "
                             "recording was not finished properly; repair it, for example with "
                             "ffmpeg -i FILE out.wav",
                             (unsigned long long)rest);
        }
        return 0;
    }
    return 0;
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

static int open_sound(struct bth_pcm_source *s, struct berth_error *err) {
    struct stream *st = &s->stream;
    int rc = sniff(st, err);
    rc = rc < 0 ? rc : check_wav_claim(st, err);
    if (rc < 0) {
        return rc;
    }
    SF_INFO info = {0};
    s->file = sf_open_virtual(&virtual_io, SFM_READ, &info, st);
    if (st->failed) {
        return bth_error(err, BERTH_EIO, "cannot read: %s", strerror(st->failed));
    }
    if (!s->file) {
        return bth_error(err, BERTH_EAUDIO, "damaged or unknown kind of sound file: %s",
                         sf_strerror(NULL));
    }
    s->format = (struct bth_pcm_format){
        .rate_hz = (uint32_t)BTH_MAX(info.samplerate, 0),
        .channels = (uint32_t)BTH_MAX(info.channels, 0),
        .frames = info.frames < 0 || info.frames == SF_COUNT_MAX ? BTH_PCM_UNKNOWN
                                                                 : (uint64_t)info.frames,
        .bytes = st->size,
    };
    s->exact_end = (info.format & SF_FORMAT_TYPEMASK) != SF_FORMAT_MPEG;
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
    if (sf_error(s->file) != SF_ERR_NO_ERROR) {
        return bth_error(err, BERTH_EAUDIO, "damaged or cut off after %.2f s: %s", seconds,
                         sf_strerror(s->file));
    }
    if (s->exact_end && s->format.frames != BTH_PCM_UNKNOWN &&
        s->frames_read < s->format.frames / 2) {
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
    if (!s->file) {
        size_t got = read_raw(s, out, n);
        s->frames_read += got;
        return (int64_t)got;
    }
    sf_count_t got = sf_readf_float(s->file, out, (sf_count_t)n);
    if (got > 0) {
        s->frames_read += (uint64_t)got;
        return got;
    }
    return check_end(s, err);
}

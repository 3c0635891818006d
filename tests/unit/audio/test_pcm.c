/* Sound files are made here with libsndfile, so that every rate and format has an answer that is
 * known: samples for lossless files, a sine for resampled and lossy ones. */
#define _GNU_SOURCE /* memfd_create: files without a name to clean up */
#include "audio/pcm.h"
#include "base/alloc.h"
#include "base/compiler.h"
#include "lib/test.h"
#include <sndfile.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Asked by LeakSanitizer, where it is. libsndfile 1.2.0 does not free all that it has read of a
 * damaged Vorbis file. */
const char *__lsan_default_suppressions(void);
BTH_EXPORT const char *__lsan_default_suppressions(void) {
    return "leak:vorbis_info_init";
}

#define MAX_FRAMES 960000
#define SINE_HZ    997.0

static const struct bth_pcm_limits no_limit = {.max_seconds = 36000};
static float made[MAX_FRAMES * 2];
static float heard[MAX_FRAMES];
static bool estimated; /* the length may be an mp3's estimate */

struct file {
    int fd;
    char path[64];
    unsigned char *bytes;
    size_t size;
};

static struct file file_of(const void *bytes, size_t n) {
    struct file f = {.fd = memfd_create("test", MFD_CLOEXEC), .size = n};
    CHECK(f.fd >= 0 && write(f.fd, bytes, n) == (ssize_t)n);
    snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
    f.bytes = bth_alloc(n);
    CHECK(f.bytes);
    memcpy(f.bytes, bytes, n);
    return f;
}

static void drop(struct file *f) {
    close(f->fd);
    bth_free(f->bytes);
}

/* made[frames, channels] as a sound file. */
static struct file encode(int format, int rate, int channels, sf_count_t frames) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *s = sf_open_fd(fd, SFM_WRITE, &info, 0);
    if (!s) {
        TEST_FAIL("cannot write format %x: %s", (unsigned)format, sf_strerror(NULL));
    }
    sf_command(s, SFC_SET_CLIPPING, NULL, SF_TRUE);
    double quality = 0.95; /* of the lossy ones */
    sf_command(s, SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof(quality));
    for (sf_count_t at = 0; at < frames; at += 10000) { /* libvorbis dislikes long writes */
        sf_count_t n = BTH_MIN(10000, frames - at);
        CHECK_INT(sf_writef_float(s, made + at * channels, n), n);
    }
    sf_close(s);
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(bytes != MAP_FAILED);
    struct file f = file_of(bytes, (size_t)st.st_size);
    munmap(bytes, (size_t)st.st_size);
    close(fd);
    return f;
}

static struct berth_input as_bytes(const struct file *f) {
    return (struct berth_input){.kind = BERTH_INPUT_BYTES, .data = f->bytes, .size = f->size};
}

static struct berth_input as_file(const struct file *f) {
    return (struct berth_input){.kind = BERTH_INPUT_FILE, .path = f->path};
}

/* Hears all of an input; the number of samples or the error's code. */
static int64_t hear(struct berth_input in, struct bth_pcm_limits limits, size_t piece,
                    struct berth_error *err) {
    struct bth_pcm *p;
    *err = (struct berth_error){0};
    int64_t rc = bth_pcm_open(&in, &limits, &p, err), n = 0;
    if (rc == 0) {
        uint64_t planned = bth_pcm_planned(p);
        do {
            CHECK((uint64_t)n + piece <= MAX_FRAMES);
            rc = bth_pcm_read(p, heard + n, piece, err);
            n += rc > 0 ? rc : 0;
        } while (rc > 0);
        CHECK(rc < 0 || estimated || (uint64_t)n <= planned);
        bth_pcm_close(p);
    }
    CHECK_INT(err->code, rc);
    return rc < 0 ? rc : n;
}

static int64_t hear_all(struct berth_input in) {
    struct berth_error err;
    int64_t n = hear(in, no_limit, 1000, &err);
    if (n < 0) {
        TEST_FAIL("%s", err.message);
    }
    return n;
}

static void expect_error(struct berth_input in, int code, const char *word) {
    struct berth_error err;
    CHECK_INT(hear(in, no_limit, 1000, &err), code);
    if (!strstr(err.message, word)) {
        TEST_FAIL("\"%s\" does not say \"%s\"", err.message, word);
    }
}

static void make_noise(size_t values) {
    unsigned long long state = 42;
    for (size_t i = 0; i < values; i++) {
        made[i] = (float)(int16_t)(test_rand(&state) >> 40) / 32768.0F;
    }
}

static void make_sine(int rate, int channels, size_t frames, double amplitude) {
    for (size_t i = 0; i < frames; i++) {
        double x = amplitude * sin(2.0 * acos(-1.0) * SINE_HZ * (double)i / rate);
        for (int c = 0; c < channels; c++) {
            made[i * (size_t)channels + (size_t)c] = (float)x;
        }
    }
}

/* Fits a sine of SINE_HZ to the middle of what was heard; signal to rest in dB. */
static double sine_snr(int64_t n) {
    double ss = 0, cc = 0, sc = 0, xs = 0, xc = 0, w = 2.0 * acos(-1.0) * SINE_HZ / 16000, rest = 0;
    int64_t from = n / 8, to = n - n / 8;
    for (int64_t i = from; i < to; i++) {
        double s = sin(w * (double)i), c = cos(w * (double)i), x = (double)heard[i];
        ss += s * s, cc += c * c, sc += s * c, xs += x * s, xc += x * c;
    }
    double det = ss * cc - sc * sc, a = (xs * cc - xc * sc) / det, b = (xc * ss - xs * sc) / det;
    for (int64_t i = from; i < to; i++) {
        double d = (double)heard[i] - a * sin(w * (double)i) - b * cos(w * (double)i);
        rest += d * d;
    }
    return 10.0 * log10((a * a + b * b) / 2.0 * (double)(to - from) / rest);
}

/* ---- what must come through -------------------------------------------------------------------*/

static void lossless_is_bit_exact(void) {
    static const int formats[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_16,  SF_FORMAT_WAV | SF_FORMAT_PCM_24,
        SF_FORMAT_WAV | SF_FORMAT_PCM_32,  SF_FORMAT_WAV | SF_FORMAT_FLOAT,
        SF_FORMAT_RF64 | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
        SF_FORMAT_FLAC | SF_FORMAT_PCM_24};
    make_noise(20001);
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        struct file f = encode(formats[i], 16000, 1, 20001);
        CHECK_INT(hear_all(as_bytes(&f)), 20001);
        CHECK(memcmp(heard, made, 20001 * sizeof(float)) == 0);
        CHECK_INT(hear_all(as_file(&f)), 20001);
        CHECK(memcmp(heard, made, 20001 * sizeof(float)) == 0);
        drop(&f);
    }
}

static void quantised_to_16_bit(void) {
    static const float in[] = {0.5F,  1.5F,     2.5F,      -0.5F,   -1.5F,
                               0.49F, 40000.0F, -40000.0F, 32767.6F};
    static const float out[] = {0, 2, 2, 0, -2, 0, 32767, -32768, 32767}; /* ffmpeg's swresample */
    float x[BTH_COUNT(in)];
    for (size_t i = 0; i < BTH_COUNT(in); i++) {
        x[i] = in[i] / 32768.0F;
    }
    struct berth_input raw = {.kind = BERTH_INPUT_PCM_F32,
                              .data = x,
                              .size = sizeof(x),
                              .sample_rate_hz = 16000,
                              .channels = 1};
    CHECK_INT(hear_all(raw), BTH_COUNT(in));
    for (size_t i = 0; i < BTH_COUNT(in); i++) {
        CHECK_NEAR((double)heard[i] * 32768.0, (double)out[i], 0.0);
    }
}

static void channels_are_averaged(void) {
    int16_t s[2 * 6] = {100, 200, -100, 100, 32767, 32767, -32768, -32768, 0, 1, 3, 4};
    unsigned char odd[sizeof(s) + 1]; /* at an odd address */
    memcpy(odd + 1, s, sizeof(s));
    struct berth_input raw = {.kind = BERTH_INPUT_PCM_S16,
                              .data = odd + 1,
                              .size = sizeof(s),
                              .sample_rate_hz = 16000,
                              .channels = 2};
    static const int expected[] = {150, 0, 32767, -32768, 0, 4};
    CHECK_INT(hear_all(raw), 6);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(heard[i] * 32768.0F, expected[i]);
    }
    make_noise(64 * 1000);
    raw = (struct berth_input){.kind = BERTH_INPUT_PCM_F32,
                               .data = made,
                               .size = 64000 * 4,
                               .sample_rate_hz = 16000,
                               .channels = 64};
    CHECK_INT(hear_all(raw), 1000);
}

static void any_rate(void) {
    static const int rates[] = {1000,  8000,  11025, 22050,  44100,
                                44101, 48000, 96000, 192000, 768000};
    for (size_t i = 0; i < BTH_COUNT(rates); i++) {
        int rate = rates[i];
        bool slow = rate < 2 * SINE_HZ; /* the sine does not fit: only the length is right */
        size_t frames = rate > 200000 ? (size_t)rate / 2 : (size_t)rate * 2 + 1;
        make_sine(rate, 1, frames, 0.9);
        struct berth_input raw = {.kind = BERTH_INPUT_PCM_F32,
                                  .data = made,
                                  .size = frames * 4,
                                  .sample_rate_hz = (uint32_t)rate,
                                  .channels = 1};
        int64_t n = hear_all(raw);
        CHECK_NEAR((double)n, (double)frames * 16000.0 / rate, 1.0);
        double snr = sine_snr(n);
        printf("%6d Hz: %.1f dB\n", rate, snr);
        CHECK(slow || snr >= 90.0);
    }
}

static void lossy_formats(void) {
    static const int formats[] = {SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_OGG | SF_FORMAT_OPUS,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    make_sine(48000, 2, 96000, 0.7);
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        struct file f = encode(formats[i], 48000, 2, 96000);
        int64_t n = hear_all(as_bytes(&f));
        CHECK_NEAR((double)n, 32000, 1200); /* encoders pad */
        double snr = sine_snr(n);
        printf("%x: %.1f dB\n", (unsigned)formats[i], snr);
        CHECK(snr >= 25.0);
        static float again[MAX_FRAMES];
        memcpy(again, heard, (size_t)n * sizeof(float));
        CHECK_INT(hear_all(as_file(&f)), n);
        CHECK(memcmp(again, heard, (size_t)n * sizeof(float)) == 0);
        drop(&f);
    }
}

static void pieces_do_not_matter(void) {
    static float first[MAX_FRAMES];
    static const size_t pieces[] = {1, 3, 4096, 30000};
    struct berth_error err;
    make_noise(20000);
    struct file f = encode(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 2, 10000);
    int64_t n = hear_all(as_bytes(&f));
    memcpy(first, heard, (size_t)n * sizeof(float));
    for (size_t i = 0; i < BTH_COUNT(pieces); i++) {
        CHECK_INT(hear(as_bytes(&f), no_limit, pieces[i], &err), n);
        CHECK(memcmp(first, heard, (size_t)n * sizeof(float)) == 0);
    }
    drop(&f);
}

static void nothing_is_a_sound_too(void) {
    struct file f = encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 1, 0);
    CHECK_INT(hear_all(as_bytes(&f)), 0);
    drop(&f);
    struct berth_input raw = {.kind = BERTH_INPUT_PCM_S16, .sample_rate_hz = 8000, .channels = 2};
    CHECK_INT(hear_all(raw), 0);
}

/* ---- what must be refused ---------------------------------------------------------------------*/

static void limits(void) {
    struct berth_error err;
    struct bth_pcm_limits two = {.max_seconds = 2.0};
    make_noise(96001);
    struct file f = encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 1, 96001);
    CHECK_INT(hear(as_bytes(&f), two, 1000, &err), BERTH_ETOOLARGE);
    drop(&f);
    f = encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 1, 96000);
    CHECK_INT(hear(as_bytes(&f), two, 1000, &err), 32000);
    drop(&f);
    /* a flac that does not say how long it is */
    f = encode(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 1, 96003);
    f.bytes[21] &= 0xF0;
    memset(f.bytes + 22, 0, 4);
    CHECK_INT(hear(as_bytes(&f), two, 1000, &err), BERTH_ETOOLARGE);
    CHECK_NEAR((double)hear_all(as_bytes(&f)), 32001, 0.0);
    drop(&f);
}

static void put_le32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        p[i] = (unsigned char)(v >> 8 * i);
    }
}

static void headers_that_lie(void) {
    make_noise(48000);
    struct file f = encode(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 24000);
    CHECK(memcmp(f.bytes + 36, "data", 4) == 0);
    put_le32(f.bytes + 40, 0xFFFFFFFF); /* "unknown" of programs that write to a pipe */
    CHECK_INT(hear_all(as_bytes(&f)), 24000);
    put_le32(f.bytes + 40, 0);
    expect_error(as_bytes(&f), BERTH_EAUDIO, "no sound but 48000 bytes follow");
    put_le32(f.bytes + 40, 36000 * 32000); /* ten hours */
    f.size = 1024;
    expect_error(as_bytes(&f), BERTH_EAUDIO, "promises 1152000000 bytes");
    put_le32(f.bytes + 40, 1500); /* cut off, but most is there */
    CHECK_INT(hear_all(as_bytes(&f)), 490);
    drop(&f);

    f = encode(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 48000);
    f.bytes[21] |= 0x0F; /* 2^36 - 1 samples */
    memset(f.bytes + 22, 0xFF, 4);
    expect_error(as_bytes(&f), BERTH_EAUDIO, "the header promises 4294967 s of sound");
    f.bytes[21] &= 0xF0;
    memset(f.bytes + 22, 0, 4);
    f.bytes[24] = 4; /* 1,024 samples */
    expect_error(as_bytes(&f), BERTH_EAUDIO, "bytes follow");
    f.bytes[23] = 4; /* 263,168 samples */
    expect_error(as_bytes(&f), BERTH_EAUDIO, "promises 16.45 s of sound but there are 3.00 s");
    f.size /= 2;
    expect_error(as_bytes(&f), BERTH_EAUDIO, "damaged");
    drop(&f);
}

static void not_sound(void) {
    static const unsigned char m4a[64] = {0, 0, 0, 32, 'f', 't', 'y', 'p', 'M', '4', 'A', ' '};
    static const unsigned char webm[64] = {0x1A, 0x45, 0xDF, 0xA3};
    static const char text[] = "RIF this is a letter, not a sound";
    static const char header[] = "RIFF\x24\0\0\0WAVEfmt ";
    struct {
        const void *bytes;
        size_t n;
        const char *word;
    } cases[] = {{m4a, sizeof(m4a), "m4a and mp4 are not read"},
                 {webm, sizeof(webm), "webm and mkv are not read"},
                 {text, sizeof(text), "not a sound file"},
                 {text, 1, "ffmpeg"},
                 {header, sizeof(header), "damaged or unknown"},
                 {"", 0, "empty"}};
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        struct file f = file_of(cases[i].bytes, cases[i].n);
        expect_error(as_bytes(&f), BERTH_EAUDIO, cases[i].word);
        expect_error(as_file(&f), BERTH_EAUDIO, cases[i].word);
        expect_error(as_file(&f), BERTH_EAUDIO, f.path);
        struct berth_input in = as_file(&f);
        struct bth_pcm *p;
        CHECK_INT(bth_pcm_open(&in, &no_limit, &p, NULL), BERTH_EAUDIO); /* nobody listens */
        drop(&f);
    }
    struct berth_input in = {.kind = BERTH_INPUT_FILE, .path = "/nonexistent/sound.wav"};
    expect_error(in, BERTH_ENOTFOUND, "sound.wav");
    in.path = "/";
    expect_error(in, BERTH_EIO, "regular");
    in.path = NULL;
    expect_error(in, BERTH_EINVAL, "path");
    in.kind = BERTH_INPUT_TEXT;
    expect_error(in, BERTH_EINVAL, "not sound");
}

static void raw_samples(void) {
    struct berth_input in = {.kind = BERTH_INPUT_PCM_F32,
                             .data = made,
                             .size = 4000,
                             .sample_rate_hz = 48000,
                             .channels = 1};
    make_noise(1000);
    made[777] = NAN;
    expect_error(in, BERTH_EAUDIO, "sample 777 (at 0.016 s)");
    made[777] = INFINITY;
    expect_error(in, BERTH_EAUDIO, "sample 777");
    made[777] = 3e38F;
    CHECK(hear_all(in) > 0);
    in.size = 3999;
    expect_error(in, BERTH_EINVAL, "whole number");
    in.size = 4000;
    in.channels = 0;
    expect_error(in, BERTH_EINVAL, "channels");
    in.channels = 65;
    expect_error(in, BERTH_EINVAL, "channels");
    in.channels = 1;
    in.sample_rate_hz = 999;
    expect_error(in, BERTH_EINVAL, "rate");
    in.sample_rate_hz = 768001;
    expect_error(in, BERTH_EINVAL, "rate");
    in.sample_rate_hz = 16000;
    in.data = NULL;
    expect_error(in, BERTH_EINVAL, "no data");
}

/* A tag in front, as players write them, changes nothing. */
static void tags_are_skipped(void) {
    static const int formats[] = {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                  SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    static float without[MAX_FRAMES];
    unsigned char tag[10 + 300] = {'I', 'D', '3', 4, 0, 0, 0, 0, 2, 44}; /* 7 bits each: 300 */
    make_sine(48000, 1, 48000, 0.5);
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        struct file plain = encode(formats[i], 48000, 1, 48000);
        int64_t n = hear_all(as_bytes(&plain));
        memcpy(without, heard, (size_t)n * sizeof(float));
        unsigned char *both = bth_alloc(2 * sizeof(tag) + plain.size);
        CHECK(both);
        memcpy(both, tag, sizeof(tag));
        memcpy(both + sizeof(tag), tag, sizeof(tag));
        memcpy(both + 2 * sizeof(tag), plain.bytes, plain.size);
        struct file tagged = file_of(both, 2 * sizeof(tag) + plain.size);
        CHECK_INT(hear_all(as_bytes(&tagged)), n);
        CHECK(memcmp(without, heard, (size_t)n * sizeof(float)) == 0);
        CHECK_INT(hear_all(as_file(&tagged)), n);
        CHECK(memcmp(without, heard, (size_t)n * sizeof(float)) == 0);
        tagged.size = sizeof(tag);
        expect_error(as_bytes(&tagged), BERTH_EAUDIO, "tags without sound");
        tagged.size = 100; /* in the middle of it */
        expect_error(as_bytes(&tagged), BERTH_EAUDIO, "tags without sound");
        memcpy(both + sizeof(tag), "no frames here, nor a header", 28);
        drop(&tagged);
        tagged = file_of(both, sizeof(tag) + 28);
        expect_error(as_bytes(&tagged), BERTH_EAUDIO, "damaged or unknown");
        bth_free(both);
        drop(&tagged);
        drop(&plain);
    }
}

/* An mp3 in a wav's wrapping, as some recorders write it. */
static struct file wrap(const struct file *mp3, bool big) {
    unsigned char head[12 + 8 + 30 + 8] = "RIFF\xFF\xFF\xFF\x7FWAVEfmt \x1E";
    head[20] = 0x55;
    if (big) {
        memcpy(head, "RIFX", 4);
        memcpy(head + 16, "\0\0\0\x1E\0\x55", 6);
    }
    memcpy(head + 50, "data", 4);
    for (int i = 0; i < 4; i++) {
        head[big ? 57 - i : 54 + i] = (unsigned char)(mp3->size >> 8 * i);
    }
    unsigned char *both = bth_alloc(sizeof(head) + mp3->size);
    CHECK(both);
    memcpy(both, head, sizeof(head));
    memcpy(both + sizeof(head), mp3->bytes, mp3->size);
    struct file f = file_of(both, sizeof(head) + mp3->size);
    bth_free(both);
    return f;
}

static void mp3_in_wav(void) {
    static float plain[MAX_FRAMES];
    make_sine(48000, 1, 48000, 0.5);
    struct file mp3 = encode(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 48000, 1, 48000);
    int64_t n = hear_all(as_bytes(&mp3));
    memcpy(plain, heard, (size_t)n * sizeof(float));
    for (int big = 0; big < 2; big++) {
        struct file wav = wrap(&mp3, big);
        CHECK_INT(hear_all(as_bytes(&wav)), n);
        CHECK(memcmp(plain, heard, (size_t)n * sizeof(float)) == 0);
        wav.size = 12 + 8 + 30;
        expect_error(as_bytes(&wav), BERTH_EAUDIO, "damaged");
        drop(&wav);
    }
    drop(&mp3);
}

/* Decoders complain through us or not at all: the library never prints. */
static void damage_prints_nothing(void) {
    static const int formats[] = {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, /* in a wav */
                                  SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                                  SF_FORMAT_OGG | SF_FORMAT_OPUS,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                  SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM};
    unsigned long long state = 11;
    int said = memfd_create("stderr", MFD_CLOEXEC), err_fd = dup(2), out_fd = dup(1);
    struct berth_error err;
    fflush(stdout);
    CHECK(said >= 0 && dup2(said, 2) == 2 && dup2(said, 1) == 1);
    int64_t broken = 0;
    estimated = true;
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        make_sine(48000, 1, 24000, 0.5);
        struct file f = encode(formats[i], 48000, 1, 24000);
        size_t spared = 0;
        if (i == 1) { /* without its wrapping it is no wav */
            struct file wav = wrap(&f, false);
            drop(&f);
            f = wav;
            spared = 58;
        }
        for (int j = 0; j < 60; j++) {
            struct file g = file_of(f.bytes, f.size);
            for (int k = 0; k < 1 + j; k++) {
                g.bytes[spared + test_rand(&state) % (g.size - spared)] =
                    (unsigned char)test_rand(&state);
            }
            g.size -= j % 3 ? (size_t)(test_rand(&state) % g.size) : 0;
            broken += hear(as_bytes(&g), no_limit, 1000, &err) < 0;
            drop(&g);
        }
        drop(&f);
    }
    estimated = false;
    struct stat st;
    fflush(stdout);
    CHECK(fstat(said, &st) == 0 && dup2(err_fd, 2) == 2 && dup2(out_fd, 1) == 1);
    close(err_fd);
    close(out_fd);
    printf("%lld of 360 damaged files were refused\n", (long long)broken);
    if (st.st_size > 0) {
        char text[200] = {0};
        CHECK(pread(said, text, sizeof(text) - 1, 0) > 0);
        TEST_FAIL("%lld bytes were printed: %s", (long long)st.st_size, text);
    }
    close(said);
    CHECK(broken > 30);
}

static void failing_allocations(void) {
    struct berth_error err;
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    make_noise(2000);
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        struct file f = encode(formats[i], 44100, 1, 2000);
        bool failed = true;
        for (int n = 1; failed; n++) {
            bth_alloc_fail_at(n);
            int64_t got = hear(as_bytes(&f), no_limit, 1000, &err);
            failed = bth_alloc_failed();
            bth_alloc_fail_at(0);
            CHECK_INT(got < 0 ? got : 0, failed ? BERTH_ENOMEM : 0);
        }
        drop(&f);
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    lossless_is_bit_exact();
    quantised_to_16_bit();
    channels_are_averaged();
    any_rate();
    lossy_formats();
    pieces_do_not_matter();
    nothing_is_a_sound_too();
    limits();
    headers_that_lie();
    not_sound();
    raw_samples();
    tags_are_skipped();
    mp3_in_wav();
    damage_prints_nothing();
    failing_allocations();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

#include "audio/pcm.h"

#include "audio/pcm_source.h"
#include "base/alloc.h"
#include "base/error.h"
#include <math.h>
#include <soxr.h>
#include <string.h>

/* Input is taken in pieces of one size, whatever the caller asks for: the same bits result. */
#define PIECE 2048
#define READY 4096

struct bth_pcm {
    struct bth_pcm_source *source;
    struct bth_pcm_format format;
    soxr_t soxr;           /* NULL: the rate is right already */
    uint64_t planned;      /* samples at 16 kHz */
    uint64_t max_samples;  /* the limit */
    uint64_t given;        /* samples handed out */
    uint64_t frames_taken; /* of the source */
    bool source_ended, ended;

    float *frames; /* [PIECE, channels] as read */
    float mono[PIECE];
    size_t mono_used, n_mono; /* mono[mono_used, n_mono) is still to be resampled */
    float ready[READY];
    size_t ready_used, n_ready; /* ready[ready_used, n_ready) is still to be handed out */
};

static uint64_t samples_of(uint64_t frames, uint32_t rate_hz) {
    uint64_t whole = frames / rate_hz, rest = frames % rate_hz;
    return whole * BTH_SAMPLE_RATE + (rest * BTH_SAMPLE_RATE + rate_hz - 1) / rate_hz;
}

static int plan(struct bth_pcm *p, const struct bth_pcm_limits *limits, struct berth_error *err) {
    const struct bth_pcm_format *f = &p->format;
    double max = limits->max_seconds;
    p->max_samples = max > 0.0 ? (uint64_t)fmin(max * BTH_SAMPLE_RATE, 1e15) : 0;
    if (f->frames == BTH_PCM_UNKNOWN) {
        /* No speech codec spends less than 2 kbit a second. */
        double seconds = fmin((double)f->bytes / 250.0 + 1.0, max);
        p->planned = (uint64_t)(fmax(seconds, 0.0) * BTH_SAMPLE_RATE);
        return 0;
    }
    double seconds = (double)f->frames / f->rate_hz;
    if (seconds > (double)f->bytes) {
        return bth_error(err, BERTH_EAUDIO,
                         "the header promises %.0f s of sound in %llu bytes: it is damaged",
                         seconds, (unsigned long long)f->bytes);
    }
    p->planned = samples_of(f->frames, f->rate_hz);
    if (p->planned > p->max_samples) {
        return bth_error(err, BERTH_ETOOLARGE,
                         "%.1f s of sound, at most %.1f s are taken in one request; cut it into "
                         "parts",
                         seconds, max);
    }
    return 0;
}

static int prepare(struct bth_pcm *p, struct berth_error *err) {
    p->frames = bth_alloc(PIECE * sizeof(float) * p->format.channels);
    if (!p->frames) {
        return bth_error_nomem(err);
    }
    if (p->format.rate_hz == BTH_SAMPLE_RATE) {
        return 0;
    }
    soxr_error_t failed = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    p->soxr = soxr_create(p->format.rate_hz, BTH_SAMPLE_RATE, 1, &failed, &io, &quality, &runtime);
    if (!p->soxr || failed) {
        return bth_error(err, BERTH_ENOMEM, "cannot set up resampling from %u Hz: %s",
                         (unsigned)p->format.rate_hz, failed ? failed : "no memory");
    }
    return 0;
}

int bth_pcm_open(const struct berth_input *input, const struct bth_pcm_limits *limits,
                 struct bth_pcm **out, struct berth_error *err) {
    struct bth_pcm *p = bth_calloc(1, sizeof(*p));
    if (!p) {
        return bth_error_nomem(err);
    }
    int rc = bth_pcm_source_open(input, &p->source, err);
    if (rc == 0) {
        p->format = *bth_pcm_source_format(p->source);
        rc = plan(p, limits, err);
        if (rc < 0 && input->kind == BERTH_INPUT_FILE) {
            bth_error_prefix(err, "%s: ", input->path);
        }
    }
    if (rc == 0) {
        rc = prepare(p, err);
    }
    if (rc < 0) {
        bth_pcm_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void bth_pcm_close(struct bth_pcm *p) {
    if (!p) {
        return;
    }
    if (p->soxr) {
        soxr_delete(p->soxr);
    }
    bth_pcm_source_close(p->source);
    bth_free(p->frames);
    bth_free(p);
}

uint64_t bth_pcm_planned(const struct bth_pcm *p) {
    return p->planned;
}

/* Channels are averaged. ffmpeg does the same for stereo; for surround sound it weighs them. */
static int down_mix(struct bth_pcm *p, size_t n, struct berth_error *err) {
    uint32_t channels = p->format.channels;
    for (size_t i = 0; i < n; i++) {
        double sum = (double)p->frames[i * channels];
        for (uint32_t c = 1; c < channels; c++) {
            sum += (double)p->frames[i * channels + c];
        }
        if (channels > 1) {
            sum /= channels;
        }
        if (!(fabs(sum) <= 1e6)) { /* beyond any sound */
            if (!isfinite(sum)) {
                uint64_t at = p->frames_taken + i;
                return bth_error(err, BERTH_EAUDIO,
                                 "sample %llu (at %.3f s) is not a finite number",
                                 (unsigned long long)at, (double)at / p->format.rate_hz);
            }
            sum = copysign(1e6, sum); /* keeps the resampler's sums finite too */
        }
        p->mono[i] = (float)sum;
    }
    p->frames_taken += n;
    return 0;
}

/* The next piece of the source into mono. */
static int take(struct bth_pcm *p, struct berth_error *err) {
    int64_t got = bth_pcm_source_read(p->source, p->frames, PIECE, err);
    if (got < 0) {
        return (int)got;
    }
    p->source_ended = got == 0;
    p->mono_used = 0;
    p->n_mono = (size_t)got;
    return down_mix(p, (size_t)got, err);
}

/* As ffmpeg converts f32 to s16: to the nearest, ties to even, clipped. 16-bit sources come back
 * unchanged, since k / 32768 is exact in f32. No calls into libm, so that it becomes vector code:
 * f32 numbers near 1.5 * 2^23 are whole, so adding and taking that away rounds. */
static void quantise(float *restrict out, const float *restrict in, size_t n) {
    const float whole = 0x1.8p23F;
    for (size_t i = 0; i < n; i++) {
        float x = in[i] * 32768.0F;
        x = x < -32768.0F ? -32768.0F : x;
        x = x > 32767.0F ? 32767.0F : x;
        out[i] = (x + whole - whole) / 32768.0F;
    }
}

static int resample(struct bth_pcm *p, struct berth_error *err) {
    size_t used = 0, made = 0;
    const float *in = p->source_ended ? NULL : p->mono + p->mono_used;
    size_t n = p->source_ended ? 0 : p->n_mono - p->mono_used;
    soxr_error_t failed = soxr_process(p->soxr, in, n, &used, p->ready, READY, &made);
    if (failed) {
        return bth_error(err, BERTH_ENOMEM, "cannot resample: %s", failed);
    }
    p->mono_used += used;
    p->n_ready = made;
    p->ended = p->source_ended && made == 0;
    return 0;
}

static int convert(struct bth_pcm *p, struct berth_error *err) {
    if (p->soxr) {
        return resample(p, err);
    }
    memcpy(p->ready, p->mono, p->n_mono * sizeof(float));
    p->n_ready = p->n_mono;
    p->mono_used = p->n_mono;
    p->ended = p->source_ended;
    return 0;
}

/* Makes some samples ready, or finds the end. */
static int refill(struct bth_pcm *p, struct berth_error *err) {
    p->ready_used = p->n_ready = 0;
    while (p->n_ready == 0 && !p->ended) {
        int rc = 0;
        if (!p->source_ended && p->mono_used == p->n_mono) {
            rc = take(p, err);
        }
        rc = rc < 0 ? rc : convert(p, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int64_t bth_pcm_read(struct bth_pcm *p, float *out, size_t n, struct berth_error *err) {
    size_t done = 0;
    while (done < n) {
        if (p->ready_used == p->n_ready) {
            int rc = refill(p, err);
            if (rc < 0) {
                return rc;
            }
            if (p->ended) {
                break;
            }
        }
        size_t some = BTH_MIN(n - done, p->n_ready - p->ready_used);
        if (p->given + some > p->max_samples) {
            return bth_error(
                err, BERTH_ETOOLARGE,
                "more than %.1f s of sound, the most of one request; cut it into parts",
                (double)p->max_samples / BTH_SAMPLE_RATE);
        }
        quantise(out + done, p->ready + p->ready_used, some);
        p->ready_used += some;
        p->given += some;
        done += some;
    }
    return (int64_t)done;
}

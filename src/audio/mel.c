#include "audio/mel.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include <assert.h>
#include <kiss_fftr.h>
#include <math.h>
#include <string.h>

/*
 * DESIGN
 *
 * The original pads the sound with 30 s of zeros, mirrors 200 samples at both ends and drops the
 * last frame. So with s(i) = sample |i|, and 0 from the last sample on, frame k covers s over
 * [160k - 200, 160k + 200), and all frames from ceil((N + 200) / 160) on are silence and equal.
 * Only those before are computed and kept; silence is a constant.
 *
 * `pending` holds s from the next frame's start on. The mirror at the start needs 201 samples
 * before the first frame; the end is made by pushing zeros.
 */
#define N_BINS       (BTH_MEL_FFT / 2 + 1)
#define MIRROR       (BTH_MEL_FFT / 2)
#define PENDING      4096
#define CHUNK_FRAMES 256
#define MAX_MELS     128
#define PADDING      BTH_MEL_WINDOW /* frames of silence that the original appends */

static const float silence_log10 = -10.0F; /* log10 of the least power that is told apart, 1e-10 */

struct bth_mel_tables {
    int n_mels;
    float window[BTH_MEL_FFT];
    int first[MAX_MELS], count[MAX_MELS]; /* bins of non-zero weight of each band */
    float *filters;                       /* [n_mels, 201] dense */
};

struct bth_mel {
    const struct bth_mel_tables *tables;
    struct berth_reservation *reservation;
    kiss_fftr_cfg fft; /* holds scratch, so each spectrogram has its own */

    float pending[PENDING];
    size_t n_pending;
    uint64_t n_samples;
    bool mirrored, finished;

    float **chunks; /* [n_chunks] of [CHUNK_FRAMES, n_mels] f32, log10 of the power */
    size_t n_chunks, chunk_capacity;
    uint64_t n_frames; /* computed */
    float max;
};

/* ---- tables ---------------------------------------------------------------------------------*/

static double mel_to_hz(double mel) {
    double per_mel = 200.0 / 3.0;
    return mel < 15.0 ? per_mel * mel : 1000.0 * exp(log(6.4) / 27.0 * (mel - 15.0));
}

/* librosa's "slaney" bank as it lies in the original's mel_filters.npz, bit for bit: the triangle
 * is rounded to f32 before it is multiplied by its area factor, then again. */
void bth_mel_filters(int n_mels, float *out) {
    double top = 15.0 + log(8.0) / (log(6.4) / 27.0), hz[MAX_MELS + 2];
    for (int i = 0; i < n_mels + 2; i++) {
        hz[i] = mel_to_hz(top * i / (n_mels + 1));
    }
    for (int m = 0; m < n_mels; m++) {
        double area = 2.0 / (hz[m + 2] - hz[m]);
        for (int k = 0; k < N_BINS; k++) {
            double f = 40.0 * k;
            double up = (f - hz[m]) / (hz[m + 1] - hz[m]);
            double down = (hz[m + 2] - f) / (hz[m + 2] - hz[m + 1]);
            float triangle = (float)fmax(0.0, fmin(up, down));
            out[m * N_BINS + k] = (float)((double)triangle * area);
        }
    }
}

int bth_mel_tables_create(int n_mels, struct bth_mel_tables **out, struct berth_error *err) {
    if (n_mels != 80 && n_mels != 128) {
        return bth_error(err, BERTH_EFORMAT, "%d mel bands, Whisper has 80 or 128", n_mels);
    }
    struct bth_mel_tables *t = bth_calloc(1, sizeof(*t));
    float *filters = bth_alloc(sizeof(float) * N_BINS * (size_t)n_mels);
    if (!t || !filters) {
        bth_free(t);
        bth_free(filters);
        return bth_error_nomem(err);
    }
    t->n_mels = n_mels;
    t->filters = filters;
    bth_mel_filters(n_mels, filters);
    for (int m = 0; m < n_mels; m++) {
        const float *row = filters + m * N_BINS;
        int first = 0, end = N_BINS;
        while (first < end && row[first] == 0.0F) {
            first++;
        }
        while (end > first && row[end - 1] == 0.0F) {
            end--;
        }
        t->first[m] = first;
        t->count[m] = end - first;
    }
    for (int i = 0; i < BTH_MEL_FFT; i++) {
        t->window[i] = (float)(0.5 * (1.0 - cos(2.0 * acos(-1.0) * i / BTH_MEL_FFT)));
    }
    *out = t;
    return 0;
}

void bth_mel_tables_destroy(struct bth_mel_tables *t) {
    if (t) {
        bth_free(t->filters);
        bth_free(t);
    }
}

/* ---- spectrogram ----------------------------------------------------------------------------*/

static size_t chunk_bytes(int n_mels) {
    return sizeof(float) * CHUNK_FRAMES * (size_t)n_mels;
}

/* Frames that touch a sample. */
static uint64_t frames_of(uint64_t n_samples) {
    return n_samples ? (n_samples + MIRROR + BTH_MEL_HOP - 1) / BTH_MEL_HOP : 0;
}

size_t bth_mel_bytes(int n_mels, uint64_t n_samples) {
    uint64_t chunks = (frames_of(n_samples) + CHUNK_FRAMES - 1) / CHUNK_FRAMES;
    size_t bytes;
    return bth_mul((size_t)chunks, chunk_bytes(n_mels), &bytes) ? bytes : SIZE_MAX;
}

int bth_mel_create(const struct bth_mel_tables *t, struct berth_reservation *r,
                   struct bth_mel **out, struct berth_error *err) {
    struct bth_mel *m = bth_calloc(1, sizeof(*m));
    size_t fft_bytes = 0;
    kiss_fftr_alloc(BTH_MEL_FFT, 0, NULL, &fft_bytes); /* only says how much */
    void *fft = bth_alloc(fft_bytes);
    if (!m || !fft) {
        bth_free(m);
        bth_free(fft);
        return bth_error_nomem(err);
    }
    m->fft = kiss_fftr_alloc(BTH_MEL_FFT, 0, fft, &fft_bytes);
    m->tables = t;
    m->reservation = r;
    m->max = silence_log10; /* the appended silence counts */
    *out = m;
    return 0;
}

void bth_mel_destroy(struct bth_mel *m) {
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->n_chunks; i++) {
        bth_free(m->chunks[i]);
    }
    bth_reservation_return(m->reservation, m->n_chunks * chunk_bytes(m->tables->n_mels));
    bth_free(m->chunks);
    bth_free(m->fft);
    bth_free(m);
}

static int add_chunk(struct bth_mel *m, struct berth_error *err) {
    if (m->n_chunks == m->chunk_capacity) {
        size_t capacity = m->chunk_capacity ? m->chunk_capacity * 2 : 16;
        float **chunks = bth_realloc_array(m->chunks, capacity, sizeof(*chunks));
        if (!chunks) {
            return bth_error_nomem(err);
        }
        m->chunks = chunks;
        m->chunk_capacity = capacity;
    }
    size_t bytes = chunk_bytes(m->tables->n_mels);
    int rc = bth_reservation_draw(m->reservation, bytes, err);
    if (rc < 0) {
        return rc;
    }
    float *chunk = bth_alloc(bytes);
    if (!chunk) {
        bth_reservation_return(m->reservation, bytes);
        return bth_error_nomem(err);
    }
    m->chunks[m->n_chunks++] = chunk;
    return 0;
}

static float *row_of(const struct bth_mel *m, uint64_t frame) {
    return m->chunks[frame / CHUNK_FRAMES] + frame % CHUNK_FRAMES * (size_t)m->tables->n_mels;
}

/* x: [400] */
static int add_frame(struct bth_mel *m, const float *x, struct berth_error *err) {
    if (m->n_frames == m->n_chunks * CHUNK_FRAMES) {
        int rc = add_chunk(m, err);
        if (rc < 0) {
            return rc;
        }
    }
    const struct bth_mel_tables *t = m->tables;
    float windowed[BTH_MEL_FFT], power[N_BINS];
    kiss_fft_cpx bins[N_BINS];
    for (int i = 0; i < BTH_MEL_FFT; i++) {
        windowed[i] = x[i] * t->window[i];
    }
    kiss_fftr(m->fft, windowed, bins);
    for (int k = 0; k < N_BINS; k++) {
        power[k] = bins[k].r * bins[k].r + bins[k].i * bins[k].i;
    }
    float *row = row_of(m, m->n_frames);
    for (int b = 0; b < t->n_mels; b++) {
        const float *w = t->filters + b * N_BINS + t->first[b], *p = power + t->first[b];
        float sum = 0.0F;
        for (int k = 0; k < t->count[b]; k++) {
            sum += w[k] * p[k];
        }
        row[b] = log10f(sum > 1e-10F ? sum : 1e-10F);
        m->max = row[b] > m->max ? row[b] : m->max;
    }
    m->n_frames++;
    return 0;
}

/* Computes every frame that `pending` holds whole, and moves the rest to its start. */
static int drain(struct bth_mel *m, struct berth_error *err) {
    if (!m->mirrored) {
        if (m->n_pending <= MIRROR) {
            return 0;
        }
        memmove(m->pending + MIRROR, m->pending, m->n_pending * sizeof(float));
        for (size_t i = 0; i < MIRROR; i++) {
            m->pending[i] = m->pending[2 * MIRROR - i];
        }
        m->n_pending += MIRROR;
        m->mirrored = true;
    }
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && m->n_pending - at >= BTH_MEL_FFT) {
        rc = add_frame(m, m->pending + at, err);
        at += rc == 0 ? BTH_MEL_HOP : 0;
    }
    m->n_pending -= at;
    memmove(m->pending, m->pending + at, m->n_pending * sizeof(float));
    return rc;
}

int bth_mel_push(struct bth_mel *m, const float *samples, size_t n, struct berth_error *err) {
    assert(!m->finished);
    while (n > 0) {
        /* MIRROR is kept free for the mirror */
        size_t some = BTH_MIN(n, PENDING - MIRROR - m->n_pending);
        memcpy(m->pending + m->n_pending, samples, some * sizeof(float));
        m->n_pending += some;
        m->n_samples += some;
        samples += some;
        n -= some;
        int rc = drain(m, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int bth_mel_finish(struct bth_mel *m, struct berth_error *err) {
    uint64_t n_frames = frames_of(m->n_samples);
    while (m->n_frames < n_frames) {
        memset(m->pending + m->n_pending, 0, BTH_MEL_HOP * sizeof(float));
        m->n_pending += BTH_MEL_HOP;
        int rc = drain(m, err);
        if (rc < 0) {
            return rc;
        }
    }
    m->finished = true;
    return 0;
}

int64_t bth_mel_frames(const struct bth_mel *m) {
    return (int64_t)(m->n_samples / BTH_MEL_HOP);
}

uint64_t bth_mel_samples(const struct bth_mel *m) {
    return m->n_samples;
}

void bth_mel_window(const struct bth_mel *m, int64_t seek, int64_t n, bool padded, float *out) {
    assert(m->finished && seek >= 0 && n >= 0);
    size_t n_mels = (size_t)m->tables->n_mels;
    uint64_t end = (uint64_t)bth_mel_frames(m) + PADDING;
    int64_t rows = padded ? BTH_MEL_WINDOW : BTH_MIN(n, BTH_MEL_WINDOW);
    const float floor = m->max - 8.0F, silence = (fmaxf(silence_log10, floor) + 4.0F) / 4.0F;
    for (int64_t t = 0; t < BTH_MEL_WINDOW; t++, out += n_mels) {
        uint64_t frame = (uint64_t)(seek + t);
        if (t < rows && frame < m->n_frames) {
            const float *row = row_of(m, frame);
            for (size_t b = 0; b < n_mels; b++) { /* fmaxf would be a call, not an instruction */
                out[b] = ((row[b] > floor ? row[b] : floor) + 4.0F) / 4.0F;
            }
        } else {
            const float rest = t < rows && frame < end ? silence : 0.0F;
            for (size_t b = 0; b < n_mels; b++) {
                out[b] = rest;
            }
        }
    }
}

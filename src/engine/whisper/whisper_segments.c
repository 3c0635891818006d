#include "whisper/whisper_segments.h"

#include "base/alloc.h"
#include <math.h>
#include <zlib.h>

static void forbid(struct berth_pick_in *in, int *n, int32_t begin, int32_t end) {
    in->forbid[*n][0] = begin;
    in->forbid[*n][1] = end;
    (*n)++;
}

/* The newest timestamp of tokens[0, n), or -1. */
static int32_t last_timestamp(const struct whisper_vocab *v, const int32_t *tokens, int n) {
    for (int i = n - 1; i >= 0; i--) {
        if (tokens[i] >= v->timestamp0) {
            return tokens[i];
        }
    }
    return -1;
}

static void first_token_rules(const struct whisper_vocab *v, const struct whisper_options *o,
                              struct berth_pick_in *in, int *n) {
    forbid(in, n, 0, v->timestamp0);
    if (o->max_initial_timestamp > 0) { /* None and, as in the original, 0: no limit */
        int32_t most = (int32_t)nearbyint(o->max_initial_timestamp / 0.02);
        forbid(in, n, v->timestamp0 + most + 1, v->size);
    }
}

void whisper_timestamp_rules(const struct whisper_vocab *v, const struct whisper_options *o,
                             const int32_t *tokens, int n, struct berth_pick_in *in) {
    int ranges = 0;
    in->group_begin = -1;
    for (int i = 0; i < 4; i++) {
        in->forbid[i][0] = in->forbid[i][1] = 0;
    }
    if (o->without_timestamps) {
        if (n == 0 && o->suppress_blank) {
            forbid(in, &ranges, v->blank, v->blank + 1);
            forbid(in, &ranges, v->eot, v->eot + 1);
        }
        return;
    }
    in->group_begin = v->timestamp0;
    if (n == 0) {
        first_token_rules(v, o, in, &ranges);
        return;
    }
    forbid(in, &ranges, v->notimestamps, v->notimestamps + 1);
    bool last = tokens[n - 1] >= v->timestamp0;
    bool before = n < 2 || tokens[n - 2] >= v->timestamp0;
    if (last && before) {
        forbid(in, &ranges, v->timestamp0, v->size); /* a pair is full: text comes */
    } else if (last) {
        forbid(in, &ranges, 0, v->eot); /* half a pair: its other half, or the end */
    }
    int32_t newest = last_timestamp(v, tokens, n);
    if (newest >= 0) {
        /* times never go back, and no segment is of no length */
        forbid(in, &ranges, v->timestamp0, last && !before ? newest : newest + 1);
    }
}

int whisper_cut_segments(const struct whisper_vocab *v, const int32_t *tokens, int n,
                         struct whisper_span window, struct whisper_slice *out,
                         int64_t *out_advance) {
    const int32_t t0 = v->timestamp0;
    const double offset = (double)(window.seek * 160) / 16000.0;
    bool single_end = n >= 2 && tokens[n - 2] < t0 && tokens[n - 1] >= t0;
    int n_out = 0, first = 0;
    for (int i = 1; i <= n; i++) {
        bool pair = i < n && tokens[i - 1] >= t0 && tokens[i] >= t0;
        bool end = i == n && single_end && n_out > 0;
        if (pair || end) {
            out[n_out++] =
                (struct whisper_slice){.first = first,
                                       .n = i - first,
                                       .start_s = offset + (double)(tokens[first] - t0) * 0.02,
                                       .end_s = offset + (double)(tokens[i - 1] - t0) * 0.02};
            first = i;
        }
    }
    if (n_out > 0) {
        int64_t heard = (int64_t)(tokens[first - 1] - t0) * 2;
        /* without the timestamp rules a pair may say 0.00, where the original never ends */
        *out_advance = single_end || heard == 0 ? window.size : heard;
        return n_out;
    }
    double duration = (double)(window.size * 160) / 16000.0;
    int32_t newest = last_timestamp(v, tokens, n);
    if (newest > t0) {
        duration = (double)(newest - t0) * 0.02;
    }
    out[0] =
        (struct whisper_slice){.first = 0, .n = n, .start_s = offset, .end_s = offset + duration};
    *out_advance = window.size;
    return 1;
}

/* Comparisons with a threshold of None, which is NaN, are false. */
bool whisper_needs_fallback(const struct whisper_options *o, const struct whisper_outcome *r) {
    bool repeats = r->compression_ratio > o->compression_ratio_threshold;
    bool unsure = r->avg_logprob < o->logprob_threshold;
    bool silence = r->no_speech_prob > o->no_speech_threshold;
    return (repeats || unsure) && !(silence && unsure);
}

bool whisper_is_silence(const struct whisper_options *o, const struct whisper_outcome *r) {
    return r->no_speech_prob > o->no_speech_threshold && !(r->avg_logprob > o->logprob_threshold);
}

double whisper_compression_ratio(const char *text, size_t n) {
    uLongf packed = compressBound((uLong)n);
    unsigned char *buffer = bth_alloc(packed);
    if (!buffer || compress2(buffer, &packed, (const Bytef *)text, (uLong)n, 6) != Z_OK) {
        bth_free(buffer);
        return BERTH_ENOMEM;
    }
    bth_free(buffer);
    return (double)n / (double)packed;
}

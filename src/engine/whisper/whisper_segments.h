/*
 * engine/whisper/whisper_segments.h - the rules over tokens, as pure functions.
 *
 * Source: openai/whisper 20250625, decoding.py and transcribe.py.
 */
#ifndef BTH_WHISPER_SEGMENTS_H
#define BTH_WHISPER_SEGMENTS_H

#include "whisper/whisper_options.h"
#include "whisper/whisper_vocab.h"

/* Fills forbid, group_begin of `in` for the next token after tokens[0, n), n sampled so far. */
void whisper_timestamp_rules(const struct whisper_vocab *v, const struct whisper_options *o,
                             const int32_t *tokens, int n, struct berth_pick_in *in);

/* A slice of a window's tokens with its times. */
struct whisper_slice {
    int first, n;
    double start_s, end_s;
};

/* A window of `size` frames from frame `seek`. */
struct whisper_span {
    int64_t seek, size;
};

/* Cuts tokens[0, n) at pairs of timestamps into out[0, <= n + 1]; returns how many; *out_advance is
 * by how many frames the seek moves on. */
int whisper_cut_segments(const struct whisper_vocab *v, const int32_t *tokens, int n,
                         struct whisper_span window, struct whisper_slice *out,
                         int64_t *out_advance);

/* How a decoded window fared. */
struct whisper_outcome {
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
};
/* Whether the next temperature should be tried; whether the window is silence, to be left out. */
bool whisper_needs_fallback(const struct whisper_options *o, const struct whisper_outcome *r);
bool whisper_is_silence(const struct whisper_options *o, const struct whisper_outcome *r);

/* bytes / bytes after zlib at level 6 (classic zlib, as Python's); 0 bytes: 0. Negative: ENOMEM. */
double whisper_compression_ratio(const char *text, size_t n);

#endif

/*
 * audio/wav.h - what the chunks of a wav say, looked at before libsndfile believes them.
 *
 * Behind pcm_source.c only. RIFF, RIFX and RF64; the sound itself is libsndfile's.
 */
#ifndef BTH_WAV_H
#define BTH_WAV_H

#include "audio/stream.h"
#include <berth/error.h>
#include <stdbool.h>

/* Zero where there is no such chunk. */
struct bth_wav {
    bool mp3;                     /* the sound is MPEG frames: not for libsndfile, see mp3.h */
    uint64_t data_at, data_bytes; /* the data chunk: where its sound begins, what it claims */
};

/* Does the stream begin as a wav? Then its chunks up to the data. */
bool bth_wav_read(struct bth_stream *s, struct bth_wav *out);

/* libsndfile silently cuts a header's claim to what the file holds, and believes a claim of
 * nothing: EAUDIO when the claim is far off. Programs that write to a pipe leave a size of about 2
 * or 4 GiB: these claim nothing. */
int bth_wav_check(struct bth_stream *s, const struct bth_wav *w, struct berth_error *err);

#endif

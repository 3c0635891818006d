/*
 * audio/mp3.h - MPEG audio (mp3) by libmpg123.
 *
 * Why not by libsndfile, which reads mp3 with the same library: libmpg123 complains about damaged
 * frames on standard error unless it is told to be quiet, and libsndfile does not tell it. Behind
 * pcm_source.c only. One thread at a time.
 */
#ifndef BTH_MP3_H
#define BTH_MP3_H

#include "audio/pcm_source.h"
#include "audio/stream.h"

struct bth_mp3;

/* Reads up to the first frame; where no header says how long it is, over all of them. Fills rate,
 * channels and frames of *format. EAUDIO, ENOMEM. */
int bth_mp3_open(struct bth_stream *stream, struct bth_mp3 **out, struct bth_pcm_format *format,
                 struct berth_error *err);
void bth_mp3_close(struct bth_mp3 *m);

/* At most n frames into out [n, channels]; how many (0: the end), or EAUDIO. */
int64_t bth_mp3_read(struct bth_mp3 *m, float *out, size_t n, struct berth_error *err);

#endif

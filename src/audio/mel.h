/*
 * audio/mel.h - Whisper's log-mel spectrogram, computed as the sound streams in.
 *
 * STFT of 400 samples every 160, centred with reflection, periodic Hann window; power; slaney mel
 * filters; log10. The result is normalised by the maximum of the whole file, so raw values are kept
 * until bth_mel_finish. Source of the algorithm: openai/whisper 20250625, audio.py; differences to
 * it stay under 1e-4 after normalisation (tests/unit/audio/test_mel.c).
 *
 * One owner thread. Memory: n_mels x 4 bytes x 100 a second of sound, from the reservation.
 */
#ifndef BTH_MEL_H
#define BTH_MEL_H

#include <berth/backend.h>
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTH_MEL_HOP    160
#define BTH_MEL_FFT    400
#define BTH_MEL_WINDOW 3000 /* frames of one encoder window */

/* Immutable tables for one number of bands (80 or 128): filters and window. Share them. */
struct bth_mel_tables;
/* EFORMAT (another number of bands), ENOMEM. */
int bth_mel_tables_create(int n_mels, struct bth_mel_tables **out, struct berth_error *err);
void bth_mel_tables_destroy(struct bth_mel_tables *t);
/* The filter bank, [n_mels, 201] f32 dense: for tests. */
void bth_mel_filters(int n_mels, float *out);

struct bth_mel;

/* Bytes that a spectrogram of n_samples will draw. */
size_t bth_mel_bytes(int n_mels, uint64_t n_samples);

/* The tables and the reservation stay the caller's and must outlive the spectrogram. ENOMEM. */
int bth_mel_create(const struct bth_mel_tables *t, struct berth_reservation *r,
                   struct bth_mel **out, struct berth_error *err);
/* Gives what was drawn back to the reservation. */
void bth_mel_destroy(struct bth_mel *m);

/* Appends samples. EBUDGET, ENOMEM; after a failure only destroy it. */
int bth_mel_push(struct bth_mel *m, const float *samples, size_t n, struct berth_error *err);
/* The end of the sound: frames that reach over it are computed, the maximum is fixed. */
int bth_mel_finish(struct bth_mel *m, struct berth_error *err);

/* After finish. Frames of content: floor(samples / 160); the original's matrix has 3,000 more. */
int64_t bth_mel_frames(const struct bth_mel *m);
uint64_t bth_mel_samples(const struct bth_mel *m);

/* Window of n frames from `seek`, normalised, into out [3000, n_mels] f32. With `padded` false
 * (transcription) frames beyond seek + n are 0.0; with true (language detection) frames follow the
 * original's matrix into its 30 s of silence. */
void bth_mel_window(const struct bth_mel *m, int64_t seek, int64_t n, bool padded, float *out);

#endif

/*
 * audio/pcm.h - sound of any kind -> 16 kHz mono PCM, a piece at a time.
 *
 * Layer audio: decoding (libsndfile, for mp3 libmpg123), down-mix, resampling (libsoxr), quantising
 * to 16 bit as openai-whisper's ffmpeg pipe does, and the log-mel front end (mel.h). It knows no
 * model.
 *
 * A reader is one request's: one thread at a time. Files and bytes are untrusted: headers that lie
 * are found out, nothing is allocated in proportion to what a header merely claims.
 */
#ifndef BTH_PCM_H
#define BTH_PCM_H

#include <berth/error.h>
#include <berth/types.h>

#define BTH_SAMPLE_RATE 16000

struct bth_pcm;

struct bth_pcm_limits {
    double max_seconds; /* of sound in one request */
};

/*
 * What is read: wav, flac, ogg (Vorbis, Opus) and mp3; 1 to 64 channels, averaged; 1 to 768 kHz.
 * No samples are a valid sound; no bytes are not a sound file. A file that was cut off gives what
 * is there, as ffmpeg does, if that is at least half of what its header promises and the decoder
 * does not call it damaged (a cut flac is).
 */

/* Opens a FILE, FD, BYTES, PCM_F32 or PCM_S16 input; the input stays the caller's and must outlive
 * the reader. Reads the header only. EAUDIO (not a sound file that we read; the header promises
 * more than the file can hold), ENOTFOUND, EIO, ETOOLARGE, EINVAL, ENOMEM. */
int bth_pcm_open(const struct berth_input *input, const struct bth_pcm_limits *limits,
                 struct bth_pcm **out, struct berth_error *err);
void bth_pcm_close(struct bth_pcm *p);

/* What the header says, in samples at 16 kHz, rounded up: no more will come. Where the header says
 * nothing (some streams), a guess on the high side from the size in bytes; for an mp3 without a
 * count of frames what the rate of its first frame gives, and one of variable rate may go on
 * longer. */
uint64_t bth_pcm_planned(const struct bth_pcm *p);

/* The next samples: at most n into out[n] f32, each k / 32768 for an integer k in [-32768, 32767].
 * Returns how many (0: the end), or EAUDIO (damaged; NaN or infinite samples), ETOOLARGE,
 * EIO, ENOMEM; after a failure only close it. 16 kHz mono 16-bit sources pass bit for bit. */
int64_t bth_pcm_read(struct bth_pcm *p, float *out, size_t n, struct berth_error *err);

#endif

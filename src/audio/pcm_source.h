/*
 * audio/pcm_source.h - frames of sound as the input holds them: any rate, any number of channels.
 *
 * Behind pcm.h only. Not here: down-mix, resampling, limits on the length. One thread at a time.
 * Files and bytes go to libsndfile (mp3: libmpg123) through our own stream, so that both behave the
 * same and we see how far it has read. Nothing is printed, however damaged the file.
 */
#ifndef BTH_PCM_SOURCE_H
#define BTH_PCM_SOURCE_H

#include <berth/error.h>
#include <berth/types.h>

#define BTH_PCM_UNKNOWN UINT64_MAX

struct bth_pcm_source;

struct bth_pcm_format {
    uint32_t rate_hz;  /* 1,000 to 768,000 */
    uint32_t channels; /* 1 to 64 */
    uint64_t frames;   /* what the header says, or BTH_PCM_UNKNOWN */
    uint64_t bytes;    /* of the whole input */
};

/* Errors as bth_pcm_open, without ETOOLARGE. */
int bth_pcm_source_open(const struct berth_input *input, struct bth_pcm_source **out,
                        struct berth_error *err);
void bth_pcm_source_close(struct bth_pcm_source *s);

const struct bth_pcm_format *bth_pcm_source_format(const struct bth_pcm_source *s);

/* At most n frames into out [n, channels] f32, full scale 1.0. Returns how many (0: the end), or
 * EAUDIO (damaged, or the header was far off), EIO. */
int64_t bth_pcm_source_read(struct bth_pcm_source *s, float *out, size_t n,
                            struct berth_error *err);

#endif

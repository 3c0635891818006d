/*
 * tests/lib/tiny_whisper.h - small Whisper models with random weights, in both formats.
 *
 * The same seed gives the same numbers in every format, so both must give the same transcripts. The
 * numbers are scaled so that text, timestamps, ends and fallbacks all occur; what such a model says
 * is nonsense. The vocabulary is the real one (tests/data).
 */
#ifndef BTH_TINY_WHISPER_H
#define BTH_TINY_WHISPER_H

#include <berth/backend.h>
#include <stddef.h>
#include <stdint.h>

struct tiny_whisper {
    int d, encoder_layers, decoder_layers; /* d: a multiple of 64 */
    int mels;                              /* 80 or 128 */
    int vocab;                             /* 51864, 51865 or 51866 */
    enum berth_dtype dtype;                /* of matrices: BERTH_F32, BERTH_F16, BERTH_BF16 */
    uint64_t seed;
};
#define TINY_WHISPER                                                                               \
    {                                                                                              \
        .d = 64, .encoder_layers = 1, .decoder_layers = 2, .mels = 80, .vocab = 51865,             \
        .dtype = BERTH_F16, .seed = 1                                                              \
    }

/* Writes model.bin and tokenizer.json, or config.json, model.safetensors and tokenizer.json, into a
 * directory that exists. Aborts the test when it cannot. */
void tiny_whisper_ct2(const struct tiny_whisper *t, const char *dir);
void tiny_whisper_hf(const struct tiny_whisper *t, const char *dir);
void tiny_whisper_tokenizer(const struct tiny_whisper *t, const char *dir);

/* A fresh directory under TMPDIR or /tmp, and its end with all files in it. */
char *tiny_dir(void);
void tiny_dir_remove(char *dir);

/* Sound: n samples of 16 kHz mono i16, chords and noise that change with time and seed; malloc'ed.
 */
int16_t *tiny_sound(uint64_t seed, size_t n);

#endif

#include "audio/pcm.h"
#include "base/error.h"
#include "plug/plug.h"

#include <math.h>

enum { CHUNK = 16000 };

/* A day: what one request may hold is the engines' own limit. */
static const struct bth_pcm_limits limits = {.max_seconds = 24 * 3600};

int bth_builtin_decode(const struct berth_input *input,
                       int (*write)(void *arg, const int16_t *samples, size_t n), void *arg,
                       struct berth_error *err) {
    struct bth_pcm *pcm;
    int rc = bth_pcm_open(input, &limits, &pcm, err);
    if (rc < 0) {
        return rc;
    }
    float samples[CHUNK];
    int16_t quantised[CHUNK];
    int64_t n;
    while ((n = bth_pcm_read(pcm, samples, CHUNK, err)) > 0) {
        for (int64_t i = 0; i < n; i++) {
            /* k / 32768 exactly; +32768 is ffmpeg's clipped 32767 */
            float k = samples[i] * 32768.0f;
            quantised[i] = (int16_t)fminf(k, 32767.0f);
        }
        if (write(arg, quantised, (size_t)n) != 0) {
            n = bth_error(err, BERTH_ECANCELLED, "decoding was stopped by its receiver");
            break;
        }
    }
    bth_pcm_close(pcm);
    return n < 0 ? (int)n : 0;
}

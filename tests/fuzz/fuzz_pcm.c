/* Any bytes as a sound file, and as raw samples. */
#include "audio/pcm.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear(const struct berth_input *in) {
    static const struct bth_pcm_limits limits = {.max_seconds = 60};
    struct berth_error err;
    struct bth_pcm *p;
    float out[1000];
    if (bth_pcm_open(in, &limits, &p, &err) < 0) {
        return;
    }
    int64_t n;
    while ((n = bth_pcm_read(p, out, 1000, &err)) > 0) {
        for (int64_t i = 0; i < n; i++) {
            if (!(out[i] >= -1.0F && out[i] < 1.0F)) {
                abort();
            }
        }
    }
    bth_pcm_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_input in = {.kind = BERTH_INPUT_BYTES, .data = data, .size = size};
    hear(&in);
    if (size >= 4) {
        in.kind = data[0] & 1 ? BERTH_INPUT_PCM_F32 : BERTH_INPUT_PCM_S16;
        in.channels = data[1];
        in.sample_rate_hz = data[2] * 256U + data[3] + 1000U;
        in.data = data + 4;
        in.size = size - 4;
        hear(&in);
    }
    return 0;
}

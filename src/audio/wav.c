#include "audio/wav.h"

#include "base/error.h"
#include <string.h>

enum { TAG_MPEG = 0x50, TAG_MP3 = 0x55, TAG_EXTENSIBLE = 0xFFFE };

static uint32_t le32(const unsigned char *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t be32(const unsigned char *p) {
    return p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

/* The format chunk at `at` says MPEG, itself or in its extension. */
static bool is_mp3(struct bth_stream *s, uint64_t at, bool big) {
    unsigned char b[26] = {0};
    bth_stream_read_at(s, b, sizeof(b), at);
    uint32_t tag = big ? be32(b) >> 16 : le32(b) & 0xFFFF;
    if (tag == TAG_EXTENSIBLE) {
        tag = b[24] | (uint32_t)b[25] << 8;
    }
    return tag == TAG_MPEG || tag == TAG_MP3;
}

bool bth_wav_read(struct bth_stream *s, struct bth_wav *out) {
    unsigned char b[12] = {0};
    bth_stream_read_at(s, b, sizeof(b), 0);
    const bool big = memcmp(b, "RIFX", 4) == 0;
    *out = (struct bth_wav){0};
    if ((!big && memcmp(b, "RIFF", 4) != 0 && memcmp(b, "RF64", 4) != 0) ||
        memcmp(b + 8, "WAVE", 4) != 0) {
        return false;
    }
    uint64_t at = 12;
    /* bounded: a file of empty chunks must not keep us busy */
    for (int i = 0; i < 1000 && bth_stream_read_at(s, b, 8, at) == 8; i++) {
        const uint64_t size = big ? be32(b + 4) : le32(b + 4);
        at += 8;
        if (memcmp(b, "data", 4) == 0) {
            out->data_at = at;
            out->data_bytes = size;
            return true;
        }
        out->mp3 |= memcmp(b, "fmt ", 4) == 0 && is_mp3(s, at, big);
        at += size + (size & 1);
    }
    return true;
}

int bth_wav_check(struct bth_stream *s, const struct bth_wav *w, struct berth_error *err) {
    unsigned char b[8];
    if (w->data_at == 0) {
        return 0;
    }
    const uint64_t rest = s->size - w->data_at;
    if (w->data_bytes < 0x7FFFF000U && w->data_bytes / 2 > rest) {
        return bth_error(err, BERTH_EAUDIO,
                         "the header promises %llu bytes of sound but the file holds %llu: it was "
                         "cut off or damaged",
                         (unsigned long long)w->data_bytes, (unsigned long long)rest);
    }
    if (w->data_bytes == 0 && bth_stream_read_at(s, b, 8, w->data_at) == 8 &&
        le32(b + 4) > rest - 8) {
        return bth_error(err, BERTH_EAUDIO,
                         "the header says that there is no sound but %llu bytes follow: the "
                         "recording was not finished properly; repair it, for example with "
                         "ffmpeg -i FILE out.wav",
                         (unsigned long long)rest);
    }
    return 0;
}

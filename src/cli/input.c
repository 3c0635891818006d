#include "cli/input.h"

#include "base/error.h"
#include "base/fs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RAW_BYTES = 1 << 30 };

static int parse_number(const char *name, const char *text, uint32_t fallback, uint32_t *out,
                        struct berth_error *err) {
    if (!text) {
        *out = fallback;
        return 0;
    }
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || end == text || *end || v == 0 || v > 1000000) {
        return bth_error(err, BERTH_EINVAL, "--%s wants a positive number, not '%s'", name, text);
    }
    *out = (uint32_t)v;
    return 0;
}

int bth_input_open(const char *path, const char *format, const char *rate, const char *channels,
                   struct berth_input *out, char **out_memory, struct berth_error *err) {
    struct berth_input in = {.kind = BERTH_INPUT_FILE, .path = path};
    if (!format && (rate || channels)) {
        return bth_error(err, BERTH_EINVAL, "--rate and --channels need --input_format s16 or f32");
    }
    if (format) {
        if (strcmp(format, "s16") != 0 && strcmp(format, "f32") != 0) {
            return bth_error(err, BERTH_EINVAL, "--input_format is s16 or f32, not '%s'", format);
        }
        in.kind = strcmp(format, "s16") == 0 ? BERTH_INPUT_PCM_S16 : BERTH_INPUT_PCM_F32;
        int rc = parse_number("rate", rate, 16000, &in.sample_rate_hz, err);
        if (rc == 0) {
            rc = parse_number("channels", channels, 1, &in.channels, err);
        }
        if (rc == 0) {
            rc = bth_read_file(path, MAX_RAW_BYTES, out_memory, &in.size, err);
        }
        if (rc < 0) {
            return rc;
        }
        in.data = *out_memory;
    }
    *out = in;
    return 0;
}

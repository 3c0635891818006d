#include "base/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void bth_base64_append(struct bth_str *out, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = BTH_MIN(n - i, 3);
        uint32_t v = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (have > 2 ? p[i + 2] : 0);
        char four[4];
        for (size_t k = 0; k < 4; k++) {
            four[k] = k <= have ? digits[v >> (18 - 6 * k) & 63] : '=';
        }
        bth_str_append(out, four, 4);
    }
}

bool bth_base64_decode(const char *text, size_t n, void *out, size_t size) {
    unsigned char *p = out;
    if (n % 4 != 0 || size > n || n / 4 != size / 3 + (size % 3 != 0)) {
        return false;
    }
    for (size_t i = 0, at = 0; i < n; i += 4) {
        size_t have = BTH_MIN(size - at, 3);
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *d = k <= have && text[i + k] ? strchr(digits, text[i + k]) : NULL;
            if (k <= have ? !d : text[i + k] != '=') {
                return false;
            }
            v = v << 6 | (d ? (uint32_t)(d - digits) : 0);
        }
        for (size_t k = 0; k < have; k++) {
            p[at++] = (unsigned char)(v >> (16 - 8 * k));
        }
    }
    return true;
}

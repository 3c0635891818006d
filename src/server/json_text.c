#include "server/json_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void bth_json_string(struct bth_str *out, const char *text) {
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    if (!text) {
        bth_str_puts(out, "null");
        return;
    }
    size_t n = strlen(text);
    bth_str_putc(out, '"');
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t used = bth_utf8_decode(text + i, n - i, &c);
        const char *known = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
        if (known) {
            bth_str_putc(out, '\\');
            bth_str_putc(out, letter[known - plain]);
        } else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029) {
            bth_str_printf(out, "\\u%04x", (unsigned)c);
        } else {
            char utf8[4];
            bth_str_append(out, utf8, bth_utf8_encode(c, utf8));
        }
        i += used;
    }
    bth_str_putc(out, '"');
}

void bth_json_number(struct bth_str *out, double x) {
    if (isfinite(x)) {
        bth_str_printf(out, "%.17g", x);
    } else {
        bth_str_puts(out, "null");
    }
}

void bth_json_comma(struct bth_str *out) {
    char last = out->size ? out->data[out->size - 1] : '{';
    if (last != '{' && last != '[') {
        bth_str_putc(out, ',');
    }
}

void bth_json_key(struct bth_str *out, const char *key) {
    bth_json_comma(out);
    bth_json_string(out, key);
    bth_str_putc(out, ':');
}

void bth_json_put_string(struct bth_str *out, const char *key, const char *text) {
    bth_json_key(out, key);
    bth_json_string(out, text);
}

void bth_json_put_number(struct bth_str *out, const char *key, double x) {
    bth_json_key(out, key);
    bth_json_number(out, x);
}

void bth_json_put_int(struct bth_str *out, const char *key, int64_t x) {
    bth_json_key(out, key);
    bth_str_printf(out, "%" PRId64, x);
}

void bth_json_put_uint(struct bth_str *out, const char *key, uint64_t x) {
    bth_json_key(out, key);
    bth_str_printf(out, "%" PRIu64, x);
}

void bth_json_put_bool(struct bth_str *out, const char *key, bool x) {
    bth_json_key(out, key);
    bth_str_puts(out, x ? "true" : "false");
}

#include "base/pystr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bth_py_isspace(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

const char *bth_py_strip(const char *s, size_t n, size_t *out_n) {
    size_t start = n, end = n; /* of what is not white space, as far as seen */
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t used = bth_utf8_decode(s + i, n - i, &c);
        if (!bth_py_isspace(c)) {
            start = BTH_MIN(start, i);
            end = i + used;
        }
        i += used;
    }
    *out_n = end - start;
    return s + start;
}

/* Splits x != 0, finite, into its shortest digits and the exponent of the first one. */
static int shortest(double x, char digits[32]) {
    char text[40];
    int precision = 0;
    do { /* 17 significant digits always give x back */
        snprintf(text, sizeof(text), "%.*e", precision, fabs(x));
    } while (strtod(text, NULL) != fabs(x) && ++precision < 17);
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') { /* not the point, which a locale may spell differently */
            digits[n++] = *p;
        }
    }
    digits[n] = '\0';
    return *p ? (int)strtol(p + 1, NULL, 10) : 0;
}

void bth_py_repr_float(struct bth_str *out, double x) {
    if (isnan(x)) {
        bth_str_puts(out, "nan");
        return;
    }
    if (signbit(x)) {
        bth_str_putc(out, '-');
    }
    if (isinf(x) || x == 0.0) {
        bth_str_puts(out, isinf(x) ? "inf" : "0.0");
        return;
    }
    char digits[32];
    int exponent = shortest(x, digits), n = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        bth_str_printf(out, "%c%s%s", digits[0], n > 1 ? "." : "", digits + 1);
        bth_str_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        bth_str_printf(out, "0.%.*s%s", -exponent - 1, "000", digits);
    } else if (n <= exponent + 1) {
        bth_str_printf(out, "%s%.*s.0", digits, exponent + 1 - n, "000000000000000");
    } else {
        bth_str_printf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

void bth_py_json_string(struct bth_str *out, const char *s, size_t n) {
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    bth_str_putc(out, '"');
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += bth_utf8_decode(s + i, n - i, &c);
        const char *short_form = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
        if (short_form) {
            bth_str_putc(out, '\\');
            bth_str_putc(out, letter[short_form - plain]);
        } else if (c >= 0x20 && c <= 0x7E) {
            bth_str_putc(out, (char)c);
        } else if (c < 0x10000) {
            bth_str_printf(out, "\\u%04x", (unsigned)c);
        } else {
            c -= 0x10000;
            bth_str_printf(out, "\\u%04x\\u%04x", 0xD800U + (c >> 10), 0xDC00U + (c & 0x3FF));
        }
    }
    bth_str_putc(out, '"');
}

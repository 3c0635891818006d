#include "base/pystr.h"

#include "base/str.h"

/* str.isspace(): bidirectional type WS, B or S, or category Zs; Unicode 14 (CPython 3.11). */
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

void bth_strip(const char *text, size_t n, size_t *out_start, size_t *out_n) {
    size_t start = 0, end = n;
    while (start < end) {
        uint32_t c;
        size_t used = bth_utf8_decode(text + start, end - start, &c);
        if (!is_space(c)) {
            break;
        }
        start += used;
    }
    while (end > start) {
        size_t last = end - 1; /* back to the start of the last character */
        while (last > start && ((unsigned char)text[last] & 0xC0) == 0x80) {
            last--;
        }
        uint32_t c;
        size_t used = bth_utf8_decode(text + last, end - last, &c);
        if (last + used != end || !is_space(c)) {
            break;
        }
        end = last;
    }
    *out_start = start;
    *out_n = end - start;
}

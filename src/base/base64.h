/* base/base64.h - bytes as text (RFC 4648, with padding). Any thread. */
#ifndef BTH_BASE64_H
#define BTH_BASE64_H

#include "base/str.h"

void bth_base64_append(struct bth_str *out, const void *bytes, size_t n);
/* Decodes exactly `size` bytes; false if text[0, n) is not base64 of so many. */
bool bth_base64_decode(const char *text, size_t n, void *out, size_t size);

#endif

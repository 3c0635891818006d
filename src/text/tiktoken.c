/* tiktoken files: a line per token, base64 bytes, a blank, the rank, in order of rank. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "text/bpe_internal.h"
#include <stdio.h>
#include <string.h>

enum { MAX_FILE = 64 << 20, MAX_LINE = 2048, MAX_TOKENS = 1 << 20 };

static int digit(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 text[0, n) to bytes; the length, or -1. A lone "=" is the empty string. */
static int64_t decode(const char *text, size_t n, char *out) {
    uint32_t bits = 0;
    int n_bits = 0;
    int64_t n_out = 0;
    while (n > 0 && text[n - 1] == '=') {
        n--;
    }
    if (n % 4 == 1) {
        return -1; /* six bits are no byte */
    }
    for (size_t i = 0; i < n; i++) {
        int d = digit(text[i]);
        if (d < 0) {
            return -1;
        }
        bits = bits << 6 | (uint32_t)d;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n_out++] = (char)(bits >> n_bits);
        }
    }
    return n_out;
}

/* Whether text[0, n) is this number in decimal; a carriage return may follow. */
static bool is_number(const char *text, size_t n, int32_t number) {
    char want[16];
    int size = snprintf(want, sizeof(want), "%d", number);
    if (n > 0 && text[n - 1] == '\r') {
        n--;
    }
    return n == (size_t)size && memcmp(text, want, n) == 0;
}

static int add_line(struct bth_bpe *b, const char *line, size_t n, int32_t rank,
                    struct berth_error *err) {
    const char *blank = memchr(line, ' ', n);
    char bytes[MAX_LINE];
    if (!blank || blank == line || n > MAX_LINE ||
        !is_number(blank + 1, n - (size_t)(blank - line) - 1, rank)) {
        return bth_error(err, BERTH_EFORMAT, "line %d is not \"base64 %d\"", rank + 1, rank);
    }
    int64_t size = decode(line, (size_t)(blank - line), bytes);
    if (size < 0) {
        return bth_error(err, BERTH_EFORMAT, "line %d is no base64", rank + 1);
    }
    return bth_bpe_add(b, rank, bytes, (size_t)size, err);
}

int bth_bpe_parse_tiktoken(const char *text, size_t n, struct bth_bpe **out,
                           struct berth_error *err) {
    int32_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += text[i] == '\n';
    }
    lines += n > 0 && text[n - 1] != '\n';
    if (lines > MAX_TOKENS) {
        return bth_error(err, BERTH_ETOOLARGE, "%d tokens, at most %d are read", lines, MAX_TOKENS);
    }
    struct bth_bpe *b = bth_bpe_create(lines);
    int rc = b ? 0 : bth_error_nomem(err);
    int32_t rank = 0;
    for (size_t at = 0; rc == 0 && at < n; rank++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        rc = add_line(b, text + at, length, rank, err);
        at += length + 1;
    }
    if (rc == 0) {
        rc = bth_bpe_seal(b, err);
    }
    if (rc < 0) {
        bth_bpe_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

int bth_bpe_open_tiktoken(const char *path, struct bth_bpe **out, struct berth_error *err) {
    char *text;
    size_t n;
    int rc = bth_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_bpe_parse_tiktoken(text, n, out, err);
    bth_free(text);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", path);
    }
    return rc;
}

/* tokenizer.json of the tokenizers library: model.vocab, bytes spelled as printable characters. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include "text/bpe_internal.h"
#include <jansson.h>
#include <string.h>

enum { MAX_FILE = 64 << 20, MAX_SPELLED = 4096 };

/* GPT-2 spells byte c as itself where that is printable, else as the next of U+0100, U+0101, ... */
static void spelling(uint32_t to_code[256]) {
    uint32_t next = 0x100;
    for (uint32_t c = 0; c < 256; c++) {
        bool printable = (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174;
        to_code[c] = printable ? c : next++;
    }
}

/* Spelled characters back to bytes; the length, or -1 for a character that spells no byte. */
static int64_t unspell(const int16_t to_byte[512], const char *text, size_t n, char *out) {
    int64_t n_out = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += bth_utf8_decode(text + i, n - i, &c);
        if (c >= 512 || to_byte[c] < 0) {
            return -1;
        }
        out[n_out++] = (char)to_byte[c];
    }
    return n_out;
}

static int add_all(struct bth_bpe *b, json_t *vocab, struct berth_error *err) {
    uint32_t to_code[256];
    int16_t to_byte[512];
    char bytes[MAX_SPELLED];
    memset(to_byte, -1, sizeof(to_byte));
    spelling(to_code);
    for (int c = 0; c < 256; c++) {
        to_byte[to_code[c]] = (int16_t)c;
    }
    const char *token;
    json_t *value;
    json_object_foreach(vocab, token, value) {
        size_t n = strlen(token);
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id > INT32_MAX) {
            return bth_error(err, BERTH_EFORMAT, "a token has no id");
        }
        if (id >= bth_bpe_size(b)) {
            continue; /* special tokens: the engine knows them */
        }
        int64_t size = n <= MAX_SPELLED ? unspell(to_byte, token, n, bytes) : -1;
        if (size < 0) {
            return bth_error(err, BERTH_EFORMAT, "token %lld is not spelled in bytes",
                             (long long)id);
        }
        int rc = bth_bpe_add(b, (int32_t)id, bytes, (size_t)size, err);
        if (rc < 0) {
            return rc;
        }
    }
    return bth_bpe_seal(b, err);
}

int bth_bpe_parse_json(const char *text, size_t n, int32_t limit, struct bth_bpe **out,
                       struct berth_error *err) {
    json_error_t why;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    struct bth_bpe *b = NULL;
    int rc;
    if (!root) {
        rc = bth_error(err, BERTH_EFORMAT, "line %d: %.100s", why.line, why.text);
    } else if (!json_is_object(vocab)) {
        rc = bth_error(err, BERTH_EFORMAT, "there is no model.vocab");
    } else {
        b = bth_bpe_create(limit);
        rc = b ? add_all(b, vocab, err) : bth_error_nomem(err);
    }
    json_decref(root);
    if (rc < 0) {
        bth_bpe_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

int bth_bpe_open_json(const char *path, int32_t limit, struct bth_bpe **out,
                      struct berth_error *err) {
    char *text;
    size_t n;
    int rc = bth_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_bpe_parse_json(text, n, limit, out, err);
    bth_free(text);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", path);
    }
    return rc;
}

/* Any bytes as a tokenizer.json; when it is one, it encodes its own text, and decoding gives the
 * text back. */
#include "base/alloc.h"
#include "text/bpe_internal.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct bth_bpe *b, const char *text, size_t n) {
    int32_t *ids;
    size_t n_ids, at = 0;
    if (bth_bpe_encode(b, text, n, &ids, &n_ids, NULL) < 0) {
        return; /* not UTF-8 */
    }
    for (size_t i = 0; i < n_ids; i++) {
        size_t token_n;
        const char *token = bth_bpe_token(b, ids[i], &token_n);
        if (!token || token_n > n - at || memcmp(token, text + at, token_n) != 0) {
            abort();
        }
        at += token_n;
    }
    if (at != n) {
        abort();
    }
    bth_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_error err;
    struct bth_bpe *b;
    if (bth_bpe_parse_json((const char *)data, size, 258, &b, &err) == 0) {
        round_trip(b, (const char *)data, size);
        bth_bpe_close(b);
    }
    return 0;
}

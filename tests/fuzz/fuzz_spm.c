/* Any bytes as a SentencePiece model; when it is one, it encodes its own bytes into pieces that lie
 * in order in the text, and decodes them. */
#include "text/spm_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct bth_spm *s, const char *text, size_t size) {
    struct bth_spm_text t;
    struct berth_error err;
    if (bth_spm_encode(s, text, size, &t, &err) < 0) {
        return;
    }
    int32_t *ids = calloc(t.n + 1, sizeof(*ids));
    for (size_t i = 0; ids && i < t.n; i++) {
        const struct bth_spm_token *k = &t.tokens[i];
        if (!bth_spm_piece(s, k->id) || k->begin > k->end || k->end > size ||
            k->piece + k->piece_size > t.pieces.size) {
            abort();
        }
        ids[i] = k->id;
    }
    struct bth_str out = {0};
    if (ids) {
        bth_spm_decode_ids(s, ids, t.n, &out, NULL, &err);
    }
    bth_str_finish(&out);
    free(ids);
    bth_spm_text_finish(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_spm *s;
    struct berth_error err;
    if (bth_spm_parse(data, size, &s, &err) == 0) {
        look(s, (const char *)data, size < 4096 ? size : 4096);
        look(s, "ab  cd\xff\xe2\x96\x81 </s>", 15);
        bth_spm_close(s);
    }
    return 0;
}

/* fuzz/round_trip.h - what must hold of a tokenizer, whichever parser read it: its tokens are the
 * text again. */
#ifndef BTH_FUZZ_ROUND_TRIP_H
#define BTH_FUZZ_ROUND_TRIP_H

#include "base/alloc.h"
#include "text/bpe_internal.h"
#include <stdlib.h>
#include <string.h>

static inline void fuzz_round_trip(const struct bth_bpe *b, const char *text, size_t n) {
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

#endif

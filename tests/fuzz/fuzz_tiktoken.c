/* Any bytes as a tiktoken file; when it is one, it encodes its own text, and decoding gives the
 * text back. */
#include "fuzz/round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_error err;
    struct bth_bpe *b;
    if (bth_bpe_parse_tiktoken((const char *)data, size, &b, &err) == 0) {
        fuzz_round_trip(b, (const char *)data, size);
        bth_bpe_close(b);
    }
    return 0;
}

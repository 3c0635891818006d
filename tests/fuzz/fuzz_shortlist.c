/* Any bytes as a shortlist (signed here, or nothing would get past its checksum): refused, or what
 * it gives is ascending and inside of the vocabulary. */
#include "base/alloc.h"
#include "format/shortlist_internal.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sign(unsigned char *data, size_t size) {
    uint64_t sum = 0;
    for (size_t at = 16; size >= 48 && size - at >= 8; at += 8) {
        uint64_t w;
        memcpy(&w, data + at, 8);
        sum ^= w + UINT64_C(0x9e3779b9) + (sum << 6) + (sum >> 2);
    }
    if (size >= 16) {
        memcpy(data + 8, &sum, 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_shortlist s = {.source_vocab = 4, .target_vocab = 100};
    struct berth_error err;
    unsigned char *copy = malloc(size + 1);
    if (!copy) {
        return 0;
    }
    memcpy(copy, data, size);
    sign(copy, size);
    if (bth_shortlist_parse(&s, copy, size, &err) == 0) {
        int32_t *ids;
        size_t n;
        if (bth_shortlist_select(&s, (int32_t[]){0, 1, 2, 3, 9}, 5, true, &ids, &n, &err) == 0) {
            for (size_t i = 0; i < n; i++) {
                if (ids[i] < 0 || ids[i] >= 100 || (i && ids[i] <= ids[i - 1])) {
                    abort();
                }
            }
            bth_free(ids);
        }
    }
    free(copy);
    return 0;
}

/* Any bytes as a vocabulary, by its first byte a .json, .yml or .txt: refused, or each piece is
 * found under an id that spells the same. */
#include "marian/marian_pieces.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"v.json", "v.yml", "v.txt"};
    struct marian_pieces p;
    struct berth_error err;
    if (size == 0 || marian_pieces_parse(&p, names[data[0] % 3], (const char *)data + 1, size - 1,
                                         1000, &err) < 0) {
        return 0;
    }
    for (int32_t i = 0; i < p.n; i++) {
        const char *text = marian_pieces_at(&p, i);
        int32_t id = text ? marian_pieces_find(&p, text, strlen(text)) : -1;
        if (text && (id < 0 || strcmp(p.texts[id], text) != 0)) {
            abort();
        }
    }
    marian_pieces_find(&p, "a\0b", 3);
    marian_pieces_finish(&p);
    return 0;
}

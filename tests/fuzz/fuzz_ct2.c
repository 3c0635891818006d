/* Any bytes as a CTranslate2 model: refused, or every tensor lies inside and has the bytes of its
 * shape. */
#include "fuzz/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_source(bth_ct2_parse, data, size);
}

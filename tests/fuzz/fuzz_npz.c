/* Any bytes as a NumPy archive: refused, or every tensor is found again and has the
 * bytes of its shape. */
#include "fuzz/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_source(bth_npz_parse, data, size);
}

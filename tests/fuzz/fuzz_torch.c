/* Any bytes as a PyTorch state dict: refused, or every tensor is found again and has the
 * bytes of its shape. */
#include "fuzz/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_source(bth_torch_parse, data, size);
}

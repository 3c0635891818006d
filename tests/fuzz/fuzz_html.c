/* Any bytes as HTML: unchanged text gives the same bytes, a shuffled one the same tags. */
#include "lib/html.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    html_check((const char *)data, size, 0);
    html_check((const char *)data, size, 1 + size);
    return 0;
}

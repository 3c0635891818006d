/* Any bytes as a NumPy array: refused, or its data lies inside and has the bytes of its shape. */
#include "base/dtype.h"
#include "format/npy.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_npy a;
    if (bth_npy_parse(data, size, &a, NULL) == 0) {
        size_t n = bth_dtype_bytes(a.dtype);
        for (int i = 0; i < a.rank; i++) {
            n *= (size_t)a.dims[i];
        }
        if (n != a.bytes || (const uint8_t *)a.data + n != data + size) {
            abort();
        }
    }
    return 0;
}

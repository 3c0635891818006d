/* The kernels for AVX-512. Compiled with flags of its own, see cmake/layers.cmake. */
#include "kernels.h"

#if defined(__AVX512F__)
#include "op_kernels.h"

const struct bth_kernels *bth_kernels_avx512(void) {
    return &table;
}
#else

const struct bth_kernels *bth_kernels_avx512(void) {
    return NULL;
}
#endif

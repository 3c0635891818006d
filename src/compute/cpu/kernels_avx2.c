/* The kernels for AVX2, FMA, F16C. Compiled with flags of its own, see cmake/layers.cmake. */
#include "kernels.h"

#if defined(__AVX2__)
#include "op_kernels.h"

const struct bth_kernels *bth_kernels_avx2(void) {
    return &table;
}
#else

const struct bth_kernels *bth_kernels_avx2(void) {
    return NULL;
}
#endif

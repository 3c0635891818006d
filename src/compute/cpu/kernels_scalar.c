/* The kernels for plain C. Compiled with flags of its own, see cmake/layers.cmake. */
#include "kernels.h"

#include "op_kernels.h"

const struct bth_kernels *bth_kernels_scalar(void) {
    return &table;
}

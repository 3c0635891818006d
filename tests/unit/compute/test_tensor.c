/* Views of buffers. */
#include "compute/tensor.h"
#include "lib/test.h"

int main(void) {
    const struct berth_tensor t = bth_tensor(NULL, BERTH_F32, 100, 6, 10);
    const struct berth_tensor v = bth_tensor_cols(bth_tensor_rows(t, 2, 3), 4, 5);
    CHECK_INT(v.offset, 100 + 2 * 10 + 4);
    CHECK_INT(v.rows, 3);
    CHECK_INT(v.cols, 5);
    CHECK_INT(v.row_stride, 10);
    bth_buffer_destroy(NULL);
    bth_weight_destroy(NULL);
    bth_program_destroy(NULL, NULL);
    return 0;
}

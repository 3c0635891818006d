/* 16-bit floats against what the bits say, and views. */
#include "compute/tensor.h"
#include "lib/test.h"

static float half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 0x3FF;
    const double v = exponent == 31  ? (mantissa ? (double)NAN : (double)INFINITY)
                     : exponent == 0 ? ldexp(mantissa, -24)
                                     : ldexp(1024 + mantissa, exponent - 25);
    return (float)(h & 0x8000 ? -v : v);
}

static uint32_t bits(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof(b));
    return b;
}

/* Between two halves the nearer wins, of equals the even one. */
static void check_rounding(uint16_t h) {
    const float low = half_value(h), high = half_value((uint16_t)(h + 1));
    const float middle = (low + high) / 2; /* exact in f32 */
    CHECK_INT(bth_f32_to_f16(middle), h % 2 ? h + 1 : h);
    CHECK_INT(bth_f32_to_f16(nextafterf(middle, low)), h);
    CHECK_INT(bth_f32_to_f16(nextafterf(middle, high)), h + 1);
}

static void check_halves(void) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float want = half_value((uint16_t)h), got = bth_f16_to_f32((uint16_t)h);
        if (isnan(want)) {
            CHECK(isnan(got) && isnan(bth_f16_to_f32(bth_f32_to_f16(got))));
            continue;
        }
        CHECK_INT(bits(got), bits(want));
        CHECK_INT(bth_f32_to_f16(want), h);
        if ((h & 0x7FFF) < 0x7BFF) {
            check_rounding((uint16_t)h);
        }
    }
    CHECK_INT(bth_f32_to_f16(65519.996f), 0x7BFF);
    CHECK_INT(bth_f32_to_f16(65520.0f), 0x7C00);
    CHECK_INT(bth_f32_to_f16(-1e30f), 0xFC00);
    CHECK_INT(bth_f32_to_f16(1e-30f), 0);
    CHECK_INT(bits(bth_bf16_to_f32(0xC049)), 0xC0490000);
}

int main(void) {
    check_halves();
    CHECK_INT(bth_dtype_bytes(BERTH_I8), 1);
    CHECK_INT(bth_dtype_bytes(BERTH_BF16), 2);
    CHECK_INT(bth_dtype_bytes(BERTH_U32), 4);
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

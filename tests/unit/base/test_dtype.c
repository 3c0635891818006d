/* 16-bit floats against what their bits say: all of them. */
#include "base/dtype.h"
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
}

static float bf16_value(uint16_t h) {
    const int exponent = h >> 7 & 255, mantissa = h & 0x7F;
    const double v = exponent == 255 ? (mantissa ? (double)NAN : (double)INFINITY)
                     : exponent == 0 ? ldexp(mantissa, -133)
                                     : ldexp(128 + mantissa, exponent - 134);
    return (float)(h & 0x8000 ? -v : v);
}

static void check_bf16(void) {
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float want = bf16_value((uint16_t)h), got = bth_bf16_to_f32((uint16_t)h);
        if (isnan(want)) {
            CHECK(isnan(got));
        } else {
            CHECK_INT(bits(got), bits(want));
        }
    }
}

int main(void) {
    check_halves();
    check_bf16();
    CHECK_INT(bth_dtype_bytes(BERTH_I8), 1);
    CHECK_INT(bth_dtype_bytes(BERTH_BF16), 2);
    CHECK_INT(bth_dtype_bytes(BERTH_U32), 4);
    return 0;
}

#include "base/dtype.h"

#include <string.h>

size_t bth_dtype_bytes(enum berth_dtype dtype) {
    switch (dtype) {
    case BERTH_I8:
        return 1;
    case BERTH_F16:
    case BERTH_BF16:
    case BERTH_I16:
        return 2;
    case BERTH_F32:
    case BERTH_I32:
    case BERTH_U32:
        return 4;
    }
    return 0;
}

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

float bth_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3FF;
    if (exponent == 31) {
        return from_bits(sign | 0x7F800000 | mantissa << 13);
    }
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24, exact in f32 */
        float f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

float bth_bf16_to_f32(uint16_t h) {
    return from_bits((uint32_t)h << 16);
}

uint16_t bth_f32_to_f16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) {
        return (uint16_t)(sign | 0x7E00); /* NaN */
    }
    if (magnitude >= 0x477FF000) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00);
    }
    if (magnitude < 0x38800000) { /* below 2^-14: a multiple of 2^-24, rounded by the addition */
        float scaled = from_bits(magnitude) + 0.5f;
        uint32_t r;
        memcpy(&r, &scaled, sizeof(r));
        return (uint16_t)(sign | (r - 0x3F000000));
    }
    uint32_t odd = magnitude >> 13 & 1; /* ties to even */
    return (uint16_t)(sign | (magnitude - (112U << 23) + 0xFFF + odd) >> 13);
}

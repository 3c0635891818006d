#include "spacy/spacy_murmur.h"

#include "base/compiler.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t rotate(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

static uint64_t mix(uint64_t k) {
    k ^= k >> 33;
    k *= UINT64_C(0xff51afd7ed558ccd);
    k ^= k >> 33;
    k *= UINT64_C(0xc4ceb9fe1a85ec53);
    return k ^ k >> 33;
}

static uint64_t little_endian(const unsigned char *p, size_t n) {
    uint64_t x = 0;
    while (n-- > 0) {
        x = x << 8 | p[n];
    }
    return x;
}

/* The end of both: n bytes have gone in. */
static void finish(uint64_t h1, uint64_t h2, size_t n, uint32_t out[4]) {
    h1 ^= n;
    h2 ^= n;
    h1 += h2;
    h2 += h1;
    h1 = mix(h1);
    h2 = mix(h2);
    h1 += h2;
    h2 += h1;
    out[0] = (uint32_t)h1;
    out[1] = (uint32_t)(h1 >> 32);
    out[2] = (uint32_t)h2;
    out[3] = (uint32_t)(h2 >> 32);
}

void spacy_murmur(const void *bytes, size_t n, uint32_t seed, uint32_t out[4]) {
    const unsigned char *p = bytes;
    uint64_t h1 = seed, h2 = seed;
    size_t left = n;
    for (; left >= 16; left -= 16, p += 16) {
        h1 ^= rotate(little_endian(p, 8) * C1, 31) * C2;
        h1 = (rotate(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= rotate(little_endian(p + 8, 8) * C2, 33) * C1;
        h2 = (rotate(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (left > 8) {
        h2 ^= rotate(little_endian(p + 8, left - 8) * C2, 33) * C1;
    }
    if (left > 0) {
        h1 ^= rotate(little_endian(p, BTH_MIN(left, (size_t)8)) * C1, 31) * C2;
    }
    finish(h1, h2, n, out);
}

void spacy_murmur_key(uint64_t key, uint32_t seed, uint32_t out[4]) {
    finish(seed ^ rotate(key * C1, 31) * C2, seed, sizeof(key), out);
}

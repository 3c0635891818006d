/* tests/lib/marian_bytes.h - Marian's own files: .bin containers and shortlists. */
#ifndef BTH_TEST_MARIAN_BYTES_H
#define BTH_TEST_MARIAN_BYTES_H

#include "lib/bytes.h"

enum { BIN_F32 = 0x0404, BIN_I8 = 0x0101, BIN_INTGEMM8 = 0x4101 };

/* What a .bin is made of, as it grows. */
struct bin {
    struct bth_str heads, names, shapes, data;
    uint64_t n;
};

/* `bytes` of data, then zeros to a multiple of 256. */
static inline void bin_item(struct bin *b, const char *name, uint64_t type, int rows, int cols,
                            const void *data, size_t bytes) {
    size_t padded = type == BIN_I8 ? bytes : (bytes + 255) / 256 * 256;
    bool vector = rows == 0;
    put_int(&b->heads, strlen(name) + 1, 8);
    put_int(&b->heads, type, 8);
    put_int(&b->heads, vector ? 1 : 2, 8);
    put_int(&b->heads, padded, 8);
    bth_str_append(&b->names, name, strlen(name) + 1);
    if (!vector) {
        put_int(&b->shapes, (uint64_t)rows, 4);
    }
    put_int(&b->shapes, (uint64_t)cols, 4);
    bth_str_append(&b->data, data, bytes);
    put_zeros(&b->data, padded - bytes);
    b->n++;
}

/* An intgemm8 matrix of q (as its bytes lie) and its scale. */
static inline void bin_int8(struct bin *b, const char *name, int rows, int cols, const int8_t *q,
                            float scale) {
    struct bth_str s = {0};
    bth_str_append(&s, q, (size_t)(rows * cols));
    bth_str_append(&s, &scale, sizeof(scale));
    bin_item(b, name, BIN_INTGEMM8, rows, cols, s.data, s.size);
    bth_str_finish(&s);
}

static inline void bin_finish(struct bin *b, struct bth_str *out) {
    put_int(out, 1, 8);
    put_int(out, b->n, 8);
    struct bth_str *parts[] = {&b->heads, &b->names, &b->shapes};
    for (int i = 0; i < 3; i++) {
        bth_str_append(out, bth_str_text(parts[i]), parts[i]->size);
        bth_str_finish(parts[i]);
    }
    size_t pad = 256 - (out->size + 8) % 256;
    put_int(out, pad, 8);
    put_zeros(out, pad);
    bth_str_append(out, bth_str_text(&b->data), b->data.size);
    bth_str_finish(&b->data);
    CHECK(!out->failed);
}

/* Sets the checksum of a shortlist. */
static inline void shortlist_sign(struct bth_str *s) {
    uint64_t sum = 0;
    for (size_t at = 16; s->size - at >= 8; at += 8) {
        uint64_t w;
        memcpy(&w, s->data + at, 8);
        sum ^= w + UINT64_C(0x9e3779b9) + (sum << 6) + (sum >> 2);
    }
    memcpy(s->data + 8, &sum, 8);
}

static inline void shortlist_file(struct bth_str *s, uint64_t first, const uint64_t *offsets,
                                  uint64_t n_offsets, const uint32_t *ids, uint64_t n_ids) {
    put_int(s, UINT64_C(0xF11A48D5013417F5), 8);
    put_int(s, 0, 8);
    put_int(s, first, 8);
    put_int(s, 50, 8);
    put_int(s, n_offsets, 8);
    put_int(s, n_ids, 8);
    for (uint64_t i = 0; i < n_offsets; i++) {
        put_int(s, offsets[i], 8);
    }
    for (uint64_t i = 0; i < n_ids; i++) {
        put_int(s, ids[i], 4);
    }
    shortlist_sign(s);
}

#endif

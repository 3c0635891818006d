/* Weights of the CPU backend: [n, k] row-major becomes panels [n / 32][k][32], dtype kept. */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"
#include <string.h>

static size_t element_bytes(enum berth_dtype dtype) {
    return dtype == BERTH_F32                          ? 4
           : dtype == BERTH_F16 || dtype == BERTH_BF16 ? 2
           : dtype == BERTH_I8                         ? 1
                                                       : 0;
}

size_t bth_cpu_weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                            int64_t k) {
    (void)device;
    size_t bytes, depth = (size_t)k;
    const size_t columns = ((size_t)n + BTH_PANEL - 1) / BTH_PANEL * BTH_PANEL;
    if (dtype == BERTH_I8) {
        depth = (depth + 3) / 4 * 4 + sizeof(int32_t); /* and a sum */
    }
    if (n < 0 || k < 0 || !bth_mul(columns, depth, &bytes) ||
        !bth_mul(bytes, element_bytes(dtype), &bytes)) {
        return SIZE_MAX; /* no reservation holds that */
    }
    return bytes;
}

/* Elements [at, to) of `rows` rows into their columns of the panel. */
static void pack_plain(char *panel, const char *from, int64_t rows, int64_t k, int64_t at,
                       int64_t to, size_t es) {
    for (int64_t r = 0; r < rows; r++) {
        const char *row = from + (size_t)(r * k) * es;
        for (int64_t i = at; i < to; i++) {
            memcpy(panel + (size_t)(i * BTH_PANEL + r) * es, row + (size_t)i * es, es);
        }
    }
}

static uint64_t load_u64(const char *from) {
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

/* Four elements of two bytes from each of four rows, turned over in registers: a load takes most of
 * its time from packing, and element by element it would be thrice as long. */
static void pack_4x4(char *to, const char *from, size_t row_bytes) {
    const uint64_t low = 0x0000ffff0000ffff, r0 = load_u64(from), r1 = load_u64(from + row_bytes),
                   r2 = load_u64(from + 2 * row_bytes), r3 = load_u64(from + 3 * row_bytes);
    /* first pairs of rows, then pairs of pairs; element 0 is in the low bits */
    const uint64_t even01 = (r0 & low) | (r1 & low) << 16, odd01 = (r0 >> 16 & low) | (r1 & ~low);
    const uint64_t even23 = (r2 & low) | (r3 & low) << 16, odd23 = (r2 >> 16 & low) | (r3 & ~low);
    const uint64_t out[4] = {(even01 & UINT32_MAX) | even23 << 32,
                             (odd01 & UINT32_MAX) | odd23 << 32,
                             even01 >> 32 | (even23 & ~(uint64_t)UINT32_MAX),
                             odd01 >> 32 | (odd23 & ~(uint64_t)UINT32_MAX)};
    for (size_t i = 0; i < 4; i++) {
        memcpy(to + i * BTH_PANEL * 2, &out[i], sizeof(out[i]));
    }
}

/* One panel: to[k][32] from `rows` (at most 32) rows of k elements, a strip of each at a time so
 * that the lines read and written stay in the nearest cache. */
static void pack_panel(char *to, const char *from, int64_t rows, int64_t k, size_t es) {
    enum { STRIP = 64 };
    for (int64_t k0 = 0; k0 < k; k0 += STRIP) {
        const int64_t end = k0 + STRIP < k ? k0 + STRIP : k;
        if (es != 2 || rows != BTH_PANEL || (end - k0) % 4 != 0) {
            pack_plain(to, from, rows, k, k0, end, es);
            continue;
        }
        for (int64_t r = 0; r < BTH_PANEL; r += 4) {
            for (int64_t i = k0; i < end; i += 4) {
                pack_4x4(to + (size_t)(i * BTH_PANEL + r) * 2, from + (size_t)(r * k + i) * 2,
                         (size_t)k * 2);
            }
        }
    }
}

/* Rows of i8 into their panels, and their sums. */
static void pack_eights(struct bth_cpu_weight *w, const int8_t *rows) {
    int32_t *sums = eight_sums(w);
    for (int64_t n = 0; n < w->base.n; n++) {
        for (int64_t k = 0; k < w->base.k; k++) {
            const int8_t v = rows[n * w->base.k + k];
            *eight_at(w, n, k) = v;
            sums[n] += v;
        }
    }
}

int bth_cpu_weight_create(struct berth_device *device, struct berth_reservation *r,
                          enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                          struct berth_weight **out, struct berth_error *err) {
    const size_t es = element_bytes(dtype);
    if (es == 0 || n <= 0 || k <= 0) {
        return bth_error(err, BERTH_EINTERNAL, "a weight of %lld x %lld and type %d", (long long)n,
                         (long long)k, (int)dtype);
    }
    struct bth_cpu_weight *w = bth_calloc(1, sizeof(*w));
    if (!w) {
        return bth_error_nomem(err);
    }
    const size_t bytes = bth_cpu_weight_bytes(device, dtype, n, k);
    const int rc = bth_hostmem_create(device, r, bytes, &w->buffer, err);
    if (rc < 0) {
        bth_free(w);
        return rc;
    }
    w->base = (struct berth_weight){
        .device = device, .n = n, .k = k, .dtype = dtype, .bytes = bytes, .reservation = r};
    if (dtype == BERTH_I8) {
        pack_eights(w, rows);
    }
    for (int64_t c = 0; dtype != BERTH_I8 && c < n; c += BTH_PANEL) {
        pack_panel((char *)w->buffer->host + (size_t)(c * k) * es,
                   (const char *)rows + (size_t)(c * k) * es, n - c < BTH_PANEL ? n - c : BTH_PANEL,
                   k, es);
    }
    *out = &w->base;
    return 0;
}

void bth_cpu_weight_destroy(struct berth_weight *base) {
    struct bth_cpu_weight *w = (struct bth_cpu_weight *)base;
    if (w) {
        bth_hostmem_destroy(w->buffer);
        bth_free(w);
    }
}

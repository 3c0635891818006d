/* Weights of the CPU backend: [n, k] row-major becomes panels [n / 32][k][32], dtype kept. */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"
#include <string.h>

static size_t element_bytes(enum berth_dtype dtype) {
    return dtype == BERTH_F32 ? 4 : dtype == BERTH_F16 || dtype == BERTH_BF16 ? 2 : 0;
}

size_t bth_cpu_weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                            int64_t k) {
    (void)device;
    size_t bytes;
    const size_t columns = ((size_t)n + BTH_PANEL - 1) / BTH_PANEL * BTH_PANEL;
    if (n < 0 || k < 0 || !bth_mul(columns, (size_t)k, &bytes) ||
        !bth_mul(bytes, element_bytes(dtype), &bytes)) {
        return SIZE_MAX; /* no reservation holds that */
    }
    return bytes;
}

/* One panel: to[k][32] from `rows` (at most 32) rows of k elements, 64 elements of each at a time
 * so that the lines read and written stay in the nearest cache. */
static void pack_panel(char *to, const char *from, int64_t rows, int64_t k, size_t es) {
    enum { STRIP = 64 };
    for (int64_t k0 = 0; k0 < k; k0 += STRIP) {
        const int64_t end = k0 + STRIP < k ? k0 + STRIP : k;
        for (int64_t r = 0; r < rows; r++) {
            const char *row = from + (size_t)(r * k) * es;
            for (int64_t i = k0; i < end; i++) {
                memcpy(to + (size_t)(i * BTH_PANEL + r) * es, row + (size_t)i * es, es);
            }
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
    for (int64_t c = 0; c < n; c += BTH_PANEL) {
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

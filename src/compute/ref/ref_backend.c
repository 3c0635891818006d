/* The oracle: host memory, weights as given, programs run op by op. */
#include "base/alloc.h"
#include "base/compiler.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/compute.h"
#include "compute/hostmem.h"
#include "compute/ops.h"
#include "compute/ref/ref_ops.h"
#include <stdio.h>

struct berth_program {
    struct berth_buffer *scratch; /* what the largest op needs */
    size_t n_ops;
    struct berth_op ops[];
};

static void ref_close(struct berth_device *device) {
    bth_free(device);
}

static size_t weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                           int64_t k) {
    (void)device;
    size_t bytes;
    if (n < 1 || k < 1 || !bth_mul((size_t)n, (size_t)k, &bytes) ||
        !bth_mul(bytes, bth_dtype_bytes(dtype), &bytes)) {
        return SIZE_MAX; /* no reservation holds that */
    }
    return bytes;
}

static int weight_create(struct berth_device *device, struct berth_reservation *r,
                         enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                         struct berth_weight **out, struct berth_error *err) {
    if (n < 1 || k < 1 || dtype > BERTH_I8) {
        return bth_error(err, BERTH_EINTERNAL, "a weight of %lld x %lld and type %d", (long long)n,
                         (long long)k, (int)dtype);
    }
    const size_t bytes = weight_bytes(device, dtype, n, k);
    struct bth_ref_weight *w = bth_calloc(1, sizeof(*w));
    if (!w) {
        return bth_error_nomem(err);
    }
    int rc = bth_hostmem_create(device, r, bytes, &w->buffer, err);
    if (rc == 0) {
        rc = bth_hostmem_write(w->buffer, 0, rows, bytes);
    }
    if (rc < 0) {
        bth_free(w);
        return rc;
    }
    w->base = (struct berth_weight){
        .device = device, .n = n, .k = k, .dtype = dtype, .bytes = bytes, .reservation = r};
    *out = &w->base;
    return 0;
}

static void weight_destroy(struct berth_weight *w) {
    if (w) {
        bth_hostmem_destroy(((struct bth_ref_weight *)w)->buffer);
        bth_free(w);
    }
}

static int program_create(struct berth_device *device, struct berth_reservation *r,
                          const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                          struct berth_error *err) {
    int64_t scratch = 0;
    for (size_t i = 0; i < n_ops; i++) {
        scratch = BTH_MAX(scratch, bth_ref_scratch(&ops[i]));
    }
    struct berth_program *p = bth_alloc(sizeof(*p) + n_ops * sizeof(*ops));
    if (!p) {
        return bth_error_nomem(err);
    }
    const int rc =
        bth_hostmem_create(device, r, (size_t)scratch * sizeof(double), &p->scratch, err);
    if (rc < 0) {
        bth_free(p);
        return rc;
    }
    p->n_ops = n_ops;
    for (size_t i = 0; i < n_ops; i++) {
        p->ops[i] = ops[i];
    }
    *out = p;
    return 0;
}

static void program_destroy(struct berth_program *p) {
    if (p) {
        bth_hostmem_destroy(p->scratch);
        bth_free(p);
    }
}

static int program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                       struct berth_error *err) {
    (void)err;
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct berth_op *op = &p->ops[i];
        int64_t rows = bth_op_rows(op);
        if (op->live >= 0 && (int64_t)live[op->live] < rows) {
            rows = live[op->live];
        }
        bth_ref_op(op, rows, p->scratch->host);
    }
    return 0;
}

static int sync_device(struct berth_device *device, struct berth_error *err) {
    (void)device;
    (void)err;
    return 0;
}

static bool runs_all(const struct berth_device *device, enum berth_op_kind kind) {
    (void)device;
    return kind < BERTH_N_OPS;
}

static const struct berth_backend_ops ref_ops = {
    .api_version = BERTH_BACKEND_API,
    .struct_size = sizeof(struct berth_backend_ops),
    .name = "ref",
    .close = ref_close,
    .buffer_create = bth_hostmem_create,
    .buffer_destroy = bth_hostmem_destroy,
    .region_create = bth_hostmem_region_create,
    .region_commit = bth_hostmem_commit,
    .region_decommit = bth_hostmem_decommit,
    .write = bth_hostmem_write,
    .read = bth_hostmem_read,
    .weight_create = weight_create,
    .weight_destroy = weight_destroy,
    .weight_bytes = weight_bytes,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .program_run = program_run,
    .sync = sync_device,
    .runs = runs_all,
};

int bth_ref_open(struct berth_device **out, struct berth_error *err) {
    struct berth_device *d = bth_calloc(1, sizeof(*d));
    if (!d) {
        return bth_error_nomem(err);
    }
    d->ops = &ref_ops;
    d->max_windows = 1;
    d->turn_flops = 4e9;
    d->total_bytes = bth_hostmem_total();
    snprintf(d->name, sizeof(d->name), "ref");
    snprintf(d->description, sizeof(d->description), "plain loops, the oracle");
    *out = d;
    return 0;
}

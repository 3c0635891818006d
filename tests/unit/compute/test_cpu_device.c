/* The CPU device at its edges: bad settings, failing allocations, a reservation too small. */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/test.h"

/* Opens a device and makes one of everything from `limit` bytes. */
static int make_all(size_t limit) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    struct berth_reservation r;
    struct berth_device *d;
    struct berth_buffer *x = NULL;
    struct berth_weight *w = NULL;
    struct berth_program *p = NULL;
    float rows[40 * 8] = {0};
    bth_reservation_init(&r, BERTH_BYTES_WORKSPACE, limit);
    int rc = bth_cpu_open(&config, &d, NULL);
    if (rc < 0) {
        return rc;
    }
    rc = d->ops->buffer_create(d, &r, 40 * 40 * 4, &x, NULL);
    if (rc < 0) {
        goto out;
    }
    rc = d->ops->weight_create(d, &r, BERTH_F32, 40, 8, rows, &w, NULL);
    if (rc < 0) {
        goto out;
    }
    struct berth_op op = {.kind = BERTH_OP_LINEAR, .live = -1};
    op.u.linear.x = (struct berth_tensor){.buffer = x, .rows = 3, .cols = 8, .row_stride = 8};
    op.u.linear.y = (struct berth_tensor){.buffer = x, .offset = 40, .rows = 3, .cols = 40};
    op.u.linear.w = w;
    rc = d->ops->program_create(d, &r, &op, 1, &p, NULL);
out:
    d->ops->program_destroy(p);
    d->ops->weight_destroy(w);
    d->ops->buffer_destroy(x);
    d->ops->close(d);
    CHECK_INT(bth_reservation_used(&r), 0);
    return rc;
}

static void check_allocation_failures(void) {
    const int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        bth_alloc_fail_at(n);
        const int rc = make_all(SIZE_MAX / 2);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(bth_alloc_live(), live);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        if (!failed) {
            break;
        }
    }
}

static void check_settings(void) {
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    static const char *const kernels[] = {"scalar", "AVX2", "AVX-512"};
    struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    struct berth_device *d = NULL;
    struct berth_error err;
    setenv("BERTH_CPU", "sse9", 1);
    CHECK_INT(bth_cpu_open(&config, &d, &err), BERTH_EINVAL);
    CHECK(!d && strstr(err.message, "sse9"));
    for (int i = 0; i < 3; i++) { /* a cap is kept; the machine may have less */
        setenv("BERTH_CPU", names[i], 1);
        CHECK_OK(bth_cpu_open(&config, &d, &err), err);
        bool below = false;
        for (int j = 0; j <= i; j++) {
            below |= strncmp(d->description, kernels[j], strlen(kernels[j])) == 0;
        }
        CHECK(below);
        d->ops->close(d);
    }
    unsetenv("BERTH_CPU");
    config.threads = 100000;
    CHECK_INT(bth_cpu_open(&config, &d, &err), BERTH_EINVAL);
}

static void check_weights(void) {
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_SCALAR};
    struct berth_reservation r;
    struct berth_device *d;
    struct berth_weight *w = NULL;
    struct berth_error err;
    const int32_t rows[4] = {0};
    bth_reservation_init(&r, BERTH_BYTES_WEIGHTS, SIZE_MAX / 2);
    CHECK_OK(bth_cpu_open(&config, &d, &err), err);
    CHECK_INT(d->ops->weight_create(d, &r, BERTH_I32, 2, 2, rows, &w, &err), BERTH_EINTERNAL);
    CHECK_INT(d->ops->weight_bytes(d, BERTH_F16, 33, 10), 64 * 10 * 2);
    CHECK(d->ops->weight_bytes(d, BERTH_F32, INT64_MAX / 2, 64) == SIZE_MAX);
    CHECK(!w);
    d->ops->close(d);
}

int main(void) {
    check_settings();
    check_weights();
    check_allocation_failures();
    CHECK_INT(make_all(0), BERTH_EBUDGET);                        /* no buffer */
    CHECK_INT(make_all(40 * 40 * 4), BERTH_EBUDGET);              /* no weight */
    CHECK_INT(make_all(40 * 40 * 4 + 64 * 8 * 4), BERTH_EBUDGET); /* no scratch */
    CHECK_INT(make_all(1 << 20), 0);
    return 0;
}

#include "lib/fake_device.h"

#include "base/error.h"
#include "base/reservation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct berth_program {
    struct fake_device *device;
};

static struct fake_device *of(const struct berth_device *device) {
    return (struct fake_device *)device;
}

static int must_fail(struct fake_device *d, struct berth_error *err) {
    if (d->fail_in > 0 && --d->fail_in == 0) {
        return bth_error(err, BERTH_ENOMEM, "the fake device fails, as it was told to");
    }
    return 0;
}

static void device_close(struct berth_device *device) {
    of(device)->closed++;
}

static int buffer_create(struct berth_device *device, struct berth_reservation *r, size_t bytes,
                         struct berth_buffer **out, struct berth_error *err) {
    struct fake_device *d = of(device);
    int rc = must_fail(d, err);
    if (rc == 0 && r) {
        rc = bth_reservation_draw(r, bytes, err);
    }
    if (rc < 0) {
        return rc;
    }
    /* Claims may be huge: only the first megabyte is really there. */
    size_t real = bytes < 1 << 20 ? bytes : 1 << 20;
    struct berth_buffer *b = calloc(1, sizeof(*b) + real);
    *b = (struct berth_buffer){.device = device, .host = b + 1, .bytes = bytes, .reservation = r};
    d->live++;
    d->bytes += (int64_t)(r ? bytes : 0);
    *out = b;
    return 0;
}

static void buffer_destroy(struct berth_buffer *b) {
    if (b->reservation) {
        bth_reservation_return(b->reservation, b->bytes);
        of(b->device)->bytes -= (int64_t)b->bytes;
    }
    of(b->device)->live--;
    free(b);
}

static int region_create(struct berth_device *device, size_t max_bytes, struct berth_buffer **out,
                         struct berth_error *err) {
    return buffer_create(device, NULL, max_bytes, out, err);
}

static int region_commit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                         size_t bytes, struct berth_error *err) {
    (void)offset;
    int rc = must_fail(of(b->device), err);
    rc = rc < 0 ? rc : bth_reservation_draw(r, bytes, err);
    of(b->device)->bytes += rc < 0 ? 0 : (int64_t)bytes;
    return rc;
}

static void region_decommit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                            size_t bytes) {
    (void)offset;
    bth_reservation_return(r, bytes);
    of(b->device)->bytes -= (int64_t)bytes;
}

static int buffer_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    memcpy((char *)b->host + offset, from, bytes);
    return 0;
}

static int buffer_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes) {
    memcpy(to, (char *)b->host + offset, bytes);
    return 0;
}

static size_t weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                           int64_t k) {
    (void)device;
    return (size_t)(n * k) * (dtype == BERTH_F32 ? 4 : 2);
}

static int weight_create(struct berth_device *device, struct berth_reservation *r,
                         enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                         struct berth_weight **out, struct berth_error *err) {
    (void)rows;
    struct fake_device *d = of(device);
    size_t bytes = weight_bytes(device, dtype, n, k);
    int rc = must_fail(d, err);
    rc = rc < 0 ? rc : bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        return rc;
    }
    struct berth_weight *w = calloc(1, sizeof(*w));
    *w = (struct berth_weight){device, n, k, dtype, bytes, r};
    d->live++;
    d->bytes += (int64_t)bytes;
    *out = w;
    return 0;
}

static void weight_destroy(struct berth_weight *w) {
    bth_reservation_return(w->reservation, w->bytes);
    of(w->device)->bytes -= (int64_t)w->bytes;
    of(w->device)->live--;
    free(w);
}

static int program_create(struct berth_device *device, struct berth_reservation *r,
                          const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                          struct berth_error *err) {
    (void)r, (void)ops, (void)n_ops;
    int rc = must_fail(of(device), err);
    if (rc < 0) {
        return rc;
    }
    *out = calloc(1, sizeof(**out));
    (*out)->device = of(device);
    of(device)->live++;
    return 0;
}

static void program_destroy(struct berth_program *p) {
    p->device->live--;
    free(p);
}

static int lost(const struct fake_device *d, struct berth_error *err) {
    return d->lost ? bth_error(err, BERTH_EDEVICE, "the fake device is lost") : 0;
}

static int program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                       struct berth_error *err) {
    (void)live;
    return lost(p->device, err);
}

static int device_sync(struct berth_device *device, struct berth_error *err) {
    return lost(of(device), err);
}

static bool runs_all(const struct berth_device *device, enum berth_op_kind kind) {
    (void)device;
    return kind < BERTH_N_OPS;
}

static const struct berth_backend_ops fake_ops = {
    .api_version = BERTH_BACKEND_API,
    .struct_size = sizeof(struct berth_backend_ops),
    .name = "fake",
    .close = device_close,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .region_create = region_create,
    .region_commit = region_commit,
    .region_decommit = region_decommit,
    .write = buffer_write,
    .read = buffer_read,
    .weight_create = weight_create,
    .weight_destroy = weight_destroy,
    .weight_bytes = weight_bytes,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .program_run = program_run,
    .sync = device_sync,
    .runs = runs_all,
};

void fake_device_init(struct fake_device *d, const char *name) {
    *d = (struct fake_device){
        .base = {.ops = &fake_ops, .total_bytes = 1 << 30, .max_windows = 1, .turn_flops = 4e9}};
    snprintf(d->base.name, sizeof(d->base.name), "%s", name);
    snprintf(d->base.description, sizeof(d->base.description), "host memory, computes nothing");
}

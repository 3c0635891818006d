/* Opening a GPU, its memory and copies. */
#include "cuda_device.h"
#include "cuda_module.h"
#include "linear_cuda.h"
#include "search_cuda.h"

#include <cstdio>
#include <cstring>

extern "C" {
#include "base/alloc.h"
#include "base/reservation.h"
}

int bth_cuda_check(struct bth_cuda_device *d, cudaError_t e, const char *what,
                   struct berth_error *err) {
    if (e == cudaSuccess) {
        return 0;
    }
    if (e == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* not sticky: clear it */
        return bth_error(err, BERTH_ENOMEM, "%s: %s: out of GPU memory", d->base.name, what);
    }
    if (d->failed == cudaSuccess) {
        d->failed = e;
    }
    return bth_error(err, BERTH_EDEVICE, "%s: %s: %s", d->base.name, what, cudaGetErrorString(e));
}

int bth_cuda_enter(struct bth_cuda_device *d, struct berth_error *err) {
    if (d->failed == cudaSuccess) {
        return bth_cuda_check(d, cudaSetDevice(d->ordinal), "select", err);
    }
    return bth_error(err, BERTH_EDEVICE, "%s has failed earlier: %s", d->base.name,
                     cudaGetErrorString(d->failed));
}

static void device_close(struct berth_device *device) {
    struct bth_cuda_device *d = bth_cuda(device);
    cudaSetDevice(d->ordinal);
    bth_cuda_staging_finish(&d->staging);
    if (d->stream) {
        cudaStreamDestroy(d->stream);
    }
    if (d->capture) {
        cudaStreamDestroy(d->capture);
    }
    pthread_mutex_destroy(&d->lock);
    bth_free(d);
}

static int buffer_create(struct berth_device *device, struct berth_reservation *r, size_t bytes,
                         struct berth_buffer **out, struct berth_error *err) {
    struct bth_cuda_device *d = bth_cuda(device);
    int rc = bth_cuda_enter(d, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_cuda_buffer *b = (struct bth_cuda_buffer *)bth_calloc(1, sizeof(*b));
    if (!b) {
        return bth_error_nomem(err);
    }
    rc = bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        bth_free(b);
        return rc;
    }
    void *p = NULL;
    rc = bth_cuda_check(d, bth_cuda_malloc(d, &p, bytes ? bytes : 1), "allocate", err);
    if (rc == 0) {
        rc = bth_cuda_check(d, cudaMemsetAsync(p, 0, bytes ? bytes : 1, d->stream), "clear", err);
    }
    if (rc < 0) {
        cudaFree(p);
        bth_reservation_return(r, bytes);
        bth_free(b);
        return rc;
    }
    b->data = (char *)p;
    b->base.device = device;
    b->base.bytes = bytes;
    b->base.reservation = r;
    *out = &b->base;
    return 0;
}

static void buffer_destroy(struct berth_buffer *base) {
    struct bth_cuda_buffer *b = (struct bth_cuda_buffer *)base;
    struct bth_cuda_device *d = bth_cuda(base->device);
    bth_cuda_enter(d, NULL);
    if (b->chunks) {
        bth_cuda_region_destroy(b);
        return;
    }
    cudaFree(b->data); /* waits for work that uses it */
    bth_reservation_return(base->reservation, base->bytes);
    bth_free(b);
}

static int device_write(struct berth_buffer *base, size_t offset, const void *from, size_t bytes) {
    struct bth_cuda_device *d = bth_cuda(base->device);
    char *to = ((struct bth_cuda_buffer *)base)->data + offset;
    int rc = bth_cuda_enter(d, NULL);
    return rc < 0 ? rc : bth_cuda_check(d, bth_cuda_write(d, to, from, bytes), "write", NULL);
}

static int device_read(struct berth_buffer *base, size_t offset, void *to, size_t bytes) {
    struct bth_cuda_device *d = bth_cuda(base->device);
    const char *from = ((struct bth_cuda_buffer *)base)->data + offset;
    int rc = bth_cuda_enter(d, NULL);
    return rc < 0 ? rc : bth_cuda_check(d, bth_cuda_read(d, to, from, bytes), "read", NULL);
}

static int device_sync(struct berth_device *device, struct berth_error *err) {
    struct bth_cuda_device *d = bth_cuda(device);
    int rc = bth_cuda_enter(d, err);
    return rc < 0 ? rc : bth_cuda_check(d, cudaStreamSynchronize(d->stream), "run", err);
}

/* Of the ops that spaCy's networks need there are no kernels here. */
static bool device_runs(const struct berth_device *, enum berth_op_kind kind) {
    return kind <= BERTH_OP_TOP;
}

/* How a weight is kept: fast products want 16 bits, but for those of bytes. */
static enum berth_dtype kept_as(const struct bth_cuda_device *d, enum berth_dtype dtype) {
    return d->fast && dtype != BERTH_I8 ? BERTH_F16 : dtype;
}

static size_t weight_bytes(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                           int64_t k) {
    const enum berth_dtype kept = kept_as(bth_cuda(device), dtype);
    return kept == BERTH_I8 ? eights_bytes(n, k)
                            : (size_t)n * (size_t)k * (kept == BERTH_F32 ? 4 : 2);
}

static float element(const void *from, enum berth_dtype dtype, size_t i) {
    float v;
    __nv_bfloat16 h;
    if (dtype == BERTH_F32) {
        memcpy(&v, (const char *)from + i * sizeof(v), sizeof(v)); /* any alignment */
        return v;
    }
    memcpy(&h, (const char *)from + i * sizeof(h), sizeof(h));
    return __bfloat162float(h);
}

/* Rounds f32 or bf16 to f16, which saturates, a piece at a time: no second copy of the weight. */
static cudaError_t write_narrowed(void *to, const void *from, enum berth_dtype dtype, size_t n) {
    enum { PIECE = 1 << 16 };
    __half *piece = (__half *)bth_alloc(PIECE * sizeof(*piece));
    cudaError_t e = piece ? cudaSuccess : cudaErrorMemoryAllocation;
    for (size_t i = 0; e == cudaSuccess && i < n; i += PIECE) {
        size_t have = n - i < PIECE ? n - i : PIECE;
        for (size_t j = 0; j < have; j++) {
            const float v = element(from, dtype, i + j);
            piece[j] = __float2half(v > 65504.0f ? 65504.0f : v < -65504.0f ? -65504.0f : v);
        }
        e = cudaMemcpy((__half *)to + i, piece, have * sizeof(*piece), cudaMemcpyHostToDevice);
    }
    bth_free(piece);
    return e;
}

static int weight_create(struct berth_device *device, struct berth_reservation *r,
                         enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                         struct berth_weight **out, struct berth_error *err) {
    struct bth_cuda_device *d = bth_cuda(device);
    size_t bytes = weight_bytes(device, dtype, n, k);
    int rc = bth_cuda_enter(d, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_cuda_weight *w = (struct bth_cuda_weight *)bth_calloc(1, sizeof(*w));
    if (!w) {
        return bth_error_nomem(err);
    }
    rc = bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        bth_free(w);
        return rc;
    }
    rc = bth_cuda_check(d, bth_cuda_malloc(d, &w->data, bytes), "allocate weights", err);
    if (rc == 0) {
        rc = bth_cuda_check(d,
                            dtype == BERTH_I8 ? eights_write(w->data, (const int8_t *)rows, n, k)
                            : kept_as(d, dtype) == dtype
                                ? cudaMemcpy(w->data, rows, bytes, cudaMemcpyHostToDevice)
                                : write_narrowed(w->data, rows, dtype, (size_t)(n * k)),
                            "write weights", err);
    }
    if (rc == 0) { /* a copy may return when it is staged; d->stream does not wait for this one */
        rc = bth_cuda_check(d, cudaStreamSynchronize(cudaStreamLegacy), "write weights", err);
    }
    if (rc < 0) {
        cudaFree(w->data);
        bth_reservation_return(r, bytes);
        bth_free(w);
        return rc;
    }
    w->base.device = device;
    w->base.n = n;
    w->base.k = k;
    w->base.dtype = kept_as(d, dtype);
    w->base.bytes = bytes;
    w->base.reservation = r;
    *out = &w->base;
    return 0;
}

static void weight_destroy(struct berth_weight *base) {
    struct bth_cuda_weight *w = (struct bth_cuda_weight *)base;
    bth_cuda_enter(bth_cuda(base->device), NULL);
    cudaFree(w->data);
    bth_reservation_return(base->reservation, base->bytes);
    bth_free(w);
}

static const struct berth_backend_ops cuda_ops = {
    .api_version = BERTH_BACKEND_API,
    .struct_size = sizeof(struct berth_backend_ops),
    .name = "cuda",
    .close = device_close,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .region_create = bth_cuda_region_create,
    .region_commit = bth_cuda_region_commit,
    .region_decommit = bth_cuda_region_decommit,
    .write = device_write,
    .read = device_read,
    .weight_create = weight_create,
    .weight_destroy = weight_destroy,
    .weight_bytes = weight_bytes,
    .program_create = bth_cuda_program_create,
    .program_destroy = bth_cuda_program_destroy,
    .program_run = bth_cuda_program_run,
    .sync = device_sync,
    .runs = device_runs,
};

static bool entry(const char *name, void *out) {
    cudaDriverEntryPointQueryResult found;
    return cudaGetDriverEntryPointByVersion(name, (void **)out, 12000, cudaEnableDefault, &found) ==
               cudaSuccess &&
           found == cudaDriverEntryPointSuccess;
}

static bool load_driver(struct bth_cuda_driver *v) {
    return entry("cuMemAddressReserve", &v->address_reserve) &&
           entry("cuMemAddressFree", &v->address_free) && entry("cuMemCreate", &v->create) &&
           entry("cuMemRelease", &v->release) && entry("cuMemMap", &v->map) &&
           entry("cuMemUnmap", &v->unmap) && entry("cuMemSetAccess", &v->set_access);
}

enum { GRANULARITY = 2 << 20 }; /* of every GPU that CUDA 13 supports */

/* "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", as nvidia-smi writes it. */
static void format_uuid(const cudaUUID_t *uuid, char out[48]) {
    const unsigned char *b = (const unsigned char *)uuid->bytes;
    int n = snprintf(out, 48, "GPU-");
    for (int i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        n += snprintf(out + n, (size_t)(48 - n), "%s%02x", dash ? "-" : "", b[i]);
    }
}

static const char *unusable(const cudaDeviceProp *prop) {
    return prop->major < 8 ? "older than compute capability 8.0" : "";
}

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int berth_cuda_list(struct bth_cuda_info *out, int n, struct berth_error *err) {
    int have = 0;
    cudaError_t e = cudaGetDeviceCount(&have);
    if (e != cudaSuccess) {
        return bth_error(err, BERTH_EUNSUPPORTED, "CUDA: %s", cudaGetErrorString(e));
    }
    for (int i = 0; i < have && i < n; i++) {
        struct bth_cuda_info *info = &out[i];
        cudaDeviceProp prop;
        memset(info, 0, sizeof(*info));
        info->ordinal = i;
        e = cudaGetDeviceProperties(&prop, i);
        size_t free_bytes = 0, total_bytes = 0;
        if (e == cudaSuccess) {
            snprintf(info->name, sizeof(info->name), "%.90s", prop.name);
            format_uuid(&prop.uuid, info->uuid);
            snprintf(info->problem, sizeof(info->problem), "%s", unusable(&prop));
            e = cudaSetDevice(i);
        }
        if (e == cudaSuccess) {
            e = cudaMemGetInfo(&free_bytes, &total_bytes);
        }
        if (e != cudaSuccess) {
            snprintf(info->problem, sizeof(info->problem), "%.90s", cudaGetErrorString(e));
        }
        info->total_bytes = total_bytes;
        info->used_bytes = total_bytes - free_bytes;
    }
    return have;
}

EXPORT int berth_cuda_open(int ordinal, bool fast, struct berth_device **out,
                           struct berth_error *err) {
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || ordinal < 0 || ordinal >= n) {
        return bth_error(err, BERTH_ENOTFOUND, "no GPU %d here: %s", ordinal,
                         e == cudaSuccess ? "fewer are installed" : cudaGetErrorString(e));
    }
    struct bth_cuda_device *d = (struct bth_cuda_device *)bth_calloc(1, sizeof(*d));
    if (!d) {
        return bth_error_nomem(err);
    }
    snprintf(d->base.name, sizeof(d->base.name), "cuda:%d", ordinal);
    d->base.ops = &cuda_ops;
    d->base.max_windows = 16;
    d->base.turn_flops = 2e11; /* of each of 16 windows */
    d->ordinal = ordinal;
    pthread_mutex_init(&d->lock, NULL);
    d->granularity = GRANULARITY;
    d->fast = fast;
    d->base.fast = fast;
    d->base.narrow = fast ? BERTH_F16 : BERTH_F32;
    cudaDeviceProp prop;
    int rc = bth_cuda_check(d, cudaGetDeviceProperties(&prop, ordinal), "properties", err);
    if (rc == 0 && *unusable(&prop)) {
        rc = bth_error(err, BERTH_EUNSUPPORTED, "%s (%.90s) is %s", d->base.name, prop.name,
                       unusable(&prop));
    }
    if (rc == 0) {
        snprintf(d->base.description, sizeof(d->base.description), "%.80s, %s", prop.name,
                 fast ? "fast" : "exact");
        d->base.total_bytes = prop.totalGlobalMem;
        rc = bth_cuda_check(d, cudaSetDevice(ordinal), "select", err);
    }
    if (rc == 0) {
        size_t all;
        rc = bth_cuda_check(d, cudaMemGetInfo(&d->base.free_bytes, &all), "memory", err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, attend_prepare(), "shared memory", err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, attend_fast_prepare(), "shared memory", err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, fast_prepare(), "shared memory", err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, bth_cuda_staging_init(&d->staging), "page-locked memory", err);
    }
    if (rc == 0 && !load_driver(&d->driver)) {
        rc = bth_error(err, BERTH_EUNSUPPORTED, "%s: the driver is too old", d->base.name);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking),
                            "stream", err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, cudaStreamCreateWithFlags(&d->capture, cudaStreamNonBlocking),
                            "stream", err);
    }
    if (rc < 0) {
        device_close(&d->base);
        return rc;
    }
    *out = &d->base;
    return 0;
}

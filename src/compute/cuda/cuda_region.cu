/*
 * Regions: address space in which memory is mapped where it is committed.
 *
 * Mapping a chunk costs the driver about half a millisecond, and sessions come and go all the time:
 * so a chunk that nobody uses any more stays mapped, idle, for the next commit there. Whoever finds
 * memory short takes the idle chunks back first (bth_cuda_malloc, commit). The ledger counts what
 * is committed; idle chunks are what it calls free.
 */
#include "cuda_device.h"
#include "cuda_module.h"

#include <atomic>

extern "C" {
#include "base/alloc.h"
#include "base/reservation.h"
}

static CUdeviceptr chunk_at(const struct bth_cuda_device *d, const struct bth_cuda_buffer *b,
                            size_t i) {
    return (CUdeviceptr)(b->data + i * d->granularity);
}

/* Caller holds the lock; nothing queued uses the chunk. */
static void unmap(struct bth_cuda_device *d, struct bth_cuda_buffer *b, size_t i) {
    d->driver.unmap(chunk_at(d, b, i), d->granularity);
    d->driver.release(b->chunks[i].memory);
    b->chunks[i].mapped = false;
}

/* Takes back what idle chunks hold. Caller holds the lock. */
static void trim(struct bth_cuda_device *d) {
    cudaStreamSynchronize(d->stream); /* nothing queued may still touch them */
    for (struct bth_cuda_buffer *b = d->regions; b && d->n_idle; b = b->next) {
        for (size_t i = 0; i < b->n_chunks && d->n_idle; i++) {
            if (b->chunks[i].mapped && b->chunks[i].users == 0) {
                unmap(d, b, i);
                d->n_idle--;
            }
        }
    }
}

/* How many allocations are left until one fails; 0: all may succeed. */
static std::atomic<long> fail_in;

extern "C" __attribute__((visibility("default"))) long berth_cuda_fail_at(long n) {
    const long left = fail_in.exchange(n);
    return left > 0 ? left : 0;
}

static bool must_fail(void) {
    for (long n = fail_in.load(); n > 0;) {
        if (fail_in.compare_exchange_weak(n, n - 1)) {
            return n == 1;
        }
    }
    return false;
}

cudaError_t bth_cuda_malloc(struct bth_cuda_device *d, void **out, size_t bytes) {
    if (must_fail()) {
        return cudaErrorMemoryAllocation;
    }
    cudaError_t e = cudaMalloc(out, bytes);
    if (e != cudaErrorMemoryAllocation) {
        return e;
    }
    cudaGetLastError();
    pthread_mutex_lock(&d->lock);
    trim(d);
    pthread_mutex_unlock(&d->lock);
    return cudaMalloc(out, bytes);
}

int bth_cuda_region_create(struct berth_device *device, size_t max_bytes, struct berth_buffer **out,
                           struct berth_error *err) {
    struct bth_cuda_device *d = bth_cuda(device);
    int rc = bth_cuda_enter(d, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_cuda_buffer *b = (struct bth_cuda_buffer *)bth_calloc(1, sizeof(*b));
    if (!b) {
        return bth_error_nomem(err);
    }
    b->n_chunks = (max_bytes + d->granularity - 1) / d->granularity;
    b->chunks = (struct bth_cuda_chunk *)bth_calloc(b->n_chunks, sizeof(*b->chunks));
    CUdeviceptr p = 0;
    if (!b->chunks) {
        rc = bth_error_nomem(err);
    } else if (d->driver.address_reserve(&p, b->n_chunks * d->granularity, 0, 0, 0) !=
               CUDA_SUCCESS) {
        rc = bth_error(err, BERTH_ENOMEM, "%s: no address space for %zu bytes", device->name,
                       max_bytes);
    }
    if (rc < 0) {
        bth_free(b->chunks);
        bth_free(b);
        return rc;
    }
    b->data = (char *)p;
    b->base.device = device;
    b->base.bytes = max_bytes;
    pthread_mutex_lock(&d->lock);
    b->next = d->regions;
    d->regions = b;
    pthread_mutex_unlock(&d->lock);
    *out = &b->base;
    return 0;
}

void bth_cuda_region_destroy(struct bth_cuda_buffer *b) {
    struct bth_cuda_device *d = bth_cuda(b->base.device);
    cudaStreamSynchronize(d->stream);
    pthread_mutex_lock(&d->lock);
    struct bth_cuda_buffer **at = &d->regions;
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    for (size_t i = 0; i < b->n_chunks; i++) {
        if (b->chunks[i].mapped) {
            d->n_idle -= b->chunks[i].users == 0;
            unmap(d, b, i);
        }
    }
    pthread_mutex_unlock(&d->lock);
    d->driver.address_free((CUdeviceptr)b->data, b->n_chunks * d->granularity);
    bth_free(b->chunks);
    bth_free(b);
}

/* Maps fresh memory at chunk i, or leaves it as it was. */
static int map(struct bth_cuda_device *d, struct bth_cuda_buffer *b, size_t i,
               struct berth_error *err) {
    CUmemAllocationProp prop = {};
    prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    prop.location.id = d->ordinal;
    CUmemAccessDesc access = {};
    access.location = prop.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    struct bth_cuda_chunk *c = &b->chunks[i];
    CUresult made = must_fail() ? CUDA_ERROR_OUT_OF_MEMORY
                                : d->driver.create(&c->memory, d->granularity, &prop, 0);
    if (made == CUDA_ERROR_OUT_OF_MEMORY && d->n_idle) {
        trim(d);
        made = d->driver.create(&c->memory, d->granularity, &prop, 0);
    }
    if (made == CUDA_ERROR_OUT_OF_MEMORY) {
        return bth_error(err, BERTH_ENOMEM, "%s: out of GPU memory", d->base.name);
    }
    if (made != CUDA_SUCCESS) { /* trying again would not help */
        return bth_error(err, BERTH_EDEVICE, "%s: cannot make memory", d->base.name);
    }
    if (d->driver.map(chunk_at(d, b, i), d->granularity, 0, c->memory, 0) != CUDA_SUCCESS) {
        d->driver.release(c->memory);
        return bth_error(err, BERTH_EDEVICE, "%s: cannot map memory", d->base.name);
    }
    c->mapped = true;
    if (d->driver.set_access(chunk_at(d, b, i), d->granularity, &access, 1) != CUDA_SUCCESS) {
        unmap(d, b, i);
        return bth_error(err, BERTH_EDEVICE, "%s: cannot open mapped memory", d->base.name);
    }
    return 0;
}

static void leave(struct bth_cuda_device *d, struct bth_cuda_buffer *b, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        d->n_idle += --b->chunks[i].users == 0;
    }
}

/* Neighbouring commits share the chunk where they meet. */
static int take(struct bth_cuda_device *d, struct bth_cuda_buffer *b, size_t first, size_t end,
                struct berth_error *err) {
    for (size_t i = first; i < end; i++) {
        struct bth_cuda_chunk *c = &b->chunks[i];
        const bool idle = c->mapped && c->users == 0;
        const int rc = c->mapped ? 0 : map(d, b, i, err);
        if (rc < 0) {
            leave(d, b, first, i);
            return rc;
        }
        c->users++;
        d->n_idle -= idle;
    }
    return 0;
}

int bth_cuda_region_commit(struct berth_buffer *base, struct berth_reservation *r, size_t offset,
                           size_t bytes, struct berth_error *err) {
    struct bth_cuda_buffer *b = (struct bth_cuda_buffer *)base;
    struct bth_cuda_device *d = bth_cuda(base->device);
    int rc = bth_cuda_enter(d, err);
    rc = rc < 0 ? rc : bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        return rc;
    }
    const size_t first = offset / d->granularity;
    const size_t end = (offset + bytes + d->granularity - 1) / d->granularity;
    pthread_mutex_lock(&d->lock);
    rc = take(d, b, first, end, err);
    if (rc == 0) {
        rc =
            bth_cuda_check(d, cudaMemsetAsync(b->data + offset, 0, bytes, d->stream), "clear", err);
        if (rc < 0) {
            leave(d, b, first, end);
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        bth_reservation_return(r, bytes);
    }
    return rc;
}

void bth_cuda_region_decommit(struct berth_buffer *base, struct berth_reservation *r, size_t offset,
                              size_t bytes) {
    struct bth_cuda_buffer *b = (struct bth_cuda_buffer *)base;
    struct bth_cuda_device *d = bth_cuda(base->device);
    pthread_mutex_lock(&d->lock);
    leave(d, b, offset / d->granularity, (offset + bytes + d->granularity - 1) / d->granularity);
    pthread_mutex_unlock(&d->lock);
    bth_reservation_return(r, bytes);
}

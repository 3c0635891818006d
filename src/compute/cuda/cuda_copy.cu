/*
 * Copies between host and device memory, through page-locked memory.
 *
 * A copy from ordinary memory makes its caller wait for all that the stream has before it, and
 * costs a launch of its own kind; one from page-locked memory is only queued. Writes go through a
 * ring of two halves: a half is written again when the copies out of it have ended. Reads land in a
 * place of their own. What is larger than a half goes the ordinary way.
 */
#include "cuda_device.h"

#include <cstring>

enum { HALF = 8 << 20, LANDING = 64 << 10, ALIGN = 256 };

cudaError_t bth_cuda_staging_init(struct bth_cuda_staging *s) {
    pthread_mutex_init(&s->write_lock, NULL);
    pthread_mutex_init(&s->read_lock, NULL);
    s->ready = true;
    cudaError_t e = cudaMallocHost(&s->ring, 2 * HALF);
    e = e != cudaSuccess ? e : cudaMallocHost(&s->landing, LANDING);
    for (int i = 0; i < 2 && e == cudaSuccess; i++) {
        e = cudaEventCreateWithFlags(&s->copied[i], cudaEventDisableTiming);
    }
    return e;
}

void bth_cuda_staging_finish(struct bth_cuda_staging *s) {
    if (!s->ready) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (s->copied[i]) {
            cudaEventDestroy(s->copied[i]);
        }
    }
    cudaFreeHost(s->landing);
    cudaFreeHost(s->ring);
    pthread_mutex_destroy(&s->read_lock);
    pthread_mutex_destroy(&s->write_lock);
}

/* Room for a write in the ring, under the lock. */
static cudaError_t take(struct bth_cuda_device *d, size_t bytes, char **out) {
    struct bth_cuda_staging *s = &d->staging;
    const size_t room = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (s->used + room > HALF) {
        cudaError_t e = cudaEventRecord(s->copied[s->half], d->stream);
        s->half ^= 1;
        s->used = 0;
        e = e != cudaSuccess ? e : cudaEventSynchronize(s->copied[s->half]);
        if (e != cudaSuccess) {
            return e;
        }
    }
    *out = s->ring + (size_t)s->half * HALF + s->used;
    s->used += room;
    return cudaSuccess;
}

cudaError_t bth_cuda_write(struct bth_cuda_device *d, void *to, const void *from, size_t bytes) {
    if (bytes > HALF) {
        return cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->stream);
    }
    char *staged;
    pthread_mutex_lock(&d->staging.write_lock);
    cudaError_t e = take(d, bytes, &staged);
    if (e == cudaSuccess) {
        memcpy(staged, from, bytes);
        e = cudaMemcpyAsync(to, staged, bytes, cudaMemcpyHostToDevice, d->stream);
    }
    pthread_mutex_unlock(&d->staging.write_lock);
    return e;
}

cudaError_t bth_cuda_read(struct bth_cuda_device *d, void *to, const void *from, size_t bytes) {
    if (bytes > LANDING) {
        const cudaError_t e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, d->stream);
        return e != cudaSuccess ? e : cudaStreamSynchronize(d->stream);
    }
    pthread_mutex_lock(&d->staging.read_lock);
    cudaError_t e =
        cudaMemcpyAsync(d->staging.landing, from, bytes, cudaMemcpyDeviceToHost, d->stream);
    e = e != cudaSuccess ? e : cudaStreamSynchronize(d->stream);
    if (e == cudaSuccess) {
        memcpy(to, d->staging.landing, bytes);
    }
    pthread_mutex_unlock(&d->staging.read_lock);
    return e;
}

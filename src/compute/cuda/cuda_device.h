/*
 * compute/cuda/cuda_device.h - what the files of the CUDA backend share.
 *
 * The backend is a module of its own (berth-cuda.so), loaded at run time: libberth links no CUDA
 * library. Exact: f32 arithmetic without TF32, weights as stored. Fast: products take f16 inputs
 * and sum in f32; weights are kept in f16 (saturating), and so is what engines put in `narrow`
 * tensors; all else stays f32.
 *
 * One stream per device carries everything: copies, programs (each one captured graph), reads; only
 * weights go past it, and have arrived when they are made. Programs are captured on a second
 * stream, which never runs anything: loaders queue on the first at any time. The first sticky CUDA
 * error marks the device as failed; every later call answers EDEVICE.
 */
#ifndef BTH_CUDA_DEVICE_H
#define BTH_CUDA_DEVICE_H

#include <berth/backend.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <pthread.h>

extern "C" {
#include "base/error.h"
}

/* Entry points of the driver, fetched through the runtime so that libcuda is never linked. */
struct bth_cuda_driver {
    CUresult (*address_reserve)(CUdeviceptr *, size_t, size_t, CUdeviceptr, unsigned long long);
    CUresult (*address_free)(CUdeviceptr, size_t);
    CUresult (*create)(CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *,
                       unsigned long long);
    CUresult (*release)(CUmemGenericAllocationHandle);
    CUresult (*map)(CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long);
    CUresult (*unmap)(CUdeviceptr, size_t);
    CUresult (*set_access)(CUdeviceptr, size_t, const CUmemAccessDesc *, size_t);
};

/* Page-locked memory that copies pass through (cuda_copy.cu). */
struct bth_cuda_staging {
    bool ready;
    pthread_mutex_t write_lock, read_lock;
    char *ring, *landing;
    cudaEvent_t copied[2]; /* all that was written from a half */
    int half;              /* the one in use */
    size_t used;           /* of it */
};

struct bth_cuda_device {
    struct berth_device base; /* first: the vtable's functions cast */
    int ordinal;
    bool fast; /* products in 16 bits with f32 sums */
    cudaStream_t stream;
    cudaStream_t capture; /* programs are captured here: what other threads queue is none of them */
    struct bth_cuda_staging staging;
    struct bth_cuda_driver driver;
    size_t granularity;              /* of mapped memory */
    pthread_mutex_t lock;            /* of regions and their chunks */
    struct bth_cuda_buffer *regions; /* a list */
    size_t n_idle;                   /* chunks that are mapped and in no one's use */
    cudaError_t failed;              /* the first sticky error */
};

struct bth_cuda_chunk {
    CUmemGenericAllocationHandle memory;
    bool mapped;
    uint32_t users; /* commits that touch it */
};

/* Memory of a buffer: plain, or a region of chunks mapped on demand. */
struct bth_cuda_buffer {
    struct berth_buffer base; /* first */
    char *data;               /* device address */
    /* regions only */
    struct bth_cuda_chunk *chunks; /* [n_chunks] */
    size_t n_chunks;
    struct bth_cuda_buffer *next; /* on the device's list */
};

struct bth_cuda_weight {
    struct berth_weight base; /* first */
    void *data;               /* [n, k] in base.dtype, row-major; i8: see search_cuda.h */
};

static inline struct bth_cuda_device *bth_cuda(const struct berth_device *d) {
    return (struct bth_cuda_device *)d;
}

/* Makes d the calling thread's device. EDEVICE: it has failed earlier. */
int bth_cuda_enter(struct bth_cuda_device *d, struct berth_error *err);

/* 0, or the code for a CUDA error: ENOMEM for allocation failures, else EDEVICE, remembered if the
 * error is sticky. `what` names the call. */
int bth_cuda_check(struct bth_cuda_device *d, cudaError_t e, const char *what,
                   struct berth_error *err);

/* cudaMalloc; where memory is short it takes back what idle chunks hold and tries again. */
cudaError_t bth_cuda_malloc(struct bth_cuda_device *d, void **out, size_t bytes);

cudaError_t bth_cuda_staging_init(struct bth_cuda_staging *s);
void bth_cuda_staging_finish(struct bth_cuda_staging *s);

/* Queues a copy to the device; `from` is the caller's again. Any thread. */
cudaError_t bth_cuda_write(struct bth_cuda_device *d, void *to, const void *from, size_t bytes);

/* Copies from the device once all that was queued before has ended. Any thread. */
cudaError_t bth_cuda_read(struct bth_cuda_device *d, void *to, const void *from, size_t bytes);

/* The vtable's parts, by file. */
int bth_cuda_region_create(struct berth_device *device, size_t max_bytes, struct berth_buffer **out,
                           struct berth_error *err);
void bth_cuda_region_destroy(struct bth_cuda_buffer *b);
int bth_cuda_region_commit(struct berth_buffer *base, struct berth_reservation *r, size_t offset,
                           size_t bytes, struct berth_error *err);
void bth_cuda_region_decommit(struct berth_buffer *base, struct berth_reservation *r, size_t offset,
                              size_t bytes);
int bth_cuda_program_create(struct berth_device *device, struct berth_reservation *r,
                            const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                            struct berth_error *err);
void bth_cuda_program_destroy(struct berth_program *p);
int bth_cuda_program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                         struct berth_error *err);

#endif

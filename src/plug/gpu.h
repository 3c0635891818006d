/*
 * plug/gpu.h - GPUs by way of the CUDA module, which is loaded only when asked for.
 *
 * Listing runs berth-gpu-probe, a child process with a time limit, so a broken driver cannot kill
 * or hang this one. Module and probe are looked for beside the library (../lib and ./berth too), or
 * where BERTH_CUDA_MODULE points. Any thread. A module once loaded stays loaded.
 */
#ifndef BTH_GPU_H
#define BTH_GPU_H

#include <berth/backend.h>

struct bth_gpu {
    int ordinal;
    char name[96];
    char uuid[48];
    uint64_t total_bytes, used_bytes;
    char problem[96]; /* why it cannot be used, or "" */
};

/* How many GPUs there are (0 and more); at most n are written. EUNSUPPORTED: no module, no driver,
 * or a probe that failed, with the reason. May take seconds. */
int bth_gpu_list(struct bth_gpu *out, int n, struct berth_error *err);

/* Opens a GPU by "cuda:N", "cuda" (the first usable) or UUID; `fast`: products of 16 bits, else
 * exact f32. ENOTFOUND, EUNSUPPORTED, EDEVICE, ENOMEM. */
int bth_gpu_open(const char *which, bool fast, struct berth_device **out, struct berth_error *err);

/* For tests, as berth_cuda_fail_at (compute/cuda/cuda_module.h); -1: there is no module. */
long bth_gpu_fail_at(long n);

#endif

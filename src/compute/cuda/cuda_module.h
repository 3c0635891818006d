/*
 * compute/cuda/cuda_module.h - what berth-cuda.so exports, found by name with dlsym.
 *
 * A broken driver can crash whoever asks it: list the GPUs in a child process first (plug/gpu.c
 * does).
 */
#ifndef BTH_CUDA_MODULE_H
#define BTH_CUDA_MODULE_H

#include <berth/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bth_cuda_info {
    int ordinal;
    char name[96];
    char uuid[48];                    /* "GPU-..." */
    uint64_t total_bytes, used_bytes; /* used by everyone */
    char problem[96];                 /* why it cannot be used, or "" */
};

/* How many GPUs there are; at most n are written. EUNSUPPORTED: no driver, or one too old. */
int berth_cuda_list(struct bth_cuda_info *out, int n, struct berth_error *err);

/* Opens GPU `ordinal`; `fast`: products of 16 bits, else exact f32. ENOTFOUND (no such GPU, or no
 * driver), EUNSUPPORTED (too old), EDEVICE, ENOMEM. */
int berth_cuda_open(int ordinal, bool fast, struct berth_device **out, struct berth_error *err);

/* For tests: the n-th allocation of GPU memory from now on finds none (1: the next); 0: none fails.
 * Returns how many were still to come before that one: 0 if it has failed. */
long berth_cuda_fail_at(long n);

#ifdef __cplusplus
}
#endif
#endif

/*
 * berth-gpu-probe: asks the CUDA module which GPUs there are, one line each, and exits. It is a
 * program of its own so that a driver that crashes or hangs takes this process and not the
 * caller's.
 *
 *     berth-gpu-probe MODULE
 *
 * A line is ordinal, UUID, total bytes, used bytes, problem or "-", name; separated by tabs.
 * On failure one line "error<TAB>reason".
 */
#include "compute/cuda/cuda_module.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>

enum { MAX_GPUS = 64 };

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "Usage: berth-gpu-probe MODULE\n");
        return 2;
    }
    void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        printf("error\t%s\n", dlerror());
        return 1;
    }
    int (*list)(struct bth_cuda_info *, int, struct berth_error *);
    *(void **)&list = dlsym(module, "berth_cuda_list");
    struct bth_cuda_info gpus[MAX_GPUS];
    struct berth_error err = {.message = "not a Berth CUDA module"};
    int n = list ? list(gpus, MAX_GPUS, &err) : BERTH_EUNSUPPORTED;
    if (n < 0) {
        printf("error\t%s\n", err.message);
        return 1;
    }
    for (int i = 0; i < n && i < MAX_GPUS; i++) {
        printf("%d\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\n", gpus[i].ordinal, gpus[i].uuid,
               gpus[i].total_bytes, gpus[i].used_bytes, gpus[i].problem[0] ? gpus[i].problem : "-",
               gpus[i].name);
    }
    return 0;
}

/*
 * GPUs by way of the probe. On a machine without one: a clear reason, no crash, nothing left behind.
 * On one with GPUs: each has a name, a UUID and memory.
 */
#include "base/alloc.h"
#include "lib/test.h"
#include "plug/gpu.h"

static void unusable(const char *which) {
    struct berth_error err = {0};
    struct berth_device *device;
    int rc = bth_gpu_open(which, false, &device, &err);
    CHECK(rc == BERTH_ENOTFOUND || rc == BERTH_EUNSUPPORTED);
    CHECK_INT(err.code, rc);
    CHECK(err.message[0]);
}

int main(void) {
    struct bth_gpu gpus[8];
    struct berth_error err = {0};
    int64_t live = bth_alloc_live();
    int n = bth_gpu_list(gpus, 8, &err);
    if (n < 0) {
        CHECK_INT(n, BERTH_EUNSUPPORTED);
        CHECK(err.message[0]);
        printf("no GPU: %s\n", err.message);
    }
    for (int i = 0; i < n && i < 8; i++) {
        CHECK(gpus[i].name[0] && strncmp(gpus[i].uuid, "GPU-", 4) == 0);
        CHECK(gpus[i].problem[0] || gpus[i].total_bytes > 0);
    }
    unusable("cuda:63");
    unusable("GPU-00000000-0000-0000-0000-000000000000");
    setenv("BERTH_CUDA_MODULE", "/nonexistent/berth-cuda.so", 1);
    unusable("cuda:0");
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

/* device.h - the device that a test of real results runs on: BERTH_DEVICE names a GPU, else it is
 * the CPU. */
#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include "compute/compute.h"
#include "lib/test.h"
#include "plug/gpu.h"

/* Whether BERTH_DEVICE asks for a GPU. */
static inline bool test_on_gpu(void) {
    const char *name = getenv("BERTH_DEVICE");
    return name && strncmp(name, "cuda", 4) == 0;
}

/* That GPU; where it cannot be had the test is skipped, and says why. */
static inline struct berth_device *test_open_gpu(bool fast) {
    struct berth_device *device;
    struct berth_error err;
    if (bth_gpu_open(getenv("BERTH_DEVICE"), fast, &device, &err) < 0) {
        SKIP(err.message);
    }
    return device;
}

/* On a CPU with no more than `cap`. */
static inline struct berth_device *test_open_capped(bool fast, enum bth_cpu_isa cap) {
    const struct bth_cpu_config config = {.threads = 2, .cap = cap};
    struct berth_device *device;
    struct berth_error err;
    if (test_on_gpu()) {
        return test_open_gpu(fast);
    }
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    device->fast = fast;
    return device;
}

static inline struct berth_device *test_open_device(bool fast) {
    return test_open_capped(fast, BTH_CPU_AVX512);
}

#endif

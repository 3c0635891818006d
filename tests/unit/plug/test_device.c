/*
 * Devices by name: what opens, what is refused and with which words. Says nothing of GPUs that are
 * not there but that the answer is clear.
 */
#include "base/alloc.h"
#include "lib/test.h"
#include "plug/device.h"

static void opens(const char *name, const char *precision) {
    struct berth_device *device;
    struct berth_error err;
    const struct bth_device_wish wish = {.name = name, .precision = precision, .threads = 1};
    CHECK_OK(bth_device_open(&wish, &device, &err), err);
    CHECK_STR(device->name, "cpu");
    device->ops->close(device);
}

static void refused(const char *name, const char *precision, int code, const char *words) {
    struct berth_device *device = NULL;
    struct berth_error err = {0};
    const struct bth_device_wish wish = {.name = name, .precision = precision, .threads = 1};
    CHECK_INT(bth_device_open(&wish, &device, &err), code);
    CHECK_INT(err.code, code);
    CHECK(strstr(err.message, words) && !device);
}

static void list(void) {
    struct berth_device_info d[8];
    memset(d, 'x', sizeof(d));
    const size_t n = bth_device_list(d, 8);
    CHECK(n >= 2 && bth_device_list(NULL, 0) == n);
    CHECK_STR(d[0].name, "cpu");
    CHECK(d[0].description[0] && !d[0].problem[0] && d[0].total_bytes > 0);
    for (size_t i = 1; i < n && i < 8; i++) {
        CHECK(strncmp(d[i].name, "cuda", 4) == 0);
        CHECK(d[i].problem[0] || (d[i].uuid[0] && d[i].total_bytes > d[i].used_bytes));
    }
}

int main(void) {
    const int64_t live = bth_alloc_live();
    /* no module, so no GPU: the same everywhere */
    setenv("BERTH_CUDA_MODULE", "/nonexistent/berth-cuda.so", 1);
    opens(NULL, NULL);
    opens("cpu", "exact");
    opens("auto", NULL);
    opens("auto", "exact");
    refused("cpu", "half", BERTH_EINVAL, "exact or fast, not 'half'");
    refused("tpu", NULL, BERTH_EINVAL, "a GPU's UUID or auto, not 'tpu'");
    refused("", NULL, BERTH_EINVAL, "not ''");
    refused("cuda", NULL, BERTH_EUNSUPPORTED, "");
    list();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

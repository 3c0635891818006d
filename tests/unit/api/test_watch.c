/* The watch of a manager: a call that does not come back after its request was cancelled. The CPU
 * is the device, toy's long turn the call. */
#include "api/handle.h"
#include "base/clock.h"
#include "lib/files.h"
#include <berth/berth.h>
#include <time.h>

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct berth_job *submit(struct berth_lease *lease, const char *turn_us) {
    const struct berth_option options[] = {{"turn_us", turn_us}};
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_job *job;
    struct berth_error err;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "hi", .size = 2};
    r.options = options;
    r.n_options = 1;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    return job;
}

static int end_of(struct berth_job *job) {
    struct berth_item *item;
    struct berth_error err;
    const int rc = berth_job_wait(job, 10000, &item, &err);
    if (rc == 0) {
        berth_item_free(item);
    }
    berth_job_free(job);
    return rc;
}

int main(void) {
    struct test_dir dir;
    char path[512];
    struct berth *b;
    struct berth_lease *lease, *again;
    struct berth_error err;
    test_dir_open(&dir);
    test_dir_write(&dir, "toy", "berth-toy 1\n", 12);
    const struct berth_model_spec spec = {.name = "toy/a",
                                          .path = test_dir_path(&dir, "toy", path)};
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    config.models = &spec;
    config.n_models = 1;
    config.threads = 1;
    CHECK_OK(berth_open(&config, &b, &err), err);
    bth_watch_stop(&b->watch);
    CHECK_OK(bth_watch_start(&b->watch, b, 200 * BTH_NS_PER_MS, &err), err);
    CHECK_OK(berth_acquire(b, "toy/a", NULL, &lease, &err), err);

    struct berth_job *slow = submit(lease, "600000");
    CHECK_INT(end_of(slow), 0); /* long, but nobody has asked it to end */
    struct berth_job *hangs = submit(lease, "2000000"), *behind = submit(lease, "1");
    sleep_ms(50);
    const int64_t began = bth_now();
    berth_job_cancel(hangs);
    CHECK_INT(end_of(hangs), BERTH_EDEVICE);
    CHECK_INT(end_of(behind), BERTH_EDEVICE);
    CHECK(bth_now() - began < 1500 * BTH_NS_PER_MS); /* the call is still at it */
    struct berth_device_stats device;
    CHECK_INT(berth_devices(b, &device, sizeof(device), 1), 1);
    CHECK_INT(device.lost, 1);
    berth_release(lease);
    CHECK_INT(berth_acquire(b, "toy/a", NULL, &again, &err), BERTH_EDEVICE);
    sleep_ms(2200); /* it comes back, which changes nothing */
    CHECK_INT(berth_acquire(b, "toy/a", NULL, &again, &err), BERTH_EDEVICE);
    CHECK_OK(berth_close(b, 1000, &err), err);
    test_dir_close(&dir);
    return 0;
}

/*
 * GPU memory with the real model: an allocation finds none, and what fails is a clear error of that
 * request, after which the next one succeeds; loads and unloads give every byte back. Skips
 * without a GPU, the model (BERTH_SAMPLE) or the sound (BERTH_MATERIAL).
 */
#include "lib/test.h"
#include "plug/gpu.h"
#include <berth/berth.h>
#include <time.h>

enum { CYCLES = 12, MOST = 2000 };

static const char *model, *device;
static char sound[1024];

static uint64_t used_bytes(void) {
    struct bth_gpu gpus[8];
    struct berth_error err;
    const int n = bth_gpu_list(gpus, 8, &err);
    CHECK(n > 0);
    return gpus[0].used_bytes;
}

static struct berth *open_gpu(struct berth_error *err) {
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth *b;
    config.file = "";
    config.server = NULL;
    config.device = device;
    return berth_open(&config, &b, err) == 0 ? b : NULL;
}

/* Loads, transcribes, gives the lease back. The text goes to `out`. */
static int work(struct berth *b, char out[512], struct berth_error *err) {
    static const struct berth_option options[] = {{"temperature", "0"}, {"language", "en"}};
    struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_lease *lease;
    struct berth_item *item;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = sound};
    request.options = options;
    request.n_options = 2;
    int rc = berth_acquire(b, model, NULL, &lease, err);
    if (rc < 0) {
        return rc;
    }
    rc = berth_run(lease, &request, &item, err);
    if (rc == 0) {
        snprintf(out, 512, "%s", item->transcript->text);
        berth_item_free(item);
    }
    berth_release(lease);
    return rc;
}

/* The first allocation fails, the second ... until none is left to fail; after the first ones every
 * seventh, unless there is time for all: a failed load is followed by a pause of a second. */
static void every_allocation(struct berth *b, const char *want) {
    char text[512];
    struct berth_error err;
    const bool all = getenv("BERTH_LONG") != NULL;
    int refused = 0, tried = 0;
    long n = 1;
    for (;; n += n < 24 || all ? 1 : 7, tried++) {
        CHECK(n < MOST);
        CHECK_OK(berth_unload(b, model, 10000, &err), err);
        bth_gpu_fail_at(n);
        int rc = work(b, text, &err);
        if (bth_gpu_fail_at(0) > 0) {
            CHECK_OK(rc, err);
            break;
        }
        refused += rc < 0;
        if (rc < 0 && rc != BERTH_ENOMEM && rc != BERTH_EBUDGET) {
            TEST_FAIL("allocation %ld: %d %s", n, rc, err.message);
        }
        if (rc == 0) {
            CHECK_STR(text, want);
        }
        /* a failed load is tried again after a pause */
        for (int i = 0; i < 200 && (rc = work(b, text, &err)) == BERTH_ENOMEM; i++) {
            nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        }
        CHECK_OK(rc, err);
        CHECK_STR(text, want);
    }
    printf("%d of some %ld allocations failed: %d refused a request, the others were made good\n",
           tried, n, refused);
}

static void cycles(struct berth *b, const char *want) {
    uint64_t first = 0, last = 0;
    char text[512];
    struct berth_error err;
    for (int i = 0; i < CYCLES; i++) {
        CHECK_OK(work(b, text, &err), err);
        CHECK_STR(text, want);
        CHECK_OK(berth_unload(b, model, 10000, &err), err);
        struct berth_device_stats d;
        berth_devices(b, &d, sizeof(d), 1);
        CHECK_INT(d.committed_bytes, 0);
        last = used_bytes();
        first = i == 0 ? last : first;
    }
    printf("%d loads and unloads: %llu bytes in use after the first, %llu after the last\n", CYCLES,
           (unsigned long long)first, (unsigned long long)last);
    CHECK(last <= first);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *material = getenv("BERTH_MATERIAL");
    struct berth_error err;
    char want[512];
    model = getenv("BERTH_SAMPLE");
    device = getenv("BERTH_DEVICE") ? getenv("BERTH_DEVICE") : "cuda";
    if (!model || !material) {
        SKIP("BERTH_SAMPLE and BERTH_MATERIAL are not set");
    }
    snprintf(sound, sizeof(sound), "%s/p005.wav", material);
    struct berth *b = strncmp(device, "cuda", 4) == 0 ? open_gpu(&err) : NULL;
    if (!b) {
        SKIP("no GPU");
    }
    CHECK_OK(work(b, want, &err), err);
    CHECK(want[0]);
    cycles(b, want);
    every_allocation(b, want);
    cycles(b, want);
    CHECK_INT(berth_close(b, 10000, &err), 0);
    return 0;
}

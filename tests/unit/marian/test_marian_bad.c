/*
 * What goes wrong: no memory at any allocation, requests that are cancelled at any turn, damaged
 * and foreign files. A clear error, nothing left behind; and estimates that hold.
 */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"

static struct berth_device *device;

static const struct berth_option options[] = {
    {"html", "true"},      {"alternatives", "1"}, {"token_scores", "true"},
    {"alignment", "true"}, {"max_length", "9"},   {"repetition_guard", "true"}};
static const char text[] = "<p>one <b>two</b> three</p><p>four five</p>\n42 <i>six</i>";

static struct drive_one request(void) {
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = sizeof(text) - 1};
    one.request.options = options;
    one.request.n_options = sizeof(options) / sizeof(*options);
    one.request.stream = true;
    return one;
}

static void run_memory(struct berth_model *m) {
    struct drive_one one = request();
    CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
    CHECK_OK(one.rc, one.err);
    char *expected = drive_print(one.final);
    berth_item_free(one.final);
    int failures = 0;
    for (int64_t n = 1;; n++) {
        const int64_t live = bth_alloc_live();
        one = request();
        bth_alloc_fail_at(n);
        const int rc = drive(m, &one, 1, 1, 1, NULL);
        const bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (rc == 0 && one.rc == 0) {
            char *got = drive_print(one.final);
            drive_same("after a failed allocation", expected, got);
            free(got);
        } else {
            CHECK(fired && (rc == BERTH_ENOMEM || one.rc == BERTH_ENOMEM));
            failures++;
        }
        berth_item_free(one.final);
        CHECK_INT(bth_alloc_live(), live);
        if (!fired) {
            break;
        }
    }
    CHECK(failures > 50);
    free(expected);
}

static void load_memory(const char *path) {
    for (int64_t n = 1;; n += n < 40 ? 1 : n / 4) {
        struct drive_model m;
        struct berth_error err;
        const int64_t live = bth_alloc_live();
        bth_alloc_fail_at(n);
        const int rc = drive_load(&bth_marian_engine, path, device, &m, &err);
        const bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (rc == 0) {
            drive_unload(&m);
        } else {
            CHECK_INT(rc, BERTH_ENOMEM);
            CHECK(fired);
        }
        CHECK_INT(bth_alloc_live(), live);
        if (!fired) {
            break;
        }
    }
}

static void cancelled(struct berth_model *m) {
    for (int64_t after = 0;; after++) {
        const int64_t live = bth_alloc_live();
        struct drive_one one = request();
        one.cancel_after = after;
        CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
        const bool done = one.turns < after || one.n_final > 0;
        CHECK(done || one.rc == BERTH_ECANCELLED);
        berth_item_free(one.final);
        CHECK_INT(bth_alloc_live(), live);
        if (done) {
            break;
        }
    }
}

/* A load within what the estimate says, exact and fast. */
static void estimated(const char *path) {
    for (int fast = 0; fast < 2; fast++) {
        struct berth_estimate e;
        struct berth_error err;
        struct berth_model *m;
        struct berth_reservation weights, workspace;
        device->fast = fast;
        CHECK_OK(bth_marian_engine.estimate(path, device, &e, &err), err);
        bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, e.weights_bytes);
        bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE, e.workspace_bytes);
        const struct berth_load load = {
            .path = path, .device = device, .weights = &weights, .workspace = &workspace};
        CHECK_OK(bth_marian_engine.load(&load, &m, &err), err);
        bth_marian_engine.unload(m);
        bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, e.weights_bytes / 2);
        CHECK_INT(bth_marian_engine.load(&load, &m, &err), BERTH_EBUDGET);
        CHECK_INT(bth_reservation_used(&weights), 0);
        bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, e.weights_bytes);
        bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE, 4096);
        CHECK_INT(bth_marian_engine.load(&load, &m, &err), BERTH_EBUDGET);
        CHECK_INT(bth_reservation_used(&weights) + bth_reservation_used(&workspace), 0);
    }
    device->fast = false;
}

static void refuses(const char *path, int code, const char *words) {
    struct drive_model m;
    struct berth_error err = {0};
    const int64_t live = bth_alloc_live();
    const int rc = drive_load(&bth_marian_engine, path, device, &m, &err);
    if (rc != code || !strstr(err.message, words)) {
        TEST_FAIL("%s: %d (%s), expected %d (%s)", path, rc, err.message, code, words);
    }
    CHECK_INT(bth_alloc_live(), live);
}

/* Runs a shell command on the folder of a model made anew, then loads it. */
static void damaged(const char *command, int code, const char *words) {
    char *dir = tiny_marian_dir(), line[1024];
    tiny_marian_hf(tiny_marian_shape(0), dir);
    snprintf(line, sizeof(line), "cd '%s' && %s", dir, command);
    CHECK_INT(system(line), 0);
    refuses(dir, code, words);
    tiny_marian_remove(dir);
}

static void model_options(const char *path) {
    static const struct {
        struct berth_option option;
        const char *words;
        int rc;
    } bad[] = {{{"sauce", "en"}, "no option 'sauce'", BERTH_EINVAL},
               {{"source", "?"}, "a language", BERTH_EINVAL},
               {{"precision", "half"}, "exact or fast", BERTH_EINVAL},
               {{"cache_mib", "-1"}, "MiB", BERTH_EINVAL},
               {{"precision", "exact"}, "in 16 bits", BERTH_EUNSUPPORTED}};
    device->narrow = BERTH_F16; /* as a GPU that is fast says */
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct berth_reservation r;
        struct berth_error err;
        struct berth_model *m;
        bth_reservation_init(&r, BERTH_BYTES_WEIGHTS, SIZE_MAX / 2);
        const struct berth_load load = {.path = path,
                                        .device = device,
                                        .weights = &r,
                                        .workspace = &r,
                                        .options = &bad[i].option,
                                        .n_options = 1};
        CHECK_INT(bth_marian_engine.load(&load, &m, &err), bad[i].rc);
        CHECK(strstr(err.message, bad[i].words));
    }
    device->narrow = BERTH_F32;
}

/* More positions than an engine's sentence has ids: the first of them do. */
static void many_positions(void) {
    struct tiny_marian shape = *tiny_marian_shape(0);
    struct drive_model m;
    struct berth_error err;
    char *dir = tiny_marian_dir();
    shape.positions = 1500;
    tiny_marian_hf(&shape, dir);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    struct drive_one one = request();
    CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
    CHECK_OK(one.rc, one.err);
    berth_item_free(one.final);
    drive_unload(&m);
    estimated(dir);
    device->max_windows = 2; /* turns of many rows, as on a GPU */
    estimated(dir);
    device->max_windows = 1;
    tiny_marian_remove(dir);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    struct berth_error err;
    struct drive_model m;
    char *dir = tiny_marian_dir();
    tiny_marian_hf(tiny_marian_shape(0), dir);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    run_memory(m.model);
    cancelled(m.model);
    drive_unload(&m);
    load_memory(dir);
    estimated(dir);
    model_options(dir);
    tiny_marian_remove(dir);
    many_positions();
    damaged("head -c 100000 model.safetensors > m && mv m model.safetensors", BERTH_EFORMAT, "");
    damaged("sed -i 's/\"d_model\": 64/\"d_model\": 96/' config.json", BERTH_EFORMAT, "");
    damaged("sed -i 's/\"vocab_size\": 400/\"vocab_size\": 399/' config.json", BERTH_EFORMAT, "");
    damaged("sed -i 's/_heads\": 4/_heads\": 5/g' config.json", BERTH_EFORMAT, "");
    damaged("sed -i 's/swish/gelu_new/' config.json", BERTH_EUNSUPPORTED, "gelu");
    damaged("sed -i 's/\"num_beams\"/\"no_repeat_ngram_size\": 3, \"num_beams\"/' "
            "generation_config.json",
            BERTH_EUNSUPPORTED, "no_repeat_ngram_size");
    damaged("sed -i 's/\\[\\[/[[1, 2], [/' generation_config.json", BERTH_EUNSUPPORTED,
            "several ids");
    damaged("sed -i 's/eos_token_id\": 0/eos_token_id\": 4000/' *config.json", BERTH_EFORMAT, "");
    damaged("rm source.spm", BERTH_ENOTFOUND, "");
    damaged("rm config.json", BERTH_ENOTFOUND, "");
    device->ops->close(device);
    return 0;
}

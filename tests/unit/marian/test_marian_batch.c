/*
 * Alone or in company, the same bytes: texts of one sentence and of many, greedy and with beams of
 * different widths, step together in batches of many sizes, joining and leaving at every stage, on
 * every instruction set and team, with products of f32 and of i8; and where memory is so short that
 * sentences have to start again. BERTH_DEVICE=cuda: on a GPU, with its products of f32, of f16 and
 * of i8.
 */
#include "lib/company.h"
#include "lib/device.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"

#define N(a) (sizeof(a) / sizeof(*(a)))
#define OPTION(name, value)                                                                        \
    { name, value }
#define COMMON OPTION("token_scores", "true"), OPTION("alignment", "true")

enum { N_TEXTS = 5, N_SETTINGS = 8, N_KINDS = 16, STEP = 2 };

static const struct berth_option settings[N_SETTINGS][8] = {
    {COMMON, OPTION("beams", "1")},
    {COMMON},
    {COMMON, OPTION("beams", "2"), OPTION("length_penalty", "0.2"), OPTION("alternatives", "1")},
    {COMMON, OPTION("beams", "6"), OPTION("early_stopping", "true"), OPTION("alternatives", "3")},
    {COMMON, OPTION("max_length", "7"), OPTION("early_stopping", "never")},
    {COMMON, OPTION("beams", "1"), OPTION("repetition_guard", "true")},
    {COMMON, OPTION("split", "false"), OPTION("beams", "3")},
    {COMMON, OPTION("html", "true"), OPTION("cache", "true")},
};
static const char *const texts[N_TEXTS] = {
    "the rain in spain\n",
    "  one two three\nfour five six seven eight nine ten\n\n42\n\televen twelve\r\nthirteen\n"
    "the rain in spain\nand so on and so on\nfour five six seven eight nine ten\n",
    "",
    "a",
    "<p>hello <b>there</b> &amp; <i>good day</i></p>"
    "what a long line this is and it goes on and on and on until it is well beyond a page of "
    "sixteen ids and then beyond another one of them so that histories of every length occur\n"
    "<br>short one\nanother short one\nyet another\nthe last of them",
};

static struct drive_one kind(size_t k) {
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    const struct berth_option *options = settings[k % N_SETTINGS];
    const char *text = texts[k % N_TEXTS];
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    one.request.options = options;
    while (one.request.n_options < 8 && options[one.request.n_options].name) {
        one.request.n_options++;
    }
    one.request.stream = k % 3 == 0;
    return one;
}

static const struct company company = {kind, N_KINDS, STEP};

/* Room for one sentence and a little: the younger ones turn back, or wait, and nothing changes. */
static void crowded(struct berth_model *m, char **expected) {
    for (size_t k = 0; k < N_KINDS; k++) {
        struct drive_one one = kind(k);
        CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
        free(drive_take(&one));
        const size_t high = one.high_bytes;
        for (size_t part = 1; part < 4; part++) {
            one = kind(k);
            one.limit_bytes = high - high / 5 * part;
            CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
            if (one.rc == BERTH_EBUDGET) {
                continue; /* not even one sentence fits */
            }
            char *text = drive_take(&one);
            drive_same("in little memory", expected[k], text);
            free(text);
        }
    }
}

static void device_kinds(const char *dir, bool fast, char **expected) {
    static const struct {
        const char *name;
        enum bth_cpu_isa cap;
        int threads;
        size_t kinds, companies[4];
    } devices[] = {
        {"avx512, 2 threads", BTH_CPU_AVX512, 2, N_KINDS, {3, 8, 33}},
        {"avx512, 1 thread", BTH_CPU_AVX512, 1, N_KINDS, {6}},
        {"avx2, 2 threads", BTH_CPU_AVX2, 2, N_KINDS, {16}},
        {"scalar, 2 threads", BTH_CPU_SCALAR, 2, 8, {5}},
    };
    for (size_t i = 0; i < N(devices); i++) {
        if (TEST_SANITIZED && i != 0 && i != 2) {
            continue; /* one thread's turns, and two threads' */
        }
        struct berth_device *device;
        struct drive_model m;
        struct berth_error err;
        const struct bth_cpu_config config = {devices[i].threads, devices[i].cap};
        CHECK_OK(bth_cpu_open(&config, &device, &err), err);
        if (devices[i].cap == BTH_CPU_AVX2 && devices[i].threads == 2) {
            bth_cpu_together(device); /* a model this small would be one thread's */
        }
        device->fast = fast;
        CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
        if (i == 0) {
            company_alone(m.model, &company, expected);
            crowded(m.model, expected);
        }
        const struct company some = {kind, devices[i].kinds, STEP};
        for (size_t j = 0; j < 4 && devices[i].companies[j]; j++) {
            if (TEST_SANITIZED && devices[i].companies[j] > 16) {
                break;
            }
            company_together(m.model, &some, devices[i].companies[j], expected, devices[i].name);
        }
        drive_unload(&m);
        device->ops->close(device);
    }
}

/* bytes: products of i8 also for weights that the file does not hold so. */
static void gpu_kinds(const char *dir, bool fast, bool bytes, char **expected) {
    static const size_t companies[] = {3, 8, 33};
    struct berth_device *device = test_open_gpu(fast);
    struct drive_model m;
    struct berth_error err;
    device->fast = fast || bytes;
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    company_alone(m.model, &company, expected);
    crowded(m.model, expected);
    for (size_t j = 0; j < N(companies); j++) {
        company_together(m.model, &company, companies[j], expected, device->description);
    }
    drive_unload(&m);
    device->ops->close(device);
}

int main(void) {
    char *expected[N_KINDS] = {NULL};
    for (int shape = 0; shape < 3; shape += 2) {
        char *dir = tiny_marian_dir();
        tiny_marian_hf(tiny_marian_shape(shape), dir);
        if (test_on_gpu()) {
            gpu_kinds(dir, false, false, expected);
            gpu_kinds(dir, true, false, expected);
            gpu_kinds(dir, false, true, expected);
        } else {
            device_kinds(dir, false, expected);
            device_kinds(dir, true, expected);
        }
        tiny_marian_remove(dir);
    }
    for (size_t k = 0; k < N_KINDS; k++) {
        free(expected[k]);
    }
    return 0;
}

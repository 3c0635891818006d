/*
 * Alone or in company, the same bytes: sessions of different sound and options step together in
 * batches of many sizes, joining and leaving at every stage, on every instruction set and team.
 */
#include "compute/compute.h"
#include "lib/company.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include "whisper/whisper.h"

#define N(a) (sizeof(a) / sizeof(*(a)))
#define OPTION(name, value)                                                                        \
    { name, value }
#define COMMON OPTION("trace", "true"), OPTION("sample_len", "10")

enum { N_SOUNDS = 6, N_SETTINGS = 7, N_KINDS = 12, STEP = 5 };

static const struct berth_option settings[N_SETTINGS][8] = {
    {COMMON, OPTION("temperature", "0"), OPTION("language", "en")},
    /* a threshold that is never met: every temperature is tried, three rows each */
    {COMMON, OPTION("logprob_threshold", "-0.1"), OPTION("best_of", "3"), OPTION("seed", "7"),
     OPTION("no_speech_threshold", "None"), OPTION("temperature", "0,0.4,0.8")},
    {COMMON, OPTION("temperature", "0.9"), OPTION("best_of", "5"), OPTION("language", "fr")},
    {COMMON, OPTION("temperature", "0"), OPTION("carry_initial_prompt", "true"),
     OPTION("initial_prompt", "It was a bright cold day in April, and the clocks were striking "
                              "thirteen. Winston Smith, his chin nuzzled into his breast in an "
                              "effort to escape the vile wind, slipped quickly through the glass "
                              "doors of Victory Mansions, though not quickly enough to prevent a "
                              "swirl of gritty dust from entering along with him.")},
    {COMMON, OPTION("temperature", "0"), OPTION("without_timestamps", "true"),
     OPTION("suppress_tokens", "11,13,220,-1"), OPTION("language", "de")},
    {COMMON, OPTION("temperature", "0,0.5"), OPTION("task", "translate"),
     OPTION("clip_timestamps", "0.2,0.9"), OPTION("compression_ratio_threshold", "0.5")},
    {COMMON, OPTION("temperature", "0"), OPTION("prefix", "Mr. Quilter"), OPTION("language", "en"),
     OPTION("condition_on_previous_text", "false")},
};
static const double seconds[N_SOUNDS] = {1, 7, 31, 4, 12, 0.3};
static int16_t *sounds[N_SOUNDS];

static struct drive_one kind(size_t k) {
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    const struct berth_option *options = settings[k % N_SETTINGS];
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                             .data = sounds[k % N_SOUNDS],
                             .size = (size_t)(seconds[k % N_SOUNDS] * 16000) * sizeof(int16_t),
                             .sample_rate_hz = 16000,
                             .channels = 1};
    one.request.options = options;
    while (one.request.n_options < 8 && options[one.request.n_options].name) {
        one.request.n_options++;
    }
    return one;
}

static const struct company company = {kind, N_KINDS, STEP};

static void device_kinds(const char *dir, char **expected) {
    static const struct {
        const char *name;
        enum bth_cpu_isa cap;
        int threads;
        size_t kinds, companies[7];
    } devices[] = {
        {"avx512, 2 threads", BTH_CPU_AVX512, 2, N_KINDS, {3, 8, 17, 33}},
        {"avx512, 1 thread", BTH_CPU_AVX512, 1, N_KINDS, {6}},
        {"avx2, 2 threads", BTH_CPU_AVX2, 2, N_KINDS, {16}},
        {"avx2, 1 thread", BTH_CPU_AVX2, 1, N_KINDS, {5}},
        {"scalar, 2 threads", BTH_CPU_SCALAR, 2, 2, {3}},
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
        CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
        if (i == 0) {
            company_alone(m.model, &company, expected);
        }
        const struct company some = {kind, devices[i].kinds, STEP};
        for (size_t j = 0; j < 7 && devices[i].companies[j]; j++) {
            if (TEST_SANITIZED && devices[i].companies[j] > 16) {
                break;
            }
            company_together(m.model, &some, devices[i].companies[j], expected, devices[i].name);
        }
        drive_unload(&m);
        device->ops->close(device);
    }
}

/* An English-only model without timestamps has a prompt of one token: each row of a PREFILL turn is
 * then also a pick. */
static void short_prompts(void) {
    static const struct berth_option options[] = {COMMON, OPTION("temperature", "0"),
                                                  OPTION("without_timestamps", "true")};
    const struct tiny_whisper t = {64, 1, 1, 80, 51864, BERTH_F16, 9};
    enum { TOGETHER = 8 };
    struct drive_one all[TOGETHER];
    struct berth_device *device;
    struct drive_model m;
    struct berth_error err;
    char *dir = tiny_dir(), *first = NULL;
    tiny_whisper_ct2(&t, dir);
    const struct bth_cpu_config config = {2, BTH_CPU_AVX512};
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
    for (size_t n = 1; n <= TOGETHER; n *= 8) {
        struct drive_stats stats = {0};
        for (size_t i = 0; i < n; i++) {
            all[i] = kind(0);
            all[i].request.options = options;
            all[i].request.n_options = N(options);
        }
        for (uint64_t seed = 0; stats.most[4] < n && seed < 20; seed++) {
            CHECK_INT(drive(m.model, all, n, n, seed, &stats), 0);
            for (size_t i = 0; i < n; i++) {
                char *text = drive_take(&all[i]);
                first = first ? first : strdup(text);
                drive_same("prompts of one token", first, text);
                free(text);
            }
        }
    }
    free(first);
    drive_unload(&m);
    device->ops->close(device);
    tiny_dir_remove(dir);
}

int main(void) {
    const struct tiny_whisper t = TINY_WHISPER;
    char *dir = tiny_dir(), *expected[N_KINDS] = {NULL};
    tiny_whisper_ct2(&t, dir);
    for (size_t i = 0; i < N_SOUNDS; i++) {
        sounds[i] = tiny_sound(i, (size_t)(seconds[i] * 16000));
    }
    device_kinds(dir, expected);
    short_prompts();
    for (size_t i = 0; i < N_SOUNDS; i++) {
        free(sounds[i]);
    }
    for (size_t k = 0; k < N_KINDS; k++) {
        free(expected[k]);
    }
    tiny_dir_remove(dir);
    return 0;
}

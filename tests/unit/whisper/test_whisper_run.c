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
enum { ENCODE = 2 }; /* in the table of stages */

static const struct berth_option greedy[] = {
    {"temperature", "0"}, {"sample_len", "40"}, {"trace", "true"}};

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

static void run(struct berth_model *m, struct drive_one *one, struct drive_stats *stats) {
    CHECK_INT(drive(m, one, 1, 1, 1, stats), 0);
    CHECK_OK(one->rc, one->err);
    CHECK_INT(one->n_final, 1);
    CHECK(one->n_progress >= 1);
}

/* The whole result of one request on the model in `dir`. */
static struct berth_item *transcribe(const char *dir, struct berth_device *device,
                                     struct drive_one one) {
    struct drive_model m;
    struct berth_error err;
    CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
    run(m.model, &one, NULL);
    drive_unload(&m);
    return one.final;
}

static char *text_of(struct berth_item *item) {
    char *text = drive_print(item);
    berth_item_free(item);
    return text;
}

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
        char *x = text_of(transcribe(a, cpu, one)), *y = text_of(transcribe(b, cpu, one));
        drive_same("CTranslate2 and safetensors", x, y);
        free(x);
        free(y);
        tiny_dir_remove(a);
        tiny_dir_remove(b);
    }
    free(sound);
}

/* Two devices that round differently: the same decisions wherever they were not on the edge. */
static void oracle(const char *dir) {
    const size_t n = 4 * 16000;
    static const struct berth_option options[] = {{"temperature", "0,0.8"},
                                                  {"sample_len", "8"},
                                                  {"logprob_threshold", "-0.001"},
                                                  {"no_speech_threshold", "None"},
                                                  {"trace", "true"}};
    int16_t *sound = tiny_sound(8, n);
    struct drive_one one = request(sound, n, options, N(options));
    struct berth_item *a = transcribe(dir, cpu, one), *b = transcribe(dir, ref, one);
    const struct berth_transcript *x = a->transcript, *y = b->transcript;
    double worst = 0;
    CHECK_STR(x->language, y->language);
    CHECK_INT(x->n_languages, 99);
    double sum = 0;
    for (size_t i = 0; i < x->n_languages; i++) {
        CHECK_NEAR(x->languages[i].prob, y->languages[i].prob, 1e-4);
        CHECK(i == 0 || x->languages[i].prob <= x->languages[i - 1].prob);
        sum += (double)x->languages[i].prob;
    }
    CHECK_NEAR(sum, 1, 1e-5);
    CHECK_INT(x->n_trace, y->n_trace);
    CHECK(x->n_trace > 8);
    for (size_t i = 0; i < x->n_trace; i++) {
        CHECK_INT(x->trace[i].token, y->trace[i].token);
        CHECK_NEAR(x->trace[i].logprob, y->trace[i].logprob, 2e-3);
        double error = fabs((double)(x->trace[i].gap - y->trace[i].gap));
        worst = error > worst ? error : worst;
    }
    printf("CPU against reference: %zu decisions, gaps differ by %.2g at most\n", x->n_trace,
           worst);
    CHECK(worst < 2e-3);
    CHECK_INT(x->n_segments, y->n_segments);
    berth_item_free(a);
    berth_item_free(b);
    free(sound);
}

/* Segments in order, each within the sound as Whisper counts it; returns how many tokens of a kind.
 */
static void count_tokens(const struct berth_transcript *t, size_t *times, size_t *ends,
                         size_t *retries) {
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct berth_segment *s = &t->segments[i];
        CHECK_INT(s->id, i);
        CHECK(i == 0 || s->seek >= t->segments[i - 1].seek);
        CHECK(s->start_s >= (double)s->seek / 100 && s->end_s <= (double)s->seek / 100 + 30);
        CHECK(s->end_s >= s->start_s);
        CHECK((s->n_tokens == 0) == (s->text[0] == 0));
    }
    for (size_t i = 0; i < t->n_trace; i++) {
        *times += t->trace[i].token >= 50364;
        *ends += t->trace[i].token == 50257;
        *retries += t->trace[i].attempt > 0;
    }
}

/* Small models say everything that tests need: times, ends, and what is tried again. */
static void variety(struct berth_model *m) {
    static const struct berth_option options[] = {{"language", "en"}, {"trace", "true"}};
    size_t times = 0, ends = 0, retries = 0;
    for (uint64_t seed = 0; seed < 2; seed++) {
        const size_t n = 31 * 16000;
        int16_t *sound = tiny_sound(20 + seed, n);
        struct drive_one one = request(sound, n, options, N(options));
        run(m, &one, NULL);
        CHECK_NEAR(one.final->transcript->duration_s, 31, 0);
        count_tokens(one.final->transcript, &times, &ends, &retries);
        berth_item_free(one.final);
        free(sound);
    }
    printf("%zu timestamps, %zu ends, %zu decisions of later attempts\n", times, ends, retries);
    CHECK(times > 5 && ends > 0 && retries > 0);
}

/* What only another model could do is refused, not overridden. */
static void wrong_model(void) {
    static const struct berth_option asked[] = {
        {"language", "de"}, {"task", "translate"}, {"language", "yue"}};
    const int32_t vocabs[] = {51864, 51864, 51865};
    int16_t *sound = tiny_sound(1, 1600);
    for (size_t i = 0; i < N(asked); i++) {
        struct tiny_whisper t = TINY_WHISPER;
        struct drive_model m;
        struct berth_error err;
        char *dir = tiny_dir();
        t.vocab = vocabs[i];
        tiny_whisper_ct2(&t, dir);
        CHECK_OK(drive_load(&bth_whisper_engine, dir, cpu, &m, &err), err);
        struct drive_one one = request(sound, 1600, &asked[i], 1);
        CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
        CHECK_INT(one.rc, BERTH_EINVAL);
        CHECK_INT(one.err.code, BERTH_EINVAL);
        drive_unload(&m);
        tiny_dir_remove(dir);
    }
    free(sound);
}

/* No sound, less than a frame, a little: no window where there is nothing, no failure. */
static void short_sounds(struct berth_model *m) {
    static const size_t lengths[] = {0, 1, 159, 160, 401, 5000};
    int16_t *sound = tiny_sound(1, 5000);
    for (size_t i = 0; i < N(lengths); i++) {
        struct drive_one one = request(sound, lengths[i], greedy, N(greedy));
        CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
        if (lengths[i] == 0) {
            CHECK(one.rc == BERTH_EAUDIO || one.final);
        } else {
            CHECK_OK(one.rc, one.err);
            CHECK(lengths[i] >= 160 || one.final->transcript->n_segments == 0);
            CHECK(lengths[i] >= 160 || strcmp(one.final->transcript->text, "") == 0);
        }
        berth_item_free(one.final);
    }
    free(sound);
}

/* ENCODE turns, to see that detection's pass serves the first window where it may. Without
 * timestamps a window is always heard to its end. */
static void reuse(struct berth_model *m) {
    static const struct berth_option options[] = {{"temperature", "0"},
                                                  {"sample_len", "4"},
                                                  {"without_timestamps", "true"},
                                                  {"suppress_tokens", "-1"},
                                                  {"language", "en"}};
    const size_t n = 30 * 16000;
    int16_t *sound = tiny_sound(2, n);
    size_t turns[4];
    for (size_t i = 0; i < 4; i++) {
        struct drive_stats stats = {0};
        struct drive_one one =
            request(sound, i < 2 ? n : n - 1600, options, N(options) - (i % 2 == 0));
        run(m, &one, &stats);
        turns[i] = stats.turns[ENCODE];
        berth_item_free(one.final);
    }
    CHECK_INT(turns[0], turns[1]);     /* 30 s: detection cost no pass of its own */
    CHECK_INT(turns[2], 2 * turns[3]); /* less: the window is padded otherwise than detection's */
    free(sound);
}

/* A device that takes several windows a turn gives what one gives. */
static void windows(const char *dir) {
    const size_t n = 3 * 16000;
    enum { SESSIONS = 5 };
    char *expected[SESSIONS];
    int16_t *sounds[SESSIONS];
    for (int pass = 0; pass < 2; pass++) {
        struct drive_one all[SESSIONS];
        struct drive_stats stats = {0};
        struct drive_model m;
        struct berth_error err;
        cpu->max_windows = pass ? 4 : 1;
        CHECK_OK(drive_load(&bth_whisper_engine, dir, cpu, &m, &err), err);
        for (size_t i = 0; i < SESSIONS; i++) {
            sounds[i] = pass ? sounds[i] : tiny_sound(40 + i, n);
            all[i] = request(sounds[i], n, greedy, N(greedy));
        }
        CHECK_INT(drive(m.model, all, SESSIONS, SESSIONS, 3, &stats), 0);
        CHECK(pass ? stats.most[ENCODE] > 1 : stats.most[ENCODE] == 1);
        for (size_t i = 0; i < SESSIONS; i++) {
            CHECK_OK(all[i].rc, all[i].err);
            char *text = text_of(all[i].final);
            if (pass) {
                drive_same("several windows a turn", expected[i], text);
                free(expected[i]);
                free(sounds[i]);
                free(text);
            } else {
                expected[i] = text;
            }
        }
        drive_unload(&m);
    }
    cpu->max_windows = 1;
}

int main(void) {
    const struct tiny_whisper small = TINY_WHISPER;
    struct berth_error err;
    struct drive_model m;
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    CHECK_OK(bth_cpu_open(&config, &cpu, &err), err);
    CHECK_OK(bth_ref_open(&ref, &err), err);
    char *dir = tiny_dir();
    tiny_whisper_ct2(&small, dir);
    formats();
    wrong_model();
    oracle(dir);
    CHECK_OK(drive_load(&bth_whisper_engine, dir, cpu, &m, &err), err);
    variety(m.model);
    short_sounds(m.model);
    reuse(m.model);
    drive_unload(&m);
    windows(dir);
    tiny_dir_remove(dir);
    cpu->ops->close(cpu);
    ref->ops->close(ref);
    return 0;
}

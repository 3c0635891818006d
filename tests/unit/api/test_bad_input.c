/*
 * Whatever is wrong with a model, a sound or an option: its caller is told what, nobody else
 * notices, nothing is left behind. Through the public API, on a small random Whisper.
 *
 * The sweep runs twice: alone, where the blocks alive are counted after every case, and beside
 * another caller whose transcripts must stay the same to the last bit.
 */
#include "base/alloc.h"
#include "base/str.h"
#include "lib/drive.h"
#include "lib/files.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include <berth/berth.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define N(a) (sizeof(a) / sizeof(*(a)))

enum { SAMPLES = 2 * 16000, N_NAMED = 4 };

static char *good, *named[N_NAMED]; /* folders of models */
static int16_t *sound;
static bool counting; /* nobody else allocates */

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The device's thread lets go of a job a little after its caller has. */
static void nothing_left(int64_t live, const char *what) {
    for (int i = 0; counting && bth_alloc_live() != live; i++) {
        if (i == 5000) {
            TEST_FAIL("%s: %lld blocks are alive, there were %lld", what,
                      (long long)bth_alloc_live(), (long long)live);
        }
        sleep_ms(1);
    }
}

/* Waits until what is let go in the background has gone. */
static void settle(void) {
    int64_t last = -1;
    for (int still = 0; still < 30; sleep_ms(2)) {
        const int64_t live = bth_alloc_live();
        still = live == last ? still + 1 : 0;
        last = live;
    }
}

static void expect(const char *what, int rc, int code, const struct berth_error *err,
                   const char *word) {
    CHECK(bth_utf8_valid(err->message, strlen(err->message)));
    if (rc != code || err->code != code || !strstr(err->message, word)) {
        TEST_FAIL("%s gave %s (%s), expected %s about '%s'", what, berth_error_name(rc),
                  err->message, berth_error_name(code), word);
    }
}

/* ---- models ---------------------------------------------------------------------------------*/

static const char *in_dir(const char *dir, const char *name) {
    static _Thread_local char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put(const char *path, long at, const void *bytes, size_t n) {
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, at, SEEK_SET) == 0 && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static off_t size_of(const char *path) {
    struct stat st;
    CHECK(stat(path, &st) == 0);
    return st.st_size;
}

static void refuses_model(struct berth *b, const char *path, const char *what, int code,
                          const char *word) {
    struct berth_lease *lease = NULL;
    struct berth_error err = {0};
    int64_t live = bth_alloc_live();
    int rc = berth_acquire(b, path, NULL, &lease, &err);
    CHECK(!lease);
    expect(what, rc, code, &err, word);
    nothing_left(live, what);
}

/* A path that has loaded once is a known model from then on, so each case has a folder of its own.
 */
static char *copy_of(const char *dir) {
    static const char *const files[] = {"model.bin", "tokenizer.json"};
    static char buf[1 << 16];
    char *to = tiny_dir();
    for (size_t i = 0; i < N(files); i++) {
        FILE *in = fopen(in_dir(dir, files[i]), "rb"), *out = fopen(in_dir(to, files[i]), "wb");
        CHECK(in && out);
        for (size_t n; (n = fread(buf, 1, sizeof(buf), in)) > 0;) {
            CHECK(fwrite(buf, 1, n, out) == n);
        }
        CHECK(fclose(in) == 0 && fclose(out) == 0);
    }
    return to;
}

/* Cut off at many places, from the end to the first byte. */
static void truncated_models(struct berth *b) {
    char *dir = copy_of(good), path[512];
    snprintf(path, sizeof(path), "%s", in_dir(dir, "model.bin"));
    const off_t full = size_of(path);
    for (int i = 1; i <= 60; i++) {
        const off_t n = i < 40 ? full - full * i / 40 : (60 - i) * (60 - i) * 3;
        char what[64];
        snprintf(what, sizeof(what), "a model of %lld of %lld bytes", (long long)n,
                 (long long)full);
        CHECK(truncate(path, n) == 0);
        refuses_model(b, dir, what, BERTH_EFORMAT, path);
    }
    CHECK(truncate(path, 1 << 20) == 0);
    refuses_model(b, dir, "a model of zeros", BERTH_EFORMAT, path);
    CHECK(truncate(path, (off_t)1 << 36) == 0);
    refuses_model(b, dir, "64 GiB of nothing", BERTH_EFORMAT, path);
    tiny_dir_remove(dir);
}

/* The largest number where a CTranslate2 file counts or measures something. */
static void lying_models(struct berth *b) {
    static const unsigned char most[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    size_t refused = 0;
    for (long at = 0; at < 120; at += at < 48 ? 3 : 7) {
        struct berth_lease *lease = NULL;
        struct berth_error err = {0};
        int64_t live = bth_alloc_live();
        char *dir = copy_of(good);
        put(in_dir(dir, "model.bin"), at, most, 4);
        int rc = berth_acquire(b, dir, NULL, &lease, &err);
        if (rc == 0) { /* the number meant nothing there */
            berth_release(lease);
            CHECK_OK(berth_unload(b, dir, 10000, &err), err);
            if (counting) {
                settle();
            }
        } else {
            CHECK(rc == BERTH_EFORMAT || rc == BERTH_ENOTFOUND);
            CHECK(err.code == rc && strstr(err.message, dir));
            nothing_left(live, "a lying model");
            refused++;
        }
        tiny_dir_remove(dir);
    }
    printf("%zu lying models were refused\n", refused);
    CHECK(refused > 10);
}

static void lying_safetensors(struct berth *b) {
    static const unsigned char most[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    const struct tiny_whisper t = TINY_WHISPER;
    char *dir = tiny_dir(), path[512];
    tiny_whisper_hf(&t, dir);
    snprintf(path, sizeof(path), "%s", in_dir(dir, "model.safetensors"));
    put(path, 0, most, 5);
    refuses_model(b, dir, "a safetensors header of a terabyte", BERTH_EFORMAT, path);
    put(path, 0, most, 8);
    refuses_model(b, dir, "a safetensors header of 2^64 bytes", BERTH_EFORMAT, path);
    CHECK(truncate(path, 7) == 0);
    refuses_model(b, dir, "half a safetensors header", BERTH_EFORMAT, path);
    unlink(path);
    refuses_model(b, dir, "a configuration without weights", BERTH_ENOTFOUND, dir);
    tiny_dir_remove(dir);
}

/* Named in the configuration: they fail when they are loaded, and at once until the next try. */
static void named_models(struct berth *b, bool first) {
    static const struct {
        int code;
        const char *word;
    } expected[N_NAMED] = {{BERTH_EFORMAT, "model.bin"},
                           {BERTH_ENOTFOUND, "tokenizer.json"},
                           {BERTH_EFORMAT, "tokenizer.json"},
                           {BERTH_ENOTFOUND, "/nowhere/at/all"}};
    for (int i = 0; i < N_NAMED; i++) {
        char name[32];
        struct berth_lease *lease = NULL;
        struct berth_error err = {0};
        snprintf(name, sizeof(name), "whisper/bad%d", i);
        for (int j = 0; j < 2; j++) {
            int64_t live = bth_alloc_live();
            int rc = berth_acquire(b, name, NULL, &lease, &err);
            CHECK(!lease);
            expect(name, rc, expected[i].code, &err, expected[i].word);
            if (j > 0 || !first) { /* the first load lets tables grow, once */
                nothing_left(live, name);
            }
        }
    }
}

/* ---- requests -------------------------------------------------------------------------------*/

static struct berth_request raw(const void *data, size_t bytes, enum berth_input_kind kind) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){
        .kind = kind, .data = data, .size = bytes, .sample_rate_hz = 16000, .channels = 1};
    return r;
}

/* The request fails with `code` and says `word`; so does the check, if it can know. */
static void refuses(struct berth *b, struct berth_lease *lease, const struct berth_request *r,
                    const char *what, int code, const char *word, bool known_before) {
    struct berth_item *item = NULL;
    struct berth_error err = {0};
    int64_t live = bth_alloc_live();
    int rc = berth_check(b, "whisper/good", r, &err);
    if (known_before) {
        expect(what, rc, code, &err, word);
    } else {
        CHECK_OK(rc, err);
    }
    memset(&err, 0, sizeof(err));
    rc = berth_run(lease, r, &item, &err);
    CHECK(!item);
    expect(what, rc, code, &err, word);
    nothing_left(live, what);
}

static void bad_sounds(struct berth *b, struct berth_lease *lease) {
    static const char text[] = "This is a letter, and whoever reads it aloud is on his own.";
    static const char m4a[64] = "\0\0\0\40ftypM4A ";
    unsigned char wav[1024] = "RIFF\xFF\xFF\xFF\x7FWAVE"
                              "fmt \x10\0\0\0\1\0\1\0\x80\x3E\0\0\0\x7D\0\0\2\0\x10\0"
                              "data\0\x20\xAA\x44"; /* ten hours */
    unsigned char flac[1024] = "fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0"
                               "\x03\xE8\x00\xF0\x22\x55\x10\x00"; /* 16 kHz, ten hours */
    const struct {
        const char *what;
        const void *data;
        size_t n;
        const char *word;
    } files[] = {{"a letter", text, sizeof(text), "not a sound file"},
                 {"an m4a", m4a, sizeof(m4a), "m4a and mp4"},
                 {"nothing", "", 0, "empty"},
                 {"a byte", "R", 1, "not a sound file"},
                 {"ten hours in 1 KB", wav, sizeof(wav), "promises"},
                 {"ten hours of flac in 1 KB", flac, sizeof(flac), "promises"},
                 {"a header's half", wav, 20, "damaged"}};
    struct test_dir dir;
    test_dir_open(&dir);
    for (size_t i = 0; i < N(files); i++) {
        char path[512];
        struct berth_request r = raw(files[i].data, files[i].n, BERTH_INPUT_BYTES);
        refuses(b, lease, &r, files[i].what, BERTH_EAUDIO, files[i].word, true);
        test_dir_write(&dir, "sound", files[i].data, files[i].n);
        r.input = (struct berth_input){.kind = BERTH_INPUT_FILE,
                                       .path = test_dir_path(&dir, "sound", path)};
        refuses(b, lease, &r, files[i].what, BERTH_EAUDIO, files[i].word, true);
        refuses(b, lease, &r, files[i].what, BERTH_EAUDIO, path, true);
    }
    test_dir_close(&dir);
    struct berth_request r = raw(NULL, 0, BERTH_INPUT_FILE);
    r.input.path = "/nowhere/at/all.wav";
    refuses(b, lease, &r, "no file", BERTH_ENOTFOUND, "/nowhere/at/all.wav", true);
    r.input.path = good;
    refuses(b, lease, &r, "a folder", BERTH_EIO, good, true);
    r = raw(text, sizeof(text), BERTH_INPUT_TEXT);
    refuses(b, lease, &r, "text", BERTH_EINVAL, "sound", true);
}

static void bad_samples(struct berth *b, struct berth_lease *lease) {
    static float samples[SAMPLES];
    static const float values[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 7777, SAMPLES - 1};
    char word[32];
    struct berth_request r = raw(samples, sizeof(samples), BERTH_INPUT_PCM_F32);
    for (size_t i = 0; i < N(values) * N(places); i++) {
        const size_t at = places[i % N(places)];
        samples[at] = values[i / N(places)];
        snprintf(word, sizeof(word), "sample %zu", at);
        refuses(b, lease, &r, "a sample that is no number", BERTH_EAUDIO, word, false);
        samples[at] = 0;
    }
    r.input.size--;
    refuses(b, lease, &r, "part of a sample", BERTH_EINVAL, "whole number", true);
    r.input.size++;
    r.input.sample_rate_hz = 0;
    refuses(b, lease, &r, "a rate of 0", BERTH_EINVAL, "rate", true);
    r.input.sample_rate_hz = 16000;
    r.input.channels = 1000;
    refuses(b, lease, &r, "1,000 channels", BERTH_EINVAL, "channels", true);
    /* no samples are a sound of no length */
    struct berth_item *item;
    struct berth_error err;
    const int64_t live = bth_alloc_live();
    r = raw(samples, 0, BERTH_INPUT_PCM_F32);
    CHECK_OK(berth_run(lease, &r, &item, &err), err);
    CHECK_STR(item->transcript->text, "");
    CHECK_INT(item->transcript->n_segments, 0);
    berth_item_free(item);
    nothing_left(live, "no samples");
}

static void bad_options(struct berth *b, struct berth_lease *lease) {
    static const struct {
        struct berth_option option;
        int code;
        const char *word;
        bool known_before;
    } cases[] = {
        {{"initial_prompt", "caf\xE9"}, BERTH_EINVAL, "UTF-8", true},
        {{"prefix", "\xF0\x9F\x98"}, BERTH_EINVAL, "UTF-8", true},
        {{"language", "klingon"}, BERTH_EINVAL, "klingon", true},
        {{"language", "e\xFFn"}, BERTH_EINVAL, "language", true},
        {{"language", "yue"}, BERTH_EINVAL, "yue", false}, /* this model's vocabulary lacks it */
        {{"task", "dance"}, BERTH_EINVAL, "dance", true},
        {{"temprature", "0"}, BERTH_EINVAL, "temperature", true},
        {{"temperature", "hot"}, BERTH_EINVAL, "hot", true},
        {{"temperature", "nan"}, BERTH_EINVAL, "temperature", true},
        {{"temperature", "1e999"}, BERTH_EINVAL, "temperature", true},
        {{"best_of", "1000000"}, BERTH_EINVAL, "best_of", true},
        {{"sample_len", "-1"}, BERTH_EINVAL, "sample_len", true},
        {{"seed", "-1"}, BERTH_EINVAL, "seed", true},
        {{"suppress_tokens", "1,,2"}, BERTH_EINVAL, "suppress_tokens", true},
        {{"suppress_tokens", "51865"}, BERTH_EINVAL, "0 to 51864", false},
        {{"clip_timestamps", "1,b"}, BERTH_EINVAL, "clip_timestamps", true},
        {{"max_seconds", "1"}, BERTH_ETOOLARGE, "cut it into parts", true},
        {{"beam_size", "5"}, BERTH_EUNSUPPORTED, "beam_size", true},
        {{"word_timestamps", "True"}, BERTH_EUNSUPPORTED, "word_timestamps", true},
        {{"", ""}, BERTH_EINVAL, "option", true},
    };
    struct berth_request r = raw(sound, SAMPLES * sizeof(*sound), BERTH_INPUT_PCM_S16);
    for (size_t i = 0; i < N(cases); i++) {
        r.options = &cases[i].option;
        r.n_options = 1;
        refuses(b, lease, &r, cases[i].option.name, cases[i].code, cases[i].word,
                cases[i].known_before);
    }
}

/* ---- the other caller -----------------------------------------------------------------------*/

static char *transcribe(struct berth_lease *lease) {
    static const struct berth_option options[] = {
        {"temperature", "0,0.8"},        {"best_of", "2"},     {"logprob_threshold", "-0.001"},
        {"no_speech_threshold", "None"}, {"sample_len", "12"}, {"trace", "true"}};
    struct berth_request r = raw(sound, SAMPLES * sizeof(*sound), BERTH_INPUT_PCM_S16);
    struct berth_item *item;
    struct berth_error err;
    r.options = options;
    r.n_options = N(options);
    r.caller = "the other";
    CHECK_OK(berth_run(lease, &r, &item, &err), err);
    char *text = drive_print(item);
    berth_item_free(item);
    return text;
}

struct other {
    struct berth *b;
    const char *expected;
    _Atomic bool stop;
    size_t n;
};

static void *work_on(void *arg) {
    struct other *o = arg;
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(o->b, "whisper/good", NULL, &lease, &err), err);
    while (!o->stop) {
        char *text = transcribe(lease);
        drive_same("the other caller", o->expected, text);
        free(text);
        o->n++;
    }
    berth_release(lease);
    return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------*/

static struct berth *open_with(uint64_t memory) {
    struct berth_model_spec specs[1 + N_NAMED] = {{.name = "whisper/good", .path = good}};
    char names[N_NAMED][32];
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth *b;
    struct berth_error err;
    for (int i = 0; i < N_NAMED; i++) {
        snprintf(names[i], sizeof(names[i]), "whisper/bad%d", i);
        specs[1 + i] = (struct berth_model_spec){.name = names[i], .path = named[i]};
    }
    config.file = "";
    config.models = specs;
    config.n_models = N(specs);
    config.cpu_memory_bytes = memory;
    config.threads = 2;
    CHECK_OK(berth_open(&config, &b, &err), err);
    return b;
}

static void sweep(struct berth *b, bool first) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(b, "whisper/good", NULL, &lease, &err), err);
    free(transcribe(lease)); /* what is made once is made */
    if (counting) {
        settle();
    }
    bad_sounds(b, lease);
    bad_samples(b, lease);
    bad_options(b, lease);
    named_models(b, first);
    truncated_models(b);
    lying_models(b);
    lying_safetensors(b);
    berth_release(lease);
}

/* What is wrong with a request is told before anything is loaded. */
static void before_any_load(void) {
    static const struct berth_option wrong = {"language", "klingon"};
    struct berth *b = open_with(0);
    struct berth_model_stats s;
    struct berth_error err;
    struct berth_request r = raw(sound, SAMPLES * sizeof(*sound), BERTH_INPUT_PCM_S16);
    r.options = &wrong;
    r.n_options = 1;
    CHECK_INT(berth_check(b, "whisper/good", &r, &err), BERTH_EINVAL);
    r = raw("x", 1, BERTH_INPUT_BYTES);
    CHECK_INT(berth_check(b, "whisper/good", &r, &err), BERTH_EAUDIO);
    CHECK(berth_models(b, &s, sizeof(s), 1) > 0);
    CHECK_INT(s.loads, 0);
    CHECK_OK(berth_close(b, 1000, &err), err);
    b = open_with(1 << 20); /* too little for anything: known from the header */
    refuses_model(b, "whisper/good", "a small budget", BERTH_EBUDGET, "raise it");
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void make_models(void) {
    const struct tiny_whisper t = TINY_WHISPER;
    good = tiny_dir();
    tiny_whisper_ct2(&t, good);
    for (int i = 0; i + 1 < N_NAMED; i++) {
        named[i] = copy_of(good);
    }
    named[N_NAMED - 1] = "/nowhere/at/all";
    CHECK(truncate(in_dir(named[0], "model.bin"), 100000) == 0);
    unlink(in_dir(named[1], "tokenizer.json"));
    CHECK(truncate(in_dir(named[2], "tokenizer.json"), 1000) == 0);
    sound = tiny_sound(3, SAMPLES);
}

int main(void) {
    struct berth_error err;
    make_models();
    const int64_t live = bth_alloc_live();
    before_any_load();
    CHECK_INT(bth_alloc_live(), live);

    struct berth *b = open_with(0);
    counting = true;
    sweep(b, true);
    counting = false;
    struct berth_lease *lease;
    CHECK_OK(berth_acquire(b, "whisper/good", NULL, &lease, &err), err);
    struct other o = {.b = b};
    char *expected = transcribe(lease);
    o.expected = expected;
    berth_release(lease);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, work_on, &o), 0);
    sweep(b, false);
    o.stop = true;
    pthread_join(thread, NULL);
    printf("%zu transcripts of another caller, all alike\n", o.n);
    CHECK(o.n >= 3);
    CHECK_OK(berth_close(b, 10000, &err), err);
    CHECK_INT(bth_alloc_live(), live);

    free(expected);
    free(sound);
    tiny_dir_remove(good);
    for (int i = 0; i + 1 < N_NAMED; i++) {
        tiny_dir_remove(named[i]);
    }
    return 0;
}

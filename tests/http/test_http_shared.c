/* Two processes of ten threads each use one daemon: one load, and every result is what the model
 * gives in process. */
#include "base/alloc.h"
#include "lib/daemon.h"
#include "lib/items.h"
#include "lib/tiny_whisper.h"
#include <berth/berth.h>
#include <pthread.h>

enum { PROCESSES = 2, THREADS = 10, ROUNDS = 3, SAMPLES = 16000 * 4 };

static struct test_daemon d;
static int16_t *sounds[THREADS];
static char *expected[THREADS];

static char *transcribe(struct berth *b, int i) {
    static const struct berth_option options[] = {{"language", "en"}, {"sample_len", "20"}};
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_lease *lease;
    struct berth_item *item;
    struct berth_error err;
    struct bth_str s = {0};
    r.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                   .data = sounds[i],
                                   .size = SAMPLES * 2,
                                   .sample_rate_hz = 16000,
                                   .channels = 1};
    r.options = options;
    r.n_options = 2;
    CHECK_OK(berth_acquire(b, "whisper/tiny", NULL, &lease, &err), err);
    CHECK_OK(berth_run(lease, &r, &item, &err), err);
    items_append(&s, item);
    berth_item_free(item);
    berth_release(lease);
    return s.data;
}

struct caller {
    pthread_t thread;
    struct berth *berth;
    int i;
};

static void *call(void *arg) {
    struct caller *c = arg;
    for (int round = 0; round < ROUNDS; round++) {
        char *text = transcribe(c->berth, c->i);
        CHECK_STR(text, expected[c->i]);
        bth_free(text);
    }
    return NULL;
}

/* One process. */
static void use_daemon(void) {
    struct berth_config config = BERTH_CONFIG_INIT;
    struct caller callers[THREADS];
    struct berth_error err;
    struct berth *b;
    config.server = d.socket;
    CHECK_OK(berth_open(&config, &b, &err), err);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.berth = b, .i = i};
        CHECK(pthread_create(&callers[i].thread, NULL, call, &callers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void know(const char *model) {
    const struct berth_model_spec spec = {.name = "whisper/tiny", .path = model};
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_error err;
    struct berth *b;
    config.file = "";
    config.models = &spec;
    config.n_models = 1;
    config.threads = 1;
    CHECK_OK(berth_open(&config, &b, &err), err);
    for (int i = 0; i < THREADS; i++) {
        sounds[i] = tiny_sound((uint64_t)i + 1, SAMPLES);
        expected[i] = transcribe(b, i);
    }
    berth_close(b, 0, NULL);
}

static void check_stats(void) {
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_model_stats m[2];
    struct berth_error err;
    struct berth *b;
    config.server = d.socket;
    CHECK_OK(berth_open(&config, &b, &err), err);
    CHECK_INT(berth_models(b, m, sizeof(m[0]), 2), 2);
    CHECK_STR(m[1].name, "whisper/tiny");
    CHECK_INT(m[1].loads, 1);
    CHECK_INT(m[1].served, PROCESSES * THREADS * ROUNDS);
    CHECK_INT(m[1].failed, 0);
    CHECK_INT(m[1].leases, 0);
    CHECK_INT(m[1].session_bytes, 0);
    berth_close(b, 0, NULL);
}

int main(void) {
    int64_t live = bth_alloc_live();
    struct tiny_whisper w = TINY_WHISPER;
    char *model = tiny_dir();
    pid_t pids[PROCESSES];
    tiny_whisper_ct2(&w, model);
    daemon_prepare(&d, model);
    daemon_start(&d);
    know(model);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            use_daemon();
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK_INT(status, 0);
    }
    check_stats();
    CHECK_INT(daemon_end(&d, SIGTERM), 0);
    for (int i = 0; i < THREADS; i++) {
        free(sounds[i]);
        bth_free(expected[i]);
    }
    test_dir_close(&d.dir);
    tiny_dir_remove(model);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

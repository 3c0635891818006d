/*
 * What goes wrong for one session stays with it: cancelled after every turn, starved of bytes, out
 * of host memory, on a device that fails. Nothing is left behind, and mates get what they get
 * alone.
 */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include "whisper/whisper.h"

#define N(a) (sizeof(a) / sizeof(*(a)))

static const struct berth_option options[] = {{"trace", "true"},
                                              {"sample_len", "4"},
                                              {"temperature", "0,0.6"},
                                              {"best_of", "2"},
                                              {"logprob_threshold", "-0.01"},
                                              {"no_speech_threshold", "None"},
                                              {"suppress_tokens", "-1,5"},
                                              {"initial_prompt", "one two"}};
static int16_t *sound;
enum { SAMPLES = 6 * 16000 };

static struct drive_one request(void) {
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                             .data = sound,
                                             .size = SAMPLES * sizeof(*sound),
                                             .sample_rate_hz = 16000,
                                             .channels = 1};
    one.request.options = options;
    one.request.n_options = N(options);
    return one;
}

static char *run_alone(struct berth_model *m, int64_t *out_turns) {
    struct drive_one one = request();
    CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
    CHECK_OK(one.rc, one.err);
    char *text = drive_print(one.final);
    berth_item_free(one.final);
    *out_turns = one.turns;
    return text;
}

static void mate_is_well(const struct drive_one *mate, const char *expected) {
    CHECK_OK(mate->rc, mate->err);
    char *text = drive_print(mate->final);
    drive_same("a mate", expected, text);
    free(text);
    berth_item_free(mate->final);
}

/* After each number of turns, beside a mate who goes on. */
static void cancel_everywhere(struct berth_model *m, const char *expected, int64_t turns) {
    for (int64_t k = 0; k < turns; k++) {
        struct drive_one two[2] = {request(), request()};
        two[0].cancel_after = k;
        CHECK_INT(drive(m, two, 2, 2, (uint64_t)k, NULL), 0);
        CHECK_INT(two[0].rc, BERTH_ECANCELLED);
        CHECK(two[0].final == NULL);
        CHECK(two[0].turns <= (k > 0 ? k : 1));
        mate_is_well(&two[1], expected);
    }
}

/* With less than it needs it fails with EBUDGET, or is done if the rest was a mere upper bound. */
static void starve(struct berth_model *m, const char *expected) {
    struct drive_one probe = request();
    CHECK_INT(drive(m, &probe, 1, 1, 1, NULL), 0);
    berth_item_free(probe.final);
    int starved = 0;
    for (size_t i = 0; i <= 16; i++) {
        struct drive_one two[2] = {request(), request()};
        two[0].limit_bytes = probe.high_bytes * i / 16 + 1;
        CHECK_INT(drive(m, two, 2, 2, i, NULL), 0);
        if (two[0].rc == 0) {
            CHECK(i >= 15);
            berth_item_free(two[0].final);
        } else {
            CHECK_INT(two[0].rc, BERTH_EBUDGET);
            starved++;
        }
        mate_is_well(&two[1], expected);
    }
    CHECK(starved >= 15);
}

static void host_memory(struct berth_model *m, const char *expected) {
    int failures = 0;
    for (int64_t n = 1;; n++) {
        int64_t live = bth_alloc_live();
        struct drive_one one = request();
        bth_alloc_fail_at(n);
        int rc = drive(m, &one, 1, 1, 1, NULL);
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (rc == 0 && one.rc == 0) { /* a failure may be survived, never change the result */
            char *text = drive_print(one.final);
            drive_same("after a failed allocation", expected, text);
            free(text);
        } else {
            CHECK(fired);
            CHECK(rc == BERTH_ENOMEM || one.rc == BERTH_ENOMEM);
            failures++;
        }
        berth_item_free(one.final);
        CHECK_INT(bth_alloc_live(), live);
        if (!fired) {
            break;
        }
    }
    printf("%d failing allocations\n", failures);
    CHECK(failures > 10);
}

/* ---- a device that fails: its calls are counted, the chosen one fails ---- */

static struct berth_backend_ops faulty;
static const struct berth_backend_ops *real;
static int64_t calls, fail_at;

static int fails(void) {
    return fail_at && ++calls == fail_at ? BERTH_EDEVICE : 0;
}

static int faulty_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                      struct berth_error *err) {
    if (fails()) {
        *err = (struct berth_error){BERTH_EDEVICE, "the test's device failed"};
        return BERTH_EDEVICE;
    }
    return real->program_run(p, live, err);
}

static int faulty_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    return fails() ? BERTH_EDEVICE : real->write(b, offset, from, bytes);
}

static int faulty_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes) {
    return fails() ? BERTH_EDEVICE : real->read(b, offset, to, bytes);
}

static void device_failures(struct berth_model *m, const char *expected) {
    struct berth_device *device = m->device;
    real = device->ops;
    faulty = *real;
    faulty.program_run = faulty_run;
    faulty.write = faulty_write;
    faulty.read = faulty_read;
    device->ops = &faulty;
    for (fail_at = 1;; fail_at++) {
        struct drive_one two[2] = {request(), request()};
        int64_t live = bth_alloc_live();
        calls = 0;
        int rc = drive(m, two, 2, 2, 3, NULL);
        if (calls < fail_at) {
            CHECK_INT(rc, 0);
            mate_is_well(&two[0], expected);
            mate_is_well(&two[1], expected);
            break;
        }
        CHECK(rc == BERTH_EDEVICE || two[0].rc == BERTH_EDEVICE || two[1].rc == BERTH_EDEVICE);
        berth_item_free(two[0].final);
        berth_item_free(two[1].final);
        CHECK_INT(bth_alloc_live(), live);
    }
    printf("%lld failing device calls\n", (long long)fail_at - 1);
    device->ops = real;
    fail_at = 0;
}

/* Partial results are made for those who ask for them, and change nothing. */
static void streaming(struct berth_model *m, const char *expected) {
    struct drive_one two[2] = {request(), request()};
    two[1].request.stream = true;
    CHECK_INT(drive(m, two, 2, 2, 1, NULL), 0);
    CHECK_INT(two[0].n_partial, 0);
    CHECK(two[1].n_partial >= 1);
    mate_is_well(&two[0], expected);
    mate_is_well(&two[1], expected);
}

static int begin_with_list(struct berth_model *m, struct berth_request *r,
                           struct berth_option *list, struct berth_session **out,
                           struct berth_error *err) {
    struct berth_need need;
    r->options = list;
    r->n_options = 1;
    return m->ops->begin(m, r, out, &need, err);
}

/* Many sessions may have a list of their own: equal lists are kept once, and when there is no room
 * for another one the error says so. */
static void suppress_lists(struct berth_model *m) {
    enum { SAME = 100, DIFFERENT = 62 };
    struct berth_session *all[SAME + DIFFERENT + 1], *none = NULL;
    struct berth_request r = request().request;
    struct berth_error err;
    char text[16];
    struct berth_option list = {"suppress_tokens", "7,8"}, other = {"suppress_tokens", text};
    int64_t live = bth_alloc_live();
    size_t n = 0;
    while (n < SAME) {
        CHECK_OK(begin_with_list(m, &r, &list, &all[n++], &err), err);
    }
    while (n < SAME + DIFFERENT) {
        snprintf(text, sizeof(text), "9,%zu", n);
        CHECK_OK(begin_with_list(m, &r, &other, &all[n++], &err), err);
    }
    snprintf(text, sizeof(text), "10");
    CHECK_INT(begin_with_list(m, &r, &other, &none, &err), BERTH_EOVERLOADED);
    CHECK(strstr(err.message, "63 different suppress_tokens lists"));
    CHECK_OK(begin_with_list(m, &r, &list, &all[n++], &err), err); /* a list that is there */
    m->ops->end(all[--n]);
    m->ops->end(all[--n]); /* the only one of its list: its place is free */
    CHECK_OK(begin_with_list(m, &r, &other, &all[n++], &err), err);
    snprintf(text, sizeof(text), "51865"); /* beyond this model's ids: no place is taken */
    m->ops->end(all[--n]);
    CHECK_INT(begin_with_list(m, &r, &other, &none, &err), BERTH_EINVAL);
    snprintf(text, sizeof(text), "51864");
    CHECK_OK(begin_with_list(m, &r, &other, &all[n++], &err), err);
    while (n > 0) {
        m->ops->end(all[--n]);
    }
    CHECK_INT(bth_alloc_live(), live);
}

/* Loading: no failed allocation leaves anything. The first are tried one by one, then some. */
static void load_memory(const char *dir, struct berth_device *device) {
    for (int64_t n = 1;; n += n < 40 ? 1 : n / 3) {
        struct drive_model m;
        struct berth_error err;
        int64_t live = bth_alloc_live();
        bth_alloc_fail_at(n);
        int rc = drive_load(&bth_whisper_engine, dir, device, &m, &err);
        bool fired = bth_alloc_failed();
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

/* Less workspace or weights than it needs: EBUDGET, everything given back. */
static void load_budget(const char *dir, struct berth_device *device) {
    for (int i = 0; i < 8; i++) {
        struct berth_error err;
        struct berth_model *m;
        struct berth_reservation weights, workspace;
        struct berth_estimate e;
        CHECK_OK(bth_whisper_engine.estimate(dir, device, &e, &err), err);
        bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS,
                             i < 4 ? e.weights_bytes * (size_t)i / 4 : e.weights_bytes);
        bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE,
                             i < 4 ? e.workspace_bytes : (size_t)(i - 4) << 20);
        const struct berth_load load = {
            .path = dir, .device = device, .weights = &weights, .workspace = &workspace};
        CHECK_INT(bth_whisper_engine.load(&load, &m, &err), BERTH_EBUDGET);
        CHECK_INT(bth_reservation_used(&weights), 0);
        CHECK_INT(bth_reservation_used(&workspace), 0);
    }
}

/* What estimate says is enough, and not by far too much. */
static void estimates(const char *dir, struct berth_device *device) {
    struct berth_error err;
    struct berth_estimate e;
    struct drive_model m;
    CHECK_OK(bth_whisper_engine.estimate(dir, device, &e, &err), err);
    CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
    size_t weights = bth_reservation_used(&m.weights);
    size_t workspace = bth_reservation_used(&m.workspace);
    printf("weights %zu of %zu, workspace %zu of %zu\n", weights, e.weights_bytes, workspace,
           e.workspace_bytes);
    CHECK(weights <= e.weights_bytes && weights * 2 >= e.weights_bytes);
    CHECK(workspace <= e.workspace_bytes);
    drive_unload(&m);
}

int main(void) {
    const struct tiny_whisper t = {64, 1, 1, 80, 51865, BERTH_F16, 1};
    const struct bth_cpu_config config = {2, BTH_CPU_AVX512};
    struct berth_device *device;
    struct drive_model m;
    struct berth_error err;
    char *dir = tiny_dir();
    int64_t turns;
    tiny_whisper_ct2(&t, dir);
    sound = tiny_sound(3, SAMPLES);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    estimates(dir, device);
    load_budget(dir, device);
    load_memory(dir, device);
    CHECK_OK(drive_load(&bth_whisper_engine, dir, device, &m, &err), err);
    char *expected = run_alone(m.model, &turns);
    streaming(m.model, expected);
    suppress_lists(m.model);
    cancel_everywhere(m.model, expected, turns);
    starve(m.model, expected);
    host_memory(m.model, expected);
    device_failures(m.model, expected);
    free(expected);
    drive_unload(&m);
    device->ops->close(device);
    free(sound);
    tiny_dir_remove(dir);
    return 0;
}

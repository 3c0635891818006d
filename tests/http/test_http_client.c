/* The same calls in process and through a daemon: the same items to the last bit, the same errors.
 */
#include "base/alloc.h"
#include "lib/http.h"
#include "lib/items.h"
#include "lib/remote.h"
#include "lib/tiny_whisper.h"
#include <fcntl.h>

enum { SECONDS = 35, RATE = 16000, LARGEST = 4 << 20 };

static struct test_server t;
static struct berth *remote;
static int16_t *sound;

/* All items of a request, or its error, as text. */
static struct bth_str outcome(struct berth *b, const char *model, const struct berth_request *r) {
    struct bth_str s = {0};
    struct berth_error err = {0};
    struct berth_job *job = NULL;
    struct berth_lease *lease = remote_acquire(b, model);
    int rc = berth_submit(lease, r, &job, &err);
    bool final = false;
    while (rc == 0 && !final) {
        struct berth_item *item;
        rc = berth_job_next(job, 60000, &item, &err);
        if (rc == 0) {
            final = item->kind == BERTH_ITEM_FINAL;
            items_append(&s, item);
            berth_item_free(item);
        }
    }
    if (rc < 0) {
        bth_str_printf(&s, "\n%s: %s", berth_error_name(err.code), err.message);
    } else {
        struct berth_item *item;
        CHECK_INT(berth_job_next(job, 0, &item, &err), BERTH_ESTATE);
        CHECK_INT(berth_job_wait(job, 0, &item, &err), BERTH_ESTATE);
        CHECK_INT(berth_job_state(job), BERTH_JOB_DONE);
        berth_job_free(job);
        job = NULL;
    }
    if (job) {
        CHECK_INT(berth_job_state(job), BERTH_JOB_FAILED);
        berth_job_free(job);
    }
    berth_release(lease);
    return s;
}

/* In process and remote must not differ. `most`: at least so many bytes of result. */
static void same(const char *model, const struct berth_request *r, size_t least) {
    struct bth_str a = outcome(t.berth, model, r), b = outcome(remote, model, r);
    CHECK_STR(bth_str_text(&b), bth_str_text(&a));
    CHECK(a.size >= least);
    bth_str_finish(&a);
    bth_str_finish(&b);
}

static void test_toy(void) {
    static const struct berth_option good[] = {{"turns", "5"}, {"emit", "2"}},
                                     failing[] = {{"fail", "EDEVICE"}, {"fail_at", "1"}},
                                     unknown[] = {{"nope", "<&>"}}, bad[] = {{"turns", "x"}};
    struct berth_request r = remote_toy(good, 2);
    same("echo", &r, 10);
    r.stream = true;
    same("toy/echo", &r, 100);
    r.caller = "somebody with spaces and a name that is a lot longer than sixty-four bytes";
    same("toy/echo", &r, 100);
    r = remote_toy(failing, 2);
    same("echo", &r, 10);
    r = remote_toy(unknown, 1);
    same("echo", &r, 10);
    r = remote_toy(bad, 1);
    same("echo", &r, 10);
    r = remote_toy(NULL, 0);
    r.input.size = 0;
    same("echo", &r, 5);
    static char big[300000]; /* the daemon keeps it in a file */
    memset(big, 'b', sizeof(big));
    r.input.data = big;
    r.input.size = sizeof(big);
    same("echo", &r, sizeof(big));
}

/* More than the job holds at once, and a caller who is slow: nothing is lost. */
static void test_many_items(void) {
    static const struct berth_option options[] = {{"turns", "5000"}, {"emit", "2"}};
    struct berth_request r = remote_toy(options, 2);
    struct berth_lease *lease = remote_acquire(remote, "echo");
    struct berth_error err;
    struct berth_job *job;
    struct berth_item *item;
    int n = 0;
    r.stream = true;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    http_sleep_ms(300);
    for (bool final = false; !final; n++) {
        CHECK_OK(berth_job_next(job, 20000, &item, &err), err);
        final = item->kind == BERTH_ITEM_FINAL;
        berth_item_free(item);
    }
    CHECK_INT(n, 10001);
    berth_job_free(job);
    berth_release(lease);
}

/* Refused by its head, while it is still being sent: the reason is not lost. */
static void test_too_large(void) {
    enum { BYTES = LARGEST * 2 };
    char *big = calloc(1, BYTES);
    struct berth_lease *lease = remote_acquire(remote, "echo");
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_error err;
    struct berth_item *item;
    memset(big, 'x', BYTES);
    r.input.data = big;
    r.input.size = BYTES;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(berth_run(lease, &r, &item, &err), BERTH_ETOOLARGE);
        CHECK(strstr(err.message, "larger than"));
    }
    berth_release(lease);
    free(big);
}

/* ---- sound -----------------------------------------------------------------------------------*/

static void write_wav(const char *name, size_t n) {
    unsigned char head[44] = "RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0"
                             "\x10\0data";
    uint32_t bytes = (uint32_t)n * 2, riff = bytes + 36;
    char *file = malloc(44 + bytes);
    CHECK(file);
    memcpy(head + 4, &riff, 4);
    memcpy(head + 40, &bytes, 4);
    memcpy(file, head, 44);
    memcpy(file + 44, sound, bytes);
    test_dir_write(&t.dir, name, file, 44 + bytes);
    free(file);
}

static void test_whisper(void) {
    static const struct berth_option options[] = {{"trace", "true"},
                                                  {"temperature_increment_on_fallback", "0.4"},
                                                  {"best_of", "2"},
                                                  {"sample_len", "12"}};
    char path[512];
    struct berth_request r = BERTH_REQUEST_INIT;
    r.options = options;
    r.n_options = 4;
    r.input = (struct berth_input){.kind = BERTH_INPUT_FILE,
                                   .path = test_dir_path(&t.dir, "a.wav", path)};
    write_wav("a.wav", (size_t)SECONDS * RATE);
    same("whisper/tiny", &r, 1000);
    r.stream = true;
    same("whisper/tiny", &r, 1000);
    r.input = (struct berth_input){.kind = BERTH_INPUT_FD, .fd = open(path, O_RDONLY)};
    same("whisper/tiny", &r, 1000);
    CHECK_INT(lseek(r.input.fd, 0, SEEK_CUR), 0);
    close(r.input.fd);
    /* other rates and channels go as they are */
    r.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                   .data = sound,
                                   .size = 44100 * 4,
                                   .sample_rate_hz = 44100,
                                   .channels = 2};
    same("whisper/tiny", &r, 500);
    float *f32 = malloc(RATE * 4);
    for (size_t i = 0; i < RATE; i++) {
        f32[i] = (float)sound[i] / 32768;
    }
    r.input = (struct berth_input){.kind = BERTH_INPUT_PCM_F32,
                                   .data = f32,
                                   .size = RATE * 4,
                                   .sample_rate_hz = RATE,
                                   .channels = 1};
    same("whisper/tiny", &r, 500);
    free(f32);
}

/* As long as a query may be, and a byte more. */
static void test_long_prompt(void) {
    enum { LONGEST = 16230 };
    static char prompt[LONGEST + 200];
    const struct berth_option options[] = {{"initial_prompt", prompt}, {"sample_len", "4"}};
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_lease *lease = remote_acquire(remote, "whisper/tiny");
    struct berth_job *job;
    memset(prompt, 'a', LONGEST);
    prompt[LONGEST] = '\0';
    r.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                   .data = sound,
                                   .size = RATE * 2,
                                   .sample_rate_hz = RATE,
                                   .channels = 1};
    r.options = options;
    r.n_options = 2;
    same("whisper/tiny", &r, 100);
    memset(prompt, 'a', LONGEST + 130);
    CHECK_INT(berth_submit(lease, &r, &job, NULL), BERTH_ETOOLARGE);
    berth_release(lease);
}

static void test_bad_sound(void) {
    char path[512];
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_error a, b;
    const char *const files[] = {"nothing-here.wav", "echo", "empty"};
    test_dir_write(&t.dir, "empty", "", 0);
    for (size_t i = 0; i < BTH_COUNT(files); i++) {
        r.input = (struct berth_input){.kind = BERTH_INPUT_FILE,
                                       .path = test_dir_path(&t.dir, files[i], path)};
        same("whisper/tiny", &r, 10);
        CHECK(berth_check(t.berth, "whisper/tiny", &r, &a) < 0);
        CHECK_INT(berth_check(remote, "whisper/tiny", &r, &b), a.code);
        CHECK_STR(b.message, a.message);
    }
    r.input.path = t.dir.path;
    same("whisper/tiny", &r, 10);
    r = remote_toy(NULL, 0);
    same("whisper/tiny", &r, 10);
    CHECK_OK(berth_check(remote, "echo", &r, &a), a);
    CHECK_INT(berth_check(remote, "toy/none", &r, &a), BERTH_ENOTFOUND);
}

/* ---- leases ----------------------------------------------------------------------------------*/

static void test_models(void) {
    struct berth_model_stats m[8], n[8];
    struct berth_device_stats d[2], e[2];
    struct berth_lease *lease;
    struct berth_error a, b;
    CHECK_INT(berth_acquire(remote, "toy/none", NULL, &lease, &b), BERTH_ENOTFOUND);
    CHECK_INT(berth_acquire(t.berth, "toy/none", NULL, &lease, &a), BERTH_ENOTFOUND);
    CHECK_STR(b.message, a.message);
    CHECK_INT(berth_acquire(remote, "toy/broken", NULL, &lease, &b), BERTH_EFORMAT);
    CHECK_INT(berth_acquire(remote, "/etc", NULL, &lease, &b), BERTH_EUNSUPPORTED);
    CHECK_INT(berth_acquire(remote, "../x", NULL, &lease, &b), BERTH_EUNSUPPORTED);
    CHECK_INT(berth_acquire(remote, "\xff\"\n", NULL, &lease, &b), BERTH_ENOTFOUND);
    CHECK_INT(berth_acquire(remote, "a?b=c#d", NULL, &lease, &b), BERTH_ENOTFOUND);
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.wait_ms = 20;
    CHECK_OK(berth_unload(remote, "toy/slow", 5000, &a), a);
    CHECK_INT(berth_acquire(remote, "toy/slow", &o, &lease, &b), BERTH_ETIMEDOUT);
    lease = remote_acquire(remote, "echo");
    CHECK_STR(berth_lease_model(lease), "toy/echo");
    CHECK_INT(berth_models(remote, m, sizeof(m[0]), 8), berth_models(t.berth, n, sizeof(n[0]), 8));
    for (size_t i = 0; i < 4; i++) {
        CHECK_STR(m[i].name, n[i].name);
        CHECK_STR(m[i].alias, n[i].alias);
        CHECK_STR(m[i].path, n[i].path);
        CHECK_STR(m[i].engine, n[i].engine);
        CHECK(n[i].engine[0]);
        CHECK_INT(m[i].weights_bytes, n[i].weights_bytes);
        CHECK_INT(m[i].served, n[i].served);
    }
    CHECK_INT(m[0].state, BERTH_MODEL_READY);
    CHECK_INT(berth_devices(remote, d, sizeof(d[0]), 2), 1);
    CHECK_INT(berth_devices(t.berth, e, sizeof(e[0]), 2), 1);
    CHECK_STR(d[0].description, e[0].description);
    CHECK_INT(d[0].budget_bytes, e[0].budget_bytes);
    /* what is leased stays until it is given back */
    CHECK_INT(berth_unload(remote, "echo", 50, &a), BERTH_ETIMEDOUT);
    struct berth_request r = remote_toy(NULL, 0);
    struct berth_item *item;
    CHECK_OK(berth_run(lease, &r, &item, &a), a);
    CHECK_STR(item->text, "hallo");
    berth_item_free(item);
    berth_release(lease);
    CHECK_OK(berth_unload(remote, "echo", 5000, &a), a);
    CHECK_INT(berth_unload(remote, "toy/none", 5000, &a), BERTH_ENOTFOUND);
    berth_models(t.berth, n, sizeof(n[0]), 8);
    CHECK_INT(n[0].state, BERTH_MODEL_ABSENT);
}

/* ---- time ------------------------------------------------------------------------------------*/

static void test_deadline(void) {
    static const struct berth_option endless[] = {{"turns", "1000000"}, {"turn_us", "2000"}};
    struct berth_request r = remote_toy(endless, 2);
    r.deadline_ms = 300;
    same("echo", &r, 5);
}

int main(void) {
    int64_t live = bth_alloc_live();
    struct tiny_whisper w = TINY_WHISPER;
    char *model = tiny_dir();
    tiny_whisper_ct2(&w, model);
    sound = tiny_sound(3, (size_t)SECONDS * RATE);
    http_prepare(&t);
    t.config.limits.body_bytes = LARGEST;
    http_start(&t, model);
    for (int i = 0; i < 2; i++) {
        remote = remote_open(i ? t.socket : t.address);
        test_models();
        test_toy();
        test_many_items();
        test_too_large();
        test_bad_sound();
        test_whisper();
        test_long_prompt();
        test_deadline();
        struct berth_error err;
        CHECK_OK(berth_close(remote, 1000, &err), err);
    }
    http_stop(&t);
    free(sound);
    tiny_dir_remove(model);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

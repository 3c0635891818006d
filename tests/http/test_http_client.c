/* The same calls in process and through a daemon: the same items to the last bit, the same errors.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/http.h"
#include "lib/items.h"
#include "lib/tiny_whisper.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SECONDS = 35, RATE = 16000 };

static struct test_server t;
static struct berth *remote;
static int16_t *sound;

static struct berth *open_remote(const char *address) {
    struct berth_config c = BERTH_CONFIG_INIT;
    struct berth *b;
    struct berth_error err;
    c.server = address;
    CHECK_OK(berth_open(&c, &b, &err), err);
    return b;
}

static struct berth_lease *acquire(struct berth *b, const char *model) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(b, model, NULL, &lease, &err), err);
    return lease;
}

/* All items of a request, or its error, as text. */
static struct bth_str outcome(struct berth *b, const char *model, const struct berth_request *r) {
    struct bth_str s = {0};
    struct berth_error err = {0};
    struct berth_job *job;
    struct berth_lease *lease = acquire(b, model);
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
    if (rc < 0) {
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

static struct berth_request toy(const struct berth_option *options, size_t n) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "hallo", .size = 5};
    r.options = options;
    r.n_options = n;
    return r;
}

static void test_toy(void) {
    static const struct berth_option good[] = {{"turns", "5"}, {"emit", "2"}},
                                     failing[] = {{"fail", "EDEVICE"}, {"fail_at", "1"}},
                                     unknown[] = {{"nope", "<&>"}}, bad[] = {{"turns", "x"}};
    struct berth_request r = toy(good, 2);
    same("echo", &r, 10);
    r.stream = true;
    same("toy/echo", &r, 100);
    r.caller = "somebody with spaces and a name that is a lot longer than sixty-four bytes";
    same("toy/echo", &r, 100);
    r = toy(failing, 2);
    same("echo", &r, 10);
    r = toy(unknown, 1);
    same("echo", &r, 10);
    r = toy(bad, 1);
    same("echo", &r, 10);
    r = toy(NULL, 0);
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
    struct berth_request r = toy(options, 2);
    struct berth_lease *lease = acquire(remote, "echo");
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
    r = toy(NULL, 0);
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
    lease = acquire(remote, "echo");
    CHECK_STR(berth_lease_model(lease), "toy/echo");
    CHECK_INT(berth_models(remote, m, sizeof(m[0]), 8), berth_models(t.berth, n, sizeof(n[0]), 8));
    for (size_t i = 0; i < 4; i++) {
        CHECK_STR(m[i].name, n[i].name);
        CHECK_STR(m[i].alias, n[i].alias);
        CHECK_STR(m[i].path, n[i].path);
        CHECK_INT(m[i].weights_bytes, n[i].weights_bytes);
        CHECK_INT(m[i].served, n[i].served);
    }
    CHECK_INT(m[0].state, BERTH_MODEL_READY);
    CHECK_INT(berth_devices(remote, d, sizeof(d[0]), 2), 1);
    CHECK_INT(berth_devices(t.berth, e, sizeof(e[0]), 2), 1);
    CHECK_STR(d[0].description, e[0].description);
    CHECK_INT(d[0].budget_bytes, e[0].budget_bytes);
    CHECK_OK(berth_unload(remote, "echo", 5000, &a), a);
    CHECK_INT(berth_unload(remote, "toy/none", 5000, &a), BERTH_ENOTFOUND);
    berth_models(t.berth, n, sizeof(n[0]), 8);
    CHECK_INT(n[0].state, BERTH_MODEL_ABSENT);
    /* the lease is good for its next load */
    struct berth_request r = toy(NULL, 0);
    struct berth_item *item;
    CHECK_OK(berth_run(lease, &r, &item, &a), a);
    CHECK_STR(item->text, "hallo");
    berth_item_free(item);
    berth_release(lease);
}

/* ---- jobs ------------------------------------------------------------------------------------*/

static atomic_int events;

static void count_event(void *arg) {
    (void)arg;
    atomic_fetch_add(&events, 1);
}

static void wait_idle(void) {
    for (int i = 0; i < 300 && bth_server_busy(t.server); i++) {
        http_sleep_ms(10);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
}

static const struct berth_option endless[] = {
    {"turns", "1000000"}, {"turn_us", "2000"}, {"emit", "1"}};

static void test_cancel(void) {
    struct berth_request r = toy(endless, 3);
    struct berth_lease *lease = acquire(remote, "echo");
    struct berth_error err;
    struct berth_job *jobs[3];
    struct berth_item *item;
    double done = 0, total = 0;
    for (int i = 0; i < 3; i++) {
        r.stream = i == 1;
        CHECK_OK(berth_submit(lease, &r, &jobs[i], &err), err);
    }
    CHECK_INT(berth_job_wait(jobs[0], 50, &item, &err), BERTH_ETIMEDOUT);
    berth_job_on_event(jobs[1], count_event, NULL);
    CHECK_OK(berth_job_next(jobs[1], 5000, &item, &err), err);
    CHECK_INT(item->kind, BERTH_ITEM_PARTIAL);
    berth_item_free(item);
    CHECK(atomic_load(&events) > 0);
    for (int i = 0; i < 300 && total == 0; i++) {
        http_sleep_ms(10);
        berth_job_progress(jobs[0], &done, &total);
    }
    CHECK_INT(total, 1000000);
    CHECK_INT(berth_job_state(jobs[0]), BERTH_JOB_RUNNING);
    berth_job_cancel(jobs[0]);
    CHECK_INT(berth_job_wait(jobs[0], 0, &item, &err), BERTH_ECANCELLED);
    CHECK_STR(err.message, "the request was cancelled");
    berth_job_cancel(jobs[0]);
    berth_job_free(jobs[1]);
    berth_release(lease); /* cancels the last */
    CHECK_INT(berth_job_wait(jobs[2], 0, &item, &err), BERTH_ECANCELLED);
    berth_job_free(jobs[0]);
    berth_job_free(jobs[2]);
    wait_idle(); /* the daemon has noticed */
}

static void test_deadline(void) {
    struct berth_request r = toy(endless, 3);
    r.deadline_ms = 100;
    same("echo", &r, 5);
}

/* Closing waits for what is under way, then cuts it. */
static void test_close(void) {
    static const struct berth_option some[] = {{"turns", "50"}, {"turn_us", "2000"}};
    struct berth *b = open_remote(t.socket);
    struct berth_request r = toy(endless, 3);
    struct berth_lease *lease = acquire(b, "echo");
    struct berth_error err;
    struct berth_job *job;
    struct berth_item *item;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    int64_t before = bth_now();
    CHECK_INT(berth_close(b, 100, &err), BERTH_ETIMEDOUT);
    CHECK(bth_now() - before < 2000 * BTH_NS_PER_MS);
    CHECK_INT(berth_job_wait(job, -1, &item, &err), BERTH_ECANCELLED);
    struct berth_job *more;
    CHECK_INT(berth_submit(lease, &r, &more, &err), BERTH_ESHUTDOWN);
    berth_job_free(job);
    berth_release(lease);
    b = open_remote(t.socket);
    lease = acquire(b, "echo");
    r = toy(some, 2);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    berth_item_free(item);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 100, &err), err);
    wait_idle();
}

static void test_fork(void) {
    struct berth_lease *lease = acquire(remote, "echo");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct berth_request r = toy(NULL, 0);
        struct berth_job *job;
        struct berth_lease *more;
        struct berth_error err;
        bool good = berth_submit(lease, &r, &job, &err) == BERTH_EFORKED &&
                    berth_acquire(remote, "echo", NULL, &more, &err) == BERTH_EFORKED &&
                    berth_close(remote, 0, &err) == BERTH_EFORKED &&
                    berth_models(remote, NULL, 0, 0) == 0;
        _exit(good ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
    berth_release(lease);
}

/* ---- which daemon ----------------------------------------------------------------------------*/

static int try_open(const char *server, const char *file) {
    struct berth_config c = BERTH_CONFIG_INIT;
    struct berth *b;
    c.server = server;
    c.file = file;
    int rc = berth_open(&c, &b, NULL);
    if (rc == 0) {
        /* the daemon's models are four */
        rc = berth_models(b, NULL, 0, 0) == 4;
        berth_close(b, 0, NULL);
    }
    return rc;
}

static void test_open(void) {
    char folder[400], path[512];
    test_dir_write(&t.dir, "empty", "", 0);
    CHECK_INT(try_open("none", ""), 0);
    CHECK_INT(try_open(t.socket, NULL), 1);
    CHECK_INT(try_open(t.address, NULL), 1); /* as berthd writes it */
    CHECK_INT(try_open(t.socket, ""), BERTH_EINVAL);
    CHECK_INT(try_open("", NULL), BERTH_EINVAL);
    CHECK_INT(try_open("ftp://localhost/", NULL), BERTH_EINVAL);
    CHECK_INT(try_open("unix:", NULL), BERTH_EINVAL);
    CHECK_INT(try_open("http://a b", NULL), BERTH_EINVAL);
    CHECK_INT(try_open("unix:/no/such/socket", NULL), BERTH_ELOST);
    CHECK_INT(try_open("http://127.0.0.1:1", NULL), BERTH_ELOST);
    setenv("BERTH_CONFIG", test_dir_path(&t.dir, "empty", path), 1);
    setenv("BERTH_SERVER", t.socket, 1);
    CHECK_INT(try_open(NULL, NULL), 1);
    CHECK_INT(try_open(NULL, ""), 0); /* what code says wins */
    CHECK_INT(try_open("none", NULL), 0);
    setenv("BERTH_SERVER", "none", 1);
    CHECK_INT(try_open(NULL, NULL), 0);
    setenv("BERTH_SERVER", "unix:/no/such/socket", 1);
    CHECK_INT(try_open(NULL, NULL), BERTH_ELOST);
    unsetenv("BERTH_SERVER");
    /* the usual socket: a daemon, and a file that nobody listens on */
    setenv("XDG_RUNTIME_DIR", t.dir.path, 1);
    snprintf(folder, sizeof(folder), "%s/berth", t.dir.path);
    snprintf(path, sizeof(path), "%s/berthd.sock", folder);
    CHECK(mkdir(folder, 0700) == 0 && symlink(t.socket + 5, path) == 0);
    CHECK_INT(try_open(NULL, NULL), 1);
    CHECK_INT(try_open(NULL, ""), 0);
    unlink(path);
    test_dir_write(&t.dir, "berth/berthd.sock", "", 0);
    if (access("/run/berth/berthd.sock", F_OK) != 0) {
        CHECK_INT(try_open(NULL, NULL), 0);
    }
    unlink(path);
    rmdir(folder);
    setenv("BERTH_SERVER", "none", 1);
}

int main(void) {
    int64_t live = bth_alloc_live();
    struct tiny_whisper w = TINY_WHISPER;
    char *model = tiny_dir();
    tiny_whisper_ct2(&w, model);
    sound = tiny_sound(3, (size_t)SECONDS * RATE);
    http_prepare(&t);
    http_start(&t, model);
    test_open();
    for (int i = 0; i < 2; i++) {
        remote = open_remote(i ? t.socket : t.address);
        test_models();
        test_toy();
        test_many_items();
        test_bad_sound();
        test_whisper();
        test_cancel();
        test_deadline();
        test_fork();
        struct berth_error err;
        CHECK_OK(berth_close(remote, 1000, &err), err);
    }
    test_close();
    http_stop(&t);
    free(sound);
    tiny_dir_remove(model);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

/* berth.h from outside: the toy engine on the CPU device, models that are small files. */
#include "base/alloc.h"
#include "lib/test.h"
#include <berth/berth.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/berth-test-XXXXXX";
static const char *const names[] = {"quick", "slow", "damaged", "failing", "huge"};
static const char *const settings[] = {
    "berth-toy 1\nweights_bytes = 100000\n",
    "berth-toy 1\nload_ms = 200\n",
    "berth-toy 1\nwhat is this\n",
    "berth-toy 1\nload_fail = EIO\n",
    "berth-toy 1\nweights_bytes = 400000000\n",
};
enum { QUICK, SLOW, DAMAGED, FAILING, HUGE_ONE, N_MODELS };
static char paths[N_MODELS][64];

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int try_open(struct berth **out, struct berth_error *err) {
    struct berth_model_spec specs[N_MODELS];
    char full[N_MODELS][32];
    for (int i = 0; i < N_MODELS; i++) {
        snprintf(full[i], sizeof(full[i]), "toy/%s", names[i]);
        specs[i] = (struct berth_model_spec){
            .name = full[i], .path = paths[i], .alias = i == QUICK ? "fast" : NULL};
    }
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    config.models = specs;
    config.n_models = N_MODELS;
    config.cpu_memory_bytes = 100000000;
    config.threads = 2;
    return berth_open(&config, out, err); /* and everything above goes out of scope */
}

static struct berth *open_all(void) {
    struct berth *b;
    struct berth_error err;
    CHECK_OK(try_open(&b, &err), err);
    return b;
}

static struct berth_lease *acquire(struct berth *b, const char *model) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(b, model, NULL, &lease, &err), err);
    return lease;
}

static struct berth_request text_request(const char *text, const struct berth_option *options,
                                         size_t n_options) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    r.options = options;
    r.n_options = n_options;
    return r;
}

static struct berth_model_stats stats_of(struct berth *b, const char *name) {
    struct berth_model_stats all[N_MODELS + 4];
    size_t n = berth_models(b, all, sizeof(*all), BTH_COUNT(all));
    CHECK(n >= N_MODELS && n <= BTH_COUNT(all));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return all[i];
        }
    }
    TEST_FAIL("no statistics of %s", name);
}

static void test_open(void) {
    struct berth *b = NULL;
    struct berth_error err = {0};
    struct berth_config c = {0};
    CHECK_INT(berth_open(&c, &b, &err), BERTH_EINVAL);
    c = (struct berth_config)BERTH_CONFIG_INIT;
    c.file = "";
    CHECK_INT(berth_open(&c, NULL, &err), BERTH_EINVAL);
    c.threads = -1;
    CHECK_INT(berth_open(&c, &b, &err), BERTH_EINVAL);
    c.threads = 0;
    c.n_models = 1;
    CHECK_INT(berth_open(&c, &b, &err), BERTH_EINVAL);
    const struct berth_model_spec nameless = {.path = paths[QUICK]};
    c.models = &nameless;
    CHECK_INT(berth_open(&c, &b, &err), BERTH_EINVAL);
    static const struct berth_model_spec wrong[] = {
        {.name = "whisper/a", .path = "x", .engine = "hammer"},
        {.name = "a-family-of-many-letters/a", .path = "x", .engine = "toy"},
        {.name = "toy", .path = "x", .engine = "toy"}};
    for (size_t i = 0; i < 3; i++) {
        c.models = &wrong[i];
        CHECK_INT(berth_open(&c, &b, &err), BERTH_EINVAL);
        CHECK(i > 0 || strstr(err.message, "hammer"));
    }
    c.n_models = 0;
    c.file = "/no/such/file.yaml";
    CHECK(berth_open(&c, &b, &err) < 0);
    CHECK(strstr(err.message, "/no/such/file.yaml"));
    CHECK(!b);
    /* one that ends before the fields of later versions */
    c = (struct berth_config)BERTH_CONFIG_INIT;
    c.struct_size = offsetof(struct berth_config, models);
    c.file = "";
    c.models = (void *)1;
    c.n_models = 99;
    CHECK_OK(berth_open(&c, &b, &err), err);
    CHECK_INT(berth_models(b, NULL, 0, 0), 0);
    CHECK_INT(berth_devices(b, NULL, 0, 5), 1);
    CHECK_OK(berth_close(b, 0, &err), err);
    CHECK_OK(berth_close(NULL, 0, &err), err);
}

static void test_config_file(void) {
    struct berth *b;
    struct berth_error err;
    char path[96];
    snprintf(path, sizeof(path), "%s/berth.yaml", folder);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fprintf(
        f,
        "models:\n  toy/mine: {path: quick, alias: m}\n  marian/en-de: {path: quick, engine: toy}\n"
        "devices:\n  cpu: {memory: 64MiB, threads: 1}\n");
    fclose(f);
    setenv("BERTH_CONFIG", path, 1);
    CHECK_OK(berth_open(NULL, &b, &err), err);
    unsetenv("BERTH_CONFIG");
    struct berth_lease *lease = acquire(b, "m");
    CHECK_STR(berth_lease_model(lease), "toy/mine");
    berth_release(lease);
    /* an engine that stands in for another family's */
    struct berth_model_stats m[2];
    CHECK_INT(berth_models(b, m, sizeof(m[0]), 2), 2);
    CHECK_STR(m[1].family, "marian");
    CHECK_STR(m[1].engine, "toy");
    berth_release(acquire(b, "marian/en-de"));
    struct berth_device_stats d;
    CHECK_INT(berth_devices(b, &d, sizeof(d), 1), 1);
    CHECK_INT(d.budget_bytes, 64 << 20);
    CHECK_STR(d.name, "cpu");
    CHECK_OK(berth_close(b, 1000, &err), err);
    unlink(path);
}

/* A path that no configuration names: every engine is asked, whatever another makes of it. */
static void test_paths(void) {
    struct berth *b;
    struct berth_error err;
    struct berth_lease *lease = NULL;
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    CHECK_OK(berth_open(&config, &b, &err), err);
    lease = acquire(b, paths[QUICK]);
    CHECK_STR(berth_lease_model(lease), "toy/quick");
    berth_release(lease);
    CHECK_INT(berth_acquire(b, paths[DAMAGED], NULL, &lease, &err), BERTH_EFORMAT);
    CHECK(strstr(err.message, paths[DAMAGED]));
    CHECK_INT(berth_acquire(b, folder, NULL, &lease, &err), BERTH_ENOTFOUND);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void test_acquire(void) {
    struct berth *b = open_all();
    struct berth_error err;
    struct berth_lease *lease = NULL;
    CHECK_INT(berth_acquire(NULL, "x", NULL, &lease, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire(b, NULL, NULL, &lease, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire(b, "x", NULL, NULL, &err), BERTH_EINVAL);
    struct berth_acquire_options o = {0};
    CHECK_INT(berth_acquire(b, "fast", &o, &lease, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire(b, "toy/none", NULL, &lease, &err), BERTH_ENOTFOUND);
    CHECK(strstr(err.message, "toy/quick")); /* what there is */
    CHECK_INT(berth_acquire(b, "toy/damaged", NULL, &lease, &err), BERTH_EFORMAT);
    CHECK_INT(berth_acquire(b, "toy/failing", NULL, &lease, &err), BERTH_EIO);
    CHECK_INT(berth_acquire(b, "toy/huge", NULL, &lease, &err), BERTH_EBUDGET);
    o = (struct berth_acquire_options)BERTH_ACQUIRE_INIT;
    o.wait_ms = 10;
    o.tag = "impatient";
    CHECK_INT(berth_acquire(b, "toy/slow", &o, &lease, &err), BERTH_ETIMEDOUT);
    CHECK(!lease);
    CHECK_INT(berth_acquire(b, "toy/none", NULL, &lease, NULL), BERTH_ENOTFOUND);
    struct berth_lease *by_alias = acquire(b, "fast"), *by_path = acquire(b, paths[QUICK]);
    CHECK_STR(berth_lease_model(by_alias), "toy/quick");
    CHECK_STR(berth_lease_model(by_path), "toy/quick");
    struct berth_model_stats s = stats_of(b, "toy/quick");
    CHECK_INT(s.loads, 1);
    CHECK_INT(s.leases, 2);
    CHECK(s.state == BERTH_MODEL_READY);
    CHECK_STR(s.family, "toy");
    CHECK_STR(s.alias, "fast");
    CHECK_STR(s.device, "cpu");
    CHECK(s.weights_bytes >= 100000);
    /* held: it drains, and is away when the last has gone */
    CHECK_INT(berth_unload(b, "toy/quick", 20, &err), BERTH_ETIMEDOUT);
    berth_release(by_alias);
    berth_release(by_path);
    berth_release(NULL);
    CHECK_OK(berth_unload(b, "toy/quick", 5000, &err), err);
    CHECK_INT(berth_unload(b, "toy/none", 0, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_unload(b, NULL, 0, &err), BERTH_EINVAL);
    CHECK(stats_of(b, "toy/quick").state == BERTH_MODEL_ABSENT);
    berth_release(acquire(b, "toy/quick"));
    CHECK_INT(stats_of(b, "toy/quick").loads, 2);
    CHECK_OK(berth_close(b, 5000, &err), err);
}

static void bad(struct berth *b, struct berth_lease *lease, struct berth_request r, int code) {
    struct berth_error err = {0};
    struct berth_job *job = NULL;
    CHECK_INT(berth_submit(lease, &r, &job, &err), code);
    CHECK(!job && err.code == code && err.message[0]);
    CHECK_INT(berth_check(b, "fast", &r, &err), code);
}

static void test_arguments(void) {
    struct berth *b = open_all();
    struct berth_lease *lease = acquire(b, "fast");
    struct berth_error err;
    struct berth_item *item = NULL;
    struct berth_job *job = NULL;
    const struct berth_option options[] = {{"turns", "2"}, {NULL, "x"}, {"nonsense", "1"}};
    const struct berth_request good = text_request("hi", options, 1);
    struct berth_request r = good;
    r.struct_size = 0;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.priority = 10;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.deadline_ms = -1;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.n_options = 2;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.options = NULL;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.input.data = NULL;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.input.kind = BERTH_INPUT_NONE;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.input.kind = (enum berth_input_kind)77;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.input.kind = BERTH_INPUT_FILE;
    bad(b, lease, r, BERTH_EINVAL);
    r = good;
    r.input.kind = BERTH_INPUT_PCM_F32;
    bad(b, lease, r, BERTH_EINVAL);
    CHECK_INT(berth_submit(NULL, &good, &job, &err), BERTH_EINVAL);
    CHECK_INT(berth_submit(lease, NULL, &job, &err), BERTH_EINVAL);
    CHECK_INT(berth_submit(lease, &good, NULL, &err), BERTH_EINVAL);
    CHECK_INT(berth_run(lease, &good, NULL, &err), BERTH_EINVAL);
    CHECK_INT(berth_check(b, "toy/none", &good, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_check(NULL, "fast", &good, &err), BERTH_EINVAL);
    CHECK_OK(berth_check(b, "fast", &good, &err), err);
    /* what only the engine knows: told by the check, and by the job */
    r = good;
    r.options = &options[2];
    CHECK_INT(berth_check(b, "fast", &r, &err), BERTH_EINVAL);
    CHECK(strstr(err.message, "nonsense"));
    CHECK_INT(berth_run(lease, &r, &item, &err), BERTH_EINVAL);
    CHECK(!item && strstr(err.message, "nonsense"));
    /* NULL handles, and a request that ends before `stream` */
    CHECK_INT(berth_job_wait(NULL, 0, &item, &err), BERTH_EINVAL);
    CHECK_INT(berth_job_next(NULL, 0, &item, &err), BERTH_EINVAL);
    CHECK_INT(berth_job_state(NULL), BERTH_JOB_FAILED);
    berth_job_progress(NULL, NULL, NULL);
    berth_job_cancel(NULL);
    berth_job_free(NULL);
    CHECK_STR(berth_lease_model(NULL), "");
    CHECK_INT(berth_models(NULL, NULL, 0, 0) + berth_devices(NULL, NULL, 0, 0), 0);
    r = good;
    r.struct_size = offsetof(struct berth_request, stream);
    r.stream = true; /* beyond its end */
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_INT(berth_job_wait(job, -1, NULL, &err), BERTH_EINVAL);
    CHECK_OK(berth_job_next(job, -1, &item, &err), err);
    CHECK_INT(item->kind, BERTH_ITEM_FINAL);
    berth_item_free(item);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 5000, &err), err);
}

static void test_stream(void) {
    struct berth *b = open_all();
    struct berth_lease *lease = acquire(b, "fast");
    struct berth_error err;
    struct berth_job *job;
    struct berth_item *item;
    const struct berth_option options[] = {{"turns", "50"}, {"emit", "2"}};
    struct berth_request r = text_request("bit", options, 2);
    r.stream = true;
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    int partial = 0;
    for (;;) {
        CHECK_OK(berth_job_next(job, 5000, &item, &err), err);
        bool last = item->kind == BERTH_ITEM_FINAL;
        CHECK_STR(item->text, "bit");
        berth_item_free(item);
        if (last) {
            break;
        }
        partial++;
    }
    CHECK_INT(partial, 100);
    CHECK_INT(berth_job_next(job, 0, &item, &err), BERTH_ESTATE);
    double done, total;
    berth_job_progress(job, &done, &total);
    CHECK(done == 50 && total == 50);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 5000, &err), err);
}

enum { N_THREADS = 16, N_EACH = 200 };
struct caller {
    struct berth *b;
    int id, failed;
    uint64_t rows;
};

static void *call(void *arg) {
    struct caller *c = arg;
    struct berth_error err;
    struct berth_lease *lease = acquire(c->b, c->id % 2 ? "fast" : "toy/quick");
    unsigned long long rng = (unsigned long long)c->id + 1;
    for (int i = 0; i < N_EACH; i++) {
        char text[32], turns[8], id[8];
        unsigned n = 1 + (unsigned)(test_rand(&rng) % 4);
        bool fails = test_rand(&rng) % 9 == 0;
        snprintf(text, sizeof(text), "%d.%d", c->id, i);
        snprintf(turns, sizeof(turns), "%u", n);
        snprintf(id, sizeof(id), "c%d", c->id % 3);
        const struct berth_option options[] = {{"turns", turns}, {"fail", "EAUDIO"}};
        struct berth_request r = text_request(text, options, fails ? 2 : 1);
        r.caller = id;
        struct berth_item *item = NULL;
        int rc = berth_run(lease, &r, &item, &err);
        CHECK_INT(rc, fails ? BERTH_EAUDIO : 0);
        if (rc == 0) {
            CHECK_STR(item->text, text);
        }
        berth_item_free(item);
        c->failed += fails;
        c->rows += fails ? 1 : n;
    }
    berth_release(lease);
    return NULL;
}

static void test_threads(void) {
    struct berth *b = open_all();
    struct caller callers[N_THREADS];
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        callers[i] = (struct caller){.b = b, .id = i};
        CHECK_INT(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    uint64_t failed = 0, rows = 0;
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        failed += (uint64_t)callers[i].failed;
        rows += callers[i].rows;
    }
    struct berth_model_stats s = stats_of(b, "toy/quick");
    CHECK_INT(s.served, N_THREADS * N_EACH);
    CHECK_INT(s.failed, failed);
    CHECK_INT(s.loads, 1);
    CHECK_INT(s.leases + s.running + s.waiting, 0);
    CHECK_INT(s.session_bytes, 0);
    struct berth_device_stats d;
    CHECK_INT(berth_devices(b, &d, sizeof(d), 1), 1);
    CHECK_INT(d.rows, rows);
    CHECK(d.turns > 0 && d.turns <= d.rows);
    struct berth_error err;
    CHECK_OK(berth_close(b, 5000, &err), err);
}

/* Closing with everything in use: all is cancelled, the handles stay good for giving back. */
static enum berth_model_state state_of(struct berth *b, size_t i) {
    struct berth_model_stats m[3];
    CHECK_INT(berth_models(b, m, sizeof(m[0]), 3), 3);
    return m[i].state;
}

/* What is to be there is loaded without being asked for; what is idle goes, what is pinned stays.
 */
static void test_keeping(void) {
    const struct berth_model_spec specs[] = {
        {.name = "toy/damaged", .path = paths[DAMAGED], .preload = true},
        {.name = "toy/kept", .path = paths[QUICK], .preload = true, .pin = true, .keep_alive_s = 1},
        {.name = "toy/brief", .path = paths[QUICK], .preload = true, .keep_alive_s = 1}};
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_error err;
    struct berth *b;
    config.file = "";
    config.models = specs;
    config.n_models = 3;
    config.threads = 1;
    CHECK_OK(berth_open(&config, &b, &err), err);
    bool loaded = false;
    for (int i = 0; i < 500 && !(loaded && state_of(b, 2) == BERTH_MODEL_ABSENT); i++) {
        sleep_ms(10);
        loaded |= state_of(b, 2) == BERTH_MODEL_READY;
    }
    CHECK(loaded);
    CHECK_INT(state_of(b, 0), BERTH_MODEL_ABSENT);
    CHECK_INT(state_of(b, 1), BERTH_MODEL_READY);
    CHECK_INT(state_of(b, 2), BERTH_MODEL_ABSENT);
    CHECK_OK(berth_close(b, 1000, &err), err);
    const struct berth_model_spec slow[] = {
        {.name = "toy/slow", .path = paths[SLOW], .preload = true}};
    config.models = slow;
    config.n_models = 1;
    CHECK_OK(berth_open(&config, &b, &err), err); /* closed while it loads */
    berth_close(b, 0, NULL);
}

static void test_close(void) {
    struct berth *b = open_all();
    struct berth_error err;
    struct berth_item *item = NULL;
    struct berth_job *jobs[4], *none = NULL;
    struct berth_lease *lease = acquire(b, "fast");
    const struct berth_option options[] = {
        {"turns", "1000000"}, {"turn_us", "1000"}, {"emit", "2"}};
    struct berth_request r = text_request("for ever", options, 3);
    for (int i = 0; i < 4; i++) {
        r.stream = i == 3; /* and nobody reads: parked */
        CHECK_OK(berth_submit(lease, &r, &jobs[i], &err), err);
    }
    /* released, with a job at work */
    struct berth_lease *released = acquire(b, "fast");
    struct berth_job *orphan;
    CHECK_OK(berth_submit(released, &r, &orphan, &err), err);
    berth_release(released);
    while ((berth_job_next(orphan, 5000, &item, &err)) == 0) {
        berth_item_free(item);
    }
    CHECK_INT(err.code, BERTH_ECANCELLED);
    CHECK_INT(berth_close(b, 50, &err), BERTH_ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(berth_job_state(jobs[i]), BERTH_JOB_FAILED);
        CHECK_INT(berth_job_wait(jobs[i], 0, &item, &err), BERTH_ECANCELLED);
    }
    CHECK_INT(berth_submit(lease, &r, &none, &err), BERTH_ESHUTDOWN);
    for (int i = 0; i < 4; i++) {
        berth_job_cancel(jobs[i]);
        berth_job_free(jobs[i]);
    }
    berth_job_free(orphan);
    berth_release(lease);
}

static void *close_soon(void *arg) {
    sleep_ms(30);
    struct berth_error err;
    CHECK_OK(berth_close(arg, 10000, &err), err);
    return NULL;
}

/* Closing waits for what is at work, and refuses newcomers meanwhile. */
static void test_drain(void) {
    struct berth *b = open_all();
    struct berth_error err;
    struct berth_item *item;
    struct berth_job *job;
    struct berth_lease *lease = acquire(b, "fast"), *none = NULL;
    const struct berth_option options[] = {{"turns", "150"}, {"turn_us", "1000"}};
    const struct berth_request r = text_request("worth waiting for", options, 2);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    pthread_t closer;
    CHECK_INT(pthread_create(&closer, NULL, close_soon, b), 0);
    sleep_ms(80);
    CHECK_INT(berth_acquire(b, "fast", NULL, &none, &err), BERTH_ESHUTDOWN);
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    CHECK_STR(item->text, "worth waiting for");
    berth_item_free(item);
    berth_job_free(job);
    berth_release(lease); /* and the close goes through */
    pthread_join(closer, NULL);
}

/* Callers compiled with a shorter or a longer struct than the library's. */
static void test_sizes_of_statistics(void) {
    struct berth *b = open_all();
    struct berth_error err;
    enum { N = 2 };
    struct {
        char name[64], alias[64];
    } shorter[N + 1];
    struct {
        struct berth_model_stats known;
        uint64_t later;
    } longer[N + 1];
    struct {
        struct berth_device_stats known;
        uint64_t later[3];
    } device;
    memset(shorter, 'x', sizeof(shorter));
    memset(longer, 'x', sizeof(longer));
    memset(&device, 'x', sizeof(device));
    CHECK_INT(berth_models(b, (void *)shorter, sizeof(*shorter), N), N_MODELS);
    CHECK_STR(shorter[0].name, "toy/quick");
    CHECK_STR(shorter[0].alias, "fast");
    CHECK_STR(shorter[1].name, "toy/slow");
    CHECK_INT(shorter[2].name[0], 'x'); /* beyond what was asked for */
    CHECK_INT(berth_models(b, (void *)longer, sizeof(*longer), N), N_MODELS);
    CHECK_STR(longer[1].known.name, "toy/slow");
    CHECK_INT(longer[1].known.idle_ms, -1);
    CHECK_INT(longer[0].later + longer[1].later, 0);
    CHECK_INT(longer[2].known.name[0], 'x');
    CHECK_INT(berth_devices(b, (void *)&device, sizeof(device), 1), 1);
    CHECK_STR(device.known.name, "cpu");
    CHECK_INT(device.later[0] + device.later[2], 0);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

static void test_fork(void) {
    struct berth *b = open_all();
    struct berth_lease *lease = acquire(b, "fast"), *other = NULL;
    struct berth_error err;
    struct berth_job *job;
    struct berth_item *item;
    const struct berth_request r = text_request("parent", NULL, 0);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    pid_t child = fork();
    if (child == 0) {
        bool ok = berth_acquire(b, "fast", NULL, &other, &err) == BERTH_EFORKED &&
                  berth_submit(lease, &r, &job, &err) == BERTH_EFORKED &&
                  berth_job_wait(job, -1, &item, &err) == BERTH_EFORKED &&
                  berth_unload(b, "fast", -1, &err) == BERTH_EFORKED &&
                  berth_check(b, "fast", &r, &err) == BERTH_EFORKED &&
                  berth_models(b, NULL, 0, 0) == 0 && berth_devices(b, NULL, 0, 0) == 0 &&
                  berth_close(b, -1, &err) == BERTH_EFORKED;
        berth_job_cancel(job);
        berth_job_free(job);
        berth_release(lease);
        _exit(ok ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    CHECK_STR(item->text, "parent");
    berth_item_free(item);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 5000, &err), err);
}

/* Opens, loads, runs and closes with the n-th allocation failing, for every n. */
static void test_failing_memory(void) {
    for (int n = 1;; n++) {
        int64_t live = bth_alloc_live();
        struct berth *b = NULL;
        struct berth_lease *lease = NULL;
        struct berth_item *item = NULL;
        struct berth_error err;
        const struct berth_option options[] = {{"turns", "2"}};
        const struct berth_request r = text_request("t", options, 1);
        bth_alloc_fail_at(n);
        int rc = try_open(&b, &err);
        if (rc == 0) {
            rc = berth_acquire(b, "fast", NULL, &lease, &err);
        }
        if (rc == 0) {
            rc = berth_run(lease, &r, &item, &err);
        }
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (rc < 0) {
            CHECK_INT(rc, BERTH_ENOMEM);
            CHECK(fired);
        }
        berth_item_free(item);
        berth_release(lease);
        CHECK_OK(berth_close(b, 5000, &err), err);
        CHECK_INT(bth_alloc_live(), live);
        if (!fired) {
            CHECK_INT(rc, 0);
            return;
        }
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    CHECK(mkdtemp(folder));
    for (int i = 0; i < N_MODELS; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", folder, names[i]);
        FILE *f = fopen(paths[i], "w");
        CHECK(f);
        fputs(settings[i], f);
        fclose(f);
    }
    test_open();
    test_config_file();
    test_paths();
    test_acquire();
    test_arguments();
    test_stream();
    test_threads();
    test_keeping();
    test_close();
    test_drain();
    test_sizes_of_statistics();
    test_fork();
    test_failing_memory();
    CHECK_INT(bth_alloc_live(), live);
    for (int i = 0; i < N_MODELS; i++) {
        unlink(paths[i]);
    }
    rmdir(folder);
    return 0;
}

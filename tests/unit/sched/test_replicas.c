/* Several devices, one model: requests on both at once; a device that fails, one that hangs. The
 * manager and the schedulers are real, the devices compute nothing, the engine is toy, whose turns
 * can be told to fail or to hang on one device. */
#include "base/clock.h"
#include "base/outbox.h"
#include "core/manager.h"
#include "lib/fake_device.h"
#include "lib/lease.h"
#include "lib/test.h"
#include "sched/sched.h"
#include "toy/toy.h"
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEVICES = 3, MANY = 40 };
#define MB UINT64_C(1000000)

static char folder[] = "/tmp/berth-test-XXXXXX", path[64];

/* ---- the engine -----------------------------------------------------------------------------*/

static struct berth_engine_ops engine;
static const struct berth_engine_ops *const engines[] = {&engine};
static const struct berth_device *_Atomic failing;
static const struct berth_device *_Atomic hanging;
static _Atomic int inside; /* calls that hang */

static int load(const struct berth_load *load, struct berth_model **out, struct berth_error *err) {
    int rc = bth_toy_engine.load(load, out, err);
    if (rc == 0) {
        (*out)->ops = &engine;
    }
    return rc;
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int enqueue(struct berth_batch *b, struct berth_error *err) {
    inside++;
    while (b->model->device == hanging) {
        sleep_ms(1);
    }
    inside--;
    return b->model->device == failing ? BERTH_EDEVICE : bth_toy_engine.enqueue(b, err);
}

/* ---- the world ------------------------------------------------------------------------------*/

struct world {
    struct fake_device devices[DEVICES];
    struct bth_manager *m;
    struct bth_sched *scheds[DEVICES];
    struct bth_lease *lease;
    struct berth_error err;
};

static void take(struct world *w, struct bth_lease **out) {
    CHECK_OK(test_acquire(w->m, "toy/a", "t", BTH_FOREVER, out, &w->err), w->err);
}

static void open_world(struct world *w, size_t n, uint16_t replicas) {
    static const char *const names[DEVICES] = {"one", "two", "three"};
    const struct berth_model_spec spec = {.name = "toy/a", .path = path, .replicas = replicas};
    const uint64_t budgets[DEVICES] = {60 * MB, 50 * MB, 40 * MB};
    struct berth_device *devices[DEVICES];
    *w = (struct world){.m = NULL};
    for (size_t i = 0; i < n; i++) {
        fake_device_init(&w->devices[i], names[i]);
        devices[i] = &w->devices[i].base;
    }
    const struct bth_manager_config mc = {.devices = devices,
                                          .budgets = budgets,
                                          .n_devices = n,
                                          .engines = engines,
                                          .n_engines = 1,
                                          .models = &spec,
                                          .n_models = 1};
    CHECK_OK(bth_manager_create(&mc, &w->m, &w->err), w->err);
    for (size_t i = 0; i < n; i++) {
        const struct bth_sched_config sc = {.first = w->scheds[0], .manager = w->m};
        CHECK_OK(bth_sched_create(&sc, &w->scheds[i], &w->err), w->err);
    }
    take(w, &w->lease);
    CHECK_INT(bth_lease_device(w->lease), 0);
}

static void close_world(struct world *w, size_t n) {
    bth_lease_release(w->lease);
    for (size_t i = 0; i < n; i++) {
        CHECK(bth_sched_destroy(w->scheds[i]));
    }
    bth_manager_destroy(w->m);
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(w->devices[i].live, 0);
        CHECK_INT(w->devices[i].bytes, 0);
        CHECK_INT(w->devices[i].closed, 1);
    }
}

static int submit(struct world *w, struct bth_lease *lease, const char *text, int turns,
                  struct bth_job **out) {
    char count[16];
    snprintf(count, sizeof(count), "%d", turns);
    const struct berth_option options[] = {{"turns", count}, {"turn_us", "1000"}};
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    r.options = options;
    r.n_options = 2;
    return bth_sched_submit(w->scheds[0], lease, &r, out, &w->err);
}

static struct bth_job *start(struct world *w, const char *text, int turns) {
    struct bth_job *job;
    CHECK_OK(submit(w, w->lease, text, turns, &job), w->err);
    return job;
}

/* Frees the job; how it ended. */
static int end_of(struct world *w, struct bth_job *job, const char *text) {
    struct berth_item *item = NULL;
    int rc = bth_outbox_wait(bth_job_results(job), bth_now() + 20 * BTH_NS_PER_S, &item, &w->err);
    if (rc == 0) {
        CHECK_STR(item->text, text);
        berth_item_free(item);
        CHECK_INT(bth_outbox_wait(bth_job_results(job), 0, &item, NULL),
                  BERTH_ESTATE); /* one answer */
    }
    bth_job_free(job);
    return rc;
}

static uint64_t instances(struct world *w) {
    struct berth_model_stats s;
    CHECK_OK(bth_manager_find(w->m, "toy/a", &s, &w->err), w->err);
    return s.instances;
}

static void wait_for_instances(struct world *w, uint64_t n) {
    for (int i = 0; instances(w) != n; i++) {
        CHECK(i < 5000);
        sleep_ms(1);
    }
}

static uint64_t turns(struct world *w, size_t device) {
    struct berth_device_stats s = {.turns = 0};
    bth_sched_stats(w->scheds[device], &s);
    return s.turns;
}

static size_t count_lost(struct world *w) {
    static struct bth_happening all[BTH_HAPPENINGS];
    const size_t n = bth_manager_happenings(w->m, 0, all, BTH_HAPPENINGS);
    size_t lost = 0;
    for (size_t i = 0; i < n; i++) {
        lost += all[i].kind == BTH_HAPPENED_LOST;
    }
    return lost;
}

/* Starts `n`, the first of which make the model busy enough for an instance on each device. */
static void start_on(struct world *w, size_t devices, struct bth_job *jobs[MANY], int n,
                     int long_) {
    for (int i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        if (i > 0 && i % 4 == 0 && (size_t)i / 4 < devices) {
            wait_for_instances(w, (uint64_t)i / 4 + 1);
        }
        jobs[i] = start(w, text, i < 4 * (int)devices ? long_ : 5);
    }
}

/* ---- tests ----------------------------------------------------------------------------------*/

/* Requests on all devices at once; each has its one answer. */
static void test_share(size_t n) {
    struct world w;
    struct bth_job *jobs[MANY];
    struct berth_model_stats s;
    open_world(&w, n, 0);
    start_on(&w, n, jobs, MANY, 300);
    for (size_t i = 0; i < n; i++) {
        while (turns(&w, i) == 0) { /* while the long ones of the first are still at it */
            sleep_ms(1);
        }
    }
    CHECK_INT(bth_job_state(jobs[0]), BERTH_JOB_RUNNING);
    CHECK_OK(bth_manager_find(w.m, "toy/a", &s, &w.err), w.err);
    CHECK_STR(s.devices, n == 2 ? "one,two" : "one,two,three");
    CHECK_INT(s.weights_bytes, n * 10 * MB);
    for (int i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        CHECK_INT(end_of(&w, jobs[i], text), 0);
    }
    CHECK_OK(bth_manager_find(w.m, "toy/a", &s, &w.err), w.err);
    CHECK_INT(s.served, MANY);
    CHECK_INT(s.running, 0);
    close_world(&w, n);
}

static void test_one_only(void) {
    struct world w;
    struct bth_job *jobs[MANY];
    open_world(&w, 2, 1);
    start_on(&w, 1, jobs, MANY, 20);
    for (int i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        CHECK_INT(end_of(&w, jobs[i], text), 0);
    }
    CHECK_INT(instances(&w), 1);
    CHECK_INT(turns(&w, 1), 0);
    close_world(&w, 2);
}

static void write_model(const char *more) {
    FILE *f = fopen(path, "w");
    CHECK(f);
    fprintf(f, "berth-toy 1\nweights_bytes=10000000\n%s", more);
    fclose(f);
}

/* What is on the disk now is another model, maybe: no replica of it beside what was loaded. */
static void test_changed_files(void) {
    struct world w;
    struct bth_job *jobs[MANY];
    struct bth_manager_sums sums;
    open_world(&w, 2, 0);
    write_model("workspace_bytes=7\n");
    start_on(&w, 1, jobs, 8, 100);
    for (int i = 0; i < 8; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        CHECK_INT(end_of(&w, jobs[i], text), 0);
    }
    do {
        sleep_ms(1);
        bth_manager_sums(w.m, &sums);
    } while (sums.happened[BTH_HAPPENED_FAIL] == 0);
    CHECK_INT(sums.happened[BTH_HAPPENED_LOAD], 1);
    CHECK_INT(instances(&w), 1);
    close_world(&w, 2);
    write_model("");
}

/* What ran on the device that fails is told so; all else goes on, under the same lease. */
static void test_failing_device(void) {
    struct world w;
    struct bth_job *jobs[MANY], *job;
    struct bth_lease *late;
    open_world(&w, 2, 0);
    start_on(&w, 2, jobs, 8, 200);
    failing = &w.devices[0].base;
    for (int i = 0; i < 8; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        const int rc = end_of(&w, jobs[i], text);
        CHECK_INT(rc, i < 4 ? BERTH_EDEVICE : 0);
        CHECK(rc == 0 || berth_error_retryable(rc));
    }
    CHECK(bth_manager_is_lost(w.m, 0) && !bth_manager_is_lost(w.m, 1));
    CHECK_INT(count_lost(&w), 1);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(end_of(&w, start(&w, "again", 2), "again"), 0);
    }
    take(&w, &late);
    CHECK_INT(bth_lease_device(late), 1);
    bth_lease_release(late);
    CHECK_INT(instances(&w), 1);
    struct berth_device_stats stats[2];
    bth_manager_devices(w.m, stats, 2);
    CHECK(stats[0].lost && stats[0].residual_bytes >= 10 * MB && !stats[1].lost);
    failing = &w.devices[1].base; /* and the other */
    CHECK_INT(end_of(&w, start(&w, "x", 2), NULL), BERTH_EDEVICE);
    CHECK_INT(submit(&w, w.lease, "x", 1, &job), BERTH_EDEVICE);
    CHECK_INT(test_acquire(w.m, "toy/a", "t", BTH_FOREVER, &late, &w.err), BERTH_EDEVICE);
    CHECK(strstr(w.err.message, "start the program anew"));
    failing = NULL;
    close_world(&w, 2);
}

/* As the watch of a manager does it. */
static void give_up(struct world *w, size_t device) {
    const struct berth_error why = {BERTH_EDEVICE, "it hangs"};
    for (int i = 0; !bth_sched_is_stuck(w->scheds[device], 50 * BTH_NS_PER_MS); i++) {
        CHECK(i < 5000);
        sleep_ms(1);
    }
    bth_manager_lose(w->m, device, &why);
    bth_sched_abandon(w->scheds[device], &why);
}

/* A call does not come back: whoever waits on that device is told, the others go on; when it does
 * come back all is tidied up. */
static void test_hanging_device(bool comes_back) {
    struct world w;
    struct bth_job *jobs[MANY];
    open_world(&w, 2, 0);
    start_on(&w, 2, jobs, 8, 200);
    hanging = &w.devices[0].base;
    while (inside == 0) {
        sleep_ms(1);
    }
    CHECK(!bth_sched_is_stuck(w.scheds[0], 50 * BTH_NS_PER_MS)); /* nobody has asked it to end */
    bth_job_cancel(jobs[0]);
    give_up(&w, 0);
    for (int i = 0; i < 8; i++) {
        char text[16];
        snprintf(text, sizeof(text), "text %d", i);
        CHECK_INT(end_of(&w, jobs[i], text), i < 4 ? BERTH_EDEVICE : 0);
    }
    CHECK_INT(end_of(&w, start(&w, "on", 2), "on"), 0);
    CHECK_INT(bth_manager_drain(w.m, 0, NULL), BERTH_ETIMEDOUT);
    if (comes_back) {
        hanging = NULL;
        while (bth_sched_is_stuck(w.scheds[0], 0)) {
            sleep_ms(1);
        }
        close_world(&w, 2);
        return;
    }
    CHECK(!bth_sched_destroy(w.scheds[0])); /* left behind, and does not keep us */
    CHECK(bth_sched_destroy(w.scheds[1]));
    bth_lease_release(w.lease);
    bth_manager_destroy(w.m);
    CHECK_INT(w.devices[0].closed, 0);
    CHECK_INT(w.devices[1].closed, 1);
    hanging = NULL; /* its thread finds what it uses still there */
    sleep_ms(50);
}

/* A process of its own: what is left behind is no leak of this one. */
static void test_left_behind(void) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        test_hanging_device(false);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a", folder);
    write_model("");
    engine = bth_toy_engine;
    engine.load = load;
    engine.enqueue = enqueue;
    test_left_behind(); /* first: no other thread is there to fork */
    test_share(2);
    test_share(3);
    test_one_only();
    test_changed_files();
    test_failing_device();
    test_hanging_device(true);
    unlink(path);
    rmdir(folder);
    return 0;
}

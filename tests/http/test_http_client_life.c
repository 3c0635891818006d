/* A client's life: which daemon it finds, jobs that are cancelled, closing, fork. */
#include "base/alloc.h"
#include "base/clock.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct test_server t;
static struct berth *remote;

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
    struct berth_request r = remote_toy(endless, 3);
    struct berth_lease *lease = remote_acquire(remote, "echo");
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

/* Closing waits for what is under way, then cuts it. */
static void test_close(void) {
    static const struct berth_option some[] = {{"turns", "50"}, {"turn_us", "2000"}};
    struct berth *b = remote_open(t.socket);
    struct berth_request r = remote_toy(endless, 3);
    struct berth_lease *lease = remote_acquire(b, "echo");
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
    b = remote_open(t.socket);
    lease = remote_acquire(b, "echo");
    r = remote_toy(some, 2);
    CHECK_OK(berth_submit(lease, &r, &job, &err), err);
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    berth_item_free(item);
    berth_job_free(job);
    berth_release(lease);
    CHECK_OK(berth_close(b, 100, &err), err);
    wait_idle();
}

static void test_fork(void) {
    struct berth_lease *lease = remote_acquire(remote, "echo");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct berth_request r = remote_toy(NULL, 0);
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
        /* the daemon's models are three */
        rc = berth_models(b, NULL, 0, 0) == 3;
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
    setenv("BERTH_API_KEY", "two\r\nlines", 1);
    CHECK_INT(try_open(t.socket, NULL), BERTH_EINVAL);
    unsetenv("BERTH_API_KEY");
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
    http_prepare(&t);
    http_start(&t, NULL);
    test_open();
    for (int i = 0; i < 2; i++) {
        struct berth_error err;
        remote = remote_open(i ? t.socket : t.address);
        test_cancel();
        test_fork();
        CHECK_OK(berth_close(remote, 1000, &err), err);
    }
    test_close();
    http_stop(&t);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

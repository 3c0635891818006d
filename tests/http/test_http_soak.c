/*
 * The soak: processes with threads on one daemon that has room for three of its five models, with
 * clean-ups, unloads and killed processes in between, for ten seconds (with BERTH_LONG ten
 * minutes). Every answer is compared, whoever is granted a lease ends it, and descriptors, threads
 * and memory of the daemon come back to where they were.
 *
 *     test_http_soak [SECONDS]
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "lib/daemon.h"
#include "lib/http.h"
#include "lib/remote.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { MODELS = 5, THREADS = 3, WORKERS = 3, WARM_UP_S = 3, MAX_SAMPLES = 4000 };

static const char *const names[MODELS] = {"toy/a", "toy/b", "toy/c", "toy/d", "toy/e"};

/* ---- those who use it ------------------------------------------------------------------------*/

struct user {
    const char *socket;
    unsigned long long rng;
    int64_t until;
    pthread_t thread;
};
static atomic_ullong answers, refusals, exclusives, cut_short;

/* What may be said to somebody who has done nothing wrong, here. */
static bool is_fair(int rc) {
    return rc == BERTH_ETIMEDOUT || rc == BERTH_EREVOKED || rc == BERTH_ECANCELLED ||
           rc == BERTH_ELOST || rc == BERTH_EOVERLOADED;
}

static void compare(const struct berth_item *item, const char *text, int got) {
    CHECK(item->kind == BERTH_ITEM_FINAL);
    CHECK_STR(item->text, text);
    CHECK(got >= 0);
    atomic_fetch_add(&answers, 1);
}

static void use_once(struct user *u, struct berth_lease *lease) {
    const bool stream = test_rand(&u->rng) % 3 == 0, leaves = test_rand(&u->rng) % 8 == 0;
    const struct berth_option options[] = {
        {"turns", test_rand(&u->rng) % 2 ? "2" : "9"}, {"turn_us", "500"}, {"emit", "1"}};
    struct berth_request r = remote_toy(options, 3);
    struct berth_error err;
    struct berth_job *job;
    struct berth_item *item;
    char text[64];
    int got = 0;
    snprintf(text, sizeof(text), "%llx", test_rand(&u->rng));
    r.input.data = text;
    r.input.size = strlen(text);
    r.stream = stream;
    int rc = berth_submit(lease, &r, &job, &err);
    if (rc < 0) {
        CHECK(is_fair(rc));
        return;
    }
    if (leaves) {
        berth_job_free(job);
        return;
    }
    while (stream && (rc = berth_job_next(job, 20000, &item, &err)) == 0 &&
           item->kind == BERTH_ITEM_PARTIAL) {
        got++;
        berth_item_free(item);
    }
    rc = stream ? rc : berth_job_wait(job, 20000, &item, &err);
    if (rc == 0) {
        compare(item, text, got);
        berth_item_free(item);
    } else if (!is_fair(rc)) {
        TEST_FAIL("a request ended with %d: %s", rc, err.message);
    } else {
        atomic_fetch_add(&cut_short, 1);
    }
    berth_job_free(job);
}

static void *use(void *arg) {
    struct user *u = arg;
    struct berth *b = remote_open(u->socket);
    while (bth_now() < u->until) {
        struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
        struct berth_lease *lease;
        struct berth_error err;
        const char *model = names[test_rand(&u->rng) % MODELS];
        o.mode = test_rand(&u->rng) % 16 ? BERTH_SHARED : BERTH_EXCLUSIVE;
        o.wait_ms = test_rand(&u->rng) % 8 ? 10000 : 5;
        const int rc = berth_acquire(b, model, &o, &lease, &err);
        if (rc < 0) {
            if (!is_fair(rc)) {
                TEST_FAIL("a lease was refused with %d: %s", rc, err.message);
            }
            atomic_fetch_add(&refusals, 1);
            continue;
        }
        atomic_fetch_add(&exclusives, o.mode == BERTH_EXCLUSIVE);
        for (uint64_t n = o.mode == BERTH_SHARED ? test_rand(&u->rng) % 4 : 0; n > 0; n--) {
            use_once(u, lease);
        }
        berth_release(lease);
    }
    berth_close(b, 0, NULL);
    return NULL;
}

/* THREADS of them, in whatever process. */
static void start_users(struct user *users, const char *socket, unsigned long long seed,
                        int64_t until) {
    for (int i = 0; i < THREADS; i++) {
        users[i] =
            (struct user){.socket = socket, .rng = seed * 77 + (unsigned)i + 1, .until = until};
        CHECK(pthread_create(&users[i].thread, NULL, use, &users[i]) == 0);
    }
}

static int worker(const char *socket, const char *seed, const char *seconds) {
    struct user users[THREADS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    start_users(users, socket, strtoull(seed, NULL, 10),
                bth_now() + strtoll(seconds, NULL, 10) * BTH_NS_PER_S);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
    }
    return 0;
}

static pid_t start_worker(const char *socket, int seed, int seconds) {
    char seed_text[16], seconds_text[16];
    snprintf(seed_text, sizeof(seed_text), "%d", seed);
    snprintf(seconds_text, sizeof(seconds_text), "%d", seconds);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "test_http_soak", "worker", socket, seed_text, seconds_text,
              (char *)NULL);
        _exit(99);
    }
    return pid;
}

/* ---- the daemon from outside -----------------------------------------------------------------*/

static int count_in(pid_t pid, const char *folder) {
    char path[64];
    int n = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, folder);
    DIR *dir = opendir(path);
    CHECK(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

/* What its descriptors are. */
static void print_descriptors(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    CHECK(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char link[128], to[256];
        snprintf(link, sizeof(link), "%s/%.20s", path, e->d_name);
        const ssize_t n = readlink(link, to, sizeof(to));
        if (n > 0) {
            printf("  %s %.*s\n", e->d_name, (int)n, to);
        }
    }
    closedir(dir);
}

static double rss_mib(pid_t pid) {
    char path[64];
    unsigned long long size = 0, pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%llu %llu", &size, &pages) == 2);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static uint64_t metric(const struct test_daemon *d, const char *name) {
    struct http_reply r = http_ask(d->socket, "GET", "/metrics", "", NULL);
    unsigned long long v = 0;
    char wanted[96];
    snprintf(wanted, sizeof(wanted), "\n%s ", name);
    const char *at = strstr(r.body, wanted);
    CHECK(at && sscanf(at + strlen(wanted), "%llu", &v) == 1);
    http_free(&r);
    return v;
}

struct samples {
    double at[MAX_SAMPLES], mib[MAX_SAMPLES];
    size_t n;
};

/* The least-squares slope of the memory, MiB in ten minutes. */
static double slope(const struct samples *s) {
    double mean_at = 0, mean = 0, above = 0, below = 0;
    for (size_t i = 0; i < s->n; i++) {
        mean_at += s->at[i] / (double)s->n;
        mean += s->mib[i] / (double)s->n;
    }
    for (size_t i = 0; i < s->n; i++) {
        above += (s->at[i] - mean_at) * (s->mib[i] - mean);
        below += (s->at[i] - mean_at) * (s->at[i] - mean_at);
    }
    return below > 0 ? above / below * 600 : 0;
}

/* ---- the run ---------------------------------------------------------------------------------*/

struct run {
    struct test_daemon d;
    struct berth *b;
    pid_t workers[WORKERS];
    int seconds, kills, cleanups, unloads;
    unsigned long long rng;
    int64_t began;
    struct samples samples;
    char trace[512];
};

static void prepare(struct run *r) {
    char config[1024];
    int n = snprintf(config, sizeof(config), "devices:\n  cpu: {memory: 14MiB}\nmodels:\n");
    daemon_prepare(&r->d, NULL);
    for (int i = 0; i < MODELS; i++) {
        char model[128];
        const int size =
            snprintf(model, sizeof(model), "berth-toy 1\nweights_bytes = %d\nload_ms = %d\n",
                     (3 + i % 2) << 20, 2 + 3 * i);
        test_dir_write(&r->d.dir, names[i] + 4, model, (size_t)size);
        n += snprintf(config + n, sizeof(config) - (size_t)n, "  %s: {path: %s}\n", names[i],
                      names[i] + 4);
    }
    test_dir_write(&r->d.dir, "berth.yaml", config, (size_t)n);
    if (r->seconds <= 60) { /* it grows by half a megabyte a second */
        r->d.trace = test_dir_path(&r->d.dir, "trace", r->trace);
    }
    /* it logs every request: a gigabyte in ten minutes; that it ends well is seen at its end */
    const int kept = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY);
    CHECK(kept >= 0 && none >= 0 && dup2(none, STDERR_FILENO) >= 0);
    daemon_start(&r->d);
    CHECK(dup2(kept, STDERR_FILENO) >= 0 && close(kept) == 0 && close(none) == 0);
    struct berth *first = remote_open(r->d.socket); /* what it opens once, it opens for him */
    struct berth_error err;
    berth_release(remote_acquire(first, names[0]));
    CHECK_OK(berth_cleanup(first, 0, 0, NULL, &err), err);
    berth_close(first, 0, NULL);
    daemon_sleep_ms(1000);
}

/* One thing that disturbs the others. */
static void disturb(struct run *r) {
    struct berth_error err;
    const size_t i = test_rand(&r->rng) % WORKERS;
    int rc = 0;
    switch (test_rand(&r->rng) % 8) {
    case 0:
        rc = berth_cleanup(r->b, 0, (int64_t)(test_rand(&r->rng) % 2 * 50), NULL, &err);
        r->cleanups++;
        break;
    case 1:
    case 2:
        CHECK(kill(r->workers[i], SIGKILL) == 0);
        CHECK(waitpid(r->workers[i], NULL, 0) == r->workers[i]);
        r->workers[i] = start_worker(r->d.socket, (int)(test_rand(&r->rng) % 1000000), r->seconds);
        r->kills++;
        break;
    default:
        rc = berth_unload(r->b, names[test_rand(&r->rng) % MODELS], 20, &err);
        r->unloads++;
    }
    CHECK(rc == 0 || rc == BERTH_ETIMEDOUT);
}

static void go_on(struct run *r, int64_t until) {
    int64_t sampled = 0;
    while (bth_now() < until) {
        disturb(r);
        daemon_sleep_ms((long)(test_rand(&r->rng) % 300));
        if (bth_now() - sampled >= BTH_NS_PER_S && r->samples.n < MAX_SAMPLES) {
            sampled = bth_now();
            r->samples.at[r->samples.n] = (double)(sampled - r->began) / 1e9;
            r->samples.mib[r->samples.n++] = rss_mib(r->d.pid);
        }
    }
}

static void end_workers(struct run *r) {
    for (int i = 0; i < WORKERS; i++) {
        int status;
        CHECK(kill(r->workers[i], SIGKILL) == 0 || errno == ESRCH);
        CHECK(waitpid(r->workers[i], &status, 0) == r->workers[i]);
        CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    }
}

/* Waits for what the dead have left behind to be given back. */
static void wait_for_leases(const struct run *r) {
    for (int i = 0; i < 300 && metric(&r->d, "berth_events_total{kind=\"grant\"}") !=
                                   metric(&r->d, "berth_lease_hold_seconds_count");
         i++) {
        daemon_sleep_ms(20);
    }
}

static void expect_base(const struct run *r, int fds, int threads) {
    for (int i = 0;
         i < 300 && (count_in(r->d.pid, "fd") > fds || count_in(r->d.pid, "task") > threads); i++) {
        daemon_sleep_ms(20); /* the connections that were asked last are closing */
    }
    printf("measure 9: descriptors %d, threads %d; before %d, %d\n", count_in(r->d.pid, "fd"),
           count_in(r->d.pid, "task"), fds, threads);
    if (count_in(r->d.pid, "fd") > fds) {
        print_descriptors(r->d.pid);
    }
    CHECK(count_in(r->d.pid, "fd") <= fds && count_in(r->d.pid, "task") <= threads);
}

static void report(struct run *r) {
    const uint64_t grants = metric(&r->d, "berth_events_total{kind=\"grant\"}");
    const uint64_t revokes = metric(&r->d, "berth_events_total{kind=\"revoke\"}");
    const uint64_t ended = metric(&r->d, "berth_lease_hold_seconds_count");
    printf("measure 9: %d s: %llu grants = %llu given back + %llu revoked; %llu loads, %llu "
           "evictions; "
           "%d processes killed, %d clean-ups, %d unloads\n",
           r->seconds, (unsigned long long)grants, (unsigned long long)(ended - revokes),
           (unsigned long long)revokes,
           (unsigned long long)metric(&r->d, "berth_events_total{kind=\"load\"}"),
           (unsigned long long)metric(&r->d, "berth_events_total{kind=\"evict\"}"), r->kills,
           r->cleanups, r->unloads);
    printf("measure 9: in this process: %llu answers compared, %llu cut short, %llu refusals, %llu "
           "exclusives\n",
           (unsigned long long)answers, (unsigned long long)cut_short, (unsigned long long)refusals,
           (unsigned long long)exclusives);
    const double rise = slope(&r->samples);
    printf("measure 9: memory: %.1f MiB after %d s, %.1f at the end; slope %.2f MiB in 10 min over "
           "%zu "
           "samples\n",
           r->samples.mib[0], WARM_UP_S, r->samples.mib[r->samples.n - 1], rise, r->samples.n);
    CHECK(grants > 100 && grants == ended);
    CHECK(answers > 0 && exclusives > 0);
    if (r->seconds >= 300 && !TEST_SANITIZED) { /* a short run says little about a slope */
        CHECK(rise < 1);
    }
}

/* What it has decided is what the step decides, given the same. */
static void replay(const char *trace) {
    int status;
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl(BTH_TEST_REPLAY, "replay_core", trace, (char *)NULL);
        _exit(99);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    static struct run r;
    struct user users[THREADS];
    if (argc == 5 && strcmp(argv[1], "worker") == 0) {
        return worker(argv[2], argv[3], argv[4]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    r.seconds = argc > 1 ? atoi(argv[1]) : !getenv("BERTH_LONG") ? 10 : TEST_SANITIZED ? 60 : 600;
    r.rng = 20;
    prepare(&r);
    const int fds = count_in(r.d.pid, "fd"), threads = count_in(r.d.pid, "task");
    r.b = remote_open(r.d.socket);
    r.began = bth_now();
    for (int i = 0; i < WORKERS; i++) {
        r.workers[i] = start_worker(r.d.socket, i, r.seconds);
    }
    start_users(users, r.d.socket, 99, r.began + r.seconds * BTH_NS_PER_S);
    daemon_sleep_ms(WARM_UP_S * 1000);
    go_on(&r, r.began + r.seconds * BTH_NS_PER_S);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
    }
    end_workers(&r);
    struct berth_error err;
    CHECK_OK(berth_cleanup(r.b, 0, 0, NULL, &err), err);
    berth_close(r.b, 0, NULL);
    wait_for_leases(&r);
    report(&r);
    expect_base(&r, fds, threads);
    const int status = daemon_end(&r.d, SIGTERM);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (r.d.trace) {
        replay(r.d.trace);
    }
    test_dir_close(&r.d.dir);
    return 0;
}

/* Leases asked for without waiting: the place in the queue, leaving it, threads, ends and forks. */
#include "base/alloc.h"
#include "lib/test.h"
#include <berth/berth.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/berth-test-XXXXXX";
static char path[64], other[64];

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int try_open(struct berth **out, struct berth_error *err) {
    const struct berth_model_spec specs[] = {
        {.name = "toy/a", .path = path},
        {.name = "marian/en-de", .path = path, .alias = "german", .engine = "toy"}};
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    config.models = specs;
    config.n_models = 2;
    config.cpu_memory_bytes = 100000000;
    config.threads = 1;
    return berth_open(&config, out, err);
}

static struct berth *open_it(void) {
    struct berth *b;
    struct berth_error err;
    CHECK_OK(try_open(&b, &err), err);
    return b;
}

static struct berth_ticket *ask(struct berth *b, const char *what, enum berth_mode mode) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_ticket *t;
    struct berth_error err;
    o.mode = mode;
    CHECK_OK(berth_acquire_start(b, what, &o, &t, &err), err);
    return t;
}

/* Within 10 s; the ticket is used up. */
static struct berth_lease *take(struct berth_ticket *t) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_ticket_wait(t, 10000, &lease, &err), err);
    berth_ticket_free(t);
    return lease;
}

static int look(struct berth_ticket *t) {
    struct berth_lease *lease;
    int rc = berth_ticket_wait(t, 0, &lease, NULL);
    CHECK(rc < 0);
    return rc;
}

static uint64_t leases(struct berth *b, const char *family) {
    struct berth_usage usage = BERTH_USAGE_INIT;
    CHECK_INT(berth_usage(b, &usage), 0);
    for (uint32_t i = 0; i < usage.n_families; i++) {
        if (strcmp(usage.families[i].family, family) == 0) {
            return usage.families[i].leases;
        }
    }
    TEST_FAIL("no family %s", family);
}

static void test_queue(void) {
    struct berth *b = open_it();
    struct berth_error err;
    struct berth_lease *lease;
    struct berth_lease *first = take(ask(b, "toy/a", BERTH_SHARED));
    CHECK_STR(berth_lease_model(first), "toy/a");
    struct berth_ticket *all = ask(b, "toy", BERTH_EXCLUSIVE);
    struct berth_ticket *late = ask(b, "toy/a", BERTH_SHARED);
    for (int i = 0; i < 5; i++) { /* the place is kept over waits that find nothing */
        CHECK_INT(berth_ticket_wait(late, 2, &lease, &err), BERTH_ETIMEDOUT);
        CHECK_INT(berth_ticket_wait(all, 2, &lease, &err), BERTH_ETIMEDOUT);
    }
    berth_release(first);
    CHECK_OK(berth_ticket_wait(all, 10000, &lease, &err), err);
    CHECK_INT(look(late), BERTH_ETIMEDOUT);
    CHECK_INT(look(all), BERTH_ESTATE);
    berth_ticket_free(all); /* the lease stays */
    CHECK_INT(look(late), BERTH_ETIMEDOUT);
    berth_release(lease);
    berth_release(take(late));
    CHECK_INT(leases(b, "toy"), 0);
    CHECK_OK(berth_close(b, 0, &err), err);
}

static void test_leaving(void) {
    struct berth *b = open_it();
    struct berth_error err;
    struct berth_lease *first = take(ask(b, "german", BERTH_SHARED));
    CHECK_STR(berth_lease_model(first), "marian/en-de");
    CHECK_INT(leases(b, "marian"), 1);
    struct berth_ticket *all = ask(b, "marian", BERTH_EXCLUSIVE);
    struct berth_ticket *late = ask(b, "german", BERTH_SHARED);
    CHECK_INT(look(late), BERTH_ETIMEDOUT);
    berth_ticket_free(all); /* who queued behind it is served */
    berth_release(take(late));
    berth_release(first);
    berth_ticket_free(ask(b, "toy/a", BERTH_SHARED));  /* while it loads */
    berth_ticket_free(ask(b, "german", BERTH_SHARED)); /* granted, never taken */
    CHECK_INT(leases(b, "marian"), 0);
    berth_ticket_free(NULL);
    CHECK_OK(berth_close(b, 0, &err), err);
}

static void test_errors(void) {
    struct berth *b = open_it();
    struct berth_error err;
    struct berth_ticket *t = NULL;
    struct berth_lease *lease = NULL;
    CHECK_INT(berth_acquire_start(NULL, "toy/a", NULL, &t, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire_start(b, NULL, NULL, &t, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire_start(b, "toy/a", NULL, NULL, &err), BERTH_EINVAL);
    struct berth_acquire_options o = {0};
    CHECK_INT(berth_acquire_start(b, "toy/a", &o, &t, &err), BERTH_EINVAL);
    CHECK_INT(berth_acquire_start(b, "toy/none", NULL, &t, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_acquire_start(b, "toy", NULL, &t, &err), BERTH_ENOTFOUND); /* not exclusive */
    CHECK_INT(berth_acquire_start(b, folder, NULL, &t, &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_ticket_wait(NULL, 0, &lease, &err), BERTH_EINVAL);
    CHECK(!t && !lease);
    t = ask(b, other, BERTH_SHARED); /* a path becomes known */
    CHECK_INT(berth_ticket_wait(t, 0, NULL, &err), BERTH_EINVAL);
    lease = take(t);
    CHECK_STR(berth_lease_model(lease), "toy/other");
    berth_release(lease);
    /* an upgrade that could wait for ever: said by the wait */
    o = (struct berth_acquire_options)BERTH_ACQUIRE_INIT;
    o.owner = berth_owner_new(b);
    CHECK_OK(berth_acquire(b, "toy/a", &o, &lease, &err), err);
    o.mode = BERTH_EXCLUSIVE;
    CHECK_OK(berth_acquire_start(b, "toy/a", &o, &t, &err), err);
    CHECK_INT(look(t), BERTH_EUPGRADE);
    CHECK_INT(look(t), BERTH_EUPGRADE);
    berth_ticket_free(t);
    berth_release(lease);
    CHECK_OK(berth_close(b, 0, &err), err);
}

static void *close_it(void *b) {
    berth_close(b, 10000, NULL);
    return NULL;
}

static void test_close(void) {
    struct berth *b = open_it();
    struct berth_lease *first = take(ask(b, "toy/a", BERTH_SHARED));
    struct berth_ticket *all = ask(b, "toy", BERTH_EXCLUSIVE);
    struct berth_ticket *granted = ask(b, "german", BERTH_SHARED);
    while (leases(b, "marian") == 0) {
        sleep_ms(1);
    }
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, close_it, b), 0);
    struct berth_lease *none;
    struct berth_error err;
    CHECK_INT(berth_ticket_wait(all, 10000, &none, &err), BERTH_ESHUTDOWN);
    berth_release(first);
    struct berth_lease *late = take(granted); /* good for release, whether it was revoked or not */
    berth_release(late);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(look(all), BERTH_ESHUTDOWN); /* the ticket outlives the manager */
    berth_ticket_free(all);
}

static void test_fork(void) {
    struct berth *b = open_it();
    struct berth_ticket *t = ask(b, "toy/a", BERTH_SHARED);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct berth_lease *lease;
        int rc = berth_ticket_wait(t, 0, &lease, NULL);
        berth_ticket_free(t);
        _exit(rc == BERTH_EFORKED ? 0 : 1);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    berth_release(take(t));
    CHECK_INT(berth_close(b, 0, NULL), 0);
}

static void *crowd(void *arg) {
    struct berth *b = arg;
    for (int i = 0; i < 100; i++) {
        struct berth_ticket *t =
            ask(b, i % 3 ? "toy/a" : "toy", i % 3 ? BERTH_SHARED : BERTH_EXCLUSIVE);
        if (i % 7 == 0) {
            berth_ticket_free(t);
            continue;
        }
        berth_release(take(t));
    }
    return NULL;
}

static void test_crowd(void) {
    struct berth *b = open_it();
    struct berth_error err;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, crowd, b), 0);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    CHECK_INT(leases(b, "toy"), 0);
    CHECK_OK(berth_close(b, 0, &err), err);
}

static void test_allocations(void) {
    struct berth *b = open_it();
    berth_release(take(ask(b, "toy/a", BERTH_SHARED)));
    bool failed = true;
    for (long n = 1; failed; n++) {
        struct berth_ticket *t = NULL;
        struct berth_lease *lease = NULL;
        const long live = bth_alloc_live();
        bth_alloc_fail_at(n);
        int rc = berth_acquire_start(b, "toy/a", NULL, &t, NULL);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK(rc == 0 || (rc == BERTH_ENOMEM && !t));
        if (rc == 0 && (rc = berth_ticket_wait(t, 10000, &lease, NULL)) < 0) {
            CHECK_INT(rc, BERTH_ENOMEM);
        }
        CHECK(failed || lease);
        berth_ticket_free(t);
        berth_release(lease);
        CHECK_INT(bth_alloc_live(), live);
    }
    CHECK_INT(leases(b, "toy"), 0);
    CHECK_INT(berth_close(b, 0, NULL), 0);
}

static void write_model(char *out, size_t size, const char *name) {
    snprintf(out, size, "%s/%s", folder, name);
    FILE *f = fopen(out, "w");
    CHECK(f);
    fputs("berth-toy 1\nload_ms = 20\n", f);
    fclose(f);
}

int main(void) {
    CHECK(mkdtemp(folder));
    write_model(path, sizeof(path), "model");
    write_model(other, sizeof(other), "other");
    test_queue();
    test_leaving();
    test_errors();
    test_close();
    test_fork();
    test_crowd();
    test_allocations();
    unlink(path);
    unlink(other);
    rmdir(folder);
    return 0;
}

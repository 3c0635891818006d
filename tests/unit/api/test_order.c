/* Who comes before whom, who is told that he would wait for ever, and models out of use: through
 * berth.h with real threads and the toy engine. */
#include "base/alloc.h"
#include "lib/toys.h"
#include <berth/berth.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { MODELS = 3 };
static char folder[] = "/tmp/berth-test-XXXXXX", path[64];
static const char *const names[MODELS] = {"toy/a", "toy/b", "toy/c"};

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct berth *open_all(bool disabled) {
    struct berth_model_spec specs[MODELS];
    for (int i = 0; i < MODELS; i++) {
        specs[i] = (struct berth_model_spec){.name = names[i], .path = path};
    }
    specs[2].disabled = disabled;
    return test_open_models(specs, MODELS);
}

static int ask(struct berth *b, const char *what, enum berth_mode mode, uint64_t owner,
               struct berth_lease **out, struct berth_error *err) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.mode = mode;
    o.owner = owner;
    o.tag = owner == 1 ? "import" : "web";
    return berth_acquire(b, what, &o, out, err);
}

static struct berth_lease *take(struct berth *b, const char *what, enum berth_mode mode,
                                uint64_t owner) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(ask(b, what, mode, owner, &lease, &err), err);
    return lease;
}

static uint64_t waiting(struct berth *b, size_t model, enum berth_model_state *state) {
    struct berth_model_stats all[MODELS];
    CHECK_INT(berth_models(b, all, sizeof(*all), MODELS), MODELS);
    if (state) {
        *state = all[model].state;
    }
    return all[model].waiting;
}

/* ---- priorities ------------------------------------------------------------------------------*/

static struct berth_ticket *queue(struct berth *b, int priority) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    struct berth_ticket *ticket;
    struct berth_error err;
    o.mode = BERTH_EXCLUSIVE;
    o.priority = priority;
    CHECK_OK(berth_acquire_start(b, "toy/a", &o, &ticket, &err), err);
    return ticket;
}

static void test_priorities(void) {
    struct berth *b = open_all(false);
    struct berth_error err;
    struct berth_lease *lease, *none;
    struct berth_lease *first = take(b, "toy/a", BERTH_EXCLUSIVE, 0);
    struct berth_ticket *tickets[3] = {queue(b, 0), queue(b, 5), queue(b, 9)};
    berth_release(first);
    for (int i = 2; i >= 0; i--) {
        CHECK_OK(berth_ticket_wait(tickets[i], 5000, &lease, &err), err);
        for (int k = 0; k < i; k++) {
            CHECK_INT(berth_ticket_wait(tickets[k], 0, &none, &err), BERTH_ETIMEDOUT);
        }
        berth_release(lease);
        berth_ticket_free(tickets[i]);
    }
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    o.priority = 10;
    CHECK_INT(berth_acquire(b, "toy/a", &o, &none, &err), BERTH_EINVAL);
    o.priority = -1;
    CHECK_INT(berth_acquire(b, "toy/a", &o, &none, &err), BERTH_EINVAL);
    o.struct_size = offsetof(struct berth_acquire_options, priority); /* of an older version */
    CHECK_OK(berth_acquire(b, "toy/a", &o, &lease, &err), err);
    berth_release(lease);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

/* ---- rings -----------------------------------------------------------------------------------*/

static void *take_b(void *arg) {
    struct berth_lease *outer = take(arg, "toy/a", BERTH_EXCLUSIVE, 1);
    struct berth_lease *inner = take(arg, "toy/b", BERTH_SHARED, 1);
    berth_release(inner);
    berth_release(outer);
    return NULL;
}

static void test_ring(void) {
    struct berth *b = open_all(false);
    struct berth_error err;
    struct berth_lease *none = NULL;
    pthread_t thread;
    struct berth_lease *mine = take(b, "toy/b", BERTH_EXCLUSIVE, 2);
    CHECK_INT(pthread_create(&thread, NULL, take_b, b), 0);
    while (waiting(b, 1, NULL) == 0) {
        sleep_ms(1);
    }
    CHECK_INT(ask(b, "toy/a", BERTH_EXCLUSIVE, 2, &none, &err), BERTH_EDEADLOCK);
    CHECK(strstr(err.message, "toy/a: would wait for ever"));
    CHECK(strstr(err.message, "(import waits for toy/b)"));
    CHECK(!none && !berth_error_retryable(err.code));
    berth_release(mine);
    pthread_join(thread, NULL);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

/* Everybody takes what he likes inside what he has, without a time-out: nobody hangs. */
struct taker {
    struct berth *b;
    pthread_t thread;
    unsigned long long rng;
    uint64_t owner, refused;
};

static void *take_any(void *arg) {
    struct taker *t = arg;
    for (int i = 0; i < 400; i++) {
        struct berth_lease *held[3];
        int n = 0;
        for (; n < 3; n++) {
            const uint64_t r = test_rand(&t->rng) >> 20;
            struct berth_error err;
            int rc = ask(t->b, r % 11 == 0 ? "toy" : names[r % MODELS],
                         r % 11 == 0 || r % 2 ? BERTH_EXCLUSIVE : BERTH_SHARED, t->owner, &held[n],
                         &err);
            if (rc < 0) {
                t->refused += rc == BERTH_EDEADLOCK;
                CHECK(rc == BERTH_EDEADLOCK || rc == BERTH_EUPGRADE);
                break;
            }
        }
        while (n > 0) {
            berth_release(held[--n]);
        }
    }
    return NULL;
}

static void test_many(void) {
    enum { TAKERS = 4 };
    struct berth *b = open_all(false);
    struct berth_error err;
    struct taker takers[TAKERS];
    uint64_t refused = 0;
    for (uint64_t i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.b = b, .rng = i + 1, .owner = berth_owner_new(b)};
        CHECK_INT(pthread_create(&takers[i].thread, NULL, take_any, &takers[i]), 0);
    }
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(takers[i].thread, NULL);
        refused += takers[i].refused;
    }
    printf("refused in rings: %llu\n", (unsigned long long)refused);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

/* ---- out of use ------------------------------------------------------------------------------*/

struct waiter {
    struct berth *b;
    _Atomic int rc;
};

static void *wait_for_a(void *arg) {
    struct waiter *w = arg;
    struct berth_lease *lease = NULL;
    w->rc = ask(w->b, "toy/a", BERTH_EXCLUSIVE, 0, &lease, NULL);
    berth_release(lease);
    return NULL;
}

static void test_disable(void) {
    struct berth *b = open_all(true);
    struct berth_error err;
    struct berth_lease *none = NULL;
    enum berth_model_state state;
    pthread_t thread;
    CHECK_INT(ask(b, "toy/c", BERTH_SHARED, 0, &none, &err), BERTH_EDISABLED);
    waiting(b, 2, &state);
    CHECK_INT(state, BERTH_MODEL_DISABLED);
    CHECK_OK(berth_enable(b, "toy/c", &err), err);
    berth_release(take(b, "toy/c", BERTH_SHARED, 0));

    struct waiter w = {.b = b};
    struct berth_lease *held = take(b, "toy/a", BERTH_SHARED, 1);
    CHECK_INT(pthread_create(&thread, NULL, wait_for_a, &w), 0);
    while (waiting(b, 0, NULL) == 0) {
        sleep_ms(1);
    }
    CHECK_OK(berth_disable(b, "toy/a", &err), err);
    pthread_join(thread, NULL);
    CHECK_INT(w.rc, BERTH_EDISABLED);
    waiting(b, 0, &state);
    CHECK_INT(state, BERTH_MODEL_DRAINING);
    berth_release(take(b, "toy/a", BERTH_SHARED, 1)); /* one who holds it */
    CHECK_INT(berth_wait_available(b, "toy/a", 0, 9, -1, &err), BERTH_EDISABLED);
    berth_release(held);
    for (waiting(b, 0, &state); state != BERTH_MODEL_DISABLED; waiting(b, 0, &state)) {
        sleep_ms(1);
    }
    CHECK_OK(berth_disable(b, "toy/a", &err), err);
    CHECK_INT(ask(b, "toy/a", BERTH_SHARED, 1, &none, &err), BERTH_EDISABLED);
    CHECK(strstr(err.message, "toy/a: is disabled"));
    CHECK_INT(berth_disable(b, "toy/none", &err), BERTH_ENOTFOUND);
    CHECK_INT(berth_enable(b, NULL, &err), BERTH_EINVAL);
    CHECK(!none);
    CHECK_OK(berth_close(b, 1000, &err), err);
}

int main(void) {
    const int64_t live = bth_alloc_live();
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/toy", folder);
    FILE *f = fopen(path, "we");
    CHECK(f && fputs("berth-toy 1\n", f) > 0 && fclose(f) == 0);
    test_priorities();
    test_ring();
    test_many();
    test_disable();
    CHECK_INT(bth_alloc_live(), live);
    unlink(path);
    rmdir(folder);
    return 0;
}

#include "base/clock.h"
#include "base/sync.h"
#include "lib/test.h"
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

struct box {
    struct bth_mutex lock;
    struct bth_cond changed;
    int turn GUARDED_BY(sched), count GUARDED_BY(sched);
};
BTH_LOCK(box, struct box, lock, sched)

enum { ROUNDS = 2000 };

static void box_init(struct box *b) {
    *b = (struct box){.turn = 0};
    bth_mutex_init(&b->lock, BTH_RANK_sched);
    bth_cond_init(&b->changed);
}

static void box_finish(struct box *b) {
    bth_cond_finish(&b->changed);
    bth_mutex_finish(&b->lock);
}

/* Takes every other turn; both threads must come to an end. */
static void play(struct box *b, int me) {
    for (int i = 0; i < ROUNDS; i++) {
        box_lock(b);
        while (b->turn != me) {
            bth_cond_wait(&b->changed, &b->lock, BTH_FOREVER);
        }
        b->turn = !me;
        b->count++;
        bth_cond_signal(&b->changed);
        box_unlock(b);
    }
}

static void *second(void *arg) {
    sigset_t blocked;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0 && sigismember(&blocked, SIGTERM));
    play(arg, 1);
    return NULL;
}

static void ping_pong(void) {
    struct box b;
    struct bth_thread t = {0};
    box_init(&b);
    CHECK_INT(bth_thread_start(&t, "second", second, &b), 0);
    play(&b, 0);
    bth_thread_join(&t);
    bth_thread_join(&t); /* nothing the second time */
    box_lock(&b);
    CHECK_INT(b.count, 2 * ROUNDS);
    box_unlock(&b);
    box_finish(&b);
}

static void timeouts(void) {
    struct box b;
    box_init(&b);
    box_lock(&b);
    CHECK(bth_mutex_held(&b.lock));
    int64_t start = bth_now(), deadline = start + 20 * BTH_NS_PER_MS;
    while (bth_cond_wait(&b.changed, &b.lock, deadline)) {
    }
    CHECK(bth_now() >= deadline);
    CHECK(bth_mutex_held(&b.lock));
    CHECK(!bth_cond_wait(&b.changed, &b.lock, start)); /* in the past */
    box_unlock(&b);
    box_finish(&b);

    CHECK_INT(bth_deadline(5, 0), 5);
    CHECK_INT(bth_deadline(5, 3), 5 + 3 * BTH_NS_PER_MS);
    CHECK_INT(bth_deadline(5, -1), BTH_FOREVER);
    CHECK_INT(bth_deadline(5, INT64_MAX), BTH_FOREVER);
    CHECK_INT(bth_deadline(INT64_MAX - 1, 1), BTH_FOREVER);
}

#ifdef BTH_LOCK_CHECKS
/* A wrong order aborts: in a child, whose words about it are not wanted. */
static void wrong_order(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct bth_mutex inner, outer;
        CHECK(freopen("/dev/null", "w", stderr));
        bth_mutex_init(&inner, BTH_RANK_result);
        bth_mutex_init(&outer, BTH_RANK_core);
        bth_mutex_lock_(&inner);
        bth_mutex_lock_(&outer);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
#endif

int main(void) {
    ping_pong();
    timeouts();
    CHECK(bth_cpu_count() >= 1);
#ifdef BTH_LOCK_CHECKS
    wrong_order();
#endif
    return 0;
}

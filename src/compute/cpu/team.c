/*
 * DESIGN: two counters, each with its own sleepers.
 *
 *   round    raised by bth_team_run to hand out a job. Idle members wait for it to change.
 *   epoch    raised by the last member to arrive at a barrier. The others wait for it to change.
 *
 * Waiting is: spin while the value is the old one; then announce oneself in `sleepers` and sleep in
 * the kernel on that value. Raising is: store the value, then wake if there are sleepers. Both
 * sides are sequentially consistent, so either the raiser sees the sleeper or the sleeper sees the
 * new value (futex checks it again), and no wake-up is lost. The end of a run is one more barrier.
 */
#define _GNU_SOURCE /* syscall */
#include "team.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sync.h"
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPINS_PER_LOOK = 64, /* at the clock */
    CACHE_LINE = 64
};

struct event {
    atomic_uint value;
    atomic_uint sleepers;
    char pad[CACHE_LINE - 2 * sizeof(atomic_uint)]; /* so that two events never share a line */
};

struct bth_team {
    struct event round, epoch;
    atomic_uint arrived; /* at the barrier of this epoch */
    int size;
    bool stopping; /* these three are written before `round` is raised, read after */
    bth_team_fn fn;
    void *arg;
    struct member {
        struct bth_team *team;
        int index;
        struct bth_thread thread;
    } * members; /* [size], the first without a thread */
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void event_raise(struct event *e) {
    atomic_fetch_add(&e->value, 1);
    if (atomic_load(&e->sleepers)) {
        syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

/* Until the value is no longer `old`. */
static void event_wait(struct event *e, unsigned old) {
    int64_t until = 0;
    do {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(&e->value, memory_order_acquire) != old) {
                return;
            }
            relax();
        }
        const int64_t now = bth_now();
        until = until ? until : now + BTH_TEAM_SPIN_NS;
        if (now >= until) {
            break;
        }
    } while (true);
    atomic_fetch_add(&e->sleepers, 1);
    while (atomic_load(&e->value) == old) {
        syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub(&e->sleepers, 1);
}

void bth_team_barrier(struct bth_team *t) {
    if (t->size == 1) {
        return;
    }
    /* The epoch cannot move before this member has arrived. */
    const unsigned old = atomic_load_explicit(&t->epoch.value, memory_order_relaxed);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == (unsigned)t->size) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed); /* published by the raise */
        event_raise(&t->epoch);
    } else {
        event_wait(&t->epoch, old);
    }
}

static void *member_main(void *p) {
    const struct member *m = p;
    struct bth_team *t = m->team;
    for (unsigned round = 0;; round++) {
        event_wait(&t->round, round);
        if (t->stopping) {
            return NULL;
        }
        t->fn(t->arg, m->index);
        bth_team_barrier(t);
    }
}

void bth_team_run(struct bth_team *t, bth_team_fn fn, void *arg) {
    t->fn = fn;
    t->arg = arg;
    event_raise(&t->round);
    fn(arg, 0);
    bth_team_barrier(t);
}

int bth_team_size(const struct bth_team *t) {
    return t->size;
}

void bth_team_destroy(struct bth_team *t) {
    if (!t) {
        return;
    }
    t->stopping = true;
    event_raise(&t->round);
    for (int i = 1; i < t->size; i++) {
        bth_thread_join(&t->members[i].thread);
    }
    bth_free(t->members);
    bth_free(t);
}

int bth_team_create(int size, struct bth_team **out, struct berth_error *err) {
    struct bth_team *t = bth_calloc(1, sizeof(*t));
    if (!t) {
        return bth_error_nomem(err);
    }
    t->size = size;
    t->members = bth_calloc((size_t)size, sizeof(*t->members));
    if (!t->members) {
        bth_free(t);
        return bth_error_nomem(err);
    }
    for (int i = 1; i < size; i++) {
        struct member *m = &t->members[i];
        char name[16];
        snprintf(name, sizeof(name), "berth-cpu-%d", i % 10000);
        m->team = t;
        m->index = i;
        if (bth_thread_start(&m->thread, name, member_main, m) < 0) {
            bth_team_destroy(t); /* the members that did not start are not joined */
            return bth_error(err, BERTH_ENOMEM, "cannot start thread %d of %d", i, size);
        }
    }
    *out = t;
    return 0;
}

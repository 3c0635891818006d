#define _GNU_SOURCE /* pthread_setname_np, sched_getaffinity */
#include "base/sync.h"

#include "base/clock.h"
#include <assert.h>
#include <berth/error.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <time.h>

#ifdef BTH_LOCK_CHECKS
enum { MAX_HELD = 8 };
static _Thread_local enum bth_rank_number held_ranks[MAX_HELD];
static _Thread_local int n_held;

static void note_lock(const struct bth_mutex *m) {
    assert(n_held < MAX_HELD);
    assert((n_held == 0 || held_ranks[n_held - 1] < m->rank) && "lock order, see base/sync.h");
    held_ranks[n_held++] = m->rank;
}

static void note_unlock(const struct bth_mutex *m) {
    assert(n_held > 0 && held_ranks[n_held - 1] == m->rank);
    n_held--;
}
#else
static void note_lock(const struct bth_mutex *m) {
    (void)m;
}
static void note_unlock(const struct bth_mutex *m) {
    (void)m;
}
#endif

void bth_mutex_init(struct bth_mutex *m, enum bth_rank_number rank) {
    pthread_mutex_init(&m->mutex, NULL);
    m->rank = rank;
    m->held = false;
}

void bth_mutex_finish(struct bth_mutex *m) {
    pthread_mutex_destroy(&m->mutex);
}

void bth_mutex_lock_(struct bth_mutex *m) {
    note_lock(m);
    pthread_mutex_lock(&m->mutex);
    m->owner = pthread_self();
    m->held = true;
}

void bth_mutex_unlock_(struct bth_mutex *m) {
    note_unlock(m);
    m->held = false;
    pthread_mutex_unlock(&m->mutex);
}

bool bth_mutex_held(const struct bth_mutex *m) {
#ifdef BTH_LOCK_CHECKS
    return m->held && pthread_equal(m->owner, pthread_self());
#else
    (void)m;
    return true;
#endif
}

void bth_cond_init(struct bth_cond *c) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void bth_cond_finish(struct bth_cond *c) {
    pthread_cond_destroy(&c->cond);
}

void bth_cond_signal(struct bth_cond *c) {
    pthread_cond_signal(&c->cond);
}

void bth_cond_broadcast(struct bth_cond *c) {
    pthread_cond_broadcast(&c->cond);
}

bool bth_cond_wait(struct bth_cond *c, struct bth_mutex *m, int64_t deadline) {
    int rc;
    m->held = false;
    if (deadline == BTH_FOREVER) {
        rc = pthread_cond_wait(&c->cond, &m->mutex);
    } else {
        struct timespec t = {.tv_sec = (time_t)(deadline / BTH_NS_PER_S),
                             .tv_nsec = (long)(deadline % BTH_NS_PER_S)};
        rc = pthread_cond_timedwait(&c->cond, &m->mutex, &t);
    }
    m->owner = pthread_self();
    m->held = true;
    return rc == 0;
}

static void *thread_main(void *p) {
    const struct bth_thread *t = p;
    pthread_setname_np(pthread_self(), t->name);
    return t->fn(t->arg);
}

int bth_thread_start(struct bth_thread *t, const char *name, void *(*fn)(void *), void *arg) {
    t->fn = fn;
    t->arg = arg;
    snprintf(t->name, sizeof(t->name), "%s", name);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the application's threads */
    int rc = pthread_create(&t->thread, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    t->started = rc == 0;
    return rc == 0 ? 0 : BERTH_ENOMEM;
}

void bth_thread_join(struct bth_thread *t) {
    if (t->started) {
        pthread_join(t->thread, NULL);
        t->started = false;
    }
}

void bth_thread_leave(struct bth_thread *t) {
    if (t->started) {
        pthread_detach(t->thread);
        t->started = false;
    }
}

/* The cgroup v2 quota in whole cores, or `limit` where there is none. */
static int cgroup_quota(int limit) {
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) {
        return limit;
    }
    long long quota, period;
    int n = fscanf(f, "%lld %lld", &quota, &period);
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0) {
        return limit;
    }
    long long cores = (quota + period - 1) / period;
    return cores < limit ? (int)cores : limit;
}

int64_t bth_thread_id(void) {
    return (int64_t)syscall(SYS_gettid);
}

int bth_cpu_count(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    n = cgroup_quota(n);
    return n < 1 ? 1 : n;
}

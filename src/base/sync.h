/*
 * base/sync.h - mutexes with ranks, condition variables, threads.
 *
 * THE LOCK ORDER, outermost first:  server > core > sched > pool > result > stats
 * The log is written with nothing held. Nothing blocks under a lock: no engine or backend call,
 * file, socket, callback or wait on another object; such functions are marked BLOCKING.
 *
 * The order is compiled: clang 14 -Wthread-safety -Wthread-safety-beta knows a rank token per lock
 * class (objects that are never defined), and every lock has a typed pair x_lock/x_unlock made by
 * BTH_LOCK. It is checked at run time too in debug builds (BTH_LOCK_CHECKS): a wrong order aborts.
 *
 *     struct queue { struct bth_mutex lock; int depth GUARDED_BY(sched); };
 *     BTH_LOCK(queue, struct queue, lock, sched)
 *     queue_lock(q); q->depth++; queue_unlock(q);
 */
#ifndef BTH_SYNC_H
#define BTH_SYNC_H

#include "base/compiler.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define GUARDED_BY(r) BTH_TSA(guarded_by(bth_rank_##r))
#define REQUIRES(r)   BTH_TSA(requires_capability(bth_rank_##r))
#define ACQUIRES(r)   BTH_TSA(acquire_capability(bth_rank_##r))
#define RELEASES(r)   BTH_TSA(release_capability(bth_rank_##r))
#define EXCLUDES(r)   BTH_TSA(locks_excluded(bth_rank_##r))
#define BLOCKING                                                                                   \
    BTH_TSA(locks_excluded(bth_rank_server, bth_rank_core, bth_rank_sched, bth_rank_pool,          \
                           bth_rank_result, bth_rank_stats))

struct BTH_TSA(capability("rank")) bth_rank {
    char unused;
};
extern struct bth_rank bth_rank_stats;
extern struct bth_rank bth_rank_result BTH_TSA(acquired_before(bth_rank_stats));
extern struct bth_rank bth_rank_pool BTH_TSA(acquired_before(bth_rank_result));
extern struct bth_rank bth_rank_sched BTH_TSA(acquired_before(bth_rank_pool));
extern struct bth_rank bth_rank_core BTH_TSA(acquired_before(bth_rank_sched));
extern struct bth_rank bth_rank_server BTH_TSA(acquired_before(bth_rank_core));

enum bth_rank_number {
    BTH_RANK_server = 1,
    BTH_RANK_core,
    BTH_RANK_sched,
    BTH_RANK_pool,
    BTH_RANK_result,
    BTH_RANK_stats
};

struct bth_mutex {
    pthread_mutex_t mutex;
    enum bth_rank_number rank;
    pthread_t owner; /* debug builds */
    bool held;
};
struct bth_cond {
    pthread_cond_t cond; /* on the monotonic clock */
};

void bth_mutex_init(struct bth_mutex *m, enum bth_rank_number rank);
void bth_mutex_finish(struct bth_mutex *m);
void bth_mutex_lock_(struct bth_mutex *m);
void bth_mutex_unlock_(struct bth_mutex *m);
/* For assert() first thing in every _locked function; always true without BTH_LOCK_CHECKS. */
bool bth_mutex_held(const struct bth_mutex *m);

/* A typed pair per lock: <name>_lock(o) and <name>_unlock(o). */
#define BTH_LOCK(name, type, field, r)                                                             \
    BTH_UNUSED static inline void name##_lock(type *o) ACQUIRES(r)                                 \
        BTH_TSA(no_thread_safety_analysis);                                                        \
    BTH_UNUSED static inline void name##_lock(type *o) {                                           \
        bth_mutex_lock_(&o->field);                                                                \
    }                                                                                              \
    BTH_UNUSED static inline void name##_unlock(type *o) RELEASES(r)                               \
        BTH_TSA(no_thread_safety_analysis);                                                        \
    BTH_UNUSED static inline void name##_unlock(type *o) {                                         \
        bth_mutex_unlock_(&o->field);                                                              \
    }

void bth_cond_init(struct bth_cond *c);
void bth_cond_finish(struct bth_cond *c);
void bth_cond_signal(struct bth_cond *c);
void bth_cond_broadcast(struct bth_cond *c);
/* Waits until signalled or `deadline` (bth_now's clock; BTH_FOREVER: no limit), with m held.
 * false: the deadline has passed. Wakes for no reason too: call it in a loop. */
bool bth_cond_wait(struct bth_cond *c, struct bth_mutex *m, int64_t deadline);

/* Stays where it is from start to join. */
struct bth_thread {
    pthread_t thread;
    bool started;
    void *(*fn)(void *);
    void *arg;
    char name[16];
};
/* Starts fn(arg) under a name of at most 15 bytes, all signals blocked. 0 or BERTH_ENOMEM. */
int bth_thread_start(struct bth_thread *t, const char *name, void *(*fn)(void *), void *arg);
/* The kernel's number of the calling thread, as tools show it. */
int64_t bth_thread_id(void);
/* Joins; nothing if it was never started. */
void bth_thread_join(struct bth_thread *t) BLOCKING;
/* Never joins: for one that hangs. What it uses must stay. */
void bth_thread_leave(struct bth_thread *t);

/* Cores this process may use: affinity and cgroup quota, at least 1. */
int bth_cpu_count(void);

#endif

/*
 * compute/cpu/team.h - the threads that walk a program together, and their barrier.
 *
 * Member 0 is whoever calls bth_team_run; the others are threads of their own, named "berth-cpu-N".
 * Nobody shares mutable state through the team but the barrier itself. Waiting spins for at most
 * BTH_TEAM_SPIN_NS and then sleeps, so an idle team costs nothing and several processes may embed
 * one each.
 *
 * Thread rule: one thread at a time calls bth_team_run; bth_team_barrier only inside of it.
 */
#ifndef BTH_TEAM_H
#define BTH_TEAM_H

#include <berth/error.h>

#define BTH_TEAM_SPIN_NS 50000

struct bth_team;

/* Runs on every member, the caller as member 0. */
typedef void (*bth_team_fn)(void *arg, int member);

/* `size` >= 1 members: size - 1 threads are started. ENOMEM. */
int bth_team_create(int size, struct bth_team **out, struct berth_error *err);
void bth_team_destroy(struct bth_team *t); /* NULL is allowed */
int bth_team_size(const struct bth_team *t);

/* Calls fn(arg, m) once for each member m and returns when all have returned. */
void bth_team_run(struct bth_team *t, bth_team_fn fn, void *arg);

/* Inside of fn: waits for all members. What any wrote before, all see after. */
void bth_team_barrier(struct bth_team *t);

#endif

/*
 * tests/lib/drive.h - runs sessions of an engine directly, in batches of chosen sizes.
 *
 * No core, no scheduler, no threads: one loop that plays the scheduler's part with a seeded choice
 * of who steps with whom, so that any mixture of company can be made and made again.
 */
#ifndef BTH_DRIVE_H
#define BTH_DRIVE_H

#include <berth/engine.h>

enum { DRIVE_STAGES = 8 };

struct drive_one {
    struct berth_request request;
    int64_t cancel_after; /* turns of this session, then cancel; -1: never */
    size_t limit_bytes;   /* less than it needs, to make it fail; 0: what it needs */
    int start_after;      /* turns of all before it begins */

    /* out */
    int rc; /* why it failed; 0: ended */
    struct berth_error err;
    struct berth_item *final; /* the caller's; NULL if it failed or was cancelled */
    size_t n_partial, n_progress, n_final;
    size_t high_bytes, need_bytes;
    int64_t turns;
};

struct drive_stats {
    size_t turns[DRIVE_STAGES], sessions[DRIVE_STAGES], most[DRIVE_STAGES];
    int retries; /* in: so many turns that fail for want of memory are tried again */
};

/* Runs all to their end; at most `company` sessions a turn; `seed` chooses who. Checks that every
 * byte drawn comes back and that no session draws more than it said. *stats is added to; NULL is
 * allowed. Returns 0, or why a whole turn failed (all sessions are ended then). */
int drive(struct berth_model *model, struct drive_one *all, size_t n, size_t company, uint64_t seed,
          struct drive_stats *stats);

/* Loads a model with unlimited reservations of its own; NULL and *err on failure. */
struct drive_model {
    struct berth_model *model;
    struct berth_reservation weights, workspace;
};
int drive_load(const struct berth_engine_ops *ops, const char *path, struct berth_device *device,
               struct drive_model *out, struct berth_error *err);
/* Checks that every byte has come back. */
void drive_unload(struct drive_model *m);

/* All of a final item as text, every bit of every number: equal texts, equal results. free() it. */
char *drive_print(const struct berth_item *item);
/* Checks that it has ended well and within what it said; its final item as text, freed. free() it.
 */
char *drive_take(struct drive_one *one);
/* Fails the test with the first line that differs. */
void drive_same(const char *what, const char *a, const char *b);

#endif

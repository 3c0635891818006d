/*
 * core/step_private.h - what the step's files share: step.c (events), step_lease.c (events of
 * leases), step_pump.c (grants, loads, evictions).
 */
#ifndef BTH_STEP_PRIVATE_H
#define BTH_STEP_PRIVATE_H

#include "core/step.h"

struct bth_action *bth_act(struct bth_actions *out, enum bth_action_kind kind);
void bth_act_work(struct bth_actions *out, uint64_t op);

/* Closing a generation: never opened again; freed at once when nobody is on it. */
void bth_gen_close(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);
/* A DRAIN generation without leases and uses begins to be freed. */
void bth_gen_settle(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);
/* Its last user has gone, or it is new: its time begins to run, if it has one. */
void bth_gen_rest(struct bth_state *s, struct bth_gen *g);
void bth_gen_dead(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);

struct bth_scope *bth_scope_of(struct bth_state *s, uint32_t scope);

/* Removes the ticket and answers it. */
void bth_ticket_refuse(struct bth_state *s, struct bth_ticket *t, enum bth_reason reason,
                       struct bth_actions *out);
void bth_tickets_refuse(struct bth_state *s, uint32_t scope, enum bth_reason reason,
                        struct bth_actions *out); /* all shared ones of a model */
void bth_grant(struct bth_state *s, const struct bth_ticket *t, struct bth_gen *g,
               struct bth_actions *out);
void bth_ticket_unlink(struct bth_state *s, struct bth_ticket *t); /* the row is gone */
struct bth_action *bth_refuse(const struct bth_state *s, struct bth_actions *out,
                              enum bth_action_kind kind, uint32_t scope, enum bth_reason reason);

/* step_lease.c: events of those who take leases. */
void bth_on_acquire(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_cancel(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_release(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_cleanup(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_revoke(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_close(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);
void bth_on_tick(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);

/* Answers a use that is OPEN or WAIT; it stays, pinning its model, until USE_END. */
void bth_use_refuse(struct bth_state *s, struct bth_use_row *u, enum bth_reason reason,
                    struct bth_actions *out);
void bth_use_unlink(struct bth_state *s, struct bth_use_row *u); /* WAIT only */

/* Leases or uses of the scope, or who waits for it, have changed: answers whoever can be answered
 * now, from the first of its queue on. Loads nothing: that is bth_pump's. */
void bth_pump_scope(struct bth_state *s, uint32_t scope, struct bth_actions *out);
void bth_pump_all(struct bth_state *s, struct bth_actions *out); /* every scope */
void bth_ask_estimate(struct bth_state *s, struct bth_model *m, struct bth_actions *out);
/* Bytes have moved: runs uses, starts loads, evicts, until nothing stirs. */
void bth_pump(struct bth_state *s, struct bth_actions *out);
/* Not even when all else were gone from its device. */
bool bth_use_is_impossible(const struct bth_state *s, const struct bth_use_row *u);
/* Runs or refuses a use of which no older one of its instance waits; false: it waits too. */
bool bth_pump_use(struct bth_state *s, struct bth_use_row *u, struct bth_actions *out);

#endif

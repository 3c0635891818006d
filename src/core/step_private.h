/*
 * core/step_private.h - what the step's files share: step.c (events), step_lease.c (events of
 * leases), step_ticket.c (places in queues), step_cycle.c (who would wait for ever), step_pump.c
 * (grants, loads), step_evict.c (who makes room), step_gen.c (generations and their instances).
 */
#ifndef BTH_STEP_PRIVATE_H
#define BTH_STEP_PRIVATE_H

#include "core/step.h"

struct bth_action *bth_act(struct bth_actions *out, enum bth_action_kind kind);
void bth_act_work(struct bth_actions *out, uint64_t op);

/* Closing a generation, with all its replicas, or one replica alone: never opened again; freed at
 * once when nobody is on it. */
void bth_gen_close(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);
/* A DRAIN generation without leases and uses begins to be freed. */
void bth_gen_settle(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);
/* Its last user has gone, or it is new: its time begins to run, if it has one. */
void bth_gen_rest(struct bth_state *s, struct bth_gen *g);
/* It is used, or has been. */
void bth_gen_touch(struct bth_state *s, struct bth_gen *g);
void bth_gen_dead(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);

struct bth_scope *bth_scope_of(struct bth_state *s, uint32_t scope);
struct bth_scope *bth_family_of(struct bth_state *s, uint32_t scope); /* that it is in, or is */

/* step_ticket.c: a newcomer's, in its place; he has a row unless he is nobody. */
struct bth_ticket *bth_ticket_add(struct bth_state *s, const struct bth_event *e,
                                  struct bth_owner *owner, bool inside);
/* Whether it would wait for ever. His priority may be the cause, if one whom he would overtake
 * holds what he wants: then the ticket is put last instead, and if he has nothing, nobody waits for
 * him. */
bool bth_ticket_would_deadlock(struct bth_state *s, struct bth_ticket *t,
                               const struct bth_owner *owner);
/* Whoever has nothing any more is forgotten. */
void bth_owner_rest(struct bth_state *s, struct bth_owner *owner);
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
void bth_on_disable(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);

/* step_cycle.c: whether a ticket that is in its queue, and has not been looked at there yet, would
 * wait for ever; then `ring` says with whom. Changes nothing else that counts. */
bool bth_ticket_is_stuck(struct bth_state *s, struct bth_ticket *t);

void bth_gens_rest(struct bth_state *s, uint32_t model); /* all of a model */
/* Another READY instance of its generation is there. */
bool bth_gen_is_spare(const struct bth_state *s, const struct bth_gen *g);
/* This instance goes; its generation stays where another is READY. */
void bth_gen_leave(struct bth_state *s, struct bth_gen *g, struct bth_actions *out);
/* Of the generation `id`: the instance for the next use; NULL: it has been lost. */
struct bth_gen *bth_gen_pick(struct bth_state *s, uint64_t id);
/* A use has come to this one: loads a replica if that may and need be. */
void bth_replicate(struct bth_state *s, const struct bth_gen *g, struct bth_actions *out);
void bth_on_device_lost(struct bth_state *s, const struct bth_event *e, struct bth_actions *out);

/* A use is over: it is counted, and gone. What its instance held for it is the caller's matter. */
void bth_use_drop(struct bth_state *s, struct bth_use_row *u, bool failed);
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
/* How gladly an instance is let go. One of several goes before all others when it is idle; busy (it
 * would end its uses first) when no other will do. */
enum bth_gladness { BTH_NOT_AT_ALL, BTH_WHEN_DONE, BTH_IDLE, BTH_SPARE };
/* Marks whom of those that go at least so gladly it takes for `need` bytes to be there once what is
 * leaving and being freed is back: maybe nobody. false: it cannot be. */
bool bth_find_room(struct bth_state *s, uint32_t device, uint64_t need, enum bth_gladness least);
/* Those that are marked go. */
void bth_evict_victims(struct bth_state *s, struct bth_actions *out);

/* What the model takes there, and whether it ever could have it. */
uint64_t bth_need_of(const struct bth_model *m, uint32_t device);
bool bth_could_run(const struct bth_state *s, const struct bth_model *m, uint32_t device);
/* `of`: as its replica; NULL: as a new generation. */
void bth_start_load(struct bth_state *s, uint32_t model, uint32_t device, struct bth_gen *of,
                    struct bth_actions *out);
/* Not even when all else were gone from its device. */
bool bth_use_is_impossible(const struct bth_state *s, const struct bth_use_row *u);
/* Runs or refuses a use of which no older one of its instance waits; false: it waits too. */
bool bth_pump_use(struct bth_state *s, struct bth_use_row *u, struct bth_actions *out);

#endif

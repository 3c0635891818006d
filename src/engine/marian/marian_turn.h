/*
 * engine/marian/marian_turn.h - what the turns of both device stages share. Device thread.
 */
#ifndef BTH_MARIAN_TURN_H
#define BTH_MARIAN_TURN_H

#include "marian/marian_session.h"

static inline struct marian_session *marian_turn_session(const struct berth_batch *b, uint32_t i) {
    return (struct marian_session *)b->sessions[i];
}
static inline int32_t *marian_turn_words(struct marian_model *m, size_t at) {
    return (int32_t *)(m->host_inputs + at);
}

/* Sends a turn's inputs: all but the tables, and the used rows of those; `own_columns`: of the
 * rows' own one. */
int marian_turn_send(struct marian_model *m, uint32_t rows, size_t own_columns,
                     struct berth_error *err);
int marian_turn_run(const struct marian_model *m, struct berth_program *p, uint32_t rows,
                    struct berth_error *err);

/* Gives up what the youngest sentence has got so far: it starts again when there is room. */
void marian_turn_back(struct marian_session *s);
/* Flight i has ended. What it has found is kept to the end; sentences that are younger make room
 * for it. */
int marian_turn_land(struct marian_session *s, int i);

/* marian_step.c */
int marian_step_enqueue(struct marian_model *m, struct berth_batch *b, struct berth_error *err);
int marian_step_settle(struct marian_model *m, struct berth_batch *b, struct berth_error *err);

#endif

/*
 * core/trace.h - all that the step was given and all that it answered, a line of JSON each, so that
 * what a manager has decided can be decided again elsewhere, from the trace alone.
 *
 *     {"n":1,"trace":1,"devices":[[BUDGET,KIND],...]}
 *     {"n":2,"model":0,"family":0}
 *     {"n":3,"keep":0,"keep_alive":NS,"pinned":false,"most":0}
 *     {"n":4,"pin":0,"more":true}
 *     {"n":5,"at":NS,"event":"ACQUIRE",...,"actions":[[KIND,REASON,WHY,CODE,SCOPE,ID,GEN,OP,BYTES,ARG,HANDLE],...]}
 *
 * Fields that are zero are left out, numbers beyond 63 bits are written as negative ones, pointers
 * (arg, handle) as numbers that mean nothing but themselves. Lines are counted: a gap shows that
 * some were lost. tests/sim/replay_core.c reads it.
 *
 * The manager calls it with core's lock held. A zeroed trace is off.
 */
#ifndef BTH_TRACE_H
#define BTH_TRACE_H

#include "base/str.h"
#include "core/step.h"

/* Takes a whole line. It may leave a message and nothing else: it must not wait. */
struct bth_trace_sink {
    void (*line)(void *arg, const char *line, size_t n);
    void *arg;
};

struct bth_trace {
    struct bth_trace_sink sink;
    struct bth_str text;
    uint64_t n;
};

/* Begins with the budgets; the sink may be NULL: off. */
void bth_trace_begin(struct bth_trace *t, const struct bth_trace_sink *sink,
                     const struct bth_state *s);
void bth_trace_model(struct bth_trace *t, uint32_t model, uint32_t family);
void bth_trace_keep(struct bth_trace *t, uint32_t model, const struct bth_model *m);
void bth_trace_pin(struct bth_trace *t, uint32_t model, bool more);
void bth_trace_step(struct bth_trace *t, const struct bth_state *s, const struct bth_event *e,
                    int64_t now, const struct bth_actions *actions);
void bth_trace_finish(struct bth_trace *t);

const char *bth_trace_name(enum bth_event_kind kind);

#endif

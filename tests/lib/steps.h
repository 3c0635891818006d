/*
 * tests/lib/steps.h - core's step by hand: one state, the time, and what the last event came to.
 */
#ifndef BTH_STEPS_H
#define BTH_STEPS_H

#include "base/clock.h"
#include "core/ledger.h"
#include "core/step.h"
#include "lib/test.h"

static struct bth_state s;
static struct bth_actions out; /* of the last event */
static int64_t now;

/* Models of no family, and a device with so many bytes; two, if second is not 0. */
static inline void begin(uint64_t first, uint64_t second, int n_models) {
    bth_state_init(&s, (const uint64_t[]){first, second}, second ? 2 : 1);
    for (uint32_t i = 0; n_models-- > 0;) {
        CHECK_INT(bth_state_add_model(&s, NULL, 0, &i), 0);
    }
    now = BTH_NS_PER_S;
}

static inline void end(void) {
    bth_state_finish(&s);
    bth_actions_finish(&out);
}

static inline void step(struct bth_event e) {
    bth_step(&s, &e, now, &out);
}

/* NULL: there is no such action. */
static inline const struct bth_action *find(enum bth_action_kind kind) {
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].kind == kind) {
            return &out.items[i];
        }
    }
    return NULL;
}

static inline uint64_t id_of(enum bth_action_kind kind) {
    const struct bth_action *a = find(kind);
    CHECK(a);
    return a->id;
}

/* Does a loader's next operation and says on which device; `bytes` is what a model takes. */
static inline uint32_t work(enum bth_op_kind kind, uint64_t bytes) {
    struct bth_op op = bth_state_next_op(&s);
    CHECK_INT(op.kind, kind);
    const struct bth_estimate est[BTH_MAX_DEVICES] = {{.weights = bytes}, {.weights = bytes}};
    step((struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id});
    step((struct bth_event){.kind = kind == BTH_OP_ESTIMATE ? BTH_EV_ESTIMATED
                                    : kind == BTH_OP_LOAD   ? BTH_EV_LOAD_DONE
                                                            : BTH_EV_FREE_DONE,
                            .op = op.id,
                            .bytes = kind == BTH_OP_LOAD ? bytes : 0,
                            .handle = &s,
                            .estimates = est});
    return op.device;
}

#endif

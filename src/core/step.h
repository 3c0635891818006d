/*
 * core/step.h - every decision of the manager, as one pure function.
 *
 * State, event and time in; actions out. No clock, thread, lock, allocation or I/O inside, so the
 * simulator (tests/sim/sim_core.c) runs what the manager runs. The rules, in short:
 *
 *  - A model loads once however many ask (LOADING), under a reservation of its estimate.
 *  - Tickets are served in order of arrival; one that waits for bytes lets none behind it start a load.
 *  - When room lacks, idle models are unloaded, least recently used first, but only if that suffices.
 *  - What can never fit is refused at once, with the numbers.
 *  - A failed load answers all its waiters, and newcomers for 1, 2, 4 ... 60 s.
 *  - Unloading drains: a draining instance is never revived, newcomers wait for the next generation.
 *  - Nothing is freed while a lease or a use holds it. Revoking a lease does not end its uses: the
 *    scheduler does, and says so.
 *  - A completion that names no pending load or unload changes nothing.
 */
#ifndef BTH_STEP_H
#define BTH_STEP_H

#include "core/state.h"

enum bth_event_kind {
    BTH_EV_ACQUIRE,     /* ticket, linked to a lease */
    BTH_EV_CANCEL,      /* ticket: give up, unless it has been answered */
    BTH_EV_RELEASE,     /* lease */
    BTH_EV_USE_OPEN,    /* use, lease: pin the lease's instance */
    BTH_EV_USE_BEGIN,   /* use, bytes */
    BTH_EV_USE_END,     /* use, failed */
    BTH_EV_GROW,        /* use or instance, bytes: now or not at all */
    BTH_EV_LOAD_DONE,   /* instance; rc, bytes that it holds */
    BTH_EV_FREE_DONE,   /* instance; bytes that were not given back */
    BTH_EV_UNLOAD,      /* model */
    BTH_EV_CLOSE,       /* refuse newcomers, drain everything */
    BTH_EV_REVOKE_ALL,  /* the deadline of a close */
    BTH_EV_TICK         /* time has passed */
};

struct bth_event {
    enum bth_event_kind kind;
    struct bth_ticket *ticket;
    struct bth_lease_state *lease;
    struct bth_use_state *use;
    struct bth_instance *instance;
    struct bth_model_entry *model;
    struct bth_instance *spare; /* ACQUIRE and whatever may start a load: memory for one; NULL after
                                   the step if it was taken */
    uint64_t bytes;
    int rc;
    bool failed;
};

void bth_state_init(struct bth_state *s);

/* Moves the state. Actions are appended to `out`. Returns 0, or for USE_OPEN and GROW why not
 * (BERTH_ELOST, BERTH_EBUDGET). A state that could start a load but had no `spare` does nothing about
 * it: *out_wants_spare asks for another TICK with one. */
int bth_step(struct bth_state *s, struct bth_event *ev, int64_t now, struct bth_list *out,
             bool *out_wants_spare);

/* When a TICK is due: the earliest deadline of a ticket; BTH_FOREVER: none. */
int64_t bth_next_deadline(const struct bth_state *s);

uint64_t bth_ledger_room(const struct bth_ledger *l);

#endif

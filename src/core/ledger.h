/*
 * core/ledger.h - the bytes of one device, each in exactly one class.
 *
 *     RESV, LOADING     res + session                 reserved
 *     READY, DRAIN      held                          committed
 *                       res + session                 reserved
 *     FREEING           held                          freeing
 *     gone              what was still drawn, or lost residual
 *
 * Pure bookkeeping for the step; called by nobody else.
 */
#ifndef BTH_LEDGER_H
#define BTH_LEDGER_H

#include "core/step.h"

/* Free for new promises; 0 when the device is over its budget, or lost. */
uint64_t bth_ledger_room(const struct bth_ledger *d);
/* Could ever be given to one instance. */
uint64_t bth_ledger_limit(const struct bth_ledger *d);

uint64_t bth_gen_bytes(const struct bth_gen *g); /* all that is charged for it */

void bth_ledger_reserve(struct bth_ledger *d, struct bth_gen *g);
/* Loaded: `drawn` bytes are there, `spare` more may be drawn later. */
void bth_ledger_commit(struct bth_ledger *d, struct bth_gen *g, uint64_t drawn, uint64_t spare);
void bth_ledger_unreserve(struct bth_ledger *d,
                          struct bth_gen *g); /* a load that came to nothing */
void bth_ledger_free(struct bth_ledger *d, struct bth_gen *g);
void bth_ledger_freed(struct bth_ledger *d, struct bth_gen *g, uint64_t residual);
/* Its device has failed: whatever it may have drawn is never given out again. */
void bth_ledger_lose(struct bth_ledger *d, struct bth_gen *g);
/* The instance's reservation beyond its sessions grows. */
void bth_ledger_grow(struct bth_ledger *d, struct bth_gen *g, uint64_t more);
/* More bytes that the sessions of `g` need from the room when their sum becomes `use_bytes`. */
uint64_t bth_ledger_session_delta(const struct bth_gen *g, uint64_t use_bytes);
void bth_ledger_set_sessions(struct bth_ledger *d, struct bth_gen *g, uint64_t use_bytes);

#endif

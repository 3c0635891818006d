/* server/events.h - what happens, as server-sent events. The desk's. */
#ifndef BTH_EVENTS_H
#define BTH_EVENTS_H

#include "core/manager.h"

struct bth_exchange;

/* "load", "evict", ... */
const char *bth_event_name(enum bth_happening_kind kind);
/* Sends what has happened since the last look, or a sign of life; may end the exchange. */
void bth_events_look(struct bth_exchange *x, int64_t now);

struct bth_log;
/* Writes what has happened to models and leases after the event of this number into the log;
 * returns the number of the last. */
uint64_t bth_events_log(const struct bth_log *log, struct bth_manager *m, uint64_t after);

#endif

/*
 * server/desk.h - the server's own thread: starts requests, takes results, looks at the clock.
 *
 * Others leave notes on exchanges; leaving one never waits or fails, and Berth's callbacks may do
 * it with any of Berth's locks held. An exchange with notes is kept alive by its place in the
 * inbox.
 */
#ifndef BTH_DESK_H
#define BTH_DESK_H

#include <berth/error.h>

struct bth_server;
struct bth_exchange;

enum bth_desk_note {
    BTH_DESK_BEGIN = 1, /* the request is complete */
    BTH_DESK_LEASE = 2, /* answered: see bth_work.lease_rc */
    BTH_DESK_JOB = 4,   /* has an item, or has ended */
    BTH_DESK_LEFT = 8,  /* nobody is there to read the answer */
    BTH_DESK_ROOM = 16, /* the client has taken what there was */
    BTH_DESK_GRANT = 32 /* a lease of its session has been answered */
};

void bth_desk_note(struct bth_exchange *x, unsigned note);

int bth_desk_start(struct bth_server *s, struct berth_error *err);
/* All exchanges must have ended. */
void bth_desk_stop(struct bth_server *s);
/* All requests under way are to be cancelled at the next tick. */
void bth_desk_cancel_all(struct bth_server *s);

#endif

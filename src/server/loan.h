/*
 * server/loan.h - leases without a session: for shells and curl. The clock ends them.
 *
 * PUT /v1/leases/UUID, the client's own, asks for a lease that lasts for ttl_ms, a minute at most,
 * from its grant on. The same PUT again lets it last as long from now; DELETE gives it back. One
 * that nobody renews is revoked, which its holder learns by its next PUT. Whoever knows the UUID
 * may renew it and give it back, and lists do not show it.
 *
 * It holds a model, and no request runs under it: requests have leases of their own.
 *
 * All of it belongs to the desk, which looks ten times a second.
 */
#ifndef BTH_LOAN_H
#define BTH_LOAN_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_exchange;
struct bth_server;

enum { BTH_LOAN_ID_BYTES = 37, BTH_LOAN_MS = 60000, BTH_LOANS = 1024, BTH_CALLER_LOANS = 64 };

/* Whether it is a UUID: copies it in small letters. */
bool bth_loan_read_id(const char *text, char out[BTH_LOAN_ID_BYTES]);

/* Asks, or renews: x->work says what. The answer comes by bth_loan_look. EINVAL (it is on another
 * model), EREVOKED, ELOST (to be renewed, and there is none), EOVERLOADED, ENOTFOUND, ENOMEM. */
int bth_loan_ask(struct bth_exchange *x, struct berth_error *err);
/* 1: it is held, and *out_left_ms says for how long; 0: not yet. Why it cannot be, and then it is
 * forgotten. */
int bth_loan_look(struct bth_exchange *x, int64_t now, int64_t *out_left_ms,
                  struct berth_error *err);
/* Whoever asked has left: what he was not told of goes back. */
void bth_loan_leave(struct bth_exchange *x);
/* false: there is none. */
bool bth_loan_release(struct bth_server *s, const char *id);

/* Ends what nobody has renewed. */
void bth_loans_tick(struct bth_server *s, int64_t now);
/* Gives all of them back. */
void bth_loans_finish(struct bth_server *s);

#endif

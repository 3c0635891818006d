/*
 * server/session.h - client processes and the leases that they hold.
 *
 * POST /v1/sessions answers with an endless stream of JSON lines: as long as it lasts, the process
 * lives. Its end, of whatever cause, gives all the session's leases back and takes it out of every
 * queue. So does the end of the process itself on a Unix socket (a pidfd): a child that it forked
 * may hold its descriptors open.
 *
 *     {"event":"hello","session":ID,"epoch":N}       ID is random: who knows it may use it
 *     {"event":"granted","lease":N,"model":NAME}     or
 *     {"event":"refused","lease":N,"code":"ETIMEDOUT","message":...}     once for each PUT
 *     {"event":"revoked","lease":N}                  good for DELETE only
 *     {"event":"beat"}                               every five seconds
 *
 * The client chooses N, so a PUT that is repeated asks once, and a DELETE cancels or releases,
 * whichever it finds: a grant that crosses a time-out is not lost.
 *
 * All of it belongs to the desk; core's answers come as notes.
 */
#ifndef BTH_SESSION_H
#define BTH_SESSION_H

#include "base/list.h"
#include "base/str.h"
#include "core/manager.h"

struct bth_exchange;
struct bth_sched;
struct bth_server;
struct bth_session;
struct bth_session_lease;

enum {
    BTH_SESSION_ID_BYTES = 33,
    BTH_SESSIONS = 1024,
    BTH_SESSION_LEASES = 1024,
    BTH_SESSION_PINS = 64
};

/* Begins one whose stream is x. EOVERLOADED, EIO, ENOMEM. */
int bth_session_open(struct bth_exchange *x, struct bth_session **out, struct berth_error *err);
/* Gives back all that it has. */
void bth_session_close(struct bth_session *s);
/* NULL: there is none, or no more. */
struct bth_session *bth_session_find(struct bth_server *server, const char *id);
/* ELOST in words. */
int bth_session_unknown(struct berth_error *err);

/* Core's owner for one that the client calls so: no other session's. */
uint64_t bth_session_owner(const struct bth_session *s, uint64_t owner);

/* Asks for a lease; the answer goes to the stream. Asked already: nothing. ENOTFOUND, EOVERLOADED,
 * ENOMEM. */
int bth_session_acquire(struct bth_session *s, uint64_t id, const char *model,
                        const struct bth_ask *ask, struct berth_error *err);
/* Cancels or releases; false: there is no such lease. */
bool bth_session_release(struct bth_session *s, uint64_t id);
/* The session's pin on a model, once: its end takes it back. `tag` is for lists. EOVERLOADED,
 * ENOTFOUND, ENOMEM. */
int bth_session_pin(struct bth_session *s, const char *model, const char *tag, bool pin,
                    struct berth_error *err);
/* Who else than `own`, which may be NULL, has pinned it; false: nobody. */
bool bth_pins_of_others(const struct bth_server *server, const struct bth_session *own,
                        const char *model, char out_who[160]);
/* The members of an array of JSON: {"model", "holder", "tag"}. */
void bth_pins_list(const struct bth_server *server, struct bth_str *out);

/* For a request: the lease and what it runs on. ELOST, EREVOKED, ESTATE (waiting, or exclusive). */
int bth_session_use(struct bth_session *s, uint64_t id, const char *model,
                    struct bth_lease **out_lease, struct bth_sched **out_sched,
                    struct berth_error *err);

/* Tells the client what core has answered. */
void bth_session_look(struct bth_session *s);
/* Beats, time-outs, revocations; false: the client has gone, or does not read. */
bool bth_session_tick(struct bth_session *s, int64_t now);

#endif

/*
 * client/client.h - the remote half of libberth: the calls of berth.h on a daemon's models.
 *
 * Layer client: HTTP over a Unix socket or TCP by libcurl; it knows base and the public headers and
 * nothing of managers, schedulers or engines. api/remote.c puts it behind the public handles. One
 * thread per client (loop.h) owns all connections; callers wait on their own job or call only.
 *
 *   find.c     which daemon, if any          client.c      open, close
 *   call.c     one question, one answer      session.c     leases
 *   remote_models.c  what is loaded, usage   remote_job.c remote_result.c  a request, its results
 *   loop.c     the thread                    event.c       what the daemon says, upload.c what is
 * sent
 *
 * A lease is the daemon's. It ends with the session of this process at the latest: when the daemon
 * goes away, leases and what was under way end with ELOST.
 *
 * Lock ranks: core for a client, sched for its loop, result for a job.
 */
#ifndef BTH_CLIENT_H
#define BTH_CLIENT_H

#include "base/outbox.h"
#include "base/str.h"
#include <berth/berth.h>

struct bth_client;
struct bth_client_lease;
struct bth_client_job;

/*
 * The daemon that `server` means, as berth_config.server says: NULL looks in BERTH_SERVER and then,
 * as "auto" does, for the usual sockets (unless `settled`: the caller's configuration asks for a
 * manager of its own). *out NULL: work in process. EINVAL (no address), ELOST (nobody answers
 * there).
 */
int bth_client_find(const char *server, bool settled, struct bth_client **out,
                    struct berth_error *err);
/* "unix:PATH", "http://HOST[:PORT]" or "https://..."; waits up to timeout_ms for an answer. */
int bth_client_open(const char *address, int64_t timeout_ms, struct bth_client **out,
                    struct berth_error *err);
/* Says now that this process lives, and not with its first lease; a daemon that refuses is asked
 * again then. */
void bth_client_greet(struct bth_client *c);
/* As berth_close: waits, cancels, ends the thread. The daemon's models stay loaded. */
int bth_client_close(struct bth_client *c, int64_t deadline, struct berth_error *err);

/* ---- questions: they wait, up to timeout_ms (negative: no limit) ----
 * ELOST (nobody answers, or the answer broke off), ETIMEDOUT, what the daemon says, EIO (an answer
 * that is not understood), ENOMEM. */

/* body NULL: GET, else POST with that JSON. The answer's body is appended to `out`, which may be
 * NULL. */
int bth_client_ask(struct bth_client *c, const char *path, const char *body, int64_t timeout_ms,
                   struct bth_str *out, struct berth_error *err);
/* Appends a name as it stands in a path or query. */
void bth_client_encode(struct bth_str *out, const char *text);
int bth_client_load(struct bth_client *c, const char *model, int64_t wait_ms, char out_name[64],
                    struct berth_error *err);
/* POST /v1/models/enable or disable. */
int bth_client_enable(struct bth_client *c, const char *model, bool on, char out_name[64],
                      struct berth_error *err);
int bth_client_unload(struct bth_client *c, const char *model, int64_t timeout_ms,
                      struct berth_error *err);
/* The full name of a model the daemon knows. ENOTFOUND. */
int bth_client_name(struct bth_client *c, const char *model, char out_name[64],
                    struct berth_error *err);
/* As berth_models and berth_devices; 0 if the daemon does not answer in 5 s. */
size_t bth_client_models(struct bth_client *c, struct berth_model_stats *out, size_t size,
                         size_t n);
size_t bth_client_devices(struct bth_client *c, struct berth_device_stats *out, size_t size,
                          size_t n);

/* As berth_wait_available, berth_usage and berth_cleanup. */
int bth_client_wait_available(struct bth_client *c, const char *what, uint64_t owner,
                              uint32_t max_concurrent, int64_t ms, struct berth_error *err);
int bth_client_usage(struct bth_client *c, struct berth_usage *out);
int bth_client_cleanup(struct bth_client *c, uint64_t owner, int64_t ms,
                       struct berth_cleanup_report *out, struct berth_error *err);

/* ---- leases and jobs: as the calls of berth.h ---- */

int bth_client_acquire(struct bth_client *c, const char *model,
                       const struct berth_acquire_options *o, struct bth_client_lease **out,
                       struct berth_error *err);
/* Asks, and waits for no more than the daemon's word that it has heard. */
int bth_client_acquire_start(struct bth_client *c, const char *model,
                             const struct berth_acquire_options *o, struct bth_client_lease **out,
                             struct berth_error *err);
/* 0: granted. ETIMEDOUT: not yet. Else why it cannot be. */
int bth_client_lease_wait(struct bth_client_lease *lease, int64_t deadline,
                          struct berth_error *err);
/* In any state. Gives up a reference. */
void bth_client_release(struct bth_client_lease *lease);
/* Keeps the object beyond its release. */
void bth_client_lease_ref(struct bth_client_lease *lease);
void bth_client_lease_unref(struct bth_client_lease *lease);
const char *bth_client_lease_model(const struct bth_client_lease *lease);
bool bth_client_lease_revoked(const struct bth_client_lease *lease);
uint64_t bth_client_owner(struct bth_client *c);

int bth_client_submit(struct bth_client_lease *lease, const struct berth_request *request,
                      struct bth_client_job **out, struct berth_error *err);
struct bth_outbox *bth_client_job_results(struct bth_client_job *job);
void bth_client_job_cancel(struct bth_client_job *job);
void bth_client_job_free(struct bth_client_job *job);

#endif

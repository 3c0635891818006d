/* client/client_private.h - what the files of the client share. */
#ifndef BTH_CLIENT_PRIVATE_H
#define BTH_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/loop.h"
#include "client/upload.h"

struct bth_client {
    /* constant */
    char *address; /* as it was given */
    char *base;    /* "http://HOST:PORT" */
    char *socket;  /* a path, or NULL */
    char *bearer;  /* "Authorization: Bearer KEY", or NULL */
    struct bth_loop loop;

    struct bth_mutex lock;
    struct bth_cond changed;
    struct bth_list jobs GUARDED_BY(core); /* not over, of all leases */
    size_t n_jobs GUARDED_BY(core), n_leases GUARDED_BY(core);
    int refs GUARDED_BY(core); /* the handle's, leases', jobs' */
    bool closing GUARDED_BY(core);
};

struct bth_client_lease {
    struct bth_client *client; /* a reference */
    char model[64];
};

BTH_LOCK(client, struct bth_client, lock, core)

void bth_client_ref(struct bth_client *c);
void bth_client_unref(struct bth_client *c);

/* A handle for base + path with all that every transfer has: no proxy, no redirects, no signals,
 * the key. `upload` NULL: GET. ENOMEM. */
int bth_transfer_create(const struct bth_client *c, const char *path, struct bth_upload *upload,
                        struct bth_transfer *t, struct berth_error *err);
/* One more header. */
int bth_transfer_header(struct bth_transfer *t, const char *line, struct berth_error *err);
/* What became of a transfer without an answer, in words. */
int bth_transfer_error(const struct bth_client *c, const struct bth_transfer *t, CURLcode rc,
                       struct berth_error *err);

/* remote_job.c: cancels the jobs of a lease, or all with NULL. */
void bth_client_cancel(struct bth_client *c, const struct bth_client_lease *lease);

#endif

/* client/client_private.h - what the files of the client share. */
#ifndef BTH_CLIENT_PRIVATE_H
#define BTH_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/event.h"
#include "client/loop.h"
#include "client/session_event.h"
#include "client/upload.h"

/* A session's stream, see session.c. */
struct bth_session_stream {
    /* whoever sets `started`, then the loop's thread */
    struct bth_transfer transfer;
    struct bth_upload upload;
    struct bth_lines lines;
    struct bth_str refusal;    /* the body of an answer that is no 200 */
    struct berth_error broken; /* why data was refused */
    /* the client's lock */
    bool started, open;
    uint64_t turn; /* of this stream; 0: there was none yet */
    char id[BTH_SESSION_TEXT];
    struct berth_error error; /* why the last one ended */
};

struct bth_client {
    /* constant */
    char *address; /* as it was given */
    char *base;    /* "http://HOST:PORT" */
    char *socket;  /* a path, or NULL */
    char *bearer;  /* "Authorization: Bearer KEY", or NULL */
    struct bth_loop loop;

    struct bth_mutex lock;
    struct bth_cond changed;
    struct bth_list jobs GUARDED_BY(core);       /* not over, of all leases */
    struct bth_list leases GUARDED_BY(core);     /* all that there are handles of */
    struct bth_list unreturned GUARDED_BY(core); /* the daemon has not heard that they are over */
    uint64_t last_lease GUARDED_BY(core), last_owner GUARDED_BY(core);
    size_t n_jobs GUARDED_BY(core), n_leases GUARDED_BY(core);
    int refs GUARDED_BY(core); /* the handle's, leases', jobs' */
    bool closing GUARDED_BY(core);
    struct bth_session_stream session;
};

enum bth_remote_state {
    BTH_REMOTE_ASKED,
    BTH_REMOTE_HELD,
    BTH_REMOTE_REFUSED,
    BTH_REMOTE_REVOKED,
    BTH_REMOTE_LOST /* with the session */
};

struct bth_client_lease {
    struct bth_client *client; /* a reference */
    bool exclusive;
    uint64_t turn, id; /* constant once in client.leases, as is `session` */
    char session[BTH_SESSION_TEXT];
    struct bth_list link; /* client.leases: client's lock, as are the others */
    int refs;
    enum bth_remote_state state;
    char model[64]; /* as asked for; its full name once HELD */
    struct berth_error error;
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

/* As bth_client_ask, by any method. */
int bth_client_send(struct bth_client *c, const char *method, const char *path, const char *body,
                    int64_t timeout_ms, struct bth_str *out, struct berth_error *err);
/* Appends `text` as a JSON string. Names that are not UTF-8 are refused by the daemon's own reader,
 * so they become what it says of them. */
void bth_client_quote(struct bth_str *out, const char *text);
/* The daemon opens no path of a client: EUNSUPPORTED. */
int bth_client_refuse_path(const struct bth_client *c, const char *model, struct berth_error *err);
/* The session's id, "" if there is none: then nothing is ours. */
void bth_client_session(struct bth_client *c, char out[BTH_SESSION_TEXT]);
/* Forgets them: the session has ended. */
void bth_client_drop_unreturned(struct bth_client *c);
/* What a request under this lease sends as `lease`. EREVOKED, ELOST, ESHUTDOWN, ESTATE. */
int bth_client_lease_use(const struct bth_client_lease *l, char out[64], struct berth_error *err);

/* remote_result.c: cancels the jobs of a lease, or all with NULL. */
void bth_client_cancel(struct bth_client *c, const struct bth_client_lease *lease);

#endif

/*
 * client/remote_job.h - a request at a daemon.
 *
 * POST /v1/run, whose answer is JSON lines. remote_job.c sends it and reads them, remote_result.c
 * is the caller's side.
 *
 * DESIGN. The job is shared by its caller and its transfer, one reference each. The loop's thread
 * feeds it (take_data, take_end), the caller takes from it; both meet in its outbox. It completes
 * once: with the transfer's end, or before it with a cancellation, after which what still arrives
 * is dropped. A caller who is slow to take partial items pauses his transfer: the daemon then holds
 * back, and gives up after its own time-out for slow readers.
 */
#ifndef BTH_REMOTE_JOB_H
#define BTH_REMOTE_JOB_H

#include "base/outbox.h"
#include "client/client_private.h"
#include "client/event.h"

/* A block of libcurl's (16 KiB) holds fewer items of the daemon. */
enum { BTH_REMOTE_ITEMS = 1024, BTH_REMOTE_BLOCK = 512 };

struct bth_client_job {
    struct bth_client *client;            /* a reference */
    const struct bth_client_lease *lease; /* an identity, never looked into */
    struct bth_transfer transfer;
    struct bth_upload upload;
    char *file;           /* the input's path, for messages; or NULL */
    bool started;         /* the transfer has been: set by the submission, constant after it */
    struct bth_list link; /* client.jobs: client's lock */

    /* the loop's thread */
    struct bth_lines lines;
    struct bth_str refusal;    /* the body of an answer that is no 200 */
    struct berth_error broken; /* why data was refused */
    bool last;                 /* the final item has come */
    struct berth_error said;   /* by an error event */

    struct bth_outbox results; /* shared with the caller's threads */
};

/* The job as its caller holds it, one reference; the input is not taken yet. ENOMEM. */
int bth_remote_create(struct bth_client_lease *lease, const struct berth_request *r,
                      struct bth_client_job **out, struct berth_error *err);
void bth_remote_unref(struct bth_client_job *job);

#endif

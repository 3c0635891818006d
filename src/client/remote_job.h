/*
 * client/remote_job.h - the two halves of a request at a daemon.
 *
 * POST /v1/run, whose answer is JSON lines. remote_job.c sends it and reads them, remote_result.c
 * keeps what they say until the caller takes it.
 *
 * DESIGN. The job is shared by its caller and its transfer, one reference each. The loop's thread
 * feeds it (take_data, take_end), the caller takes from it; both meet under the job's lock. It
 * completes once: with the transfer's end, or before it with a cancellation, after which what still
 * arrives is dropped. A caller who is slow to take partial items pauses his transfer: the daemon
 * then holds back, and gives up after its own time-out for slow readers.
 */
#ifndef BTH_REMOTE_JOB_H
#define BTH_REMOTE_JOB_H

#include "client/client_private.h"
#include "client/event.h"

/* A block of libcurl's (16 KiB) holds fewer items of the daemon. */
enum { BTH_REMOTE_ITEMS = 1024, BTH_REMOTE_BLOCK = 512 };

struct bth_client_job {
    struct bth_client *client;            /* a reference */
    const struct bth_client_lease *lease; /* an identity, never looked into */
    struct bth_transfer transfer;
    struct bth_upload upload;
    char *file; /* the input's path, for messages; or NULL */
    bool stream;
    bool started;         /* the transfer has been: set by the submission, constant after it */
    struct bth_list link; /* client.jobs: client's lock */

    /* the loop's thread */
    struct bth_lines lines;
    struct bth_str refusal;    /* the body of an answer that is no 200 */
    struct berth_error broken; /* why data was refused */
    struct berth_item *last;   /* the final item */
    struct berth_error said;   /* by an error event */

    struct bth_mutex lock;
    struct bth_cond changed;
    int refs GUARDED_BY(result);
    enum berth_job_state state GUARDED_BY(result);
    struct berth_item **items GUARDED_BY(result); /* ring [BTH_REMOTE_ITEMS] if `stream` */
    size_t first_item GUARDED_BY(result), n_items GUARDED_BY(result);
    struct berth_item *final GUARDED_BY(result);
    bool taken GUARDED_BY(result), paused GUARDED_BY(result);
    struct berth_error error GUARDED_BY(result);
    double done GUARDED_BY(result), total GUARDED_BY(result);
    void (*on_event)(void *arg) GUARDED_BY(result);
    void *on_event_arg GUARDED_BY(result);
};

/* The job as its caller holds it, one reference; the input is not taken yet. NULL: out of memory.
 */
struct bth_client_job *bth_remote_create(struct bth_client_lease *lease,
                                         const struct berth_request *r);
void bth_remote_ref(struct bth_client_job *job);
void bth_remote_unref(struct bth_client_job *job);

/* ---- for the loop's thread ---- */

void bth_remote_progress(struct bth_client_job *job, double done, double total);
/* Takes an item over. EIO: more than there is room for. */
int bth_remote_keep(struct bth_client_job *job, struct berth_item *item, struct berth_error *err);
/* Whether the items of one more block have a place; if not, the transfer is resumed when they do.
 */
bool bth_remote_has_room(struct bth_client_job *job);
/* The end, unless it has ended: with `final`, which is taken over, or else with `err`. */
void bth_remote_complete(struct bth_client_job *job, struct berth_item *final,
                         const struct berth_error *err);

#endif

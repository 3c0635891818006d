/*
 * client/loop.h - the one thread that talks to the daemon, for all callers of a client.
 *
 * It owns libcurl's multi handle and with it every connection. Callers make a transfer, start it
 * and go on; what arrives is handed to the transfer's two functions on the loop's thread. They may
 * take a lock of rank result and must not wait.
 *
 *     NEW --start--> STARTED --(data)*--> OVER (ended, exactly once)
 *
 * Lock rank: sched, for the inbox of notes. Nothing of libcurl is called with it held.
 */
#ifndef BTH_LOOP_H
#define BTH_LOOP_H

#include "base/list.h"
#include "base/sync.h"
#include <berth/error.h>
#include <curl/curl.h>

struct bth_transfer;

enum bth_transfer_note {
    BTH_TRANSFER_START = 1,
    BTH_TRANSFER_CANCEL = 2,
    BTH_TRANSFER_RESUME = 4 /* there is room again after BTH_TRANSFER_PAUSE */
};

enum { BTH_TRANSFER_PAUSE = 1 };

struct bth_transfer_ops {
    /* Bytes of the answer's body. 0: taken; BTH_TRANSFER_PAUSE: not now, the same again after
     * RESUME; negative: no more, end it. */
    int (*data)(struct bth_transfer *t, const char *bytes, size_t n);
    /* The end: rc is CURLE_OK when an answer with any status came whole. The transfer is no longer
     * used: it may be finished here. */
    void (*ended)(struct bth_transfer *t, CURLcode rc);
};

struct bth_transfer {
    const struct bth_transfer_ops *ops; /* the owner's, before the start */
    CURL *easy;                         /* likewise; the loop's until the end */
    struct curl_slist *headers;
    char why[CURL_ERROR_SIZE];

    struct bth_list inbox; /* the loop's lock, as are the two below */
    unsigned notes;
    bool over;

    struct bth_list active; /* the loop's thread */
};

struct bth_loop {
    CURLM *multi;
    struct bth_thread thread;
    struct bth_mutex lock;
    struct bth_list inbox GUARDED_BY(sched);
    bool stopping GUARDED_BY(sched);
    struct bth_list active; /* the thread's */
};

/* Starts the thread. ENOMEM. */
int bth_loop_init(struct bth_loop *loop, struct berth_error *err);
/* Ends every transfer (CURLE_ABORTED_BY_CALLBACK) and the thread. Later starts end at once. */
void bth_loop_stop(struct bth_loop *loop) BLOCKING;
void bth_loop_finish(struct bth_loop *loop);

/* Leaves a note for the thread; nothing if the transfer is over. A START after bth_loop_stop calls
 * `ended` here, and so wants no lock held that `ended` takes. */
void bth_loop_note(struct bth_loop *loop, struct bth_transfer *t, unsigned notes);

/* The HTTP status as far as it is known, else 0. */
int bth_transfer_status(const struct bth_transfer *t);
/* Frees what libcurl holds for it: never started, or over. */
void bth_transfer_finish(struct bth_transfer *t);

#endif

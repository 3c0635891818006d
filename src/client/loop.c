#include "client/loop.h"

#include "base/error.h"
#include <string.h>

enum { POLL_MS = 10000 }; /* a wake-up ends it before */

BTH_LOCK(loop, struct bth_loop, lock, sched)

int bth_transfer_status(const struct bth_transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

void bth_transfer_finish(struct bth_transfer *t) {
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    t->easy = NULL;
    t->headers = NULL;
}

/* ---- the thread ------------------------------------------------------------------------------*/

/* libcurl's; the transfer is its argument. */
static size_t write_data(char *bytes, size_t size, size_t n, void *arg) {
    struct bth_transfer *t = arg;
    int rc = t->ops->data(t, bytes, size * n);
    return rc == 0 ? size * n : rc == BTH_TRANSFER_PAUSE ? CURL_WRITEFUNC_PAUSE : 0;
}

static void end(struct bth_loop *loop, struct bth_transfer *t, CURLcode rc) {
    if (bth_list_linked(&t->active)) {
        curl_multi_remove_handle(loop->multi, t->easy);
        bth_list_remove(&t->active);
    }
    loop_lock(loop);
    t->over = true;
    bth_list_remove(&t->inbox);
    loop_unlock(loop);
    t->ops->ended(t, rc);
}

static void begin(struct bth_loop *loop, struct bth_transfer *t) {
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, write_data);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
    bth_list_append(&loop->active, &t->active);
    if (curl_multi_add_handle(loop->multi, t->easy) != CURLM_OK) {
        end(loop, t, CURLE_OUT_OF_MEMORY);
    }
}

static void obey(struct bth_loop *loop, struct bth_transfer *t, unsigned notes) {
    if (notes & BTH_TRANSFER_CANCEL) {
        end(loop, t, CURLE_ABORTED_BY_CALLBACK);
        return;
    }
    if (notes & BTH_TRANSFER_START) {
        begin(loop, t);
    } else if (notes & BTH_TRANSFER_RESUME) {
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

/* The oldest note of all, or NULL. */
static struct bth_transfer *take_note(struct bth_loop *loop, unsigned *out_notes,
                                      bool *out_stopping) {
    struct bth_transfer *t = NULL;
    loop_lock(loop);
    struct bth_list *first = bth_list_first(&loop->inbox);
    if (first) {
        t = BTH_CONTAINER(first, struct bth_transfer, inbox);
        bth_list_remove(first);
        *out_notes = t->notes;
        t->notes = 0;
    }
    *out_stopping = loop->stopping;
    loop_unlock(loop);
    return t;
}

static void collect_ended(struct bth_loop *loop) {
    CURLMsg *m;
    for (int left; (m = curl_multi_info_read(loop->multi, &left));) {
        char *t = NULL;
        CURLcode rc = m->data.result;
        if (m->msg == CURLMSG_DONE) {
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
            end(loop, (struct bth_transfer *)(void *)t, rc);
        }
    }
}

static void *run(void *arg) {
    struct bth_loop *loop = arg;
    bool stopping = false;
    while (!stopping) {
        struct bth_transfer *t;
        unsigned notes = 0;
        while ((t = take_note(loop, &notes, &stopping))) {
            obey(loop, t, stopping ? BTH_TRANSFER_CANCEL : notes);
        }
        int running;
        curl_multi_perform(loop->multi, &running);
        collect_ended(loop);
        if (!stopping) {
            curl_multi_poll(loop->multi, NULL, 0, POLL_MS, NULL);
        }
    }
    struct bth_transfer *t;
    BTH_LIST_EACH(t, &loop->active, struct bth_transfer, active) {
        end(loop, t, CURLE_ABORTED_BY_CALLBACK);
    }
    return NULL;
}

/* ---- other threads ---------------------------------------------------------------------------*/

int bth_loop_init(struct bth_loop *loop, struct berth_error *err) {
    *loop = (struct bth_loop){.multi = curl_multi_init()};
    if (!loop->multi) {
        return bth_error_nomem(err);
    }
    bth_mutex_init(&loop->lock, BTH_RANK_sched);
    bth_list_init(&loop->inbox);
    bth_list_init(&loop->active);
    if (bth_thread_start(&loop->thread, "berth-client", run, loop) < 0) {
        loop->stopping = true;
        bth_loop_finish(loop);
        return bth_error_nomem(err);
    }
    return 0;
}

void bth_loop_stop(struct bth_loop *loop) {
    loop_lock(loop);
    loop->stopping = true;
    loop_unlock(loop);
    curl_multi_wakeup(loop->multi);
    bth_thread_join(&loop->thread);
}

void bth_loop_finish(struct bth_loop *loop) {
    curl_multi_cleanup(loop->multi);
    bth_mutex_finish(&loop->lock);
}

void bth_loop_note(struct bth_loop *loop, struct bth_transfer *t, unsigned notes) {
    loop_lock(loop);
    bool refused = loop->stopping && (notes & BTH_TRANSFER_START);
    bool wanted = !t->over && !loop->stopping;
    if (wanted) {
        t->notes |= notes;
        if (!bth_list_linked(&t->inbox)) {
            bth_list_append(&loop->inbox, &t->inbox);
        }
    }
    t->over |= refused;
    loop_unlock(loop);
    if (refused) {
        t->ops->ended(t, CURLE_ABORTED_BY_CALLBACK);
    } else if (wanted) {
        curl_multi_wakeup(loop->multi);
    }
}

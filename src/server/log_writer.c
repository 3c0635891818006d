#include "server/log_writer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/sync.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long a full pipe is waited for at a time, and in all once it is to end. */
enum { WAIT_MS = 100, LAST_MS = 1000, ROOM_TO_TELL = 4096 };

struct bth_log_writer {
    int fd; /* constant */
    struct bth_thread thread;
    struct bth_mutex lock;
    struct bth_cond changed;
    struct bth_str pending GUARDED_BY(stats);
    uint64_t dropped GUARDED_BY(stats), told GUARDED_BY(stats);
    int64_t stop_at GUARDED_BY(stats); /* BTH_FOREVER: go on */
};
BTH_LOCK(writer, struct bth_log_writer, lock, stats)

/* ---- the thread ------------------------------------------------------------------------------*/

static bool time_is_up(struct bth_log_writer *w) {
    writer_lock(w);
    bool up = bth_now() >= w->stop_at;
    writer_unlock(w);
    return up;
}

/* What cannot be written counts as what was not taken: a later line says so, if one can be. */
static void count_lost(struct bth_log_writer *w, const char *text, size_t n) {
    uint64_t lines = 0;
    for (const char *at = text, *end; (end = memchr(at, '\n', n - (size_t)(at - text)));) {
        lines++;
        at = end + 1;
    }
    writer_lock(w);
    w->dropped += lines;
    writer_unlock(w);
}

/* Writes only what the descriptor has room for, so that it can be told to end. false: it was. */
static bool write_all(struct bth_log_writer *w, const char *text, size_t n) {
    while (n > 0) {
        struct pollfd p = {.fd = w->fd, .events = POLLOUT};
        if (poll(&p, 1, WAIT_MS) == 0) {
            if (time_is_up(w)) {
                return false;
            }
            continue;
        }
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) + 1 : n;
        ssize_t done = write(w->fd, text, BTH_MIN(line, PIPE_BUF));
        if (done < 0 && errno != EINTR && errno != EAGAIN) {
            count_lost(w, text, n);
            return true;
        }
        text += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

/* Waits for lines and takes them. false: the end. */
static bool take(struct bth_log_writer *w, struct bth_str *out) {
    writer_lock(w);
    while (w->pending.size == 0 && w->stop_at == BTH_FOREVER) {
        bth_cond_wait(&w->changed, &w->lock, BTH_FOREVER);
    }
    struct bth_str old = *out;
    *out = w->pending;
    w->pending = old;
    writer_unlock(w);
    return out->size > 0;
}

static void *writer_main(void *arg) {
    struct bth_log_writer *w = arg;
    struct bth_str lines = {0};
    while (take(w, &lines) && write_all(w, bth_str_text(&lines), lines.size)) {
        bth_str_clear(&lines);
    }
    bth_str_finish(&lines);
    return NULL;
}

/* ---- other threads ---------------------------------------------------------------------------*/

static void destroy(struct bth_log_writer *w) BTH_TSA(no_thread_safety_analysis) {
    bth_str_finish(&w->pending);
    bth_cond_finish(&w->changed);
    bth_mutex_finish(&w->lock);
    bth_free(w);
}

int bth_log_writer_create(int fd, struct bth_log_writer **out, struct berth_error *err)
    BTH_TSA(no_thread_safety_analysis) {
    struct bth_log_writer *w = bth_calloc(1, sizeof(*w));
    if (!w) {
        return bth_error_nomem(err);
    }
    w->fd = fd;
    w->stop_at = BTH_FOREVER;
    bth_mutex_init(&w->lock, BTH_RANK_stats);
    bth_cond_init(&w->changed);
    if (bth_thread_start(&w->thread, "berth-log", writer_main, w) < 0) {
        destroy(w);
        return bth_error_nomem(err);
    }
    *out = w;
    return 0;
}

void bth_log_writer_put(struct bth_log_writer *w, const char *line, size_t n) {
    writer_lock(w);
    if (w->pending.size + n > BTH_LOG_PENDING) {
        w->dropped++;
    } else {
        bth_str_append(&w->pending, line, n);
        if (w->pending.failed) { /* what is in it is lost too, but the log goes on */
            bth_str_finish(&w->pending);
            w->dropped++;
        }
        bth_cond_signal(&w->changed);
    }
    writer_unlock(w);
}

uint64_t bth_log_writer_dropped(struct bth_log_writer *w) {
    writer_lock(w);
    uint64_t n = w->dropped;
    writer_unlock(w);
    return n;
}

uint64_t bth_log_writer_untold(struct bth_log_writer *w) {
    uint64_t n = 0;
    writer_lock(w);
    if (w->pending.size + ROOM_TO_TELL <= BTH_LOG_PENDING) {
        n = w->dropped - w->told;
        w->told = w->dropped;
    }
    writer_unlock(w);
    return n;
}

void bth_log_writer_destroy(struct bth_log_writer *w) {
    if (!w) {
        return;
    }
    writer_lock(w);
    w->stop_at = bth_deadline(bth_now(), LAST_MS);
    bth_cond_signal(&w->changed);
    writer_unlock(w);
    bth_thread_join(&w->thread);
    destroy(w);
}

/* The thread that notices a hanging device: the hanging thread cannot, and nobody else looks. */
#include "api/handle.h"
#include "base/clock.h"
#include "base/error.h"
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVERY_MS = 1000 };

static void look(const struct bth_watch *w, size_t device) {
    struct berth *b = w->berth;
    struct berth_error why;
    if (bth_manager_is_lost(b->manager, device) ||
        !bth_sched_is_stuck(b->scheds[device], w->limit)) {
        return;
    }
    bth_error(&why, BERTH_EDEVICE,
              "a call on the device has not come back %lld s after its request was cancelled",
              (long long)(w->limit / BTH_NS_PER_S));
    bth_manager_lose(b->manager, device, &why); /* first: who is told tries again elsewhere */
    bth_sched_abandon(b->scheds[device], &why);
}

static void *watch_main(void *arg) {
    const struct bth_watch *w = arg;
    struct pollfd stop = {.fd = w->stop, .events = POLLIN};
    const int64_t every = BTH_MIN(EVERY_MS, w->limit / BTH_NS_PER_MS);
    while (poll(&stop, 1, (int)every) <= 0) {
        for (size_t i = 0; i < w->berth->n_devices; i++) {
            look(w, i);
        }
    }
    return NULL;
}

int bth_watch_start(struct bth_watch *w, struct berth *b, int64_t limit, struct berth_error *err) {
    *w = (struct bth_watch){.berth = b, .limit = limit, .stop = eventfd(0, EFD_CLOEXEC)};
    if (w->stop < 0) {
        return bth_error(err, BERTH_EIO, "no descriptor is left for the manager's own use");
    }
    return bth_thread_start(&w->thread, "berth-watch", watch_main, w) < 0 ? bth_error_nomem(err)
                                                                          : 0;
}

void bth_watch_stop(struct bth_watch *w) {
    const uint64_t one = 1;
    if (!w->berth) {
        return;
    }
    if (w->thread.started && write(w->stop, &one, sizeof(one)) == sizeof(one)) {
        bth_thread_join(&w->thread);
    }
    if (w->stop >= 0) {
        close(w->stop);
    }
    *w = (struct bth_watch){0};
}

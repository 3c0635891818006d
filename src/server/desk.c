#include "server/desk.h"

#include "base/clock.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/loan.h"

#define TICK (100 * BTH_NS_PER_MS)

void bth_desk_note(struct bth_exchange *x, unsigned note) {
    struct bth_server *s = x->server;
    inbox_lock(s);
    x->notes |= note;
    if (!bth_list_linked(&x->inbox)) {
        x->refs++;
        bth_list_append(&s->inbox, &x->inbox);
        bth_cond_signal(&s->inbox_wake);
    }
    inbox_unlock(s);
}

/* The next exchange with notes, whose reference is now the caller's; NULL: none until `deadline`.
 */
static struct bth_exchange *take(struct bth_server *s, int64_t deadline, unsigned *out_notes) {
    struct bth_exchange *x = NULL;
    inbox_lock(s);
    while (!bth_list_linked(&s->inbox) && !s->desk_stop) {
        if (!bth_cond_wait(&s->inbox_wake, &s->inbox_lock, deadline)) {
            break;
        }
    }
    struct bth_list *l = bth_list_first(&s->inbox);
    if (l) {
        x = BTH_CONTAINER(l, struct bth_exchange, inbox);
        bth_list_remove(l);
        *out_notes = x->notes;
        x->notes = 0;
    }
    inbox_unlock(s);
    return x;
}

/* The exchange after x (NULL: the first) of those that the desk works for, with a reference. They
 * stay in the list while somebody has one. */
static struct bth_exchange *next_at_work(struct bth_server *s, struct bth_exchange *x) {
    struct bth_exchange *found = NULL;
    server_lock(s);
    struct bth_list *l = x ? x->link.next : s->exchanges.next;
    for (; l != &s->exchanges && !found; l = l->next) {
        struct bth_exchange *candidate = BTH_CONTAINER(l, struct bth_exchange, link);
        found = candidate->listed ? candidate : NULL;
    }
    if (found) {
        bth_exchange_ref(found);
    }
    server_unlock(s);
    return found;
}

static void tick(struct bth_server *s, int64_t now) {
    bth_conns_check(s, now);
    s->logged = bth_events_log(&s->log, s->berth->manager, s->logged);
    bth_loans_tick(s, now);
    inbox_lock(s);
    bool cancel = s->cancel_all;
    inbox_unlock(s);
    struct bth_exchange *x = next_at_work(s, NULL);
    while (x) {
        bth_work_tick(x, now, cancel);
        struct bth_exchange *next = next_at_work(s, x);
        bth_exchange_unref(x);
        x = next;
    }
}

static bool stopped(struct bth_server *s) {
    inbox_lock(s);
    bool stop = s->desk_stop && !bth_list_linked(&s->inbox);
    inbox_unlock(s);
    return stop;
}

static void *desk_main(void *arg) {
    struct bth_server *s = arg;
    int64_t due = bth_now() + TICK;
    while (!stopped(s)) {
        unsigned notes;
        struct bth_exchange *x = take(s, due, &notes);
        if (x) {
            bth_work_note(x, notes);
            bth_exchange_unref(x);
        }
        int64_t now = bth_now();
        atomic_store_explicit(&s->desk_at, now, memory_order_relaxed);
        if (now >= due) {
            tick(s, now);
            due = now + TICK;
        }
    }
    return NULL;
}

int bth_desk_start(struct bth_server *s, struct berth_error *err) {
    s->desk_at = bth_now();
    return bth_thread_start(&s->desk, "berth-desk", desk_main, s) < 0 ? bth_error_nomem(err) : 0;
}

void bth_desk_cancel_all(struct bth_server *s) {
    inbox_lock(s);
    s->cancel_all = true;
    inbox_unlock(s);
}

void bth_desk_stop(struct bth_server *s) {
    inbox_lock(s);
    s->desk_stop = true;
    bth_cond_signal(&s->inbox_wake);
    inbox_unlock(s);
    bth_thread_join(&s->desk);
}

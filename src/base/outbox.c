#include "base/outbox.h"
#include "base/alloc.h"
#include "base/error.h"
#include <assert.h>

BTH_LOCK(outbox, struct bth_outbox, lock, result)

/* ---- life ---- */

BTH_TSA(no_thread_safety_analysis)
int bth_outbox_init(struct bth_outbox *o, size_t capacity, size_t block,
                    void (*on_room)(struct bth_outbox *o), struct berth_error *err) {
    struct berth_item **items = capacity ? bth_calloc(capacity, sizeof(*items)) : NULL;
    if (capacity && !items) {
        return bth_error_nomem(err);
    }
    bth_mutex_init(&o->lock, BTH_RANK_result);
    bth_cond_init(&o->changed);
    o->refs = 1;
    o->state = BERTH_JOB_QUEUED;
    o->items = items;
    o->capacity = capacity;
    o->block = block;
    o->on_room = on_room;
    return 0;
}

BTH_TSA(no_thread_safety_analysis)
void bth_outbox_finish(struct bth_outbox *o) {
    for (size_t i = 0; i < o->n; i++) {
        berth_item_free(o->items[(o->first + i) % o->capacity]);
    }
    berth_item_free(o->final);
    bth_free(o->items);
    bth_cond_finish(&o->changed);
    bth_mutex_finish(&o->lock);
}

void bth_outbox_ref(struct bth_outbox *o) {
    outbox_lock(o);
    o->refs++;
    outbox_unlock(o);
}

bool bth_outbox_unref(struct bth_outbox *o) {
    outbox_lock(o);
    const bool last = --o->refs == 0;
    outbox_unlock(o);
    return last;
}

static bool over_locked(const struct bth_outbox *o) REQUIRES(result);
static bool over_locked(const struct bth_outbox *o) {
    return o->state == BERTH_JOB_DONE || o->state == BERTH_JOB_FAILED;
}

/* With the lock held, so that a request that has been given back never calls. */
static void tell_locked(struct bth_outbox *o) REQUIRES(result);
static void tell_locked(struct bth_outbox *o) {
    bth_cond_broadcast(&o->changed);
    if (o->on_event) {
        o->on_event(o->on_event_arg);
    }
}

/* ---- the producer ---- */

/* What is to be dropped: the item itself, one that it replaces, or NULL. */
static struct berth_item *put_locked(struct bth_outbox *o, struct berth_item *item, bool *out_fits)
    REQUIRES(result);
static struct berth_item *put_locked(struct bth_outbox *o, struct berth_item *item,
                                     bool *out_fits) {
    assert(bth_mutex_held(&o->lock));
    struct berth_item *drop = item;
    o->done = item->done;
    o->total = item->total;
    if (over_locked(o)) {
        return drop;
    }
    if (item->kind == BERTH_ITEM_FINAL) {
        drop = o->final;
        o->final = item;
    } else if (item->kind == BERTH_ITEM_PARTIAL && o->capacity > 0) {
        *out_fits = o->n < o->capacity;
        if (*out_fits) {
            o->items[(o->first + o->n++) % o->capacity] = item;
            drop = NULL;
            tell_locked(o); /* a final item can be taken when all is complete */
        }
    }
    return drop;
}

bool bth_outbox_put(struct bth_outbox *o, struct berth_item *item) {
    bool fits = true;
    outbox_lock(o);
    struct berth_item *drop = put_locked(o, item, &fits);
    outbox_unlock(o);
    berth_item_free(drop);
    return fits;
}

static bool roomy_locked(const struct bth_outbox *o) REQUIRES(result);
static bool roomy_locked(const struct bth_outbox *o) {
    return o->capacity == 0 || o->capacity - o->n >= o->block;
}

bool bth_outbox_has_room(struct bth_outbox *o) {
    outbox_lock(o);
    const bool room = roomy_locked(o) || over_locked(o);
    o->wants_room = !room;
    outbox_unlock(o);
    return room;
}

void bth_outbox_running(struct bth_outbox *o) {
    outbox_lock(o);
    if (o->state == BERTH_JOB_QUEUED) {
        o->state = BERTH_JOB_RUNNING;
    }
    outbox_unlock(o);
}

void bth_outbox_advance(struct bth_outbox *o, double done, double total) {
    outbox_lock(o);
    o->done = done;
    o->total = total;
    outbox_unlock(o);
}

bool bth_outbox_complete(struct bth_outbox *o, const struct berth_error *err) {
    struct berth_item *drop = NULL;
    outbox_lock(o);
    const bool first = !over_locked(o);
    if (first) {
        const bool well = (!err || err->code == 0) && o->final;
        if (!well && err && err->code < 0) {
            o->error = *err;
        } else if (!well) {
            bth_error(&o->error, BERTH_EINTERNAL, "the request ended without a result");
        }
        if (!well) {
            drop = o->final;
            o->final = NULL;
        }
        o->state = well ? BERTH_JOB_DONE : BERTH_JOB_FAILED;
        o->wants_room = false;
        tell_locked(o);
    }
    outbox_unlock(o);
    berth_item_free(drop);
    return first;
}

/* ---- the caller ---- */

/* The oldest partial item, or NULL. *out_room: the producer waits for this room. */
static struct berth_item *pop_locked(struct bth_outbox *o, bool *out_room) REQUIRES(result);
static struct berth_item *pop_locked(struct bth_outbox *o, bool *out_room) {
    if (o->n == 0) {
        return NULL;
    }
    struct berth_item *item = o->items[o->first];
    o->first = (o->first + 1) % o->capacity;
    o->n--;
    *out_room = o->wants_room && roomy_locked(o);
    o->wants_room &= !*out_room;
    return item;
}

/* The final item, once. */
static int take_final_locked(struct bth_outbox *o, struct berth_item **out, struct berth_error *err)
    REQUIRES(result);
static int take_final_locked(struct bth_outbox *o, struct berth_item **out,
                             struct berth_error *err) {
    if (o->state == BERTH_JOB_FAILED) {
        return bth_error_copy(err, &o->error);
    }
    if (o->taken) {
        return bth_error(err, BERTH_ESTATE, "the result has been taken already");
    }
    o->taken = true;
    *out = o->final;
    o->final = NULL;
    return 0;
}

/* Waits until there is something to take; false: the deadline has passed. */
static bool wait_locked(struct bth_outbox *o, int64_t deadline) REQUIRES(result);
static bool wait_locked(struct bth_outbox *o, int64_t deadline) {
    while (o->n == 0 && !over_locked(o)) {
        if (!bth_cond_wait(&o->changed, &o->lock, deadline)) {
            return o->n > 0 || over_locked(o);
        }
    }
    return true;
}

/* The next item; partial ones are dropped on the way if only the `last` is wanted. */
static int take(struct bth_outbox *o, bool last, int64_t deadline, struct berth_item **out,
                struct berth_error *err) {
    for (;;) {
        struct berth_item *item = NULL;
        bool room = false, final = false;
        int rc = 0;
        outbox_lock(o);
        if (!wait_locked(o, deadline)) {
            rc = bth_error(err, BERTH_ETIMEDOUT, "not finished yet");
        } else if (!(item = pop_locked(o, &room))) {
            final = true;
            rc = take_final_locked(o, &item, err);
        }
        outbox_unlock(o);
        if (room) {
            o->on_room(o);
        }
        if (rc < 0) {
            return rc;
        }
        if (final || !last) {
            *out = item;
            return 0;
        }
        berth_item_free(item);
    }
}

int bth_outbox_next(struct bth_outbox *o, int64_t deadline, struct berth_item **out,
                    struct berth_error *err) {
    return take(o, false, deadline, out, err);
}

int bth_outbox_wait(struct bth_outbox *o, int64_t deadline, struct berth_item **out,
                    struct berth_error *err) {
    return take(o, true, deadline, out, err);
}

enum berth_job_state bth_outbox_state(struct bth_outbox *o) {
    outbox_lock(o);
    const enum berth_job_state state = o->state;
    outbox_unlock(o);
    return state;
}

void bth_outbox_progress(struct bth_outbox *o, double *done, double *total) {
    outbox_lock(o);
    *done = o->done;
    *total = o->total;
    outbox_unlock(o);
}

void bth_outbox_on_event(struct bth_outbox *o, void (*fn)(void *arg), void *arg) {
    outbox_lock(o);
    o->on_event = fn;
    o->on_event_arg = arg;
    if (fn && (o->n > 0 || over_locked(o))) {
        fn(arg);
    }
    outbox_unlock(o);
}

/* The outbox: partial items in order, one final one, one completion, room, wake-up, nothing lost.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/item.h"
#include "base/outbox.h"
#include "lib/test.h"
#include <sched.h>

enum { CAPACITY = 4, BLOCK = 2 };

static int rooms, told;

static void on_room(struct bth_outbox *o) {
    CHECK(o);
    rooms++;
}

static void on_event(void *arg) {
    CHECK(arg == &told);
    told++;
}

static struct berth_item *item(enum berth_item_kind kind, double done) {
    struct berth_item *i = bth_item_create(kind);
    CHECK(i);
    i->done = done;
    i->total = 10;
    return i;
}

static void open_outbox(struct bth_outbox *o, size_t capacity) {
    struct berth_error err;
    memset(o, 0, sizeof(*o));
    CHECK_OK(bth_outbox_init(o, capacity, BLOCK, on_room, &err), err);
    rooms = told = 0;
}

static void close_outbox(struct bth_outbox *o) {
    CHECK(bth_outbox_unref(o));
    bth_outbox_finish(o);
}

static double next(struct bth_outbox *o) {
    struct berth_item *got;
    struct berth_error err;
    CHECK_OK(bth_outbox_next(o, 0, &got, &err), err);
    const double done = got->done;
    berth_item_free(got);
    return done;
}

static void test_in_order(void) {
    struct bth_outbox o;
    struct berth_item *got = NULL;
    struct berth_error err;
    double done, total;
    open_outbox(&o, CAPACITY);
    bth_outbox_on_event(&o, on_event, &told);
    CHECK_INT(bth_outbox_next(&o, 0, &got, &err), BERTH_ETIMEDOUT);
    bth_outbox_running(&o);
    CHECK_INT(bth_outbox_state(&o), BERTH_JOB_RUNNING);
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, 1)));
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, 2)));
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_FINAL, 3)));
    CHECK_INT(told, 2);
    CHECK(next(&o) == 1);
    CHECK(next(&o) == 2);
    CHECK_INT(bth_outbox_next(&o, 0, &got, &err), BERTH_ETIMEDOUT); /* not complete yet */
    CHECK(bth_outbox_complete(&o, NULL));
    bth_outbox_running(&o); /* too late to matter */
    CHECK_INT(bth_outbox_state(&o), BERTH_JOB_DONE);
    CHECK_INT(told, 3);
    bth_outbox_progress(&o, &done, &total);
    CHECK(done == 3 && total == 10);
    CHECK(next(&o) == 3);
    CHECK_INT(bth_outbox_next(&o, 0, &got, &err), BERTH_ESTATE);
    CHECK_INT(bth_outbox_wait(&o, 0, &got, &err), BERTH_ESTATE);
    CHECK(got == NULL);
    bth_outbox_on_event(&o, on_event, &told); /* over: told at once */
    CHECK_INT(told, 4);
    close_outbox(&o);
}

/* Full, the producer waits, and hears of room for a block, once. */
static void test_room(void) {
    struct bth_outbox o;
    open_outbox(&o, CAPACITY);
    for (int i = 0; i < CAPACITY; i++) {
        CHECK(bth_outbox_has_room(&o) == (CAPACITY - i >= BLOCK));
        CHECK(bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, i)));
    }
    CHECK(!bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, 99)));
    CHECK(!bth_outbox_has_room(&o));
    CHECK(next(&o) == 0);
    CHECK_INT(rooms, 0);
    CHECK(next(&o) == 1);
    CHECK_INT(rooms, 1);
    CHECK(next(&o) == 2);
    CHECK_INT(rooms, 1);
    close_outbox(&o); /* with one item in it */
}

/* It completes once: what comes later is dropped, and changes nothing. */
static void test_once(void) {
    struct bth_outbox o;
    struct berth_item *got;
    struct berth_error err, why;
    open_outbox(&o, CAPACITY);
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_FINAL, 1)));
    bth_error(&why, BERTH_ECANCELLED, "enough");
    CHECK(bth_outbox_complete(&o, &why));
    CHECK(!bth_outbox_complete(&o, NULL));
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_FINAL, 2)));
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, 3)));
    CHECK(bth_outbox_has_room(&o));
    CHECK_INT(bth_outbox_wait(&o, BTH_FOREVER, &got, &err), BERTH_ECANCELLED);
    CHECK_STR(err.message, "enough");
    close_outbox(&o);

    open_outbox(&o, 0);                                     /* no result, no reason */
    CHECK(bth_outbox_put(&o, item(BERTH_ITEM_PARTIAL, 1))); /* nobody wants it */
    CHECK(bth_outbox_has_room(&o));
    CHECK(bth_outbox_complete(&o, NULL));
    CHECK_INT(bth_outbox_wait(&o, 0, &got, &err), BERTH_EINTERNAL);
    close_outbox(&o);
}

static void *produce(void *arg) {
    struct bth_outbox *o = arg;
    for (int i = 0; i < 1000; i++) {
        while (!bth_outbox_has_room(o)) {
            sched_yield();
        }
        CHECK(bth_outbox_put(o, item(BERTH_ITEM_PARTIAL, i)));
    }
    bth_outbox_put(o, item(BERTH_ITEM_FINAL, 1000));
    CHECK(bth_outbox_complete(o, NULL));
    return NULL;
}

static void test_threads(void) {
    struct bth_outbox o;
    struct berth_item *got;
    struct berth_error err;
    struct bth_thread t = {0};
    open_outbox(&o, CAPACITY);
    CHECK_INT(bth_thread_start(&t, "produce", produce, &o), 0);
    for (int i = 0; i < 500; i++) {
        CHECK_OK(bth_outbox_next(&o, BTH_FOREVER, &got, &err), err);
        CHECK(got->done == i);
        berth_item_free(got);
    }
    CHECK_OK(bth_outbox_wait(&o, BTH_FOREVER, &got, &err), err); /* drops the rest */
    CHECK_INT(got->kind, BERTH_ITEM_FINAL);
    berth_item_free(got);
    bth_thread_join(&t);
    close_outbox(&o);
}

static void test_no_memory(void) {
    struct bth_outbox o = {0};
    struct berth_error err;
    bth_alloc_fail_at(1);
    CHECK_INT(bth_outbox_init(&o, CAPACITY, BLOCK, on_room, &err), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
}

int main(void) {
    test_in_order();
    test_room();
    test_once();
    test_threads();
    test_no_memory();
    return 0;
}

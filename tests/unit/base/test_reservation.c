#include "base/reservation.h"
#include "lib/test.h"
#include <berth/error.h>
#include <stdint.h>

static int grow_calls;

/* Grants up to 1,000 bytes in all, exactly what is asked for. */
static int grow(struct berth_reservation *r, size_t more, struct berth_error *err) {
    (void)err;
    grow_calls++;
    if (r->limit_bytes + more > 1000) {
        return BERTH_EBUDGET;
    }
    r->limit_bytes += more;
    return 0;
}

int main(void) {
    struct berth_reservation r;
    struct berth_error err;
    bth_reservation_init(&r, BERTH_BYTES_SESSION, 100);
    CHECK_OK(bth_reservation_draw(&r, 60, &err), err);
    CHECK_OK(bth_reservation_draw(&r, 40, &err), err);
    CHECK_OK(bth_reservation_draw(&r, 0, &err), err);
    CHECK_INT(bth_reservation_draw(&r, 1, &err), BERTH_EBUDGET);
    CHECK(err.message[0] && err.code == BERTH_EBUDGET);
    CHECK_INT(bth_reservation_draw(&r, SIZE_MAX, NULL), BERTH_EBUDGET); /* no wrap around */
    CHECK_INT(bth_reservation_used(&r), 100);
    bth_reservation_return(&r, 70);
    CHECK_INT(bth_reservation_used(&r), 30);
    CHECK_INT(r.high_bytes, 100);

    r.grow = grow;
    CHECK_OK(bth_reservation_draw(&r, 70, &err), err);
    CHECK_INT(grow_calls, 0); /* there was room */
    CHECK_OK(bth_reservation_draw(&r, 900, &err), err);
    CHECK_INT(r.limit_bytes, 1000);
    CHECK_INT(bth_reservation_draw(&r, 1, &err), BERTH_EBUDGET);
    CHECK_INT(bth_reservation_used(&r), 1000); /* nothing taken by what failed */
    CHECK_INT(grow_calls, 2);
    bth_reservation_return(&r, 1000);
    CHECK_INT(bth_reservation_used(&r), 0);
    CHECK_INT(r.high_bytes, 1000);
    return 0;
}

/* Slots of a region: the lowest first, memory only behind what is taken, clear words when full. */
#include "common/slots.h"

#include "base/alloc.h"
#include "base/reservation.h"
#include "lib/fake_device.h"
#include "lib/test.h"

enum { N = 64, BYTES = 64 << 10 };

int main(void) {
    struct fake_device device;
    struct berth_buffer *region;
    struct berth_reservation r;
    struct bth_slots s = {0};
    struct berth_error err;
    int32_t slot;
    const int64_t live = bth_alloc_live();
    fake_device_init(&device, "fake");
    bth_reservation_init(&r, BERTH_BYTES_SESSION, N * BYTES);
    CHECK_OK(device.base.ops->region_create(&device.base, N * BYTES, &region, &err), err);
    CHECK_OK(bth_slots_create(&s, N, &err), err);
    for (int32_t i = 0; i < N; i++) {
        CHECK_OK(bth_slots_take(&s, region, BYTES, &r, &slot, &err), err);
        CHECK_INT(slot, i);
    }
    CHECK_INT(bth_reservation_used(&r), N * BYTES);
    CHECK_INT(bth_slots_take(&s, region, BYTES, &r, &slot, &err), BERTH_EOVERLOADED);
    bth_slots_drop(&s, region, BYTES, &r, 40);
    bth_slots_drop(&s, region, BYTES, &r, 7);
    CHECK_INT(bth_reservation_used(&r), (N - 2) * BYTES);
    CHECK_OK(bth_slots_take(&s, region, BYTES, &r, &slot, &err), err);
    CHECK_INT(slot, 7);
    bth_slots_drop(&s, region, BYTES, &r, 7);

    /* a slot that finds no room stays free, and the answer is not touched */
    struct berth_reservation none;
    bth_reservation_init(&none, BERTH_BYTES_SESSION, BYTES - 1);
    slot = -1;
    CHECK_INT(bth_slots_take(&s, region, BYTES, &none, &slot, &err), BERTH_EBUDGET);
    CHECK_INT(slot, -1);
    CHECK_OK(bth_slots_take(&s, region, BYTES, &r, &slot, &err), err);
    CHECK_INT(slot, 7);
    for (int32_t i = 0; i < N; i++) {
        if (i != 40) {
            bth_slots_drop(&s, region, BYTES, &r, i);
        }
    }
    CHECK_INT(bth_reservation_used(&r), 0);
    bth_slots_finish(&s);
    device.base.ops->buffer_destroy(region);
    CHECK_INT(bth_alloc_live(), live);

    bth_alloc_fail_at(1);
    CHECK_INT(bth_slots_create(&s, N, &err), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
    bth_slots_finish(&s);
    return 0;
}

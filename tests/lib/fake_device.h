/*
 * tests/lib/fake_device.h - a device over plain host memory whose programs do nothing.
 *
 * For tests of core, sched and toy, which need no arithmetic. Buffers, regions and weights draw
 * from their reservations as a real device's do; what is alive is counted, and allocations can be
 * made to fail. Any thread.
 */
#ifndef BTH_FAKE_DEVICE_H
#define BTH_FAKE_DEVICE_H

#include <berth/backend.h>
#include <stdatomic.h>

struct fake_device {
    struct berth_device base; /* first: devices are cast */
    _Atomic int64_t live;     /* buffers, weights and programs */
    _Atomic int64_t bytes;    /* drawn for them */
    _Atomic int64_t fail_in;  /* the n-th creation from now fails with ENOMEM (once); 0: none */
    _Atomic bool lost;        /* program_run and sync answer EDEVICE */
    _Atomic int64_t closed;
};

/* `close` does nothing but count, so the test may look at the device afterwards. */
void fake_device_init(struct fake_device *d, const char *name);

#endif

/* base/clock.h - time inside Berth: int64_t nanoseconds, monotonic. Any thread. */
#ifndef BTH_CLOCK_H
#define BTH_CLOCK_H

#include <stdint.h>

#define BTH_NS_PER_MS INT64_C(1000000)
#define BTH_NS_PER_S  INT64_C(1000000000)
#define BTH_FOREVER   INT64_MAX /* a deadline that never comes */

int64_t bth_now(void);

/* The deadline timeout_ms from `now`; negative = BTH_FOREVER; saturates. */
int64_t bth_deadline(int64_t now, int64_t timeout_ms);

#endif

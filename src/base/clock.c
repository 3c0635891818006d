#include "base/clock.h"

#include <time.h>

int64_t bth_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * BTH_NS_PER_S + t.tv_nsec;
}

int64_t bth_deadline(int64_t now, int64_t timeout_ms) {
    if (timeout_ms < 0 || timeout_ms > (BTH_FOREVER - now) / BTH_NS_PER_MS) {
        return BTH_FOREVER;
    }
    return now + timeout_ms * BTH_NS_PER_MS;
}

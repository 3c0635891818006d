/* lease.h - a plain shared lease of core, for tests. */
#ifndef TEST_LEASE_H
#define TEST_LEASE_H

#include "core/manager.h"

static inline int test_acquire(struct bth_manager *m, const char *name, const char *tag,
                               int64_t deadline, struct bth_lease **out, struct berth_error *err) {
    const struct bth_ask ask = {.tag = tag, .deadline = deadline};
    return bth_manager_lease(m, name, &ask, out, err);
}

#endif

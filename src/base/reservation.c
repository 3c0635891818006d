#include "base/reservation.h"

#include "base/error.h"
#include <assert.h>

void bth_reservation_init(struct berth_reservation *r, enum berth_bytes_kind kind, size_t limit) {
    r->kind = kind;
    atomic_init(&r->limit_bytes, limit);
    atomic_init(&r->used_bytes, 0);
    atomic_init(&r->high_bytes, 0);
    r->grow = NULL;
    r->owner = NULL;
}

/* Relaxed throughout: the owner is one thread at a time and hand-overs go through locks; other
 * threads only look at the numbers. */
static size_t load(const _Atomic size_t *p) {
    return atomic_load_explicit(p, memory_order_relaxed);
}

int bth_reservation_draw(struct berth_reservation *r, size_t bytes, struct berth_error *err) {
    size_t used = load(&r->used_bytes), limit = load(&r->limit_bytes);
    if (bytes > limit - used) {
        size_t more = bytes - (limit - used);
        int rc = r->grow ? r->grow(r, more, err) : BERTH_EBUDGET;
        if (rc < 0 && !r->grow) {
            bth_error(err, rc, "needs %zu bytes where %zu of %zu are left of its reservation",
                      bytes, limit - used, limit);
        }
        if (rc < 0) {
            return rc;
        }
    }
    used += bytes;
    atomic_store_explicit(&r->used_bytes, used, memory_order_relaxed);
    if (used > load(&r->high_bytes)) {
        atomic_store_explicit(&r->high_bytes, used, memory_order_relaxed);
    }
    return 0;
}

void bth_reservation_return(struct berth_reservation *r, size_t bytes) {
    size_t used = load(&r->used_bytes);
    assert(bytes <= used);
    atomic_store_explicit(&r->used_bytes, used - bytes, memory_order_relaxed);
}

size_t bth_reservation_used(const struct berth_reservation *r) {
    return load(&r->used_bytes);
}

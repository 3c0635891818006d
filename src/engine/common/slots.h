/*
 * engine/common/slots.h - equal slots of a region, each with memory only while it is taken.
 *
 * The lowest free one is taken first, so that memory stays dense. Not here: what lies in a slot.
 * Device thread.
 */
#ifndef BTH_SLOTS_H
#define BTH_SLOTS_H

#include <berth/backend.h>

/* Zero-initialised before bth_slots_create, good for bth_slots_finish at any time. */
struct bth_slots {
    uint32_t *used; /* [n / 32] bits */
    int32_t n;
    int32_t hint; /* no word before it has a free bit */
};

/* n: a multiple of 32. ENOMEM. */
int bth_slots_create(struct bth_slots *s, int32_t n, struct berth_error *err);
void bth_slots_finish(struct bth_slots *s);

/* The lowest free slot, `bytes` of `region` committed behind it from `r`. EBUDGET, ENOMEM,
 * EOVERLOADED (none is free). */
int bth_slots_take(struct bth_slots *s, struct berth_buffer *region, size_t bytes,
                   struct berth_reservation *r, int32_t *out, struct berth_error *err);
void bth_slots_drop(struct bth_slots *s, struct berth_buffer *region, size_t bytes,
                    struct berth_reservation *r, int32_t slot);

#endif

#include "common/slots.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"

int bth_slots_create(struct bth_slots *s, int32_t n, struct berth_error *err) {
    s->n = n;
    s->hint = 0;
    s->used = bth_calloc((size_t)n / 32, sizeof(*s->used));
    return s->used ? 0 : bth_error_nomem(err);
}

void bth_slots_finish(struct bth_slots *s) {
    bth_free(s->used);
    s->used = NULL;
}

int bth_slots_take(struct bth_slots *s, struct berth_buffer *region, size_t bytes,
                   struct berth_reservation *r, int32_t *out, struct berth_error *err) {
    int32_t word = s->hint;
    while (word < s->n / 32 && s->used[word] == UINT32_MAX) {
        word++;
    }
    s->hint = word;
    if (word == s->n / 32) {
        return bth_error(err, BERTH_EOVERLOADED,
                         "too many requests on one model at once: try again later");
    }
    const int32_t slot = word * 32 + (int32_t)__builtin_ctz(~s->used[word]);
    int rc = region->device->ops->region_commit(region, r, (size_t)slot * bytes, bytes, err);
    if (rc < 0) {
        return rc;
    }
    s->used[word] |= 1U << (slot % 32);
    *out = slot;
    return 0;
}

void bth_slots_drop(struct bth_slots *s, struct berth_buffer *region, size_t bytes,
                    struct berth_reservation *r, int32_t slot) {
    region->device->ops->region_decommit(region, r, (size_t)slot * bytes, bytes);
    s->used[slot / 32] &= ~(1U << (slot % 32));
    s->hint = BTH_MIN(s->hint, slot / 32);
}

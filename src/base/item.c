#include "base/item.h"

#include "base/alloc.h"

struct owned_item {
    struct berth_item item; /* first: berth_item_free casts back */
    struct bth_arena arena;
};

struct berth_item *bth_item_create(enum berth_item_kind kind) {
    struct owned_item *o = bth_calloc(1, sizeof(*o));
    if (!o) {
        return NULL;
    }
    o->item.kind = kind;
    return &o->item;
}

struct bth_arena *bth_item_arena(struct berth_item *item) {
    return &((struct owned_item *)item)->arena;
}

BTH_EXPORT void berth_item_free(struct berth_item *item) {
    if (item) {
        struct owned_item *o = (struct owned_item *)item;
        bth_arena_finish(&o->arena);
        bth_free(o);
    }
}

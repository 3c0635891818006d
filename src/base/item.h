/*
 * base/item.h - building a struct berth_item: the item and all it points to are one arena.
 *
 * Engines fill an item, then hand it to their sink; from then on it is immutable.
 */
#ifndef BTH_ITEM_H
#define BTH_ITEM_H

#include "base/arena.h"
#include <berth/types.h>

/* NULL when out of memory. Free with berth_item_free. */
struct berth_item *bth_item_create(enum berth_item_kind kind) BTH_NODISCARD;
/* The arena behind an item that is still being built. */
struct bth_arena *bth_item_arena(struct berth_item *item);

#endif

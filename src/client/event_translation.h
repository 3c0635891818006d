/*
 * client/event_translation.h - a translation that a daemon has sent, back as it was.
 *
 * Nothing that comes is trusted: lists whose lengths do not fit together, ids out of range and
 * spans beyond the text damage the answer. What is allocated is in proportion to what was received.
 */
#ifndef BTH_EVENT_TRANSLATION_H
#define BTH_EVENT_TRANSLATION_H

#include "base/arena.h"
#include <berth/error.h>
#include <berth/types.h>
#include <jansson.h>

/* The member "translation" of an item, in the item's arena. EIO (damaged), ENOMEM. */
int bth_event_translation(const json_t *v, struct bth_arena *arena,
                          const struct berth_translation **out, struct berth_error *err);

#endif

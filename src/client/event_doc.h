/*
 * client/event_doc.h - a document that a daemon has sent, back as it was.
 *
 * Nothing that comes is trusted: columns of different lengths, numbers out of range, heads and
 * spans beyond the tokens, tokens beyond the text damage the answer. What is allocated is in
 * proportion to what was received.
 */
#ifndef BTH_EVENT_DOC_H
#define BTH_EVENT_DOC_H

#include "base/arena.h"
#include <berth/error.h>
#include <berth/types.h>
#include <jansson.h>

/* The member "doc" of an item, in the item's arena. EIO (damaged), ENOMEM. */
int bth_event_doc(const json_t *v, struct bth_arena *arena, const struct berth_doc **out,
                  struct berth_error *err);

#endif

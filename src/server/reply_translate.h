/* server/reply_translate.h - a translation as an object of POST /v1/translate. */
#ifndef BTH_REPLY_TRANSLATE_H
#define BTH_REPLY_TRANSLATE_H

#include "base/str.h"
#include <berth/types.h>

/* {"text":..., "alternatives":[...], "sentences":[...]}; an engine without translations has a text
 * alone. */
void bth_put_translation(struct bth_str *out, const struct berth_item *item);

#endif

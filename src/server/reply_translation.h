/*
 * server/reply_translation.h - a translation as a member of an item's line, for Berth's own client.
 *
 *     "translation":{"source":"en", "target":"pt", "text":..., "alternatives":[...],
 *       "sentences":[{"span":[0,5,0,4], "tokens":[...], "cached":false, "repeats":false,
 *         "alignment":[...] | null,
 *         "hypotheses":[{"text":..., "score":x, "tokens":[...], "logprobs":[...] | null}]}],
 *       "terms":[{"source":..., "target":..., "times":[found, placed]}]}
 *
 * Fields and numbers are those of struct berth_translation, to the last bit: floats have 17 digits,
 * NaN is null, the infinities are "inf" and "-inf". "alignment" is one array, row by row.
 */
#ifndef BTH_REPLY_TRANSLATION_H
#define BTH_REPLY_TRANSLATION_H

#include "base/str.h"
#include <berth/types.h>

/* Appends the member; out->failed says that memory was short. */
void bth_reply_translation_member(struct bth_str *out, const struct berth_translation *t);

/* ---- also for the replies of translation routes ---- */

/* A number as above: null, "inf" and "-inf" included. */
void bth_put_exact(struct bth_str *out, double x);
void bth_put_ids(struct bth_str *out, const char *key, const int32_t *ids, size_t n);

#endif

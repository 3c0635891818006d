/*
 * server/reply_doc.h - a document as a member of an item's line, for Berth's own client.
 *
 *     "doc":{"text":..., "language":..., "components":...,
 *            "strings":["", "the", "DT", ...],
 *            "tokens":{"end":"3 3", "begin":"0 1", "text":"1 5", "head":"1 0", ...},
 *            "ents":{"end":"2", "label":"7", ...}, "sents":{...}, "noun_chunks":{...},
 *            "tensor_width":96, "tensor":"base64", "vector_width":300, "vectors":"base64"}
 *
 * Tokens and spans are columns: whole numbers with a blank between them. A column that is all zeros
 * is left out, but "end" never is. A string is its place in "strings", of which the first is "".
 * "begin" and "idx" count from the end of the token before, "end" and "idx_end" from their begin,
 * "head" from the token: small numbers. Floats are little-endian f32.
 */
#ifndef BTH_REPLY_DOC_H
#define BTH_REPLY_DOC_H

#include "base/str.h"
#include <berth/types.h>

/* Appends the member; out->failed says that memory was short. */
void bth_reply_doc(struct bth_str *out, const struct berth_doc *doc);

#endif

/*
 * server/reply.h - results as the text that a route promises.
 *
 * A kind of reply is a struct of functions that append to a string. One that streams may begin
 * before the end is known; its `failed` then says why it stops. Pure: no lock, no socket.
 */
#ifndef BTH_REPLY_H
#define BTH_REPLY_H

#include "base/str.h"
#include <berth/error.h>
#include <berth/types.h>

struct bth_reply_ops {
    const char *type; /* of the content */
    bool streams;
    int64_t beat_ms; /* streams: at most this long without a sign of life */
    /* A partial result; NULL: they are not asked for. *at is the reply's own, 0 in the beginning.
     */
    void (*part)(struct bth_str *out, const struct berth_item *item, uint64_t *at);
    void (*final)(struct bth_str *out, const struct berth_item *item, uint64_t at);
    /* streams only */
    void (*failed)(struct bth_str *out, const struct berth_error *err);
    void (*beat)(struct bth_str *out, double done, double total);
};

extern const struct bth_reply_ops bth_reply_json, bth_reply_text, bth_reply_srt, bth_reply_vtt,
    bth_reply_verbose, bth_reply_translation, bth_reply_sse;                /* OpenAI's */
extern const struct bth_reply_ops bth_reply_ndjson, bth_reply_ndjson_parts; /* Berth's own */
/* spaCy's: one document; one of several. Their `at` is a bth_nlp_at from the beginning. */
extern const struct bth_reply_ops bth_reply_nlp, bth_reply_nlp_lines, bth_reply_nlp_array;
extern const struct bth_reply_ops bth_reply_translate_events; /* of /v1/translate */

#endif

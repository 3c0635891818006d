/*
 * Results of any family for Berth's own client: a JSON object a line.
 *
 *     {"event":"progress","done":x,"total":y}                  now and then: also a sign of life
 *     {"event":"item","partial":true, ...}                     when asked for
 *     {"event":"item","partial":false, ...} or {"event":"error","code":"EAUDIO","message":...}
 *
 * An item has the fields of struct berth_item under their names, so that the client can rebuild it
 * to the last bit: NaN is null, and the infinities, which JSON has no number for, "inf" and "-inf".
 */
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/reply.h"
#include "server/reply_doc.h"
#include "server/reply_translation.h"

static void open_object(struct bth_str *out) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
}

static void open_array(struct bth_str *out, const char *key) {
    bth_json_key(out, key);
    bth_str_putc(out, '[');
}

static void put_exact(struct bth_str *out, const char *key, double x) {
    bth_json_key(out, key);
    bth_put_exact(out, x);
}

static void put_segment(struct bth_str *out, const struct berth_segment *s) {
    open_object(out);
    bth_json_put_uint(out, "id", s->id);
    bth_json_put_int(out, "seek", s->seek);
    put_exact(out, "start_s", s->start_s);
    put_exact(out, "end_s", s->end_s);
    bth_json_put_string(out, "text", s->text);
    bth_put_ids(out, "tokens", s->tokens, s->n_tokens);
    put_exact(out, "temperature", s->temperature);
    put_exact(out, "avg_logprob", s->avg_logprob);
    put_exact(out, "compression_ratio", s->compression_ratio);
    put_exact(out, "no_speech_prob", s->no_speech_prob);
    bth_str_putc(out, '}');
}

static void put_step(struct bth_str *out, const struct berth_step_trace *t) {
    open_object(out);
    bth_json_put_int(out, "window", t->window);
    bth_json_put_int(out, "attempt", t->attempt);
    bth_json_put_int(out, "row", t->row);
    bth_json_put_int(out, "step", t->step);
    bth_json_put_int(out, "token", t->token);
    bth_json_put_int(out, "second", t->second);
    put_exact(out, "logprob", (double)t->logprob);
    put_exact(out, "gap", (double)t->gap);
    put_exact(out, "timestamp_margin", (double)t->timestamp_margin);
    bth_str_putc(out, '}');
}

static void put_transcript(struct bth_str *out, const struct berth_transcript *t) {
    bth_json_key(out, "transcript");
    bth_str_putc(out, '{');
    bth_json_put_string(out, "language", t->language);
    bth_json_put_string(out, "language_name", t->language_name);
    bth_json_put_string(out, "text", t->text);
    put_exact(out, "duration_s", t->duration_s);
    open_array(out, "segments");
    for (size_t i = 0; i < t->n_segments; i++) {
        put_segment(out, &t->segments[i]);
    }
    bth_str_putc(out, ']');
    open_array(out, "languages");
    for (size_t i = 0; i < t->n_languages; i++) {
        open_object(out);
        bth_json_put_string(out, "language", t->languages[i].language);
        put_exact(out, "prob", (double)t->languages[i].prob);
        bth_str_putc(out, '}');
    }
    bth_str_putc(out, ']');
    open_array(out, "trace");
    for (size_t i = 0; i < t->n_trace; i++) {
        put_step(out, &t->trace[i]);
    }
    bth_str_puts(out, "]}");
}

static void put_item(struct bth_str *out, const struct berth_item *item, bool partial) {
    bth_str_putc(out, '{');
    bth_json_put_string(out, "event", "item");
    bth_json_put_bool(out, "partial", partial);
    put_exact(out, "done", item->done);
    put_exact(out, "total", item->total);
    if (item->transcript) {
        put_transcript(out, item->transcript);
    }
    if (item->text) {
        bth_json_put_string(out, "text", item->text);
    }
    if (item->doc) {
        bth_reply_doc(out, item->doc);
    }
    if (item->translation) {
        bth_reply_translation_member(out, item->translation);
    }
    bth_str_puts(out, "}\n");
}

static void part(struct bth_str *out, const struct berth_item *item, uint64_t *at) {
    (void)at;
    put_item(out, item, true);
}

static void final(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    put_item(out, item, false);
}

static void failed(struct bth_str *out, const struct berth_error *err) {
    bth_str_putc(out, '{');
    bth_json_put_string(out, "event", "error");
    bth_json_put_string(out, "code", berth_error_name(err->code));
    bth_json_put_string(out, "message", err->message);
    bth_json_put_int(out, "status", bth_error_status(err->code));
    bth_str_puts(out, "}\n");
}

static void beat(struct bth_str *out, double done, double total) {
    bth_str_putc(out, '{');
    bth_json_put_string(out, "event", "progress");
    bth_json_put_number(out, "done", done);
    bth_json_put_number(out, "total", total);
    bth_str_puts(out, "}\n");
}

#define NDJSON                                                                                     \
    .type = "application/x-ndjson", .streams = true, .beat_ms = 500, .final = final,               \
    .failed = failed, .beat = beat

const struct bth_reply_ops bth_reply_ndjson = {NDJSON};
const struct bth_reply_ops bth_reply_ndjson_parts = {NDJSON, .part = part};

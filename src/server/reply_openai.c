/* Transcripts as OpenAI's audio endpoints answer them. */
#include "base/pystr.h"
#include "render/output.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/reply.h"
#include <math.h>
#include <string.h>

/* ---- pieces ----------------------------------------------------------------------------------*/

static const struct berth_transcript nothing;

/* An engine without transcripts has a text, which has no times. */
static const struct berth_transcript *transcript_of(const struct berth_item *item) {
    return item->transcript ? item->transcript : &nothing;
}

/* The whole text without the space that Whisper begins with. */
static void put_text(struct bth_str *out, const struct berth_item *item) {
    const char *text = item->transcript ? item->transcript->text : item->text;
    size_t n;
    text = text ? text : "";
    const char *p = bth_py_strip(text, strlen(text), &n);
    bth_str_append(out, p, n);
}

static void put_text_member(struct bth_str *out, const struct berth_item *item) {
    struct bth_str text = {0};
    put_text(&text, item);
    bth_json_put_string(out, "text", bth_str_text(&text));
    out->failed |= text.failed;
    bth_str_finish(&text);
}

static void put_usage(struct bth_str *out, const struct berth_item *item) {
    bth_json_key(out, "usage");
    bth_str_puts(out, "{\"type\":\"duration\"");
    bth_json_put_int(out, "seconds", (int64_t)ceil(transcript_of(item)->duration_s));
    bth_str_putc(out, '}');
}

/* ---- whole answers ---------------------------------------------------------------------------*/

static void final_json(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    bth_str_putc(out, '{');
    put_text_member(out, item);
    put_usage(out, item);
    bth_str_puts(out, "}\n");
}

static void final_text(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    put_text(out, item);
    bth_str_putc(out, '\n');
}

static void final_srt(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    bth_output_write(out, transcript_of(item), BTH_OUTPUT_SRT);
}

static void final_vtt(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    bth_output_write(out, transcript_of(item), BTH_OUTPUT_VTT);
}

static void put_segment(struct bth_str *out, const struct berth_segment *s) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_uint(out, "id", s->id);
    bth_json_put_int(out, "seek", s->seek);
    bth_json_put_number(out, "start", s->start_s);
    bth_json_put_number(out, "end", s->end_s);
    bth_json_put_string(out, "text", s->text);
    bth_json_key(out, "tokens");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < s->n_tokens; i++) {
        bth_str_printf(out, "%s%d", i ? "," : "", (int)s->tokens[i]);
    }
    bth_str_putc(out, ']');
    bth_json_put_number(out, "temperature", s->temperature);
    bth_json_put_number(out, "avg_logprob", s->avg_logprob);
    bth_json_put_number(out, "compression_ratio", s->compression_ratio);
    bth_json_put_number(out, "no_speech_prob", s->no_speech_prob);
    bth_str_putc(out, '}');
}

static void put_verbose(struct bth_str *out, const struct berth_item *item, const char *task,
                        const char *language) {
    const struct berth_transcript *t = transcript_of(item);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "task", task);
    bth_json_put_string(out, "language", language ? language : "");
    bth_json_put_number(out, "duration", t->duration_s);
    put_text_member(out, item);
    bth_json_key(out, "segments");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->n_segments; i++) {
        put_segment(out, &t->segments[i]);
    }
    bth_str_putc(out, ']');
    put_usage(out, item);
    bth_str_puts(out, "}\n");
}

static void final_verbose(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    put_verbose(out, item, "transcribe", transcript_of(item)->language_name);
}

static void final_translation(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    put_verbose(out, item, "translate", "english");
}

/* ---- events ----------------------------------------------------------------------------------*/

static void put_delta(struct bth_str *out, const char *text) {
    bth_str_puts(out, "data: {");
    bth_json_put_string(out, "type", "transcript.text.delta");
    bth_json_put_string(out, "delta", text);
    bth_str_puts(out, "}\n\n");
}

/* A delta for each segment that has not been sent, of which *at counts. */
static void part_sse(struct bth_str *out, const struct berth_item *item, uint64_t *at) {
    const struct berth_transcript *t = transcript_of(item);
    for (size_t i = 0; i < t->n_segments; i++) {
        if (t->segments[i].id >= *at) {
            put_delta(out, t->segments[i].text);
            *at = (uint64_t)t->segments[i].id + 1;
        }
    }
}

static void final_sse(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    part_sse(out, item, &at);
    bth_str_puts(out, "data: {");
    bth_json_put_string(out, "type", "transcript.text.done");
    put_text_member(out, item);
    put_usage(out, item);
    bth_str_puts(out, "}\n\n");
}

static void failed_sse(struct bth_str *out, const struct berth_error *err) {
    bth_str_puts(out, "data: ");
    bth_error_json(out, err, berth_error_name(err->code), NULL);
    bth_str_puts(out, "\n\n");
}

static void beat_sse(struct bth_str *out, double done, double total) {
    (void)done, (void)total;
    bth_str_puts(out, ": still at work\n\n");
}

const struct bth_reply_ops bth_reply_json = {.type = "application/json", .final = final_json};
const struct bth_reply_ops bth_reply_text = {.type = "text/plain; charset=utf-8",
                                             .final = final_text};
const struct bth_reply_ops bth_reply_srt = {.type = "application/x-subrip; charset=utf-8",
                                            .final = final_srt};
const struct bth_reply_ops bth_reply_vtt = {.type = "text/vtt; charset=utf-8", .final = final_vtt};
const struct bth_reply_ops bth_reply_verbose = {.type = "application/json", .final = final_verbose};
const struct bth_reply_ops bth_reply_translation = {.type = "application/json",
                                                    .final = final_translation};
const struct bth_reply_ops bth_reply_sse = {.type = "text/event-stream",
                                            .streams = true,
                                            .beat_ms = 10000,
                                            .part = part_sse,
                                            .final = final_sse,
                                            .failed = failed_sse,
                                            .beat = beat_sse};

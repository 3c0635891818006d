/*
 * Translations as POST /v1/translate answers them: an object a text, or events.
 *
 *     event: sentence    the sentences that are ready, in order, as they come
 *     event: done        the whole object
 *     event: error       why there is none
 */
#include "server/reply_translate.h"

#include "server/exchange.h"
#include "server/json_text.h"
#include "server/reply.h"
#include "server/reply_translation.h"

static void put_floats(struct bth_str *out, const float *x, size_t n) {
    bth_str_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        bth_str_puts(out, i ? "," : "");
        bth_json_number(out, (double)x[i]);
    }
    bth_str_putc(out, ']');
}

static void put_hypothesis(struct bth_str *out, const struct berth_hypothesis *h) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "text", h->text);
    bth_json_put_number(out, "score", h->score);
    bth_put_ids(out, "tokens", h->tokens, h->n_tokens);
    if (h->logprobs) {
        bth_json_key(out, "logprobs");
        put_floats(out, h->logprobs, h->n_tokens);
    }
    bth_str_putc(out, '}');
}

static void put_sentence(struct bth_str *out, const struct berth_sentence *s) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_key(out, "source");
    bth_str_printf(out, "[%zu,%zu]", s->source_begin, s->source_end);
    bth_json_key(out, "target");
    bth_str_printf(out, "[%zu,%zu]", s->target_begin, s->target_end);
    bth_json_put_bool(out, "translated", s->n_hypotheses > 0);
    bth_json_put_bool(out, "cached", s->cached);
    bth_json_put_bool(out, "repeats", s->repeats);
    bth_put_ids(out, "tokens", s->tokens, s->n_tokens);
    bth_json_key(out, "hypotheses");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < s->n_hypotheses; i++) {
        put_hypothesis(out, &s->hypotheses[i]);
    }
    bth_str_putc(out, ']');
    if (s->alignment && s->n_hypotheses > 0) {
        bth_json_key(out, "alignment");
        bth_str_putc(out, '[');
        for (size_t i = 0; i < s->hypotheses[0].n_tokens; i++) {
            bth_str_puts(out, i ? "," : "");
            put_floats(out, s->alignment + i * s->n_tokens, s->n_tokens);
        }
        bth_str_putc(out, ']');
    }
    bth_str_putc(out, '}');
}

static void put_sentences(struct bth_str *out, const struct berth_translation *t) {
    bth_json_key(out, "sentences");
    bth_str_putc(out, '[');
    for (size_t i = 0; t && i < t->n_sentences; i++) {
        put_sentence(out, &t->sentences[i]);
    }
    bth_str_putc(out, ']');
}

/* A term is used where each of its words made room for it. */
static void put_terms(struct bth_str *out, const struct berth_translation *t) {
    bth_json_key(out, "glossary");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->n_terms; i++) {
        bth_json_comma(out);
        bth_str_putc(out, '{');
        bth_json_put_string(out, "term", t->terms[i].source);
        bth_json_put_string(out, "translation", t->terms[i].target);
        bth_json_key(out, "found");
        bth_str_printf(out, "%zu", t->terms[i].found);
        bth_json_put_bool(out, "used", t->terms[i].placed == t->terms[i].found);
        bth_str_putc(out, '}');
    }
    bth_str_putc(out, ']');
}

void bth_put_translation(struct bth_str *out, const struct berth_item *item) {
    const struct berth_translation *t = item->translation;
    bth_str_putc(out, '{');
    bth_json_put_string(out, "text", t ? t->text : item->text);
    bth_json_key(out, "alternatives");
    bth_str_putc(out, '[');
    for (size_t i = 0; t && i < t->n_alternatives; i++) {
        bth_json_comma(out);
        bth_json_string(out, t->alternatives[i]);
    }
    bth_str_putc(out, ']');
    put_sentences(out, t);
    if (t && t->n_terms > 0) {
        put_terms(out, t);
    }
    bth_str_putc(out, '}');
}

/* ---- events ----------------------------------------------------------------------------------*/

static void part(struct bth_str *out, const struct berth_item *item, uint64_t *at) {
    (void)at;
    bth_str_puts(out, "event: sentence\ndata: {");
    put_sentences(out, item->translation);
    if (item->text) {
        bth_json_put_string(out, "text", item->text);
    }
    bth_str_puts(out, "}\n\n");
}

static void final(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    (void)at;
    bth_str_puts(out, "event: done\ndata: ");
    bth_put_translation(out, item);
    bth_str_puts(out, "\n\n");
}

static void failed(struct bth_str *out, const struct berth_error *err) {
    bth_str_puts(out, "event: error\ndata: ");
    bth_error_json(out, err, berth_error_name(err->code), NULL);
    bth_str_puts(out, "\n\n");
}

static void beat(struct bth_str *out, double done, double total) {
    (void)done, (void)total;
    bth_str_puts(out, ": still at work\n\n");
}

const struct bth_reply_ops bth_reply_translate_events = {.type = "text/event-stream",
                                                         .streams = true,
                                                         .beat_ms = 10000,
                                                         .part = part,
                                                         .final = final,
                                                         .failed = failed,
                                                         .beat = beat};

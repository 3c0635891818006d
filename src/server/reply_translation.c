#include "server/reply_translation.h"

#include "server/json_text.h"
#include <math.h>

void bth_put_exact(struct bth_str *out, double x) {
    if (isinf(x)) {
        bth_str_puts(out, x < 0 ? "\"-inf\"" : "\"inf\"");
    } else {
        bth_json_number(out, x);
    }
}

void bth_put_ids(struct bth_str *out, const char *key, const int32_t *ids, size_t n) {
    bth_json_key(out, key);
    bth_str_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        bth_str_printf(out, "%s%d", i ? "," : "", (int)ids[i]);
    }
    bth_str_putc(out, ']');
}

/* NULL is null. */
static void put_floats(struct bth_str *out, const char *key, const float *x, size_t n) {
    bth_json_key(out, key);
    if (!x) {
        bth_str_puts(out, "null");
        return;
    }
    bth_str_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        bth_str_puts(out, i ? "," : "");
        bth_put_exact(out, (double)x[i]);
    }
    bth_str_putc(out, ']');
}

static void put_hypothesis(struct bth_str *out, const struct berth_hypothesis *h) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "text", h->text);
    bth_json_key(out, "score");
    bth_put_exact(out, h->score);
    bth_put_ids(out, "tokens", h->tokens, h->n_tokens);
    put_floats(out, "logprobs", h->logprobs, h->n_tokens);
    bth_str_putc(out, '}');
}

static void put_sentence(struct bth_str *out, const struct berth_sentence *s) {
    size_t n_target = s->n_hypotheses ? s->hypotheses[0].n_tokens : 0;
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_key(out, "span");
    bth_str_printf(out, "[%zu,%zu,%zu,%zu]", s->source_begin, s->source_end, s->target_begin,
                   s->target_end);
    bth_put_ids(out, "tokens", s->tokens, s->n_tokens);
    bth_json_key(out, "hypotheses");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < s->n_hypotheses; i++) {
        put_hypothesis(out, &s->hypotheses[i]);
    }
    bth_str_putc(out, ']');
    put_floats(out, "alignment", s->alignment, n_target * s->n_tokens);
    bth_json_put_bool(out, "cached", s->cached);
    bth_json_put_bool(out, "repeats", s->repeats);
    bth_str_putc(out, '}');
}

static void put_term(struct bth_str *out, const struct berth_term *t) {
    bth_json_comma(out);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "source", t->source);
    bth_json_put_string(out, "target", t->target);
    bth_json_key(out, "times");
    bth_str_printf(out, "[%zu,%zu]}", t->found, t->placed);
}

void bth_reply_translation_member(struct bth_str *out, const struct berth_translation *t) {
    bth_json_key(out, "translation");
    bth_str_putc(out, '{');
    bth_json_put_string(out, "source", t->source);
    bth_json_put_string(out, "target", t->target);
    bth_json_put_string(out, "text", t->text);
    bth_json_key(out, "alternatives");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->n_alternatives; i++) {
        bth_json_comma(out);
        bth_json_string(out, t->alternatives[i]);
    }
    bth_str_putc(out, ']');
    bth_json_key(out, "sentences");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->n_sentences; i++) {
        put_sentence(out, &t->sentences[i]);
    }
    bth_str_putc(out, ']');
    bth_json_key(out, "terms");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->n_terms; i++) {
        put_term(out, &t->terms[i]);
    }
    bth_str_puts(out, "]}");
}

/* tests/lib/items.h - a result as text, in which two that differ in one bit differ. */
#ifndef BTH_TEST_ITEMS_H
#define BTH_TEST_ITEMS_H

#include "base/str.h"
#include "lib/test.h"
#include <berth/types.h>

/* NaN has many bit patterns, which mean the same. */
static inline void items_put(struct bth_str *s, double x) {
    if (isnan(x)) {
        bth_str_puts(s, " nan");
    } else {
        bth_str_printf(s, " %a", x);
    }
}

static inline void items_put_text(struct bth_str *s, const char *text) {
    bth_str_printf(s, text ? " '%s'" : " NULL", text);
}

static inline void items_put_transcript(struct bth_str *s, const struct berth_transcript *t) {
    items_put_text(s, t->language);
    items_put_text(s, t->language_name);
    items_put_text(s, t->text);
    items_put(s, t->duration_s);
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct berth_segment *g = &t->segments[i];
        bth_str_printf(s, "\nsegment %u %lld", (unsigned)g->id, (long long)g->seek);
        items_put(s, g->start_s);
        items_put(s, g->end_s);
        items_put_text(s, g->text);
        for (size_t k = 0; k < g->n_tokens; k++) {
            bth_str_printf(s, " %d", (int)g->tokens[k]);
        }
        items_put(s, g->temperature);
        items_put(s, g->avg_logprob);
        items_put(s, g->compression_ratio);
        items_put(s, g->no_speech_prob);
    }
    for (size_t i = 0; i < t->n_languages; i++) {
        bth_str_puts(s, "\nlanguage");
        items_put_text(s, t->languages[i].language);
        items_put(s, (double)t->languages[i].prob);
    }
    for (size_t i = 0; i < t->n_trace; i++) {
        const struct berth_step_trace *p = &t->trace[i];
        bth_str_printf(s, "\nstep %d %d %d %d %d %d", (int)p->window, (int)p->attempt, (int)p->row,
                       (int)p->step, (int)p->token, (int)p->second);
        items_put(s, (double)p->logprob);
        items_put(s, (double)p->gap);
        items_put(s, (double)p->timestamp_margin);
    }
}

static inline void items_put_floats(struct bth_str *s, const float *x, size_t n) {
    bth_str_puts(s, x ? " [" : " none");
    for (size_t i = 0; x && i < n; i++) {
        items_put(s, (double)x[i]);
    }
}

static inline void items_put_sentence(struct bth_str *s, const struct berth_sentence *p) {
    size_t n_target = p->n_hypotheses ? p->hypotheses[0].n_tokens : 0;
    bth_str_printf(s, "\nsentence %zu %zu %zu %zu %d %d", p->source_begin, p->source_end,
                   p->target_begin, p->target_end, p->cached, p->repeats);
    for (size_t i = 0; i < p->n_tokens; i++) {
        bth_str_printf(s, " %d", (int)p->tokens[i]);
    }
    items_put_floats(s, p->alignment, n_target * p->n_tokens);
    for (size_t i = 0; i < p->n_hypotheses; i++) {
        const struct berth_hypothesis *h = &p->hypotheses[i];
        bth_str_puts(s, "\nhypothesis");
        items_put_text(s, h->text);
        items_put(s, h->score);
        for (size_t k = 0; k < h->n_tokens; k++) {
            bth_str_printf(s, " %d", (int)h->tokens[k]);
        }
        items_put_floats(s, h->logprobs, h->n_tokens);
    }
}

static inline void items_put_translation(struct bth_str *s, const struct berth_translation *t) {
    items_put_text(s, t->source);
    items_put_text(s, t->target);
    items_put_text(s, t->text);
    for (size_t i = 0; i < t->n_alternatives; i++) {
        items_put_text(s, t->alternatives[i]);
    }
    for (size_t i = 0; i < t->n_sentences; i++) {
        items_put_sentence(s, &t->sentences[i]);
    }
}

static inline void items_put_spans(struct bth_str *s, const struct berth_span *spans, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bth_str_printf(s, "\nspan %u %u", (unsigned)spans[i].begin, (unsigned)spans[i].end);
        items_put_text(s, spans[i].label);
        items_put_text(s, spans[i].id);
        items_put_text(s, spans[i].kb_id);
    }
}

static inline void items_put_token(struct bth_str *s, const struct berth_token *t) {
    const char *const strings[] = {t->text,   t->norm,     t->lower,  t->shape,    t->prefix,
                                   t->suffix, t->tag,      t->pos,    t->morph,    t->lemma,
                                   t->dep,    t->ent_type, t->ent_id, t->ent_kb_id};
    bth_str_printf(s, "\ntoken %u %u %u %u %d %x %d %d %d", (unsigned)t->begin, (unsigned)t->end,
                   (unsigned)t->idx, (unsigned)t->idx_end, t->space, (unsigned)t->flags,
                   (int)t->head, t->sent_start, t->ent_iob);
    for (size_t i = 0; i < BTH_COUNT(strings); i++) {
        items_put_text(s, strings[i]);
    }
}

static inline void items_put_doc(struct bth_str *s, const struct berth_doc *d) {
    items_put_text(s, d->text);
    items_put_text(s, d->language);
    items_put_text(s, d->components);
    for (size_t i = 0; i < d->n_tokens; i++) {
        items_put_token(s, &d->tokens[i]);
    }
    items_put_spans(s, d->ents, d->n_ents);
    items_put_spans(s, d->sents, d->n_sents);
    items_put_spans(s, d->noun_chunks, d->n_noun_chunks);
    bth_str_printf(s, "\nwidths %d %zu %d %zu", d->tensor != NULL, d->tensor_width,
                   d->vectors != NULL, d->vector_width);
    items_put_floats(s, d->tensor, d->n_tokens * d->tensor_width);
    items_put_floats(s, d->vectors, d->n_tokens * d->vector_width);
}

/* Appends one item. */
static inline void items_append(struct bth_str *s, const struct berth_item *item) {
    bth_str_printf(s, "\nitem %d", (int)item->kind);
    items_put(s, item->done);
    items_put(s, item->total);
    items_put_text(s, item->text);
    if (item->transcript) {
        items_put_transcript(s, item->transcript);
    }
    if (item->doc) {
        items_put_doc(s, item->doc);
    }
    if (item->translation) {
        items_put_translation(s, item->translation);
    }
    CHECK(!s->failed);
}

#endif

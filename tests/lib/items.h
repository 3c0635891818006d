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

/* Appends one item. */
static inline void items_append(struct bth_str *s, const struct berth_item *item) {
    bth_str_printf(s, "\nitem %d", (int)item->kind);
    items_put(s, item->done);
    items_put(s, item->total);
    items_put_text(s, item->text);
    if (item->transcript) {
        items_put_transcript(s, item->transcript);
    }
    CHECK(!s->failed);
}

#endif

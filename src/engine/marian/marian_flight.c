/*
 * A sentence in flight: its slots, the histories of its beams.
 *
 * A place is a position's keys and values in a slot, or a state of a recurrent decoder. Every live
 * beam writes a new one at each step, and its history lists those it can see; beams that come from
 * one share places. After a step the places in no history are free again.
 */
#include "marian/marian_cache.h"
#include "marian/marian_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include "format/shortlist.h"
#include <math.h>
#include <string.h>

static bool recurrent(const struct marian_flight *f) {
    return marian_session_model(f->session)->config.decoder == MARIAN_DECODER_SSRU;
}

static int source_slots(size_t n_tokens) {
    return (int)((n_tokens + MARIAN_PAGE - 1) / MARIAN_PAGE);
}

/* At most, for a sentence of so many ids: all beams apart, and one step more of each. */
size_t marian_flight_slots(const struct marian_session *s, size_t n_tokens, int max_length) {
    const struct marian_model *m = marian_session_model(s);
    const int steps = m->config.decoder == MARIAN_DECODER_SSRU ? 2 : max_length + 1;
    return (size_t)source_slots(n_tokens) +
           (size_t)(s->search.beams * steps + MARIAN_PAGE - 1) / MARIAN_PAGE;
}

/* The longest target of this sentence, the start id included. */
static int longest(const struct marian_session *s, size_t n_tokens) {
    int most = s->search.max_length;
    if (s->length_factor > 0) {
        const double ids = ceil(s->length_factor * (double)n_tokens);
        most = ids + 1 < (double)most ? (int)ids + 1 : most;
    }
    return most < 2 ? 2 : most;
}

static int take_slot(struct marian_flight *f) {
    struct marian_session *s = f->session;
    if (f->n_slots == f->slots_capacity) {
        const int more = f->slots_capacity ? 2 * f->slots_capacity : 16;
        int32_t *slots = bth_realloc_array(f->slots, (size_t)more, sizeof(*slots));
        if (!slots) {
            return bth_error_nomem(&s->err);
        }
        f->slots = slots;
        uint8_t *taken = bth_realloc_array(f->taken, (size_t)more, MARIAN_PAGE);
        if (!taken) {
            return bth_error_nomem(&s->err);
        }
        f->taken = taken;
        f->slots_capacity = more;
    }
    int rc = marian_slot_take(marian_session_model(s), s->base.reservation, &f->slots[f->n_slots],
                              &s->err);
    if (rc == 0) {
        memset(f->taken + f->n_slots * MARIAN_PAGE, 0, MARIAN_PAGE);
        f->n_slots++;
    }
    return rc;
}

static int make_list(struct marian_flight *f) {
    struct marian_model *m = marian_session_model(f->session);
    f->list_number = ++m->n_lists;
    f->list_row = -1;
    return bth_shortlist_select(m->shortlist, f->ids, f->key.n_ids, m->config.shared_vocab,
                                &f->list, &f->n_list, &f->session->err);
}

static int make_key(struct marian_flight *f, const struct marian_sentence *from) {
    const struct marian_session *s = f->session;
    f->ids = bth_alloc((from->n_tokens + 1) * sizeof(*f->ids));
    if (!f->ids) {
        return bth_error_nomem(&f->session->err);
    }
    for (size_t i = 0; i < from->n_tokens; i++) {
        f->ids[i] = from->tokens[i].id;
    }
    f->key = (struct marian_flight_key){.ids = f->ids,
                                        .n_ids = from->n_tokens,
                                        .search = s->search,
                                        .kept = 1 + s->options.alternatives,
                                        .aligned = s->options.alignment,
                                        .linked = s->html || s->glossary,
                                        .guarded = s->options.repetition_guard};
    f->key.search.max_length = longest(s, from->n_tokens);
    return 0;
}

size_t marian_marks_bytes(const struct marian_search_options *o, size_t n_tokens) {
    return (size_t)o->beams * (size_t)o->max_length * n_tokens * sizeof(float);
}

static int open_flight(struct marian_flight *f, const struct marian_sentence *from) {
    struct marian_session *s = f->session;
    const struct marian_search_options o = f->key.search;
    f->width = recurrent(f) ? 1 : o.max_length;
    const size_t histories = (size_t)o.beams * (size_t)f->width;
    const bool marked = f->key.aligned || f->key.linked;
    const size_t marks = marked ? marian_marks_bytes(&o, from->n_tokens) : 0;
    const size_t bytes = marian_search_bytes(&o) + 2 * histories * sizeof(*f->history) + marks;
    int rc = bth_reservation_draw(s->base.reservation, bytes, &s->err);
    if (rc < 0) {
        return rc;
    }
    f->drawn = bytes;
    f->history = bth_calloc(histories, sizeof(*f->history));
    f->next_history = bth_calloc(histories, sizeof(*f->next_history));
    f->marks = marked ? bth_calloc(1, marks) : NULL;
    if (!f->history || !f->next_history || (marked && !f->marks)) {
        return bth_error_nomem(&s->err);
    }
    rc = marian_search_begin(&f->search, &o, &s->err);
    f->n_source = source_slots(from->n_tokens);
    while (rc == 0 && f->n_slots < f->n_source) {
        rc = take_slot(f);
    }
    if (rc == 0 && marian_session_model(s)->shortlist) {
        rc = make_list(f);
    }
    return rc;
}

/* What the cache has found before; it is kept to the end, as what has just been found. */
static int remember(struct marian_flight *f, struct marian_sentence *to, bool *out_known) {
    struct marian_session *s = f->session;
    int rc = marian_cache_find(marian_session_model(s)->cache, &f->key, &to->found);
    if (rc <= 0) {
        return rc < 0 ? bth_error_nomem(&s->err) : 0;
    }
    rc = marian_draw(s, marian_found_bytes(&to->found, to->n_tokens));
    if (rc < 0) {
        marian_found_finish(&to->found);
        return rc;
    }
    *out_known = to->done = true;
    return 0;
}

int marian_flight_begin(struct marian_session *s, size_t sentence, struct marian_flight **out) {
    struct marian_flight *f = bth_calloc(1, sizeof(*f));
    if (!f) {
        return bth_error_nomem(&s->err);
    }
    f->session = s;
    f->sentence = sentence;
    int rc = make_key(f, &s->sentences[sentence]);
    bool known = false;
    if (rc == 0 && s->options.cache) {
        rc = remember(f, &s->sentences[sentence], &known);
    }
    if (rc == 0 && !known) {
        rc = open_flight(f, &s->sentences[sentence]);
    }
    if (rc < 0 || known) {
        marian_flight_end(f);
    }
    if (rc == 0) {
        *out = known ? NULL : f;
    }
    return rc;
}

void marian_flight_end(struct marian_flight *f) {
    struct marian_session *s = f->session;
    for (int i = 0; i < f->n_slots; i++) {
        marian_slot_drop(marian_session_model(s), s->base.reservation, f->slots[i]);
    }
    if (f->drawn) {
        bth_reservation_return(s->base.reservation, f->drawn);
    }
    marian_search_finish(&f->search);
    bth_free(f->slots);
    bth_free(f->taken);
    bth_free(f->history);
    bth_free(f->next_history);
    bth_free(f->list);
    bth_free(f->ids);
    bth_free(f->marks);
    bth_free(f);
}

int32_t marian_flight_where(const struct marian_flight *f, int32_t place) {
    return f->slots[place / MARIAN_PAGE] * MARIAN_PAGE + place % MARIAN_PAGE;
}

int marian_flight_place(struct marian_flight *f, int beam) {
    const int first = f->n_source * MARIAN_PAGE, end = f->n_slots * MARIAN_PAGE;
    const uint8_t *free_one =
        first < end ? memchr(f->taken + first, 0, (size_t)(end - first)) : NULL;
    const int at = free_one ? (int)(free_one - f->taken) : end;
    int rc = free_one ? 0 : take_slot(f);
    if (rc == 0) {
        f->taken[at] = 1;
        f->written[beam] = at;
    }
    return rc;
}

void marian_flight_follow(struct marian_flight *f) {
    const int known = recurrent(f) ? 1 : f->search.length - 1; /* places of a history now */
    for (int b = 0; b < f->search.n_live; b++) {
        const int parent = f->search.live[b].parent;
        int32_t *to = f->next_history + b * f->width;
        memcpy(to, f->history + parent * f->width, (size_t)(known - 1) * sizeof(*to));
        to[known - 1] = f->written[parent];
    }
    int32_t *old = f->history;
    f->history = f->next_history;
    f->next_history = old;
    memset(f->taken + f->n_source * MARIAN_PAGE, 0,
           (size_t)(f->n_slots - f->n_source) * MARIAN_PAGE);
    for (int b = 0; b < f->search.n_live; b++) {
        for (int i = 0; i < known; i++) {
            f->taken[f->history[b * f->width + i]] = 1;
        }
    }
}

/* ---- landing --------------------------------------------------------------------------------- */

static int take_alignment(struct marian_flight *f, struct marian_found *to, size_t n_tokens) {
    const struct marian_hypothesis *h = &to->hypotheses[0];
    to->alignment = bth_calloc((size_t)h->n * n_tokens + 1, sizeof(*to->alignment));
    if (!to->alignment) {
        return bth_error_nomem(&f->session->err);
    }
    for (int i = 0; i < h->n; i++) {
        float *row = to->alignment + (size_t)i * n_tokens;
        if (h->choices[i].mark >= 0) {
            memcpy(row, f->marks + (size_t)h->choices[i].mark * n_tokens, n_tokens * sizeof(*row));
        } else if (n_tokens > 0) {
            row[n_tokens - 1] = 1; /* a forced end comes from the end */
        }
    }
    return 0;
}

/* A forced end looks at the first. */
static int take_links(struct marian_flight *f, struct marian_found *to, size_t n_tokens) {
    const struct marian_hypothesis *h = &to->hypotheses[0];
    to->links = bth_calloc((size_t)h->n + 1, sizeof(*to->links));
    if (!to->links) {
        return bth_error_nomem(&f->session->err);
    }
    for (int i = 0; i < h->n; i++) {
        const int mark = h->choices[i].mark;
        const float *row = f->marks + (size_t)(mark < 0 ? 0 : mark) * n_tokens;
        size_t best = 0;
        for (size_t j = 1; mark >= 0 && j + 1 < n_tokens; j++) { /* not the end mark */
            best = row[j] > row[best] ? j : best;
        }
        to->links[i] = (uint32_t)best;
    }
    return 0;
}

int marian_flight_land(struct marian_flight *f, size_t *out_bytes) {
    struct marian_session *s = f->session;
    struct marian_sentence *sentence = &s->sentences[f->sentence];
    struct marian_found found = {0};
    const int ended = marian_search_ended(&f->search);
    const int n = ended < 1 + s->options.alternatives ? ended : 1 + s->options.alternatives;
    found.hypotheses = bth_calloc((size_t)(n ? n : 1), sizeof(*found.hypotheses));
    if (!found.hypotheses) {
        return bth_error_nomem(&s->err);
    }
    for (int i = 0; i < n; i++) {
        const struct marian_beam *b = &f->search.ended[i];
        struct marian_hypothesis *h = &found.hypotheses[i];
        h->choices = bth_memdup(b->choices, (size_t)b->n * sizeof(*h->choices));
        if (!h->choices) {
            marian_found_finish(&found);
            return bth_error_nomem(&s->err);
        }
        h->n = b->n;
        h->score = (double)b->score;
        found.n++;
        if (s->options.repetition_guard) {
            const bool loop = marian_cut_loops(h);
            found.repeats = found.repeats || (loop && i == 0);
        }
    }
    int rc = n > 0 && f->key.aligned ? take_alignment(f, &found, sentence->n_tokens) : 0;
    if (rc == 0 && n > 0 && f->key.linked) {
        rc = take_links(f, &found, sentence->n_tokens);
    }
    if (rc < 0) {
        marian_found_finish(&found);
        return rc;
    }
    if (s->options.cache) {
        marian_cache_keep(marian_session_model(s)->cache, &f->key, &found);
    }
    *out_bytes = marian_found_bytes(&found, sentence->n_tokens);
    sentence->found = found;
    sentence->done = true;
    return 0;
}

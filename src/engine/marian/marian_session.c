#include "marian/marian_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/reservation.h"
#include "base/str.h"
#include <math.h>
#include <string.h>

void marian_fail(struct marian_session *s, int rc) {
    if (s->rc == 0) {
        s->rc = rc;
    }
    s->ended = true;
}

int marian_draw(struct marian_session *s, size_t bytes) {
    const int rc = bth_reservation_draw(s->base.reservation, bytes, &s->err);
    s->drawn += rc == 0 ? bytes : 0;
    return rc;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static int take_input(struct marian_session *s, struct berth_error *err) {
    const struct berth_input *in = &s->request->input;
    s->text = in->data;
    s->n_text = in->size;
    if (in->kind == BERTH_INPUT_FILE) {
        int rc = bth_read_file(in->path, MARIAN_MAX_TEXT, &s->owned, &s->n_text, err);
        if (rc < 0) {
            return rc;
        }
        s->text = s->owned;
    }
    s->text = s->n_text ? s->text : "";
    if (!bth_utf8_valid(s->text, s->n_text)) {
        return bth_error(err, BERTH_EINVAL, "the text is not valid UTF-8");
    }
    /* what goes through as it is would end there in the result */
    if (s->options.task == MARIAN_TRANSLATE && memchr(s->text, '\0', s->n_text)) {
        return bth_error(err, BERTH_EINVAL, "the text has a NUL character in it");
    }
    s->plain = s->text;
    s->n_plain = s->n_text;
    return 0;
}

static int unknown_language(const struct marian_model *m, const char *name,
                            struct berth_error *err) {
    struct bth_str list = {0};
    for (size_t i = 0; i < marian_vocab_n_languages(m->vocab); i++) {
        bth_str_printf(&list, "%s%s", i ? ", " : "", marian_vocab_language(m->vocab, i));
    }
    int rc = list.size == 0
                 ? bth_error(err, BERTH_EINVAL,
                             "this model translates into one language: leave target_lang out")
                 : bth_error(err, BERTH_EINVAL,
                             "this model does not translate into '%.40s'; it knows %s", name,
                             bth_str_text(&list));
    bth_str_finish(&list);
    return rc;
}

/* The language to translate into: the option's, or that of a ">>xx<<" before the text. */
static int take_language(struct marian_session *s, struct berth_error *err) {
    const struct marian_model *m = marian_session_model(s);
    const char *name = s->options.target_lang;
    s->language = -1;
    if (name) {
        s->language = marian_vocab_language_id(m->vocab, name);
        return s->language < 0 ? unknown_language(m, name, err) : 0;
    }
    char code[40];
    if (!s->options.split || s->options.html || s->options.task != MARIAN_TRANSLATE ||
        s->n_text < 6 || memcmp(s->text, ">>", 2) != 0) {
        return 0;
    }
    const char *end = memchr(s->text + 2, '<', s->n_text - 3 < 36 ? s->n_text - 3 : 36);
    if (!end || end[1] != '<' || marian_vocab_n_languages(m->vocab) == 0) {
        return 0;
    }
    const size_t n = (size_t)(end - s->text) - 2;
    memcpy(code, s->text + 2, n);
    code[n] = '\0';
    s->language = marian_vocab_language_id(m->vocab, code);
    if (s->language < 0) {
        return unknown_language(m, code, err);
    }
    for (s->skipped = n + 4; s->skipped < s->n_text && s->text[s->skipped] == ' '; s->skipped++) {
    }
    s->plain = s->text + s->skipped;
    s->n_plain = s->n_text - s->skipped;
    return 0;
}

/* What the model's files say, and the request after them. */
static void plan_search(struct marian_session *s) {
    const struct marian_model *m = marian_session_model(s);
    const struct marian_config *c = &m->config;
    const struct marian_options *o = &s->options;
    int beams = o->beams ? o->beams : c->num_beams > 0 ? c->num_beams : 1;
    beams = beams <= o->alternatives ? o->alternatives + 1 : beams;
    s->length_factor = !isnan(o->max_length_factor) ? o->max_length_factor
                       : o->max_length == 0         ? (double)c->max_length_factor
                                                    : 0;
    int longest = o->max_length ? o->max_length : c->max_length > 0 ? c->max_length : MARIAN_MOST;
    longest = longest > m->target_most ? (int)m->target_most : longest;
    s->search = (struct marian_search_options){
        .beams = beams > MARIAN_MAX_BEAMS ? MARIAN_MAX_BEAMS : beams,
        .max_length = longest,
        .length_penalty = isnan(o->length_penalty) ? c->length_penalty : (float)o->length_penalty,
        .early_stopping = o->early_stopping < 0 ? c->early_stopping
                                                : (enum marian_early_stopping)o->early_stopping,
        .eos = c->eos,
        .forced_eos = c->forced_eos,
        .forced_bos = c->forced_bos};
    s->most_flights = MARIAN_FEW_ROWS / s->search.beams;
    s->most_flights = s->most_flights > MARIAN_MAX_FLIGHTS ? MARIAN_MAX_FLIGHTS : s->most_flights;
}

/* Bytes of sentences, their ids and translations for a byte of text: more than any text needs that
 * a model translates into one of the like length. */
static size_t text_bytes(const struct marian_session *s) {
    const size_t each = 128 + 24 * (size_t)s->options.alternatives +
                        (s->options.alignment ? 128 : 0) +
                        (s->options.html || s->glossary ? 16 : 0);
    return s->n_text * each + (1 << 20);
}

/* One sentence of the longest kind must always fit, and as many more as may be in flight if they
 * are like most sentences: a longer one makes a younger one wait. */
static struct berth_need need_of(const struct marian_session *s) {
    enum { USUAL = 64 }; /* ids of a sentence, and of its translation */
    const struct marian_model *m = marian_session_model(s);
    const size_t slot = marian_slot_bytes(&m->config);
    struct marian_search_options o = s->search;
    const size_t longest = (size_t)m->source_most;
    const size_t beam_bytes = 3 * sizeof(struct marian_choice) + 2 * sizeof(int32_t);
    const bool marks = s->options.alignment || s->options.html || s->glossary;
    const size_t one = marian_flight_slots(s, longest, o.max_length) * slot +
                       (size_t)o.beams * (size_t)o.max_length * beam_bytes +
                       (marks ? marian_marks_bytes(&o, longest) : 0);
    const int usual = o.max_length < USUAL ? o.max_length : USUAL;
    const size_t more = marian_flight_slots(s, USUAL, usual) * slot +
                        (size_t)o.beams * (size_t)o.max_length * beam_bytes +
                        (marks ? marian_marks_bytes(&o, USUAL) : 0);
    return (struct berth_need){
        .bytes_now = more, .bytes_max = one + (size_t)(s->most_flights - 1) * more + text_bytes(s)};
}

int marian_begin(struct berth_model *model, const struct berth_request *request,
                 struct berth_session **out, struct berth_need *need, struct berth_error *err) {
    struct marian_session *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    s->base.model = model;
    s->request = request;
    int rc = marian_options_parse(request, &s->options, err);
    if (rc == 0) {
        rc = take_input(s, err);
    }
    if (rc == 0) {
        rc = take_language(s, err);
    }
    if (rc == 0) {
        rc = marian_terms_open(s, err);
    }
    if (rc < 0) {
        marian_end(&s->base);
        return rc;
    }
    plan_search(s);
    *need = need_of(s);
    *out = &s->base;
    return 0;
}

void marian_cancel(struct berth_session *session) {
    struct marian_session *s = (struct marian_session *)session;
    s->ended = true;
    s->rc = 0;
}

void marian_found_finish(struct marian_found *f) {
    for (int i = 0; i < f->n; i++) {
        bth_free(f->hypotheses[i].choices);
        bth_free(f->hypotheses[i].text);
    }
    bth_free(f->hypotheses);
    bth_free(f->alignment);
    bth_free(f->links);
    bth_free(f->ends);
    *f = (struct marian_found){0};
}

size_t marian_found_bytes(const struct marian_found *f, size_t n_ids) {
    size_t bytes = 0;
    for (int i = 0; i < f->n; i++) {
        bytes += sizeof(*f->hypotheses) + (size_t)f->hypotheses[i].n * sizeof(struct marian_choice);
    }
    bytes += f->links ? (size_t)f->hypotheses[0].n * sizeof(*f->links) : 0;
    return bytes + (f->alignment ? (size_t)f->hypotheses[0].n * n_ids * sizeof(float) : 0);
}

void marian_end(struct berth_session *session) {
    struct marian_session *s = (struct marian_session *)session;
    while (s->n_flights > 0) {
        marian_flight_end(s->flights[--s->n_flights]);
    }
    for (size_t i = 0; i < s->n_sentences; i++) {
        bth_free(s->sentences[i].tokens);
        marian_found_finish(&s->sentences[i].found);
    }
    if (s->drawn) {
        bth_reservation_return(s->base.reservation, s->drawn);
    }
    bth_free(s->sentences);
    bth_html_free(s->html);
    marian_terms_close(s);
    bth_free(s->owned);
    bth_free(s);
}

/* ---- next ------------------------------------------------------------------------------------ */

static bool is_settled(const struct marian_sentence *s) {
    return s->done || s->through;
}

void marian_skip_settled(struct marian_session *s) {
    while (s->launched < s->tokenized && is_settled(&s->sentences[s->launched])) {
        s->launched++;
    }
}

size_t marian_launch_count(const struct marian_session *s, uint32_t *out_rows) {
    enum { NEAR = 256 }; /* a text may have a million sentences that need no translation */
    const struct marian_model *m = marian_session_model(s);
    const size_t left = s->tokenized - s->launched;
    const size_t end = s->launched + (left < NEAR ? left : NEAR);
    uint32_t rows = 0;
    size_t n = 0;
    for (size_t i = s->launched; i < end && s->n_flights + (int)n < s->most_flights; i++) {
        const struct marian_sentence *next = &s->sentences[i];
        const uint32_t pages = (uint32_t)(next->n_tokens + MARIAN_PAGE - 1) / MARIAN_PAGE;
        if (is_settled(next)) {
            continue;
        }
        if (n > 0 && rows + pages * MARIAN_PAGE > (uint32_t)m->encode_rows) {
            break;
        }
        rows += pages * MARIAN_PAGE;
        n++;
    }
    *out_rows = rows;
    return n;
}

static uint32_t live_beams(const struct marian_session *s) {
    uint32_t rows = 0;
    for (int i = 0; i < s->n_flights; i++) {
        rows += (uint32_t)s->flights[i]->search.n_live;
    }
    return rows;
}

void marian_next(struct berth_session *session, struct berth_want *out) {
    const struct marian_session *s = (const struct marian_session *)session;
    const struct marian_model *m = marian_session_model(s);
    uint32_t rows;
    *out = (struct berth_want){.stage = BERTH_WANT_END, .rows = 1};
    if (s->rc < 0) { /* the turn it failed in has failed too, and nobody was told: the next tells */
        out->stage = MARIAN_STAGE_DETOKENIZE;
    }
    if (s->ended) {
        return;
    }
    const size_t fresh = marian_launch_count(s, &rows), ready = marian_detokenizable(s);
    const int places = s->most_flights - s->n_flights;
    /* new ones take off a few at a time, so that the encoder is worth its turn */
    const bool launch =
        fresh > 0 && (s->n_flights == 0 || (!s->crowded && places >= (s->most_flights + 3) / 4));
    if (!marian_is_tokenized(s) && (int)fresh < places) {
        out->stage = MARIAN_STAGE_TOKENIZE;
    } else if (ready > 0 && (s->request->stream || ready >= 32)) {
        out->stage = MARIAN_STAGE_DETOKENIZE;
    } else if (launch) {
        out->stage = MARIAN_STAGE_ENCODE;
        out->rows = rows;
        out->max_rows = rows > (uint32_t)m->encode_rows ? rows : (uint32_t)m->encode_rows;
    } else if (s->n_flights > 0) {
        out->stage = MARIAN_STAGE_STEP;
        out->rows = live_beams(s);
        out->max_rows = (uint32_t)m->room.step;
    } else {
        out->stage = MARIAN_STAGE_DETOKENIZE;
    }
}

/*
 * engine/marian/marian_session.h - one text on its way into another language.
 *
 *     TOKENIZE -> [ENCODE -> STEP ... STEP] -> DETOKENIZE -> ENDED
 *
 * A text is sentences and what lies between them. A few sentences are in flight at a time, each
 * with a search of its own; those of all sessions step together. marian_text.c is the part about
 * text, marian_flight.c a sentence in flight, marian_turn.c and marian_step.c turns of many
 * sessions, marian_session.c what comes next, marian_result.c what is handed out. Owner: the
 * device's thread (in TOKENIZE and DETOKENIZE: whoever runs the host turn).
 */
#ifndef BTH_MARIAN_SESSION_H
#define BTH_MARIAN_SESSION_H

#include "marian/marian_model.h"
#include "marian/marian_options.h"
#include "marian/marian_search.h"
#include "text/glossary.h"
#include "text/html_text.h"
#include "text/sentences.h"

enum marian_stage {
    MARIAN_STAGE_TOKENIZE,
    MARIAN_STAGE_ENCODE,
    MARIAN_STAGE_STEP,
    MARIAN_STAGE_DETOKENIZE,
    MARIAN_N_STAGES
};

enum {
    MARIAN_MAX_FLIGHTS = 16,   /* sentences of a session that are in flight */
    MARIAN_MAX_TEXT = 8 << 20, /* bytes */
    MARIAN_MAX_SENTENCES = 1 << 20
};

struct marian_hypothesis {
    struct marian_choice *choices; /* [n] */
    int n;
    double score;
    char *text; /* once it is detokenised */
};

/* What has been found for a sentence. */
struct marian_found {
    struct marian_hypothesis *hypotheses; /* [n] best first */
    int n;
    float *alignment; /* [hypotheses[0].n, n_tokens]; NULL: not asked for */
    uint32_t *links; /* [hypotheses[0].n] the source token that each id looks at most, not the last;
                        for HTML and glossaries, else NULL */
    uint32_t *ends;  /* [hypotheses[0].n] where each id's text ends; NULL likewise */
    bool cached, repeats;
};

struct marian_sentence {
    size_t begin, end;           /* bytes of the plain text */
    struct marian_token *tokens; /* [n_tokens] once it is tokenised */
    size_t n_tokens;
    bool through; /* nothing to translate: it is copied */
    bool done;    /* found, or through */
    struct marian_found found;
};

/* All that what is found for a sentence depends on, beside the model. */
struct marian_flight_key {
    const int32_t *ids; /* [n_ids] of the source */
    size_t n_ids;
    struct marian_search_options search; /* with its own longest target */
    int kept;                            /* hypotheses */
    bool aligned, linked, guarded;
};

struct marian_session;

/* A sentence that is being translated. */
struct marian_flight {
    struct marian_session *session;
    size_t sentence; /* its index */
    struct marian_flight_key key;
    int32_t *ids; /* key.ids */
    struct marian_search search;
    size_t drawn; /* bytes of host memory, from the reservation */
    bool encoded; /* its source is in its slots */

    int32_t *slots; /* [n_slots]: those of its source, then those of its target */
    int n_source, n_slots, slots_capacity;
    uint8_t *taken; /* [n_slots * MARIAN_PAGE]: places of the target in a live history */
    int32_t *history, *next_history;   /* [beams][width] places: slot * MARIAN_PAGE + position */
    int32_t written[MARIAN_MAX_BEAMS]; /* the places of this step */
    int width;                         /* positions of a history */

    int32_t *list; /* its shortlist; NULL: none */
    size_t n_list;
    uint64_t list_number;
    int list_row;

    float *marks; /* [beams * max_length][n_tokens]: attention to the source, of each row of its
                     steps; NULL: nobody asks */
    int n_rows;   /* that take part in the turn */
};

struct marian_session {
    struct berth_session base; /* first */
    const struct berth_request *request;
    struct marian_options options;
    struct marian_search_options search;
    double length_factor; /* no target has more ids than so many times its source; 0: none */
    bool ended;
    int rc; /* why it failed; settle hands it on */
    struct berth_error err;

    char *owned;      /* the text of a file */
    const char *text; /* [n_text], the input */
    size_t n_text;
    struct bth_html *html;
    bool opened;             /* html is read */
    const char *plain;       /* [n_plain]: the text that is translated, for html without markup */
    size_t n_plain, skipped; /* bytes of a language prefix before it */
    struct bth_glossary *glossary; /* NULL: none */
    struct berth_term *terms;      /* [its terms] how often they were found and placed */
    int32_t language;              /* id that goes before every sentence; -1: none */

    struct bth_sentences_cursor cursor; /* how far the text is split */
    bool planned;                       /* all of it */
    struct marian_sentence *sentences;  /* [n_sentences] */
    size_t sentences_capacity;
    size_t n_sentences, tokenized, launched, detokenized, emitted;
    struct marian_flight *flights[MARIAN_MAX_FLIGHTS]; /* [n_flights] oldest first */
    int n_flights, most_flights;
    bool crowded; /* no memory for one more until one has landed */
    size_t drawn; /* bytes of sentences and what was found for them, from the reservation */
};

static inline struct marian_model *marian_session_model(const struct marian_session *s) {
    return (struct marian_model *)s->base.model;
}

/* Contract functions, see berth/engine.h. */
int marian_begin(struct berth_model *model, const struct berth_request *request,
                 struct berth_session **out, struct berth_need *need, struct berth_error *err);
void marian_next(struct berth_session *session, struct berth_want *out);
void marian_cancel(struct berth_session *session);
void marian_end(struct berth_session *session);
int marian_enqueue(struct berth_batch *batch, struct berth_error *err);
int marian_settle(struct berth_batch *batch, struct berth_error *err);

/* marian_session.c */
void marian_fail(struct marian_session *s, int rc);
/* Bytes that the session keeps to its end. EBUDGET. */
int marian_draw(struct marian_session *s, size_t bytes);
/* How many of the next sentences an ENCODE turn takes, and the rows that they count for: those of
 * whole pages. */
size_t marian_launch_count(const struct marian_session *s, uint32_t *out_rows);
/* After each turn: `launched` moves on to a sentence that is to be translated, so that the next
 * turn needs no search for it. */
void marian_skip_settled(struct marian_session *s);

/* marian_text.c; host turns */
/* The next piece of work: the plan of the text, then sentences to ids. */
int marian_tokenize(struct marian_session *s);
bool marian_is_tokenized(const struct marian_session *s);
/* Ids of finished sentences to text, in order. */
int marian_detokenize(struct marian_session *s);
/* How many sentences a turn could detokenise now. */
size_t marian_detokenizable(const struct marian_session *s);

/* marian_terms.c: the glossary */
int marian_terms_open(struct marian_session *s, struct berth_error *err);
void marian_terms_close(struct marian_session *s);
/* Whether a stretch of the plain text has a term. */
bool marian_has_terms(const struct marian_session *s, size_t begin, size_t end);
/* Exchanges the terms of a sentence in hypothesis i, whose text is there. EBUDGET, ENOMEM. */
int marian_put_terms(struct marian_session *s, struct marian_sentence *of, int i);

/* marian_flight.c */
size_t marian_flight_slots(const struct marian_session *s, size_t n_tokens, int max_length);
/* Of the attention that is kept of a sentence that is to be aligned. */
size_t marian_marks_bytes(const struct marian_search_options *o, size_t n_tokens);
/* *out NULL: the cache knew it. EBUDGET, ENOMEM. */
int marian_flight_begin(struct marian_session *s, size_t sentence, struct marian_flight **out);
void marian_flight_end(struct marian_flight *f);
/* Finds the place that live beam b writes at this step: f->written[b]. EBUDGET, ENOMEM. */
int marian_flight_place(struct marian_flight *f, int beam);
/* Which position of the model's slots a place is. */
int32_t marian_flight_where(const struct marian_flight *f, int32_t place);
/* After a step: histories follow the beams, places nobody needs are free. */
void marian_flight_follow(struct marian_flight *f);
/* The search is over: what it has found goes to the sentence; *out_bytes: how much that is. ENOMEM.
 */
int marian_flight_land(struct marian_flight *f, size_t *out_bytes);

/* marian_guard.c: whether there was a loop, which is cut out. */
bool marian_cut_loops(struct marian_hypothesis *h);

/* marian_result.c */
/* Which byte of the plain text each id of the best hypothesis comes from: links of `span`, which
 * *out holds; NULL: not known. ENOMEM. */
int marian_link_sentence(const struct marian_sentence *from, struct bth_html_sentence *span,
                         struct bth_html_link **out);
void marian_found_finish(struct marian_found *f);
size_t marian_found_bytes(const struct marian_found *f, size_t n_ids); /* without texts */
int marian_emit_progress(struct marian_session *s);
int marian_emit_partial(struct marian_session *s); /* if the request wants such */
int marian_emit_final(struct marian_session *s);

#endif

/*
 * engine/whisper/whisper_session.h - one transcription under way.
 *
 *     LISTEN -> [ENCODE -> DETECT] -> window: ENCODE -> PREFILL -> STEP ... STEP -> next window ->
 * ENDED
 *
 * A session is a state machine moved on by turns: whisper_turn.c runs turns of many sessions,
 * whisper_session.c moves one, whisper_window.c is the part about tokens. Owner: the device's
 * thread (in LISTEN: whoever runs its host turn).
 */
#ifndef BTH_WHISPER_SESSION_H
#define BTH_WHISPER_SESSION_H

#include "audio/pcm.h"
#include "whisper/whisper_model.h"
#include "whisper/whisper_segments.h"

enum whisper_stage {
    WHISPER_DECODE,
    WHISPER_MEL,
    WHISPER_ENCODE,
    WHISPER_DETECT,
    WHISPER_PREFILL,
    WHISPER_STEP,
    WHISPER_N_STAGES
};

enum whisper_phase {
    PHASE_LISTEN,        /* sound -> mel, a piece at a time */
    PHASE_DETECT_ENCODE, /* the first 30 s for language detection */
    PHASE_DETECT,
    PHASE_ENCODE,
    PHASE_PREFILL,
    PHASE_STEP,
    PHASE_ENDED
};

enum { WHISPER_MAX_SAMPLED = 225 };

/* One candidate of a window. */
struct whisper_row {
    int32_t tokens[WHISPER_MAX_SAMPLED]; /* sampled, eot included */
    int n;
    float sum; /* of log-probabilities, in f32 as the original's */
    bool ended;
    int32_t pages[WHISPER_PAGES]; /* -1: none; rows beyond 0 share full pages of the prompt */
};

/* A finished segment; its tokens are all_tokens[first_token, + n). */
struct whisper_segment {
    int64_t seek;
    double start_s, end_s;
    char *text;
    int32_t *tokens;
    int n_tokens;
    struct whisper_outcome outcome;
};

struct whisper_window {
    struct whisper_span span;
    int index;                     /* windows decoded before: the counter of draws */
    int32_t initial[WHISPER_TEXT]; /* prompt, start of transcript, prefix */
    int n_initial, sot;            /* sot: its index */
    int prefilled;
    double no_speech_prob;
    int attempt, n_rows, step;
};

struct whisper_session {
    struct berth_session base; /* first */
    const struct berth_request *request;
    struct whisper_options options;
    enum whisper_phase phase;
    int rc; /* why it failed; settle hands it on */
    struct berth_error err;

    struct bth_pcm *pcm;
    float *chunk; /* [whisper_chunk] while listening */
    int64_t n_chunk;
    bool pcm_ended;
    bool heard; /* to the end: the spectrogram is complete */
    struct bth_mel *mel;
    int64_t frames; /* of content */
    double seconds;

    int language;                          /* index; -1: not known yet */
    struct berth_language_prob *languages; /* when detected, [n_languages] */
    size_t n_languages;

    int clip; /* of the clips in options */
    int64_t clips[WHISPER_MAX_CLIPS];
    int n_clips;
    int64_t seek;
    int piece;                       /* of the encoder */
    int32_t encode_slot, cross_slot; /* -1: none */
    int32_t mask;                    /* row of the mask table; -1: none */
    bool encoded_first;              /* cross_slot holds the window at 0, from detection */

    int32_t *tokens; /* all so far, the initial prompt first */
    size_t n_tokens, tokens_capacity, n_prompt, prompt_since;
    struct whisper_segment *segments;
    size_t n_segments, segments_capacity;
    struct berth_step_trace *trace;
    size_t n_trace, trace_capacity;

    struct whisper_window window;
    struct whisper_row *rows; /* [most_rows] */
    int most_rows;
};

static inline struct whisper_model *whisper_session_model(const struct whisper_session *s) {
    return (struct whisper_model *)s->base.model;
}

/* Contract functions, see berth/engine.h. */
int whisper_begin(struct berth_model *model, const struct berth_request *request,
                  struct berth_session **out, struct berth_need *need, struct berth_error *err);
void whisper_next(struct berth_session *session, struct berth_want *out);
void whisper_cancel(struct berth_session *session);
void whisper_end(struct berth_session *session);
int whisper_enqueue(struct berth_batch *batch, struct berth_error *err);
int whisper_settle(struct berth_batch *batch, struct berth_error *err);

/* whisper_session.c: moves between phases. Failures end up in s->rc. */
void whisper_fail(struct whisper_session *s, int rc);
void whisper_listened(struct whisper_session *s);                     /* the mel is complete */
void whisper_detected(struct whisper_session *s, const float *probs); /* [vocab] */
int whisper_prefill_rows(const struct whisper_session *s); /* of the prompt, in its next turn */
size_t whisper_chunk(const struct whisper_model *m);       /* samples that a host turn takes in */
void whisper_encoded(struct whisper_session *s);           /* a piece has run */
void whisper_window_done(struct whisper_session *s);
void whisper_drop_pages(struct whisper_session *s);

/* whisper_window.c: tokens of a window. */
void whisper_window_begin(struct whisper_session *s);
/* The row's next pick. */
void whisper_window_pick(const struct whisper_session *s, int row, struct berth_pick_in *out);
/* The row's answer; after the last row of a step whisper_window_step moves on. */
void whisper_window_take(struct whisper_session *s, int row, const struct berth_pick_out *out);
void whisper_window_step(struct whisper_session *s);

/* whisper_result.c */
int whisper_emit_progress(struct whisper_session *s);
/* Segments [first, n_segments) as a partial result, if the request wants such. */
int whisper_emit_partial(struct whisper_session *s, size_t first);
int whisper_emit_final(struct whisper_session *s);

#endif

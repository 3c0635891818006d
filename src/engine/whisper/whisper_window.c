/* The tokens of one window: prompt in, candidates out, the ladder of temperatures, segments. */
#include "whisper/whisper_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/pystr.h"
#include <math.h>
#include <string.h>

enum { PROMPT = WHISPER_TEXT / 2 - 1 }; /* most tokens of context before a window */

/* Python's list[-n:], where n may be 0 (all) or negative (from -n on). */
static size_t last_from(size_t size, int64_t n) {
    if (n > 0) {
        return (size_t)n < size ? size - (size_t)n : 0;
    }
    return (size_t)-n < size ? (size_t)-n : size;
}

/* Appends the end of the text so far, as the options want it, to `initial`. */
static void add_prompt(struct whisper_session *s) {
    struct whisper_window *w = &s->window;
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    int32_t prompt[2 * WHISPER_TEXT];
    size_t n = 0;
    size_t from = s->prompt_since;
    if (s->options.carry_initial_prompt && s->n_prompt > 0) {
        from = from > s->n_prompt ? from : s->n_prompt;
        size_t rest = s->n_tokens - from;
        from += last_from(rest, (int64_t)PROMPT - (int64_t)s->n_prompt);
        size_t keep = s->n_prompt < PROMPT ? s->n_prompt : PROMPT;
        memcpy(prompt, s->tokens + (s->n_prompt - keep), keep * sizeof(*prompt));
        n = keep;
    }
    size_t rest = s->n_tokens - from, take = rest < PROMPT ? rest : PROMPT;
    if (n + take == 0) {
        return; /* there may be no tokens at all yet */
    }
    memcpy(prompt + n, s->tokens + (s->n_tokens - take), take * sizeof(*prompt));
    n += take;
    size_t first = last_from(n, PROMPT);
    w->initial[w->n_initial++] = v->startofprev;
    memcpy(w->initial + w->n_initial, prompt + first, (n - first) * sizeof(*prompt));
    w->n_initial += (int)(n - first);
}

static int add_prefix(struct whisper_session *s) {
    struct whisper_window *w = &s->window;
    if (!s->options.prefix) {
        return 0;
    }
    int32_t *ids;
    size_t n;
    int rc = whisper_vocab_encode_prompt(&whisper_session_model(s)->vocab, s->options.prefix, &ids,
                                         &n, &s->err);
    if (rc < 0) {
        return rc;
    }
    /* at most 224 - sample_len of them, where 0 means all: the original's list[-0:] */
    size_t first = last_from(n, WHISPER_TEXT / 2 - s->options.sample_len);
    size_t room = (size_t)(WHISPER_TEXT - 1 - w->n_initial);
    if (n - first > room) {
        rc =
            bth_error(&s->err, BERTH_EINVAL, "option prefix is too long: %zu tokens of room", room);
    } else {
        memcpy(w->initial + w->n_initial, ids + first, (n - first) * sizeof(*ids));
        w->n_initial += (int)(n - first);
    }
    bth_free(ids);
    return rc;
}

static void begin_attempt(struct whisper_session *s, int attempt) {
    struct whisper_window *w = &s->window;
    w->attempt = attempt;
    w->step = 0;
    w->n_rows = s->options.temperatures[attempt] > 0 ? s->options.best_of : 1;
    for (int r = 0; r < w->n_rows; r++) {
        s->rows[r].n = 0;
        s->rows[r].sum = 0;
        s->rows[r].ended = false;
    }
}

void whisper_window_begin(struct whisper_session *s) {
    struct whisper_window *w = &s->window;
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    w->n_initial = 0;
    w->prefilled = 0;
    w->no_speech_prob = 0;
    add_prompt(s);
    w->sot = w->n_initial;
    w->initial[w->n_initial++] = v->sot;
    if (v->multilingual) {
        w->initial[w->n_initial++] = v->language0 + s->language;
        w->initial[w->n_initial++] = s->options.translate ? v->translate : v->transcribe;
    }
    if (s->options.without_timestamps) {
        w->initial[w->n_initial++] = v->notimestamps;
    }
    int rc = add_prefix(s);
    if (rc < 0) {
        whisper_fail(s, rc);
        return;
    }
    begin_attempt(s, 0);
    s->phase = w->n_initial > 1 ? PHASE_PREFILL : PHASE_STEP;
}

void whisper_window_pick(const struct whisper_session *s, int row, struct berth_pick_in *out) {
    const struct whisper_window *w = &s->window;
    const struct whisper_row *r = &s->rows[row];
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    *out = (struct berth_pick_in){.mask = s->mask,
                                  .probe =
                                      w->step == 0 && w->sot == w->n_initial - 1 ? v->nospeech : -1,
                                  .temperature = (float)s->options.temperatures[w->attempt],
                                  .seed_lo = (uint32_t)s->options.seed,
                                  .seed_hi = (uint32_t)(s->options.seed >> 32),
                                  .window = (uint32_t)w->index,
                                  .attempt = (uint32_t)w->attempt,
                                  .row = (uint32_t)row,
                                  .step = (uint32_t)w->step};
    whisper_timestamp_rules(v, &s->options, r->tokens, r->n, out);
}

/* Room for one more element, doubling. */
static bool grow(void **array, size_t n, size_t *capacity, size_t size) {
    if (n < *capacity) {
        return true;
    }
    size_t more = *capacity ? 2 * *capacity : 64;
    void *p = bth_realloc_array(*array, more, size);
    if (p) {
        *array = p;
        *capacity = more;
    }
    return p != NULL;
}

static void add_trace(struct whisper_session *s, int row, const struct berth_pick_out *out) {
    const struct whisper_window *w = &s->window;
    if (!grow((void **)&s->trace, s->n_trace, &s->trace_capacity, sizeof(*s->trace))) {
        whisper_fail(s, bth_error_nomem(&s->err));
        return;
    }
    s->trace[s->n_trace++] = (struct berth_step_trace){
        .window = w->index,
        .attempt = w->attempt,
        .row = row,
        .step = w->step,
        .token = out->id,
        .second = out->id == out->top_id[0] ? out->top_id[1] : out->top_id[0],
        .logprob = out->logprob,
        .gap = out->top_logit[0] - out->top_logit[1],
        .timestamp_margin = out->group_margin};
}

void whisper_window_take(struct whisper_session *s, int row, const struct berth_pick_out *out) {
    struct whisper_window *w = &s->window;
    struct whisper_row *r = &s->rows[row];
    const int32_t eot = whisper_session_model(s)->vocab.eot;
    if (s->options.trace) {
        add_trace(s, row, out);
    }
    if (w->step == 0 && w->sot == w->n_initial - 1) {
        w->no_speech_prob = (double)out->probe_prob;
    }
    int32_t id = out->id < 0 ? eot : out->id; /* every id forbidden: nothing more to say */
    r->sum += out->id < 0 ? 0 : out->logprob;
    r->tokens[r->n++] = id;
    r->ended = id == eot;
}

/* Tokens before the end mark. */
static int text_length(const struct whisper_row *r) {
    return r->ended ? r->n - 1 : r->n;
}

/* The best candidate by its rank: the mean, or Google's length penalty; the first on ties. */
static int best_row(const struct whisper_session *s) {
    double alpha = s->options.length_penalty, best = -INFINITY;
    int which = 0;
    for (int i = 0; i < s->window.n_rows; i++) {
        const struct whisper_row *r = &s->rows[i];
        int n = text_length(r);
        double by = isnan(alpha) ? (double)n : pow((5.0 + n) / 6.0, alpha);
        double rank = by > 0 ? (double)r->sum / by : -INFINITY;
        if (rank > best) {
            best = rank;
            which = i;
        }
    }
    return which;
}

/* Copies a slice into a new segment; one without length or text keeps its place but nothing else.
 */
static int add_segment(struct whisper_session *s, const int32_t *tokens,
                       const struct whisper_slice *slice, const struct whisper_outcome *outcome) {
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    struct bth_str text = {0};
    if (!grow((void **)&s->segments, s->n_segments, &s->segments_capacity, sizeof(*s->segments))) {
        return bth_error_nomem(&s->err);
    }
    whisper_vocab_decode(v, tokens + slice->first, (size_t)slice->n, v->eot, &text);
    size_t length;
    bth_py_strip(bth_str_text(&text), text.size, &length);
    bool blank = length == 0 || slice->start_s == slice->end_s;
    struct whisper_segment seg = {.seek = s->window.span.seek,
                                  .start_s = slice->start_s,
                                  .end_s = slice->end_s,
                                  .n_tokens = blank ? 0 : slice->n,
                                  .outcome = *outcome};
    seg.text = bth_strdup(blank ? "" : bth_str_text(&text));
    seg.tokens = bth_memdup(tokens + slice->first, (size_t)seg.n_tokens * sizeof(*tokens));
    bool failed = text.failed || !seg.text || !seg.tokens;
    bth_str_finish(&text);
    for (int i = 0; !failed && i < seg.n_tokens; i++) {
        failed = !grow((void **)&s->tokens, s->n_tokens, &s->tokens_capacity, sizeof(*s->tokens));
        if (!failed) {
            s->tokens[s->n_tokens++] = seg.tokens[i];
        }
    }
    if (failed) {
        bth_free(seg.text);
        bth_free(seg.tokens);
        return bth_error_nomem(&s->err);
    }
    s->segments[s->n_segments++] = seg;
    return 0;
}

/* The window's result stands: segments, and on to the next. */
static void accept(struct whisper_session *s, const struct whisper_row *r,
                   const struct whisper_outcome *outcome) {
    struct whisper_slice slices[WHISPER_MAX_SAMPLED + 1];
    int64_t advance;
    if (whisper_is_silence(&s->options, outcome)) {
        s->seek = s->window.span.seek + s->window.span.size;
        whisper_window_done(s);
        return;
    }
    int n = whisper_cut_segments(&whisper_session_model(s)->vocab, r->tokens, text_length(r),
                                 s->window.span, slices, &advance);
    size_t first = s->n_segments;
    for (int i = 0; i < n; i++) {
        int rc = add_segment(s, r->tokens, &slices[i], outcome);
        if (rc < 0) {
            whisper_fail(s, rc);
            return;
        }
    }
    s->seek = s->window.span.seek + advance;
    if (!s->options.condition_on_previous_text || outcome->temperature > 0.5) {
        s->prompt_since = s->n_tokens;
    }
    int rc = whisper_emit_partial(s, first);
    if (rc < 0) {
        whisper_fail(s, rc);
    } else {
        whisper_window_done(s);
    }
}

static int judge(struct whisper_session *s, const struct whisper_row *r,
                 struct whisper_outcome *out) {
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    struct bth_str text = {0};
    int n = text_length(r);
    whisper_vocab_decode(v, r->tokens, (size_t)n, v->timestamp0, &text);
    size_t length;
    const char *stripped = bth_py_strip(bth_str_text(&text), text.size, &length);
    *out =
        (struct whisper_outcome){.temperature = s->options.temperatures[s->window.attempt],
                                 .avg_logprob = (double)r->sum / (n + 1),
                                 .compression_ratio = whisper_compression_ratio(stripped, length),
                                 .no_speech_prob = s->window.no_speech_prob};
    bool failed = text.failed || out->compression_ratio < 0;
    bth_str_finish(&text);
    return failed ? bth_error_nomem(&s->err) : 0;
}

static void finish_attempt(struct whisper_session *s) {
    const struct whisper_row *r = &s->rows[best_row(s)];
    struct whisper_outcome outcome;
    int rc = judge(s, r, &outcome);
    if (rc < 0) {
        whisper_fail(s, rc);
    } else if (s->window.attempt + 1 < s->options.n_temperatures &&
               whisper_needs_fallback(&s->options, &outcome)) {
        begin_attempt(s, s->window.attempt + 1);
    } else {
        accept(s, r, &outcome);
    }
}

void whisper_window_step(struct whisper_session *s) {
    struct whisper_window *w = &s->window;
    bool all = true;
    w->step++;
    for (int r = 0; r < w->n_rows; r++) {
        all &= s->rows[r].ended;
    }
    if (all || w->step >= s->options.sample_len || w->n_initial + w->step > WHISPER_TEXT) {
        finish_attempt(s);
    }
}

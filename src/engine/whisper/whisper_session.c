#include "whisper/whisper_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void whisper_fail(struct whisper_session *s, int rc) {
    if (s->rc == 0) {
        s->rc = rc;
    }
    s->phase = PHASE_ENDED;
}

static int64_t frames_of(double seconds) {
    return (int64_t)nearbyint(seconds * 100.0);
}

static int prepare_prompt(struct whisper_session *s, struct berth_error *err) {
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    if (!s->options.initial_prompt) {
        return 0;
    }
    int rc =
        whisper_vocab_encode_prompt(v, s->options.initial_prompt, &s->tokens, &s->n_tokens, err);
    if (rc == 0) {
        s->n_prompt = s->tokens_capacity = s->n_tokens;
    }
    return rc;
}

/* What this session can ever draw: sound and mel, and the larger of encoding and decoding. */
static struct berth_need need_of(const struct whisper_session *s) {
    const struct whisper_model *m = whisper_session_model(s);
    const size_t f = sizeof(float);
    size_t listen = whisper_chunk(m) * f +
                    bth_mel_bytes((int)m->dims.mels, bth_pcm_planned(s->pcm) + whisper_chunk(m));
    size_t cross = (size_t)m->cross_stride, encode = (size_t)m->encode_stride;
    size_t pages = (size_t)s->most_rows * WHISPER_PAGES * (size_t)m->page_stride;
    return (struct berth_need){.bytes_now = listen,
                               .bytes_max = listen + cross + (encode > pages ? encode : pages)};
}

static int prepare(struct whisper_session *s, struct berth_error *err) {
    const struct bth_pcm_limits limits = {.max_seconds = s->options.max_seconds};
    bool samples = false;
    for (int i = 0; i < s->options.n_temperatures; i++) {
        samples |= s->options.temperatures[i] > 0;
    }
    s->most_rows = samples ? s->options.best_of : 1;
    s->rows = bth_calloc((size_t)s->most_rows, sizeof(*s->rows));
    if (!s->rows) {
        return bth_error_nomem(err);
    }
    for (int r = 0; r < s->most_rows; r++) {
        memset(s->rows[r].pages, -1, sizeof(s->rows[r].pages));
    }
    bool multilingual = whisper_session_model(s)->vocab.multilingual;
    if (!multilingual && (s->options.language > 0 || s->options.translate)) {
        return bth_error(err, BERTH_EINVAL,
                         "this model transcribes English only: leave language and task out");
    }
    s->language = multilingual ? s->options.language : 0;
    if (s->language >= whisper_session_model(s)->vocab.n_languages) {
        return bth_error(err, BERTH_EINVAL, "this model does not know the language %s",
                         whisper_language_code(s->language));
    }
    int rc = prepare_prompt(s, err);
    if (rc == 0) {
        rc = whisper_mask_take(whisper_session_model(s), s->options.suppress_tokens, &s->mask, err);
    }
    return rc < 0 ? rc : bth_pcm_open(&s->request->input, &limits, &s->pcm, err);
}

int whisper_begin(struct berth_model *model, const struct berth_request *request,
                  struct berth_session **out, struct berth_need *need, struct berth_error *err) {
    struct whisper_session *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    s->base.model = model;
    s->request = request;
    s->encode_slot = s->cross_slot = s->mask = -1;
    int rc = whisper_options_parse(request, &s->options, err);
    if (rc == 0) {
        rc = prepare(s, err);
    }
    if (rc < 0) {
        whisper_end(&s->base);
        return rc;
    }
    *need = need_of(s);
    *out = &s->base;
    return 0;
}

void whisper_cancel(struct berth_session *session) {
    ((struct whisper_session *)session)->phase = PHASE_ENDED;
}

static void drop(struct whisper_session *s, struct bth_slots *slots, struct berth_buffer *region,
                 int64_t stride, int32_t *slot) {
    if (*slot >= 0) {
        bth_slots_drop(slots, region, stride, s->base.reservation, *slot);
        *slot = -1;
    }
}

/* Row 0 owns its pages; others own those that differ from row 0's. */
void whisper_drop_pages(struct whisper_session *s) {
    struct whisper_model *m = whisper_session_model(s);
    for (int r = s->most_rows - 1; s->rows && r >= 0; r--) {
        for (int p = 0; p < WHISPER_PAGES; p++) {
            if (r > 0 && s->rows[r].pages[p] == s->rows[0].pages[p]) {
                s->rows[r].pages[p] = -1;
            }
            drop(s, &m->page_slots, m->pages, m->page_stride, &s->rows[r].pages[p]);
        }
    }
}

static void drop_chunk(struct whisper_session *s) {
    if (s->chunk) {
        bth_reservation_return(s->base.reservation,
                               whisper_chunk(whisper_session_model(s)) * sizeof(float));
        bth_free(s->chunk);
        s->chunk = NULL;
    }
}

void whisper_end(struct berth_session *session) {
    struct whisper_session *s = (struct whisper_session *)session;
    struct whisper_model *m = whisper_session_model(s);
    whisper_drop_pages(s);
    drop(s, &m->encode_slots, m->encodes, m->encode_stride, &s->encode_slot);
    drop(s, &m->cross_slots, m->crosses, m->cross_stride, &s->cross_slot);
    whisper_mask_drop(m, s->mask);
    drop_chunk(s);
    bth_mel_destroy(s->mel);
    bth_pcm_close(s->pcm);
    for (size_t i = 0; i < s->n_segments; i++) {
        bth_free(s->segments[i].text);
        bth_free(s->segments[i].tokens);
    }
    bth_free(s->segments);
    bth_free(s->tokens);
    bth_free(s->trace);
    bth_free(s->languages);
    bth_free(s->rows);
    bth_free(s);
}

/* The sound is over: what the clips are in frames, and where it starts. */
static void plan_clips(struct whisper_session *s) {
    const struct whisper_options *o = &s->options;
    for (int i = 0; i < o->n_clips; i++) {
        s->clips[i] = frames_of(o->clips[i]);
    }
    s->n_clips = o->n_clips;
    if (s->n_clips == 0) {
        s->clips[s->n_clips++] = 0;
    }
    if (s->n_clips % 2 == 1) {
        s->clips[s->n_clips++] = s->frames;
    }
    s->seek = s->clips[0];
}

/* Where the next window starts; false: there is none. */
static bool find_window(struct whisper_session *s) {
    while (s->clip < s->n_clips) {
        int64_t start = s->clips[s->clip], end = s->clips[s->clip + 1];
        if (s->seek < start) {
            s->seek = start;
        }
        int64_t left = s->frames - s->seek < end - s->seek ? s->frames - s->seek : end - s->seek;
        if (s->seek < end && left > 0) {
            s->window.span.seek = s->seek;
            s->window.span.size = left < WHISPER_FRAMES ? left : WHISPER_FRAMES;
            return true;
        }
        s->clip += 2;
        if (s->clip < s->n_clips) {
            s->seek = s->clips[s->clip]; /* also backwards: overlapping clips are read twice */
        }
    }
    return false;
}

static void next_window(struct whisper_session *s) {
    if (!find_window(s)) {
        int rc = whisper_emit_final(s);
        whisper_fail(s, rc); /* 0: ended well */
        return;
    }
    s->piece = 0;
    /* detection has encoded frames [0, 3000) padded with silence: the same, if all were content */
    if (s->encoded_first && s->window.span.seek == 0 && s->window.span.size == WHISPER_FRAMES) {
        s->encoded_first = false;
        whisper_window_begin(s);
        return;
    }
    s->encoded_first = false;
    s->phase = PHASE_ENCODE;
}

void whisper_listened(struct whisper_session *s) {
    drop_chunk(s);
    bth_pcm_close(s->pcm);
    s->pcm = NULL;
    s->frames = bth_mel_frames(s->mel);
    s->seconds = (double)bth_mel_samples(s->mel) / BTH_SAMPLE_RATE;
    plan_clips(s);
    int rc = whisper_emit_progress(s);
    if (rc < 0) {
        whisper_fail(s, rc);
    } else if (s->language < 0) {
        s->phase = PHASE_DETECT_ENCODE;
    } else {
        next_window(s);
    }
}

static int by_probability(const void *a, const void *b) {
    float x = ((const struct berth_language_prob *)a)->prob;
    float y = ((const struct berth_language_prob *)b)->prob;
    return x < y ? 1 : x > y ? -1 : 0;
}

void whisper_detected(struct whisper_session *s, const float *probs) {
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    int best = 0;
    s->languages = bth_calloc((size_t)v->n_languages, sizeof(*s->languages));
    if (!s->languages) {
        whisper_fail(s, bth_error_nomem(&s->err));
        return;
    }
    for (int i = 0; i < v->n_languages; i++) {
        float p = probs[v->language0 + i];
        s->languages[i] = (struct berth_language_prob){whisper_language_code(i), p};
        best = p > probs[v->language0 + best] ? i : best;
    }
    s->n_languages = (size_t)v->n_languages;
    qsort(s->languages, s->n_languages, sizeof(*s->languages), by_probability);
    s->language = best;
    s->encoded_first = s->frames >= WHISPER_FRAMES;
    next_window(s);
}

void whisper_encoded(struct whisper_session *s) {
    struct whisper_model *m = whisper_session_model(s);
    if (++s->piece < m->n_pieces) {
        return;
    }
    drop(s, &m->encode_slots, m->encodes, m->encode_stride, &s->encode_slot);
    if (s->phase == PHASE_DETECT_ENCODE) {
        s->phase = PHASE_DETECT;
    } else {
        whisper_window_begin(s);
    }
}

void whisper_window_done(struct whisper_session *s) {
    int rc = whisper_emit_progress(s);
    if (rc < 0) {
        whisper_fail(s, rc);
        return;
    }
    s->window.index++;
    next_window(s);
}

void whisper_next(struct berth_session *session, struct berth_want *out) {
    const struct whisper_session *s = (const struct whisper_session *)session;
    const struct whisper_model *m = whisper_session_model(s);
    const struct whisper_window *w = &s->window;
    int rows = 0;
    *out = (struct berth_want){.rows = 1};
    switch (s->phase) {
    case PHASE_LISTEN:
        out->stage = s->n_chunk > 0 || s->pcm_ended ? WHISPER_MEL : WHISPER_DECODE;
        break;
    case PHASE_DETECT_ENCODE:
    case PHASE_ENCODE:
        out->stage = WHISPER_ENCODE;
        out->key = (uint64_t)s->piece;
        out->max_rows = (uint32_t)m->windows; /* some devices gain nothing from several */
        break;
    case PHASE_DETECT:
        out->stage = WHISPER_DETECT;
        break;
    case PHASE_PREFILL:
        out->stage = WHISPER_PREFILL;
        out->rows = (uint32_t)whisper_prefill_rows(s);
        out->max_rows = (uint32_t)m->prefill_rows;
        break;
    case PHASE_STEP:
        for (int r = 0; r < w->n_rows; r++) {
            rows += !s->rows[r].ended;
        }
        out->stage = WHISPER_STEP;
        out->rows = (uint32_t)rows;
        break;
    case PHASE_ENDED:
        out->stage = BERTH_WANT_END;
        break;
    }
}

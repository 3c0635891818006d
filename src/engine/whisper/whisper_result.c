/* What a session hands out: progress, the segments of a window, the whole transcript. */
#include "whisper/whisper_session.h"

#include "base/error.h"
#include "base/item.h"
#include "base/pystr.h"
#include <string.h>

static int emit(struct whisper_session *s, struct berth_item *item) {
    int rc = s->base.sink->emit(s->base.sink, item);
    if (rc < 0) {
        berth_item_free(item);
        return bth_error(&s->err, rc, "the result could not be handed over");
    }
    return 0;
}

/* How much of the sound is behind us: a clip's seek may lie anywhere, progress never goes back. */
static double done_seconds(const struct whisper_session *s) {
    double done = (double)s->seek / 100.0;
    return s->phase == PHASE_LISTEN ? 0 : done < s->seconds ? done : s->seconds;
}

static struct berth_item *make(struct whisper_session *s, enum berth_item_kind kind) {
    struct berth_item *item = bth_item_create(kind);
    if (item) {
        item->done = kind == BERTH_ITEM_FINAL ? s->seconds : done_seconds(s);
        item->total = s->seconds;
    }
    return item;
}

int whisper_emit_progress(struct whisper_session *s) {
    struct berth_item *item = make(s, BERTH_ITEM_PROGRESS);
    return item ? emit(s, item) : bth_error_nomem(&s->err);
}

/* Segments [first, n_segments) into the item's memory; NULL when out of memory. */
static struct berth_segment *copy_segments(const struct whisper_session *s, struct bth_arena *arena,
                                           size_t first) {
    size_t n = s->n_segments - first;
    struct berth_segment *out = bth_arena_alloc(arena, n * sizeof(*out));
    for (size_t i = 0; out && i < n; i++) {
        const struct whisper_segment *seg = &s->segments[first + i];
        char *text = bth_arena_strndup(arena, seg->text, strlen(seg->text));
        int32_t *tokens =
            bth_arena_memdup(arena, seg->tokens, (size_t)seg->n_tokens * sizeof(*tokens));
        if (!text || !tokens) {
            return NULL;
        }
        out[i] = (struct berth_segment){.id = (uint32_t)(first + i),
                                        .seek = seg->seek,
                                        .start_s = seg->start_s,
                                        .end_s = seg->end_s,
                                        .text = text,
                                        .tokens = tokens,
                                        .n_tokens = (size_t)seg->n_tokens,
                                        .temperature = seg->outcome.temperature,
                                        .avg_logprob = seg->outcome.avg_logprob,
                                        .compression_ratio = seg->outcome.compression_ratio,
                                        .no_speech_prob = seg->outcome.no_speech_prob};
    }
    return out;
}

/* A transcript with the segments from `first` on; NULL when out of memory. */
static struct berth_transcript *make_transcript(const struct whisper_session *s,
                                                struct bth_arena *arena, size_t first) {
    struct berth_transcript *t = bth_arena_alloc(arena, sizeof(*t));
    struct berth_segment *segments = copy_segments(s, arena, first);
    if (!t || !segments) {
        return NULL;
    }
    t->language = whisper_language_code(s->language);
    t->language_name = whisper_language_name(s->language);
    t->duration_s = s->seconds;
    t->segments = segments;
    t->n_segments = s->n_segments - first;
    return t;
}

int whisper_emit_partial(struct whisper_session *s, size_t first) {
    if (!s->request->stream) {
        return 0;
    }
    struct berth_item *item = make(s, BERTH_ITEM_PARTIAL);
    if (!item || !(item->transcript = make_transcript(s, bth_item_arena(item), first))) {
        berth_item_free(item);
        return bth_error_nomem(&s->err);
    }
    return emit(s, item);
}

/* Text, languages and trace: what only the whole transcript has. */
static bool complete(const struct whisper_session *s, struct bth_arena *arena,
                     struct berth_transcript *t) {
    const struct whisper_vocab *v = &whisper_session_model(s)->vocab;
    struct bth_str text = {0};
    whisper_vocab_decode(v, s->tokens + s->n_prompt, s->n_tokens - s->n_prompt, v->timestamp0,
                         &text);
    t->text = text.failed ? NULL : bth_arena_strndup(arena, bth_str_text(&text), text.size);
    bth_str_finish(&text);
    t->languages = bth_arena_memdup(arena, s->languages, s->n_languages * sizeof(*s->languages));
    t->n_languages = s->n_languages;
    t->trace = bth_arena_memdup(arena, s->trace, s->n_trace * sizeof(*s->trace));
    t->n_trace = s->n_trace;
    return t->text && t->languages && t->trace;
}

int whisper_emit_final(struct whisper_session *s) {
    struct berth_item *item = make(s, BERTH_ITEM_FINAL);
    struct berth_transcript *t = item ? make_transcript(s, bth_item_arena(item), 0) : NULL;
    if (!t || !complete(s, bth_item_arena(item), t)) {
        berth_item_free(item);
        return bth_error_nomem(&s->err);
    }
    item->transcript = t;
    return emit(s, item);
}

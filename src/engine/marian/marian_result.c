/* What a session hands out: progress, the sentences that are ready, the whole translation. */
#include "marian/marian_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/item.h"
#include <jansson.h>
#include <string.h>

static int emit(struct marian_session *s, struct berth_item *item) {
    int rc = s->base.sink->emit(s->base.sink, item);
    if (rc < 0) {
        berth_item_free(item);
        return bth_error(&s->err, rc, "the result could not be handed over");
    }
    return 0;
}

/* Bytes of the input that are behind us. */
static double done_bytes(const struct marian_session *s) {
    return s->detokenized == 0 || !s->n_sentences
               ? 0
               : (double)s->n_text * (double)s->detokenized / (double)s->n_sentences;
}

static struct berth_item *make(struct marian_session *s, enum berth_item_kind kind) {
    struct berth_item *item = bth_item_create(kind);
    if (item) {
        item->total = (double)s->n_text;
        item->done = kind == BERTH_ITEM_FINAL ? item->total : done_bytes(s);
    }
    return item;
}

int marian_emit_progress(struct marian_session *s) {
    struct berth_item *item = make(s, BERTH_ITEM_PROGRESS);
    return item ? emit(s, item) : bth_error_nomem(&s->err);
}

/* ---- sentences ------------------------------------------------------------------------------- */

static bool copy_hypothesis(const struct marian_session *s, struct bth_arena *arena,
                            const struct marian_hypothesis *from, struct berth_hypothesis *to) {
    const size_t n = (size_t)from->n;
    const char *text = from->text ? from->text : "";
    int32_t *tokens = bth_arena_alloc(arena, n * sizeof(*tokens));
    float *logprobs = bth_arena_alloc(arena, n * sizeof(*logprobs));
    to->text = bth_arena_strndup(arena, text, strlen(text));
    if (!tokens || !logprobs || !to->text) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        tokens[i] = from->choices[i].id;
        logprobs[i] = from->choices[i].logprob;
    }
    to->score = from->score;
    to->tokens = tokens;
    to->logprobs = s->options.token_scores ? logprobs : NULL;
    to->n_tokens = n;
    return true;
}

static bool copy_sentence(const struct marian_session *s, struct bth_arena *arena,
                          const struct marian_sentence *from, struct berth_sentence *to) {
    const struct marian_found *found = &from->found;
    int32_t *tokens = bth_arena_alloc(arena, from->n_tokens * sizeof(*tokens));
    struct berth_hypothesis *all = bth_arena_alloc(arena, (size_t)found->n * sizeof(*all));
    if (!tokens || !all) {
        return false;
    }
    for (size_t i = 0; i < from->n_tokens; i++) {
        tokens[i] = from->tokens[i].id;
    }
    for (int i = 0; i < found->n; i++) {
        if (!copy_hypothesis(s, arena, &found->hypotheses[i], &all[i])) {
            return false;
        }
    }
    *to = (struct berth_sentence){.source_begin = from->begin + s->skipped,
                                  .source_end = from->end + s->skipped,
                                  .tokens = tokens,
                                  .n_tokens = from->n_tokens,
                                  .hypotheses = all,
                                  .n_hypotheses = (size_t)found->n,
                                  .cached = found->cached,
                                  .repeats = found->repeats};
    if (s->options.alignment && found->alignment) {
        to->alignment = bth_arena_memdup(arena, found->alignment,
                                         (size_t)found->hypotheses[0].n * from->n_tokens *
                                             sizeof(*found->alignment));
        return to->alignment != NULL;
    }
    return true;
}

/* A translation with sentences [first, end), and where they lie in `text` so far. */
static struct berth_translation *make_translation(const struct marian_session *s,
                                                  struct bth_arena *arena, size_t first, size_t end,
                                                  struct berth_sentence **out_sentences) {
    const struct marian_model *m = marian_session_model(s);
    struct berth_translation *t = bth_arena_alloc(arena, sizeof(*t));
    struct berth_sentence *all = bth_arena_alloc(arena, (end - first) * sizeof(*all));
    const char *target = s->options.target_lang ? s->options.target_lang : m->target;
    if (!t || !all) {
        return NULL;
    }
    for (size_t i = first; i < end; i++) {
        if (!copy_sentence(s, arena, &s->sentences[i], &all[i - first])) {
            return NULL;
        }
    }
    *t =
        (struct berth_translation){.source = bth_arena_strndup(arena, m->source, strlen(m->source)),
                                   .target = bth_arena_strndup(arena, target, strlen(target)),
                                   .sentences = all,
                                   .n_sentences = end - first};
    *out_sentences = all;
    return t->source && t->target ? t : NULL;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* What stands for sentence i in the text of rank `rank`: its hypothesis, or the best it has. */
static const char *text_of(const struct marian_session *s, size_t i, int rank, size_t *out_n) {
    const struct marian_sentence *from = &s->sentences[i];
    const struct marian_found *f = &from->found;
    if (f->n == 0) {
        *out_n = from->end - from->begin;
        return s->plain + from->begin;
    }
    const char *text = f->hypotheses[rank < f->n ? rank : f->n - 1].text;
    text = rank < f->n || !f->hypotheses[0].text ? text : f->hypotheses[0].text;
    text = text ? text : "";
    *out_n = strlen(text);
    return text;
}

struct spans {
    struct bth_html_sentence *all; /* [n_sentences] */
    struct bth_html_link *links;   /* of all sentences */
};

/* The whole plain text of a rank; spans tell where the sentences lie. */
static void put_text(const struct marian_session *s, int rank, struct bth_html_sentence *spans,
                     struct bth_str *out) {
    size_t at = 0;
    for (size_t i = 0; i < s->n_sentences; i++) {
        size_t n;
        const char *text = text_of(s, i, rank, &n);
        bth_str_append(out, s->plain + at, s->sentences[i].begin - at);
        spans[i] = (struct bth_html_sentence){.source_begin = s->sentences[i].begin,
                                              .source_end = s->sentences[i].end,
                                              .target_begin = out->size,
                                              .target_end = out->size + n};
        bth_str_append(out, text, n);
        at = s->sentences[i].end;
    }
    bth_str_append(out, s->plain + at, s->n_plain - at);
}

int marian_link_sentence(const struct marian_sentence *from, struct bth_html_sentence *span,
                         struct bth_html_link **out) {
    const struct marian_found *f = &from->found;
    *out = NULL;
    if (f->n == 0 || !f->links || !f->ends) {
        return 0;
    }
    const int n = f->hypotheses[0].n;
    struct bth_html_link *links = bth_calloc((size_t)n + 1, sizeof(*links));
    if (!links) {
        return BERTH_ENOMEM;
    }
    uint32_t begin = 0;
    for (int i = 0; i < n; i++) {
        if (f->ends[i] > begin && span->target_begin + f->ends[i] <= span->target_end) {
            links[span->n_links++] =
                (struct bth_html_link){.target_begin = span->target_begin + begin,
                                       .target_end = span->target_begin + f->ends[i],
                                       .source = from->begin + from->tokens[f->links[i]].begin};
            begin = f->ends[i];
        }
    }
    span->links = *out = links;
    return 0;
}

/* The plain text with its markup around it again. */
static int put_html(struct marian_session *s, const struct bth_str *plain, bool best,
                    struct bth_html_sentence *spans, struct bth_str *out) {
    struct bth_html_link **links = bth_calloc(s->n_sentences + 1, sizeof(struct bth_html_link *));
    int rc = links ? 0 : bth_error_nomem(&s->err);
    for (size_t i = 0; rc == 0 && best && i < s->n_sentences; i++) {
        rc = marian_link_sentence(&s->sentences[i], &spans[i], &links[i]);
        rc = rc < 0 ? bth_error_nomem(&s->err) : 0;
    }
    if (rc == 0) {
        rc = bth_html_close_up(s->html, bth_str_text(plain), plain->size, spans, s->n_sentences,
                               out, &s->err);
    }
    for (size_t i = 0; links && i < s->n_sentences; i++) {
        bth_free(links[i]);
    }
    bth_free(links);
    return rc;
}

/* The text of a rank into the item's memory. */
static int make_text(struct marian_session *s, struct bth_arena *arena, int rank,
                     struct bth_html_sentence *spans, const char **out) {
    struct bth_str plain = {0}, html = {0};
    put_text(s, rank, spans, &plain);
    int rc = plain.failed ? bth_error_nomem(&s->err) : 0;
    if (rc == 0 && s->html) {
        rc = put_html(s, &plain, rank == 0, spans, &html);
    }
    if (rc == 0) {
        const struct bth_str *text = s->html ? &html : &plain;
        *out = text->failed ? NULL : bth_arena_strndup(arena, bth_str_text(text), text->size);
        rc = *out ? 0 : bth_error_nomem(&s->err);
    }
    bth_str_finish(&plain);
    bth_str_finish(&html);
    return rc;
}

/* The glossary's terms that were found. */
static int put_found_terms(struct marian_session *s, struct bth_arena *arena,
                           struct berth_translation *t) {
    const size_t n = s->glossary ? bth_glossary_count(s->glossary) : 0;
    struct berth_term *all = bth_arena_alloc(arena, (n + 1) * sizeof(*all));
    for (size_t i = 0; all && i < n; i++) {
        if (s->terms[i].found > 0) {
            struct berth_term *to = &all[t->n_terms++];
            const char *source = s->terms[i].source, *target = s->terms[i].target;
            *to = s->terms[i];
            to->source = bth_arena_strndup(arena, source, strlen(source));
            to->target = bth_arena_strndup(arena, target, strlen(target));
            all = to->source && to->target ? all : NULL;
        }
    }
    t->terms = all;
    return all ? 0 : bth_error_nomem(&s->err);
}

/* Text, alternatives, and the places of sentences in the text. */
static int complete(struct marian_session *s, struct bth_arena *arena, struct berth_translation *t,
                    struct berth_sentence *sentences) {
    struct bth_html_sentence *spans = bth_calloc(s->n_sentences + 1, sizeof(*spans));
    const size_t n = (size_t)s->options.alternatives;
    const char **others = bth_arena_alloc(arena, (n + 1) * sizeof(*others));
    int rc = spans && others ? 0 : bth_error_nomem(&s->err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = make_text(s, arena, (int)i + 1, spans, &others[i]);
    }
    if (rc == 0) {
        rc = make_text(s, arena, 0, spans, &t->text);
    }
    if (rc == 0) {
        rc = put_found_terms(s, arena, t);
    }
    for (size_t i = 0; rc == 0 && i < s->n_sentences; i++) {
        sentences[i].source_begin = spans[i].source_begin + s->skipped;
        sentences[i].source_end = spans[i].source_end + s->skipped;
        sentences[i].target_begin = spans[i].target_begin;
        sentences[i].target_end = spans[i].target_end;
    }
    t->alternatives = others;
    t->n_alternatives = n;
    bth_free(spans);
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void put_row(const struct marian_sentence *from, enum marian_task task,
                    struct bth_str *out) {
    const struct marian_found *f = &from->found;
    bth_str_putc(out, '[');
    if (task == MARIAN_TOKENIZE) {
        for (size_t i = 0; i < from->n_tokens; i++) {
            bth_str_printf(out, "%s%d", i ? ", " : "", (int)from->tokens[i].id);
        }
    } else if (f->n > 0) {
        for (int i = 0; i < f->hypotheses[0].n; i++) {
            bth_str_printf(out, "%s%d", i ? ", " : "", (int)f->hypotheses[0].choices[i].id);
        }
    }
    bth_str_putc(out, ']');
}

/* Texts as a JSON array of strings. */
static void put_strings(const struct marian_session *s, struct bth_str *out) {
    for (size_t i = 0; i < s->n_sentences; i++) {
        const struct marian_found *f = &s->sentences[i].found;
        json_t *text = json_string(f->n && f->hypotheses[0].text ? f->hypotheses[0].text : "");
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        out->failed = out->failed || !quoted;
        if (quoted) {
            bth_str_printf(out, "%s%s", i ? ", " : "", quoted);
        }
        free(quoted);
        json_decref(text);
    }
}

/* What the tasks other than translating give as text: JSON. */
static int make_rows(struct marian_session *s, struct bth_arena *arena, const char **out) {
    struct bth_str text = {0};
    bth_str_putc(&text, '[');
    if (s->options.task == MARIAN_DETOKENIZE) {
        put_strings(s, &text);
    }
    for (size_t i = 0; s->options.task != MARIAN_DETOKENIZE && i < s->n_sentences; i++) {
        bth_str_puts(&text, i ? ", " : "");
        put_row(&s->sentences[i], s->options.task, &text);
    }
    bth_str_putc(&text, ']');
    *out = text.failed ? NULL : bth_arena_strndup(arena, bth_str_text(&text), text.size);
    bth_str_finish(&text);
    return *out ? 0 : bth_error_nomem(&s->err);
}

/* ---- items ----------------------------------------------------------------------------------- */

int marian_emit_partial(struct marian_session *s) {
    struct berth_sentence *sentences;
    if (!s->request->stream) {
        return 0;
    }
    struct berth_item *item = make(s, BERTH_ITEM_PARTIAL);
    if (!item || !(item->translation = make_translation(s, bth_item_arena(item), s->emitted,
                                                        s->detokenized, &sentences))) {
        berth_item_free(item);
        return bth_error_nomem(&s->err);
    }
    return emit(s, item);
}

int marian_emit_final(struct marian_session *s) {
    struct berth_item *item = make(s, BERTH_ITEM_FINAL);
    struct berth_sentence *sentences = NULL;
    struct berth_translation *t =
        item ? make_translation(s, bth_item_arena(item), 0, s->n_sentences, &sentences) : NULL;
    int rc = t ? 0 : bth_error_nomem(&s->err);
    if (rc == 0) {
        rc = s->options.task == MARIAN_TRANSLATE ? complete(s, bth_item_arena(item), t, sentences)
                                                 : make_rows(s, bth_item_arena(item), &t->text);
    }
    if (rc < 0) {
        berth_item_free(item);
        return rc;
    }
    item->translation = t;
    return emit(s, item);
}

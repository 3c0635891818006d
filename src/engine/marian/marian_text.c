/*
 * What a session does with text: from the input to sentences and ids, and back. Host turns; the
 * work of one is bounded.
 */
#include "marian/marian_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include <jansson.h>
#include <string.h>

enum {
    TURN_BYTES = 16 << 10,  /* of text that a turn looks at or tokenises */
    HTML_BYTES = 128 << 10, /* of HTML that a turn reads */
    TURN_SENTENCES = 64,    /* that a turn detokenises */
    WHOLE_BYTES = 64 << 10  /* of a text that is one sentence: it is tokenised at once */
};

/* ---- the plan -------------------------------------------------------------------------------- */

static int add_sentences(struct marian_session *s, size_t n) {
    int rc = marian_draw(s, n * sizeof(*s->sentences));
    if (rc < 0) {
        return rc;
    }
    s->sentences = bth_calloc(n ? n : 1, sizeof(*s->sentences));
    if (!s->sentences) {
        return bth_error_nomem(&s->err);
    }
    s->n_sentences = n;
    return 0;
}

/* Ids of a stretch; no more than its bytes and a leading blank can give, so most need no count. */
static int64_t measure(void *arg, const char *text, size_t n, struct berth_error *err) {
    const struct marian_session *s = arg;
    const struct marian_model *m = marian_session_model(s);
    struct marian_token *tokens;
    size_t count;
    if ((int64_t)n + 4 < m->source_most) {
        return (int64_t)n + 1;
    }
    int rc = marian_vocab_encode(m->vocab, text, n, MARIAN_ENCODE_NO_EOS, &tokens, &count, err);
    if (rc < 0) {
        return rc;
    }
    bth_free(tokens);
    return count > 0 ? (int64_t)count : 1;
}

/* Room for n more. */
static int more_sentences(struct marian_session *s, size_t n) {
    if (n > MARIAN_MAX_SENTENCES - s->n_sentences) {
        return bth_error(&s->err, BERTH_ETOOLARGE, "more than %d sentences: send the text in parts",
                         (int)MARIAN_MAX_SENTENCES);
    }
    if (s->n_sentences + n > s->sentences_capacity) {
        const size_t more = BTH_MAX(2 * s->sentences_capacity, s->n_sentences + n);
        struct marian_sentence *p = bth_realloc_array(s->sentences, more, sizeof(*p));
        if (!p) {
            return bth_error_nomem(&s->err);
        }
        s->sentences = p;
        s->sentences_capacity = more;
    }
    return marian_draw(s, n * sizeof(*s->sentences));
}

/* The next sentences of the text. */
static int split(struct marian_session *s) {
    const struct marian_model *m = marian_session_model(s);
    const struct bth_sentences_options o = {.language = m->source[0] ? m->source : NULL,
                                            .measure = measure,
                                            .arg = s,
                                            .most = m->source_most - 3}; /* prefix, bos, eos */
    struct bth_sentences pieces = {0};
    int rc = bth_sentences_next(s->plain, s->n_plain, &o, &s->cursor, TURN_BYTES, &pieces, &s->err);
    rc = rc < 0 ? rc : more_sentences(s, pieces.n);
    for (size_t i = 0; rc == 0 && i < pieces.n; i++) {
        const struct bth_piece *p = &pieces.pieces[i];
        s->sentences[s->n_sentences++] = (struct marian_sentence){
            .begin = p->begin,
            .end = p->end,
            .through = !p->words && !marian_has_terms(s, p->begin, p->end)};
    }
    bth_sentences_finish(&pieces);
    s->planned = s->cursor.done;
    return rc;
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text as one sentence, without the white space around it. */
static int take_whole(struct marian_session *s) {
    size_t begin = 0, end = s->n_plain;
    while (begin < end && is_blank(s->plain[begin])) {
        begin++;
    }
    while (end > begin && is_blank(s->plain[end - 1])) {
        end--;
    }
    s->planned = true;
    if (end - begin > WHOLE_BYTES) {
        return bth_error(&s->err, BERTH_ETOOLARGE, "%zu bytes in one piece, at most %d: %s",
                         end - begin, (int)WHOLE_BYTES,
                         s->options.task == MARIAN_TRANSLATE
                             ? "leave split=false out, or send the text in parts"
                             : "send the text in parts, cut at blanks");
    }
    int rc = add_sentences(s, begin < end || s->options.task == MARIAN_TOKENIZE);
    if (rc == 0 && s->n_sentences) {
        s->sentences[0] = (struct marian_sentence){.begin = begin, .end = end};
    }
    return rc;
}

/* ---- rows of ids ----------------------------------------------------------------------------- */

static int bad_rows(struct marian_session *s) {
    return bth_error(&s->err, BERTH_EINVAL, "the input is not a JSON array of arrays of token ids");
}

static int add_row(struct marian_session *s, const json_t *row, struct marian_sentence *out) {
    const struct marian_model *m = marian_session_model(s);
    const size_t n = json_array_size(row);
    const bool target = s->options.task == MARIAN_DETOKENIZE;
    const int32_t size =
        target ? marian_vocab_target_size(m->vocab) : marian_vocab_source_size(m->vocab);
    if (!json_is_array(row)) {
        return bad_rows(s);
    }
    if (!target && (n == 0 || (int64_t)n > m->source_most)) {
        return bth_error(&s->err, BERTH_EINVAL, "a row of %zu ids: this model takes 1 to %lld", n,
                         (long long)m->source_most);
    }
    int rc = marian_draw(s, n * sizeof(*out->tokens));
    if (rc < 0) {
        return rc;
    }
    out->tokens = bth_calloc(n ? n : 1, sizeof(*out->tokens));
    if (!out->tokens) {
        return bth_error_nomem(&s->err);
    }
    out->n_tokens = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(row, i);
        const json_int_t v = json_integer_value(id);
        if (!json_is_integer(id)) {
            return bad_rows(s);
        }
        if (v < 0 || v >= size) {
            return bth_error(&s->err, BERTH_EINVAL, "token id %lld: this model has 0 to %d",
                             (long long)v, (int)size - 1);
        }
        out->tokens[i].id = (int32_t)v;
    }
    return 0;
}

static int parse_rows(struct marian_session *s) {
    json_t *rows = json_loadb(s->text, s->n_text, 0, NULL);
    const size_t n = json_array_size(rows);
    int rc = json_is_array(rows) && n <= MARIAN_MAX_SENTENCES ? add_sentences(s, n) : bad_rows(s);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = add_row(s, json_array_get(rows, i), &s->sentences[i]);
    }
    json_decref(rows);
    s->planned = true;
    s->tokenized = s->n_sentences;
    return rc;
}

/* ---- text to ids ----------------------------------------------------------------------------- */

/* Goes on with the plan; s->planned when there is no more of it. */
static int plan(struct marian_session *s) {
    if (s->options.task == MARIAN_GENERATE || s->options.task == MARIAN_DETOKENIZE) {
        return parse_rows(s);
    }
    if (s->options.html && !s->html) {
        int rc = bth_html_begin(s->text, s->n_text, &s->html, &s->err);
        if (rc < 0) {
            return rc;
        }
    }
    if (s->options.html && !s->opened) {
        int rc = bth_html_read(s->html, HTML_BYTES, &s->opened, &s->err);
        s->plain = bth_html_plain(s->html, &s->n_plain);
        if (rc < 0 || !s->opened) {
            return rc;
        }
    }
    return s->options.split && s->options.task == MARIAN_TRANSLATE ? split(s) : take_whole(s);
}

/* The language that the whole text goes into, before its ids. */
static int put_language(struct marian_session *s, struct marian_sentence *to) {
    struct marian_token *tokens = bth_calloc(to->n_tokens + 1, sizeof(*tokens));
    if (!tokens) {
        return bth_error_nomem(&s->err);
    }
    tokens[0] = (struct marian_token){.id = s->language};
    memcpy(tokens + 1, to->tokens, to->n_tokens * sizeof(*tokens));
    bth_free(to->tokens);
    to->tokens = tokens;
    to->n_tokens++;
    return 0;
}

static int tokenize_one(struct marian_session *s, struct marian_sentence *to) {
    const struct marian_model *m = marian_session_model(s);
    int flags = s->options.special_tokens ? MARIAN_ENCODE_SPECIAL : 0;
    if (!s->options.split || s->options.task == MARIAN_TOKENIZE) {
        flags |= MARIAN_ENCODE_PREFIX;
    }
    if (to->through) {
        return 0;
    }
    int rc = marian_vocab_encode(m->vocab, s->plain + to->begin, to->end - to->begin, flags,
                                 &to->tokens, &to->n_tokens, &s->err);
    /* a vocabulary may normalise all of it away, and not every model has an end mark */
    to->through = rc == 0 && to->n_tokens == 0;
    if (rc == 0 && !to->through && s->language >= 0) {
        rc = put_language(s, to);
    }
    if (rc == 0) {
        rc = marian_draw(s, to->n_tokens * sizeof(*to->tokens));
    }
    if (rc == 0 && (int64_t)to->n_tokens > m->source_most && s->options.task == MARIAN_TRANSLATE) {
        rc = bth_error(&s->err, BERTH_ETOOLARGE,
                       "%zu tokens: this model takes %lld at once; let the text be split",
                       to->n_tokens, (long long)m->source_most);
    }
    return rc;
}

bool marian_is_tokenized(const struct marian_session *s) {
    return s->planned && s->tokenized == s->n_sentences;
}

int marian_tokenize(struct marian_session *s) {
    int rc = s->planned ? 0 : plan(s);
    size_t bytes = 0;
    while (rc == 0 && s->planned && s->tokenized < s->n_sentences && bytes < TURN_BYTES) {
        struct marian_sentence *next = &s->sentences[s->tokenized];
        bytes += next->end - next->begin + 16;
        rc = tokenize_one(s, next);
        s->tokenized += rc == 0;
    }
    if (rc < 0 || s->options.task == MARIAN_TRANSLATE || s->options.task == MARIAN_GENERATE) {
        return rc;
    }
    for (size_t i = 0; i < s->tokenized; i++) {
        s->sentences[i].through = true; /* nothing to translate */
    }
    return 0;
}

/* ---- ids to text ----------------------------------------------------------------------------- */

static int decode(struct marian_session *s, const int32_t *ids, size_t n, uint32_t *ends,
                  char **out) {
    const struct marian_model *m = marian_session_model(s);
    struct bth_str text = {0};
    const int flags = (m->config.clean_up_spaces ? MARIAN_DECODE_CLEAN_UP : 0) |
                      (s->options.special_tokens ? MARIAN_DECODE_KEEP_SPECIAL : 0);
    int rc = marian_vocab_decode(m->vocab, ids, n, flags, &text, ends, &s->err);
    if (rc == 0) {
        *out = text.failed ? NULL : bth_strdup(bth_str_text(&text));
        rc = *out ? 0 : bth_error_nomem(&s->err);
    }
    bth_str_finish(&text);
    return rc;
}

static int decode_hypothesis(struct marian_session *s, struct marian_found *found, int i) {
    struct marian_hypothesis *h = &found->hypotheses[i];
    const bool ends = i == 0 && (s->html || s->glossary);
    int32_t *ids = bth_alloc((size_t)(h->n + 1) * sizeof(*ids));
    if (ends && !found->ends) {
        found->ends = bth_calloc((size_t)h->n + 1, sizeof(*found->ends));
    }
    int rc = ids && (!ends || found->ends) ? 0 : bth_error_nomem(&s->err);
    for (int j = 0; rc == 0 && j < h->n; j++) {
        ids[j] = h->choices[j].id;
    }
    if (rc == 0) {
        rc = decode(s, ids, (size_t)h->n, ends ? found->ends : NULL, &h->text);
    }
    bth_free(ids);
    return rc;
}

/* Rows that were given become a hypothesis of their own. */
static int detokenize_row(struct marian_session *s, struct marian_sentence *row) {
    struct marian_hypothesis *h = bth_calloc(1, sizeof(*h));
    if (!h) {
        return bth_error_nomem(&s->err);
    }
    row->found.hypotheses = h;
    row->found.n = 1;
    h->choices = bth_calloc(row->n_tokens + 1, sizeof(*h->choices));
    if (!h->choices) {
        return bth_error_nomem(&s->err);
    }
    h->n = (int)row->n_tokens;
    for (int i = 0; i < h->n; i++) {
        h->choices[i].id = row->tokens[i].id;
    }
    return decode_hypothesis(s, &row->found, 0);
}

size_t marian_detokenizable(const struct marian_session *s) {
    const size_t left = s->tokenized - s->detokenized;
    const struct marian_sentence *first = s->sentences + s->detokenized;
    size_t n = 0;
    while (n < left && n < TURN_SENTENCES && (first[n].done || first[n].through)) {
        n++;
    }
    return n;
}

int marian_detokenize(struct marian_session *s) {
    const size_t n = marian_detokenizable(s);
    for (size_t i = 0; i < n; i++) {
        struct marian_sentence *next = &s->sentences[s->detokenized];
        int rc = s->options.task == MARIAN_DETOKENIZE ? detokenize_row(s, next) : 0;
        if (s->options.task == MARIAN_TRANSLATE) {
            for (int j = 0; rc == 0 && j < next->found.n; j++) {
                rc = decode_hypothesis(s, &next->found, j);
                rc = rc == 0 && s->glossary ? marian_put_terms(s, next, j) : rc;
            }
        }
        if (rc < 0) {
            return rc;
        }
        s->detokenized++;
    }
    return 0;
}

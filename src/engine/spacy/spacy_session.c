#include "spacy/spacy_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/reservation.h"
#include <string.h>
#include <unistd.h>

void spacy_fail(struct spacy_session *s, int rc) {
    if (s->rc == 0) {
        s->rc = rc;
    }
    s->ended = true;
}

/* ---- beginning and ending --------------------------------------------------------------------*/

/* More bytes than so many characters can take. */
static size_t most_bytes(const struct spacy_options *o) {
    return 4 * o->max_length;
}

static int too_large(const struct spacy_options *o, struct berth_error *err) {
    return bth_error(err, BERTH_ETOOLARGE, "the text has more than max_length = %zu characters",
                     o->max_length);
}

/* The bytes of the request's text, without reading it. */
static int text_bytes(const struct berth_request *request, const struct spacy_options *o,
                      size_t *out, struct berth_error *err) {
    const struct berth_input *in = &request->input;
    size_t n = in->size;
    if (in->kind == BERTH_INPUT_FILE) {
        int fd, rc = bth_open_regular(in->path, &fd, &n, err);
        if (rc < 0) {
            return rc;
        }
        close(fd);
    } else if (in->kind != BERTH_INPUT_TEXT && in->kind != BERTH_INPUT_BYTES) {
        return bth_error(err, BERTH_EINVAL, "spacy takes text");
    }
    if (n > most_bytes(o)) {
        return too_large(o, err);
    }
    *out = n;
    return 0;
}

int spacy_check(const struct berth_request *request, struct berth_error *err) {
    struct spacy_options options;
    size_t n;
    int rc = spacy_options_parse(request, &options, err);
    return rc < 0 ? rc : text_bytes(request, &options, &n, err);
}

/* Bits of the components in a list of names. */
static int named_bits(const struct spacy_model *m, const char *list, uint64_t *out,
                      struct berth_error *err) {
    const char *name;
    size_t n;
    uint64_t bits = 0;
    while (list && (name = spacy_names_next(&list, &n))) {
        int i = 0;
        while (i < m->n_pipes &&
               !(strlen(m->pipes[i].name) == n && memcmp(m->pipes[i].name, name, n) == 0)) {
            i++;
        }
        if (i == m->n_pipes) {
            return bth_error(err, BERTH_EINVAL, "this model has no component %.*s",
                             n > 60 ? 60 : (int)n, name);
        }
        bits |= UINT64_C(1) << i;
    }
    *out = bits;
    return 0;
}

/* Networks whose vectors the wanted components read. */
static uint64_t needs_of(const struct spacy_model *m, uint64_t wanted) {
    uint64_t needs = 0, networks = 0;
    for (int i = 0; i < m->n_pipes; i++) {
        const struct spacy_pipe *p = &m->pipes[i];
        const uint64_t bit = UINT64_C(1) << i;
        if (p->kind == SPACY_PIPE_TOK2VEC) {
            networks = bit; /* the newest one's vectors are the document's */
        } else if ((wanted & bit) && !p->net && spacy_pipe_width(p)) {
            needs |= networks;
        }
    }
    return needs;
}

/* Without the network that it was trained on, a component finds an earlier one's vectors: they may
 * be of another width. */
static int check_widths(const struct spacy_model *m, uint64_t wanted, struct berth_error *err) {
    int64_t width = 0;
    for (int i = 0; i < m->n_pipes; i++) {
        const struct spacy_pipe *p = &m->pipes[i];
        const int64_t reads = p->net ? 0 : spacy_pipe_width(p);
        if (!(wanted >> i & 1)) {
            continue;
        }
        if (p->kind == SPACY_PIPE_TOK2VEC) {
            width = spacy_tok2vec_width(p->net);
        } else if (reads && width && reads != width) {
            return bth_error(err, BERTH_EINVAL,
                             "%.60s reads vectors of %lld columns: not those of the network that "
                             "is left",
                             p->name, (long long)reads);
        }
    }
    return 0;
}

static int choose_pipes(struct spacy_session *s, struct berth_error *err) {
    const struct spacy_model *m = spacy_session_model(s);
    uint64_t only = 0, more = 0, without = 0;
    int rc = named_bits(m, s->options.components, &only, err);
    if (rc == 0) {
        rc = named_bits(m, s->options.enable, &more, err);
    }
    if (rc == 0) {
        rc = named_bits(m, s->options.exclude, &without, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; !s->options.components && i < m->n_pipes; i++) {
        only |= m->pipes[i].enabled ? UINT64_C(1) << i : 0;
    }
    s->wanted = only | more;
    s->wanted = (s->wanted | needs_of(m, s->wanted)) & ~without;
    return check_widths(m, s->wanted, err);
}

/* The most tokens that an input can have: none is empty. A file is not read yet: its bytes. */
static size_t most_tokens(const struct berth_input *in, size_t bytes) {
    if (in->kind == BERTH_INPUT_FILE) {
        return bytes;
    }
    const char *p = in->data;
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += !bth_utf8_goes_on(p[i]);
    }
    return n;
}

int spacy_begin(struct berth_model *model, const struct berth_request *request,
                struct berth_session **out, struct berth_need *need, struct berth_error *err) {
    struct spacy_session *s = bth_calloc(1, sizeof(*s));
    size_t n = 0, bytes = 0;
    if (!s) {
        return bth_error_nomem(err);
    }
    s->base.model = model;
    s->request = request;
    int rc = spacy_options_parse(request, &s->options, err);
    if (rc == 0) {
        rc = text_bytes(request, &s->options, &n, err);
    }
    if (rc == 0) {
        rc = choose_pipes(s, err);
    }
    if (rc == 0 &&
        !bth_mul(most_tokens(&request->input, n), spacy_session_model(s)->token_bytes, &bytes)) {
        rc = too_large(&s->options, err);
    }
    if (rc < 0) {
        spacy_end(&s->base);
        return rc;
    }
    *need = (struct berth_need){.bytes_now = bytes / 4, .bytes_max = bytes};
    *out = &s->base;
    return 0;
}

void spacy_cancel(struct berth_session *session) {
    ((struct spacy_session *)session)->ended = true;
}

void spacy_end(struct berth_session *session) {
    struct spacy_session *s = (struct spacy_session *)session;
    if (s->drawn) {
        bth_reservation_return(s->base.reservation, s->drawn);
    }
    spacy_parse_destroy(s->parse);
    spacy_ner_destroy(s->ner);
    bth_free(s->slots);
    bth_free(s->vectors);
    spacy_doc_finish(&s->doc);
    bth_free(s->file);
    bth_free(s);
}

int spacy_session_draw(struct spacy_session *s, size_t bytes) {
    int rc = bth_reservation_draw(s->base.reservation, bytes, &s->err);
    s->drawn += rc == 0 ? bytes : 0;
    return rc;
}

void spacy_session_return(struct spacy_session *s, size_t bytes) {
    bth_reservation_return(s->base.reservation, bytes);
    s->drawn -= bytes;
}

/* ---- from component to component -------------------------------------------------------------*/

int spacy_session_pipe(const struct spacy_session *s, int i) {
    const int n = spacy_session_model(s)->n_pipes;
    while (i < n && !(s->wanted >> i & 1)) {
        i++;
    }
    return i;
}

void spacy_session_pass(struct spacy_session *s, int i) {
    s->at = spacy_session_pipe(s, i);
    s->done = 0;
    s->embedded = false;
}

static uint32_t left_of(const struct spacy_session *s, uint32_t at, uint32_t most) {
    const size_t left = s->doc.n - at;
    return left < most ? (uint32_t)left : most;
}

/* Tokens of a walk's next turn; 1 where only the stack is left. */
static uint32_t walk_rows(const struct spacy_session *s) {
    const uint32_t ahead = s->parse ? spacy_parser_machine.ahead(s->parse)
                           : s->ner ? spacy_ner_machine.ahead(s->ner)
                                    : 0;
    const uint32_t rows = left_of(s, ahead, SPACY_ROWS);
    return rows ? rows : 1;
}

static void want_pipe(const struct spacy_session *s, const struct spacy_pipe *p,
                      struct berth_want *out) {
    if (p->kind >= SPACY_PIPE_ATTRIBUTE_RULER) {
        out->stage = SPACY_RULES;
    } else if (p->net && !s->embedded) {
        const uint32_t padding = spacy_tok2vec_padding(p->net);
        out->stage = SPACY_EMBED;
        out->rows = left_of(s, s->done, SPACY_ROWS - padding) + padding;
    } else if (p->kind == SPACY_PIPE_TAGGER) {
        out->stage = SPACY_TAG;
        out->rows = left_of(s, s->done, SPACY_ROWS);
    } else {
        out->stage = p->kind == SPACY_PIPE_PARSER ? SPACY_PARSE : SPACY_ENTITY;
        out->rows = walk_rows(s);
    }
}

void spacy_next(struct berth_session *session, struct berth_want *out) {
    const struct spacy_session *s = (const struct spacy_session *)session;
    const struct spacy_model *m = spacy_session_model(s);
    *out = (struct berth_want){.stage = BERTH_WANT_END, .rows = 1};
    if (s->ended) {
        return;
    }
    if (!s->tokenized) {
        out->stage = SPACY_TOKENIZE;
    } else if (s->at < m->n_pipes) {
        out->key = (uint64_t)s->at;
        want_pipe(s, &m->pipes[s->at], out);
    }
}

/* ---- host turns ------------------------------------------------------------------------------*/

static int read_text(struct spacy_session *s, const char **out, size_t *out_n) {
    const struct berth_input *in = &s->request->input;
    *out = in->data ? in->data : "";
    *out_n = in->size;
    if (in->kind != BERTH_INPUT_FILE) {
        return 0;
    }
    int rc = bth_read_file(in->path, most_bytes(&s->options), &s->file, out_n, &s->err);
    *out = s->file;
    return rc == BERTH_ETOOLARGE ? too_large(&s->options, &s->err) : rc;
}

/* Said of one document here, before its words are put together in a turn of many. */
static int check_words(struct spacy_session *s) {
    const struct spacy_vectors *v = spacy_vocab_vectors(spacy_session_model(s)->vocab);
    for (size_t i = 0; i < s->doc.n; i++) {
        const uint32_t length = s->doc.tokens[i].lex->length;
        if (!spacy_vectors_fits(v, length)) {
            return bth_error(&s->err, BERTH_ETOOLARGE,
                             "a word of %u characters is too long for this model's vectors",
                             length);
        }
    }
    return 0;
}

void spacy_session_tokenize(struct spacy_session *s) {
    const struct spacy_model *m = spacy_session_model(s);
    const char *text;
    size_t n;
    int rc = read_text(s, &text, &n);
    if (rc == 0 && memchr(text, 0, n)) { /* results are C strings */
        rc = bth_error(&s->err, BERTH_EINVAL, "the text has a NUL character");
    }
    if (rc == 0) {
        rc = spacy_doc_init(&s->doc, m->vocab, text, n, &s->err);
    }
    if (rc == 0) {
        rc = spacy_tokenize(m->tokenizer, &s->doc, &s->err);
    }
    const struct spacy_token *last = s->doc.n ? &s->doc.tokens[s->doc.n - 1] : NULL;
    if (rc == 0 && last && last->idx + last->lex->length + last->space > s->options.max_length) {
        rc = too_large(&s->options, &s->err);
    }
    if (rc == 0) {
        rc = check_words(s);
    }
    if (rc < 0) {
        spacy_fail(s, rc);
        return;
    }
    s->tokenized = true;
    spacy_session_pass(s, s->doc.n ? 0 : m->n_pipes); /* nothing runs on an empty text */
}

/* Split tokens have a tensor of their own. */
static int retokenize(const struct spacy_pipe *p, struct spacy_session *s) {
    const float *before = s->doc.tensor;
    int rc = spacy_retokenizer_run(p->retokenizer, &s->doc, &s->err);
    rc = rc < 0 ? rc : check_words(s);
    if (rc == 0 && s->doc.tensor && s->doc.tensor != before) {
        rc = spacy_session_draw(s, s->doc.n * s->doc.tensor_width * sizeof(float));
    }
    return rc;
}

static int run_rules(const struct spacy_pipe *p, struct spacy_session *s) {
    switch (p->kind) {
    case SPACY_PIPE_ATTRIBUTE_RULER:
        return spacy_attribute_ruler_run(p->attribute_ruler, &s->doc, &s->err);
    case SPACY_PIPE_LEMMATIZER:
        return spacy_lemmatizer_run(p->lemmatizer, &s->doc, &s->err);
    case SPACY_PIPE_ENTITY_RULER:
        return spacy_entity_ruler_run(p->entity_ruler, &s->doc, &s->err);
    case SPACY_PIPE_RETOKENIZER:
        return retokenize(p, s);
    default:
        return spacy_sentencizer_run(p->sentencizer, &s->doc, &s->err);
    }
}

void spacy_session_rules(struct spacy_session *s) {
    const struct spacy_model *m = spacy_session_model(s);
    while (!s->ended && s->at < m->n_pipes && m->pipes[s->at].kind >= SPACY_PIPE_ATTRIBUTE_RULER) {
        int rc = run_rules(&m->pipes[s->at], s);
        if (rc < 0) {
            spacy_fail(s, rc);
        } else {
            spacy_session_pass(s, s->at + 1);
        }
    }
}

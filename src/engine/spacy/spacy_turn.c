/*
 * Turns: documents side by side through one network.
 *
 * EMBED makes vectors, keeps them with their documents and, while they still lie on the device,
 * runs the taggers that come next. TAG brings vectors back for a tagger that comes later. PARSE and
 * ENTITY walk state machines (spacy_transition.h).
 */
#include "spacy/spacy_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>

static struct spacy_session *session_at(const struct berth_batch *b, uint32_t i) {
    return (struct spacy_session *)b->sessions[i];
}

static struct spacy_model *model_of(const struct berth_batch *b) {
    return (struct spacy_model *)b->model;
}

/* ---- EMBED and TAG ---------------------------------------------------------------------------*/

/* Where the vectors of the component's network go, made with the first piece; NULL: nowhere. */
static float **target_of(struct spacy_session *s, const struct spacy_pipe *p) {
    return p->kind == SPACY_PIPE_TOK2VEC ? &s->doc.tensor : p->transition ? &s->vectors : NULL;
}

static int make_target(struct spacy_session *s, const struct spacy_pipe *p) {
    float **target = target_of(s, p);
    if (!target || s->done > 0) {
        return 0;
    }
    const size_t width = (size_t)spacy_tok2vec_width(p->net);
    const size_t bytes = s->doc.n * width * sizeof(float); /* bounded by max_length */
    int rc = spacy_session_draw(s, bytes);
    if (rc < 0) {
        return rc;
    }
    if (p->kind == SPACY_PIPE_TOK2VEC) {
        s->doc.tensor = bth_arena_alloc(&s->doc.arena, bytes);
        s->doc.tensor_width = width;
    } else {
        s->vectors = bth_calloc(s->doc.n, width * sizeof(float));
    }
    return *target ? 0 : bth_error_nomem(&s->err);
}

/* A turn's pieces, those of sessions that have not failed. */
struct turn {
    struct spacy_model *m;
    const struct berth_batch *batch;
    struct spacy_piece *pieces;
    struct spacy_session *sessions[SPACY_ROWS]; /* of each piece */
    uint32_t n, rows;
    struct berth_error *err;
};

static void add_piece(struct turn *t, struct spacy_session *s, uint32_t most) {
    const size_t left = s->doc.n - s->done;
    t->sessions[t->n] = s;
    t->pieces[t->n++] = (struct spacy_piece){
        .doc = &s->doc, .begin = s->done, .end = s->done + (left < most ? (uint32_t)left : most)};
}

static void count_rows(struct turn *t) {
    for (uint32_t i = 0; i < t->n; i++) {
        const struct spacy_piece *p = &t->pieces[i];
        const uint32_t end = p->row + p->end - p->begin;
        t->rows = end > t->rows ? end : t->rows;
    }
}

static int read_vectors(struct turn *t, const struct spacy_pipe *p) {
    const struct spacy_scratch *s = &t->m->scratch;
    const size_t row = (size_t)spacy_tok2vec_width(p->net) * sizeof(float);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < t->n; i++) {
        const struct spacy_piece *piece = &t->pieces[i];
        float **target = target_of(t->sessions[i], p);
        if (target) {
            rc = s->device->ops->read(s->x, (SPACY_GUARD + (size_t)piece->row) * row,
                                      (char *)*target + piece->begin * row,
                                      (piece->end - piece->begin) * row);
        }
    }
    return rc < 0 ? bth_error(t->err, rc, "%s: reading vectors failed", s->device->name) : 0;
}

/* Runs a tagger over all rows, for the sessions that stand at it with their cursor. */
static int tag(struct turn *t, int pipe) {
    const struct spacy_tagger *tagger = t->m->pipes[pipe].tagger;
    bool run = false;
    int rc = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct spacy_session *s = t->sessions[i];
        if (s->ended || s->cursor != pipe) {
            continue;
        }
        if (!run) {
            rc = spacy_tagger_run(tagger, t->rows, t->err);
            if (rc < 0) {
                return rc;
            }
            run = true;
        }
        const struct spacy_piece *p = &t->pieces[i];
        rc = spacy_tagger_apply(tagger, &s->doc, p->begin, p->end, p->row, &s->err);
        if (rc < 0) {
            spacy_fail(s, rc);
        }
        s->cursor = spacy_session_pipe(s, pipe + 1);
    }
    return 0;
}

/* The taggers that read what has just been made. */
static int tag_all(struct turn *t, int pipe) {
    const struct spacy_model *m = t->m;
    int rc = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct spacy_session *s = t->sessions[i];
        s->cursor =
            m->pipes[pipe].kind == SPACY_PIPE_TOK2VEC ? spacy_session_pipe(s, pipe + 1) : pipe;
    }
    if (m->pipes[pipe].kind == SPACY_PIPE_TAGGER) {
        return tag(t, pipe);
    }
    for (int i = pipe + 1; rc == 0 && i < m->n_pipes; i++) {
        if (m->pipes[i].kind == SPACY_PIPE_TAGGER && !m->pipes[i].net) {
            rc = tag(t, i);
        }
    }
    return rc;
}

/* Sessions whose last piece it was go on. */
static void move_on(struct turn *t, const struct spacy_pipe *p) {
    for (uint32_t i = 0; i < t->n; i++) {
        struct spacy_session *s = t->sessions[i];
        s->done = t->pieces[i].end;
        if (s->done < s->doc.n) {
            continue;
        }
        if (p->transition) {
            s->done = 0;
            s->embedded = true;
        } else {
            spacy_session_pass(s, s->cursor);
        }
    }
}

static int embed(struct turn *t) {
    const int pipe = (int)t->batch->key;
    const struct spacy_pipe *p = &t->m->pipes[pipe];
    for (uint32_t i = 0; i < t->batch->n; i++) {
        struct spacy_session *s = session_at(t->batch, i);
        int rc = make_target(s, p);
        if (rc < 0) {
            spacy_fail(s, rc);
        } else {
            add_piece(t, s, SPACY_ROWS - spacy_tok2vec_padding(p->net));
        }
    }
    int rc = spacy_tok2vec_run(p->net, t->pieces, t->n, t->err);
    if (rc < 0) {
        return rc;
    }
    count_rows(t);
    rc = read_vectors(t, p);
    if (rc == 0 && !p->transition) {
        rc = tag_all(t, pipe);
    }
    if (rc == 0) {
        move_on(t, p);
    }
    return rc;
}

static int tag_later(struct turn *t) {
    const int pipe = (int)t->batch->key;
    const struct spacy_scratch *scratch = &t->m->scratch;
    const size_t width = (size_t)spacy_tagger_width(t->m->pipes[pipe].tagger);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < t->batch->n; i++) {
        struct spacy_session *s = session_at(t->batch, i);
        add_piece(t, s, SPACY_ROWS);
        struct spacy_piece *p = &t->pieces[t->n - 1];
        p->row = t->rows;
        t->rows += p->end - p->begin;
        s->cursor = pipe;
        rc = spacy_scratch_put(scratch, p->row,
                               s->doc.tensor ? s->doc.tensor + p->begin * width : NULL,
                               p->end - p->begin, width);
    }
    if (rc < 0) {
        return bth_error(t->err, rc, "%s: writing vectors failed", scratch->device->name);
    }
    rc = tag(t, pipe);
    if (rc == 0) {
        move_on(t, &t->m->pipes[pipe]);
    }
    return rc;
}

/* ---- PARSE and ENTITY ------------------------------------------------------------------------*/

static size_t walk_bytes(const struct spacy_session *s, const struct spacy_pipe *p) {
    const size_t n = s->doc.n;
    return n * sizeof(int32_t) +
           (p->kind == SPACY_PIPE_PARSER ? spacy_parse_bytes(n) : spacy_ner_bytes(n));
}

/* A state and slots, with the first turn. */
static int make_walk(struct spacy_session *s, const struct spacy_pipe *p) {
    const int features = spacy_transition_features(p->transition);
    if (s->parse || s->ner) {
        return 0;
    }
    int rc = spacy_session_draw(s, walk_bytes(s, p));
    if (rc < 0) {
        return rc;
    }
    s->slots = bth_calloc(s->doc.n, sizeof(*s->slots));
    if (p->kind == SPACY_PIPE_PARSER) {
        s->parse = spacy_parse_create(&p->moves, features, &s->doc);
    } else {
        s->ner = spacy_ner_create(&p->moves, features, &s->doc);
    }
    return s->slots && (s->parse || s->ner) ? 0 : bth_error_nomem(&s->err);
}

/* The walk is over: what it found goes into the document. */
static void end_walk(struct spacy_session *s, const struct spacy_pipe *p) {
    int rc = 0;
    if (s->parse) {
        rc = spacy_parse_finish(s->parse, &s->doc, &s->err);
    } else {
        spacy_ner_finish(s->ner, &s->doc);
    }
    spacy_session_return(s, walk_bytes(s, p));
    spacy_parse_destroy(s->parse);
    spacy_ner_destroy(s->ner);
    bth_free(s->slots);
    s->parse = NULL;
    s->ner = NULL;
    s->slots = NULL;
    if (s->vectors) {
        spacy_session_return(s, s->doc.n * (size_t)spacy_tok2vec_width(p->net) * sizeof(float));
        bth_free(s->vectors);
        s->vectors = NULL;
    }
    if (rc < 0) {
        spacy_fail(s, rc);
    } else {
        spacy_session_pass(s, s->at + 1);
    }
}

static int walk(struct turn *t) {
    const struct spacy_pipe *p = &t->m->pipes[t->batch->key];
    const struct spacy_machine *machine =
        p->kind == SPACY_PIPE_PARSER ? &spacy_parser_machine : &spacy_ner_machine;
    for (uint32_t i = 0; i < t->batch->n; i++) {
        struct spacy_session *s = session_at(t->batch, i);
        struct berth_want want;
        int rc = make_walk(s, p);
        if (rc < 0) {
            spacy_fail(s, rc);
            continue;
        }
        spacy_next(&s->base, &want);
        t->sessions[t->n] = s;
        t->m->walks[t->n++] = (struct spacy_walk){
            .machine = machine,
            .state = s->parse ? (void *)s->parse : (void *)s->ner,
            .vectors = p->net ? s->vectors : s->doc.tensor,
            .slots = s->slots,
            .n = (uint32_t)s->doc.n,
            .window = want.rows,
        };
    }
    int rc = spacy_transition_run(p->transition, t->m->walks, t->n, t->err);
    for (uint32_t i = 0; rc == 0 && i < t->n; i++) {
        struct spacy_session *s = t->sessions[i];
        if (machine->ended(s->parse ? (void *)s->parse : (void *)s->ner)) {
            end_walk(s, p);
        }
    }
    return rc;
}

/* ---- the contract ----------------------------------------------------------------------------*/

int spacy_enqueue(struct berth_batch *batch, struct berth_error *err) {
    if (batch->stage == SPACY_TOKENIZE || batch->stage == SPACY_RULES) {
        for (uint32_t i = 0; i < batch->n; i++) {
            struct spacy_session *s = session_at(batch, i);
            if (batch->stage == SPACY_RULES) {
                spacy_session_rules(s);
            } else {
                spacy_session_tokenize(s);
            }
        }
        return 0;
    }
    struct spacy_model *m = model_of(batch);
    struct turn t = {.m = m, .batch = batch, .pieces = m->pieces, .err = err};
    switch (batch->stage) {
    case SPACY_EMBED:
        return embed(&t);
    case SPACY_TAG:
        return tag_later(&t);
    default:
        return walk(&t);
    }
}

int spacy_settle(struct berth_batch *batch, struct berth_error *err) {
    (void)err;
    for (uint32_t i = 0; i < batch->n; i++) {
        struct spacy_session *s = session_at(batch, i);
        if (!s->ended && s->tokenized && s->at == model_of(batch)->n_pipes) {
            spacy_fail(s, spacy_emit(s)); /* 0: ended well */
        }
        batch->status[i] = s->rc;
        if (s->rc < 0) {
            batch->errors[i] = s->err;
        }
    }
    return 0;
}

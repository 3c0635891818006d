/*
 * spacy_session.h - one document on its way through a pipeline.
 *
 *     TOKENIZE -> component after component: EMBED, TAG, WALK, RULES -> ENDED
 *
 * Which turn comes next follows from the component that it stands at (`at`). Taggers right behind
 * the network that they listen to are done in its turn. Owner: the device's thread (in TOKENIZE and
 * RULES: whoever runs its host turn).
 */
#ifndef SPACY_SESSION_H
#define SPACY_SESSION_H

#include "spacy/spacy_model.h"
#include "spacy/spacy_ner.h"
#include "spacy/spacy_options.h"
#include "spacy/spacy_parser.h"

enum spacy_stage {
    SPACY_TOKENIZE,
    SPACY_EMBED,  /* vectors of tokens by a network; key: the component */
    SPACY_TAG,    /* classes of tokens whose vectors lie in the document */
    SPACY_PARSE,  /* transitions of the parser */
    SPACY_ENTITY, /* transitions of the entity recognizer */
    SPACY_RULES,  /* components without a network */
    SPACY_N_STAGES
};

struct spacy_session {
    struct berth_session base; /* first */
    const struct berth_request *request;
    struct spacy_options options;
    int rc; /* why it failed; settle hands it on */
    struct berth_error err;
    bool ended, tokenized;

    char *file; /* the text, if the request names a file */
    struct spacy_doc doc;
    uint64_t wanted; /* bit i: component i runs */
    int at;          /* the component that it stands at; n_pipes: done */
    int cursor;      /* in a turn: the component that its vectors have reached */
    uint32_t done;   /* tokens of a document that takes several turns */
    bool embedded;   /* the vectors of a component's own network are made */
    float *vectors;  /* [n, width] of that network */
    struct spacy_parse *parse;
    struct spacy_ner *ner;
    int32_t *slots; /* [n] of the walk */
    size_t drawn;   /* bytes of the reservation, all in all */
};

static inline struct spacy_model *spacy_session_model(const struct spacy_session *s) {
    return (struct spacy_model *)s->base.model;
}

/* Contract functions, see berth/engine.h. */
int spacy_check(const struct berth_request *request, struct berth_error *err);
int spacy_begin(struct berth_model *model, const struct berth_request *request,
                struct berth_session **out, struct berth_need *need, struct berth_error *err);
void spacy_next(struct berth_session *session, struct berth_want *out);
void spacy_cancel(struct berth_session *session);
void spacy_end(struct berth_session *session);
int spacy_enqueue(struct berth_batch *batch, struct berth_error *err);
int spacy_settle(struct berth_batch *batch, struct berth_error *err);

/* The first wanted component at or behind i; n_pipes: none. */
int spacy_session_pipe(const struct spacy_session *s, int i);
/* Failures end up in s->rc and end the session. */
void spacy_fail(struct spacy_session *s, int rc);
/* Goes on to the first wanted component at or behind i. */
void spacy_session_pass(struct spacy_session *s, int i);
/* Bytes of the reservation, all given back at the end at the latest. EBUDGET. */
int spacy_session_draw(struct spacy_session *s, size_t bytes);
void spacy_session_return(struct spacy_session *s, size_t bytes);
/* Host turns. */
void spacy_session_tokenize(struct spacy_session *s);
void spacy_session_rules(struct spacy_session *s);

/* spacy_result.c: hands the document out. */
int spacy_emit(struct spacy_session *s);

#endif

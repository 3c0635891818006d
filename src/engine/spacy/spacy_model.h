/*
 * spacy_model.h - a loaded pipeline: what its components are and what they are made of.
 *
 * Immutable after load, but for the scratch and the caches of networks, which belong to the
 * device's thread, and the bounded caches of words, which lock themselves.
 */
#ifndef SPACY_MODEL_H
#define SPACY_MODEL_H

#include "spacy/spacy_attribute_ruler.h"
#include "spacy/spacy_entity_ruler.h"
#include "spacy/spacy_lemmatizer.h"
#include "spacy/spacy_retokenizer.h"
#include "spacy/spacy_sentencizer.h"
#include "spacy/spacy_tagger.h"
#include "spacy/spacy_tok2vec.h"
#include "spacy/spacy_transition.h"
#include <berth/engine.h>

enum { SPACY_MAX_PIPES = 64 };

enum spacy_pipe_kind {
    SPACY_PIPE_TOK2VEC,
    SPACY_PIPE_TAGGER, /* and all that choose a class per token */
    SPACY_PIPE_PARSER,
    SPACY_PIPE_NER,
    /* from here on without a network */
    SPACY_PIPE_ATTRIBUTE_RULER,
    SPACY_PIPE_LEMMATIZER,
    SPACY_PIPE_ENTITY_RULER,
    SPACY_PIPE_RETOKENIZER,
    SPACY_PIPE_SENTENCIZER
};

/* One component. */
struct spacy_pipe {
    char *name;
    enum spacy_pipe_kind kind;
    bool enabled;              /* runs unless a request says otherwise */
    struct spacy_tok2vec *net; /* its own; NULL: it reads the document's tensor */
    struct spacy_tagger *tagger;
    struct spacy_transition *transition;
    struct spacy_moves moves;
    struct spacy_attribute_ruler *attribute_ruler;
    struct spacy_lemmatizer *lemmatizer;
    struct spacy_entity_ruler *entity_ruler;
    struct spacy_retokenizer *retokenizer;
    struct spacy_sentencizer *sentencizer;
};

struct spacy_model {
    struct berth_model base; /* first */
    struct spacy_vocab *vocab;
    struct spacy_tokenizer *tokenizer;
    struct spacy_pipe pipes[SPACY_MAX_PIPES]; /* in the order in which they run */
    int n_pipes;
    struct spacy_scratch scratch;
    /* What a token of a session takes at most, beside its document: vectors, states, slots. */
    size_t token_bytes;
    struct berth_reservation *weights; /* `vector_bytes` of it are the word vectors' */
    size_t vector_bytes;

    /* of a turn: device thread */
    struct spacy_piece pieces[SPACY_ROWS];
    struct spacy_walk walks[SPACY_ROWS];
};

/* Columns of the vectors that a component reads; 0: it reads none. */
int64_t spacy_pipe_width(const struct spacy_pipe *p);

/* spacy_load.c. Loads what is not excluded by {"exclude", "name,name"}; as the contract's load. */
int spacy_load(const struct berth_load *load, struct berth_model **out, struct berth_error *err);
void spacy_unload(struct berth_model *model);
/* spacy_probe.c. As the contract's. */
int spacy_probe(const char *path, struct berth_model_info *out, struct berth_error *err);
int spacy_estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                   struct berth_error *err);

#endif

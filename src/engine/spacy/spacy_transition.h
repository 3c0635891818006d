/*
 * spacy_transition.h - what parser and entity recognizer share: the network that scores the moves
 * of a state machine, and the loop that walks many documents side by side.
 *
 * Of each token the network first makes its part in every role that it can play in a state; a
 * state's scores are then sums of such parts and one small product, one row for each document under
 * way. The state machines themselves (spacy_parser.h, spacy_ner.h) run on the host between
 * products, so a turn holds as many transitions as its tokens give, not one: most documents are
 * done in one turn, and a transition costs microseconds.
 *
 * A long document takes several turns, each with the parts of some tokens ahead; those of tokens
 * far behind are made when a state asks for them.
 *
 * Immutable after building; run on the device's thread.
 */
#ifndef SPACY_TRANSITION_H
#define SPACY_TRANSITION_H

#include "spacy/spacy_layers.h"
#include "spacy/spacy_package.h"
#include "spacy/spacy_scratch.h"
#include "spacy/spacy_strings.h"

enum { SPACY_MAX_FEATURES = 16, SPACY_MAX_MOVES = 8 };

/* The moves of a model, one for each class of the network: classes of one kind lie in few runs. */
struct spacy_moves {
    uint8_t *kinds;   /* [n] */
    uint64_t *labels; /* [n] */
    /* [n] of a label "plain||above", made where a tree was not projective: its parts; `above` is 0
     * of other labels. */
    uint64_t *plain, *above;
    int64_t n;
};

/* <name>/moves: msgpack {moves: text of JSON {kind: {label: frequency}}}. Classes are numbered by
 * kind, then falling frequency, then falling label; labels of negative frequency, which were added
 * later, behind them. With `entities`, kind 0 has no class and kind 5 only the empty label.
 * EFORMAT, ENOTFOUND, EIO, ENOMEM. */
int spacy_moves_load(struct spacy_package *p, const char *name, bool entities,
                     struct spacy_strings *strings, struct spacy_moves *out,
                     struct berth_error *err);
void spacy_moves_finish(struct spacy_moves *m); /* a zeroed one is allowed */

/* Which moves of a kind are valid in a state. */
struct spacy_valid {
    enum { SPACY_NONE, SPACY_ALL, SPACY_ONLY, SPACY_BUT } which; /* ONLY or all BUT `label` */
    uint64_t label;
};

/* The valid class with the largest score, the first of equals; -1: none is valid. */
int64_t spacy_moves_best(const struct spacy_moves *m,
                         const struct spacy_valid valid[SPACY_MAX_MOVES], const float *scores);

struct spacy_transition;

/* `moves` outlives it and has as many as the network has classes. */
int spacy_transition_load(const struct spacy_loader *l, const struct spacy_moves *moves,
                          struct spacy_transition **out);
int64_t spacy_transition_width(const struct spacy_transition *t); /* of the vectors it reads */
int spacy_transition_features(const struct spacy_transition *t);
void spacy_transition_need(const struct spacy_transition *t, struct spacy_scratch *scratch);
int spacy_transition_build(struct spacy_transition *t, struct spacy_scratch *scratch,
                           struct berth_error *err);
void spacy_transition_destroy(struct spacy_transition *t); /* NULL is allowed */

/* A state machine: parser or entity recognizer. */
struct spacy_machine {
    /* The tokens that the state looks at, -1 for none. */
    void (*context)(const void *state, int32_t *out);
    /* Takes the best valid move. */
    void (*advance)(void *state, const float *scores);
    bool (*ended)(const void *state);
    /* The first token that was never looked at as next. */
    uint32_t (*ahead)(const void *state);
};

/* One document's walk; `slots` is all 0 between turns. */
struct spacy_walk {
    const struct spacy_machine *machine;
    void *state;
    const float *vectors; /* [n, width], or NULL: zeros */
    int32_t *slots;       /* [n] */
    uint32_t n;
    uint32_t window; /* of this turn: tokens ahead whose parts are made at once, at least
                        the smaller of 4 and all that are left */
};

/* Walks n documents on, each until it has ended or has used up its window; windows are at most
 * SPACY_ROWS tokens in all. `walks` is put in another order. */
int spacy_transition_run(const struct spacy_transition *t, struct spacy_walk *walks, size_t n,
                         struct berth_error *err);

#endif

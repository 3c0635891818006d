/*
 * engine/marian/marian_search.h - the search for one sentence: which ids follow, and when it ends.
 *
 * Step for step what generate() of transformers (from 4.50 on) does with one sentence: greedy for
 * one beam, else beam search with its length penalty, its rule for stopping early and its forced
 * ids, in f32 as there. Ties go to the earlier beam, then to the smaller id.
 *
 *     begin -> [rows: n_live beams, each wants its top ids -> step]* until done
 *
 * Pure but for memory at begin. One owner.
 */
#ifndef BTH_MARIAN_SEARCH_H
#define BTH_MARIAN_SEARCH_H

#include "marian/marian_model.h"

struct marian_search_options {
    int beams, max_length; /* max_length counts the start id */
    float length_penalty;
    enum marian_early_stopping early_stopping;
    int32_t eos, forced_eos, forced_bos; /* forced: -1: none */
};

/* A chosen id. `mark`: the row of the search's steps that chose it, counted from 0; -1: forced. */
struct marian_choice {
    int32_t id, mark;
    float logprob;
};

struct marian_beam {
    struct marian_choice *choices; /* [max_length] */
    float score;                   /* running: the sum; finished: as it ranks */
    bool done;                     /* finished: this place is taken */
    int n, parent;                 /* parent: which live beam of the step before it goes on from */
};

struct marian_search {
    struct marian_search_options o;
    int n_live, length; /* live beams; ids so far, the start id included */
    int rows;           /* of all steps so far */
    bool done, open;
    struct marian_beam live[MARIAN_MAX_BEAMS], next[MARIAN_MAX_BEAMS], ended[MARIAN_MAX_BEAMS];
    struct marian_choice *memory; /* of all beams */
};

size_t marian_search_bytes(const struct marian_search_options *o);
/* ENOMEM; `s` is finished by the caller in any case. */
int marian_search_begin(struct marian_search *s, const struct marian_search_options *o,
                        struct berth_error *err);
void marian_search_finish(struct marian_search *s); /* a zeroed one is allowed */

/* Ids that each live beam has to be asked for. */
int marian_search_wants(const struct marian_search *s);
/* tops: [n_live], of the live beams in order. Afterwards live[i].parent says whose history it has.
 */
void marian_search_step(struct marian_search *s, const struct berth_top_out *tops);
/* Hypotheses in order of rank, in `ended`; after the end. */
int marian_search_ended(const struct marian_search *s);

#endif

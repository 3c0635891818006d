/*
 * engine/marian/marian_options.h - the options of a request and of a model, parsed and checked.
 *
 * MODEL.md lists them. Pure.
 */
#ifndef BTH_MARIAN_OPTIONS_H
#define BTH_MARIAN_OPTIONS_H

#include "marian/marian_model.h"

enum marian_task {
    MARIAN_TRANSLATE,
    MARIAN_TOKENIZE,  /* text -> ids */
    MARIAN_GENERATE,  /* rows of ids -> rows of ids */
    MARIAN_DETOKENIZE /* rows of ids -> texts */
};

struct marian_options {
    enum marian_task task;
    int beams;                /* 0: the model's */
    int max_length;           /* 0: the model's */
    double max_length_factor; /* NaN: the model's, unless there is a max_length */
    double length_penalty;    /* NaN: the model's */
    int early_stopping;       /* -1: the model's */
    int alternatives;
    bool token_scores, alignment, html, split, special_tokens, repetition_guard, cache;
    const char *target_lang; /* in the request; NULL: none */
    const char *glossary;    /* likewise: JSON */
    bool glossary_keep;
};

/* EINVAL: unknown name, bad value, or values that do not go together. */
int marian_options_parse(const struct berth_request *request, struct marian_options *out,
                         struct berth_error *err);

/* Of a model. */
struct marian_load_options {
    const char *source, *target; /* languages; NULL: from its name */
    int eights;                  /* products of i8: 0, 1, -1: as the device says */
    bool shortlist;
    size_t cache_bytes;
};
int marian_load_options_parse(const struct berth_load *load, struct marian_load_options *out,
                              struct berth_error *err);

/* "en" and "de" of ".../opus-mt-en-de", "en" and "pt" of ".../enpt-1693"; "" where it says nothing.
 */
void marian_languages_of(const char *path, char source[32], char target[32]);

#endif

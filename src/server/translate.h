/*
 * server/translate.h - texts through one model, or two by way of a third language.
 *
 * What LibreTranslate's and Berth's own route of translation share. A route fills in what it wants,
 * then bth_translate_begin hands all to the desk; the texts run side by side (work_many.h), and
 * `answer` writes the whole answer behind the last. Owned by the exchange's work.
 */
#ifndef BTH_TRANSLATE_H
#define BTH_TRANSLATE_H

#include "base/str.h"
#include "render/pairs.h"
#include "text/language.h"
#include <berth/types.h>
#include <jansson.h>

struct bth_exchange;

enum { BTH_TRANSLATE_TEXTS = 1 << 16, BTH_TRANSLATE_ALTERNATIVES = 15 };

struct bth_translate {
    json_t *values;  /* the request; the texts are its */
    const json_t *q; /* a text or an array of texts */
    size_t n;        /* texts */
    char source[BTH_LANGUAGE_BYTES], target[BTH_LANGUAGE_BYTES]; /* as they are known here */
    bool detected;                                               /* `source` was "auto" */
    double confidence;
    struct bth_pairs pairs;
    struct bth_pair_route route;
    bool html;
    int alternatives;
    char number[16]; /* the same as an option's value */
    char *glossary;  /* JSON, as the engine takes it; NULL: none. malloc's */

    /* A result of the last model, in order; then the answer. `text` is what the engine gave, also
     * where it is a toy without translations. */
    int (*result)(struct bth_translate *t, size_t i, const struct berth_item *item,
                  const char *text, struct berth_error *err);
    void (*answer)(struct bth_translate *t, struct bth_str *out);
    struct bth_str texts, more; /* theirs: JSON so far */

    /* its own */
    size_t leg, n_options; /* those of every leg */
    char **between;        /* [n] results of the first of two models */
};

/* One for an exchange, with all models there are in `pairs`. It goes with the exchange's work.
 * ENOMEM. */
int bth_translate_open(struct bth_exchange *x, struct bth_translate **out, struct berth_error *err);
/* Text i of q. */
const char *bth_translate_text(const struct bth_translate *t, size_t i, size_t *out_n);
/* The language of all texts together into `source` and `confidence`: the most likely one that some
 * model translates from, else the most likely of all; false: nothing is known. */
bool bth_translate_detect(struct bth_translate *t);
/* The models of the route: options checked, then the exchange is the desk's. The request has its
 * other options already. On failure nothing has begun. */
int bth_translate_begin(struct bth_exchange *x, struct bth_translate *t, struct berth_error *err);
/* Prepares the request alone, for a route that streams one text through one model. */
int bth_translate_prepare(struct bth_exchange *x, struct bth_translate *t, struct berth_error *err);

#endif

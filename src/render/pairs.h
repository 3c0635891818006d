/*
 * render/pairs.h - which models translate from which language to which, by their names.
 *
 * A model or an alias called "marian/en-pt" translates from English to Portuguese. Languages are
 * BCP 47's, whatever their case, "_" being as good as "-"; a region that no model has is left
 * out ("pt-BR" is then "pt"). The command and the server choose models by this.
 *
 * Zero-initialised is a valid empty list. One thread at a time.
 */
#ifndef BTH_PAIRS_H
#define BTH_PAIRS_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { BTH_LANGUAGE_BYTES = 32 };

struct bth_pair {
    char source[BTH_LANGUAGE_BYTES], target[BTH_LANGUAGE_BYTES];
    char model[64];
};

struct bth_pairs {
    struct bth_pair *all; /* [n] */
    size_t n, capacity;
};

/* Adds `model` if `name`, its name or alias, is a pair's; a pair that is there already stays.
 * ENOMEM. */
int bth_pairs_add(struct bth_pairs *p, const char *name, const char *model,
                  struct berth_error *err);
void bth_pairs_finish(struct bth_pairs *p);

/* One model, or two one after the other. */
struct bth_pair_route {
    const struct bth_pair *legs[2];
    size_t n;
};

/* From `source` to `target`: a model of that pair, else two by way of `pivot`. pivot NULL: one
 * model only; "auto": English or, if that does not do, the first language in between that does.
 * ENOTFOUND: the text lists what there is. */
int bth_pairs_route(const struct bth_pairs *p, const char *source, const char *target,
                    const char *pivot, struct bth_pair_route *out, struct berth_error *err);

/* Whether a and b are the same language; `loose`: but for regions and scripts. */
bool bth_same_language(const char *a, const char *b, bool loose);
/* The English name, "Portuguese"; the code itself when it is not known. */
const char *bth_language_name(const char *code);

#endif

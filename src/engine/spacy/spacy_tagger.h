/*
 * spacy_tagger.h - components that choose one class per token from its vector: tagger,
 * morphologizer, senter, and the scores of the trainable lemmatizer.
 *
 * On disk: <name>/model (a softmax layer above a listener or a network of its own), <name>/cfg
 * with the labels in class order.
 *
 * Immutable after building; run on the device's thread.
 */
#ifndef SPACY_TAGGER_H
#define SPACY_TAGGER_H

#include "spacy/spacy_edit_tree.h"
#include "spacy/spacy_layers.h"
#include "spacy/spacy_scratch.h"

enum spacy_tagger_kind { SPACY_TAGGER, SPACY_MORPHOLOGIZER, SPACY_SENTER, SPACY_EDIT_LEMMATIZER };

struct spacy_tagger;

/* l->file: <name>/model. EFORMAT, EUNSUPPORTED, ENOTFOUND, EIO, ENOMEM, EBUDGET. */
int spacy_tagger_load(const struct spacy_loader *l, enum spacy_tagger_kind kind,
                      const struct spacy_rule_source *source, struct spacy_tagger **out);
int64_t spacy_tagger_width(const struct spacy_tagger *t); /* of the vectors that it reads */
void spacy_tagger_need(const struct spacy_tagger *t, struct spacy_scratch *scratch);
int spacy_tagger_build(struct spacy_tagger *t, struct spacy_scratch *scratch,
                       struct berth_error *err);
void spacy_tagger_destroy(struct spacy_tagger *t); /* NULL is allowed */

/* Scores of the first `rows` vectors in scratch->x, to scratch->host_scores. */
int spacy_tagger_run(const struct spacy_tagger *t, uint32_t rows, struct berth_error *err);
/* Sets the attributes of tokens [begin, end) by their scores, those of `begin` in row `row`.
 * ENOMEM, ETOOLARGE. */
int spacy_tagger_apply(const struct spacy_tagger *t, struct spacy_doc *doc, uint32_t begin,
                       uint32_t end, uint32_t row, struct berth_error *err);

#endif

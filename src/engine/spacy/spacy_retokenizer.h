/*
 * spacy_retokenizer.h - components that change where tokens begin and end: merge_entities,
 * merge_noun_chunks, merge_subtokens, token_splitter; and doc_cleaner.
 *
 * A merged token has the attributes of the span's root, the lemmas of all its tokens and the last
 * row of the tensor; heads follow. Pieces of a split token are their own heads, as spaCy has it;
 * the tags that spaCy leaves on them are those of the tokens that stood there before.
 *
 * With word vectors, which a merged token would get one of, merging is refused. doc_cleaner may
 * forget the tensor, all else it could set is refused.
 */
#ifndef SPACY_RETOKENIZER_H
#define SPACY_RETOKENIZER_H

#include "spacy/spacy_rules.h"

struct spacy_retokenizer;

/* Whether a factory is one of these. */
bool spacy_retokenizer_is(const char *factory);
/* The factory is that of the settings. */
int spacy_retokenizer_load(const struct spacy_rule_source *source, struct spacy_retokenizer **out,
                           struct berth_error *err);
int spacy_retokenizer_run(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                          struct berth_error *err);
void spacy_retokenizer_destroy(struct spacy_retokenizer *r);

#endif

/*
 * spacy_noun_chunks.h - base noun phrases of a parsed document, by each language's rules in spaCy.
 */
#ifndef SPACY_NOUN_CHUNKS_H
#define SPACY_NOUN_CHUNKS_H

#include "spacy/spacy_doc.h"
#include <berth/error.h>

/* Whether there are rules for a language code ("en"). */
bool spacy_noun_chunks_known(const char *lang);

/* The chunks labelled "NP", in the document's arena, in the order in which spaCy gives them: that
 * of the text, in Turkish backwards. What comes out empty by a language's rules is left out. Needs
 * heads, labels and pos: ESTATE without a parse; EUNSUPPORTED: a language without rules; ENOMEM.
 * Any thread, a document each. */
int spacy_noun_chunks(struct spacy_doc *doc, const char *lang, struct spacy_span **out,
                      size_t *out_n, struct berth_error *err);

#endif

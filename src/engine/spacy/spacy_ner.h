/*
 * spacy_ner.h - the state machine of the entity recognizer: one move for each token, which begins,
 * goes on, ends or is a whole entity, or is outside of all; and what it leaves in a document.
 *
 * Entities that the document brings along (from an entity ruler) are kept, and none crosses the
 * start of a sentence that is known. A state belongs to one document; one owner at a time.
 */
#ifndef SPACY_NER_H
#define SPACY_NER_H

#include "spacy/spacy_doc.h"
#include "spacy/spacy_transition.h"

struct spacy_ner;

extern const struct spacy_machine spacy_ner_machine;

/* `features`: 3 or 6. `doc` and `moves` outlive it. NULL: out of memory. */
struct spacy_ner *spacy_ner_create(const struct spacy_moves *moves, int features,
                                   const struct spacy_doc *doc);
void spacy_ner_destroy(struct spacy_ner *s); /* NULL is allowed */
size_t spacy_ner_bytes(size_t n);            /* of the state of a document of n tokens */
bool spacy_ner_features(int features);

/* Writes the entities into the document. */
void spacy_ner_finish(struct spacy_ner *s, struct spacy_doc *doc);

#endif

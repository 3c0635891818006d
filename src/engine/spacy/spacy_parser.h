/*
 * spacy_parser.h - the state machine of the dependency parser (arc-eager, non-monotonic, with
 * breaks between sentences), and what it leaves in a document: heads, labels, sentence starts.
 *
 * A state belongs to one document; one owner at a time.
 */
#ifndef SPACY_PARSER_H
#define SPACY_PARSER_H

#include "spacy/spacy_doc.h"
#include "spacy/spacy_transition.h"

struct spacy_parse;

extern const struct spacy_machine spacy_parser_machine;

/* The start: reads the document's sentence starts as presets. `features`: 8 or 13. `doc` and
 * `moves` outlive it. NULL: out of memory. */
struct spacy_parse *spacy_parse_create(const struct spacy_moves *moves, int features,
                                       const struct spacy_doc *doc);
void spacy_parse_destroy(struct spacy_parse *s); /* NULL is allowed */
/* Bytes of the state of a document of n tokens. */
size_t spacy_parse_bytes(size_t n);

/* Whether a parser looks at so many tokens. */
bool spacy_parser_features(int features);

/* Writes the ended parse into its document. ENOMEM, ETOOLARGE (a tree that takes too long to make
 * whole). */
int spacy_parse_finish(struct spacy_parse *s, struct spacy_doc *doc, struct berth_error *err);

#endif

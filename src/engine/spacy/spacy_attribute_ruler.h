/*
 * spacy_attribute_ruler.h - the component that maps tags and words to part of speech, morphology
 * and lemma by token patterns.
 *
 * On disk: <name>/patterns, msgpack [{patterns: [pattern ...], attrs: {name: text}, index: int}].
 * All patterns are matched against the document as it was; then the attributes are set in the
 * order of the entries, so that later entries win.
 */
#ifndef SPACY_ATTRIBUTE_RULER_H
#define SPACY_ATTRIBUTE_RULER_H

#include "spacy/spacy_rules.h"

struct spacy_attribute_ruler;

int spacy_attribute_ruler_load(const struct spacy_rule_source *source,
                               struct spacy_attribute_ruler **out, struct berth_error *err);
/* From the bytes of the file, which are not needed afterwards; the strings outlive it. */
int spacy_attribute_ruler_parse(const void *bytes, size_t size, struct spacy_strings *strings,
                                struct spacy_attribute_ruler **out, struct berth_error *err);
/* Sets tag, pos, morph, lemma and whatever else entries name. EFORMAT
 * too: an index outside of a match. */
int spacy_attribute_ruler_run(const struct spacy_attribute_ruler *r, struct spacy_doc *doc,
                              struct berth_error *err);
void spacy_attribute_ruler_destroy(struct spacy_attribute_ruler *r);

#endif

/*
 * spacy_entity_ruler.h - entities by patterns: components entity_ruler and span_ruler.
 *
 * On disk: <name>/patterns.jsonl with <name>/cfg, or <name>.jsonl (entity_ruler); <name>/patterns
 * (span_ruler); lines {label, pattern, id?}, a pattern being a text or a list of tokens
 * (spacy_token_matcher.h). A text is tokenized and compared by phrase_matcher_attr, which must be
 * an attribute of words (ORTH, LOWER, NORM, SHAPE ...): others need the components before, and are
 * refused.
 *
 * Where several labels match the very same tokens, spaCy's entity_ruler takes one by the order of a
 * Python set; here it is the first in the file, token patterns before texts.
 *
 * Of span_ruler: what it does to entities (annotate_ents). Documents keep no named spans: without
 * annotate_ents it is refused.
 */
#ifndef SPACY_ENTITY_RULER_H
#define SPACY_ENTITY_RULER_H

#include "spacy/spacy_rules.h"

struct spacy_entity_ruler;

int spacy_entity_ruler_load(const struct spacy_rule_source *source, struct spacy_entity_ruler **out,
                            struct berth_error *err);
int spacy_span_ruler_load(const struct spacy_rule_source *source, struct spacy_entity_ruler **out,
                          struct berth_error *err);
/* From the lines of a pattern file, which are not needed afterwards; settings are source->config.
 */
int spacy_entity_ruler_parse(const struct spacy_rule_source *source, const char *lines, size_t size,
                             struct spacy_entity_ruler **out, struct berth_error *err);
int spacy_span_ruler_parse(const struct spacy_rule_source *source, const char *lines, size_t size,
                           struct spacy_entity_ruler **out, struct berth_error *err);
/* Sets ent_iob, ent_type, ent_id. */
int spacy_entity_ruler_run(const struct spacy_entity_ruler *r, struct spacy_doc *doc,
                           struct berth_error *err);
void spacy_entity_ruler_destroy(struct spacy_entity_ruler *r);

/* The entities of a document in order, as spaCy's doc.ents; how many. `out` has room for one per
 * token. */
size_t spacy_entities(const struct spacy_doc *doc, struct spacy_span *out);

#endif

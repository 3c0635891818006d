/*
 * spacy_lemmatizer.h - lemmas from tables: modes "lookup", "rule" and "pos_lookup".
 *
 * On disk: <name>/lookups/lookups.bin (spacy_lookups.h) with lemma_lookup, or lemma_rules,
 * lemma_exc and lemma_index, or lemma_lookup_<pos>. Which code reads them depends on the language,
 * as in spaCy. Not here: lemmas from a network (spacy_edit_tree.h), Russian and Ukrainian
 * (pymorphy3's dictionary).
 *
 * Answers are those of spaCy 3.8.7. Runs after what sets pos and morph.
 */
#ifndef SPACY_LEMMATIZER_H
#define SPACY_LEMMATIZER_H

#include "spacy/spacy_rules.h"

struct spacy_lemmatizer;

int spacy_lemmatizer_load(const struct spacy_rule_source *source, struct spacy_lemmatizer **out,
                          struct berth_error *err);
/* From lookups.bin, which it takes (also on failure: it is closed then), and the settings. */
int spacy_lemmatizer_parse(struct spacy_file *file, const json_t *config, const char *lang,
                           struct spacy_lemmatizer **out, struct berth_error *err);
/* Sets lemma where it is not set, everywhere with overwrite. */
int spacy_lemmatizer_run(const struct spacy_lemmatizer *l, struct spacy_doc *doc,
                         struct berth_error *err);
void spacy_lemmatizer_destroy(struct spacy_lemmatizer *l);

#endif

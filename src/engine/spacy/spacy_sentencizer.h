/*
 * spacy_sentencizer.h - sentences by punctuation alone.
 *
 * On disk: <name>.json {punct_chars: [text ...], overwrite}; or the settings of the same names.
 */
#ifndef SPACY_SENTENCIZER_H
#define SPACY_SENTENCIZER_H

#include "spacy/spacy_rules.h"

struct spacy_sentencizer;

int spacy_sentencizer_load(const struct spacy_rule_source *source, struct spacy_sentencizer **out,
                           struct berth_error *err);
/* Sets sent_start where it is not known, everywhere with overwrite. */
int spacy_sentencizer_run(const struct spacy_sentencizer *s, struct spacy_doc *doc,
                          struct berth_error *err);
void spacy_sentencizer_destroy(struct spacy_sentencizer *s);

#endif

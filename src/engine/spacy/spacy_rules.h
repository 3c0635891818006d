/*
 * spacy_rules.h - what every component without a network is loaded from.
 *
 * Such components share one shape: spacy_<kind>_load makes one from a source, spacy_<kind>_run
 * fills a document, spacy_<kind>_destroy frees it (NULL is allowed). Once loaded they never change:
 * run them from any thread, a document each. What is not supported is refused by name when loading
 * (EUNSUPPORTED), so that a pipeline never answers with less than was asked.
 *
 * Errors of every load: EFORMAT (damaged or unknown content, with the file's name), EUNSUPPORTED,
 * ENOTFOUND (a file that must be there), ETOOLARGE (over a limit), EIO, ENOMEM. Of every run:
 * ENOMEM, ETOOLARGE (a pattern that would run for ever).
 */
#ifndef SPACY_RULES_H
#define SPACY_RULES_H

#include "spacy/spacy_package.h"
#include "spacy/spacy_tokenizer.h"

/* All borrowed. The vocabulary outlives the component, the rest is needed while loading only. */
struct spacy_rule_source {
    struct spacy_package *package; /* NULL: a component without files, of its settings alone */
    const char *name;              /* of the component: its folder */
    const json_t *config;          /* block components.<name>; may be NULL: all defaults */
    struct spacy_vocab *vocab;
    const struct spacy_tokenizer *tokenizer; /* for phrases of entity rulers; may be NULL */
};

#endif

/*
 * tests/lib/spacy_docs.h - documents as spaCy gave them (tools/golden_spacy.py), to compare with.
 */
#ifndef BTH_TEST_SPACY_DOCS_H
#define BTH_TEST_SPACY_DOCS_H

#include <berth/engine.h>

struct spacy_docs_count {
    size_t docs, tokens,
        bad;       /* bad: tokens, spans and tensors that differ; the first are printed */
    double tensor; /* the largest difference */
};

/* Runs all documents of a file through a model in company, and adds up what was compared. `most`:
 * how many documents; 0: all. */
void spacy_docs_compare(struct berth_model *model, const char *path, size_t most,
                        struct spacy_docs_count *count);

/* A document as text, every bit of every number: equal texts, equal results. free() it. */
char *spacy_docs_print(const struct berth_item *item);

#endif

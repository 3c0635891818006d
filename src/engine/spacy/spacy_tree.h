/*
 * spacy_tree.h - the extent of subtrees, as spaCy's left_edge and right_edge have it.
 *
 * For projective trees an extent is the subtree's; for others it is what spaCy's rounds leave,
 * which everything that reads edges there (sentences, noun chunks) relies on.
 */
#ifndef SPACY_TREE_H
#define SPACY_TREE_H

#include "spacy/spacy_doc.h"
#include <berth/error.h>

struct spacy_edges {
    uint32_t *left, *right; /* [n] first and last token of each token's subtree */
    uint32_t *first;        /* [n + 1] where each token's children begin in `children` */
    uint32_t *children;     /* in order, left ones before right ones; without the token itself */
};

/* From the heads of the tokens, in the document's arena. ENOMEM. */
int spacy_edges_find(struct spacy_doc *doc, struct spacy_edges *out, struct berth_error *err);

#endif

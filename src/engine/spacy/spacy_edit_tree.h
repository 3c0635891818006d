/*
 * spacy_edit_tree.h - the trees of a trainable lemmatizer: how a word becomes its lemma.
 *
 * On disk: <name>/trees, msgpack {trees: [node ...]} of
 *   {prefix_len, suffix_len, prefix_tree, suffix_tree}: the two ends, in code points, go through
 *       trees (4294967295: become empty), the middle stays;
 *   {orig, subst}: ids of strings (vocab/strings.json), a word that equals orig becomes subst;
 * and <name>/cfg with `labels`: the tree of each class, in the order of the network's outputs.
 *
 * Not here: the network whose scores choose among the classes.
 */
#ifndef SPACY_EDIT_TREE_H
#define SPACY_EDIT_TREE_H

#include "base/str.h"
#include "spacy/spacy_rules.h"

struct spacy_edit_trees;

/* Settings: top_k, backoff ("orth", "lower", "norm" ... or null), overwrite. Loads the strings of
 * the vocabulary. */
int spacy_edit_trees_load(const struct spacy_rule_source *source, struct spacy_edit_trees **out,
                          struct berth_error *err);
void spacy_edit_trees_destroy(struct spacy_edit_trees *t);

/* Columns of the scores. */
size_t spacy_edit_trees_classes(const struct spacy_edit_trees *t);

/* From the bytes of the file, which are not needed afterwards, the labels of cfg and the settings.
 * The strings outlive it. */
int spacy_edit_trees_parse(const void *bytes, size_t size, const struct spacy_strings *strings,
                           const json_t *labels, const json_t *config,
                           struct spacy_edit_trees **out, struct berth_error *err);

/* The lemma of text[0, n), valid UTF-8, by the tree of a class, in place of what *out had. 1; 0:
 * does not apply; ENOMEM. */
int spacy_edit_trees_apply(const struct spacy_edit_trees *t, size_t class, const char *text,
                           size_t n, struct bth_str *out, struct berth_error *err);

/* Sets lemmas: per token the best class of which the tree applies, among the top_k; scores:
 * [doc->n, classes] f32, row-major. */
int spacy_edit_trees_run(const struct spacy_edit_trees *t, struct spacy_doc *doc,
                         const float *scores, struct berth_error *err);

#endif

/*
 * render/doc_text.h - a document as text for people and for other tools. Any thread.
 *
 * CoNLL-U: a block a sentence, ten columns. It knows no tokens of white space: they go into MISC,
 * as SpacesBefore or SpacesAfter of their neighbour (\s, \t, \n, \r, \p for |, \\), and the others
 * are numbered without them; what depended on one depends on its head. Entities are NER=B-ORG in
 * MISC. Labels are the model's: an English one has spaCy's, not those of Universal Dependencies,
 * but for "root".
 *
 * A table: a line a token, a blank line between sentences; only columns that anything has set.
 */
#ifndef BTH_DOC_TEXT_H
#define BTH_DOC_TEXT_H

#include "base/str.h"
#include <berth/types.h>

/* Appends; `name` is the document's, or NULL. `out->failed` says that memory was short. */
void bth_doc_conllu_write(struct bth_str *out, const struct berth_doc *doc, const char *name);
void bth_doc_table_write(struct bth_str *out, const struct berth_doc *doc);

#endif

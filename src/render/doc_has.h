/*
 * render/doc_has.h - whether anything has set an attribute of a document, as spaCy's
 * Doc.has_annotation() answers it; an empty document has everything. Any thread.
 */
#ifndef BTH_DOC_HAS_H
#define BTH_DOC_HAS_H

#include <berth/types.h>

enum bth_doc_part {
    BTH_HAS_TAG,
    BTH_HAS_POS,
    BTH_HAS_MORPH,
    BTH_HAS_LEMMA,
    BTH_HAS_DEP,
    BTH_HAS_ENTS,
    BTH_HAS_SENTS
};

bool bth_doc_has(const struct berth_doc *doc, enum bth_doc_part part);

#endif

/* server/reply_nlp.h - what a request wants of its documents, as the `at` of their replies. */
#ifndef BTH_REPLY_NLP_H
#define BTH_REPLY_NLP_H

#include "render/doc_json.h"

/* Offsets in the two upper bits, attributes below them. */
uint64_t bth_nlp_at(const struct bth_doc_json *how);

#endif

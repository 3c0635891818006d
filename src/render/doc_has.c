#include "render/doc_has.h"

#include <string.h>

static bool token_has(const struct berth_token *t, enum bth_doc_part part) {
    switch (part) {
    case BTH_HAS_TAG:
        return *t->tag;
    case BTH_HAS_POS:
        return *t->pos;
    case BTH_HAS_MORPH:
        /* most words have no features, and what sets the part of speech says so */
        return *t->morph || *t->pos;
    case BTH_HAS_LEMMA:
        return *t->lemma;
    case BTH_HAS_DEP:
        return *t->dep;
    case BTH_HAS_ENTS:
        return t->ent_iob != 0;
    case BTH_HAS_SENTS:
        return t->sent_start != 0;
    }
    return false;
}

bool bth_doc_has(const struct berth_doc *doc, enum bth_doc_part part) {
    bool sents = part == BTH_HAS_SENTS;
    if (doc->n_tokens == 0 || (sents && doc->n_tokens == 1)) {
        return true; /* one word is a sentence, whoever looks */
    }
    if (part == BTH_HAS_MORPH && strstr(doc->components, "morphologizer")) {
        return true;
    }
    for (size_t i = sents; i < doc->n_tokens; i++) { /* the first token always begins one */
        if (token_has(&doc->tokens[i], part)) {
            return true;
        }
    }
    return false;
}

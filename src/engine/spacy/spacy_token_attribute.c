#include "base/compiler.h"
#include "spacy/spacy_lexeme.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_token_spec.h"
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    int attribute;
} names[] = {
    {"IS_ALPHA", SPACY_IS_ALPHA},
    {"IS_ASCII", SPACY_IS_ASCII},
    {"IS_DIGIT", SPACY_IS_DIGIT},
    {"IS_LOWER", SPACY_IS_LOWER},
    {"IS_PUNCT", SPACY_IS_PUNCT},
    {"IS_SPACE", SPACY_IS_SPACE},
    {"IS_TITLE", SPACY_IS_TITLE},
    {"IS_UPPER", SPACY_IS_UPPER},
    {"LIKE_URL", SPACY_LIKE_URL},
    {"LIKE_NUM", SPACY_LIKE_NUM},
    {"LIKE_EMAIL", SPACY_LIKE_EMAIL},
    {"IS_STOP", SPACY_IS_STOP},
    {"IS_BRACKET", SPACY_IS_BRACKET},
    {"IS_QUOTE", SPACY_IS_QUOTE},
    {"IS_LEFT_PUNCT", SPACY_IS_LEFT_PUNCT},
    {"IS_RIGHT_PUNCT", SPACY_IS_RIGHT_PUNCT},
    {"IS_CURRENCY", SPACY_IS_CURRENCY},
    {"ORTH", SPACY_ORTH},
    {"TEXT", SPACY_ORTH},
    {"LOWER", SPACY_LOWER},
    {"NORM", SPACY_NORM},
    {"SHAPE", SPACY_SHAPE},
    {"PREFIX", SPACY_PREFIX},
    {"SUFFIX", SPACY_SUFFIX},
    {"LENGTH", SPACY_LENGTH},
    {"LEMMA", SPACY_LEMMA},
    {"POS", SPACY_POS},
    {"TAG", SPACY_TAG},
    {"DEP", SPACY_DEP},
    {"ENT_IOB", SPACY_ENT_IOB},
    {"ENT_TYPE", SPACY_ENT_TYPE},
    {"HEAD", SPACY_HEAD},
    {"SENT_START", SPACY_SENT_START},
    {"IS_SENT_START", SPACY_SENT_START},
    {"SPACY", SPACY_SPACY},
    {"ENT_KB_ID", SPACY_ENT_KB_ID},
    {"MORPH", SPACY_MORPH},
    {"ENT_ID", SPACY_ENT_ID},
    {"IDX", SPACY_IDX},
};

int spacy_attribute_find(const char *name) {
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (strcasecmp(names[i].name, name) == 0) {
            return names[i].attribute;
        }
    }
    return 0;
}

bool spacy_attribute_lexical(int attribute) {
    return attribute > 0 && attribute <= SPACY_LENGTH;
}

static uint64_t lexical(const struct spacy_token *t, int attribute) {
    switch (attribute) {
    case SPACY_ORTH:
        return t->lex->orth;
    case SPACY_LOWER:
        return t->lex->lower;
    case SPACY_NORM:
        return t->norm ? t->norm : t->lex->norm;
    case SPACY_SHAPE:
        return t->lex->shape;
    case SPACY_PREFIX:
        return t->lex->prefix;
    case SPACY_SUFFIX:
        return t->lex->suffix;
    case SPACY_LENGTH:
        return t->lex->length;
    default:
        return t->lex->flags >> attribute & 1;
    }
}

uint64_t spacy_token_attribute(const struct spacy_doc *doc, size_t i, int attribute) {
    const struct spacy_token *t = &doc->tokens[i];
    switch (attribute) {
    case SPACY_LEMMA:
        return t->lemma;
    case SPACY_POS:
        return t->pos;
    case SPACY_TAG:
        return t->tag;
    case SPACY_DEP:
        return t->dep;
    case SPACY_ENT_IOB:
        return t->ent_iob;
    case SPACY_ENT_TYPE:
        return t->ent_type;
    case SPACY_HEAD: /* as spaCy stores it: relative, wrapping below 0 */
        return (uint64_t)(t->head - (int64_t)i);
    case SPACY_SENT_START:
        return t->sent_start == 1;
    case SPACY_SPACY:
        return t->space;
    case SPACY_ENT_KB_ID:
        return t->ent_kb_id;
    case SPACY_MORPH:
        return t->morph;
    case SPACY_ENT_ID:
        return t->ent_id;
    case SPACY_IDX:
        return t->idx;
    default:
        return lexical(t, attribute);
    }
}

const char *spacy_token_attribute_text(const struct spacy_doc *doc, size_t i, int attribute,
                                       size_t *out_n) {
    const struct spacy_token *t = &doc->tokens[i];
    const char *text = NULL;
    switch (attribute) {
    case SPACY_ORTH:
    case SPACY_LOWER:
    case SPACY_SHAPE:
    case SPACY_PREFIX:
    case SPACY_SUFFIX:
        return spacy_lexeme_text(t->lex, attribute, out_n);
    case SPACY_NORM:
        text = spacy_token_norm(doc, t);
        break;
    case SPACY_POS:
        text = spacy_pos_name(t->pos);
        break;
    case SPACY_LEMMA:
    case SPACY_TAG:
    case SPACY_DEP:
    case SPACY_ENT_TYPE:
    case SPACY_ENT_KB_ID:
    case SPACY_MORPH:
    case SPACY_ENT_ID:
        text = spacy_strings_get(doc->strings, spacy_token_attribute(doc, i, attribute));
        text = text ? text : "";
        break;
    default:
        return NULL;
    }
    *out_n = strlen(text);
    return text;
}

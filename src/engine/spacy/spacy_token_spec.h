/*
 * spacy_token_spec.h - one object of a token pattern, and the attributes of tokens it asks for.
 *
 * Not here: how often a token may match and in which order (spacy_token_matcher.h).
 */
#ifndef SPACY_TOKEN_SPEC_H
#define SPACY_TOKEN_SPEC_H

#include "spacy/spacy_doc.h"
#include "spacy/spacy_pattern.h"
#include <berth/error.h>
#include <jansson.h>

/* spaCy's numbers of attributes; flags are enum spacy_flag. */
enum spacy_attribute {
    SPACY_ORTH = 65,
    SPACY_LOWER,
    SPACY_NORM,
    SPACY_SHAPE,
    SPACY_PREFIX,
    SPACY_SUFFIX,
    SPACY_LENGTH,
    SPACY_LEMMA = 73,
    SPACY_POS,
    SPACY_TAG,
    SPACY_DEP,
    SPACY_ENT_IOB,
    SPACY_ENT_TYPE,
    SPACY_HEAD,
    SPACY_SENT_START,
    SPACY_SPACY,
    SPACY_ENT_KB_ID = 452,
    SPACY_MORPH,
    SPACY_ENT_ID,
    SPACY_IDX
};

/* By name in any case ("lower", "TEXT", "IS_PUNCT"); 0: none that is supported. */
int spacy_attribute_find(const char *name);
/* Whether it follows from the text of the word alone. */
bool spacy_attribute_lexical(int attribute);
/* Its value as spaCy's Matcher sees it. */
uint64_t spacy_token_attribute(const struct spacy_doc *doc, size_t i, int attribute);
/* Its text; NULL: not an attribute with a text. Valid as long as the document. */
const char *spacy_token_attribute_text(const struct spacy_doc *doc, size_t i, int attribute,
                                       size_t *out_n);

/* A compiled object: all of its conditions must hold. */
struct spacy_token_spec {
    struct spacy_equals {
        int attribute;
        uint64_t value;
    } * equals;
    size_t n_equals;
    struct spacy_condition *conditions;
    size_t n_conditions;
};

/* From a JSON object without regard to OP; texts are added to `strings`. EFORMAT, EUNSUPPORTED,
 * ETOOLARGE, ENOMEM; what was made so far is freed. */
int spacy_token_spec_parse(struct spacy_strings *strings, const json_t *object,
                           struct spacy_token_spec *out, struct berth_error *err);
void spacy_token_spec_finish(struct spacy_token_spec *s); /* a zeroed one is allowed */
/* Whether testing needs scratch for regular expressions. */
bool spacy_token_spec_searches(const struct spacy_token_spec *s);

/* 1 the token matches, 0 it does not; ETOOLARGE, ENOMEM. */
int spacy_token_spec_test(const struct spacy_token_spec *s, const struct spacy_doc *doc, size_t i,
                          struct spacy_matcher *scratch, struct berth_error *err);

#endif

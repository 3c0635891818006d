/*
 * spacy_doc.h - a document between the components of a pipeline: what the tokenizer makes, the
 * networks and the rules fill, and the result is written from.
 *
 * Ids are spaCy's (spacy_strings.h); 0 is "not set". One owner thread at a time. All memory comes
 * from the document's arena and is freed with it.
 */
#ifndef SPACY_DOC_H
#define SPACY_DOC_H

#include "base/arena.h"
#include "spacy/spacy_strings.h"
#include <stdbool.h>

/* Bits of spacy_lexeme.flags: bit n for spaCy's flag n. */
enum spacy_flag {
    SPACY_IS_ALPHA = 1,
    SPACY_IS_ASCII,
    SPACY_IS_DIGIT,
    SPACY_IS_LOWER,
    SPACY_IS_PUNCT,
    SPACY_IS_SPACE,
    SPACY_IS_TITLE,
    SPACY_IS_UPPER,
    SPACY_LIKE_URL,
    SPACY_LIKE_NUM,
    SPACY_LIKE_EMAIL,
    SPACY_IS_STOP,
    SPACY_IS_BRACKET = 14,
    SPACY_IS_QUOTE,
    SPACY_IS_LEFT_PUNCT,
    SPACY_IS_RIGHT_PUNCT,
    SPACY_IS_CURRENCY
};

/* What follows from a word's text and the language alone. Tokens of the same text often share one,
 * but need not: compare orth. */
struct spacy_lexeme {
    const char *text; /* [bytes] NUL-terminated */
    uint32_t bytes;
    uint32_t length; /* code points */
    uint64_t orth, lower, norm, prefix, suffix, shape;
    const char *lower_text, *norm_text, *shape_text; /* NUL-terminated; spacy_lexeme.h has more */
    uint32_t flags;
    int32_t vector; /* row of the model's vectors, -1: none */
};

enum spacy_iob { SPACY_IOB_MISSING, SPACY_IOB_I, SPACY_IOB_O, SPACY_IOB_B };

struct spacy_token {
    const struct spacy_lexeme *lex;
    uint32_t begin, end; /* bytes of the text */
    uint32_t idx;        /* code points before it */
    bool space;          /* one ASCII space follows and belongs to it */
    uint8_t pos;         /* 84 ADJ .. 103 SPACE, 0 not set */
    uint8_t ent_iob;     /* enum spacy_iob */
    int8_t sent_start;   /* 1 begins a sentence, -1 does not, 0 not known */
    int32_t head;        /* index of the head, itself for a root or without a parse */
    uint64_t norm;       /* an exception's own, else the lexeme's */
    uint64_t tag, morph, lemma, dep, ent_type, ent_id, ent_kb_id;
};

/* Tokens [begin, end). */
struct spacy_span {
    uint32_t begin, end;
    uint64_t label, id, kb_id;
};

struct spacy_doc {
    struct bth_arena arena;
    struct spacy_strings *strings; /* the document's own, above the model's */
    const char *text;              /* valid UTF-8, not NUL-terminated; the caller's */
    size_t bytes;
    struct spacy_token *tokens; /* [n] */
    size_t n;
    float *tensor; /* [n, tensor_width] f32 of the shared tok2vec, or NULL */
    size_t tensor_width;
    bool parsed; /* heads and labels are set */
};

#endif

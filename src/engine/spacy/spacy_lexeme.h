/*
 * spacy_lexeme.h - what follows from the text of a word: spaCy's lexical attributes.
 *
 * Ids of a lexeme's attributes are in no string store: their texts lie beside them (lower_text
 * ...). Whoever puts such an id into a token's tag, lemma and the like adds the text to the
 * document's strings.
 */
#ifndef SPACY_LEXEME_H
#define SPACY_LEXEME_H

#include "spacy/spacy_doc.h"
#include "spacy/spacy_lookups.h"
#include "spacy/spacy_words.h"

/* What lexemes are made by. Borrowed. */
struct spacy_lexeme_rules {
    const struct spacy_words *words;     /* of the language; may be NULL */
    const struct spacy_table *norms;     /* table lexeme_norm; may be NULL */
    const struct spacy_vectors *vectors; /* may be NULL */
    const struct spacy_pattern *url;     /* what LIKE_URL asks last; may be NULL */
};

/* Makes the lexeme of text[0, n), valid UTF-8 and n > 0, in an arena: its memory is the arena's.
 * NULL: out of memory. Any thread, an arena each. */
struct spacy_lexeme *spacy_lexeme_make(const struct spacy_lexeme_rules *rules,
                                       struct bth_arena *arena, const char *text, size_t n);

/* The bytes that a lexeme takes with its texts, and a copy in as many bytes, aligned for any type.
 */
size_t spacy_lexeme_size(const struct spacy_lexeme *lex);
void spacy_lexeme_copy(void *to, const struct spacy_lexeme *lex);

/* The text of an attribute of a lexeme: ORTH 65, LOWER 66, NORM 67, SHAPE 68; PREFIX 69 and
 * SUFFIX 70 too. bytes[0, *out_n); NULL: another attribute. */
const char *spacy_lexeme_text(const struct spacy_lexeme *lex, int attribute, size_t *out_n);

/* A token's norm: its exception's own, else its lexeme's. NUL-terminated. */
const char *spacy_token_norm(const struct spacy_doc *doc, const struct spacy_token *token);

#endif

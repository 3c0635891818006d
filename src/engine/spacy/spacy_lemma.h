/*
 * spacy_lemma.h - tables of a lemmatizer and the words it reads: what spacy_lemmatizer.c and the
 * languages' own files share.
 */
#ifndef SPACY_LEMMA_H
#define SPACY_LEMMA_H

#include "base/str.h"
#include "spacy/spacy_doc.h"
#include "spacy/spacy_lookups.h"
#include <stdbool.h>

struct spacy_text {
    const char *p;
    size_t n;
};
/* Ids of parts of speech, 84 ADJ ... */
#define SPACY_FIRST_POS     84
#define SPACY_N_POS         20
#define SPACY_TEXT(literal) ((struct spacy_text){literal, sizeof(literal) - 1})

bool spacy_text_is(struct spacy_text a, struct spacy_text b);
bool spacy_text_ends(struct spacy_text s, struct spacy_text end);
bool spacy_text_begins(struct spacy_text s, struct spacy_text begin);

/* Words with or without a value each; searched by halving, so that no file makes it slow. */
struct spacy_word_map {
    struct spacy_word_entry *entries; /* [n] by text */
    size_t n;
};
/* From a list of texts or a map; NULL gives an empty one. EFORMAT, ENOMEM. */
int spacy_word_map_init(struct spacy_word_map *m, const msgpack_object *o, struct berth_error *err);
void spacy_word_map_finish(struct spacy_word_map *m);
/* The value of a word; of a list, the word itself; NULL: not there. */
const msgpack_object *spacy_word_map_get(const struct spacy_word_map *m, struct spacy_text word);

/* Pairs of texts: what to cut off, what to put there. A longer list is refused. */
#define SPACY_LEMMA_MAX_RULES 4096
struct spacy_lemma_rules {
    struct spacy_lemma_rule {
        struct spacy_text old, new;
    } * items;
    size_t n;
};
int spacy_lemma_rules_init(struct spacy_lemma_rules *r, const msgpack_object *o,
                           struct berth_error *err);
void spacy_lemma_rules_finish(struct spacy_lemma_rules *r);

/* What rule mode has for a part of speech. */
struct spacy_lemma_pos {
    struct spacy_word_map index, exceptions;
    struct spacy_lemma_rules rules;
};
struct spacy_lemma_tables {
    struct spacy_lookups *lookups;
    const struct spacy_table *lookup; /* lemma_lookup, NULL: none */
    struct spacy_lemma_pos pos[SPACY_N_POS];
    const struct spacy_table *by_pos[SPACY_N_POS]; /* lemma_lookup_<pos>, NULL: none */
    const struct spacy_table *other;               /* lemma_lookup_other, NULL: none */
    struct spacy_spanish *spanish;                 /* NULL: another language */
};

/* The tables of rule mode of one part of speech; never NULL for ids of parts of speech. */
const struct spacy_lemma_pos *spacy_lemma_of(const struct spacy_lemma_tables *t, unsigned pos);

/* Forms of a word in the order found, without duplicates. */
struct spacy_forms {
    struct bth_str text;
    struct spacy_form {
        size_t at, n;
    } * items;
    size_t n, room;
    bool failed; /* out of memory */
};
void spacy_forms_add(struct spacy_forms *f, struct spacy_text a, struct spacy_text b);
struct spacy_text spacy_forms_at(const struct spacy_forms *f, size_t i);
bool spacy_forms_has(const struct spacy_forms *f, struct spacy_text s);
void spacy_forms_clear(struct spacy_forms *f);
void spacy_forms_finish(struct spacy_forms *f);

/* A token as a lemmatizer sees it, with the scratch of its run. Texts of an answer live in the
 * tables, the document or the forms: until the next word. */
struct spacy_word {
    const struct spacy_token *token;
    struct spacy_text text, lower;
    const char *morph; /* normal form, "" for none */
    unsigned pos;      /* 0 in mode pos_lookup only */
    struct spacy_forms forms, unknown;
};

/* A text value, or the first of a list of texts; whether it is one. o may be NULL. */
bool spacy_lemma_first(const msgpack_object *o, struct spacy_text *out);
/* One of the exceptions of a word; false: there are no more. A text in place of a list is taken as
 * Python takes it, as a list of characters. o may be NULL. */
bool spacy_lemma_exception(const msgpack_object *o, size_t i, struct spacy_text *out);
/* The value of a word in a table of texts, or what is given. */
struct spacy_text spacy_lemma_lookup(const struct spacy_table *t, struct spacy_text word,
                                     struct spacy_text otherwise);
/* Applies suffix rules: forms that are known or not alphabetic, and, unless NULL, the others. */
void spacy_lemma_apply(const struct spacy_lemma_pos *pos, struct spacy_text word,
                       struct spacy_forms *forms, struct spacy_forms *unknown);

/* Languages: the lemma of a word. In rule mode never of one without part of speech. */
struct spacy_text spacy_lemma_generic(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_english(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_macedonian(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_french(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_greek(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_dutch(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_italian(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_polish(const struct spacy_lemma_tables *t, struct spacy_word *w);
struct spacy_text spacy_lemma_spanish(const struct spacy_lemma_tables *t, struct spacy_word *w);

/* Spanish has rules by morphology: lemma_rules_groups. */
int spacy_spanish_load(const struct spacy_lookups *lookups, struct spacy_spanish **out,
                       struct berth_error *err);
void spacy_spanish_destroy(struct spacy_spanish *s); /* NULL is allowed */

#endif

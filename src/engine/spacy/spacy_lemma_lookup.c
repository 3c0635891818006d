/* Mode pos_lookup: a table for each part of speech, with what Italian and Polish add. */
#include "spacy/spacy_lemma.h"
#include <string.h>

enum pos { ADJ = 84, ADP, DET = 90, NOUN = 92, PART = 94, PRON, PROPN, VERB = 100 };

static const struct spacy_table *table(const struct spacy_lemma_tables *t, unsigned pos) {
    return pos < SPACY_FIRST_POS ? NULL : t->by_pos[pos - SPACY_FIRST_POS];
}

static bool is_one_of(struct spacy_text word, const char *const *list) {
    for (; *list; list++) {
        if (spacy_text_is(word, (struct spacy_text){*list, strlen(*list)})) {
            return true;
        }
    }
    return false;
}

/* Nouns may be names tagged wrongly: with capitals the small ones are looked for first. */
static struct spacy_text noun(const struct spacy_table *t, const struct spacy_word *w) {
    if (spacy_text_is(w->text, w->lower)) {
        return spacy_lemma_lookup(t, w->text, w->text);
    }
    return spacy_lemma_lookup(t, w->lower, spacy_lemma_lookup(t, w->text, w->lower));
}

/* ---- Italian --------------------------------------------------------------------------------*/

/* What Italian's tables have for the short forms of "alcuno" and "qualcuno". */
static struct spacy_text lengthen(struct spacy_text lemma) {
    if (spacy_text_is(lemma, SPACY_TEXT("alcun"))) {
        return SPACY_TEXT("alcuno");
    }
    return spacy_text_is(lemma, SPACY_TEXT("qualcun")) ? SPACY_TEXT("qualcuno") : lemma;
}

static struct spacy_text italian_other(const struct spacy_lemma_tables *t,
                                       const struct spacy_table *own, const struct spacy_word *w) {
    struct spacy_text word = w->pos == PROPN ? w->text : w->lower, none = SPACY_TEXT("");
    struct spacy_text lemma = spacy_lemma_lookup(own, word, none);
    if (lemma.n == 0) {
        lemma = spacy_lemma_lookup(t->other, word, none);
    }
    return lemma.n > 0 ? lemma : spacy_lemma_lookup(t->lookup, word, w->lower);
}

struct spacy_text spacy_lemma_italian(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    static const char *const the[] = {"l'", "lo", "la", "i", "gli", "le", NULL};
    static const char *const him[] = {"l'", "li", "la", "gli", "le", NULL};
    static const char *const one[] = {"un'", "un", "una", NULL};
    const struct spacy_table *own = table(t, w->pos == PROPN  ? NOUN
                                             : w->pos == PART ? PRON
                                                              : w->pos);
    switch (w->pos) {
    case NOUN:
        return noun(own, w);
    case DET:
    case PRON:
        if (is_one_of(w->lower, w->pos == DET ? the : him)) {
            return w->pos == DET ? SPACY_TEXT("il") : SPACY_TEXT("lo");
        }
        if (is_one_of(w->lower, one)) {
            return SPACY_TEXT("uno");
        }
        break;
    case ADP:
        if (spacy_text_is(w->lower, SPACY_TEXT("d'"))) {
            return SPACY_TEXT("di");
        }
        break;
    case ADJ:
        break;
    default:
        return italian_other(t, own, w);
    }
    struct spacy_text lemma = spacy_lemma_lookup(own, w->lower, w->lower);
    return w->pos == PRON || w->pos == ADJ ? lengthen(lemma) : lemma;
}

/* ---- Polish ---------------------------------------------------------------------------------*/

/* The word without what it begins with, in the table; whether it is there. */
static bool without(const struct spacy_table *t, struct spacy_text *word, struct spacy_text begin,
                    struct spacy_text *out) {
    if (!spacy_text_begins(*word, begin)) {
        return false;
    }
    word->p += begin.n;
    word->n -= begin.n;
    return spacy_lemma_first(spacy_table_get(t, spacy_string_id(word->p, word->n)), out);
}

/* Adjectives may begin with "nie" (un-) and "naj" (-est), verbs with "nie". */
static bool unprefixed(const struct spacy_table *t, const struct spacy_word *w,
                       struct spacy_text *out) {
    struct spacy_text nie = w->lower, naj, most = w->lower, lemma;
    bool negated = spacy_text_begins(nie, SPACY_TEXT("nie"));
    bool found = without(t, &nie, SPACY_TEXT("nie"), &lemma);
    naj = nie;
    if (w->pos == ADJ && negated && without(t, &naj, SPACY_TEXT("naj"), out)) {
        return true;
    }
    if (found) {
        *out = lemma;
        return true;
    }
    return w->pos == ADJ && without(t, &most, SPACY_TEXT("naj"), out);
}

struct spacy_text spacy_lemma_polish(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    const struct spacy_table *own = table(t, w->pos == PROPN ? NOUN : w->pos);
    struct spacy_text lemma;
    if (w->pos == NOUN) {
        return noun(own, w);
    }
    if ((w->pos == ADJ || w->pos == VERB) && unprefixed(own, w, &lemma)) {
        return lemma;
    }
    return spacy_lemma_lookup(own, w->pos == PROPN ? w->text : w->lower, w->lower);
}

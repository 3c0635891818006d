/* Rule mode: suffix rules, lists of known words and of exceptions, by part of speech. */
#include "spacy/spacy_lemma.h"
#include "spacy/spacy_morph.h"
#include <string.h>

enum pos {
    ADJ = 84,
    ADP,
    ADV,
    AUX,
    CCONJ = 89,
    DET,
    NOUN = 92,
    NUM,
    PRON = 95,
    PROPN,
    PUNCT,
    SCONJ,
    VERB = 100
};

static struct spacy_text first_form(const struct spacy_forms *f) {
    return spacy_forms_at(f, 0);
}

/* Exceptions that are no forms yet go before the others, each before the one before it: so the last
 * such one is the lemma. */
static bool last_exception(const struct spacy_forms *forms, const msgpack_object *list,
                           struct spacy_text *out) {
    bool found = false;
    struct spacy_text form, before;
    for (size_t i = 0; spacy_lemma_exception(list, i, &form); i++) {
        bool known = spacy_forms_has(forms, form);
        for (size_t k = 0; k < i && !known; k++) {
            known = spacy_lemma_exception(list, k, &before) && spacy_text_is(before, form);
        }
        if (!known) {
            *out = form;
            found = true;
        }
    }
    return found;
}

/* Forms that are known, exceptions before them, else what rules make of unknown
 * words, else the word. */
static struct spacy_text by_rules(const struct spacy_lemma_pos *pos, struct spacy_word *w,
                                  struct spacy_text lower, struct spacy_text otherwise,
                                  bool unknown) {
    struct spacy_text lemma;
    spacy_lemma_apply(pos, lower, &w->forms, unknown ? &w->unknown : NULL);
    if (last_exception(&w->forms, spacy_word_map_get(&pos->exceptions, lower), &lemma)) {
        return lemma;
    }
    if (w->forms.n > 0) {
        return first_form(&w->forms);
    }
    return w->unknown.n > 0 ? first_form(&w->unknown) : otherwise;
}

static bool is_empty(const struct spacy_lemma_pos *pos) {
    return pos->index.n == 0 && pos->exceptions.n == 0 && pos->rules.n == 0;
}

struct spacy_text spacy_lemma_generic(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    const struct spacy_lemma_pos *pos = spacy_lemma_of(t, w->pos);
    if (is_empty(pos)) {
        return w->pos == PROPN ? w->text : w->lower;
    }
    return by_rules(pos, w, w->lower, w->text, true);
}

/* ---- English --------------------------------------------------------------------------------*/

static bool has(const struct spacy_word *w, const char *feature, const char *value) {
    const char *found;
    size_t n;
    return spacy_morph_find(w->morph, feature, &found, &n) && n == strlen(value) &&
           memcmp(found, value, n) == 0;
}

/* Whether the word is inflected in no way. */
static bool is_base_form(const struct spacy_word *w) {
    if ((w->pos == NOUN && has(w, "Number", "Sing")) ||
        (w->pos == VERB && has(w, "VerbForm", "Fin") && has(w, "Tense", "Pres") &&
         !spacy_morph_find(w->morph, "Number", NULL, NULL))) {
        return true;
    }
    return has(w, "VerbForm", "Inf") || has(w, "VerbForm", "None") || has(w, "Degree", "Pos");
}

struct spacy_text spacy_lemma_english(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    return is_base_form(w) ? w->lower : spacy_lemma_generic(t, w);
}

/* ---- Macedonian -----------------------------------------------------------------------------*/

struct spacy_text spacy_lemma_macedonian(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    unsigned pos_id = w->pos;
    struct spacy_text text = w->text, lower = w->lower, participle = SPACY_TEXT("јќи");
    if (spacy_text_ends(text, participle)) {
        /* those letters are small ones, and lower-casing what stands before leaves them alone */
        text.n -= participle.n;
        lower.n -= participle.n;
        pos_id = VERB;
    }
    const struct spacy_lemma_pos *pos = spacy_lemma_of(t, pos_id);
    if (is_empty(pos)) {
        return pos_id == PROPN ? text : lower;
    }
    return by_rules(pos, w, lower, text, false);
}

/* ---- French, Catalan and Greek --------------------------------------------------------------*/

/* Known words stay, exceptions come next and in their order, rules only without any. */
static bool known_first(const struct spacy_lemma_pos *pos, struct spacy_word *w,
                        struct spacy_text *out) {
    if (spacy_word_map_get(&pos->index, w->lower)) {
        *out = w->lower;
        return true;
    }
    if (spacy_lemma_exception(spacy_word_map_get(&pos->exceptions, w->lower), 0, out)) {
        return true;
    }
    spacy_lemma_apply(pos, w->lower, &w->forms, &w->unknown);
    const struct spacy_forms *f = w->forms.n > 0 ? &w->forms : &w->unknown;
    if (f->n > 0) {
        *out = first_form(f);
    }
    return f->n > 0;
}

/* spaCy takes the first item of what the table has, which of a text is its first character. */
static struct spacy_text first_of_lookup(const struct spacy_table *t, struct spacy_text word) {
    const msgpack_object *o = spacy_table_get(t, spacy_string_id(word.p, word.n));
    struct spacy_text found;
    if (!spacy_lemma_first(o, &found)) {
        return word;
    }
    if (o->type != MSGPACK_OBJECT_ARRAY && found.n > 0) {
        uint32_t c;
        found.n = bth_utf8_decode(found.p, found.n, &c);
    }
    return found;
}

struct spacy_text spacy_lemma_french(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    struct spacy_text lemma;
    switch (w->pos) {
    case NOUN:
    case VERB:
    case ADJ:
    case ADP:
    case ADV:
    case AUX:
    case CCONJ:
    case DET:
    case PRON:
    case PUNCT:
    case SCONJ:
        return known_first(spacy_lemma_of(t, w->pos), w, &lemma)
                   ? lemma
                   : first_of_lookup(t->lookup, w->lower);
    default:
        return spacy_lemma_lookup(t->lookup, w->text, w->text);
    }
}

struct spacy_text spacy_lemma_greek(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    struct spacy_text lemma;
    return known_first(spacy_lemma_of(t, w->pos), w, &lemma) ? lemma : w->lower;
}

/* ---- Dutch ----------------------------------------------------------------------------------*/

/* What rules make that is known; else that which is an exception, else what the table says. */
static struct spacy_text dutch_rules(const struct spacy_lemma_pos *pos, struct spacy_word *w,
                                     const struct spacy_text *looked_up) {
    struct spacy_forms *f = &w->forms;
    for (size_t i = 0; i < pos->rules.n; i++) {
        const struct spacy_lemma_rule *rule = &pos->rules.items[i];
        if (!spacy_text_ends(w->lower, rule->old) || w->lower.n - rule->old.n + rule->new.n == 0) {
            continue;
        }
        size_t before = f->n;
        spacy_forms_add(f, (struct spacy_text){w->lower.p, w->lower.n - rule->old.n}, rule->new);
        if (f->n > before && spacy_word_map_get(&pos->index, spacy_forms_at(f, before))) {
            return spacy_forms_at(f, before);
        }
    }
    for (size_t i = 0; i < f->n; i++) {
        if (spacy_word_map_get(&pos->exceptions, spacy_forms_at(f, i))) {
            return spacy_forms_at(f, i);
        }
    }
    if (looked_up) {
        return *looked_up;
    }
    return f->n > 0 ? first_form(f) : w->lower;
}

struct spacy_text spacy_lemma_dutch(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    const struct spacy_lemma_pos *pos = spacy_lemma_of(t, w->pos);
    struct spacy_text lemma;
    switch (w->pos) {
    case NOUN:
    case VERB:
    case AUX:
    case ADJ:
    case ADV:
    case PRON:
    case DET:
    case ADP:
    case NUM:
        break;
    default:
        return w->lower;
    }
    if (spacy_word_map_get(&pos->index, w->lower)) {
        return w->lower;
    }
    if (spacy_lemma_exception(spacy_word_map_get(&pos->exceptions, w->lower), 0, &lemma)) {
        return lemma;
    }
    /* an empty entry counts as none */
    lemma = spacy_lemma_lookup(t->lookup, w->lower, SPACY_TEXT(""));
    if (lemma.n > 0 && spacy_word_map_get(&pos->index, lemma)) {
        return lemma;
    }
    return dutch_rules(pos, w, lemma.n > 0 ? &lemma : NULL);
}

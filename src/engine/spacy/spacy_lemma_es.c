/*
 * Spanish: rules are chosen by morphology (lemma_rules_groups), known words among what they make
 * come first; verbs may carry pronouns and change their vowels.
 *
 * The tables' rules are regular expressions by spaCy's code and plain texts in fact: others are
 * refused.
 */
#include "base/alloc.h"
#include "base/error.h"
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
    INTJ,
    NOUN,
    NUM,
    PART,
    PRON,
    PROPN,
    PUNCT,
    SCONJ,
    SYM,
    VERB,
    X
};

/* Pronouns that a verb may carry. */
#define MAX_PRONOUNS 4
#define MAX_FEATURES 16

struct group {
    struct spacy_text features[MAX_FEATURES]; /* "Mood=Ind" */
    size_t n_features;
    struct spacy_lemma_rules rules;
};
struct groups {
    struct group *items;
    size_t n;
};

enum list {
    ACCENTS,
    ADVERBS,
    DETS,
    PRONS,
    FIXED,
    GENERAL,
    NUMBERS,
    VOWELS,
    DIPHTHONGS,
    NO_GROUP,
    N_LISTS
};

struct spacy_spanish {
    struct groups verb, noun, adj;
    struct spacy_lemma_rules lists[N_LISTS];
};

/* ---- loading --------------------------------------------------------------------------------*/

static int load_list(const struct spacy_table *rules, struct spacy_text name,
                     struct spacy_lemma_rules *out, struct berth_error *err) {
    int rc =
        spacy_lemma_rules_init(out, spacy_table_get(rules, spacy_string_id(name.p, name.n)), err);
    for (size_t i = 0; rc == 0 && i < out->n; i++) {
        const struct spacy_lemma_rule *r = &out->items[i];
        for (size_t k = 0; rc == 0 && k < r->old.n; k++) {
            if (strchr("\\^$.|?*+()[]{}", r->old.p[k]) || memchr(r->new.p, '\\', r->new.n)) {
                rc = bth_error(err, BERTH_EUNSUPPORTED, "a Spanish rule \"%.*s\" that is no text",
                               (int)BTH_MIN(r->old.n, (size_t)40), r->old.p);
            }
        }
    }
    return rc;
}

static int load_group(const msgpack_object *o, const struct spacy_table *rules, struct group *out,
                      struct berth_error *err) {
    const msgpack_object_array *pair = &o->via.array;
    struct spacy_text name = {NULL, 0};
    bool good = o->type == MSGPACK_OBJECT_ARRAY && pair->size == 2 &&
                pair->ptr[1].type == MSGPACK_OBJECT_ARRAY &&
                pair->ptr[1].via.array.size <= MAX_FEATURES;
    if (good) {
        name.p = bth_packed_text(&pair->ptr[0], &name.n);
    }
    for (uint32_t i = 0; good && i < pair->ptr[1].via.array.size; i++) {
        struct spacy_text *feature = &out->features[out->n_features++];
        feature->p = bth_packed_text(&pair->ptr[1].via.array.ptr[i], &feature->n);
        good = feature->p != NULL;
    }
    if (!good || !name.p) {
        return bth_error(err, BERTH_EFORMAT, "a group of Spanish rules is not a name and features");
    }
    return load_list(rules, name, &out->rules, err);
}

static int load_groups(const struct spacy_lookups *lookups, const char *pos, struct groups *out,
                       struct berth_error *err) {
    const msgpack_object *o = spacy_table_get(spacy_lookups_table(lookups, "lemma_rules_groups"),
                                              spacy_string_id(pos, strlen(pos)));
    if (!o) {
        return 0;
    }
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > SPACY_LEMMA_MAX_RULES) {
        return bth_error(err, BERTH_EFORMAT, "groups of Spanish rules are no list, or too many");
    }
    out->items = bth_calloc(BTH_MAX(o->via.array.size, 1), sizeof(*out->items));
    if (!out->items) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < o->via.array.size; i++) {
        rc = load_group(&o->via.array.ptr[i], spacy_lookups_table(lookups, "lemma_rules"),
                        &out->items[out->n++], err);
    }
    return rc;
}

int spacy_spanish_load(const struct spacy_lookups *lookups, struct spacy_spanish **out,
                       struct berth_error *err) {
    static const char *const names[N_LISTS] = {
        "accents", "adverbs",   "det",       "pron", "det_and_pron_fixed", "det_and_pron_general",
        "num",     "voc_alt_1", "voc_alt_2", ""};
    static const char *const tables[] = {"lemma_rules_groups", "lemma_index", "lemma_exc"};
    for (size_t i = 0; i < BTH_COUNT(tables); i++) {
        if (!spacy_lookups_table(lookups, tables[i])) {
            return bth_error(err, BERTH_EFORMAT, "a lemmatizer without table \"%s\"", tables[i]);
        }
    }
    struct spacy_spanish *s = bth_calloc(1, sizeof(*s));
    int rc = s ? load_groups(lookups, "verb", &s->verb, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = load_groups(lookups, "noun", &s->noun, err);
    }
    if (rc == 0) {
        rc = load_groups(lookups, "adj", &s->adj, err);
    }
    for (size_t i = 0; rc == 0 && i < N_LISTS; i++) {
        rc = load_list(spacy_lookups_table(lookups, "lemma_rules"),
                       (struct spacy_text){names[i], strlen(names[i])}, &s->lists[i], err);
    }
    if (rc < 0) {
        spacy_spanish_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

static void finish_groups(struct groups *g) {
    for (size_t i = 0; i < g->n; i++) {
        spacy_lemma_rules_finish(&g->items[i].rules);
    }
    bth_free(g->items);
}

void spacy_spanish_destroy(struct spacy_spanish *s) {
    if (s) {
        finish_groups(&s->verb);
        finish_groups(&s->noun);
        finish_groups(&s->adj);
        for (size_t i = 0; i < N_LISTS; i++) {
            spacy_lemma_rules_finish(&s->lists[i]);
        }
        bth_free(s);
    }
}

/* ---- parts ----------------------------------------------------------------------------------*/

/* Whether the normal form has "Name=value" among its values. */
static bool has_feature(const char *morph, struct spacy_text feature) {
    const char *equals = memchr(feature.p, '=', feature.n), *values;
    char name[64];
    size_t name_n = equals ? (size_t)(equals - feature.p) : sizeof(name), n;
    if (name_n >= sizeof(name)) {
        return false;
    }
    memcpy(name, feature.p, name_n);
    name[name_n] = '\0';
    struct spacy_text value = {equals + 1, feature.n - name_n - 1};
    if (!spacy_morph_find(morph, name, &values, &n)) {
        return false;
    }
    for (size_t at = 0; at <= n;) {
        const char *comma = memchr(values + at, ',', n - at);
        size_t size = comma ? (size_t)(comma - values) - at : n - at;
        if (spacy_text_is((struct spacy_text){values + at, size}, value)) {
            return true;
        }
        at += size + 1;
    }
    return false;
}

/* The first group of which the word has all features. */
static const struct spacy_lemma_rules *select_rules(const struct groups *g, const char *morph) {
    for (size_t i = 0; i < g->n; i++) {
        size_t k = 0;
        while (k < g->items[i].n_features && has_feature(morph, g->items[i].features[k])) {
            k++;
        }
        if (k == g->items[i].n_features) {
            return &g->items[i].rules;
        }
    }
    return NULL;
}

static bool exactly(const struct spacy_lemma_rules *rules, struct spacy_text word,
                    struct spacy_text *out) {
    for (size_t i = 0; i < rules->n; i++) {
        if (spacy_text_is(rules->items[i].old, word)) {
            *out = rules->items[i].new;
            return true;
        }
    }
    return false;
}

/* Adds what the rules make of a word's end; the word itself where one changes nothing only if
 * `all`. */
static void cut(const struct spacy_lemma_rules *rules, struct spacy_text word, bool all,
                struct spacy_forms *out) {
    for (size_t i = 0; rules && i < rules->n; i++) {
        const struct spacy_lemma_rule *r = &rules->items[i];
        bool ends = spacy_text_ends(word, r->old);
        if (ends && !spacy_text_is(r->old, r->new)) {
            spacy_forms_add(out, (struct spacy_text){word.p, word.n - r->old.n}, r->new);
        } else if (all) {
            spacy_forms_add(out, word, SPACY_TEXT(""));
        }
    }
}

/* Appends s with every `old` replaced. */
static void replace(struct spacy_text s, const struct spacy_lemma_rule *r, struct bth_str *out) {
    for (size_t at = 0; at < s.n;) {
        if (r->old.n > 0 && spacy_text_begins((struct spacy_text){s.p + at, s.n - at}, r->old)) {
            bth_str_append(out, r->new.p, r->new.n);
            at += r->old.n;
        } else {
            bth_str_putc(out, s.p[at++]);
        }
    }
}

/* The first form that is known, else the first, else the word. */
static struct spacy_text best(const struct spacy_forms *f, const struct spacy_word_map *index,
                              struct spacy_text word) {
    for (size_t i = 0; i < f->n; i++) {
        if (spacy_word_map_get(index, spacy_forms_at(f, i))) {
            return spacy_forms_at(f, i);
        }
    }
    return f->n > 0 ? spacy_forms_at(f, 0) : word;
}

/* Plurals may lose an accent: "exámenes", "examen". */
static void add_without_accents(const struct spacy_spanish *s, struct spacy_forms *f) {
    size_t n = f->n;
    for (size_t i = 0; i < n && !f->failed; i++) {
        struct spacy_text form = spacy_forms_at(f, i);
        char last = form.n > 0 ? form.p[form.n - 1] : '\0';
        for (size_t k = 0; (last == 'n' || last == 's') && k < s->lists[ACCENTS].n; k++) {
            struct bth_str changed = {0};
            replace(spacy_forms_at(f, i), &s->lists[ACCENTS].items[k], &changed);
            f->failed = f->failed || changed.failed;
            spacy_forms_add(f, (struct spacy_text){bth_str_text(&changed), changed.size},
                            SPACY_TEXT(""));
            bth_str_finish(&changed);
        }
    }
}

/* ---- parts of speech ------------------------------------------------------------------------*/

static struct spacy_text nominal(const struct spacy_lemma_tables *t, struct spacy_word *w,
                                 const struct groups *groups) {
    cut(select_rules(groups, w->morph), w->lower, false, &w->forms);
    if (has_feature(w->morph, SPACY_TEXT("Number=Plur"))) {
        add_without_accents(t->spanish, &w->forms);
    }
    return best(&w->forms, &spacy_lemma_of(t, w->pos)->index, w->lower);
}

static struct spacy_text determiner(const struct spacy_spanish *s, enum list own,
                                    const struct spacy_word_map *index, struct spacy_text word,
                                    struct spacy_forms *forms) {
    struct spacy_text lemma;
    if (exactly(&s->lists[own], word, &lemma) || exactly(&s->lists[FIXED], word, &lemma)) {
        return lemma;
    }
    cut(&s->lists[GENERAL], word, own == DETS, forms);
    spacy_forms_add(forms, word, SPACY_TEXT(""));
    return best(forms, index, word);
}

/* 1.000,5 is 1000.5; a point stays where it is none of thousands. */
static struct spacy_text number(const struct spacy_spanish *s, struct spacy_word *w) {
    struct spacy_text lemma, word = w->lower;
    if (exactly(&s->lists[NUMBERS], word, &lemma)) {
        return lemma;
    }
    const char *comma = memchr(word.p, ',', word.n);
    size_t n = comma ? (size_t)(comma - word.p) : word.n;
    bool thousands = n >= 4 && word.p[n - 4] == '.';
    for (size_t i = 1; i <= 3 && thousands; i++) {
        thousands = word.p[n - i] >= '0' && word.p[n - i] <= '9';
    }
    struct bth_str out = {0};
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] != '.' || !thousands) {
            bth_str_putc(&out, word.p[i] == ',' ? '.' : word.p[i]);
        }
    }
    spacy_forms_add(&w->forms, (struct spacy_text){bth_str_text(&out), out.size}, SPACY_TEXT(""));
    w->forms.failed = w->forms.failed || out.failed;
    bth_str_finish(&out);
    return w->forms.n > 0 ? spacy_forms_at(&w->forms, 0) : word;
}

/* A form with `n` bytes at `at` replaced, if that is known. */
static bool is_alternative(struct spacy_forms *out, const struct spacy_word_map *index,
                           struct spacy_text form, size_t at, const struct spacy_lemma_rule *r) {
    struct bth_str changed = {0};
    bth_str_append(&changed, form.p, at);
    bth_str_append(&changed, r->new.p, r->new.n);
    bth_str_append(&changed, form.p + at + r->old.n, form.n - at - r->old.n);
    struct spacy_text text = {bth_str_text(&changed), changed.size};
    bool known = spacy_word_map_get(index, text) != NULL;
    if (known) {
        spacy_forms_add(out, text, SPACY_TEXT(""));
    }
    out->failed = out->failed || changed.failed;
    bth_str_finish(&changed);
    return known;
}

/* The first form that is known with another vowel: single ones anywhere, diphthongs where they
 * come first. */
static bool alternate(const struct spacy_spanish *s, const struct spacy_word_map *index,
                      struct spacy_text form, struct spacy_forms *out) {
    for (enum list l = VOWELS; l <= DIPHTHONGS; l++) {
        for (size_t i = 0; i < s->lists[l].n; i++) {
            const struct spacy_lemma_rule *r = &s->lists[l].items[i];
            for (size_t at = 0; r->old.n > 0 && at + r->old.n <= form.n; at++) {
                if (memcmp(form.p + at, r->old.p, r->old.n) != 0) {
                    continue;
                }
                if (is_alternative(out, index, form, at, r)) {
                    return true;
                }
                if (l == DIPHTHONGS) {
                    break;
                }
            }
        }
    }
    return false;
}

static struct spacy_text verb(const struct spacy_spanish *s, const struct spacy_word_map *index,
                              const struct spacy_lemma_rules *rules, struct spacy_text word,
                              struct spacy_word *w) {
    cut(rules ? rules : &s->lists[NO_GROUP], word, false, &w->forms);
    struct spacy_text lemma = best(&w->forms, index, word);
    if (w->forms.n == 0 || spacy_word_map_get(index, lemma)) {
        return lemma;
    }
    for (size_t i = 0; i < w->forms.n; i++) {
        if (alternate(s, index, spacy_forms_at(&w->forms, i), &w->unknown)) {
            return spacy_forms_at(&w->unknown, 0);
        }
    }
    return lemma;
}

/* ---- verbs with pronouns --------------------------------------------------------------------*/

/* The longest pronoun at the end: "nos" before "os". */
static struct spacy_text pronoun_of(struct spacy_text word) {
    static const char *const prons[] = {"las", "les", "los", "nos", "me", "te",
                                        "se",  "la",  "le",  "lo",  "os", NULL};
    for (const char *const *p = prons; *p; p++) {
        size_t n = strlen(*p);
        if (spacy_text_ends(word, (struct spacy_text){*p, n})) {
            return (struct spacy_text){word.p + word.n - n, n};
        }
    }
    return (struct spacy_text){NULL, 0};
}

/* Appends s without any accent. */
static void strip_accents(const struct spacy_spanish *s, struct spacy_text word,
                          struct bth_str *out) {
    bth_str_append(out, word.p, word.n);
    for (size_t i = 0; i < s->lists[ACCENTS].n; i++) {
        struct bth_str changed = {0};
        replace((struct spacy_text){bth_str_text(out), out->size}, &s->lists[ACCENTS].items[i],
                &changed);
        changed.failed = changed.failed || out->failed;
        bth_str_finish(out);
        *out = changed;
    }
}

static void append_pronoun(const struct spacy_lemma_tables *t, struct spacy_word *w,
                           struct spacy_text pron, struct bth_str *out) {
    struct spacy_text lemma;
    spacy_forms_clear(&w->forms);
    if (!spacy_lemma_exception(spacy_word_map_get(&spacy_lemma_of(t, PRON)->exceptions, pron), 0,
                               &lemma)) {
        /* looked up among the verbs, as spaCy does */
        lemma = determiner(t->spanish, PRONS, &spacy_lemma_of(t, VERB)->index, pron, &w->forms);
    }
    bth_str_append(out, lemma.p, lemma.n);
}

/* "dármelo": "dar yo él". */
static struct spacy_text verb_with_pronouns(const struct spacy_lemma_tables *t,
                                            struct spacy_word *w) {
    const struct spacy_lemma_pos *verbs = spacy_lemma_of(t, VERB);
    struct spacy_text prons[MAX_PRONOUNS], rest = w->lower, lemma;
    size_t n = 0;
    for (struct spacy_text p; n < MAX_PRONOUNS && (p = pronoun_of(rest)).n > 0; n++) {
        prons[n] = p;
        rest.n -= p.n;
    }
    struct bth_str plain = {0}, out = {0};
    strip_accents(t->spanish, rest, &plain);
    struct spacy_text word = {bth_str_text(&plain), plain.size};
    if (!spacy_lemma_exception(spacy_word_map_get(&verbs->exceptions, word), 0, &lemma)) {
        lemma = verb(t->spanish, &verbs->index, select_rules(&t->spanish->verb, w->morph), word, w);
    }
    bth_str_append(&out, lemma.p, lemma.n);
    bth_str_putc(&out, ' ');
    for (size_t i = n; i-- > 0;) {
        append_pronoun(t, w, prons[i], &out);
        if (i > 0) {
            bth_str_putc(&out, ' ');
        }
    }
    spacy_forms_clear(&w->forms);
    spacy_forms_add(&w->forms, (struct spacy_text){bth_str_text(&out), out.size}, SPACY_TEXT(""));
    w->forms.failed = w->forms.failed || plain.failed || out.failed;
    bth_str_finish(&plain);
    bth_str_finish(&out);
    return w->forms.n > 0 ? spacy_forms_at(&w->forms, 0) : w->lower;
}

struct spacy_text spacy_lemma_spanish(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    const struct spacy_spanish *s = t->spanish;
    struct spacy_text lemma;
    switch (w->pos) {
    case ADP:
    case CCONJ:
    case INTJ:
    case PART:
    case PUNCT:
    case SCONJ:
    case SYM:
    case X:
        return w->token->sent_start == 1 ? w->lower : w->text;
    case PROPN:
        return w->text;
    default:
        break;
    }
    if (spacy_lemma_exception(spacy_word_map_get(&spacy_lemma_of(t, w->pos)->exceptions, w->lower),
                              0, &lemma)) {
        return lemma;
    }
    switch (w->pos) {
    case ADJ:
        return nominal(t, w, &s->adj);
    case NOUN:
        return nominal(t, w, &s->noun);
    case ADV:
        return exactly(&s->lists[ADVERBS], w->lower, &lemma) ? lemma : w->lower;
    case DET:
        return determiner(s, DETS, &spacy_lemma_of(t, DET)->index, w->lower, &w->forms);
    case PRON:
        return determiner(s, PRONS, &spacy_lemma_of(t, PRON)->index, w->lower, &w->forms);
    case NUM:
        return number(s, w);
    case AUX:
    case VERB:
        if (has_feature(w->morph, SPACY_TEXT("PronType=Prs"))) {
            return verb_with_pronouns(t, w);
        }
        return verb(s, &spacy_lemma_of(t, VERB)->index, select_rules(&s->verb, w->morph), w->lower,
                    w);
    default:
        return w->lower;
    }
}

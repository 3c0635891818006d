#include "spacy/spacy_lemmatizer.h"
#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_lemma.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_token_spec.h"
#include <string.h>

#define EOL   102
#define SPACE 103
/* Exceptions of one word. */
#define MAX_EXCEPTIONS 256

typedef struct spacy_text lemma_fn(const struct spacy_lemma_tables *t, struct spacy_word *w);

enum mode { LOOKUP, RULE, POS_LOOKUP };

struct spacy_lemmatizer {
    struct spacy_lemma_tables tables;
    lemma_fn *lemma;
    enum mode mode;
    bool overwrite;
};

/* ---- which code reads the tables ------------------------------------------------------------*/

static struct spacy_text lookup_text(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    return spacy_lemma_lookup(t->lookup, w->text, w->text);
}

static struct spacy_text lookup_lower(const struct spacy_lemma_tables *t, struct spacy_word *w) {
    return spacy_lemma_lookup(t->lookup, w->lower, w->lower);
}

/* Language "" is all others. */
static const struct way {
    const char *lang;
    enum mode mode;
    lemma_fn *lemma;
} ways[] = {
    {"nl", LOOKUP, lookup_lower},
    {"", LOOKUP, lookup_text},
    {"ca", RULE, spacy_lemma_french},
    {"el", RULE, spacy_lemma_greek},
    {"en", RULE, spacy_lemma_english},
    {"es", RULE, spacy_lemma_spanish},
    {"fr", RULE, spacy_lemma_french},
    {"mk", RULE, spacy_lemma_macedonian},
    {"nl", RULE, spacy_lemma_dutch},
    {"", RULE, spacy_lemma_generic},
    {"it", POS_LOOKUP, spacy_lemma_italian},
    {"pl", POS_LOOKUP, spacy_lemma_polish},
};

static int choose_way(struct spacy_lemmatizer *l, const json_t *config, const char *lang,
                      struct berth_error *err) {
    static const char *const modes[] = {"lookup", "rule", "pos_lookup"};
    const char *mode = json_string_value(json_object_get(config, "mode"));
    const json_t *overwrite = json_object_get(config, "overwrite");
    if (!mode || (overwrite && !json_is_boolean(overwrite))) {
        return bth_error(err, BERTH_EFORMAT,
                         "a lemmatizer without mode, or overwrite neither true "
                         "nor false");
    }
    l->overwrite = json_is_true(overwrite);
    for (size_t i = 0; i < BTH_COUNT(ways); i++) {
        const struct way *w = &ways[i];
        if (strcmp(modes[w->mode], mode) == 0 && (!*w->lang || strcmp(w->lang, lang) == 0)) {
            l->mode = w->mode;
            l->lemma = w->lemma;
            return 0;
        }
    }
    return bth_error(err, BERTH_EUNSUPPORTED, "lemmatizer mode \"%.40s\" of language \"%.10s\"",
                     mode, lang);
}

/* ---- loading --------------------------------------------------------------------------------*/

static int need(const struct spacy_lookups *lookups, const char *table, struct berth_error *err) {
    return spacy_lookups_table(lookups, table)
               ? 0
               : bth_error(err, BERTH_EFORMAT, "a lemmatizer without table \"%s\"", table);
}

static int check_exceptions(const msgpack_object *o, struct berth_error *err) {
    for (uint32_t i = 0; o && o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
        const msgpack_object *v = &o->via.map.ptr[i].val;
        size_t n = v->type == MSGPACK_OBJECT_ARRAY ? v->via.array.size : 0;
        if ((v->type != MSGPACK_OBJECT_ARRAY && !bth_packed_text(v, &n)) || n > MAX_EXCEPTIONS) {
            return bth_error(err, BERTH_EFORMAT,
                             "exceptions of a word that are no list, or more "
                             "than %d",
                             MAX_EXCEPTIONS);
        }
    }
    return 0;
}

/* The id of a part of speech by its name in small letters, as tables have it. */
static uint64_t small_id(unsigned pos) {
    char name[8];
    size_t n = 0;
    for (const char *p = spacy_pos_name(pos); p[n]; n++) {
        name[n] = (char)(p[n] + ('a' - 'A'));
    }
    return spacy_string_id(name, n);
}

static int load_pos(struct spacy_lemma_tables *t, unsigned pos, struct berth_error *err) {
    struct spacy_lemma_pos *p = &t->pos[pos - SPACY_FIRST_POS];
    uint64_t id = small_id(pos);
    const msgpack_object *exceptions =
        spacy_table_get(spacy_lookups_table(t->lookups, "lemma_exc"), id);
    int rc = spacy_word_map_init(
        &p->index, spacy_table_get(spacy_lookups_table(t->lookups, "lemma_index"), id), err);
    if (rc == 0) {
        rc = check_exceptions(exceptions, err);
    }
    if (rc == 0) {
        rc = spacy_word_map_init(&p->exceptions, exceptions, err);
    }
    if (rc == 0 && !t->spanish) {
        rc = spacy_lemma_rules_init(
            &p->rules, spacy_table_get(spacy_lookups_table(t->lookups, "lemma_rules"), id), err);
    }
    return rc;
}

static int load_rules(struct spacy_lemmatizer *l, struct berth_error *err) {
    static const char *const all[] = {"lemma_lookup", "lemma_exc", "lemma_index"};
    struct spacy_lemma_tables *t = &l->tables;
    int rc = need(t->lookups, "lemma_rules", err);
    bool strict = l->lemma == spacy_lemma_french || l->lemma == spacy_lemma_dutch;
    for (size_t i = 0; rc == 0 && strict && i < BTH_COUNT(all); i++) {
        rc = need(t->lookups, all[i], err);
    }
    if (rc == 0 && l->lemma == spacy_lemma_spanish) {
        rc = spacy_spanish_load(t->lookups, &t->spanish, err);
    }
    for (unsigned pos = SPACY_FIRST_POS; rc == 0 && pos < SPACY_FIRST_POS + SPACY_N_POS; pos++) {
        rc = load_pos(t, pos, err);
    }
    return rc;
}

static void find_pos_tables(struct spacy_lemma_tables *t) {
    for (unsigned i = 0; i < SPACY_N_POS; i++) {
        char name[32] = "lemma_lookup_";
        size_t n = strlen(name);
        for (const char *p = spacy_pos_name(SPACY_FIRST_POS + i); *p; p++) {
            name[n++] = (char)(*p + ('a' - 'A'));
        }
        t->by_pos[i] = spacy_lookups_table(t->lookups, name);
    }
    t->other = spacy_lookups_table(t->lookups, "lemma_lookup_other");
}

static int load_tables(struct spacy_lemmatizer *l, struct berth_error *err) {
    struct spacy_lemma_tables *t = &l->tables;
    t->lookup = spacy_lookups_table(t->lookups, "lemma_lookup");
    switch (l->mode) {
    case LOOKUP:
        return need(t->lookups, "lemma_lookup", err);
    case RULE:
        return load_rules(l, err);
    default:
        find_pos_tables(t);
        return need(t->lookups, "lemma_lookup_noun", err);
    }
}

int spacy_lemmatizer_parse(struct spacy_file *file, const json_t *config, const char *lang,
                           struct spacy_lemmatizer **out, struct berth_error *err) {
    struct spacy_lemmatizer *l = bth_calloc(1, sizeof(*l));
    int rc = l ? choose_way(l, config, lang, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = spacy_lookups_open(file, &l->tables.lookups, err);
    } else {
        spacy_file_close(file);
    }
    if (rc == 0) {
        rc = load_tables(l, err);
    }
    if (rc < 0) {
        spacy_lemmatizer_destroy(l);
        return rc;
    }
    *out = l;
    return 0;
}

int spacy_lemmatizer_load(const struct spacy_rule_source *source, struct spacy_lemmatizer **out,
                          struct berth_error *err) {
    char *name = bth_printf("%s/lookups/lookups.bin", source->name);
    struct spacy_file file = {0};
    if (!name) {
        return bth_error_nomem(err);
    }
    int rc = spacy_package_read(source->package, name, &file, err);
    if (rc == 0) {
        rc = spacy_lemmatizer_parse(&file, source->config, spacy_vocab_lang(source->vocab), out,
                                    err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", name);
        }
    }
    bth_free(name);
    return rc;
}

void spacy_lemmatizer_destroy(struct spacy_lemmatizer *l) {
    if (!l) {
        return;
    }
    for (size_t i = 0; i < SPACY_N_POS; i++) {
        spacy_word_map_finish(&l->tables.pos[i].index);
        spacy_word_map_finish(&l->tables.pos[i].exceptions);
        spacy_lemma_rules_finish(&l->tables.pos[i].rules);
    }
    spacy_spanish_destroy(l->tables.spanish);
    spacy_lookups_close(l->tables.lookups);
    bth_free(l);
}

/* ---- running --------------------------------------------------------------------------------*/

static struct spacy_text lemma_of(const struct spacy_lemmatizer *l, const struct spacy_doc *doc,
                                  const struct spacy_token *token, struct spacy_word *w) {
    w->token = token;
    w->text = (struct spacy_text){token->lex->text, token->lex->bytes};
    w->lower.p = spacy_lexeme_text(token->lex, SPACY_LOWER, &w->lower.n);
    w->pos = token->pos;
    if (l->mode == RULE && (w->pos == 0 || w->pos == EOL || w->pos == SPACE)) {
        return w->lower;
    }
    const char *morph = spacy_strings_get(doc->strings, token->morph);
    w->morph = morph ? morph : "";
    spacy_forms_clear(&w->forms);
    spacy_forms_clear(&w->unknown);
    return l->lemma(&l->tables, w);
}

int spacy_lemmatizer_run(const struct spacy_lemmatizer *l, struct spacy_doc *doc,
                         struct berth_error *err) {
    struct spacy_word w = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < doc->n; i++) {
        struct spacy_token *t = &doc->tokens[i];
        if (t->lemma != 0 && !l->overwrite) {
            continue;
        }
        struct spacy_text lemma = lemma_of(l, doc, t, &w);
        if (w.forms.failed || w.unknown.failed ||
            spacy_strings_add(doc->strings, lemma.p, lemma.n, &t->lemma) < 0) {
            rc = bth_error_nomem(err);
        }
    }
    spacy_forms_finish(&w.forms);
    spacy_forms_finish(&w.unknown);
    return rc;
}

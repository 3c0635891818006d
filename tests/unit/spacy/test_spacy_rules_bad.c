/* Damaged patterns, tables and trees, and every allocation failing once. */
#include "base/alloc.h"
#include "base/fs.h"
#include "lib/test.h"
#include "spacy/spacy_attribute_ruler.h"
#include "spacy/spacy_edit_tree.h"
#include "spacy/spacy_entity_ruler.h"
#include "spacy/spacy_lemmatizer.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_noun_chunks.h"
#include "spacy/spacy_phrases.h"
#include "spacy/spacy_retokenizer.h"
#include "spacy/spacy_sentencizer.h"
#include "spacy/spacy_special.h"
#include "spacy/spacy_token_matcher.h"
#include "spacy/spacy_token_spec.h"

static struct berth_error err;
static struct spacy_vocab *vocab;
static struct spacy_tokenizer *tokenizer;

static void read_file(const char *name, char **bytes, size_t *size) {
    char path[1400];
    snprintf(path, sizeof(path), BTH_TEST_DATA "/data/spacy/rules/%s", name);
    CHECK_OK(bth_read_file(path, 64 << 20, bytes, size, &err), err);
}

static int make_doc(struct spacy_doc *doc, const char *text) {
    int rc = spacy_doc_init(doc, vocab, text, strlen(text), &err);
    if (rc == 0) {
        rc = spacy_tokenize(tokenizer, doc, &err);
    }
    return rc;
}

/* ---- refusals -------------------------------------------------------------------------------*/

static const struct {
    const char *pattern;
    int code; /* 0: taken */
} patterns[] = {
    {"[{}]", 0},
    {"[{\"LOWER\": \"a\", \"op\": \"+\"}]", 0},
    {"[{\"lower\": {\"in\": [\"a\"]}}, {\"OP\": \"{2,3}\"}]", 0},
    {"[{\"TEXT\": {\"==\": \"a\"}}]", 0},
    {"[]", BERTH_EFORMAT},
    {"{}", BERTH_EFORMAT},
    {"[1]", BERTH_EFORMAT},
    {"[{\"OP\": \"{0}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"**\"}]", BERTH_EFORMAT},
    {"[{\"OP\": 3}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{3,2}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{,}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{1,2,3}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{-1}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{99999999999999999999}\"}]", BERTH_EFORMAT},
    {"[{\"OP\": \"{1000000}\"}, {\"OP\": \"{1000000}\"}]", BERTH_ETOOLARGE},
    {"[{\"_\": {\"a\": 1}}]", BERTH_EUNSUPPORTED},
    {"[{\"NOSUCH\": 1}]", BERTH_EUNSUPPORTED},
    {"[{\"LOWER\": null}]", BERTH_EFORMAT},
    {"[{\"LENGTH\": -1}]", BERTH_EFORMAT},
    {"[{\"LENGTH\": {\">\": \"x\"}}]", BERTH_EFORMAT},
    {"[{\"LENGTH\": {\"REGEX\": \"x\"}}]", BERTH_EUNSUPPORTED},
    {"[{\"LOWER\": {\"REGEX\": 1}}]", BERTH_EFORMAT},
    {"[{\"LOWER\": {\"REGEX\": \"(\"}}]", BERTH_EFORMAT},
    {"[{\"LOWER\": {\"REGEX\": {\"IS_SUBSET\": [\"a\"]}}}]", BERTH_EUNSUPPORTED},
    {"[{\"LOWER\": {\"FUZZY\": {\"REGEX\": \"a\"}}}]", BERTH_EUNSUPPORTED},
    {"[{\"LOWER\": {\"IN\": \"a\"}}]", BERTH_EFORMAT},
    {"[{\"LOWER\": {\"IN\": [null]}}]", BERTH_EFORMAT},
    {"[{\"LOWER\": {\"NEAR\": \"a\"}}]", BERTH_EUNSUPPORTED},
    {"[{\"MORPH\": {\"IN\": [\"A\"]}}]", BERTH_EFORMAT},
};

static void refuse_patterns(void) {
    struct spacy_token_matcher *m = spacy_token_matcher_create(spacy_vocab_strings(vocab));
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        json_t *p = json_loads(patterns[i].pattern, 0, NULL);
        CHECK(p);
        int rc = spacy_token_matcher_add(m, 0, p, &err);
        if (rc != patterns[i].code) {
            TEST_FAIL("%s gave %d, expected %d", patterns[i].pattern, rc, patterns[i].code);
        }
        json_decref(p);
    }
    char fuzzy[2100];
    snprintf(fuzzy, sizeof(fuzzy), "[{\"LOWER\": {\"FUZZY\": \"%01500d\"}}]", 0);
    json_t *p = json_loads(fuzzy, 0, NULL);
    CHECK_INT(spacy_token_matcher_add(m, 0, p, &err), BERTH_ETOOLARGE);
    json_decref(p);
    spacy_token_matcher_destroy(m);
}

/* A pattern that matches everywhere and for ever is stopped. */
static void stop_wild_patterns(void) {
    static const char *const wild[] = {
        "[{\"OP\": \"*\"}, {\"OP\": \"*\"}, {\"OP\": \"*\"}]",
        "[{\"OP\": \"{,400000}\"}, {\"TEXT\": \"never\"}]",
        "[{\"TEXT\": {\"REGEX\": \"(a+)+$\"}, \"OP\": \"*\"}, {\"TEXT\": \"never\"}]",
    };
    struct bth_str text = {0};
    for (int i = 0; i < 3000; i++) {
        bth_str_puts(&text, i == 7 ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab " : "a ");
    }
    for (size_t i = 0; i < 3; i++) {
        struct spacy_token_matcher *m = spacy_token_matcher_create(spacy_vocab_strings(vocab));
        struct spacy_matches found = {0};
        struct spacy_doc doc;
        json_t *p = json_loads(wild[i], 0, NULL);
        CHECK_OK(make_doc(&doc, bth_str_text(&text)), err);
        CHECK_OK(spacy_token_matcher_add(m, 0, p, &err), err);
        int rc = spacy_token_matcher_run(m, &doc, &found, &err);
        CHECK(rc == 0 || rc == BERTH_ETOOLARGE);
        spacy_matches_finish(&found);
        spacy_doc_finish(&doc);
        spacy_token_matcher_destroy(m);
        json_decref(p);
    }
    bth_str_finish(&text);
}

static void refuse_rulers(void) {
    static const char *const lines[] = {"{\"label\": \"A\"}",
                                        "{\"label\": 1, \"pattern\": \"a\"}",
                                        "{\"label\": \"A\", \"pattern\": 3}",
                                        "{\"label\": \"A\", \"id\": 3, \"pattern\": \"a\"}",
                                        "{\"label\": \"A\", \"pattern\": \"a\"",
                                        "\n\n{\"label\": \"A\", \"pattern\": [{\"X\": 1}]}"};
    struct spacy_rule_source source = {.name = "ruler", .vocab = vocab, .tokenizer = tokenizer};
    struct spacy_entity_ruler *r = NULL;
    for (size_t i = 0; i < 6; i++) {
        CHECK(spacy_entity_ruler_parse(&source, lines[i], strlen(lines[i]), &r, &err) < 0);
        CHECK(!r && strstr(err.message, i == 5 ? "line 3" : "line 1"));
    }
    json_t *config = json_pack("{s:s}", "phrase_matcher_attr", "LEMMA");
    source.config = config;
    CHECK_INT(spacy_entity_ruler_parse(&source, "", 0, &r, &err), BERTH_EUNSUPPORTED);
    CHECK_INT(spacy_span_ruler_parse(&source, "", 0, &r, &err), BERTH_EUNSUPPORTED);
    json_decref(config);
    config = json_pack("{s:b,s:{s:s}}", "annotate_ents", 1, "ents_filter", "@misc", "mine.v1");
    source.config = config;
    CHECK_INT(spacy_span_ruler_parse(&source, "", 0, &r, &err), BERTH_EUNSUPPORTED);
    json_decref(config);
}

static void refuse_modes(void) {
    static const struct {
        const char *lang, *mode;
        int code;
    } cases[] = {{"ru", "pymorphy3", BERTH_EUNSUPPORTED},
                 {"ga", "pos_lookup", BERTH_EUNSUPPORTED},
                 {"en", "pos_lookup", BERTH_EUNSUPPORTED},
                 {"en", NULL, BERTH_EFORMAT},
                 {"en", "lookup", BERTH_EFORMAT} /* without its table */};
    for (size_t i = 0; i < 5; i++) {
        char *bytes;
        size_t size;
        struct spacy_lemmatizer *l = NULL;
        read_file("en.lookups", &bytes, &size);
        struct spacy_file file = {.data = (unsigned char *)bytes, .size = size, .heap = bytes};
        json_t *config = json_object();
        if (cases[i].mode) {
            json_object_set_new(config, "mode", json_string(cases[i].mode));
        }
        CHECK_INT(spacy_lemmatizer_parse(&file, config, cases[i].lang, &l, &err), cases[i].code);
        CHECK(!l);
        json_decref(config);
    }
    struct spacy_doc doc = {0};
    struct spacy_span *spans;
    size_t n;
    CHECK_OK(make_doc(&doc, "a"), err);
    CHECK_INT(spacy_noun_chunks(&doc, "en", &spans, &n, &err), BERTH_ESTATE);
    CHECK_INT(spacy_noun_chunks(&doc, "ko", &spans, &n, &err), BERTH_EUNSUPPORTED);
    spacy_doc_finish(&doc);
}

/* ---- damage and want ------------------------------------------------------------------------*/

/* Loads everything from the given bytes and runs it; 0 or the first error. */
static int use_patterns(const char *bytes, size_t size) {
    struct spacy_attribute_ruler *r = NULL;
    struct spacy_strings *strings = spacy_strings_create(spacy_vocab_strings(vocab));
    struct spacy_doc doc = {0};
    int rc = strings ? spacy_attribute_ruler_parse(bytes, size, strings, &r, &err) : BERTH_ENOMEM;
    if (rc == 0) {
        rc = make_doc(&doc, "I ain't gonna say \"it\" again , c'm on .");
    }
    if (rc == 0) {
        rc = spacy_attribute_ruler_run(r, &doc, &err);
    }
    spacy_doc_finish(&doc);
    spacy_attribute_ruler_destroy(r);
    spacy_strings_destroy(strings);
    return rc;
}

static const char *lemma_lang;
static int use_lookups(const char *bytes, size_t size) {
    struct spacy_lemmatizer *l = NULL;
    struct spacy_doc doc = {0};
    char *copy = bth_memdup(bytes, size);
    if (!copy) {
        return BERTH_ENOMEM;
    }
    struct spacy_file file = {.data = (unsigned char *)copy, .size = size, .heap = copy};
    json_t *config = json_pack("{s:s}", "mode", "rule");
    int rc = spacy_lemmatizer_parse(&file, config, lemma_lang, &l, &err);
    if (rc == 0) {
        rc = make_doc(&doc, "dármelo mice oyeseis muchas 1.000,5 écrits better codes ran");
    }
    for (unsigned pos = 84; rc == 0 && pos <= 103; pos++) {
        for (size_t i = 0; rc == 0 && i < doc.n; i++) {
            doc.tokens[i].pos = (uint8_t)pos;
            doc.tokens[i].lemma = 0;
            rc = spacy_morph_add(doc.strings, "Number=Plur|PronType=Prs", i % 2 ? 11 : 24,
                                 &doc.tokens[i].morph, &err);
        }
        rc = rc < 0 ? rc : spacy_lemmatizer_run(l, &doc, &err);
    }
    spacy_doc_finish(&doc);
    spacy_lemmatizer_destroy(l);
    json_decref(config);
    return rc;
}

static int use_trees(const char *bytes, size_t size) {
    struct spacy_edit_trees *t = NULL;
    struct spacy_doc doc = {0};
    json_t *labels = json_pack("[i,i,i,i]", 0, 3, 5, 7), *config = json_pack("{s:i}", "top_k", 3);
    float scores[4 * 32];
    for (size_t i = 0; i < 4 * 32; i++) {
        scores[i] = (float)((i * 7) % 13);
    }
    int rc =
        spacy_edit_trees_parse(bytes, size, spacy_vocab_strings(vocab), labels, config, &t, &err);
    if (rc == 0) {
        rc = make_doc(&doc, "gegangen ging Häuser am aufgemacht größer läuft x 🙂");
    }
    if (rc == 0) {
        rc = spacy_edit_trees_run(t, &doc, scores, &err);
    }
    spacy_doc_finish(&doc);
    spacy_edit_trees_destroy(t);
    json_decref(labels);
    json_decref(config);
    return rc;
}

static int use_ruler(const char *bytes, size_t size) {
    struct spacy_rule_source source = {.name = "ruler", .vocab = vocab, .tokenizer = tokenizer};
    struct spacy_entity_ruler *r = NULL;
    struct spacy_doc doc = {0};
    int rc = spacy_entity_ruler_parse(&source, bytes, size, &r, &err);
    if (rc == 0) {
        rc = make_doc(&doc, "New York is big and new york bigger");
    }
    if (rc == 0) {
        rc = spacy_entity_ruler_run(r, &doc, &err);
    }
    spacy_doc_finish(&doc);
    spacy_entity_ruler_destroy(r);
    return rc;
}

static int use_chunks(const char *bytes, size_t size) {
    (void)bytes;
    (void)size;
    struct spacy_doc doc = {0};
    struct spacy_span *spans;
    struct spacy_sentencizer *s = NULL;
    size_t n;
    struct spacy_rule_source source = {.name = "sentencizer"};
    int rc = make_doc(&doc, "Big dogs bark . They do");
    doc.parsed = true;
    for (size_t i = 0; rc == 0 && i < doc.n; i++) {
        doc.tokens[i].pos = 92;
        doc.tokens[i].head = (int32_t)(i / 2);
    }
    rc = rc < 0 ? rc : spacy_noun_chunks(&doc, "da", &spans, &n, &err);
    rc = rc < 0 ? rc : spacy_sentencizer_load(&source, &s, &err);
    rc = rc < 0 ? rc : spacy_sentencizer_run(s, &doc, &err);
    spacy_sentencizer_destroy(s);
    spacy_doc_finish(&doc);
    return rc;
}

static const char *factory;
static int use_retokenizer(const char *bytes, size_t size) {
    struct spacy_retokenizer *r = NULL;
    struct spacy_doc doc = {0};
    (void)bytes;
    (void)size;
    json_t *config =
        json_pack("{s:s,s:i,s:i}", "factory", factory, "min_length", 3, "split_length", 2);
    struct spacy_rule_source source = {.name = "merge", .config = config, .vocab = vocab};
    int rc = spacy_retokenizer_load(&source, &r, &err);
    if (rc == 0) {
        rc = make_doc(&doc, "Big dogs bark . They do");
    }
    doc.parsed = true;
    for (size_t i = 0; rc == 0 && i < doc.n; i++) {
        doc.tokens[i].pos = 92;
        doc.tokens[i].head = (int32_t)(i / 2);
        doc.tokens[i].ent_type = 383;
        doc.tokens[i].ent_iob = i % 3 ? SPACY_IOB_I : SPACY_IOB_B;
        rc = spacy_strings_add(doc.strings, i % 2 ? "subtok" : "ROOT", i % 2 ? 6 : 4,
                               &doc.tokens[i].dep);
    }
    rc = rc < 0 ? rc : spacy_retokenizer_run(r, &doc, &err);
    spacy_retokenizer_destroy(r);
    spacy_doc_finish(&doc);
    json_decref(config);
    return rc;
}

/* Any allocation may fail: the error says so. That nothing is lost shows at the end. */
static void fail_allocations(int (*use)(const char *, size_t), const char *bytes, size_t size,
                             int64_t step) {
    CHECK_OK(use(bytes, size), err); /* fills caches */
    for (int64_t n = 1;; n += n < 400 ? 1 : step) {
        bth_alloc_fail_at(n);
        int rc = use(bytes, size);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (!failed) {
            CHECK_INT(rc, 0);
            break;
        }
        /* what only caches would have kept may be missing without an error */
        CHECK(rc == BERTH_ENOMEM || rc == 0);
    }
}

/* What would take time or memory by the square of the text ends. */
static void try_repetition(void) {
    enum { LONG = 2000, TEXT = 30000 };
    struct spacy_phrases *p = spacy_phrases_create(SPACY_ORTH);
    struct spacy_special *s = spacy_special_create();
    struct spacy_special_span *spans;
    struct spacy_matches matches = {0};
    struct spacy_doc doc;
    static uint64_t orths[LONG];
    size_t n;
    CHECK(p && s);
    CHECK_INT(make_doc(&doc, "a"), 0);
    struct spacy_token *tokens = bth_calloc(TEXT, sizeof(*tokens));
    CHECK(tokens);
    for (size_t i = 0; i < TEXT; i++) {
        tokens[i] = doc.tokens[0];
    }
    doc.tokens = tokens;
    doc.n = LONG;
    doc.tokens[LONG - 1].lex = spacy_vocab_lexeme(vocab, &doc.arena, "b", 1, NULL);
    CHECK_INT(spacy_phrases_add(p, 0, &doc, &err), 0);
    spacy_phrases_seal(p);
    CHECK_INT(spacy_phrases_run(p, &doc, &matches, &err), 0);
    CHECK_INT(matches.n, 1);
    doc.tokens[LONG - 1].lex = tokens[0].lex;
    doc.n = TEXT;
    CHECK_INT(spacy_phrases_run(p, &doc, &matches, &err), BERTH_ETOOLARGE);
    for (size_t i = 0; i < LONG; i++) { /* rows of 1, 2, 3 ... */
        orths[i] = tokens[0].lex->orth;
        CHECK_INT(spacy_special_add(s, orths, i + 1), 0);
    }
    CHECK_INT(spacy_special_find(s, tokens, 1000, &spans, &n), 0);
    CHECK_INT(n, 1);
    bth_free(spans);
    CHECK_INT(spacy_special_find(s, tokens, TEXT, &spans, &n), BERTH_ETOOLARGE);
    spacy_matches_finish(&matches);
    spacy_phrases_destroy(p);
    spacy_special_destroy(s);
    spacy_doc_finish(&doc);
    bth_free(tokens);
}

static void try_retokenizers(void) {
    static const char *const kinds[] = {"merge_entities", "merge_noun_chunks", "merge_subtokens",
                                        "token_splitter", "doc_cleaner"};
    for (size_t i = 0; i < 5; i++) {
        CHECK(spacy_retokenizer_is(kinds[i]));
        factory = kinds[i];
        fail_allocations(use_retokenizer, "", 0, 1);
    }
    CHECK(!spacy_retokenizer_is("merge"));
    factory = "merge";
    CHECK_INT(use_retokenizer("", 0), BERTH_EUNSUPPORTED);
    json_t *config =
        json_pack("{s:s,s:{s:n,s:n}}", "factory", "doc_cleaner", "attrs", "tensor", "user_data");
    struct spacy_rule_source source = {.name = "clean", .config = config, .vocab = vocab};
    struct spacy_retokenizer *r;
    CHECK_INT(spacy_retokenizer_load(&source, &r, &err), BERTH_EUNSUPPORTED);
    json_decref(config);
}

/* Bytes changed or cut off give an error or another answer, never more. */
static void damage(int (*use)(const char *, size_t), const char *bytes, size_t size) {
    unsigned long long seed = 11;
    char *copy = malloc(size);
    CHECK(copy);
    for (int i = 0; i < 300; i++) {
        memcpy(copy, bytes, size);
        size_t n = i % 3 == 0 ? test_rand(&seed) % size : size;
        for (size_t k = test_rand(&seed) % 4; k > 0 && n > 0; k--) {
            copy[test_rand(&seed) % n] = (char)test_rand(&seed);
        }
        use(copy, n);
    }
    free(copy);
}

int main(void) {
    char *bytes, *trees;
    size_t size, trees_size;
    int64_t live = bth_alloc_live();
    CHECK_OK(spacy_vocab_load(NULL, "en", &vocab, &err), err);
    read_file("plain.tokenizer", &bytes, &size);
    CHECK_OK(spacy_tokenizer_load(vocab, bytes, size, &tokenizer, &err), err);
    bth_free(bytes);
    refuse_patterns();
    stop_wild_patterns();
    refuse_rulers();
    refuse_modes();

    read_file("en.patterns", &bytes, &size);
    fail_allocations(use_patterns, bytes, size, 37);
    damage(use_patterns, bytes, size);
    bth_free(bytes);
    static const char *const langs[] = {"en", "es", "fr", "nl", "mk", "el"};
    for (size_t i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof(name), i == 0 ? "%s.lookups" : "lemma_%s.lookups", langs[i]);
        lemma_lang = langs[i];
        read_file(name, &bytes, &size);
        fail_allocations(use_lookups, bytes, size, 37);
        damage(use_lookups, bytes, size);
        bth_free(bytes);
    }
    static const char *const words[] = {"gegangen", "gehen", "Häuser", "Haus", "ä",
                                        "a",        "e",     "er",     "en",   "ge"};
    uint64_t id;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        spacy_strings_add(spacy_vocab_strings(vocab), words[i], strlen(words[i]), &id);
    }
    read_file("edit_3.trees", &trees, &trees_size);
    damage(use_trees, trees, trees_size);
    bth_free(trees);
    static const char lines[] =
        "{\"label\": \"GPE\", \"pattern\": [{\"LOWER\": {\"FUZZY\": \"new\"}}, {\"LOWER\": "
        "\"york\", \"OP\": \"+\"}], \"id\": \"ny\"}\n{\"label\": \"GPE\", \"pattern\": \"New "
        "York\"}\n{\"label\": \"X\", \"pattern\": [{\"TEXT\": {\"REGEX\": {\"IN\": [\"^b\"]}}}]}\n";
    fail_allocations(use_ruler, lines, sizeof(lines) - 1, 1);
    damage(use_ruler, lines, sizeof(lines) - 1);
    fail_allocations(use_chunks, "", 0, 1);
    try_retokenizers();
    try_repetition();
    spacy_tokenizer_destroy(tokenizer);
    spacy_vocab_destroy(vocab);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

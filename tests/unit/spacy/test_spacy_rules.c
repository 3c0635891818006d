/* spaCy's rule components on documents that spaCy annotated, made by tools/spacy_rules.py: what
 * lies in tests/data/spacy/rules, or in the folder that BERTH_SPACY_RULES names. */
#include "base/alloc.h"
#include "base/fs.h"
#include "lib/test.h"
#include "spacy/spacy_attribute_ruler.h"
#include "spacy/spacy_edit_tree.h"
#include "spacy/spacy_entity_ruler.h"
#include "spacy/spacy_lemmatizer.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_noun_chunks.h"
#include "spacy/spacy_retokenizer.h"
#include "spacy/spacy_sentencizer.h"
#include "spacy/spacy_token_matcher.h"
#include "spacy/spacy_tree.h"
#include <dirent.h>

static const char *folder;
static struct berth_error err;
static size_t n_documents, n_tokens, n_values, n_bad;

struct world {
    const char *lang;
    struct spacy_vocab *vocab;
    struct spacy_tokenizer *tokenizer;
    struct spacy_attribute_ruler *attributes;
    struct spacy_lemmatizer *lemmas;
};

static void read_file(const char *name, char **bytes, size_t *size) {
    char path[1400];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK_OK(bth_read_file(path, 256 << 20, bytes, size, &err), err);
}

/* ---- documents ------------------------------------------------------------------------------*/

static uint64_t add(struct spacy_doc *doc, json_t *text) {
    uint64_t id;
    CHECK_INT(
        spacy_strings_add(doc->strings, json_string_value(text), json_string_length(text), &id), 0);
    return id;
}

static void give(struct spacy_doc *doc, size_t i, const char *name, json_t *v) {
    struct spacy_token *t = &doc->tokens[i];
    if (strcmp(name, "tag") == 0) {
        t->tag = add(doc, v);
    } else if (strcmp(name, "pos") == 0) {
        t->pos = (uint8_t)spacy_pos_id(json_string_value(v), json_string_length(v));
    } else if (strcmp(name, "morph") == 0) {
        CHECK_OK(spacy_morph_add(doc->strings, json_string_value(v), json_string_length(v),
                                 &t->morph, &err),
                 err);
    } else if (strcmp(name, "lemma") == 0) {
        t->lemma = add(doc, v);
    } else if (strcmp(name, "dep") == 0) {
        t->dep = add(doc, v);
    } else if (strcmp(name, "head") == 0) {
        t->head = (int32_t)json_integer_value(v);
        doc->parsed = true;
    } else if (strcmp(name, "sent") == 0) {
        t->sent_start = (int8_t)json_integer_value(v);
    } else if (strcmp(name, "iob") == 0) {
        t->ent_iob = (uint8_t)json_integer_value(v);
    } else if (strcmp(name, "type") == 0) {
        t->ent_type = add(doc, v);
    } else {
        TEST_FAIL("field %s", name);
    }
}

/* The text lives in *text: free it after the document. */
static void make_doc(const struct world *w, json_t *row, struct bth_str *text,
                     struct spacy_doc *doc) {
    json_t *words = json_object_get(row, "w"), *word, *values, *v;
    const char *spaces = json_string_value(json_object_get(row, "s")), *name;
    size_t i;
    json_array_foreach(words, i, word) {
        bth_str_puts(text, json_string_value(word));
        bth_str_puts(text, spaces[i] == '1' ? " " : "");
    }
    CHECK_OK(spacy_doc_init(doc, w->vocab, bth_str_text(text), text->size, &err), err);
    doc->n = json_array_size(words);
    doc->tokens = bth_arena_alloc(&doc->arena, doc->n * sizeof(*doc->tokens));
    CHECK(doc->tokens);
    uint32_t begin = 0;
    json_array_foreach(words, i, word) {
        struct spacy_token *t = &doc->tokens[i];
        t->lex = spacy_vocab_lexeme(w->vocab, &doc->arena, json_string_value(word),
                                    json_string_length(word), NULL);
        CHECK(t->lex);
        t->norm = t->lex->norm;
        t->begin = begin;
        t->end = begin + t->lex->bytes;
        t->space = spaces[i] == '1';
        t->head = (int32_t)i;
        t->sent_start = i == 0;
        begin = t->end + t->space;
    }
    json_object_foreach(json_object_get(row, "in"), name, values) {
        json_array_foreach(values, i, v) {
            give(doc, i, name, v);
        }
    }
}

/* ---- what comes out -------------------------------------------------------------------------*/

static json_t *text_of(struct spacy_doc *doc, uint64_t id) {
    const char *s = spacy_strings_get(doc->strings, id);
    return json_string(s ? s : "(unknown)");
}

static json_t *field(struct spacy_doc *doc, size_t i, const char *name,
                     const struct spacy_edges *edges) {
    const struct spacy_token *t = &doc->tokens[i];
    if (strcmp(name, "tag") == 0) {
        return text_of(doc, t->tag);
    }
    if (strcmp(name, "pos") == 0) {
        return json_string(spacy_pos_name(t->pos));
    }
    if (strcmp(name, "morph") == 0) {
        return text_of(doc, t->morph == SPACY_NO_MORPH ? 0 : t->morph);
    }
    if (strcmp(name, "lemma") == 0) {
        return text_of(doc, t->lemma);
    }
    if (strcmp(name, "dep") == 0) {
        return text_of(doc, t->dep);
    }
    if (strcmp(name, "type") == 0) {
        return text_of(doc, t->ent_type);
    }
    if (strcmp(name, "text") == 0) {
        CHECK_INT(t->end - t->begin, t->lex->bytes);
        CHECK(memcmp(doc->text + t->begin, t->lex->text, t->lex->bytes) == 0);
        return json_stringn(t->lex->text, t->lex->bytes);
    }
    if (strcmp(name, "head") == 0) {
        return json_integer(t->head);
    }
    if (strcmp(name, "space") == 0) {
        return json_integer(t->space);
    }
    if (strcmp(name, "sent") == 0) {
        return json_integer(t->sent_start);
    }
    if (strcmp(name, "iob") == 0) {
        return json_integer(t->ent_iob);
    }
    if (strcmp(name, "left") == 0) {
        return json_integer(edges->left[i]);
    }
    CHECK_STR(name, "right");
    return json_integer(edges->right[i]);
}

static json_t *entities(struct spacy_doc *doc) {
    json_t *out = json_array(), *last = NULL;
    for (size_t i = 0; i < doc->n; i++) {
        const struct spacy_token *t = &doc->tokens[i];
        if (t->ent_iob == SPACY_IOB_B) {
            last = json_pack("[I,I,o,o]", (json_int_t)i, (json_int_t)i + 1,
                             text_of(doc, t->ent_type), text_of(doc, t->ent_id));
            json_array_append_new(out, last);
        } else if (t->ent_iob == SPACY_IOB_I) {
            json_array_set_new(last, 1, json_integer((json_int_t)i + 1));
        }
    }
    return out;
}

static json_t *chunks(struct spacy_doc *doc, const char *lang) {
    struct spacy_span *spans;
    size_t n;
    CHECK_OK(spacy_noun_chunks(doc, lang, &spans, &n, &err), err);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(
            out, json_pack("[I,I]", (json_int_t)spans[i].begin, (json_int_t)spans[i].end));
    }
    return out;
}

static json_t *result(struct spacy_doc *doc, const char *name, const char *lang) {
    if (strcmp(name, "ents") == 0) {
        return entities(doc);
    }
    if (strcmp(name, "chunks") == 0) {
        return chunks(doc, lang);
    }
    struct spacy_edges edges;
    CHECK_OK(spacy_edges_find(doc, &edges, &err), err);
    json_t *out = json_array();
    for (size_t i = 0; i < doc->n; i++) {
        json_array_append_new(out, field(doc, i, name, &edges));
    }
    return out;
}

static void differ(const char *file, json_t *row, const char *name, json_t *got, json_t *want) {
    if (n_bad++ < 20) {
        char *text = json_dumps(row, JSON_ENCODE_ANY), *a = json_dumps(got, JSON_ENCODE_ANY);
        char *b = json_dumps(want, JSON_ENCODE_ANY);
        fprintf(stderr, "%s: %s is\n  %s\nexpected\n  %s\nof %.3000s\n", file, name, a, b, text);
        free(text);
        free(a);
        free(b);
    }
}

static void compare(const char *file, json_t *row, const char *name, json_t *got, json_t *want) {
    size_t i;
    json_t *v;
    json_array_foreach(want, i, v) {
        n_values++;
        if (!json_equal(json_array_get(got, i), v)) {
            differ(file, row, name, got, want);
            return;
        }
    }
    if (json_array_size(got) != json_array_size(want)) {
        differ(file, row, name, got, want);
    }
}

/* ---- what runs ------------------------------------------------------------------------------*/

static json_t *run_matcher(const struct world *w, struct spacy_doc *doc, json_t *patterns) {
    struct spacy_token_matcher *m = spacy_token_matcher_create(spacy_vocab_strings(w->vocab));
    struct spacy_matches found = {0};
    size_t i;
    json_t *p, *out = json_array();
    json_array_foreach(patterns, i, p) {
        CHECK_OK(spacy_token_matcher_add(m, (uint32_t)i, p, &err), err);
    }
    CHECK_OK(spacy_token_matcher_run(m, doc, &found, &err), err);
    for (i = 0; i < found.n; i++) {
        json_array_append_new(out, json_pack("[i,i,i]", (int)found.items[i].key,
                                             (int)found.items[i].begin, (int)found.items[i].end));
    }
    spacy_matches_finish(&found);
    spacy_token_matcher_destroy(m);
    return out;
}

static void run_ruler(const struct world *w, struct spacy_doc *doc, const char *kind,
                      json_t *entries, json_t *config) {
    struct bth_str lines = {0};
    size_t i;
    json_t *e;
    json_array_foreach(entries, i, e) {
        char *text = json_dumps(e, 0);
        bth_str_printf(&lines, "%s\n", text);
        free(text);
    }
    struct spacy_rule_source source = {
        .name = kind, .config = config, .vocab = w->vocab, .tokenizer = w->tokenizer};
    struct spacy_entity_ruler *r;
    if (strcmp(kind, "span_ruler") == 0) {
        CHECK_OK(spacy_span_ruler_parse(&source, bth_str_text(&lines), lines.size, &r, &err), err);
    } else {
        CHECK_OK(spacy_entity_ruler_parse(&source, bth_str_text(&lines), lines.size, &r, &err),
                 err);
    }
    CHECK_OK(spacy_entity_ruler_run(r, doc, &err), err);
    spacy_entity_ruler_destroy(r);
    bth_str_finish(&lines);
}

static void run_edit_trees(const struct world *w, struct spacy_doc *doc, json_t *step) {
    struct spacy_edit_trees *t;
    char *bytes;
    size_t size, i, k, classes;
    json_t *text, *row, *score;
    uint64_t id;
    json_array_foreach(json_array_get(step, 4), i, text) {
        CHECK_INT(spacy_strings_add(spacy_vocab_strings(w->vocab), json_string_value(text),
                                    json_string_length(text), &id),
                  0);
    }
    read_file(json_string_value(json_array_get(step, 1)), &bytes, &size);
    CHECK_OK(spacy_edit_trees_parse(bytes, size, spacy_vocab_strings(w->vocab),
                                    json_array_get(step, 3), json_array_get(step, 2), &t, &err),
             err);
    bth_free(bytes);
    classes = spacy_edit_trees_classes(t);
    float *scores = bth_calloc(doc->n * classes, sizeof(*scores));
    json_array_foreach(json_array_get(step, 5), i, row) {
        CHECK_INT(json_array_size(row), classes);
        json_array_foreach(row, k, score) {
            scores[i * classes + k] = (float)json_number_value(score);
        }
    }
    CHECK_OK(spacy_edit_trees_run(t, doc, scores, &err), err);
    bth_free(scores);
    spacy_edit_trees_destroy(t);
}

/* What a matcher found is the reference that comes back; NULL of other steps. */
static json_t *run_step(const struct world *w, struct spacy_doc *doc, json_t *step) {
    const char *kind = json_string_value(json_array_get(step, 0));
    if (strcmp(kind, "matcher") == 0) {
        return run_matcher(w, doc, json_array_get(step, 1));
    }
    if (strcmp(kind, "attribute_ruler") == 0) {
        CHECK_OK(spacy_attribute_ruler_run(w->attributes, doc, &err), err);
    } else if (strcmp(kind, "lemmatizer") == 0) {
        CHECK_OK(spacy_lemmatizer_run(w->lemmas, doc, &err), err);
    } else if (strcmp(kind, "edit_trees") == 0) {
        run_edit_trees(w, doc, step);
    } else if (strcmp(kind, "retokenizer") == 0) {
        struct spacy_rule_source source = {
            .name = kind, .config = json_array_get(step, 1), .vocab = w->vocab};
        struct spacy_retokenizer *r;
        CHECK_OK(spacy_retokenizer_load(&source, &r, &err), err);
        CHECK_OK(spacy_retokenizer_run(r, doc, &err), err);
        spacy_retokenizer_destroy(r);
    } else if (strcmp(kind, "sentencizer") == 0) {
        struct spacy_rule_source source = {.name = kind, .config = json_array_get(step, 1)};
        struct spacy_sentencizer *s;
        CHECK_OK(spacy_sentencizer_load(&source, &s, &err), err);
        CHECK_OK(spacy_sentencizer_run(s, doc, &err), err);
        spacy_sentencizer_destroy(s);
    } else {
        run_ruler(w, doc, kind, json_array_get(step, 1), json_array_get(step, 2));
    }
    return NULL;
}

/* ---- files ----------------------------------------------------------------------------------*/

static void check_feats(const struct world *w, const char *file, json_t *row) {
    json_t *feats = json_object_get(row, "feats"), *norm = json_object_get(row, "norm");
    uint64_t id;
    int rc = spacy_morph_add(spacy_vocab_strings(w->vocab), json_string_value(feats),
                             json_string_length(feats), &id, &err);
    json_t *got =
        rc < 0 ? json_null() : json_string(spacy_strings_get(spacy_vocab_strings(w->vocab), id));
    n_values++;
    if (!json_equal(got, norm)) {
        differ(file, row, "norm", got, norm);
    }
    json_decref(got);
}

static void check_row(const struct world *w, const char *file, json_t *steps, json_t *row) {
    if (json_object_get(row, "feats")) {
        check_feats(w, file, row);
        return;
    }
    const char *name, *lang = json_string_value(json_object_get(row, "lang"));
    json_t *step, *want, *matches = NULL;
    struct spacy_doc doc;
    struct bth_str text = {0};
    size_t i;
    make_doc(w, row, &text, &doc);
    json_array_foreach(json_object_get(row, "steps") ? json_object_get(row, "steps") : steps, i,
                       step) {
        matches = run_step(w, &doc, step);
    }
    json_object_foreach(json_object_get(row, "out"), name, want) {
        json_t *got = strcmp(name, "matches") == 0 ? json_incref(matches)
                                                   : result(&doc, name, lang ? lang : w->lang);
        compare(file, row, name, got, want);
        json_decref(got);
    }
    json_decref(matches);
    n_documents++;
    n_tokens += doc.n;
    spacy_doc_finish(&doc);
    bth_str_finish(&text);
}

static void load_tables(struct world *w, json_t *steps) {
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step) {
        const char *kind = json_string_value(json_array_get(step, 0));
        char *bytes;
        size_t size;
        read_file(json_string_value(json_array_get(step, 1)), &bytes, &size);
        if (strcmp(kind, "attribute_ruler") == 0) {
            CHECK_OK(spacy_attribute_ruler_parse(bytes, size, spacy_vocab_strings(w->vocab),
                                                 &w->attributes, &err),
                     err);
            bth_free(bytes);
        } else {
            struct spacy_file file = {.data = (unsigned char *)bytes, .size = size, .heap = bytes};
            CHECK_OK(
                spacy_lemmatizer_parse(&file, json_array_get(step, 2), w->lang, &w->lemmas, &err),
                err);
        }
    }
}

static void check_file(const char *file) {
    struct world w = {0};
    char *lines, *bytes;
    size_t size, n;
    json_t *head = NULL;
    json_error_t why;
    read_file(file, &lines, &size);
    for (char *at = lines; at < lines + size;) {
        char *end = strchr(at, '\n');
        json_t *row = json_loadb(at, (size_t)(end - at), 0, &why);
        if (!row) {
            TEST_FAIL("%s: %s", file, why.text);
        }
        if (head) {
            check_row(&w, file, json_object_get(head, "steps"), row);
            json_decref(row);
        } else {
            head = row;
            w.lang = json_string_value(json_object_get(head, "lang"));
            CHECK_OK(spacy_vocab_load(NULL, w.lang, &w.vocab, &err), err);
            read_file("plain.tokenizer", &bytes, &n);
            CHECK_OK(spacy_tokenizer_load(w.vocab, bytes, n, &w.tokenizer, &err), err);
            bth_free(bytes);
            load_tables(&w, json_object_get(head, "steps"));
        }
        at = end + 1;
    }
    spacy_attribute_ruler_destroy(w.attributes);
    spacy_lemmatizer_destroy(w.lemmas);
    spacy_tokenizer_destroy(w.tokenizer);
    spacy_vocab_destroy(w.vocab);
    json_decref(head);
    bth_free(lines);
}

int main(void) {
    const char *other = getenv("BERTH_SPACY_RULES");
    int64_t live = bth_alloc_live();
    folder = other ? other : BTH_TEST_DATA "/data/spacy/rules";
    DIR *d = opendir(folder);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name), before = n_bad, tokens = n_tokens, values = n_values;
        if (n > 6 && strcmp(e->d_name + n - 6, ".jsonl") == 0) {
            check_file(e->d_name);
            printf("%-24s %8zu tokens, %8zu values, %zu documents differ\n", e->d_name,
                   n_tokens - tokens, n_values - values, n_bad - before);
        }
    }
    closedir(d);
    printf("%zu documents, %zu tokens, %zu values, %zu differ\n", n_documents, n_tokens, n_values,
           n_bad);
    fflush(stdout);
    CHECK(n_documents > 0);
    CHECK_INT(n_bad, 0);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

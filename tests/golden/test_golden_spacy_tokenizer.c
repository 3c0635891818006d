/* Tokens and lexical attributes by the real English model against spaCy's: BERTH_SPACY_SM names
 * the pipeline, BERTH_SPACY_CASES what tools/golden_spacy_tokenizer.py recorded with it (default:
 * the texts kept here). */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "lib/test.h"
#include "spacy/spacy_tokenizer.h"

enum { SHOWN = 20 };
static size_t n_texts, n_tokens, n_bad;

/* Whether a text attribute is what the case says; texts end at a NUL, which a case may hold. */
static bool same(const char *have, json_t *want) {
    return strcmp(have, json_string_value(want)) == 0;
}

static bool same_part(const struct spacy_lexeme *lex, int attribute, json_t *want) {
    size_t n = 0;
    const char *text = spacy_lexeme_text(lex, attribute, &n);
    return n == json_string_length(want) && memcmp(text, json_string_value(want), n) == 0;
}

static bool same_token(const struct spacy_doc *doc, size_t i, json_t *want) {
    const struct spacy_token *t = &doc->tokens[i];
    return same_part(t->lex, 65, json_array_get(want, 0)) &&
           t->space == (json_integer_value(json_array_get(want, 1)) != 0) &&
           same(spacy_token_norm(doc, t), json_array_get(want, 2)) &&
           same(t->lex->lower_text, json_array_get(want, 3)) &&
           same(t->lex->shape_text, json_array_get(want, 4)) &&
           same_part(t->lex, 69, json_array_get(want, 5)) &&
           same_part(t->lex, 70, json_array_get(want, 6)) &&
           t->lex->flags == (uint32_t)json_integer_value(json_array_get(want, 7));
}

static void report(const struct spacy_doc *doc, json_t *want) {
    if (n_bad++ >= SHOWN) {
        return;
    }
    fprintf(stderr, "%.*s\n", (int)doc->bytes, doc->text);
    for (size_t i = 0; i < doc->n || i < json_array_size(want); i++) {
        char *text = json_dumps(json_array_get(want, i), 0);
        if (i >= doc->n || i >= json_array_size(want) ||
            !same_token(doc, i, json_array_get(want, i))) {
            const struct spacy_lexeme *lex = i < doc->n ? doc->tokens[i].lex : NULL;
            fprintf(stderr, "  %zu: \"%s\" %s %s %s %u, expected %s\n", i, lex ? lex->text : "",
                    lex ? spacy_token_norm(doc, &doc->tokens[i]) : "", lex ? lex->lower_text : "",
                    lex ? lex->shape_text : "", lex ? lex->flags : 0, text ? text : "nothing");
        }
        free(text);
    }
}

static void check_case(const struct spacy_vocab *v, const struct spacy_tokenizer *t,
                       const char *line, size_t n) {
    json_error_t why;
    json_t *row = json_loadb(line, n, JSON_ALLOW_NUL, &why);
    if (!row) {
        TEST_FAIL("%s", why.text);
    }
    json_t *text = json_array_get(row, 0), *want = json_array_get(row, 1);
    struct spacy_doc doc;
    struct berth_error err;
    CHECK_OK(spacy_doc_init(&doc, v, json_string_value(text), json_string_length(text), &err), err);
    CHECK_OK(spacy_tokenize(t, &doc, &err), err);
    bool good = doc.n == json_array_size(want);
    for (size_t i = 0; i < doc.n && good; i++) {
        good = same_token(&doc, i, json_array_get(want, i));
    }
    if (!good) {
        report(&doc, want);
    }
    n_texts++;
    n_tokens += doc.n;
    spacy_doc_finish(&doc);
    json_decref(row);
}

int main(void) {
    const char *model = getenv("BERTH_SPACY_SM"), *cases = getenv("BERTH_SPACY_CASES");
    if (!model) {
        SKIP("BERTH_SPACY_SM names no model");
    }
    struct berth_error err;
    struct spacy_package *p;
    struct spacy_vocab *v;
    struct spacy_tokenizer *t;
    struct spacy_file f;
    char *lines;
    size_t n;
    cases = cases ? cases : BTH_TEST_DATA "/golden/spacy/tokenizer.jsonl";
    CHECK_OK(bth_read_file(cases, 1 << 30, &lines, &n, &err), err);
    const int64_t start = bth_now();
    CHECK_OK(spacy_package_open(model, &p, &err), err);
    CHECK_OK(spacy_vocab_load(p, "en", &v, &err), err);
    CHECK_OK(spacy_package_read(p, "tokenizer", &f, &err), err);
    CHECK_OK(spacy_tokenizer_load(v, f.data, f.size, &t, &err), err);
    printf("loaded in %.1f ms\n", (double)(bth_now() - start) / 1e6);
    spacy_file_close(&f);
    spacy_package_close(p);
    for (const char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1) {
        check_case(v, t, at, (size_t)(end - at));
    }
    printf("%zu texts, %zu tokens, %zu texts differ\n", n_texts, n_tokens, n_bad);
    CHECK(n_texts > 0);
    CHECK_INT(n_bad, 0);
    spacy_tokenizer_destroy(t);
    spacy_vocab_destroy(v);
    bth_free(lines);
    return 0;
}

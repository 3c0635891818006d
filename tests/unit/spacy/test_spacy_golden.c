/* Tokens, norms and lexical attributes as spaCy 3.6.1 gave them for 23 languages: what lies in
 * tests/data/spacy, or the folder that BERTH_SPACY_GOLDEN names. */
#include "base/alloc.h"
#include "base/fs.h"
#include "lib/test.h"
#include "spacy/spacy_tokenizer.h"
#include <dirent.h>

static size_t n_texts, n_tokens, n_bad;

static void check_token(const char *lang, const struct spacy_doc *doc, size_t i, json_t *want) {
    const struct spacy_token *t = &doc->tokens[i];
    const char *text = json_string_value(json_array_get(want, 0));
    const size_t n = json_string_length(json_array_get(want, 0));
    bool good = t->lex->bytes == n && memcmp(t->lex->text, text, n) == 0 &&
                t->space == (json_integer_value(json_array_get(want, 1)) != 0) &&
                strcmp(spacy_token_norm(doc, t), json_string_value(json_array_get(want, 2))) == 0;
    if (!good && n_bad++ < 20) {
        fprintf(stderr, "%s: %.*s\n  token %zu: \"%s\" %d \"%s\", expected %s\n", lang,
                (int)doc->bytes, doc->text, i, t->lex->text, t->space, spacy_token_norm(doc, t),
                json_dumps(want, 0));
    }
}

static void check_line(const char *lang, const struct spacy_vocab *v,
                       const struct spacy_tokenizer *t, const char *line, size_t size) {
    json_error_t why;
    json_t *row = json_loadb(line, size, 0, &why);
    if (!row) {
        TEST_FAIL("%s: %s", lang, why.text);
    }
    json_t *text = json_array_get(row, 0), *want = json_array_get(row, 1);
    struct spacy_doc doc;
    struct berth_error err;
    CHECK_OK(spacy_doc_init(&doc, v, json_string_value(text), json_string_length(text), &err), err);
    CHECK_OK(spacy_tokenize(t, &doc, &err), err);
    n_texts++;
    n_tokens += doc.n;
    if (doc.n != json_array_size(want) && n_bad++ < 20) {
        fprintf(stderr, "%s: %s\n  %zu tokens, expected %zu\n", lang, json_string_value(text),
                doc.n, json_array_size(want));
    }
    for (size_t i = 0; i < doc.n && i < json_array_size(want); i++) {
        check_token(lang, &doc, i, json_array_get(want, i));
    }
    spacy_doc_finish(&doc);
    json_decref(row);
}

static void check_language(const char *dir, const char *lang) {
    char path[1400];
    struct berth_error err;
    struct spacy_vocab *v;
    struct spacy_tokenizer *t;
    char *bytes, *lines;
    size_t size, n;
    snprintf(path, sizeof(path), "%s/%s.tokenizer", dir, lang);
    CHECK_OK(bth_read_file(path, 64 << 20, &bytes, &size, &err), err);
    snprintf(path, sizeof(path), "%s/%s.jsonl", dir, lang);
    CHECK_OK(bth_read_file(path, 64 << 20, &lines, &n, &err), err);
    CHECK_OK(spacy_vocab_load(NULL, lang, &v, &err), err);
    CHECK_OK(spacy_tokenizer_load(v, bytes, size, &t, &err), err);
    for (int round = 0; round < 3; round++) { /* without and with what the caches hold */
        for (const char *at = lines; at < lines + n;) {
            const char *end = strchr(at, '\n');
            check_line(lang, v, t, at, (size_t)(end - at));
            at = end + 1;
        }
    }
    spacy_tokenizer_destroy(t);
    spacy_vocab_destroy(v);
    bth_free(bytes);
    bth_free(lines);
}

int main(void) {
    const char *golden = getenv("BERTH_SPACY_GOLDEN");
    char dir[1024];
    snprintf(dir, sizeof(dir), "%s/tokenizers", golden ? golden : BTH_TEST_DATA "/data/spacy");
    DIR *d = opendir(dir);
    CHECK(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char *dot = strchr(e->d_name, '.');
        if (dot && strcmp(dot, ".tokenizer") == 0) {
            *dot = '\0';
            check_language(dir, e->d_name);
            n++;
        }
    }
    closedir(d);
    printf("%d languages, %zu texts, %zu tokens, %zu differ\n", n, n_texts, n_tokens, n_bad);
    CHECK(n > 0);
    CHECK_INT(n_bad, 0);
    return 0;
}

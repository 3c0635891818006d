/* Any bytes as the patterns of an attribute ruler, or, where they begin with L, as the tables of an
 * English lemmatizer; run over a fixed text. */
#include "base/alloc.h"
#include "spacy/spacy_attribute_ruler.h"
#include "spacy/spacy_lemmatizer.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char plain[] = {0x80};
static const char text[] = "I ain't gonna say that mice 'd run better , c'm on !";

static void run_ruler(const uint8_t *data, size_t size, struct spacy_vocab *vocab,
                      struct spacy_doc *doc) {
    struct berth_error err;
    struct spacy_attribute_ruler *r;
    if (spacy_attribute_ruler_parse(data, size, spacy_vocab_strings(vocab), &r, &err) == 0) {
        spacy_attribute_ruler_run(r, doc, &err);
        spacy_attribute_ruler_destroy(r);
    }
}

static void run_lemmatizer(const uint8_t *data, size_t size, struct spacy_doc *doc) {
    struct berth_error err;
    struct spacy_lemmatizer *l;
    unsigned char *copy = bth_memdup(data, size);
    json_t *config = json_pack("{s:s}", "mode", "rule");
    if (!copy || !config) {
        abort();
    }
    struct spacy_file file = {.data = copy, .size = size, .heap = copy};
    if (spacy_lemmatizer_parse(&file, config, "en", &l, &err) == 0) {
        for (size_t i = 0; i < doc->n; i++) {
            doc->tokens[i].pos = (uint8_t)(84 + i);
        }
        if (spacy_lemmatizer_run(l, doc, &err) < 0) {
            abort();
        }
        spacy_lemmatizer_destroy(l);
    }
    json_decref(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct spacy_vocab *vocab;
    static struct spacy_tokenizer *tokenizer;
    struct berth_error err;
    if (!vocab && (spacy_vocab_load(NULL, "en", &vocab, &err) < 0 ||
                   spacy_tokenizer_load(vocab, plain, sizeof(plain), &tokenizer, &err) < 0)) {
        abort();
    }
    struct spacy_doc doc;
    if (spacy_doc_init(&doc, vocab, text, strlen(text), &err) < 0 ||
        spacy_tokenize(tokenizer, &doc, &err) < 0) {
        abort();
    }
    if (size > 0 && data[0] == 'L') {
        run_lemmatizer(data + 1, size - 1, &doc);
    } else {
        run_ruler(data, size, vocab, &doc);
    }
    spacy_doc_finish(&doc);
    return 0;
}

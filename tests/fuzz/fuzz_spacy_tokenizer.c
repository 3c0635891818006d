/* Any bytes as a text for the English tokenizer: its tokens and spaces tile it. And as a tokenizer.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "spacy/spacy_tokenizer.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spacy_vocab *vocab;
static struct spacy_tokenizer *english;

static void open_english(void) {
    char *bytes;
    size_t n;
    const char *path = BTH_TEST_DATA "/data/spacy/tokenizers/en.tokenizer";
    if (bth_read_file(path, 1 << 20, &bytes, &n, NULL) < 0 ||
        spacy_vocab_load(NULL, "en", &vocab, NULL) < 0 ||
        spacy_tokenizer_load(vocab, bytes, n, &english, NULL) < 0) {
        abort();
    }
    bth_free(bytes);
}

static void check_tiles(const struct spacy_doc *doc) {
    size_t at = 0;
    for (size_t i = 0; i < doc->n; i++) {
        const struct spacy_token *t = &doc->tokens[i];
        if (t->begin != at || t->end <= t->begin || t->end > doc->bytes ||
            t->lex->bytes != t->end - t->begin) {
            abort();
        }
        at = t->end + t->space;
    }
    if (at != doc->bytes) {
        abort();
    }
}

static void tokenize(const struct spacy_vocab *v, const struct spacy_tokenizer *t,
                     const uint8_t *data, size_t size) {
    struct spacy_doc doc;
    if (spacy_doc_init(&doc, v, (const char *)data, size, NULL) == 0) {
        if (spacy_tokenize(t, &doc, NULL) == 0) {
            check_tiles(&doc);
        }
        spacy_doc_finish(&doc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!english) {
        open_english();
    }
    tokenize(vocab, english, data, size);
    struct spacy_vocab *v = NULL;
    struct spacy_tokenizer *t = NULL;
    if (size && data[0] >= 0x80 && spacy_vocab_load(NULL, "xx", &v, NULL) == 0 &&
        spacy_tokenizer_load(v, data, size, &t, NULL) == 0) {
        tokenize(v, t, (const uint8_t *)"(ab c) a.b 'x", 13);
    }
    spacy_tokenizer_destroy(t);
    spacy_vocab_destroy(v);
    return 0;
}

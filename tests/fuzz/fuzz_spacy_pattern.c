/* Any bytes as the lines of an entity ruler, run over a fixed text. */
#include "spacy/spacy_entity_ruler.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A tokenizer without rules: it splits at spaces. */
static const unsigned char plain[] = {0x80};
static const char text[] = "New York's 42 mayors , Über-straße http://x.de run run run !";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct spacy_vocab *vocab;
    static struct spacy_tokenizer *tokenizer;
    struct berth_error err;
    if (!vocab && (spacy_vocab_load(NULL, "en", &vocab, &err) < 0 ||
                   spacy_tokenizer_load(vocab, plain, sizeof(plain), &tokenizer, &err) < 0)) {
        abort();
    }
    struct spacy_rule_source source = {.name = "ruler", .vocab = vocab, .tokenizer = tokenizer};
    struct spacy_entity_ruler *r;
    if (spacy_entity_ruler_parse(&source, (const char *)data, size, &r, &err) < 0) {
        return 0;
    }
    struct spacy_doc doc;
    if (spacy_doc_init(&doc, vocab, text, strlen(text), &err) == 0 &&
        spacy_tokenize(tokenizer, &doc, &err) == 0 && spacy_entity_ruler_run(r, &doc, &err) == 0) {
        for (size_t i = 0; i < doc.n; i++) {
            /* within an entity there is a type and a beginning */
            const struct spacy_token *t = &doc.tokens[i];
            if (t->ent_iob == SPACY_IOB_I && (i == 0 || t->ent_type != t[-1].ent_type)) {
                abort();
            }
        }
    }
    spacy_doc_finish(&doc);
    spacy_entity_ruler_destroy(r);
    return 0;
}

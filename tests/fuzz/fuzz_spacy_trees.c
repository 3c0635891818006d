/* Any bytes as the edit trees of a lemmatizer, applied to a few words. */
#include "base/alloc.h"
#include "spacy/spacy_edit_tree.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const words[] = {"", "a", "gegangen", "Häuser", "🙂x"};
    struct berth_error err;
    struct spacy_strings *strings = spacy_strings_create(NULL);
    struct spacy_edit_trees *t = NULL;
    struct bth_str lemma = {0};
    uint64_t id;
    json_t *labels = json_pack("[i,i,i]", 0, 1, 2);
    if (!strings || !labels || spacy_strings_add(strings, "ge", 2, &id) < 0) {
        abort();
    }
    if (spacy_edit_trees_parse(data, size, strings, labels, NULL, &t, &err) == 0) {
        for (size_t i = 0; i < 5; i++) {
            for (size_t k = 0; k < spacy_edit_trees_classes(t); k++) {
                int rc = spacy_edit_trees_apply(t, k, words[i], strlen(words[i]), &lemma, &err);
                if (rc < 0 || (rc == 1 && !bth_utf8_valid(bth_str_text(&lemma), lemma.size))) {
                    abort();
                }
            }
        }
    }
    bth_str_finish(&lemma);
    spacy_edit_trees_destroy(t);
    spacy_strings_destroy(strings);
    json_decref(labels);
    return 0;
}

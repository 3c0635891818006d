/* Any bytes as a glossary, a sentence and its translation, which are three lines. */
#include "lib/test.h"
#include "text/glossary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_glossary *g;
    struct berth_error err;
    struct bth_term terms[64];
    struct bth_str out = {0};
    char *lines[3], *all = malloc(size + 1);
    memcpy(all, data, size);
    all[size] = '\0';
    char *rest = all;
    for (int i = 0; i < 3; i++) {
        lines[i] = rest;
        rest += strcspn(rest, "\n");
        if (*rest) {
            *rest++ = '\0';
        }
    }
    struct bth_glossary_sentence s = {.source = lines[1],
                                      .n_source = strlen(lines[1]),
                                      .target = lines[2],
                                      .n_target = strlen(lines[2]),
                                      .terms = terms};
    if (bth_glossary_open(lines[0], size % 2, &g, &err) == 0) {
        for (size_t at = 0;
             s.n_terms < 64 && bth_glossary_next(g, s.source, s.n_source, &at, &terms[s.n_terms]);
             s.n_terms++) {
            CHECK(terms[s.n_terms].begin < terms[s.n_terms].end && at <= s.n_source);
        }
        CHECK_INT(bth_glossary_exchange(g, &s, &out, &err), 0);
        for (size_t i = 0; i < s.n_terms; i++) {
            const char *term = bth_glossary_target(g, terms[i].index);
            CHECK(terms[i].capital || strstr(bth_str_text(&out), term));
        }
        bth_glossary_free(g);
        bth_str_finish(&out);
    }
    free(all);
    return 0;
}

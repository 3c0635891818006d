/* Any bytes as text, of which the first say how: pieces in order, within the limit, and nothing but
 * white space between them. */
#include "base/alloc.h"
#include "lib/test.h"
#include "text/language.h"
#include "text/sentences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const languages[] = {NULL, "en", "pt-BR", "de", "zh", "x"};
    struct bth_sentences_options o = {0};
    struct bth_language_guess guesses[BTH_MAX_GUESSES];
    struct bth_sentences s;
    struct berth_error err;
    if (size < 2) {
        return 0;
    }
    o.language = languages[data[0] % 6];
    o.lines = data[0] & 64;
    o.most = data[1];
    const char *text = (const char *)data + 2;
    size_t n = size - 2, at = 0;
    CHECK_OK(bth_sentences_split(text, n, &o, &s, &err), err);
    for (size_t i = 0; i < s.n; i++) {
        const struct bth_piece *p = &s.pieces[i];
        CHECK(p->begin >= at && p->end > p->begin && p->end <= n);
        for (; at < p->begin; at++) {
            CHECK((unsigned char)text[at] <= ' ' || (unsigned char)text[at] >= 0x80);
        }
        at = p->end;
    }
    bth_sentences_finish(&s);
    int guessed = bth_language_detect(text, n, data[0] & 128, guesses, &err);
    CHECK(guessed >= 0 && guessed <= BTH_MAX_GUESSES);
    return 0;
}

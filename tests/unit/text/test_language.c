/* Languages of texts that are plainly in one, and of bytes that are in none. */
#include "text/language.h"

#include "lib/test.h"

static void is(const char *text, const char *code) {
    struct bth_language_guess g[BTH_MAX_GUESSES];
    struct berth_error err;
    int n = bth_language_detect(text, strlen(text), false, g, &err);
    CHECK(n >= 1 && n <= BTH_MAX_GUESSES);
    CHECK_STR(g[0].code, code);
    CHECK(g[0].confidence > 40 && g[0].confidence <= 100);
}

/* The beginning decides, wherever in a character it ends: what is behind it costs nothing. */
static void beginning(void) {
    static const char german[] = "Wo ist der n\xC3\xA4"
                                 "chste Bahnhof? Ich wei\xC3\x9F es leider nicht. ";
    static const char english[] = "Where is the nearest station? I do not know it. ";
    static char text[256 << 10];
    struct bth_language_guess g[BTH_MAX_GUESSES];
    struct berth_error err;
    for (size_t html = 0; html < 2; html++) {
        const size_t first = html ? BTH_LANGUAGE_HTML : BTH_LANGUAGE_TEXT;
        for (size_t shift = 0; shift < sizeof(german) - 1; shift++) {
            for (size_t i = 0; i < sizeof(text); i++) {
                text[i] = i < first + 64 ? german[(i + shift) % (sizeof(german) - 1)]
                                         : english[i % (sizeof(english) - 1)];
            }
            text[0] = text[1] = ' '; /* where a character may be cut */
            text[2] = (text[2] & 0xC0) == 0x80 ? ' ' : text[2];
            CHECK_INT(bth_language_detect(text, sizeof(text), html, g, &err), 1);
            CHECK_STR(g[0].code, "de");
        }
    }
}

int main(void) {
    struct bth_language_guess g[BTH_MAX_GUESSES];
    struct berth_error err;
    is("The quick brown fox jumps over the lazy dog near the river.", "en");
    is("Onde fica a esta\xC3\xA7\xC3\xA3o de trem mais pr\xC3\xB3xima? N\xC3\xA3o sei.", "pt");
    is("Wo ist der n\xC3\xA4"
       "chste Bahnhof? Ich wei\xC3\x9F es leider nicht.",
       "de");
    is("\xD0\x93\xD0\xB4\xD0\xB5 "
       "\xD0\xB1\xD0\xBB\xD0\xB8\xD0\xB6\xD0\xB0\xD0\xB9\xD1\x88\xD0\xB0\xD1"
       "\x8F \xD1\x81\xD1\x82\xD0\xB0\xD0\xBD\xD1\x86\xD0\xB8\xD1\x8F "
       "\xD0\xBF\xD0\xBE\xD0\xB5\xD0\xB7"
       "\xD0\xB4\xD0\xBE\xD0\xB2? \xD0\xAF \xD0\xBD\xD0\xB5 \xD0\xB7\xD0\xBD\xD0\xB0\xD1\x8E.",
       "ru");
    CHECK_INT(bth_language_detect("I love you.", 11, false, g, &err), 1); /* a guess */
    CHECK(g[0].confidence > 0 && g[0].confidence <= 25);
    CHECK_INT(bth_language_detect("", 0, false, g, &err), 0);
    CHECK_INT(bth_language_detect("12 34 +-", 8, false, g, &err), 0);
    CHECK_INT(bth_language_detect("\xFF\xFE\xFD this is not UTF-8", 22, false, g, &err), 0);
    const char *html =
        "<p class=\"the quick brown\">Wo ist der Bahnhof? Ich wei\xC3\x9F es leider nicht "
        "mehr.</p>";
    CHECK(bth_language_detect(html, strlen(html), true, g, &err) >= 1);
    CHECK_STR(g[0].code, "de");
    static char big[2 << 20];
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = "This is a long text in English, again and again. "[i % 49];
    }
    CHECK(bth_language_detect(big, sizeof(big), false, g, &err) >= 1);
    CHECK_STR(g[0].code, "en");
    beginning();
    return 0;
}

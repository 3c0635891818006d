#include "text/language.h"

#include <cstdio> /* which cld2 forgets */
#include <cstring>
#include <exception>

#include <cld2/public/compact_lang_det.h>

namespace {

/* cld2 counts in int, and more text than this makes it no surer. */
constexpr size_t most = 1 << 18;

/* The whole characters of the first `most` bytes. */
size_t head(const char *text, size_t n) {
    if (n <= most) {
        return n;
    }
    n = most;
    while (n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) {
        n--;
    }
    return n;
}

/* cld2's own names where they are not BCP 47's of today. */
const char *modern(const char *code) {
    static const char *const names[][2] = {
        {"iw", "he"}, {"jw", "jv"}, {"no", "nb"}, {"sr-ME", "sr"}};
    for (const auto &name : names) {
        if (std::strcmp(code, name[0]) == 0) {
            return name[1];
        }
    }
    return code;
}

int guess(const char *text, size_t n, bool html, bth_language_guess *out) {
    CLD2::Language languages[BTH_MAX_GUESSES];
    int percents[BTH_MAX_GUESSES], bytes = 0, valid = 0;
    bool reliable = false;
    const int size = static_cast<int>(n);
    CLD2::DetectLanguageCheckUTF8(text, size, !html, &reliable, &valid);
    if (valid < size) {
        return 0;
    }
    CLD2::ExtDetectLanguageSummary(text, size, !html, languages, percents, &bytes, &reliable);
    int found = 0;
    for (int i = 0; i < BTH_MAX_GUESSES; i++) {
        if (languages[i] == CLD2::UNKNOWN_LANGUAGE || percents[i] <= 0) {
            continue;
        }
        bth_language_guess *g = &out[found++];
        std::snprintf(g->code, sizeof(g->code), "%s", modern(CLD2::LanguageCode(languages[i])));
        g->confidence = reliable ? percents[i] : percents[i] / 2.0;
    }
    return found;
}

} // namespace

extern "C" int bth_language_detect(const char *text, size_t n, bool html,
                                   bth_language_guess out[BTH_MAX_GUESSES],
                                   struct berth_error *err) {
    try {
        return guess(text, head(text, n), html, out);
    } catch (const std::exception &) { /* it allocates, and nothing else can fail */
        if (err) {
            err->code = BERTH_ENOMEM;
            std::snprintf(err->message, sizeof(err->message), "%s", berth_strerror(BERTH_ENOMEM));
        }
        return BERTH_ENOMEM;
    }
}
